"""The command ``pipeline evaluate-backbone``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import ParsersOption


@app.command("evaluate-backbone")
def evaluate_backbone(
    backbone: Annotated[str, typer.Option(help=(
        "A config of configs/_base_/backbones, or path to a config file."))],
    dataset: Annotated[str, typer.Option(help="A config of configs/_base_/datasets.")],
    weights: Annotated[Path, typer.Option(help="State dict or checkpoint.")],
    raw: Annotated[list[Path] | None, typer.Option(
        help="Labelled recordings; may be repeated.")] = None,
    work_dir: Annotated[Path | None, typer.Option(
        help="Where the store is kept [default: work_dirs/evaluate-DATASET].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help=(
        "Each clip's id, label and five best classes as JSON on standard output."))] = False,
    workers: ParsersOption = None,
) -> None:
    """Top-1 and top-5 accuracy of a backbone's own head: do weights and data fit?"""
    from zskel.pipeline.evaluate_backbone.evaluate_backbone import evaluate_backbone as run

    result = run(backbone, dataset, weights, raw or (), work_dir, workers)
    if as_json:
        import json

        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
