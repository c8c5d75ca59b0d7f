"""The tables of the paper: planned and run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import (
    BankOption,
    Options,
    ParsersOption,
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
    bank: BankOption = None,
    seeds: TableSeeds = None,
    cfg_options: Options = None,
    as_json: Annotated[bool, typer.Option("--json", help=(
        "One JSON document on standard output."))] = False,
) -> None:
    """What a table of the paper needs, what is there, how long the rest takes, the commands."""
    from zskel.pipeline.commands.plan import plan as run
    from zskel.pipeline.commands.plan import raw_of, show
    from zskel.pipeline.tables.definition import load_table

    loaded = load_table(table, cfg_options or (), seeds)
    content = run(loaded, raw_of(loaded, raw or ()), work_dirs, bank)
    if as_json:
        import json

        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        show(content)


@app.command("run")
def run_table(
    table: TableName,
    raw: TableRaw = None,
    work_dirs: WorkDirsOption = Path("work_dirs"),
    bank: BankOption = None,
    seeds: TableSeeds = None,
    cfg_options: Options = None,
    workers: ParsersOption = None,
    as_json: Annotated[Optional[Path], typer.Option("--json", metavar="FILE", help=(
        "Gets what became of each backbone, experiment and fit."))] = None,
) -> None:
    """All of a table: backbones, features, fits and report; what is there already is kept."""
    from zskel.pipeline.commands.plan import raw_of
    from zskel.pipeline.commands.run import require_done, summary
    from zskel.pipeline.commands.run import run as run_all
    from zskel.pipeline.progress import say
    from zskel.pipeline.tables.definition import load_table

    loaded = load_table(table, cfg_options or (), seeds)
    content = run_all(loaded, raw_of(loaded, raw or ()), work_dirs, bank, workers, as_json)
    say(summary(content))
    require_done(content)
