"""``pipeline extract`` by two processes that work together, over gloo on the CPU."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from zskel.data.caches import read_skeleton_features
from zskel.data.common.errors import BadConfig
from zskel.extractors import distributed

MASKED = ("--cfg-options", "masked_features=true")


def assert_same_cache(one: Path, other: Path) -> None:
    with h5py.File(one) as ours, h5py.File(other) as theirs:
        assert set(ours) == set(theirs) and set(ours.attrs) == set(theirs.attrs)
        for name in ours:
            assert np.array_equal(ours[name][()], theirs[name][()]), f"{one.name} /{name}"
        for name in set(ours.attrs) - {"created"}:
            assert np.array_equal(ours.attrs[name], theirs.attrs[name]), f"{one.name} {name}"


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for part in ("store", "backbones", "features")
            for path in (root / part).rglob("*") if path.is_file() and "/logs/" not in str(path)}


@pytest.mark.slow
def test_torchrun_starts_two_that_leave_one_set_of_files(
    tiny_work: Path, tiny_config: Path, copy_of: Callable[..., Path], python: Callable[..., Any]
) -> None:
    work = copy_of(tiny_work, ("store",))
    (work / "features").mkdir()
    shutil.copy(tiny_work / "features" / "text.h5", work / "features")  # an encoder takes seconds
    ended = python("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
                   "-m", "zskel", "extract", tiny_config, "--work-dir", work, "--launcher",
                   "pytorch", "--cfg-options", "backbone.epochs=1")
    assert ended.returncode == 0, ended.stderr
    for said in ("experiment ", "wrote ", "training the "):  # by one of them
        lines = [line for line in ended.stderr.splitlines() if line.startswith(said)]
        assert len(lines) == len(set(lines)) and lines, ended.stderr
    assert "2 processes" in ended.stderr
    assert files(work) == files(tiny_work)
    for phase in ("test", "calibration"):
        made = json.loads((work / "backbones" / phase / "backbone.json").read_text())
        assert made["processes"] == 2
        ours, theirs = (read_skeleton_features(root / "features" / f"skeleton_{phase}.h5")
                        for root in (work, tiny_work))
        for name in ("sample_id", "label", "subset", "subject"):
            assert getattr(ours, name).tolist() == getattr(theirs, name).tolist()
        assert ours.f_x.shape == theirs.f_x.shape and ours.weights_sha256 == made["weights_sha256"]


def test_caches_by_two_processes_are_those_of_one(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path],
    tmp_path: Path,
) -> None:
    work, alone = copy_of(tiny_work, ("store", "backbones")), tmp_path / "alone"
    shutil.copytree(work, alone)
    shared = ("extract", tiny_config, *MASKED)
    in_bank = (*shared, "--work-dir", work, "--bank", tmp_path / "bank")
    commands.start_together(2, *in_bank)
    first, second = commands.wait_together(2)
    assert (first.code, second.code, second.err) == (0, 0, ""), first.err
    assert commands.run(*shared, "--work-dir", alone).code == 0
    for phase in ("test", "calibration"):
        for name in (f"skeleton_{phase}.h5", f"skeleton_{phase}_masked.h5"):
            assert_same_cache(work / "features" / name, alone / "features" / name)
        assert_same_cache(work / "features" / f"skeleton_{phase}.h5",
                          tiny_work / "features" / f"skeleton_{phase}.h5")
    assert [path.name for path in work.rglob(".*")] == [".work.lock"]
    # What the model store has of it is found by both.
    shutil.rmtree(work / "features")
    commands.start_together(2, *in_bank)
    again, second = commands.wait_together(2)
    assert (again.code, second.code) == (0, 0) and again.err.count("features shared") == 4
    assert_same_cache(work / "features" / "skeleton_test.h5",
                      tiny_work / "features" / "skeleton_test.h5")


def test_a_launcher_that_starts_one_process_changes_nothing(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("store", "features"))
    (work / "features" / "skeleton_test.h5").unlink()
    commands.start_together(1, "extract", tiny_config, "--work-dir", work)
    (ended,) = commands.wait_together(1)
    assert ended.code == 0 and "training the test-phase" in ended.err, ended.err
    assert_same_cache(work / "features" / "skeleton_test.h5",  # weights_sha256 too
                      tiny_work / "features" / "skeleton_test.h5")


@pytest.mark.parametrize("victim", [0, 1])
def test_when_one_dies_the_other_ends_and_the_next_run_goes_on(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path],
    wait_for: Callable[..., None], victim: int,
) -> None:
    work = copy_of(tiny_work, ("store", "backbones"))
    shards = work / "features"
    processes = commands.start_together(2, "extract", tiny_config, "--work-dir", work)
    wait_for(lambda: any(shards.glob(".skeleton_test.h5.*.shards/*.npz")))
    os.kill(processes[victim], signal.SIGKILL)
    ended = commands.wait_together(2)
    assert ended[victim].code == -signal.SIGKILL
    other = ended[1 - victim]
    assert other.code == 1 and "Traceback" not in other.err
    # If the first dies, nobody can tell whether it has said why; torchrun will.
    assert ("error: another process of this work has died" in other.err) is (victim == 1)
    if not (shards / "skeleton_test.h5").exists():
        assert list(shards.glob(".skeleton_test.h5.*.shards/*.npz"))  # not lost
    assert commands.run("extract", tiny_config, "--work-dir", work).code == 0
    assert not list(work.rglob(".*.shards"))
    for name in ("skeleton_test.h5", "skeleton_calibration.h5"):
        assert_same_cache(shards / name, tiny_work / "features" / name)


def test_an_error_of_the_first_ends_both_and_is_said_once(
    tiny_config: Path, commands: Any, tmp_path: Path
) -> None:
    commands.start_together(2, "extract", tiny_config, "--raw", tmp_path / "nowhere",
                            "--work-dir", tmp_path / "work")
    first, second = commands.wait_together(2)
    assert first.code == 2 and second.code != 0
    assert "nowhere: no such file" in first.err and len(first.err.splitlines()) == 1
    assert "error:" not in second.err and "Traceback" not in second.err


def test_an_error_of_both_is_said_once(
    tiny_config: Path, commands: Any, tmp_path: Path
) -> None:
    commands.start_together(2, "extract", tiny_config, "--work-dir", tmp_path / "work",
                            "--weights", tmp_path / "none.pth")
    ended = commands.wait_together(2)
    assert {each.code for each in ended} == {2}
    said = [line for each in ended for line in each.err.splitlines()]
    assert len(said) == 1 and "no such file of weights" in said[0]


@pytest.mark.parametrize("command", ["extract", "fit", "queue"])
def test_torchrun_without_a_launcher_is_one_line(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    from zskel.pipeline.base.config import load_experiment
    from zskel.pipeline.extract.extract import extract
    from zskel.pipeline.fit.fit import fit
    from zskel.pipeline.queue.queue import queue

    experiment = load_experiment(str(tiny_config))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    run = {"extract": extract, "fit": fit, "queue": lambda e: queue([e])}[command]
    with pytest.raises(BadConfig, match="in each of the 2 processes.*--launcher pytorch") as caught:
        run(experiment)
    assert "\n" not in str(caught.value)


def test_a_launcher_that_is_not_there_is_one_line(tiny_config: Path, commands: Any) -> None:
    ended = commands.run("extract", tiny_config, "--launcher", "pytorch")
    assert ended.code == 2 and "start the command with torchrun" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_alone_all_is_agreed_and_errors_are_ones_own() -> None:
    assert distributed.agreed(["f_x"]) == ["f_x"] and distributed.gathered(3) == [3]
    distributed.wait_for_all(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError), distributed.launched():
        raise ZeroDivisionError


@pytest.mark.parametrize(("error", "code"), [
    (KeyboardInterrupt(), 130), (RuntimeError("connection closed by peer"), 1)])
def test_who_fails_because_another_has_failed_is_silent(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    monkeypatch.setattr(distributed, "joined", lambda: True)
    monkeypatch.setattr(distributed, "_fails_first", lambda: False)
    with pytest.raises(SystemExit) as caught, distributed.launched():
        raise error
    assert caught.value.code == code


def test_what_is_there_is_kept_without_loading_torch(python: Callable[..., Any]) -> None:
    ended = python("-c", "import sys, zskel.pipeline.extract.extract; "
                         "from zskel.extractors.distributed import launched\n"
                         "with launched('none'): print('torch' in sys.modules)")
    assert ended.stdout == "False\n", ended.stderr
