"""Locks: one command at a time in a work directory or at an entry of the model store.

A lock is the kernel's (``flock``), so a command that dies, however hard, holds nothing
any more. ``<...>.lock`` is the locked file, ``<...>.holder.json`` says who has it; what a
dead command left there is ignored.

Order: a command holds one work directory at a time, and within it one entry of the model store
at a time. So no two can wait for each other.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from zskel.data.common.files import remove_left_behind
from zskel.data.common.os_errors import naming
from zskel.pipeline.base.progress import say
from zskel.pipeline.base.workdir import WorkDir

#: The file system has no locks, or this user may not write here at all. 524 is ENOTSUPP,
#: from the kernel's own file systems and without a name.
_CANNOT_LOCK = {524, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK,
                errno.EINVAL, errno.EROFS, errno.EACCES, errno.EPERM}
_PATIENCE = 1.0  # seconds in which a command that has got a lock says who it is

_told: set[tuple[int, int]] = set()


@contextmanager
def work_dir_locked(
    root: Path, command: str, make: bool = False, also: Sequence[Path] = ()
) -> Iterator[None]:
    """Keeps a work directory to one command that writes there; others wait and say for whom.

    A command that runs inside another, in the same thread, shares its lock. What killed
    commands have left half-written is removed.

    Args:
        root: The work directory.
        command: What is done there, for those who wait.
        make: Whether to make it if it is not there; otherwise there is nothing to lock.
        also: Folders besides ``WorkDir.parts`` in which only such commands write.

    Raises:
        OSError: It cannot be made.
    """
    root = Path(root)
    if make:
        root.mkdir(parents=True, exist_ok=True)
    if not root.is_dir():
        yield
        return

    def clean() -> int:
        # Not all of it: people and other commands keep files of their own in here.
        return remove_left_behind(root, deep=False) + sum(
            remove_left_behind(folder) for folder in (*WorkDir(root).parts, *also))

    with held(root / ".work", f"{command} in {root}", clean):
        yield


@contextmanager
def held(prefix: Path, work: str, clean: Callable[[], int] = lambda: 0) -> Iterator[None]:
    """Holds the lock ``<prefix>.lock``; others wait and say for whom.

    Where the file system cannot lock, a notice says so and the work is done all the same.

    Args:
        prefix: The lock's path without its ending, in a folder that is there.
        work: What is done, for those who wait.
        clean: Called once the lock is held; removes what killed commands left, and says
            how many they were.

    Raises:
        OSError: The disk is full, or too many files are open.
    """
    # One object a path and thread, which knows whether it is held. Not filelock's
    # substitute for flock: that one outlives a command that is killed.
    lock = FileLock(f"{prefix.parent.resolve() / prefix.name}.lock", fallback_to_soft=False,
                    is_singleton=True)
    if lock.is_locked or not _acquire(lock, prefix):
        yield
        return
    holder = _holder(prefix)
    try:
        removed = clean()
        if removed:
            say(f"removed {removed} unfinished file{'s' if removed > 1 else ''} that a stopped "
                f"command left in {_shown(prefix)}")
        # Not atomically: half of it is as good as none, and those who wait then know less.
        # That is no reason to stop, nor to leave a temporary file behind.
        with contextlib.suppress(OSError):
            holder.write_text(json.dumps({
                "work": work, "process": os.getpid(), "host": socket.gethostname(),
                "since": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            }), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def holder_of(prefix: Path) -> str | None:
    """The command that holds a lock, in words; None if no living one says that it does."""
    try:
        content = json.loads(_holder(prefix).read_text(encoding="utf-8"))
        words = (f"{content['work']} (process {content['process']} on {content['host']}, "
                 f"since {content['since']})")
        alone = content["host"] == socket.gethostname() and not _alive(int(content["process"]))
        return None if alone else words
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _acquire(lock: FileLock, prefix: Path) -> bool:
    """Waits until the lock is free; False where there can be none."""
    try:
        with naming(f"{prefix}.lock"):
            _wait(lock, prefix)
        return True
    except (OSError, NotImplementedError) as error:
        number = getattr(error, "errno", None) or errno.ENOSYS
        if number not in _CANNOT_LOCK:
            raise
        once = prefix.parent.stat().st_dev, number
        if once not in _told:
            _told.add(once)
            say(f"{prefix.parent}: cannot be locked ({getattr(error, 'strerror', None) or error}); "
                "let no other command write there at the same time")
        return False


def _wait(lock: FileLock, prefix: Path) -> None:
    told, started, timeout = None, time.monotonic(), 0.0
    while True:
        try:
            lock.acquire(timeout=timeout, poll_interval=0.05)
            return
        except Timeout:
            timeout = 0.2
        who = holder_of(prefix)
        if who is None and (told is not None or time.monotonic() < started + _PATIENCE):
            continue  # it has just got the lock and will say in a moment who it is
        who = who or f"one at {_shown(prefix)}"
        if who != told:
            say(f"waiting for another command: {who}")
            told = who


def _shown(prefix: Path) -> Path:
    return prefix.parent if prefix.name.startswith(".") else prefix


def _holder(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.holder.json")


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's
    return True
