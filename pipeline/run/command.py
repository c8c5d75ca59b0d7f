"""The command ``pipeline run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app
from zskel.pipeline.cli.options import (
    ExecutorName,
    ExecutorOptions,
    FitDevice,
    Jobs,
    JobsPerTask,
    ModelStoreOption,
    Options,
    ParsersOption,
    TableName,
    TableRaw,
    TableSeeds,
    WorkDirsOption,
    execution_of,
    with_device,
)


@app.command("run")
def run_table(
    table: TableName,
    raw: TableRaw = None,
    work_dirs: WorkDirsOption = Path("work_dirs"),
    model_store: ModelStoreOption = None,
    seeds: TableSeeds = None,
    device: FitDevice = None,
    cfg_options: Options = None,
    workers: ParsersOption = None,
    jobs: Jobs = 1,
    executor: ExecutorName = None,
    jobs_per_task: JobsPerTask = 4,
    executor_options: ExecutorOptions = None,
    as_json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help=(
        "Write what became of each backbone, experiment and fit to this file."))] = None,
) -> None:
    """All of a table: backbones, features, fits and report; what is there already is kept."""
    from zskel.data.common.devices import keep_to
    from zskel.pipeline.base.progress import say
    from zskel.pipeline.plan.definition import load_table
    from zskel.pipeline.plan.plan import raw_of
    from zskel.pipeline.queue.queue import require_done
    from zskel.pipeline.run.run import outcomes, summary
    from zskel.pipeline.run.run import run as run_all

    if device == "cpu":
        keep_to(device)  # backbones, too
    loaded = load_table(table, with_device(cfg_options, device), seeds)
    execution = execution_of(jobs, executor, jobs_per_task, executor_options or ())
    content = run_all(loaded, raw_of(loaded, raw or ()), work_dirs, model_store, workers, as_json,
                      execution)
    say(summary(content))
    require_done(outcomes(content), "items")
