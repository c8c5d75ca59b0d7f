"""A disk that is full, read-only or gone: one line says so, and the next run goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from undisturbed import assert_same_files, assert_whole_or_absent, files

pytestmark = pytest.mark.slow

EXTRACTED = ("store", "backbones", "features")


def assert_one_line(ended: Any, reason: str, advice: str, where: Path) -> None:
    """The last line names a file, says what happened to it and what to do; no traceback."""
    assert ended.code == 1, (ended.code, ended.err)
    last = ended.err.splitlines()[-1]
    assert last.startswith(f"error: {where}"), ended.err
    assert f": {reason}; {advice}" in last, last
    for noise in ("Traceback", "Error:", "Exception", "rror in"):
        assert noise not in ended.err, ended.err


def assert_full(ended: Any, where: Path) -> None:
    assert_one_line(ended, "No space left on device", "make room", where)


def same_times(argv: tuple[Any, ...], work: Path, undisturbed: Path) -> None:
    """Results hold the digests of caches, reports times of results: when those were made."""
    for part in {"fit": ["features"], "report": ["results"]}.get(argv[0], []):
        shutil.copytree(undisturbed / part, work / part, dirs_exist_ok=True)


class Disk:
    """A file system of its own, as small as one likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._mount(f"size={os.sysconf('SC_PAGE_SIZE')}")

    def leave(self, free: int) -> None:
        """Makes room, or takes it away, until so many bytes are free."""
        usage = os.statvfs(self.folder)
        used = (usage.f_blocks - usage.f_bfree) * usage.f_frsize
        self._mount(f"remount,size={used + free}")

    def read_only(self) -> None:
        self._mount("remount,ro")

    def gone(self) -> None:
        subprocess.run(["umount", "-l", self.folder], check=False, capture_output=True)

    def _mount(self, options: str) -> None:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a small disk needs the right to mount one: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if shutil.which("mount") is None:
        pytest.skip("a small disk needs the command mount")
    made = Disk(tmp_path / "disk")
    yield made
    made.gone()


def test_a_small_disk_that_grows(
    disk: Disk, tiny_work: Path, tiny_config: Path, tiny_raw: Path, commands: Any
) -> None:
    """Each run gets a little further; the end is that of a disk with room."""
    work = disk.folder / "work"
    steps = (
        (("extract", tiny_config, "--raw", tiny_raw), EXTRACTED, 100_000, 3),
        (("fit", tiny_config), ("results", "models"), 60_000, 2),
        (("report",), ("report",), 200_000, 2),
    )
    for argv, made, room, least in steps:
        disk.leave(4 << 20)
        same_times(argv, work, tiny_work)
        disk.leave(4096)
        failures = 0
        while (ended := commands.run(*argv, "--work-dir", work)).code != 0:
            assert_full(ended, disk.folder)
            assert not list(work.rglob("*.tmp")), "what was half-written takes up the room"
            assert_whole_or_absent(work, tiny_work, made)
            failures += 1
            disk.leave(room * failures)
            assert failures < 30, "no progress from step to step"
        assert failures >= least, f"{argv[0]} was hardly disturbed: {failures}"
        assert_same_files(work, tiny_work, made)


def test_a_read_only_disk(
    disk: Disk, tiny_work: Path, tiny_config: Path, commands: Any
) -> None:
    disk.leave(8 << 20)
    work = disk.folder / "work"
    for part in ("features", "results", "models"):
        shutil.copytree(tiny_work / part, work / part)
    disk.read_only()
    ended = commands.run("fit", tiny_config, "--work-dir", work)  # nothing is to be done
    assert ended.code == 0, ended.err
    assert ended.err.count("cannot be locked (Read-only file system)") == 1
    for argv in (("fit", tiny_config, "--seeds", "3"), ("report",)):
        assert_one_line(commands.run(*argv, "--work-dir", work), "Read-only file system",
                        "choose a folder that can be written to", disk.folder)


def test_a_folder_that_is_a_file(
    tiny_config: Path, tiny_raw: Path, tiny_work: Path, commands: Any, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for argv in (("extract", tiny_config, "--raw", tiny_raw, "--work-dir", file / "work"),
                 ("report", "--work-dir", tiny_work, "--out", file / "report")):
        assert_one_line(commands.run(*argv), "Not a directory", "a file lies where", file)


@pytest.mark.parametrize("trouble", ["full_after", "file_size", "open_files"])
def test_simulated_troubles(
    trouble: str, tiny_work: Path, tiny_config: Path, tiny_raw: Path, commands: Any,
    copy_of: Callable[..., Path], tmp_path: Path,
) -> None:
    """Without the right to mount: each is lifted a little after each run.

    A limit on the size of files makes every write fail, whoever writes and in whatever
    language; full after n durable writes is a disk that is full as they become durable.
    """
    reason, advice, values = {
        "full_after": ("No space left on device", "make room", (0, 4, 4)),
        "file_size": ("File too large", "raise the limit on file sizes", (
            4_000, 20_000, 100_000)),
        "open_files": ("Too many open files", "raise the limit", (1, 4, 7)),
    }[trouble]
    if trouble == "open_files" and not Path("/proc/self/fd").is_dir():
        pytest.skip("counts the open files in /proc")
    work, failures = tmp_path / "copy", 0
    for argv, made in ((("extract", tiny_config, "--raw", tiny_raw), EXTRACTED),
                       (("fit", tiny_config), ("results", "models")),
                       (("report",), ("report",))):
        same_times(argv, work, tiny_work)
        for value in values:
            ended = commands.run(*argv, "--work-dir", work, **{trouble: value})
            if ended.code == 0:
                break
            assert_one_line(ended, reason, advice, Path("/"))
            assert_whole_or_absent(work, tiny_work, made)
            failures += 1
        else:
            ended = commands.run(*argv, "--work-dir", work)
        assert ended.code == 0, ended.err
        assert_same_files(work, tiny_work, made)
    assert failures >= 3


def test_a_log_on_a_full_disk_is_named(tiny_work: Path, commands: Any, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("x" * 5000)
    ended = commands.run("--json-log", log, "report", "--work-dir", tiny_work, "--out",
                         tmp_path / "report", file_size=5000)
    assert_one_line(ended, "File too large", "raise the limit", log)
    assert files(tmp_path, ["report"]) == {}
