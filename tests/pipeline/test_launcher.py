"""``pipeline extract`` by two processes that torchrun starts, over gloo on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.caches import read_skeleton_features
from extractors import distributed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def torchrun(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``pipeline extract`` with two processes that see the CPU alone."""

    def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
             "-m", "pipeline", "extract", *map(str, arguments), "--launcher", "pytorch"],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True,
            text=True, timeout=300, check=False,
        )

    return run


@pytest.mark.slow
def test_two_processes_leave_one_set_of_files(
    torchrun: Callable[..., Any], tiny_work: Path, tiny_config: Path, tiny_raw: Path,
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    ended = torchrun(tiny_config, "--raw", tiny_raw, "--work-dir", work,
                     "--cfg-options", "backbone.epochs=1")
    assert ended.returncode == 0, ended.stderr
    for said in ("store: 160 clips", "wrote ", "training the "):  # by one of them
        lines = [line for line in ended.stderr.splitlines() if line.startswith(said)]
        assert len(lines) == len(set(lines)) and lines, ended.stderr
    assert "2 processes" in ended.stderr

    def files(root: Path) -> set[str]:
        return {str(path.relative_to(root)) for part in ("store", "backbones", "features")
                for path in (root / part).rglob("*")
                if path.is_file() and "/logs/" not in str(path)}

    assert files(work) == files(tiny_work)
    for phase in ("test", "calibration"):
        made = json.loads((work / "backbones" / phase / "backbone.json").read_text())
        assert made["processes"] == 2
        ours, theirs = (read_skeleton_features(root / "features" / f"skeleton_{phase}.h5")
                        for root in (work, tiny_work))
        for name in ("sample_id", "label", "subset", "subject"):
            assert getattr(ours, name).tolist() == getattr(theirs, name).tolist()
        assert ours.f_x.shape == theirs.f_x.shape and ours.weights_sha256 == made["weights_sha256"]


@pytest.mark.slow
def test_an_error_of_the_first_ends_both_and_is_said_once(
    torchrun: Callable[..., Any], tiny_config: Path, tmp_path: Path
) -> None:
    ended = torchrun(tiny_config, "--raw", tmp_path / "nowhere", "--work-dir", tmp_path / "work")
    assert ended.returncode != 0
    ours = ended.stderr.split("torch/distributed/elastic")[0].splitlines()
    # The last of these is where torchrun begins to tell that its processes have ended.
    assert [line for line in ours[:-1] if "nowhere: no such file" in line] == ours[:-1] != []


def test_a_launcher_that_is_not_there_is_one_line(tiny_config: Path, commands: Any) -> None:
    ended = commands.run("extract", tiny_config, "--launcher", "pytorch")
    assert ended.code == 2 and "start the command with torchrun" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_alone_all_is_agreed_and_errors_are_ones_own() -> None:
    assert distributed.agreed(["f_x"]) == ["f_x"]
    with pytest.raises(ZeroDivisionError):
        with distributed.together():
            1 / 0


@pytest.mark.parametrize(("error", "code"), [
    (KeyboardInterrupt(), 130), (RuntimeError("connection closed by peer"), 1)])
def test_who_fails_because_another_has_failed_is_silent(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    monkeypatch.setattr(distributed, "joined", lambda: True)
    monkeypatch.setattr(distributed, "_fails_first", lambda: False)
    with pytest.raises(SystemExit) as caught:
        with distributed.together():
            raise error
    assert caught.value.code == code


def test_what_is_there_is_kept_without_loading_torch(python: Callable[..., Any]) -> None:
    ended = python("-c", "import sys, pipeline.commands.extract; "
                         "from extractors.distributed import together\n"
                         "with together('none'): print('torch' in sys.modules)")
    assert ended.stdout == "False\n", ended.stderr
