"""The commands. Each is a thin shell over an importable function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer
from typer.core import TyperGroup


class _Commands(TyperGroup):
    def invoke(self, ctx: typer.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # Further up typer takes it for itself and says nothing.
            typer.echo("interrupted; the same command goes on from here", err=True)
            raise SystemExit(130) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Zero-shot skeleton action recognition, from raw recordings to a report.",
)

ExperimentName = Annotated[str, typer.Argument(
    metavar="EXPERIMENT", help="Name of a config in configs/, or path to a config file.")]
WorkDirOption = Annotated[Optional[Path], typer.Option(
    help="Where everything is kept [default: work_dirs/EXPERIMENT].")]
Options = Annotated[Optional[list[str]], typer.Option(
    "--cfg-options", metavar="KEY=VALUE", help="Override a config value; may be repeated.")]


@app.command()
def extract(
    experiment: ExperimentName,
    raw: Annotated[Optional[list[Path]], typer.Option(
        help="Raw recordings: a folder or archive; may be repeated. "
             "Not needed once the sequence store is there.")] = None,
    work_dir: WorkDirOption = None,
    cfg_options: Options = None,
    workers: Annotated[Optional[int], typer.Option(
        min=1, help="Processes that parse [default: one for each core].")] = None,
    weights: Annotated[Optional[list[str]], typer.Option(metavar="[PHASE=]FILE", help=(
        "Weights to use instead of training, for both phases or for test= or calibration=."))] = None,
) -> None:
    """Stage one: train the backbones, embed the texts, cache f_x and f_y."""
    from pipeline.commands.extract import extract as run
    from pipeline.config import load_experiment

    run(load_experiment(experiment, cfg_options or ()), raw or (), work_dir, workers,
        _by_phase(weights or ()))


@app.command()
def fit(
    experiment: ExperimentName,
    work_dir: WorkDirOption = None,
    seeds: Annotated[Optional[int], typer.Option(
        min=1, help="How many seeds, from 0 [default: the config's].")] = None,
    cfg_options: Options = None,
) -> None:
    """Stage two: fit a method and its gate on the caches, evaluate, write results."""
    from pipeline.commands.fit import fit as run
    from pipeline.config import load_experiment

    run(load_experiment(experiment, cfg_options or ()), work_dir,
        None if seeds is None else range(seeds))


@app.command()
def report(
    experiments: Annotated[Optional[list[str]], typer.Argument(
        metavar="[EXPERIMENT]...",
        help="Experiments whose work_dirs/EXPERIMENT to report [default: all with results].")] = None,
    work_dir: Annotated[Optional[list[Path]], typer.Option(
        help="A work directory to report; may be repeated.")] = None,
    out: Annotated[Optional[Path], typer.Option(
        help="Where the report goes [default: report/ in the work directory].")] = None,
) -> None:
    """Tables, figures and one self-contained page from the results."""
    from pipeline.commands.report import report as run
    from pipeline.workdir import WorkDir

    folders = [WorkDir.of(name, None).root for name in experiments or ()]
    run([*folders, *(work_dir or ())], out)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help=(
        "Raw recordings (folder or archive), a sequence store, skeleton or text features, "
        "a result record, or a work directory."))],
    draw: Annotated[Optional[Path], typer.Option(metavar="FILE", help=(
        "Draw a clip: .png shows frames side by side, .gif is animated."))] = None,
    clip: Annotated[Optional[str], typer.Option(metavar="SAMPLE_ID", help=(
        "The clip to describe and draw [default: draw the first]."))] = None,
    as_json: Annotated[bool, typer.Option("--json", help=(
        "One JSON document on standard output."))] = False,
    reader: Annotated[Optional[str], typer.Option(
        help="Take PATH as raw recordings of this reader.")] = None,
    dataset: Annotated[Optional[str], typer.Option(
        help="Whose class names and protocols hold.")] = None,
    split: Annotated[Optional[str], typer.Option(
        help="Class split that marks unseen classes of raw data or a store.")] = None,
    read: Annotated[int, typer.Option(
        min=0, help="Read at most so many clips' coordinates; 0: all.")] = 1000,
) -> None:
    """Show what any raw source, store, cache, result or work directory holds."""
    from pipeline.commands.inspect import inspect as run

    run(path, draw, clip, as_json, reader, dataset, split, read)


@app.command("evaluate-backbone")
def evaluate_backbone(
    backbone: Annotated[str, typer.Option(help="A config of configs/_base_/backbones.")],
    dataset: Annotated[str, typer.Option(help="A config of configs/_base_/datasets.")],
    weights: Annotated[Path, typer.Option(help="State dict or checkpoint.")],
    raw: Annotated[Optional[list[Path]], typer.Option(
        help="Labelled recordings; may be repeated.")] = None,
    work_dir: Annotated[Optional[Path], typer.Option(
        help="Where the store is kept [default: work_dirs/evaluate-DATASET].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help=(
        "Each clip's id, label and five best classes as JSON on standard output."))] = False,
    workers: Annotated[Optional[int], typer.Option(
        min=1, help="Processes that parse [default: one for each core].")] = None,
) -> None:
    """Top-1 and top-5 accuracy of a backbone's own head: do weights and data fit?"""
    from pipeline.commands.evaluate_backbone import evaluate_backbone as run

    result = run(backbone, dataset, weights, raw or (), work_dir, workers)
    if as_json:
        import json

        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))


@app.command("demo-data")
def demo_data(
    folder: Annotated[Path, typer.Argument(help="Where the .skeleton files go.")],
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
) -> None:
    """Write the embedded synthetic recordings as NTU-format .skeleton files."""
    from pipeline.commands.demo_data import demo_data as run

    run(folder, seed)


def _by_phase(options: Sequence[str]) -> dict[str, str]:
    """``FILE`` for both phases, ``test=FILE`` or ``calibration=FILE`` for one."""
    weights: dict[str, str] = {}
    for option in options:
        phase, equals, file = option.partition("=")
        if equals and phase in ("test", "calibration"):
            weights[phase] = file
        else:
            weights = {"test": option, "calibration": option} | weights
    return weights


def main() -> None:
    """Runs the command line; known errors are one line and an exit code."""
    import os
    import sys

    from data.errors import PipelineError

    try:
        app()
    except PipelineError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read the output (`head`, say) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        # Disk full, read-only, permission denied: nothing half-written is left.
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
