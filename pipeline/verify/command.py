"""The command ``pipeline verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import AsJson, Options, answer, experiment_names


@app.command()
def verify(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help=(
        "Work directories, model stores, folders of those, or single sequence stores, caches, "
        "weights, results and fitted models."))],
    experiment: Annotated[str | None, typer.Option(
        metavar="NAME|FILE", autocompletion=experiment_names, help=(
            "Compare with this config [default: the one of configs/ that a work directory "
            "names]."))] = None,
    cfg_options: Options = None,
    checksums: Annotated[bool, typer.Option("--write-checksums", "--seal", help=(
        "Before that, write the checksum of each cache anew: for caches that were changed on "
        "purpose."))] = False,
    as_json: AsJson = False,
) -> None:
    """Compare files with their checksums and with what they were made from; exit code 1 if not."""
    from zskel.pipeline.base.config import load_experiment
    from zskel.pipeline.verify.verify import show, write_checksums
    from zskel.pipeline.verify.verify import verify as run

    if cfg_options and experiment is None:
        raise typer.BadParameter("goes with --experiment", param_hint="--cfg-options")
    if checksums:
        write_checksums(paths)
    config = load_experiment(experiment, cfg_options or ()) if experiment else None
    content = run(paths, config, experiment or "")
    answer(content, as_json, show)
    if not content["ok"]:
        raise typer.Exit(1)
