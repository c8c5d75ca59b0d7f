"""The command ``pipeline report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import experiment_names


@app.command()
def report(
    experiments: Annotated[list[str] | None, typer.Argument(
        metavar="[EXPERIMENT|WORK_DIR]...", autocompletion=experiment_names,
        help="Experiments, by name or config file, whose work_dirs/EXPERIMENT to report, or work "
        "directories [default: all with results]."
    )] = None,
    work_dir: Annotated[list[Path] | None, typer.Option(
        help="A work directory, or the JSON file of one result; may be repeated. With one "
        "experiment: where that lies.")] = None,
    out: Annotated[Path | None, typer.Option(
        help="Where the report goes [default: report/ in the work directory].")] = None,
) -> None:
    """Tables, figures and one self-contained page from the results."""
    from zskel.pipeline.base.config import experiment_name
    from zskel.pipeline.base.workdir import WorkDir
    from zskel.pipeline.report.report import report as run

    folders = [Path(each) if (Path(each) / "results").is_dir()
               else WorkDir.of(experiment_name(each), None).root for each in experiments or ()]
    if len(folders) == len(work_dir or ()) == 1:
        folders = []  # as `pipeline fit EXPERIMENT --work-dir` has it
    run([*folders, *(work_dir or ())], out)
