"""Killed at any moment and started again, a command ends as if nothing had happened."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from undisturbed import (
    assert_same_cache,
    assert_same_caches,
    assert_whole_or_absent,
    record,
)

from zskel.pipeline.base.locks import work_dir_locked

pytestmark = pytest.mark.slow


def test_extract_survives_a_kill_at_every_rename(
    tiny_work: Path, tiny_config: Path, tiny_raw: Path, commands: Any, tmp_path: Path
) -> None:
    # A file gets its name by a rename. Each run dies before its third: two more
    # files are whole by then, and all of the next lies there under a temporary name.
    work, deaths, left = tmp_path / "work", 0, 0
    arguments = ("extract", tiny_config, "--raw", tiny_raw, "--work-dir", work)
    while (ended := commands.run(*arguments, die_before_rename=3)).code == -signal.SIGKILL:
        deaths += 1
        assert deaths < 20, "no progress between kills"
        assert_whole_or_absent(work, tiny_work)
        left += len(list(work.rglob("*.tmp")))
    assert ended.code == 0, ended.err
    # Store and its report, texts; of each phase two checkpoints, weights, summary, features.
    assert deaths >= 6
    assert left, "no kill fell into a write"
    assert not list(work.rglob("*.tmp")), "the next command removes what a killed one left"
    assert_same_caches(work, tiny_work)
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*.h5")}
    assert commands.run(*arguments).code == 0
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*.h5")} == before


@pytest.mark.parametrize("moments", [
    ("store/.skeletons.h5.*", "store/skeletons.h5", "backbones/test/checkpoints-*/epoch_1.pth",
     "features/skeleton_test.h5", "backbones/calibration/weights.pth"),
])
def test_extract_survives_kills_from_outside(
    tiny_work: Path, tiny_config: Path, tiny_raw: Path, commands: Any, tmp_path: Path,
    wait_for: Callable[..., None], moments: tuple[str, ...],
) -> None:
    work = tmp_path / "work"
    arguments = ("extract", tiny_config, "--raw", tiny_raw, "--work-dir", work)
    for moment in moments:
        process = commands.start(*arguments)
        wait_for(lambda: any(work.glob(moment)))
        os.kill(process, signal.SIGKILL)
        assert commands.wait().code == -signal.SIGKILL, moment
        assert_whole_or_absent(work, tiny_work)
    ended = commands.run(*arguments)
    assert ended.code == 0, ended.err
    assert_same_caches(work, tiny_work)


def test_extract_survives_kills_in_a_bank(
    tiny_work: Path, tiny_config: Path, tiny_raw: Path, commands: Any, tmp_path: Path
) -> None:
    # Store and backbones are the model store's, and clips are extracted whole and masked; each run
    # dies before its fourth rename.
    work, shared, deaths = tmp_path / "work", tmp_path / "bank", 0
    masked = ("--cfg-options", "masked_features=true")
    arguments = ("extract", tiny_config, "--raw", tiny_raw, "--work-dir", work, "--bank", shared,
                 *masked)
    left = set()
    while (ended := commands.run(*arguments, die_before_rename=4)).code == -signal.SIGKILL:
        deaths += 1
        assert deaths < 20, "no progress between kills"
        assert_whole_or_absent(work, tiny_work)
        left |= {path.parent.parent.name for path in shared.glob("backbones/*/checkpoints-*/*.pth")}
    assert ended.code == 0, ended.err
    assert deaths >= 4 and left, "no kill fell into a training"
    assert_same_caches(work, tiny_work)
    assert not list(shared.glob("*/*.holder.json")) and not list(shared.rglob("checkpoints-*"))
    # Nobody has disturbed these.
    fresh = tmp_path / "fresh"
    for part in ("store", "backbones", "features"):
        shutil.copytree(tiny_work / part, fresh / part)
    assert commands.run("extract", tiny_config, "--work-dir", fresh, *masked).code == 0
    for phase in ("test", "calibration"):
        name = f"features/skeleton_{phase}_masked.h5"
        assert_same_cache(work / name, fresh / name)


def test_fit_survives_a_kill_at_every_rename(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work, deaths = copy_of(tiny_work, ("features",)), 0
    arguments = ("fit", tiny_config, "--work-dir", work)
    # Before the second: the arrays are there and their record is not.
    while (ended := commands.run(*arguments, die_before_rename=2)).code == -signal.SIGKILL:
        deaths += 1
        assert not list((work / "results").glob("*.json"))
        if deaths == 2:
            break
    assert deaths == 2
    # Before the third: one seed is whole.
    assert commands.run(*arguments, die_before_rename=3).code == -signal.SIGKILL
    assert len(list((work / "results").glob("*.json"))) == 1
    assert_whole_or_absent(work, tiny_work)
    ended = commands.run(*arguments)
    assert ended.code == 0, ended.err
    names = {path.name for path in (tiny_work / "results").iterdir()}
    assert {path.name for path in (work / "results").iterdir() if path.is_file()} == names
    for name in names:
        ours, theirs = work / "results" / name, tiny_work / "results" / name
        if name.endswith(".json"):
            assert record(ours) == record(theirs)
        else:
            with np.load(ours) as one, np.load(theirs) as other:
                assert all(np.array_equal(one[key], other[key]) for key in other.files)


def test_a_report_is_not_misled_by_what_a_killed_fit_left(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("features",))
    assert commands.run("fit", tiny_config, "--work-dir", work,
                        die_before_rename=5).code == -signal.SIGKILL
    assert list((work / "results").glob(".*.tmp/*.json")), "the kill missed the write"
    ended = commands.run("report", "--work-dir", work)
    assert ended.code == 0, ended.err
    runs = (work / "report" / "tables" / "runs.csv").read_text().splitlines()
    assert len(runs) == 2  # a heading and the one seed that is whole


@pytest.mark.parametrize(("sent", "code", "said"), [
    (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"),
    (signal.SIGHUP, 129, "hung up"),
])
@pytest.mark.parametrize(("command", "moment", "long"), [
    ("extract", "backbones/test/checkpoints-*/epoch_1.pth",
     ("--cfg-options", "backbone.epochs=500")),
    ("fit", "results", ("--seeds", "500")),
])
def test_an_interrupt_is_one_line_and_an_exit_code(
    tiny_work: Path, tiny_config: Path, unmeasured: Any, tmp_path: Path,
    wait_for: Callable[..., None], command: str, moment: str, long: tuple[str, ...],
    sent: signal.Signals, code: int, said: str,
) -> None:
    work = tmp_path / "work"
    shutil.copytree(tiny_work / "store", work / "store")
    shutil.copytree(tiny_work / "features", work / "features")
    if command == "extract":
        (work / "features" / "skeleton_test.h5").unlink()
    # So much to do that it cannot be done before the signal comes.
    process = unmeasured.start(command, tiny_config, "--work-dir", work, *long)
    wait_for(lambda: any(work.glob(moment)))
    os.kill(process, sent)
    ended = unmeasured.wait()
    assert ended.code == code, ended.err
    assert ended.err.splitlines()[-1] == f"{said}; the same command goes on from here"
    assert "Traceback" not in ended.err and "Aborted" not in ended.err
    assert not list(work.rglob("*.tmp")), "something half-written was left"
    assert unmeasured.run(command, tiny_config, "--work-dir", work).code == 0
    assert_same_caches(work, tiny_work)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_that_loads_clips_stays(
    tiny_work: Path, tiny_config: Path, unmeasured: Any, tmp_path: Path,
    wait_for: Callable[..., None], sent: signal.Signals,
) -> None:
    work = tmp_path / "work"
    shutil.copytree(tiny_work / "store", work / "store")
    process = unmeasured.start(
        "extract", tiny_config, "--work-dir", work, "--cfg-options", "backbone.num_workers=2",
        "--cfg-options", "backbone.epochs=500")
    children = Path(f"/proc/{process}/task/{process}/children")
    wait_for(lambda: list(work.glob("backbones/test/checkpoints-*/epoch_*.pth"))
             and len(children.read_text().split()) == 2)
    loaders = [Path("/proc") / each for each in children.read_text().split()]
    os.kill(process, sent)
    ended = unmeasured.wait()
    assert ended.code == (143 if sent == signal.SIGTERM else -signal.SIGKILL), ended.err
    with work_dir_locked(work, "the next"):  # they do not keep the lock while they notice
        assert "waiting" not in ended.err
    wait_for(lambda: not any(map(running, loaders)), 30)


def running(process: Path) -> bool:
    """Neither gone nor waiting, dead, for a parent that will ask for it."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
