"""``pipeline search``: hyper-parameters, chosen on the calibration phase."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zskel.data.common.errors import PipelineError
from zskel.data.common.files import write_json
from zskel.data.common.outside import trust
from zskel.data.common.processes import end_with_parent, without_signals
from zskel.pipeline.base.config import Experiment, NamedConfig, load_method
from zskel.pipeline.base.progress import quiet, say
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.search.job import (
    SearchJob,
    check_validation,
    read_validation,
    search_folder,
    with_method,
)
from zskel.pipeline.search.outcome import write_outcome
from zskel.pipeline.search.space import INDEPENDENT, load_space
from zskel.pipeline.search.storage import shown
from zskel.pipeline.search.worker import work
from zskel.zsl.methods import METHODS


def plan_search(
    experiment: Experiment, space: str = "paper", *, trials: int | None = None,
    storage: str | None = None, method: str | NamedConfig | None = None, seed: int = 0,
    work_dir: str | Path | None = None,
) -> SearchJob:
    """A search, checked and not begun.

    Args:
        experiment: From ``load_experiment``.
        space: A config of ``configs/_base_/search``, or a path to one.
        trials: Of the last step, instead of as many as it says.
        storage: URL; default: a database in the search's own folder.
        method: A config of ``configs/_base_/methods`` instead of the experiment's method; a
            ``NamedConfig`` has options that override those of the config.
        seed: Of the samplers.
        work_dir: Default ``work_dirs/<experiment>``.

    Raises:
        BadConfig: A name, a key or a value is unknown or impossible.
    """
    space_name, config = load_space(space)
    given = NamedConfig(name=method) if isinstance(method, str) else method
    if given is not None:
        config_of = load_method(given.name, experiment.dataset.name)
        experiment = with_method(experiment, config_of.model_copy(
            update={"options": {**config_of.options, **given.options}}))
    place = WorkDir.of(experiment.name, work_dir)
    name = "-".join(filter(None, [space_name, METHODS.called(given.name) if given else None,
                                  f"seed{seed}" if seed else None]))
    job = SearchJob(
        experiment, space_name, config.with_trials(trials), place,
        storage or f"sqlite:///{search_folder(place, name) / 'trials.db'}", name, seed)
    job.check()
    return job


def search(
    job: SearchJob, workers: int = 1, json_file: str | Path | None = None
) -> dict[str, Any]:
    """Searches until every slot of every step is finished, and writes what came of it.

    Finished trials are kept: the same call goes on where a stopped one was, and the same
    call elsewhere with the same storage shares the work.

    Args:
        job: From :func:`plan_search`.
        workers: Processes; this one is one of them.
        json_file: Gets what is returned.

    Returns:
        The content of ``trials.json``.

    Raises:
        BadCache: A cache is not what the config asks for, or breaks its contract.
        BadInput: Caches are missing or unfit, or the search was begun with others.
        PipelineError: The storage does not answer any more.
    """
    from optuna.exceptions import StorageInternalError

    validation, digests = read_validation(job)
    check_validation(job, validation)
    describe(job, workers)
    try:
        with _helpers(job, workers - 1) as look_after_them:
            results = work(job, validation, digests, look_after_them)
    except StorageInternalError as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise PipelineError(f"{shown(job.storage)}: {reason}") from None
    content, page = write_outcome(job, results, digests)
    if json_file is not None:
        write_json(json_file, content)
    say(f"best {job.config.objective}: {content['best']['value']:.1%} on the calibration phase -> "
        f"{page}")
    say(f"now: pipeline fit {job.folder / 'best.py'} --work-dir {job.work.root}; its results take "
        f"the place of the experiment's own by {job.method_name}: to keep both, copy "
        f"{job.work.text.parent} to another --work-dir and name that")
    return content


def describe(job: SearchJob, workers: int = 1) -> None:
    """Says what a search will do."""
    config = job.config
    say(f"search {job.name} of {job.experiment.name}: {job.method_name}, maximizing "
        f"{config.objective} on the calibration phase (the test phase is not opened)")
    for at, step in enumerate(config.steps, start=1):
        searched = "; ".join(f"{name} {each.described()}" for name, each in step.space.items())
        notes = [f"{step.slots} trials", step.sampler]
        notes += [f"{step.seeds} seeds each"] if step.seeds > 1 else []
        notes += [f"pruner {step.pruner}"] if step.pruner != "none" else []
        say(f"  step {at} ({step.name}): {', '.join(notes)}: {searched}")
        for word, values in (("fixed", step.fixed), ("tied", step.ties)):
            if values:
                say(f"    {word}: " + ", ".join(f"{k}={v}" for k, v in values.items()))
    say(f"  storage {shown(job.storage)}, {workers} worker(s)")
    if workers > 1 and any(step.sampler not in INDEPENDENT or step.pruner != "none"
                           for step in config.steps):
        say("  note: with this sampler or pruner the outcome depends on how workers take turns")


@contextmanager
def _helpers(job: SearchJob, count: int) -> Iterator[Callable[[], None]]:
    """Processes that work on the search beside this one, and are killed when it is done.

    Yields:
        A function that says which of them have died since it was called last.
    """
    # Not forked: torch and the storage's connections do not survive that.
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_help, args=(job,), daemon=True) for _ in range(count)]
    told: set[int | None] = set()

    def look_after_them() -> None:
        for process in processes:
            if process.exitcode and process.pid not in told:
                told.add(process.pid)
                say(f"worker {process.pid} has died (exit code {process.exitcode}); the others "
                    "do its trials")

    try:
        with without_signals():
            for process in processes:
                process.start()
        yield look_after_them
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()


def _help(job: SearchJob) -> None:
    """The whole life of a process that helps."""
    end_with_parent()
    quiet()
    trust(job.method_name, job.experiment.fit.gate.name)  # as the command's user did
    try:
        work(job, *read_validation(job))
    except (PipelineError, OSError) as error:
        sys.exit(str(error))
