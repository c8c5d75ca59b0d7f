"""Which backbones a set of experiments needs, and what of that is there already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from zskel.data.common.errors import PipelineError
from zskel.data.common.files import digest_json
from zskel.data.phases import Phase
from zskel.data.splits import ClassSplit
from zskel.data.store import SequenceStore
from zskel.pipeline.base.config import Experiment
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.model_store import ModelStore, trained_digest
from zskel.pipeline.steps.phase_plan import Plan, make_plan, resolve_split
from zskel.pipeline.steps.skeleton_cache import backbone_digest, has_current_cache

NO_STORE, TO_TRAIN, STARTED, LOST, TRAINED, CACHED, FAILED = (
    "no store yet", "to train", "started", "weights lost", "trained", "features there", "failed")


@dataclass
class Job:
    """One experiment of a queue.

    Attributes:
        experiment, work: The experiment and its work directory.
        plan: Known once its store is there.
        error: What went wrong with it, in one line.
    """

    experiment: Experiment
    work: WorkDir
    plan: Plan | None = None
    error: str | None = None


@dataclass
class Need:
    """A backbone that an experiment needs.

    Attributes:
        number: From 1, in the order of the queue.
        experiment, phase, dataset, split: Who needs it for what.
        classes: How many it learns to tell apart.
        backbone: Its name in the config.
        digest: Names its weights; None until the store is there, and the texts where
            they train it.
        same_as: The number of the first need of the same backbone, or None.
        state: One of this module's constants.
        key: Equal for equal backbones, given the same recordings.
    """

    number: int
    experiment: str
    phase: str
    dataset: str
    split: str
    classes: int
    backbone: str
    digest: str | None
    same_as: int | None
    state: str
    key: str

    def row(self) -> dict[str, Any]:
        """For a table or a JSON file."""
        return {field.name: getattr(self, field.name) for field in fields(self)
                if field.name != "key"}


def find_plans(
    jobs: Iterable[Job], model_store: ModelStore, raw: Mapping[str, Sequence[str | Path]]
) -> None:
    """Plans the jobs whose stores are there; reads no recordings."""
    stores: dict[Path, SequenceStore] = {}
    for job in jobs:
        dataset = job.experiment.dataset
        try:
            split = resolve_split(job.experiment)
            path: Path | None = job.work.own_store
            if not job.work.own_store.is_file():
                paths = raw.get(dataset.name)
                path = model_store.store(dataset, paths) if paths else \
                    model_store.find_store(dataset, job.work)
            if path is not None and path.is_file():
                stores[path] = stores.get(path) or SequenceStore(path)
                job.plan = make_plan(job.experiment, stores[path], split)
        except PipelineError as error:
            job.error = str(error)


def needs(jobs: Iterable[Job], model_store: ModelStore) -> list[Need]:
    """The backbones of the jobs that are not in error, in their order."""
    found: list[Need] = []
    first: dict[str, int] = {}
    for job in jobs:
        if job.error is not None:
            continue
        split = resolve_split(job.experiment)
        for phase, classes in (("test", split.seen), ("calibration", split.validation_seen)):
            digest, state = None, NO_STORE
            if job.plan is not None:
                own = phase_of(job.plan, phase)
                digest = backbone_digest(job.experiment, job.plan, own, job.work)
                state = _state(job, job.plan, own, digest, model_store)
            key = digest or _key(job.experiment, phase, split)
            number = len(found) + 1
            found.append(Need(
                number, job.experiment.name, phase, job.experiment.dataset.name,
                job.experiment.split.name, len(classes), job.experiment.needed_backbone.name,
                digest, first.get(key), state, key,
            ))
            first.setdefault(key, number)
    return found


def phase_of(plan: Plan, name: str) -> Phase:
    """The phase of that name."""
    return next(phase for phase in plan.phases if phase.name == name)


def _state(
    job: Job, plan: Plan, phase: Phase, digest: str | None, model_store: ModelStore
) -> str:
    if digest is None:
        return TO_TRAIN
    cached = has_current_cache(job.experiment, plan, phase, job.work)
    if cached and trained_digest(job.work.backbone(phase.name)) == digest:
        return CACHED
    folders = (model_store.backbone(digest), job.work.own_backbone(phase.name))
    if any(trained_digest(folder) == digest for folder in folders):
        return TRAINED
    if cached:
        # Features that came without their backbone need none; part of one is an accident.
        return LOST if any(folders[0].glob("*")) else CACHED
    return STARTED if any(folders[0].glob("checkpoints-*/*.pth")) else TO_TRAIN


def _key(experiment: Experiment, phase: str, split: ClassSplit) -> str:
    """What decides a backbone, as far as it is known without the recordings."""
    content = {
        "dataset": experiment.dataset.model_dump(mode="json"),
        "backbone": experiment.needed_backbone.model_dump(mode="json"),
        "unseen": list(split.unseen), "phase": phase,
    }
    if experiment.needed_backbone.text_supervision is not None and experiment.class_text:
        content["class_text"] = experiment.class_text.model_dump(mode="json")
    if phase == "calibration":
        content["validation_unseen"] = list(split.validation_unseen)
        content["calibration"] = experiment.calibration.model_dump(mode="json")
    return digest_json(content)
