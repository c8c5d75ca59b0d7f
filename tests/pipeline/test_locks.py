"""One command at a time in a work directory; the others wait and say for whom."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zskel.data.common.files import atomic_path
from zskel.pipeline.base import locks
from zskel.pipeline.base.locks import held, holder_of, work_dir_locked
from zskel.pipeline.steps.model_store import ModelStore


def dead_process() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def killed_holding(prefix: Path, work: str = "what was killed") -> None:
    child = os.fork()
    if child == 0:
        with held(prefix, work):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.slow
@pytest.mark.parametrize("argv", [
    ("extract", "CONFIG"), ("fit", "CONFIG"), ("report",),
    ("import", "npz", "EXPORTED", "--force"),
], ids=lambda argv: argv[0])
def test_the_second_command_waits_and_says_for_whom(
    argv: tuple[str, ...], tiny_work: Path, tiny_config: Path, commands: Any, tmp_path: Path,
    copy_of: Callable[..., Path], wait_for: Callable[..., None],
) -> None:
    work = copy_of(tiny_work)
    if "EXPORTED" in argv:
        assert commands.run("export", work, "--to", "npz", tmp_path / "npz").code == 0
    given = {"CONFIG": tiny_config, "EXPORTED": tmp_path / "npz"}
    before = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    with work_dir_locked(work, "pipeline nap"):
        commands.start(*[given.get(word, word) for word in argv], "--work-dir", work)
        messages = commands._folder / "err"
        wait_for(lambda: "waiting for" in messages.read_text())
        time.sleep(0.3)
        assert before.items() <= {
            path: path.read_bytes() for path in work.rglob("*") if path.is_file()}.items()
    ended = commands.wait()
    assert ended.code == 0, ended.err
    lines = [line for line in ended.err.splitlines() if "waiting for" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"waiting for another command: pipeline nap in {work} "
                               f"(process {os.getpid()} on {socket.gethostname()}, since 20")
    assert holder_of(work / ".work") is None


def test_who_only_reads_waits_for_nobody(
    tiny_work: Path, tiny_config: Path, commands: Any, tmp_path: Path
) -> None:
    work = tmp_path / "work_dirs" / "tiny"
    shutil.copytree(tiny_work, work)
    recording = tmp_path / "a.skeleton"
    recording.write_text("")
    with work_dir_locked(work, "pipeline nap"):
        for argv in (("inspect", work),
                     ("export", work, "--to", "npz", tmp_path / "npz"),
                     ("queue", tiny_config, "--list", "--work-dirs", work.parent),
                     ("report", "--work-dir", work, "--out", tmp_path / "report")):
            ended = commands.run(*argv)
            assert "waiting" not in ended.err and "Traceback" not in ended.err
            assert ended.code == 0, ended.err


def test_a_command_inside_another_shares_its_lock(tmp_path: Path) -> None:
    with work_dir_locked(tmp_path, "pipeline run"):
        with work_dir_locked(tmp_path / "." , "pipeline fit"):
            pass
        content = json.loads((tmp_path / ".work.holder.json").read_text())
        assert content["work"] == f"pipeline run in {tmp_path}"
        model_store = ModelStore(tmp_path / "bank")
        entry = model_store.backbone("a" * 64)
        with model_store.locked(entry, "one"), model_store.locked(entry, ""):
            pass
    assert not (tmp_path / ".work.holder.json").exists()


def test_another_thread_waits(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    order = list[str]()

    def other() -> None:
        with work_dir_locked(tmp_path, "the other"):
            order.append("other")

    with work_dir_locked(tmp_path, "the first"):
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.4)
        order.append("first")
    thread.join(60)
    assert order == ["first", "other"]
    assert f"the first in {tmp_path}" in capfd.readouterr().err.replace("\n", "")


def test_a_killed_commands_lock_is_taken_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    killed_holding(tmp_path / ".work")
    assert (tmp_path / ".work.holder.json").is_file()
    assert holder_of(tmp_path / ".work") is None
    started = time.monotonic()
    with work_dir_locked(tmp_path, "the next"):
        assert f"the next in {tmp_path}" in (holder_of(tmp_path / ".work") or "")
    assert time.monotonic() - started < 2
    assert "waiting" not in capfd.readouterr().err


def test_who_died_is_not_named_as_the_holder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has the lock, and has not yet said so over what a dead one said."""
    monkeypatch.setattr(locks, "_PATIENCE", 0.2)
    (tmp_path / ".work.holder.json").write_text(json.dumps({
        "work": "the dead", "process": dead_process(), "host": socket.gethostname(), "since": ""}))
    with open(tmp_path / ".work.lock", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        release = threading.Timer(1.0, lambda: fcntl.flock(file, fcntl.LOCK_UN))
        release.start()
        with work_dir_locked(tmp_path, "the next"):
            pass
        release.join()
    said = capfd.readouterr().err.replace("\n", "")
    assert said.count("waiting for another command: one at") == 1 and "the dead" not in said


def test_one_on_another_machine_is_named(tmp_path: Path) -> None:
    (tmp_path / ".work.holder.json").write_text(json.dumps({
        "work": "pipeline fit", "process": dead_process(), "host": "elsewhere", "since": "today"}))
    assert "on elsewhere" in (holder_of(tmp_path / ".work") or "")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, 524])
