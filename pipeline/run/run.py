"""``pipeline run``: everything that a table needs, in order, and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zskel.data.common.files import write_json
from zskel.extractors.distributed import require_single_process
from zskel.pipeline.base.jobs import SERIAL, Attempt, Execution
from zskel.pipeline.base.progress import say
from zskel.pipeline.base.workdir import DEFAULT_ROOT, WorkDir
from zskel.pipeline.fit.fit import FitRequest, fit_all
from zskel.pipeline.plan.definition import Table
from zskel.pipeline.plan.fits import check_distinct_files, results_of
from zskel.pipeline.plan.table_report import MARKER, is_current, mark, report_folder
from zskel.pipeline.queue.queue import Raw, check_raw, queue
from zskel.pipeline.report.report import report, written_alone
from zskel.pipeline.steps.needed_backbones import Job

FORMAT, FORMAT_VERSION = "zsl-run", 1


def run(
    table: Table,
    raw: Raw | None = None,
    work_dirs: str | Path = DEFAULT_ROOT,
    model_store: str | Path | None = None,
    workers: int | None = None,
    json_file: str | Path | None = None,
    execution: Execution = SERIAL,
) -> dict[str, Any]:
    """Trains, extracts, fits and reports what a table needs and is not there.

    What is there and was made from the same is kept, so the same call goes on where a
    stopped one was, and makes a lost file again with what depends on it: what comes out
    the same, digest and all, leaves the rest as it is. What fails is left behind and the
    rest goes on.

    Args:
        table: From ``load_table``.
        raw: Data set -> its recordings; not needed where the store is there.
        work_dirs: Folder of the work directories.
        model_store: Where stores and backbones are shared; default ``bank`` in ``work_dirs``.
        workers: Processes that parse; default: one for each core.
        json_file: Gets what is returned, after each step.
        execution: Where the fits are done: those of all experiments together.

    Returns:
        JSON values: "backbones" and "experiments" as ``queue`` gives them, "fits" with
        their "error" or None, and "report", its page or None.

    Raises:
        BadInput: The table needs no data set of ``raw``, or two fits would write one result.
    """
    require_single_process("run")
    root, raw = Path(work_dirs), dict(raw or {})
    check_raw(raw, table.datasets)
    works = {entry.experiment.name: WorkDir(root / entry.experiment.name)
             for entry in table.entries}
    check_distinct_files((result for entry in table.entries for call in entry.fits
                 for result in results_of(call, works[entry.experiment.name], False)), table.name)
    content: dict[str, Any] = {
        "format": FORMAT, "format_version": FORMAT_VERSION, "table": table.name,
        "backbones": [], "experiments": [], "fits": [], "report": None, "report_error": None,
    }

    def tell() -> None:
        if json_file is not None:
            write_json(json_file, content)

    made = [entry.experiment for entry in table.entries if entry.experiment.imported is None]
    if made:
        queued = queue(made, raw, False, model_store, root, workers)
        content.update(backbones=queued["backbones"], experiments=queued["experiments"])
    tell()
    failed = {row["experiment"] for row in content["experiments"] if row["error"] is not None}
    requests = [
        FitRequest(call.experiment, works[entry.experiment.name], range(call.seeds), call.methods,
                   call.gates, table.config.keep_models,
                   "its features could not be made" if entry.experiment.name in failed else None)
        for entry in table.entries for call in entry.fits]
    numbered = list(enumerate(requests, start=1))
    for group in [[each] for each in numbered] if execution.serial else [numbered]:
        for number, request in group:
            if request.error is None:
                say(f"[{number}/{len(requests)}] {_described(request)}")
        ready = [request for _, request in group if request.error is None]
        with Attempt(ready):
            fit_all(ready, execution=execution)
        content["fits"] += [{"fit": _described(request), "error": request.error}
                            for _, request in group]
        tell()
    item = Job(table.entries[0].experiment, WorkDir(root))
    with Attempt([item]):
        content["report"] = _report(table, [work.root for work in works.values()], root)
    content["report_error"] = item.error
    tell()
    return content


def summary(content: Mapping[str, Any]) -> str:
    """What became of a table, in one line."""
    fits = content["fits"]
    done = sum(row["error"] is None for row in fits)
    where = f"; report: {content['report']}" if content["report"] else ""
    return f"{content['table']}: {done} of {len(fits)} fits are done{where}"


def outcomes(content: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """Experiments, fits and the report, and the error or None of each."""
    return [*((row["experiment"], row["error"]) for row in content["experiments"]),
            *((row["fit"], row["error"]) for row in content["fits"]),
            ("report", content["report_error"])]


def _described(request: FitRequest) -> str:
    options = request.experiment.fit.method.options
    own = f"the experiment's method, {options.get('variant', 'as it is')}"
    return f"{request.experiment.name}: {', '.join(map(str, request.methods)) or own}"


def _report(table: Table, work_dirs: Sequence[Path], root: Path) -> str | None:
    """Writes the report, or keeps it where the results have not changed."""
    folder = report_folder(root, table.name)
    sources = [path for path in work_dirs if any((path / "results").glob("*.json"))]
    if not sources:
        say("no report: there are no results")
        return None
    page = folder / "report.html"
    with written_alone(sources, folder):
        if is_current(folder, sources):
            say(f"kept {page}")
            return str(page)
        (folder / MARKER).unlink(missing_ok=True)
        paths = report(sources, folder)
        mark(folder, sources, [paths.html, paths.markdown, *paths.tables, *paths.latex])
    return str(paths.html)
