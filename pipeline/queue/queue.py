"""``pipeline queue``: all backbones that a set of experiments needs, each trained once."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from zskel.data.caches import read_skeleton_features
from zskel.data.common.errors import BadCache, BadInput, PipelineError
from zskel.data.common.files import write_json
from zskel.data.common.registry import nearest
from zskel.data.store import SequenceStore
from zskel.extractors.distributed import require_single_process
from zskel.pipeline.base.config import Experiment
from zskel.pipeline.base.jobs import Attempt, failure_summary
from zskel.pipeline.base.locks import work_dir_locked
from zskel.pipeline.base.progress import say
from zskel.pipeline.base.workdir import DEFAULT_ROOT, WorkDir
from zskel.pipeline.extract.extract import extract
from zskel.pipeline.steps.model_store import ModelStore
from zskel.pipeline.steps.needed_backbones import (
    CACHED,
    FAILED,
    TRAINED,
    Job,
    Need,
    find_plans,
    needs,
    phase_of,
)
from zskel.pipeline.steps.phase_plan import make_plan, resolve_split
from zskel.pipeline.steps.sequence_store import open_store, point_to_store
from zskel.pipeline.steps.skeleton_cache import train
from zskel.pipeline.steps.text_cache import text_caches

FORMAT, FORMAT_VERSION = "zsl-queue", 1

#: The experiments of the paper's tables: 13, with 26 backbones.
PAPER = (
    "ntu60-55-5", "ntu60-48-12", "ntu120-110-10", "ntu120-96-24",
    "ntu60-random-1", "ntu60-random-2", "ntu60-random-3",
    "ntu120-random-1", "ntu120-random-2", "ntu120-random-3",
    "pku-mmd-random-1", "pku-mmd-random-2", "pku-mmd-random-3",
)

Raw = Mapping[str, Sequence[str | Path]]


def queue(
    experiments: Sequence[Experiment],
    raw: Raw | None = None,
    only_list: bool = False,
    model_store: str | Path | None = None,
    work_dirs: str | Path = DEFAULT_ROOT,
    workers: int | None = None,
    json_file: str | Path | None = None,
) -> dict[str, Any]:
    """Plans all backbones, trains each once, and writes every experiment's caches.

    First all stores, then the experiments in order. One that fails is left behind and the
    others go on. Whatever is there already is kept, so the same call goes on where a stopped
    one was.

    Args:
        experiments: From ``load_experiment``, in the order wanted.
        raw: Data set -> its recordings; not needed where the store is there.
        only_list: Say what is needed and what is there, and do nothing.
        model_store: Where stores and backbones are shared; default ``bank`` in ``work_dirs``.
        work_dirs: Folder of the experiments' work directories.
        workers: Processes that parse; default: one for each core.
        json_file: Gets what is returned, after each step.

    Returns:
        JSON values: "backbones", one row for each phase of each experiment with
        its "state", and "experiments" with their "error" or None.

    Raises:
        BadInput: Two experiments have one name, or no experiment needs a data set of ``raw``.
    """
    require_single_process("queue")
    raw = dict(raw or {})
    _check(experiments, raw)
    shared = ModelStore(Path(model_store) if model_store is not None else Path(work_dirs) / "bank")
    jobs = [Job(experiment, WorkDir(Path(work_dirs) / experiment.name))
            for experiment in experiments]
    found: list[Need] = []
    done: dict[str, float | None] = {}

    def document() -> dict[str, Any]:
        content = {
            "format": FORMAT, "format_version": FORMAT_VERSION, "model_store": str(shared.root),
            "backbones": [need.row() for need in found],
            "experiments": [{
                "experiment": job.experiment.name, "work_dir": str(job.work.root),
                "error": job.error, "seen_test_accuracy": done.get(job.experiment.name),
            } for job in jobs],
        }
        if json_file is not None:
            write_json(json_file, content)
        return content

    if only_list:
        find_plans(jobs, shared, raw)
        found += needs(jobs, shared)
        return document()
    _open_stores(jobs, shared, raw, workers)
    found += needs(jobs, shared)
    document()
    for number, job in enumerate(jobs, start=1):
        own = [need for need in found if need.experiment == job.experiment.name]
        if job.error is None:
            say(f"[{number}/{len(jobs)}] {job.experiment.name}: "
                + ", ".join(f"{need.phase}-phase {need.backbone} {need.state}" for need in own))
            with Attempt([job]):
                for need in own:
                    if need.state != CACHED:  # whose features are there needs no weights for them
                        _train(job, need, shared)
                        for other in found:
                            if other.key == need.key and other.state != CACHED:
                                other.state = TRAINED
                extracted = extract(
                    job.experiment, (), job.work.root, workers, model_store=shared.root)
                assert extracted is not None  # it works alone
                done[job.experiment.name] = extracted.seen_test_accuracy
            # A runner and its hooks hold each other, and with them all prepared clips.
            gc.collect()
        if job.error is not None:
            for need in own:
                need.state = need.state if need.state in (CACHED, TRAINED) else FAILED
        document()
    return document()


def show(content: Mapping[str, Any], only_list: bool) -> None:
    """Prints a list as a table on standard output, and how much of it is done."""
    if only_list:
        from zskel.pipeline.base.render import show as show_tables
        from zskel.pipeline.base.render import stdout_console

        rows = [{**row, "digest": (row["digest"] or "")[:16] or None}
                for row in content["backbones"]]
        problems = [{"experiment": entry["experiment"], "problem": entry["error"]}
                    for entry in content["experiments"] if entry["error"] is not None]
        show_tables({"path": content["model_store"], "kind": "queue", "backbones": rows,
                     "problems": problems}, stdout_console())
    say(summary(content))


def summary(content: Mapping[str, Any]) -> str:
    """How much of a queue is done, in one line."""
    own = [row for row in content["backbones"] if row["same_as"] is None]
    states = Counter(row["state"] for row in own)
    return (f"{len(own)} backbones for {len(content['experiments'])} experiments: "
            + (", ".join(f"{count} {state}" for state, count in states.items()) or "none known"))


def require_done(outcomes: Sequence[tuple[str, str | None]], what: str = "experiments") -> None:
    """Checks that nothing went wrong.

    Args:
        outcomes: What was done, and the error or None of each.
        what: Their name in the message.

    Raises:
        PipelineError: Something did; the message names each and why.
    """
    failed = [(name, error) for name, error in outcomes if error is not None]
    if failed:
        raise PipelineError(failure_summary(failed, len(outcomes), what))


def _check(experiments: Sequence[Experiment], raw: Raw) -> None:
    twice = [name for name, count in Counter(e.name for e in experiments).items() if count > 1]
    if twice:
        raise BadInput(f"experiment {twice[0]!r} is in the queue twice; give one of them another "
                       "name (a line name=... in its config)")
    check_raw(raw, {experiment.dataset.name for experiment in experiments})


def check_raw(raw: Raw, wanted: Collection[str]) -> None:
    """Checks that the data sets whose recordings are given are needed.

    Raises:
        BadInput: One is not.
    """
    for dataset in raw:
        if dataset not in wanted:
            raise BadInput(f"--raw {dataset}=...: recordings of {dataset!r} are not needed; "
                           f"{nearest(dataset, wanted)}")


def _open_stores(
    jobs: Sequence[Job], model_store: ModelStore, raw: Raw, workers: int | None
) -> None:
    stores: dict[Path, SequenceStore] = {}
    failed: dict[Path, str] = {}
    for job in jobs:
        dataset = job.experiment.dataset
        paths = raw.get(dataset.name, ())
        shares = bool(paths) and not job.work.own_store.is_file()
        key = model_store.store(dataset, paths) if shares else job.work.own_store
        if key in failed:
            job.error = failed[key]
            continue
        with Attempt([job]):
            split = resolve_split(job.experiment)
            if key in stores:
                with _alone(job):
                    point_to_store(job.work, model_store, stores[key])
            else:
                try:
                    with _alone(job):
                        stores[key] = open_store(dataset, paths, job.work, workers, model_store)
                except PipelineError as error:
                    failed[key] = str(error)
                    raise
            job.plan = make_plan(job.experiment, stores[key], split)


def _train(job: Job, need: Need, model_store: ModelStore) -> None:
    """Trains a backbone, or takes the one that is there."""
    assert job.plan is not None
    started = time.perf_counter()
    with _alone(job):
        if job.experiment.needed_backbone.text_supervision is not None:
            text_caches(job.experiment, job.work)
        trained = train(
            job.experiment, job.plan, phase_of(job.plan, need.phase), job.work, model_store)
        _drop_features(job.work, need.phase, trained.weights_sha256)
    if need.state != TRAINED:
        say(f"  ready after {time.perf_counter() - started:.0f} s")


def _alone(job: Job) -> AbstractContextManager[None]:
    return work_dir_locked(job.work.root, "pipeline queue", make=True)


def _drop_features(work: WorkDir, phase: str, weights_sha256: str) -> None:
    """Removes features that other weights of the same training gave.

    That is possible where weights were lost and came back on another machine.
    """
    for path in work.skeleton_caches(phase):
        try:
            other = read_skeleton_features(path).weights_sha256 != weights_sha256
        except BadCache:
            continue  # it will be written anew
        if other:
            say(f"  {path}: of other weights, made again")
            path.unlink()
