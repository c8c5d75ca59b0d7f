"""The command ``pipeline inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import AsJson, answer


@app.command()
def inspect(
    path: Annotated[Path | None, typer.Argument(metavar="PATH", help=(
        "Raw recordings (folder or archive), a sequence store, skeleton or text features, "
        "a result record, or a work directory; none: show --layout itself."))] = None,
    draw: Annotated[Path | None, typer.Option(metavar="FILE", help=(
        "Draw a clip: .png shows frames side by side, .gif is animated; a layout: .svg."))] = None,
    clip: Annotated[str | None, typer.Option(metavar="SAMPLE_ID", help=(
        "The clip to describe and draw [default: draw the first]."))] = None,
    picture: Annotated[str, typer.Option(metavar="WHAT", help=(
        "What to draw: the clip; its steps, side by side as recorded, cleaned, normalized and "
        "canonicalized; or classes, a clip of each."))] = "clip",
    as_json: AsJson = False,
    reader: Annotated[str | None, typer.Option(
        help="Take PATH as raw recordings of this reader.")] = None,
    dataset: Annotated[str | None, typer.Option(
        help="Whose class names and protocols hold.")] = None,
    split: Annotated[str | None, typer.Option(
        help="Class split that marks unseen classes of raw data or a store.")] = None,
    read: Annotated[int, typer.Option(
        min=0, help="Read at most so many clips' coordinates; 0: all.")] = 1000,
    layout: Annotated[str | None, typer.Option(metavar="NAME", help=(
        "Whose joints a source has that does not name them, such as coco-17."))] = None,
) -> None:
    """Show what any raw source, store, cache, result or work directory holds.

    Exit code 1 if one of its checks failed.
    """
    from zskel.data.common.outside import trust
    from zskel.pipeline.base.progress import say
    from zskel.pipeline.inspect.inspect import inspect as run
    from zskel.pipeline.inspect.inspect import show

    trust(reader or "")
    document = run(path, draw, clip, picture, layout, reader=reader, dataset=dataset,
                   split=split, read=read)
    answer(document, as_json, show)
    if draw is not None:
        say(f"wrote {draw}")
    if not all(check["passed"] for check in document.get("checks", ())):
        raise typer.Exit(1)
