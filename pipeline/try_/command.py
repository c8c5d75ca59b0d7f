"""The command ``pipeline try``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import AsJson, answer


@app.command("try")
def try_(
    files: Annotated[list[Path], typer.Argument(metavar="SKELETON...", help=(
        "Recordings of any kind that extract reads: files, folders, archives."))],
    label: Annotated[list[str] | None, typer.Option(metavar="TEXT", help=(
        "What the clips may show, in your own words; give two or more."))] = None,
    weights: Annotated[Path | None, typer.Option(metavar="FILE|WORK_DIR", help=(
        "The recognizer's weights: a state dict or checkpoint, as its authors publish it or as "
        "`pipeline extract` trains it; or a work directory in which a method was fitted."))] = None,
    backbone: Annotated[str | None, typer.Option(help=(
        "The network that the weights belong to, of configs/_base_/backbones [default: the first "
        "that they fit]."))] = None,
    classes: Annotated[str | None, typer.Option(metavar="DATASET|FILE", help=(
        "The classes that the recognizer knows: a data set, or a text file with the class of each "
        "output, a line each in its order [default: by their number, ntu60 or ntu120]."))] = None,
    reader: Annotated[str | None, typer.Option(
        help="Read the files with this reader [default: the first that understands them].")] = None,
    layout: Annotated[str | None, typer.Option(metavar="NAME", help=(
        "Whose joints a source has that does not name them, such as coco-17."))] = None,
    text_model: Annotated[str, typer.Option(metavar="NAME|FOLDER", help=(
        "A Sentence-BERT."))] = "all-MiniLM-L6-v2",
    top: Annotated[int, typer.Option(min=1, help="How many answers a clip.")] = 5,
    gif: Annotated[Path | None, typer.Option(metavar="FILE|FOLDER", help=(
        "Draw the clip under its answers: a .gif; for several clips a folder."))] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Gets the JSON too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Classify recordings among labels of your own, with weights that others published."""
    from zskel.data.common.outside import trust
    from zskel.pipeline.inspect.sources import Options
    from zskel.pipeline.predict.show import show, tell
    from zskel.pipeline.try_.recognizers import Weights
    from zskel.pipeline.try_.try_ import try_recordings

    trust(reader or "")
    document = try_recordings(
        files, label or (), Weights(weights, backbone, classes) if weights else None,
        options=Options(reader=reader, layout=layout), text_model=text_model, top=top, gif=gif)
    tell(document, out)
    answer(document, as_json, show)
