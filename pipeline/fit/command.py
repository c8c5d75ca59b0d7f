"""The command ``pipeline fit``."""

from __future__ import annotations

from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import (
    Deterministic,
    ExecutorName,
    ExecutorOptions,
    ExperimentName,
    FitDevice,
    Jobs,
    JobsPerTask,
    Options,
    WorkDirOption,
    execution_of,
    gate_names,
    method_names,
    with_device,
)


@app.command()
def fit(
    experiment: ExperimentName,
    work_dir: WorkDirOption = None,
    seeds: Annotated[int | None, typer.Option(
        min=1, help="How many seeds, from 0 [default: the config's].")] = None,
    method: Annotated[list[str] | None, typer.Option(
        autocompletion=method_names, help=(
            "A config of configs/_base_/methods instead of the experiment's method; may be "
            "repeated; all: every method. It gets fit.method.options of --cfg-options."))] = None,
    gate: Annotated[list[str] | None, typer.Option(
        autocompletion=gate_names, help=(
            "A gate to evaluate beside the experiment's own; may be repeated; all: every gate."
        ))] = None,
    no_models: Annotated[bool, typer.Option("--no-models", help=(
        "Keep results alone; predict needs what was fitted, a few MB a method and seed."))] = False,
    jobs: Jobs = 1,
    executor: ExecutorName = None,
    jobs_per_task: JobsPerTask = 4,
    executor_options: ExecutorOptions = None,
    device: FitDevice = None,
    cfg_options: Options = None,
    deterministic: Deterministic = False,
) -> None:
    """Stage two: fit methods and their gates on the caches, evaluate, write results."""
    from zskel.pipeline.base.config import imported_work_dir, load_experiment
    from zskel.pipeline.fit.fit import fit as run
    from zskel.pipeline.steps.fits import with_own_options

    overrides = with_device(cfg_options, device)
    run(load_experiment(experiment, overrides), work_dir or imported_work_dir(experiment),
        None if seeds is None else range(seeds), with_own_options(method or (), overrides),
        gate or (), not no_models, deterministic,
        execution_of(jobs, executor, jobs_per_task, executor_options or ()))
