"""The command ``pipeline show``."""

from __future__ import annotations

from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import (
    BackboneWeights,
    DeviceOption,
    FittedGate,
    FittedMethod,
    FittedSeed,
    FittedSource,
    ReaderOption,
    TextSources,
)


@app.command("show")
def show_(
    source: FittedSource,
    port: Annotated[int, typer.Option(
        min=0, max=65535, help="Port of 127.0.0.1, the only address [default: a free one].",
        show_default=False)] = 0,
    browser: Annotated[bool, typer.Option(
        "--browser/--no-browser", help="Whether to open the page.")] = True,
    method: FittedMethod = None,
    gate: FittedGate = "",
    seed: FittedSeed = 0,
    reader: ReaderOption = None,
    text_source: TextSources = None,
    weights: BackboneWeights = None,
    device: DeviceOption = "auto",
) -> None:
    """Show the report, and a page where a recording is dropped and labels are typed."""
    from zskel.data.common.devices import keep_to
    from zskel.data.common.outside import trust
    from zskel.pipeline.predict.predict import ModelChoice, Reading
    from zskel.pipeline.show.show import show

    keep_to(device)
    trust(reader or "", *(text.rpartition("=")[2] for text in text_source or ()))
    show(source, port, browser, ModelChoice(method, gate, seed),
         Reading(reader, text_source or (), weights))
