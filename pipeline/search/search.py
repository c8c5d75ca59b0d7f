"""``pipeline search``: hyper-parameters, chosen on the calibration phase."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zskel.data.common.files import remove_left_behind, write_json, write_text
from zskel.pipeline.base.config import Experiment, load_method
from zskel.pipeline.base.locks import held
from zskel.pipeline.base.progress import bar, say
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.search.job import SearchJob, search_folder, search_name, with_method
from zskel.pipeline.search.space import INDEPENDENT, load_space
from zskel.pipeline.search.storage import default_storage, open_storage, shown

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from zskel.pipeline.search.slots import Standing


def plan_search(
    experiment: Experiment, space: str = "paper", *, trials: int | None = None,
    storage: str | None = None, method: str | None = None, batch: int = 1, seed: int = 0,
    work_dir: str | Path | None = None,
) -> SearchJob:
    """A search, checked and not begun.

    Args:
        experiment: From ``load_experiment``.
        space: A config of ``configs/_base_/search``, or a path to one.
        trials: Of the last step, instead of as many as it says.
        storage: URL; default: a database in the search's own folder.
        method: A config of ``configs/_base_/methods`` instead of the experiment's method.
        batch: How many trials of equal shape a worker trains as one stack.
        seed: Of the samplers.
        work_dir: Default ``work_dirs/<experiment>``.

    Raises:
        BadConfig: A name, a key or a value is unknown or impossible.
    """
    name, config = load_space(space)
    if method is not None:
        experiment = with_method(experiment, load_method(method, experiment.dataset.name))
    work = WorkDir.of(experiment.name, work_dir)
    called = search_name(name, method, seed)
    job = SearchJob(
        experiment=experiment, space=name, config=config.with_trials(trials), work=work,
        storage=storage or default_storage(search_folder(work, called)), name=called, seed=seed,
        batch=batch)
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
        workers: Processes; one works in this process.
        json_file: Gets what is returned.

    Returns:
        The content of ``trials.json``.

    Raises:
        BadInput: Caches are missing or unfit, or the search was begun with others.
        PipelineError: Workers die over and over.
    """
    from optuna.exceptions import StorageInternalError

    from zskel.data.common.errors import PipelineError

    describe(job, workers)
    storage = open_storage(job.storage)
    try:
        content = _run(job, storage, workers)
    except StorageInternalError as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise PipelineError(f"{shown(job.storage)}: {reason}") from None
    if json_file is not None:
        write_json(json_file, content)
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
        if step.fixed:
            say("    fixed: " + ", ".join(f"{k}={v}" for k, v in step.fixed.items()))
        if step.ties:
            say("    tied: " + ", ".join(f"{k}={v}" for k, v in step.ties.items()))
    say(f"  storage {shown(job.storage)}, {workers} worker(s), stacks of up to {job.batch} "
        "trial(s)")
    if workers > 1 and any(step.sampler not in INDEPENDENT or step.pruner != "none"
                           for step in config.steps):
        say("  note: with this sampler or pruner the outcome depends on how workers take turns")


def _run(job: SearchJob, storage: BaseStorage, workers: int) -> dict[str, Any]:
    from zskel.pipeline.search.caches import read_search_caches
    from zskel.pipeline.search.fan_out import Workers, watching
    from zskel.pipeline.search.worker import work

    finished: dict[int, Any] = {}
    with ExitStack() as stack:
        tell: Callable[..., None] = _Progress(job, stack, finished)
        if workers > 1:
            group = stack.enter_context(Workers(job, workers))
            tell = watching(group, tell)
        chosen = work(job, tell, storage=storage, only_watch=workers > 1)
    from zskel.pipeline.search.outcome import best_config, outcome, to_csv
    from zskel.pipeline.search.page import write_page

    digests = read_search_caches(
        job.work, job.method(dict(job.experiment.fit.method.options), 0)).digests
    content = outcome(job, [finished[at] for at in range(len(job.config.steps))], chosen, digests)
    with held(job.folder / ".outcome", f"the outcome of search {job.name}",
              lambda: remove_left_behind(job.folder)):
        write_json(job.folder / "trials.json", content)
        write_text(job.folder / "trials.csv", to_csv(content))
        write_text(job.folder / "best.py", best_config(job, chosen[-1]))
        page = write_page(content, job.folder)
    best = content["best"]
    say(f"best {job.config.objective}: {best['value']:.1%} on the calibration phase -> {page}")
    say(f"now: pipeline fit {job.folder / 'best.py'} --work-dir {job.work.root}")
    return content


class _Progress:
    """A bar for each step, with the best value so far."""

    def __init__(self, job: SearchJob, stack: ExitStack, finished: dict[int, Any]) -> None:
        self._job, self._stack, self._finished = job, stack, finished
        self._at: int | None = None
        self._bar = ExitStack()

    def __call__(self, at: int, found: Standing) -> None:
        step, done = self._job.config.steps[at], found.finished
        if self._at != at:
            self._bar.close()
            self._bar, self._at = self._stack.enter_context(ExitStack()), at
            self._tell = self._bar.enter_context(bar(f"step {step.name}"))
            if done:
                say(f"step {step.name}: {len(done)} of {step.slots} trials are there already")
        values = [trial.value for trial in done if trial.value is not None]
        note = f"best {max(values):.1%}" if values else ""
        self._tell(len(done), step.slots, note)
        self._finished[at] = done
