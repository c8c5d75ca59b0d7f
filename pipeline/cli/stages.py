"""The two stages and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import (
    BankOption,
    Deterministic,
    ExperimentName,
    Options,
    ParsersOption,
    WorkDirOption,
    WorkDirsOption,
    beginning,
    by_dataset,
    by_phase,
    experiment_names,
    gate_names,
    method_names,
)


@app.command()
def extract(
    experiment: ExperimentName,
    raw: Annotated[Optional[list[Path]], typer.Option(
        help="Raw recordings: a folder or archive; may be repeated. "
             "Not needed once the sequence store is there.")] = None,
    work_dir: WorkDirOption = None,
    cfg_options: Options = None,
    workers: ParsersOption = None,
    weights: Annotated[Optional[list[str]], typer.Option(metavar="[PHASE=]FILE", help=(
        "Weights to use instead of training, for both phases or for test= or calibration=."
    ))] = None,
    bank: Annotated[Optional[Path], typer.Option(help=(
        "Where store and backbones are shared with other experiments [default: work_dirs/bank; "
        "a --work-dir keeps its own]."))] = None,
    launcher: Annotated[str, typer.Option(help=(
        "What has started several processes of this command, which then train and extract "
        "together: pytorch (torchrun), slurm (srun) or mpi (mpirun)."))] = "none",
    deterministic: Deterministic = False,
) -> None:
    """Stage one: train the backbones, embed the texts, cache f_x and f_y."""
    from zskel.pipeline.commands.extract import extract as run
    from zskel.pipeline.config import load_experiment

    run(load_experiment(experiment, cfg_options or ()), raw or (), work_dir, workers,
        by_phase(weights or ()), bank, launcher, deterministic)


@app.command()
def queue(
    experiments: Annotated[Optional[list[str]], typer.Argument(
        metavar="[EXPERIMENT]...", autocompletion=beginning(experiment_names),
        help="Experiments, in order [default: the paper's 13].")] = None,
    raw: Annotated[Optional[list[str]], typer.Option(metavar="DATASET=PATH", help=(
        "Raw recordings of a data set; may be repeated. "
        "Not needed once its sequence store is there."))] = None,
    only_list: Annotated[bool, typer.Option("--list", help=(
        "Show what is needed and what is there, and do nothing."))] = False,
    bank: BankOption = None,
    work_dirs: WorkDirsOption = Path("work_dirs"),
    cfg_options: Options = None,
    workers: ParsersOption = None,
    as_json: Annotated[Optional[Path], typer.Option("--json", metavar="FILE", help=(
        "Gets the list, or what became of each backbone and experiment."))] = None,
) -> None:
    """Stage one of many experiments: every backbone that they need, trained once.

    It trains in one process. To train a backbone with several, run extract --launcher on an
    experiment with the same --bank: the queue takes what is there.
    """
    from zskel.pipeline.commands.queue import PAPER, require_done, show
    from zskel.pipeline.commands.queue import queue as run
    from zskel.pipeline.config import load_experiment

    loaded = [load_experiment(name, cfg_options or ()) for name in experiments or PAPER]
    content = run(loaded, by_dataset(raw or ()), only_list, bank, work_dirs, workers, as_json)
    show(content, only_list)
    if not only_list:
        require_done(content)


@app.command()
def fit(
    experiment: ExperimentName,
    work_dir: WorkDirOption = None,
    seeds: Annotated[Optional[int], typer.Option(
        min=1, help="How many seeds, from 0 [default: the config's].")] = None,
    method: Annotated[Optional[list[str]], typer.Option(
        autocompletion=beginning(method_names), help=(
            "A config of configs/_base_/methods instead of the experiment's method; may be "
            "repeated; all: every method."))] = None,
    gate: Annotated[Optional[list[str]], typer.Option(
        autocompletion=beginning(gate_names), help=(
            "A gate to evaluate beside the experiment's own; may be repeated; all: every gate."
        ))] = None,
    no_models: Annotated[bool, typer.Option("--no-models", help=(
        "Keep results alone; predict needs what was fitted, a few MB a method and seed."))] = False,
    cfg_options: Options = None,
    deterministic: Deterministic = False,
) -> None:
    """Stage two: fit methods and their gates on the caches, evaluate, write results."""
    from zskel.pipeline.commands.fit import fit as run
    from zskel.pipeline.config import load_experiment

    run(load_experiment(experiment, cfg_options or ()), work_dir,
        None if seeds is None else range(seeds), method or (), gate or (), not no_models,
        deterministic)


@app.command()
def report(
    experiments: Annotated[Optional[list[str]], typer.Argument(
        metavar="[EXPERIMENT]...", autocompletion=beginning(experiment_names),
        help="Experiments, by name or config file, whose work_dirs/EXPERIMENT to report "
        "[default: all with results]."
    )] = None,
    work_dir: Annotated[Optional[list[Path]], typer.Option(
        help="A work directory, or the JSON file of one result; may be repeated.")] = None,
    out: Annotated[Optional[Path], typer.Option(
        help="Where the report goes [default: report/ in the work directory].")] = None,
) -> None:
    """Tables, figures and one self-contained page from the results."""
    from zskel.pipeline.commands.report import report as run
    from zskel.pipeline.config import experiment_name
    from zskel.pipeline.workdir import WorkDir

    folders = [WorkDir.of(experiment_name(each), None).root for each in experiments or ()]
    run([*folders, *(work_dir or ())], out)
