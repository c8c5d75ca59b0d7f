"""``pipeline fit``: feature caches to result records, one a method, gate, split and seed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from zskel.data.caches import TextFeatures
from zskel.data.common.devices import chosen_device
from zskel.data.common.errors import BadConfig, BadInput, PipelineError
from zskel.data.common.files import remove_left_behind
from zskel.extractors.distributed import require_single_process
from zskel.pipeline.base.config import Experiment, NamedConfig
from zskel.pipeline.base.determinism import use_deterministic_algorithms
from zskel.pipeline.base.jobs import (
    SERIAL,
    Attempt,
    Execution,
    MakeRunner,
    failure_summary,
    run_in_processes,
    show_progress,
)
from zskel.pipeline.base.locks import work_dir_locked
from zskel.pipeline.base.progress import say
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.fit.job import FitJob, FitStatus, Fitter
from zskel.pipeline.steps.feature_files import FeatureFiles
from zskel.pipeline.steps.fits import ALL, Fit, fit_configs
from zskel.pipeline.steps.made_from import check_made_from


@dataclass
class FitRequest:
    """What ``pipeline fit`` can be asked for.

    Attributes:
        experiment: From ``load_experiment``.
        work: Where its caches are.
        seeds: Of the fits.
        methods, gates, keep_models: As of :func:`fit`.
        error: Why some of its fits have failed.
    """

    experiment: Experiment
    work: WorkDir
    seeds: Sequence[int]
    methods: Sequence[str | NamedConfig] = ()
    gates: Sequence[str] = ()
    keep_models: bool = True
    error: str | None = None


def fit(
    experiment: Experiment,
    work_dir: str | Path | None = None,
    seeds: Sequence[int] | None = None,
    methods: Sequence[str | NamedConfig] = (),
    gates: Sequence[str] = (),
    keep_models: bool = True,
    deterministic: bool = False,
    execution: Execution = SERIAL,
) -> list[Path]:
    """Fits and evaluates methods and their gates for each seed.

    Results that are there already and were made by the same config from the
    same caches are kept, so the same call goes on where a stopped one was. What
    was fitted is kept in ``models/``, for ``pipeline predict``.

    Args:
        experiment: From ``load_experiment``.
        work_dir: Default ``work_dirs/<experiment>``.
        seeds: Default: as many as the config says, from 0.
        methods: Configs of ``configs/_base_/methods`` instead of the
            experiment's method; "all" is one config for every method. The gate of
            a config that names one is evaluated too. A ``NamedConfig`` has options
            that override those of the config.
        gates: Registered gates to evaluate beside the experiment's own; "all"
            is every one that works with the method.
        keep_models: Whether to keep what was fitted; a few MB a method and seed.
        deterministic: Compute on a GPU so that it repeats itself to the bit.
        execution: Where the fits are done; their results are the same to the bit.

    Returns:
        The result files.

    Raises:
        PipelineError: Caches are missing or unfit, or a fit fails. One after the other,
            the first that fails ends the command; of several at once the others go on.
    """
    work = WorkDir.of(experiment.name, work_dir)
    seeds = list(range(experiment.fit.seeds)) if seeds is None else list(seeds)
    request = FitRequest(experiment, work, seeds, methods, gates, keep_models)
    paths = fit_all([request], deterministic, execution)
    if request.error is not None:
        raise PipelineError(request.error)
    return paths


def fit_all(
    requests: Sequence[FitRequest], deterministic: bool = False, execution: Execution = SERIAL
) -> list[Path]:
    """Does what several calls of :func:`fit` would do, together.

    Args:
        requests: Several get their ``error``; of a single one what cannot be done is raised.
        deterministic, execution: As of :func:`fit`.

    Returns:
        The result files, made or not.

    Raises:
        PipelineError: As of :func:`fit`; fits that fail beside others are told by ``error``.
    """
    require_single_process("fit")
    if deterministic:
        use_deterministic_algorithms()
    works = {request.work.root.resolve(): request.work for request in requests}
    with contextlib.ExitStack() as stack:
        # In one order, so that no two commands wait for each other.
        for root in sorted(works):
            stack.enter_context(work_dir_locked(works[root].root, "pipeline fit"))
        fitter, pending = Fitter(), PendingFits()
        paths: list[Path] = []
        skipped: list[str] = []
        for request in requests:
            with Attempt([request]) if len(requests) > 1 else contextlib.nullcontext():
                jobs, reasons = _jobs_of(request, fitter, execution.executor != "slurm")
                skipped += reasons
                for job in jobs:
                    paths += pending.add(request, job, fitter.status(job))
        if execution.serial:
            for job in pending.jobs:
                fitter(job)
        elif pending.jobs:
            del fitter  # the caches are read where they are used
            try:
                _fit_in_parallel(pending, partial(Fitter, deterministic), execution)
            finally:
                for work in works.values():  # processes that were killed leave parts of files
                    for folder in (work.results, work.models):
                        remove_left_behind(folder)
        for reason in skipped:
            say(f"skipped: {reason}")
    return paths


class PendingFits:
    """Fits that are to be done, each once, and who has asked for them."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[Path, str], FitJob] = {}
        self._requests: dict[tuple[Path, str], list[FitRequest]] = {}
        self._steps: dict[tuple[Path, str], int] = {}

    @property
    def jobs(self) -> list[FitJob]:
        """In the order of the requests."""
        return list(self._jobs.values())

    @property
    def longest_first(self) -> list[FitJob]:
        """Those with the most training steps first, so that no long one is left at the end."""
        return [self._jobs[key] for key in self._keys()]

    def _keys(self) -> list[tuple[Path, str]]:
        return sorted(self._jobs, key=lambda key: -self._steps[key])

    def add(self, request: FitRequest, job: FitJob, status: FitStatus) -> list[Path]:
        """Adds a fit, unless it has been done; its result files.

        Raises:
            BadConfig: Another fit would write the same files.
        """
        for gate, path in status.paths.items():
            if gate not in status.missing:
                say(f"kept {path}")
        if status.wanted:
            key = job.work.root.resolve(), job.name
            other = self._jobs.get(key)
            if other is not None and other.what.model_digest() != job.what.model_digest():
                raise BadConfig(f"two fits that differ in their options would write "
                                f"{job.work.results / job.name}.json; fit them one by one, in "
                                "work directories of their own")
            self._jobs[key] = job if other is None else other.with_gates_of(job)
            self._requests.setdefault(key, []).append(request)
            self._steps[key] = status.steps
        return list(status.paths.values())

    def note(self, failed: Mapping[int, str], names: Sequence[str]) -> None:
        """Lets requests know which of their fits, ``longest_first``, have failed."""
        askers = [self._requests[key] for key in self._keys()]
        requests = {id(each): each for own in askers for each in own}
        for request in requests.values():
            own = [number for number, asked in enumerate(askers)
                   if any(each is request for each in asked)]
            lines = [(names[number], failed[number]) for number in own if number in failed]
            if lines:
                request.error = failure_summary(lines, len(own), "fits")


