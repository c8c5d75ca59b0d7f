"""Jobs through submitit: on a cluster with SLURM, or in processes of this machine."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from zskel.data.common.errors import BadConfig, BadInput, PipelineError
from zskel.pipeline.base.jobs import ENDS, Execution, JobEvent, MakeRunner, lazily, run_job
from zskel.pipeline.base.locks import held
from zskel.pipeline.base.progress import say

LOCAL = "local"
#: Seconds between two looks at what the jobs have written.
POLL_SECONDS = {LOCAL: 0.2, "slurm": 5.0}
#: What submitit would make five minutes.
_DEFAULTS = {"name": "zskel-fit", "timeout_min": 240, "cpus_per_task": 1}


class Named(Protocol):
    """A job that can be told from others, here and on other machines."""

    @property
    def name(self) -> str:
        """For file names."""


def run_with_submitit(
    make: MakeRunner, jobs: Sequence[Named], folder: Path, execution: Execution
) -> Generator[JobEvent, None, None]:
    """Does jobs through an executor of submitit, each task of which takes a few.

    Two processes are never at the same job: what an earlier command has left running on
    the cluster is waited for. When this one ends early its tasks are cancelled; when it
    is killed, those on this machine end with it and a cluster's go on.

    Args:
        make: Makes what does a job.
        jobs: Picklable.
        folder: For submitit's files and logs; removed when no job has failed.
        execution: How.

    Raises:
        BadInput: submitit is missing, or does not know an option.
        PipelineError: The cluster takes no jobs.
    """
    folder = folder.resolve()
    own = folder / secrets.token_hex(4)
    executor = _executor(own, execution)
    here = execution.executor == LOCAL
    # On this machine a task has no end to its time, and each costs a start.
    most = len(jobs) if here else execution.per_task
    count = max(-(-len(jobs) // max(most, 1)), min(execution.jobs, len(jobs)))
    claims = own / "claims"
    claims.mkdir(parents=True, exist_ok=True)
    tasks = [_Task(make, own / f"{number}.jsonl", folder, claims, list(enumerate(jobs)), most,
                   _parent_of(execution)) for number in range(count)]
    failed, left = False, set(range(len(jobs)))
    say(f"{len(jobs)} jobs in {count} task(s); logs in {own}")
    running = _submit(executor, tasks)
    try:
        while running:
            for each in list(running):
                over = each.job.done()
                for event in each.new_events(over):
                    failed = failed or event.kind == "failed"
                    left -= {event.job} if event.kind in ENDS else set()
                    yield event
                if over:
                    running.remove(each)
            time.sleep(POLL_SECONDS[str(execution.executor)] if running else 0)
        for number in sorted(left):
            failed = True
            yield JobEvent(number, "failed", f"the tasks were ended before; see {own}")
    finally:
        for each in running:
            _cancel(each.job, execution)
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Task:
    """Takes one job after the other that no other task has taken; its events go into a file."""

    make: MakeRunner
    log: Path
    locks: Path
    claims: Path
    jobs: list[tuple[int, Named]]
    most: int
    parent: tuple[int, float] | None

    def __call__(self) -> None:
        if self.parent is not None:
            threading.Thread(target=_exit_with, args=self.parent, daemon=True).start()
        work = lazily(self.make)

        def locked(job: Named) -> None:
            with held(self.locks / job.name, f"fit {job.name}"):
                work(job)

        mine = ((number, job) for number, job in self.jobs if self._takes(number))
        with open(self.log, "a", encoding="utf-8", buffering=1) as file:
            for number, job in islice(mine, self.most):
                run_job(locked, number, job,
                        lambda event: file.write(json.dumps(astuple(event)) + "\n"))

    def has(self, number: int) -> bool:
        """Whether this task has taken a job."""
        with suppress(FileNotFoundError):
            return (self.claims / str(number)).read_text() == self.log.name
        return False

    def _takes(self, number: int) -> bool:
        try:
            with open(self.claims / str(number), "x") as file:
                file.write(self.log.name)
        except FileExistsError:
            return self.has(number)  # before it was queued again
        return True

    def checkpoint(self) -> Any:
        """What submitit queues again where a task is stopped or out of time: all of it;
        what it has done is passed over."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _Running:
    """A task that the executor has, and its events so far."""

    def __init__(self, job: Any, task: _Task) -> None:
        self.job, self._task, self._read = job, task, 0
        self._ended: set[int] = set()

    def new_events(self, over: bool) -> list[JobEvent]:
        """What is new; jobs of a task that is over and did not end have failed."""
        found = []
        # Opened anew each time: a network's file system then looks for what is new.
        with suppress(FileNotFoundError), open(self._task.log, "rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
            self._read += len(whole + newline)
            found = [JobEvent(*json.loads(line)) for line in whole.splitlines()]
        # A task that was queued again passes over what it has done before.
        found = [event for event in found if event.job not in self._ended]
        self._ended |= {event.job for event in found if event.kind in ENDS}
        if over:
            found += [JobEvent(number, "failed", f"its task {self.job.job_id} was ended "
                            f"({self.job.state.lower()}); see {self.job.paths.stderr}")
                      for number, _ in self._task.jobs
                      if number not in self._ended and self._task.has(number)]
        return found


def _executor(folder: Path, execution: Execution) -> Any:
    try:
        import submitit
    except ImportError:
        raise BadInput("--executor needs submitit: pip install 'zero-shot-skeleton[cluster]'"
                       ) from None
    folder.mkdir(parents=True, exist_ok=True)
    array = {} if execution.jobs == 1 else {"slurm_array_parallelism": execution.jobs}
    try:
        executor = submitit.AutoExecutor(folder, cluster=execution.executor)
        executor.update_parameters(**{**_DEFAULTS, **array, **execution.options})
    except (NameError, ValueError, AssertionError, RuntimeError) as error:
        line = " ".join(str(error).split())
        raise BadConfig(f"--executor {execution.executor}: {line}") from None
    return executor


def _submit(executor: Any, tasks: Sequence[_Task]) -> list[_Running]:
    import submitit

    if not tasks:
        return []
    try:
        with executor.batch():
            submitted = [executor.submit(task) for task in tasks]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError,
            OSError) as error:
        raise PipelineError(f"cannot submit: {' '.join(str(error).split())}") from None
    if executor.cluster != LOCAL:
        say(f"submitted {len(tasks)} task(s), {submitted[0].job_id} to {submitted[-1].job_id}")
    return [_Running(job, task) for job, task in zip(submitted, tasks)]


def _cancel(job: Any, execution: Execution) -> None:
    import psutil

    if execution.executor != LOCAL:
        job.cancel(check=False)
        return
    # Those that it has started, too, and without giving it time for another one.
    with suppress(psutil.Error):
        own = psutil.Process(int(job.job_id))
        for process in [own, *own.children(recursive=True)]:
            with suppress(psutil.Error):
                process.kill()


def _parent_of(execution: Execution) -> tuple[int, float] | None:
    """This process, where its tasks end with it."""
    import psutil

    if execution.executor != LOCAL:
        return None
    return os.getpid(), psutil.Process().create_time()


def _exit_with(pid: int, started: float) -> None:
    """Ends this process when another one of this machine is gone."""
    import psutil

    with suppress(psutil.Error):
        process = psutil.Process(pid)
        while process.create_time() == started and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.5)
            process = psutil.Process(pid)
    os._exit(1)
