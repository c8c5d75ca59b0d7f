"""``pipeline plan``: what a table needs, what of it is there, how long the rest takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zskel.data.caches import TEST, TRAIN, read_skeleton_features
from zskel.data.common.errors import BadCache, BadInput
from zskel.pipeline.base.jobs import Attempt
from zskel.pipeline.base.progress import say
from zskel.pipeline.base.workdir import DEFAULT_ROOT, WorkDir
from zskel.pipeline.plan.definition import Table
from zskel.pipeline.plan.fits import THERE, Result, check_distinct_files, results_of
from zskel.pipeline.plan.rates import Rates
from zskel.pipeline.plan.table_report import is_current, report_folder
from zskel.pipeline.queue.queue import Raw, check_raw
from zskel.pipeline.steps.model_store import ModelStore
from zskel.pipeline.steps.needed_backbones import (
    CACHED,
    TRAINED,
    Job,
    Need,
    find_plans,
    needs,
    phase_of,
)
from zskel.pipeline.steps.text_cache import current_texts

FORMAT, FORMAT_VERSION = "zsl-plan", 1


def plan(
    table: Table,
    raw: Raw | None = None,
    work_dirs: str | Path = DEFAULT_ROOT,
    model_store: str | Path | None = None,
) -> dict[str, Any]:
    """Lists what a table needs and what is there; reads no recordings, writes nothing.

    Args:
        table: From ``load_table``.
        raw: Data set -> its recordings, where their store is not the only one.
        work_dirs: Folder of the work directories.
        model_store: Where stores and backbones are shared; default ``bank`` in ``work_dirs``.

    Returns:
        JSON values: "backbones", "texts" and "fits", one row each with its "state" and
        the "seconds" that it will take, None where nothing like it was measured in these
        folders; "report"; "problems"; "seconds" of all those together; "unmeasured", the
        number of the others.

    Raises:
        BadInput: The table needs no data set of ``raw``, or two fits would write one result.
    """
    root, raw = Path(work_dirs), dict(raw or {})
    shared = ModelStore(Path(model_store) if model_store is not None else root / "bank")
    check_raw(raw, table.datasets)
    rates = Rates(shared.root, root)
    jobs = [Job(entry.experiment, WorkDir(root / entry.experiment.name))
            for entry in table.entries]
    made = [job for job in jobs if job.experiment.imported is None]
    find_plans(made, shared, raw)
    found = needs(made, shared)
    texts = [{"experiment": job.experiment.name, "cache": name, "state": _there(current)}
             for job in made if job.error is None
             for name, current in _texts(job).items()]
    ready = _ready(jobs, found, texts)
    results = []
    for job, entry in zip(jobs, table.entries, strict=True):
        for call in entry.fits if job.error is None else ():
            with Attempt([job]):
                results += results_of(call, job.work, job.experiment.name in ready)
    check_distinct_files(results, table.name)
    backbones = [_backbone(need, _job(jobs, need.experiment), rates) for need in found]
    fits = [_fit(result, _job(jobs, result.experiment), rates) for result in results]
    folder = report_folder(root, table.name)
    report_state = _there(
        all(row["state"] == THERE for row in fits)
        and is_current(folder, [job.work.root for job in jobs]))
    seconds = [row["seconds"] for row in (*backbones, *fits)]
    return {
        "format": FORMAT, "format_version": FORMAT_VERSION,
        "table": table.name, "title": table.config.title,
        "model_store": str(shared.root),
        "backbones": backbones, "texts": texts, "fits": fits,
        "report": {"path": str(folder), "state": report_state},
        "problems": [{"experiment": job.experiment.name, "problem": job.error}
                     for job in jobs if job.error is not None],
        "seconds": round(sum(filter(None, seconds))), "unmeasured": seconds.count(None),
    }


def show(content: Mapping[str, Any]) -> None:
    """Prints a plan on standard output."""
    from zskel.pipeline.base.render import show as show_tables
    from zskel.pipeline.base.render import stdout_console

    console = stdout_console()
    backbones = [{key: row[key] for key in (
        "number", "experiment", "phase", "backbone", "classes", "clips", "same_as", "state")}
        | {"time": _time([row["seconds"]])} for row in content["backbones"]]
    fits = [{**own, "seeds": len(rows),
             "there": sum(row["state"] == THERE for row in rows),
             "time": _time([row["seconds"] for row in rows])}
            for own, rows in _grouped(content["fits"])]
    texts = Counter(row["state"] for row in content["texts"])
    show_tables({
        "path": content["table"], "kind": content["title"], "backbones": backbones,
        "text_caches": dict(texts.items()), "fits": fits,
        "problems": content["problems"],
    }, console)
    console.print()
    console.print(f"report: {content['report']['path']}: {content['report']['state']}",
                  markup=False, soft_wrap=True)
    say(summary(content))


def summary(content: Mapping[str, Any]) -> str:
    """How much of a table is there and how long the rest takes, in one line."""
    own = [row for row in content["backbones"] if row["same_as"] is None]
    trained = sum(row["state"] in (TRAINED, CACHED) for row in own)
    fits = sum(row["state"] == THERE for row in content["fits"])
    line = (f"{content['table']}: {trained} of {len(own)} backbones and {fits} of "
            f"{len(content['fits'])} results are there")
    if content["seconds"]:
        line += f"; about {duration(content['seconds'])} to go"
    if content["unmeasured"]:
        line += (f"; no time is known for {content['unmeasured']} trainings and fits (marked ?): "
                 "nothing like them was measured here yet")
    return line


def raw_of(table: Table, options: Iterable[str]) -> dict[str, list[str]]:
    """``DATASET=PATH``, or ``PATH`` alone where a table has one data set.

    Raises:
        BadInput: It is not told whose recordings they are.
    """
    raw: dict[str, list[str]] = {}
    for option in options:
        dataset, equals, path = option.partition("=")
        if not (equals and dataset in table.datasets):
            if len(table.datasets) > 1:
                raise BadInput(f"--raw {option!r}: table {table.name} needs recordings of "
                               f"{', '.join(table.datasets)}; say whose they are, as in "
                               f"--raw {table.datasets[0]}=PATH")
            dataset, path = table.datasets[0], option
        raw.setdefault(dataset, []).append(path)
    return raw


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(8), duration(400), duration(9000), duration(400_000)
    ('8 s', '7 min', '2.5 h', '4.6 days')
    """
    for unit, size, least in (("days", 86400, 2 * 86400), ("h", 3600, 5400), ("min", 60, 100)):
        if seconds >= least:
            return f"{seconds / size:.{0 if unit == 'min' else 1}f} {unit}"
    return f"{seconds:.0f} s"


