"""Processes that parse end with the command, however it ends, and never keep it waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zskel.data.common.errors import PipelineError
from zskel.data.common.processes import in_processes

ROOT = Path(__file__).resolve().parents[2]

#: Starts two processes that say who they are and then have much to do.
PARENT = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import busy
from zskel.data.common.processes import in_processes
from zskel.pipeline.base.signals import terminate_like_an_interrupt

if __name__ == "__main__":
    terminate_like_an_interrupt()
    try:
        for _ in in_processes(busy.work, [(sys.argv[1],)] * 6, 2):
            pass
    except KeyboardInterrupt as interrupt:
        print(type(interrupt).__name__)
"""
BUSY = """
import os, time
from pathlib import Path

def work(folder):
    Path(folder, f"{os.getpid()}.pid").write_text("")
    time.sleep(120)
"""


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    try:  # a zombie waits for an init that does not come
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return Path("/proc/self").exists() is False


@pytest.fixture
def started(
    tmp_path: Path, wait_for: Callable[..., None]
) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A parent in a group of its own, and its two processes at work."""
    (tmp_path / "busy.py").write_text(BUSY)
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), str(tmp_path)], start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"})
    wait_for(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    processes = [int(path.stem) for path in tmp_path.glob("*.pid")]
    yield parent, processes
    for process in (parent.pid, *processes):
        if alive(process):
            os.kill(process, signal.SIGKILL)
    parent.communicate()


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals as Unix has them")
@pytest.mark.parametrize(("number", "to_all", "said"), [
    (signal.SIGTERM, False, "Terminated\n"),
    (signal.SIGTERM, True, "Terminated\n"),     # a scheduler tells all of them
    (signal.SIGINT, True, "KeyboardInterrupt\n"),  # so does a terminal
    (signal.SIGHUP, True, "HungUp\n"),
    (signal.SIGKILL, False, ""),
])
def test_no_process_stays(
    started: tuple[subprocess.Popen[str], list[int]], wait_for: Callable[..., None],
    number: signal.Signals, to_all: bool, said: str,
) -> None:
    parent, processes = started
    began = time.monotonic()
    (os.killpg if to_all else os.kill)(parent.pid, number)
    wait_for(lambda: not any(map(alive, processes)), 30)
    out, err = parent.communicate(timeout=30)
    assert time.monotonic() - began < 30, "it has waited for its processes"
    assert out == said and "Traceback" not in err
    # Of a killed parent, Python's own bookkeeper says what it has tidied up.
    assert err == "" or number == signal.SIGKILL


def test_results_come_with_the_number_of_their_call() -> None:
    calls = [(base, 2) for base in range(5)]
    assert dict(in_processes(pow, calls, 2)) == {n: n * n for n in range(5)}


def test_this_process_does_something_else_meanwhile() -> None:
    done: list[int] = []
    assert dict(in_processes(pow, [(2, 3)], 1, lambda: done.append(os.getpid()))) == {0: 8}
    assert done == [os.getpid()]


def test_an_error_is_that_of_the_call() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_processes(divmod, [(1, 1), (1, 0)], 2))


def test_a_process_that_is_killed_is_one_clear_line() -> None:
    why = r"was killed, probably for want of memory; .*--workers 1"
    with pytest.raises(PipelineError, match=why):
        list(in_processes(signal.raise_signal, [(signal.SIGKILL,)], 2))


def test_ending_early_does_not_wait(wait_for: Callable[..., None]) -> None:
    began = time.monotonic()
    results: Any = in_processes(time.sleep, [(0,), (100,), (100,)], 2)
    next(results)
    results.close()
    assert time.monotonic() - began < 50