def test_where_there_are_no_locks_one_notice_says_so(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def flock(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(locks, "_told", set())
    (tmp_path / "features" / ".a.h5.abcdefgh.tmp").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path, tmp_path / "other"):  # one file system
        with work_dir_locked(folder, "pipeline fit"):
            pass
    said = " ".join(capfd.readouterr().err.split())
    assert said.count("cannot be locked") == 1 and "waiting" not in said
    assert os.strerror(number) in said
    # Somebody may be writing it.
    assert (tmp_path / "features" / ".a.h5.abcdefgh.tmp").exists()


def test_what_killed_commands_left_is_removed_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    places = ["features/a.h5", "results/a.json", "report/tables/a.csv", "import.json",
              "backbones/test/checkpoints-1/epoch_1.pth", "models/a.safetensors"]
    for place in places:
        child = os.fork()
        if child == 0:
            with atomic_path(tmp_path / place) as temporary:
                temporary.write_text("half")
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
    assert len(list(tmp_path.rglob("*.tmp"))) == len(places)
    kept = [tmp_path / "raw" / ".a.skeleton.abcdefgh.tmp", tmp_path / "features" / "own.tmp"]
    for folder in kept:  # a command that locks nothing, and somebody's own
        folder.mkdir(parents=True)
    (tmp_path / "features" / ".own.abcdefgh.tmp").write_text("a file, not a folder of ours")
    with work_dir_locked(tmp_path, "pipeline fit"):
        pass
    assert {path for path in tmp_path.rglob("*.tmp") if path.is_dir()} == set(kept)
    assert (tmp_path / "features" / ".own.abcdefgh.tmp").is_file()
    assert "removed 6 unfinished files that a stopped command left" in \
        capfd.readouterr().err.replace("\n", " ")


def test_what_a_killed_command_left_in_the_bank_is_removed(tmp_path: Path) -> None:
    model_store = ModelStore(tmp_path)
    entry, other = model_store.backbone("a" * 64), model_store.backbone("b" * 64)
    for folder in (entry, other):
        (folder / ".weights.pth.abcdefgh.tmp").mkdir(parents=True)
    with model_store.locked(entry, "one"):
        assert not list(entry.glob(".*.tmp"))
    assert list(other.glob(".*.tmp")), "somebody may be writing there"


def test_a_work_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with work_dir_locked(tmp_path / "none", "pipeline fit"):
        pass
    assert not (tmp_path / "none").exists()


def test_a_copy_of_the_process_holds_nothing(tmp_path: Path) -> None:
    """Workers that outlive a killed command for a moment do not keep its lock."""
    held_by_child, go_on = tmp_path / "pid", tmp_path / "go"
    child = os.fork()
    if child == 0:
        with work_dir_locked(tmp_path, "what is killed"):
            if os.fork() == 0:
                while not go_on.exists():
                    time.sleep(0.01)
                os._exit(0)
            held_by_child.write_text("forked")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert held_by_child.exists()
    started = time.monotonic()
    with work_dir_locked(tmp_path, "the next"):
        go_on.write_text("")
    assert time.monotonic() - started < 2
