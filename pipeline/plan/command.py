"""The command ``pipeline plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import (
    ModelStoreOption,
    Options,
    TableName,
    TableRaw,
    TableSeeds,
    WorkDirsOption,
)


@app.command()
def plan(
    table: TableName,
    raw: TableRaw = None,
    work_dirs: WorkDirsOption = Path("work_dirs"),
    model_store: ModelStoreOption = None,
    seeds: TableSeeds = None,
    cfg_options: Options = None,
    as_json: Annotated[bool, typer.Option("--json", help=(
        "One JSON document on standard output."))] = False,
) -> None:
    """What a table of the paper needs, what is there, and how long the rest takes."""
    from zskel.pipeline.plan.definition import load_table
    from zskel.pipeline.plan.plan import plan as run
    from zskel.pipeline.plan.plan import raw_of, show

    loaded = load_table(table, cfg_options or (), seeds)
    content = run(loaded, raw_of(loaded, raw or ()), work_dirs, model_store)
    if as_json:
        import json

        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        show(content)
