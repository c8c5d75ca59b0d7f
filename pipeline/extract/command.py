"""The command ``pipeline extract``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import (
    Deterministic,
    DeviceOption,
    ExperimentName,
    Options,
    ParsersOption,
    WorkDirOption,
    by_phase,
)


@app.command()
def extract(
    experiment: ExperimentName,
    raw: Annotated[list[Path] | None, typer.Option(
        help="Raw recordings: a folder or archive; may be repeated. "
             "Not needed once the sequence store is there.")] = None,
    work_dir: WorkDirOption = None,
    cfg_options: Options = None,
    workers: ParsersOption = None,
    weights: Annotated[list[str] | None, typer.Option(metavar="[PHASE=]FILE", help=(
        "Weights to use instead of training, for both phases or for test= or calibration=."
    ))] = None,
    model_store: Annotated[Path | None, typer.Option("--model-store", "--bank", help=(
        "Where store and backbones are shared with other experiments [default: work_dirs/bank; "
        "a --work-dir keeps its own]."))] = None,
    launcher: Annotated[str, typer.Option(help=(
        "What has started several processes of this command, which then train and extract "
        "together: pytorch (torchrun), slurm (srun) or mpi (mpirun)."))] = "none",
    device: DeviceOption = "auto",
    deterministic: Deterministic = False,
) -> None:
    """Stage one: train the backbones, embed the texts, cache f_x and f_y."""
    from zskel.data.common.devices import keep_to
    from zskel.pipeline.base.config import load_experiment
    from zskel.pipeline.extract.extract import extract as run

    keep_to(device)
    run(load_experiment(experiment, cfg_options or ()), raw or (), work_dir, workers,
        by_phase(weights or ()), model_store, launcher, deterministic)
