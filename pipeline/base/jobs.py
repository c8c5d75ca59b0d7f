"""Jobs that need nothing of each other: in processes of this machine, shown as one."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from zskel.data.common.errors import PipelineError, interrupt_behind
from zskel.data.common.memory import peak_memory
from zskel.data.common.os_errors import described, refusal
from zskel.data.common.outside import error_in_outside_code
from zskel.data.common.processes import end_with_parent, without_signals
from zskel.pipeline.base.progress import bar, report_to, say, tell_warning

Runner = Callable[[Any], None]
"""Does one job. What comes of it is in files."""
MakeRunner = Callable[[], Runner]
"""Importable. Called once in each process, so that what all jobs read is read once there."""


@dataclass(frozen=True)
class Execution:
    """Where jobs are done.

    Attributes:
        jobs: How many at once; one: in this process, one after the other.
        executor: Of submitit, "local" or "slurm"; None: processes of this one.
        per_task: Jobs that a task of a cluster does at most.
        options: Of the executor, for ``submitit.AutoExecutor.update_parameters``.
    """

    jobs: int = 1
    executor: str | None = None
    per_task: int = 4
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def serial(self) -> bool:
        """Whether there is no process but this one."""
        return self.jobs == 1 and self.executor is None


#: One after the other.
SERIAL = Execution()


#: Kinds of events after which there is none of a job.
ENDS = ("done", "failed")


@dataclass(frozen=True)
class JobEvent:
    """What a process tells about a job.

    Attributes:
        job: Its number.
        kind: "began", "progress", "message", "warning", "done" or "failed".
        content: (done, total), a text, the most bytes of memory that its process has had
            or None, or why it failed.
    """

    job: int
    kind: str
    content: Any = None


def run_job(work: Runner, number: int, job: Any, emit: Callable[[JobEvent], Any]) -> None:
    """Does a job in a process whose words another one shows."""
    report_to(lambda kind, content: emit(JobEvent(number, kind, content)))
    emit(JobEvent(number, "began"))
    try:
        work(job)
    except Exception as error:
        if interrupt_behind(error):
            raise
        emit(JobEvent(number, "failed", describe_error(error)))
    else:
        emit(JobEvent(number, "done", peak_memory()))


def describe_error(error: Exception) -> str:
    """What went wrong, in one line; a mistake of ours is shown with its traceback, too."""
    refused = error if isinstance(error, OSError) else refusal(error)
    if refused is not None:
        return described(refused)
    line = " ".join(str(error).split())
    if isinstance(error, PipelineError):
        return line
    outside = error_in_outside_code(error)
    if outside is not None:
        return outside
    say("".join(traceback.format_exception(error)).rstrip())
    return f"{type(error).__name__}: {line}"


class Attempt:
    """Notes an error at the jobs that it concerns, and lets the others go on.

    Args:
        jobs: Anything with an ``experiment`` and an ``error`` to be set.
    """

    def __init__(self, jobs: Sequence[Any]) -> None:
        self._jobs = jobs

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if not isinstance(error, Exception) or interrupt_behind(error):
            return False  # done, or an interrupt
        line = describe_error(error)
        for job in self._jobs:
            job.error = line
        say(f"failed: {', '.join(job.experiment.name for job in self._jobs)}: {line}")
        return True


def run_in_processes(
    make: MakeRunner, jobs: Sequence[Any], count: int
) -> Generator[JobEvent, None, None]:
    """Does jobs in processes of this machine, each of which does one after the other.

    A pool of a library's ends with any of its processes; these have a pipe of their own
    each, so that one that is killed takes nothing along but its own job. The signals that
    end a command are this process's, as in ``zskel.data.common.processes.in_processes``.

    Args:
        make: Makes what does a job.
        jobs: Picklable.
        count: How many processes.
    """
    waiting = deque(enumerate(jobs))
    workers: list[_Worker] = []
    try:
        while len(workers) < count and waiting:
            workers.append(_Worker(make, *waiting.popleft()))
        while workers:
            ready = multiprocessing.connection.wait([each.channel for each in workers])
            for process in [each for each in workers if each.channel in ready]:
                event = process.receive()
                yield event
                if event.kind not in ENDS:
                    continue
                if not process.alive:
                    workers.remove(process)
                    if waiting:
                        workers.append(_Worker(make, *waiting.popleft()))
                elif waiting:
                    process.assign(*waiting.popleft())
                else:
                    workers.remove(process)
                    process.end()
    finally:
        for process in workers:
            process.end()


class _Worker:
    """A process and the job that it is at."""

    def __init__(self, make: MakeRunner, number: int, job: Any) -> None:
        # Not forked: torch does not survive that.
        context = multiprocessing.get_context("spawn")
        self.channel, other = context.Pipe()
        self._process = context.Process(target=_worker_main, args=(make, other), daemon=True)
        with without_signals():
            self._process.start()
        other.close()  # so that its end shows here
        self.alive = True
        self.assign(number, job)

    def assign(self, number: int, job: Any) -> None:
        self._number = number
        with suppress(OSError):  # it is gone, which the next look shows
            self.channel.send((number, job))

    def receive(self) -> JobEvent:
        try:
            return self.channel.recv()
        except (EOFError, OSError):
            self.end()
            code = self._process.exitcode or 0
            how = f"was killed (signal {-code})" if code < 0 else f"has ended (exit code {code})"
            return JobEvent(self._number, "failed", f"its process {how}, "
                         "perhaps for want of memory; with fewer --jobs there is more for each")

    def end(self) -> None:
        self.alive = False
        self._process.kill()
        self._process.join()
        self.channel.close()


def _worker_main(make: MakeRunner, channel: Any) -> None:
    """The whole life of a process."""
    end_with_parent()
    with suppress(EOFError):
        work = lazily(make)
        while True:
            number, job = channel.recv()
            run_job(work, number, job, channel.send)


def lazily(make: MakeRunner) -> Runner:
    """Makes what does jobs with the first of them, whose failure it is if that fails."""
    made = cache(make)
    return lambda job: made()(job)


def show_progress(
    events: Generator[JobEvent, None, None], names: Sequence[str], what: str
) -> dict[int, str]:
    """Shows the events of jobs until all have ended, in one display.

    Args:
        events: Of the jobs, as they come.
        names: Of the jobs, for people.
        what: Is done, for the display.

    Returns:
        By number why jobs have failed.
    """
    failed: dict[int, str] = {}
    running: dict[int, float] = {}
    ended, memory = 0, 0
    with closing(events), bar(what) as tell:
        for event in events:
            if event.kind == "message":
                say(event.content)
            elif event.kind == "warning":
                tell_warning(event.content)
            elif event.kind in ("began", "progress"):
                steps, total = event.content or (0, 1)
                running[event.job] = steps / max(total, 1)
            else:
                ended += 1
                running.pop(event.job, None)
                if event.kind == "failed":
                    failed[event.job] = event.content
                    say(f"failed: {names[event.job]}: {event.content}")
                else:
                    memory = max(memory, event.content or 0)
            # How long all take, nobody knows before the first has ended.
            done = ended + sum(running.values()) if ended else 0
            tell(done, len(names), _notes(running, names))
    if memory:
        say(f"each process had up to {memory / 1e9:.1f} GB of memory")
    return failed


def _notes(running: Mapping[int, float], names: Sequence[str]) -> str:
    """The jobs that are under way.

    >>> _notes({0: 0.25, 2: 0.5}, ["a, seed 0", "b, seed 0", "a, seed 1"])
    'a, seed 0 (25 %); a, seed 1 (50 %)'
    """
    shown = [f"{names[job]} ({100 * share:.0f} %)" for job, share in sorted(running.items())]
    return "; ".join([*shown[:4], *([f"{len(shown) - 4} more"] if len(shown) > 4 else [])])


def failure_summary(failed: Iterable[tuple[str, str]], total: int, what: str) -> str:
    """What failed, and that the same command tries it again.

    >>> failure_summary([("ridge, seed 1", "its process was killed")], 4, "fits")
    '1 of 4 fits failed (the same command tries them again): ridge, seed 1: its process was killed'
    """
    lines = [f"{name}: {why}" for name, why in failed]
    return (f"{len(lines)} of {total} {what} failed (the same command tries them again): "
            + "; ".join(lines))
