"""The command ``pipeline plan``."""

from __future__ import annotations

from pathlib import Path

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import (
    AsJson,
    ModelStoreOption,
    Options,
    TableName,
    TableRaw,
    TableSeeds,
    WorkDirsOption,
    answer,
)


@app.command()
def plan(
    table: TableName,
    raw: TableRaw = None,
    work_dirs: WorkDirsOption = Path("work_dirs"),
    model_store: ModelStoreOption = None,
    seeds: TableSeeds = None,
    cfg_options: Options = None,
    as_json: AsJson = False,
) -> None:
    """What a table of the paper needs, what is there, and how long the rest takes."""
    from zskel.pipeline.plan.definition import load_table
    from zskel.pipeline.plan.plan import plan as run
    from zskel.pipeline.plan.plan import raw_of, show

    loaded = load_table(table, cfg_options or (), seeds)
    content = run(loaded, raw_of(loaded, raw or ()), work_dirs, model_store)
    answer(content, as_json, show)
