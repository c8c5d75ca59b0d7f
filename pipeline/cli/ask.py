"""Commands that tell something and change nothing that they are not told to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import (
    Options,
    ParsersOption,
    WorkDirsOption,
    beginning,
    experiment_names,
)


@app.command()
def predict(
    source: Annotated[str, typer.Argument(metavar="WORK_DIR|EXPERIMENT", help=(
        "Where something was fitted."))],
    files: Annotated[list[Path], typer.Argument(metavar="SKELETON...", help=(
        "Recordings of any kind that extract reads: files, folders, archives."))],
    label: Annotated[Optional[list[str]], typer.Option(metavar="TEXT", help=(
        "What the clips may show, in your own words; may be repeated "
        "[default: the unseen classes]."))] = None,
    gzsl: Annotated[bool, typer.Option("--gzsl/--zsl", help=(
        "Whether the seen classes are answers too."))] = False,
    top: Annotated[int, typer.Option(min=1, help="How many answers a clip.")] = 5,
    method: Annotated[Optional[str], typer.Option(help=(
        "Of several that were fitted [default: the experiment's own]."))] = None,
    gate: Annotated[str, typer.Option(help=(
        "A further gate of that fit [default: the experiment's own]."))] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the fit.")] = 0,
    reader: Annotated[Optional[str], typer.Option(
        help="Read the files with this reader [default: the experiment's].")] = None,
    text_source: Annotated[Optional[list[str]], typer.Option(metavar="[PART=]NAME|FILE", help=(
        "Text of labels that are no class names: a text source, or a JSON file of texts by label "
        "[default: as for the classes]."))] = None,
    weights: Annotated[Optional[Path], typer.Option(help=(
        "The backbone's weights, where they were given to extract."))] = None,
    gif: Annotated[Optional[Path], typer.Option(metavar="FILE|FOLDER", help=(
        "Draw the clip under its answers: a .gif; for several clips a folder."))] = None,
    out: Annotated[Optional[Path], typer.Option(metavar="FILE", help="Gets the JSON too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help=(
        "One JSON document on standard output."))] = False,
) -> None:
    """Classify recordings among labels of your own."""
    from zskel.pipeline.commands.predict import run

    run(source, files, label or (), as_json=as_json, out=out, gzsl=gzsl, top=top, method=method,
        gate=gate, seed=seed, reader=reader, text_source=text_source or (), weights=weights,
        gif=gif)


@app.command()
def inspect(
    path: Annotated[Optional[Path], typer.Argument(metavar="PATH", help=(
        "Raw recordings (folder or archive), a sequence store, skeleton or text features, "
        "a result record, or a work directory; none: show --layout itself."))] = None,
    draw: Annotated[Optional[Path], typer.Option(metavar="FILE", help=(
        "Draw a clip: .png shows frames side by side, .gif is animated; a layout: .svg."))] = None,
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
    layout: Annotated[Optional[str], typer.Option(metavar="NAME", help=(
        "Whose joints a source has that does not name them, such as coco-17."))] = None,
) -> None:
    """Show what any raw source, store, cache, result or work directory holds.

    Exit code 1 if one of its checks failed.
    """
    from zskel.pipeline.commands.inspect import inspect as run

    document = run(path, draw, clip, as_json, reader, dataset, split, read, layout)
    if not all(check["passed"] for check in document.get("checks", ())):
        raise typer.Exit(1)


@app.command()
def verify(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help=(
        "Work directories, banks, folders of those, or single stores, caches, weights, results "
        "and fitted models."))],
    experiment: Annotated[Optional[str], typer.Option(
        metavar="NAME|FILE", autocompletion=beginning(experiment_names), help=(
            "Compare with this config [default: the one of configs/ that a work directory "
            "names]."))] = None,
    cfg_options: Options = None,
    seal: Annotated[bool, typer.Option("--seal", help=(
        "Before that, write the checksum of each cache anew: for caches that were changed on "
        "purpose."))] = False,
    as_json: Annotated[bool, typer.Option("--json", help=(
        "One JSON document on standard output."))] = False,
) -> None:
    """Compare files with their checksums and with what they were made from; exit code 1 if not."""
    from zskel.pipeline.commands.verify import seal_caches, show
    from zskel.pipeline.commands.verify import verify as run
    from zskel.pipeline.config import load_experiment

    if cfg_options and experiment is None:
        raise typer.BadParameter("goes with --experiment", param_hint="--cfg-options")
    if seal:
        seal_caches(paths)
    config = load_experiment(experiment, cfg_options or ()) if experiment else None
    content = run(paths, config, experiment or "")
    if as_json:
        import json

        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        show(content)
    if not content["ok"]:
        raise typer.Exit(1)


@app.command("evaluate-backbone")
def evaluate_backbone(
    backbone: Annotated[str, typer.Option(help=(
        "A config of configs/_base_/backbones, or path to a config file."))],
    dataset: Annotated[str, typer.Option(help="A config of configs/_base_/datasets.")],
    weights: Annotated[Path, typer.Option(help="State dict or checkpoint.")],
    raw: Annotated[Optional[list[Path]], typer.Option(
        help="Labelled recordings; may be repeated.")] = None,
    work_dir: Annotated[Optional[Path], typer.Option(
        help="Where the store is kept [default: work_dirs/evaluate-DATASET].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help=(
        "Each clip's id, label and five best classes as JSON on standard output."))] = False,
    workers: ParsersOption = None,
) -> None:
    """Top-1 and top-5 accuracy of a backbone's own head: do weights and data fit?"""
    from zskel.pipeline.commands.evaluate_backbone import evaluate_backbone as run

    result = run(backbone, dataset, weights, raw or (), work_dir, workers)
    if as_json:
        import json

        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))


@app.command()
def doctor(
    work_dirs: WorkDirsOption = Path("work_dirs"),
    as_json: Annotated[bool, typer.Option("--json", help=(
        "One JSON document on standard output."))] = False,
) -> None:
    """Check the installation and say what to do; exit code 1 if something is broken."""
    from zskel.pipeline.commands.doctor import content, lines
    from zskel.pipeline.commands.doctor import doctor as run

    findings = run(work_dirs)
    if as_json:
        import json

        typer.echo(json.dumps(content(findings), indent=2, ensure_ascii=False))
    else:
        for line in lines(findings):
            typer.echo(line)
    if not content(findings)["ok"]:
        raise typer.Exit(1)
