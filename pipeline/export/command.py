"""The command ``pipeline export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app


@app.command("export")
def export(
    work_dir: Annotated[Path, typer.Argument(
        metavar="WORK_DIR", help="Work directory whose caches to export.")],
    to: Annotated[tuple[str, Path], typer.Option(metavar="FORMAT FOLDER", help=(
        "synse, smie, npz or table, and where the files go."))],
    layout: Annotated[str, typer.Option(
        help="For synse, whose scripts are to read it: sa-dvae, synse-zsl or msf.")] = "sa-dvae",
    dataset: Annotated[str | None, typer.Option(
        help="What the scripts call the data set [default: ours, or pku51].")] = None,
    visual: Annotated[str | None, typer.Option(
        "--ve", help="What they call the backbone [default: by width].")] = None,
    encoder: Annotated[str | None, typer.Option(
        "--le", help="What they call the text encoder [default: the cache's].")] = None,
    mode: Annotated[str | None, typer.Option(
        "--tm", help="What they call the text [default: lb for labels, else ad].")] = None,
    force: Annotated[bool, typer.Option("--force", help=(
        "Replace files that say something else."))] = False,
) -> None:
    """Write caches as the folders and files that other people's scripts read."""
    from zskel.data.exchange.synse_export import Names
    from zskel.pipeline.export.export import export as run

    run(work_dir, to[0], to[1], layout, Names(dataset, visual, encoder, mode), force)
