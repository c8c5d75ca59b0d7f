"""The command ``pipeline search``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import (
    ExperimentName,
    FitDevice,
    Options,
    WorkDirOption,
    completion,
    with_device,
)


@app.command()
def search(
    experiment: ExperimentName,
    space: Annotated[str, typer.Option(
        metavar="NAME|FILE", autocompletion=completion("_base_/search"), help=(
            "What is searched, and how: a config of configs/_base_/search, or path to one."),
    )] = "paper",
    trials: Annotated[int | None, typer.Option(
        min=1, help="How many trials the last step has [default: the space's].")] = None,
    storage: Annotated[str | None, typer.Option(metavar="URL", help=(
        "Where trials are kept, and shared by all who give the same: sqlite:///FILE, "
        "postgresql://..., mysql://... or journal:FILE [default: a database in the search's "
        "folder]."))] = None,
    jobs: Annotated[int, typer.Option(
        "--jobs", "-j", "--workers", min=1, help="Processes of this machine that work on it.",
    )] = 1,
    method: Annotated[str | None, typer.Option(autocompletion=completion("_base_/methods"), help=(
        "A config of configs/_base_/methods instead of the experiment's method."))] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed by which trials are drawn.")] = 0,
    work_dir: WorkDirOption = None,
    device: FitDevice = None,
    cfg_options: Options = None,
    as_json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help=(
        "Write all trials and the best setting to this file."))] = None,
) -> None:
    """Search a method's hyper-parameters on the calibration phase; the test phase stays closed.

    The same command goes on where a stopped one was, and on other machines shares the work
    if --storage is the same.
    """
    from zskel.pipeline.base.config import imported_work_dir, load_experiment
    from zskel.pipeline.search.search import plan_search
    from zskel.pipeline.search.search import search as run
    from zskel.pipeline.steps.fits import with_own_options

    overrides = with_device(cfg_options, device)
    own = with_own_options([method], overrides)[0] if method else None
    job = plan_search(
        load_experiment(experiment, overrides), space, trials=trials, storage=storage,
        method=own, seed=seed, work_dir=work_dir or imported_work_dir(experiment))
    run(job, jobs, as_json)
