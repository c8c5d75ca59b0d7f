"""Several workers on this machine, each a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from typing import Any

from zskel.data.common.errors import PipelineError
from zskel.pipeline.base.progress import say
from zskel.pipeline.search.job import SearchJob

#: So many workers may die one after the other before something must be wrong.
_DEATHS = 20
#: Exit code of a worker that has said why.
_FAILED = 3


class Workers:
    """Starts workers and keeps them going.

    A worker that dies is replaced: what it worked on is taken over.

    Args:
        job: What they work on.
        count: How many.
    """

    def __init__(self, job: SearchJob, count: int) -> None:
        self._job, self._deaths = job, 0
        # Not forked: torch and the storage's connections do not survive that.
        self._context = multiprocessing.get_context("spawn")
        self._failures = self._context.SimpleQueue()
        self._processes = [self._start() for _ in range(count)]

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(20)
            if process.is_alive():
                process.kill()
                process.join()

    def check(self) -> None:
        """Replaces workers that have died.

        Raises:
            PipelineError: One has failed with an error of ours, or too many have died.
        """
        for at, process in enumerate(self._processes):
            if process.exitcode in (None, 0):
                continue
            if process.exitcode == _FAILED and not self._failures.empty():
                error = PipelineError(self._failures.get())
                error.exit_code = 2
                raise error
            self._deaths += 1
            if self._deaths > _DEATHS:
                raise PipelineError(f"{self._deaths} workers of the search have died, the last "
                                    f"with exit code {process.exitcode}; is there too little "
                                    "memory for as many --workers?")
            say(f"worker {process.pid} has died (exit code {process.exitcode}); another one "
                "goes on")
            self._processes[at] = self._start()

    @property
    def pids(self) -> list[int]:
        """Of the workers that live."""
        return [process.pid for process in self._processes
                if process.pid is not None and process.is_alive()]

    def _start(self) -> BaseProcess:
        process = self._context.Process(
            target=_run, args=(self._job, self._failures, os.getpid()), daemon=True)
        # Ctrl-C reaches all processes of a terminal: this one takes it, and ends the others.
        with _deaf_to_interrupts():
            process.start()
        return process


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """What is started inside ignores SIGINT from its first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _run(job: SearchJob, failures: Any, parent: int) -> None:
    """A worker's whole life."""
    from zskel.pipeline.base.progress import quiet
    from zskel.pipeline.base.signals import terminate_like_an_interrupt
    from zskel.pipeline.search.worker import work

    quiet()
    terminate_like_an_interrupt()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        work(job, lambda at, found: None)
    except KeyboardInterrupt:
        sys.exit(130)
    except (PipelineError, OSError) as error:
        failures.put(str(error))
        sys.exit(_FAILED)


def _end_with(parent: int) -> None:
    """Ends this process when the command that has started it is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    with suppress(ProcessLookupError):
        os.kill(os.getpid(), signal.SIGTERM)


def watching(workers: Workers, tell: Callable[..., None]) -> Callable[..., None]:
    """``tell`` that looks after the workers first."""
    def look(*arguments: Any) -> None:
        workers.check()
        tell(*arguments)

    return look
