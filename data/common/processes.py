"""Processes that help this one, and end with it, however it ends."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from zskel.data.common.errors import PipelineError
from zskel.data.common.interrupts import ENDING

T = TypeVar("T")


def in_processes(
    work: Callable[..., T], calls: Iterable[tuple[Any, ...]], processes: int,
    meanwhile: Callable[[], None] | None = None,
) -> Generator[tuple[int, T], None, None]:
    """Makes calls in processes of their own and yields what comes back, as it comes.

    The signals that end a command are this process's: the others get none of them,
    also where a terminal or scheduler sends them to all. They are killed when this one
    leaves early, and end by themselves when it is killed.

    Args:
        work: What to call; importable, its arguments and results picklable.
        calls: Arguments of each call.
        processes: How many at most.
        meanwhile: Called in this process once the others are at work.

    Yields:
        The call's number and its result.

    Raises:
        PipelineError: A process was killed, as happens where memory runs out.
        Exception: Whatever ``work`` raises.
    """
    others = set(multiprocessing.active_children())
    with without_signals():  # it starts a process that keeps the books
        # spawn: the parent may have threads (numba, BLAS), which fork does not survive.
        pool = ProcessPoolExecutor(
            processes, mp_context=multiprocessing.get_context("spawn"),
            initializer=end_with_parent)
    own: list[Any] = []
    try:
        with without_signals():
            futures = {pool.submit(work, *call): number for number, call in enumerate(calls)}
        own = [each for each in multiprocessing.active_children() if each not in others]
        if meanwhile is not None:
            meanwhile()
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise PipelineError(
            "a worker process was killed, probably for want of memory; run the same command "
            f"with fewer: --workers {max(processes // 2, 1)}") from None
    except BaseException:
        for process in own or set(multiprocessing.active_children()) - others:
            process.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def end_with_parent(*_: object) -> None:
    """Ends this process as soon as the one that started it is gone.

    The queue that it waits at would never tell: its other processes hold it open. Nor
    can PyTorch's own watch where the parent went before a loader began to watch.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def without_signals() -> Iterator[None]:
    """Processes that are started here never get the signals that end a command."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows has no such signals either
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
