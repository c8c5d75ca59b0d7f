"""The command ``pipeline doctor``."""

from __future__ import annotations

from pathlib import Path

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import AsJson, WorkDirsOption, answer


@app.command()
def doctor(
    work_dirs: WorkDirsOption = Path("work_dirs"),
    as_json: AsJson = False,
) -> None:
    """Check the installation and say what to do; exit code 1 if something is broken."""
    from zskel.pipeline.doctor.doctor import content, show
    from zskel.pipeline.doctor.doctor import doctor as run

    found = content(run(work_dirs))
    answer(found, as_json, show)
    if not found["ok"]:
        raise typer.Exit(1)
