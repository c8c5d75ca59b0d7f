"""The command ``pipeline predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import (
    AsJson,
    BackboneWeights,
    DeviceOption,
    FittedGate,
    FittedMethod,
    FittedSeed,
    FittedSource,
    ReaderOption,
    TextSources,
    answer,
)


@app.command()
def predict(
    source: FittedSource,
    files: Annotated[list[Path], typer.Argument(metavar="SKELETON...", help=(
        "Recordings of any kind that extract reads: files, folders, archives."))],
    label: Annotated[list[str] | None, typer.Option(metavar="TEXT", help=(
        "What the clips may show, in your own words; may be repeated "
        "[default: the unseen classes]."))] = None,
    gzsl: Annotated[bool, typer.Option("--gzsl/--zsl", help=(
        "Whether the seen classes are answers too."))] = False,
    top: Annotated[int, typer.Option(min=1, help="How many answers a clip.")] = 5,
    method: FittedMethod = None,
    gate: FittedGate = "",
    seed: FittedSeed = 0,
    reader: ReaderOption = None,
    text_source: TextSources = None,
    weights: BackboneWeights = None,
    gif: Annotated[Path | None, typer.Option(metavar="FILE|FOLDER", help=(
        "Draw the clip under its answers: a .gif; for several clips a folder."))] = None,
    device: DeviceOption = "auto",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help=(
        "Write the JSON to this file too."))] = None,
    as_json: AsJson = False,
) -> None:
    """Classify recordings among labels of your own."""
    from zskel.data.common.devices import keep_to
    from zskel.data.common.outside import trust
    from zskel.pipeline.predict.predict import ModelChoice, Reading
    from zskel.pipeline.predict.predict import predict as run
    from zskel.pipeline.predict.show import show, tell

    keep_to(device)
    trust(reader or "", *(text.rpartition("=")[2] for text in text_source or ()))
    document = run(source, files, label or (), gzsl=gzsl, top=top, gif=gif,
                   model=ModelChoice(method, gate, seed),
                   reading=Reading(reader, text_source or (), weights))
    tell(document, out)
    answer(document, as_json, show)
