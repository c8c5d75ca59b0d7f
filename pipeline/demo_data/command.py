"""The command ``pipeline demo-data``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app


@app.command("demo-data")
def demo_data(
    folder: Annotated[Path, typer.Argument(
        metavar="FOLDER", help="Where the .skeleton files go.")],
    seed: Annotated[int, typer.Option(
        min=0, help="The seed of everything that is drawn at random.")] = 0,
    performers: Annotated[int, typer.Option(
        min=1, max=999, help="How many people perform each action.")] = 10,
    cameras: Annotated[int, typer.Option(min=1, max=3, help="How many record them.")] = 3,
) -> None:
    """Write the embedded synthetic recordings as NTU-format .skeleton files."""
    from zskel.data.synthetic import Settings
    from zskel.pipeline.demo_data.demo_data import demo_data as run

    run(folder, seed, Settings(performers=performers, cameras=cameras))