def _jobs_of(
    request: FitRequest, fitter: Fitter, here: bool
) -> tuple[list[FitJob], list[str]]:
    """The fits of a request, and why others cannot be: only "all" methods leaves some out.

    Args:
        request: What is asked for.
        fitter: Reads the caches.
        here: Whether they are done on this machine.
    """
    experiment = request.experiment
    files = fitter.files(request.work, experiment.fit.features)
    if here:
        chosen_device(experiment.fit.device)
    chosen = fit_configs(experiment, request.methods, request.gates)
    methods = [Fit(config).method(0) for config in chosen]
    lacking = [files.missing(method) for method in methods]
    reasons = [reason for reason in lacking if reason]
    if reasons and ALL not in request.methods:
        raise BadInput(reasons[0])
    runnable = [config for config, reason in zip(chosen, lacking) if not reason]
    methods = [method for method, reason in zip(methods, lacking) if not reason]
    _check_caches(request, files, methods)
    say(f"experiment {experiment.name}: split {experiment.split.name} "
        f"({len(files.test.unseen_classes)} unseen classes), {len(runnable)} method(s), "
        f"protocol {experiment.fit.protocol}, {len(request.seeds)} seed(s), "
        f"f_x {files.test.f_x.shape[1]}-d, f_y {files.text_width}-d")
    for method in methods:
        if method.reads_tokens:
            count = files.tokens_read(method)
            say(f"{method.name} reads " + (
                f"up to {count} tokens of each class" if count else
                "f_y as the only token: class_text.tokens is not set (docs/caches.md#tokens)"))
    return [FitJob(experiment, config, request.work, seed, request.keep_models)
            for config in runnable for seed in request.seeds], reasons


def _check_caches(request: FitRequest, files: FeatureFiles, methods: Sequence[Any]) -> None:
    """Checks that the caches which the methods take are what the experiment asks for."""
    from zskel.zsl.cache_checks import by_part

    texts: dict[str, TextFeatures] = {}
    for method in methods:
        texts |= by_part(files.texts(method))
    views = {name for method in methods for name in files.extra_names(method)}
    check_made_from(request.experiment, request.work, (files.test, files.calibration), texts, views)


def _fit_in_parallel(pending: PendingFits, make: MakeRunner, execution: Execution) -> None:
    """Does fits in other processes; requests learn which of theirs have failed."""
    jobs = pending.longest_first
    several = len({job.experiment.name for job in jobs}) > 1
    names = [f"{job.experiment.name}: {job}" if several else str(job) for job in jobs]
    if execution.executor is None:
        count = min(execution.jobs, len(jobs))
        say(f"{len(jobs)} fits in {count} process(es), one thread each")
        events = run_in_processes(make, jobs, count)
    else:
        from zskel.pipeline.base.cluster import run_with_submitit

        events = run_with_submitit(make, jobs, jobs[0].work.root / "jobs", execution)
    pending.note(show_progress(events, names, "fits"), names)
