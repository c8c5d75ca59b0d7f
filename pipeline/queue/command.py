"""The command ``pipeline queue``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import (
    ModelStoreOption,
    Options,
    ParsersOption,
    WorkDirsOption,
    by_dataset,
    experiment_names,
)


@app.command()
def queue(
    experiments: Annotated[list[str] | None, typer.Argument(
        metavar="[EXPERIMENT]...", autocompletion=experiment_names,
        help="Experiments, in order [default: the paper's 13].")] = None,
    raw: Annotated[list[str] | None, typer.Option(metavar="DATASET=PATH", help=(
        "Raw recordings of a data set; may be repeated. "
        "Not needed once its sequence store is there."))] = None,
    only_list: Annotated[bool, typer.Option("--list", help=(
        "Show what is needed and what is there, and do nothing."))] = False,
    model_store: ModelStoreOption = None,
    work_dirs: WorkDirsOption = Path("work_dirs"),
    cfg_options: Options = None,
    workers: ParsersOption = None,
    as_json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help=(
        "Write the list, or what became of each backbone and experiment, to this file."))] = None,
) -> None:
    """Stage one of many experiments: every backbone that they need, trained once.

    It trains in one process. To train a backbone with several, run extract --launcher on an
    experiment with the same --model-store: the queue takes what is there.
    """
    from zskel.pipeline.base.config import load_experiment
    from zskel.pipeline.queue.queue import PAPER, require_done, show
    from zskel.pipeline.queue.queue import queue as run

    loaded = [load_experiment(name, cfg_options or ()) for name in experiments or PAPER]
    content = run(
        loaded, by_dataset(raw or ()), only_list, model_store, work_dirs, workers, as_json)
    show(content, only_list)
    if not only_list:
        require_done([(row["experiment"], row["error"]) for row in content["experiments"]])
