"""The command ``pipeline doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import WorkDirsOption


@app.command()
def doctor(
    work_dirs: WorkDirsOption = Path("work_dirs"),
    as_json: Annotated[bool, typer.Option("--json", help=(
        "One JSON document on standard output."))] = False,
) -> None:
    """Check the installation and say what to do; exit code 1 if something is broken."""
    from zskel.pipeline.doctor.doctor import content, lines
    from zskel.pipeline.doctor.doctor import doctor as run

    findings = run(work_dirs)
    if as_json:
        import json

        typer.echo(json.dumps(content(findings), indent=2, ensure_ascii=False))
    else:
        for line in lines(findings):
            typer.echo(line)
    if not content(findings)["ok"]:
        raise typer.Exit(1)