def _texts(job: Job) -> dict[str, bool]:
    with Attempt([job]):
        return current_texts(job.experiment, job.work)
    return {}


def _ready(
    jobs: Iterable[Job], found: Iterable[Need], texts: Iterable[Mapping[str, Any]]
) -> set[str]:
    """Experiments whose caches are all there, and are what they ask for."""
    lacking = {need.experiment for need in found if need.state != CACHED}
    lacking |= {row["experiment"] for row in texts if row["state"] != THERE}
    return {job.experiment.name for job in jobs
            if job.error is None and job.experiment.name not in lacking}


def _job(jobs: Iterable[Job], experiment: str) -> Job:
    return next(job for job in jobs if job.experiment.name == experiment)


def _there(state: bool) -> str:
    return THERE if state else "to make"


def _backbone(need: Need, job: Job, rates: Rates) -> dict[str, Any]:
    config = job.experiment.backbone
    assert config is not None  # or it would need none
    clips = len(phase_of(job.plan, need.phase).train) if job.plan is not None else None
    trained = need.state in (TRAINED, CACHED) or need.same_as is not None
    # One pass more than epochs: that which gives the features.
    passes = 0 if need.state == CACHED else 1 if trained else config.epochs + 1
    seconds = _seconds(rates.training(config.name, config.batch_size), clips, passes)
    return {**need.row(), "clips": clips, "seconds": seconds}


def _fit(result: Result, job: Job, rates: Rates) -> dict[str, Any]:
    # Gates are evaluated on the fit that is made for the first of them.
    first = not result.path.name.partition("-gate-")[1]
    passes = 0 if result.state == THERE or not first else result.options.get("epochs", 1)
    rate = rates.fit(result.method, result.options.get("batch_size"))
    return {
        "experiment": result.experiment, "method": result.method, "variant": result.variant,
        "gate": result.gate, "protocol": result.protocol,
        "seen_classifier": result.seen_classifier, "seed": result.seed, "state": result.state,
        "result": str(result.path),
        "seconds": _seconds(rate, _clips(job), passes),
    }


def _clips(job: Job) -> int | None:
    """That train a method; None as long as neither store nor features are there."""
    if job.plan is not None:
        return len(job.plan.phases[0].train)
    try:
        return len(read_skeleton_features(job.work.skeleton(TEST)).rows(TRAIN))
    except BadCache:
        return None


def _seconds(rate: float | None, clips: int | None, passes: int) -> float | None:
    if not passes:
        return 0.0
    return None if rate is None or clips is None else round(rate * clips * passes, 1)


def _grouped(fits: Sequence[Mapping[str, Any]]) -> list[tuple[dict[str, Any], list[Any]]]:
    """Seeds of one setting together."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    names = ("experiment", "method", "variant", "gate", "seen_classifier")
    for row in fits:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return [(dict(zip(names, key, strict=True)), rows) for key, rows in groups.items()]


def _time(seconds: Sequence[float | None]) -> str | None:
    if None in seconds:
        return "?"
    return duration(sum(filter(None, seconds))) if any(seconds) else None
