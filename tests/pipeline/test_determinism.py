"""The same seed on the same machine gives the same bits; ``--deterministic``; memory notes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from zskel.data.caches import read_skeleton_features
from zskel.data.common.errors import PipelineError
from zskel.pipeline.base import determinism
from zskel.pipeline.base.config import load_experiment

TIMES = {"created", "duration_seconds"}


@pytest.mark.slow
def test_extract_and_fit_from_nothing_give_the_same_bits(
    tiny_work: Path, tiny_config: Path, tiny_raw: Path, commands: Any, tmp_path: Path
) -> None:
    """With the flag, which changes nothing on a CPU and says so."""
    work = tmp_path / "work"
    for arguments in (("extract", tiny_config, "--raw", tiny_raw), ("fit", tiny_config)):
        ended = commands.run(*arguments, "--work-dir", work, "--deterministic")
        assert ended.code == 0, ended.err
        assert ended.err.startswith("--deterministic: changes nothing here; there is no GPU")
    for name in ("store/skeletons.h5", *(f"features/{cache}.h5" for cache in (
            "skeleton_test", "skeleton_calibration", "text"))):
        with h5py.File(work / name) as ours, h5py.File(tiny_work / name) as theirs:
            assert set(ours) == set(theirs) and set(ours.attrs) == set(theirs.attrs)
            assert all(np.array_equal(ours[key][()], theirs[key][()]) for key in ours), name
            assert all(np.array_equal(ours.attrs[key], theirs.attrs[key])
                       for key in set(ours.attrs) - TIMES), name
    for phase in ("test", "calibration"):
        ours, theirs = ((root / "backbones" / phase / "backbone.json").read_text()
                        for root in (work, tiny_work))
        assert ours == theirs and {"cpu", "threads", "torch"} <= set(json.loads(ours)["software"])
    for path in sorted((tiny_work / "results").iterdir()):
        twin = work / "results" / path.name
        if path.suffix == ".json":
            ours, theirs = ({k: v for k, v in json.loads(each.read_text()).items()
                             if k not in TIMES | {"cache_digests"}} for each in (twin, path))
            assert ours == theirs and {"cpu", "threads"} <= set(ours["software"])
        elif path.is_file():
            with np.load(twin) as one, np.load(path) as other:
                assert all(np.array_equal(one[key], other[key]) for key in other.files)


@pytest.fixture
def with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """As if there were one; what is set is set back."""
    cudnn = torch.backends.cudnn
    before = (torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv(determinism._CUBLAS, "")
    monkeypatch.delenv(determinism._CUBLAS)
    yield monkeypatch
    torch.use_deterministic_algorithms(before[0])
    cudnn.deterministic, cudnn.benchmark = before[1:]


def test_on_a_gpu_everything_is_set(
    with_a_gpu: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import os

    torch.backends.cudnn.benchmark = True
    determinism.tell_if_not_deterministic(tmp_path, lambda: {"deterministic": "no"})
    assert capsys.readouterr().err == ""  # nobody has asked for it
    determinism.use_deterministic_algorithms()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark
    assert "algorithms that repeat themselves" in capsys.readouterr().err
    for software, said in (({"deterministic": "no"}, True), ({"deterministic": "yes"}, False),
                           ({"cpu": "x"}, False)):
        determinism.tell_if_not_deterministic(tmp_path, lambda: software)
        assert ("without --deterministic and kept" in capsys.readouterr().err) is said
    from zskel.extractors.inference import exact

    with exact(torch.device("cpu")):
        assert torch.backends.cudnn.deterministic


def test_too_late_is_one_line(with_a_gpu: pytest.MonkeyPatch) -> None:
    with_a_gpu.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(PipelineError, match="the GPU is in use already"):
        determinism.use_deterministic_algorithms()
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_cache_notes_what_did_not_fit_into_memory(
    tiny_work: Path, tiny_config: Path, copy_of: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    from zskel.extractors import inference
    from zskel.pipeline.extract.extract import extract

    work = copy_of(tiny_work, ("store", "backbones", "features"))
    path = work / "features" / "skeleton_test.h5"
    undisturbed = read_skeleton_features(path)
    path.unlink()
    run = inference.BodyWise.__call__

    def small(self: Any, inputs: torch.Tensor) -> Any:
        if len(inputs) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(self, inputs)

    monkeypatch.setattr(inference.BodyWise, "__call__", small)
    extract(load_experiment(str(tiny_config)), work_dir=work)
    found, said = read_skeleton_features(path), capsys.readouterr().err
    assert "a pass of 32 clips does not fit into memory; it goes on with at most 16" in said
    noted = found.software["out_of_memory"]
    assert noted.endswith("passes were run in parts") and f"{noted}: they did not fit" in said
    assert {k: v for k, v in found.software.items() if k != "out_of_memory"} == \
        undisturbed.software
    assert found.preprocessing == undisturbed.preprocessing
    assert found.f_x == pytest.approx(undisturbed.f_x, abs=1e-5)
    assert found.sample_id.tolist() == undisturbed.sample_id.tolist()


def test_a_fit_that_does_not_fit_into_memory_is_one_line(
    tiny_work: Path, tiny_config: Path, copy_of: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from zskel.pipeline.fit import fit

    def out(*arguments: Any) -> Any:
        raise np._core._exceptions._ArrayMemoryError((2**40,), np.dtype(np.float64))

    monkeypatch.setattr(fit.Fit, "evaluate", out)
    with pytest.raises(PipelineError, match="^fitting sa_dvae, seed 0 does not fit into memory "
                                            r"\(Unable to allocate.*batch_size") as caught:
        fit.fit(load_experiment(str(tiny_config)), copy_of(tiny_work, ("features",)))
    assert "\n" not in str(caught.value)
