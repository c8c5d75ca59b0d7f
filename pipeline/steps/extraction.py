"""Skeleton features by a backbone: extracted by all processes, or found in the model store."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zskel.data.caches import (
    IDENTITY,
    SkeletonFeatures,
    read_skeleton_features,
    write_skeleton_features,
)
from zskel.data.common.errors import BadCache, BadConfig
from zskel.data.common.files import digest_json
from zskel.data.common.memory import memory_in_one_line
from zskel.data.phases import Phase
from zskel.extractors.distributed import agreed, is_main
from zskel.extractors.shard_files import shard_folder
from zskel.pipeline.base.config import Experiment
from zskel.pipeline.base.progress import bar, say
from zskel.pipeline.steps.model_store import ModelStore
from zskel.pipeline.steps.phase_plan import Plan, backbone_spec

if TYPE_CHECKING:
    from zskel.extractors.spec import BackboneSpec
    from zskel.extractors.training import TrainedBackbone


@dataclass(frozen=True)
class Wanted:
    """Skeleton features that an experiment asks for.

    Attributes:
        experiment, plan, phase: Whose features they are.
        name: "f_x", or that of a feature view.
        provenance: Everything that decides them.
        path: Their cache.
    """

    experiment: Experiment
    plan: Plan
    phase: Phase
    name: str
    provenance: dict[str, Any]
    path: Path

    @property
    def what(self) -> str:
        """As messages call them."""
        view = "" if self.name == "f_x" else f" ({self.name})"
        return f"{self.phase.name}-phase features{view}"


def check_transforms(wanted: Wanted) -> None:
    """Checks the transforms of an extraction, which come after hours of training.

    Raises:
        BadConfig: One is unknown or has a wrong option.
    """
    from zskel.extractors.mm import register

    register()
    from zskel.extractors.dataset import build_transforms

    try:
        build_transforms(_spec(wanted).test_pipeline)
    except BadConfig as error:
        where = "backbone.test_pipeline" if wanted.name == "f_x" else f"feature_views.{wanted.name}"
        raise BadConfig(f"{where}: {error}") from None


def of_trained(
    wanted: Wanted, trained: TrainedBackbone, model_store: ModelStore | None
) -> tuple[SkeletonFeatures, str] | None:
    """Features by a trained backbone, or those that the model store has of it.

    Args:
        wanted: Which features.
        trained: The backbone.
        model_store: Where it is shared, if it is.

    Returns:
        The features with a note for the user; None in all processes but the first.

    Raises:
        PipelineError: A clip gives no finite features or does not fit into memory.
    """
    experiment, plan = wanted.experiment, wanted.plan
    note = f"training accuracy {_last_accuracy(trained.history)}"
    entry = trained.weights.parent
    shared = entry / _shared_name(wanted.provenance)
    found = None
    with ExitStack() as held:
        if model_store is not None and is_main():
            held.enter_context(model_store.locked(entry, f"the {wanted.what} of {experiment.name}"))
            found = _shared(shared, plan, wanted.phase, trained.weights_sha256)
        if agreed(found is not None):
            return None if found is None else (dataclasses.replace(
                found, config=wanted.provenance, sample_protocol=experiment.dataset.sample_protocol,
                notices=plan.notices,
            ), f"{note}, features shared")
        features = _extracted(wanted, trained.weights, trained.weights_sha256,
                              len(trained.classes))
        if features is None:
            return None
        if model_store is not None:
            write_skeleton_features(shared, features)
    return features, note


def _shared_name(provenance: Mapping[str, Any]) -> str:
    """Of the features that go with a backbone, by what its digest leaves open."""
    digest = provenance["phase_digest"]
    view = dict(provenance.get("view", {}))
    choices = [*view.pop("transforms", [None]), *([view] if view else []),
               provenance["backbone"].get("extract_autocast")]
    if any(choices):
        digest = digest_json([digest, *choices])
    return f"features-{digest[:16]}.h5"


def _shared(
    path: Path, plan: Plan, phase: Phase, weights_sha256: str
) -> SkeletonFeatures | None:
    """Features that another experiment had of the same clips from the same weights."""
    try:
        found = read_skeleton_features(path)
    except BadCache:
        return None
    same = (
        found.weights_sha256 == weights_sha256
        and (found.phase, found.seen_classes) == (phase.name, phase.seen_classes)
        and found.unseen_classes == phase.unseen_classes
        and found.sample_id.tolist() == plan.store.sample_id[phase.rows].tolist()
        and found.subset.tolist() == phase.subset.tolist()
    )
    return found if same else None


def of_given_weights(
    wanted: Wanted, given: Path
) -> tuple[SkeletonFeatures, str] | None:
    """Features by weights from elsewhere; as ``of_trained`` otherwise."""
    from zskel.extractors.mm import register

    register()
    from zskel.extractors.probe import seen_logits
    from zskel.extractors.weights import head_classes, read_state

    features = _extracted(wanted, given, wanted.provenance["given_weights"]["sha256"],
                          head_classes(read_state(given), given))
    if features is None:
        return None
    phase, classes = wanted.phase, len(wanted.plan.store.class_names)
    train_rows = np.flatnonzero(np.isin(phase.rows, phase.train))
    logits, source = seen_logits(features.f_x, features.logits, features.label, train_rows,
                                 phase.seen_classes, classes)
    features = dataclasses.replace(
        features, logits=logits, preprocessing={**features.preprocessing, "logits": source})
    return features, f"given weights {given.name}, logits from the {source}"


def _extracted(
    wanted: Wanted, weights: Path, weights_sha256: str, outputs: int
) -> SkeletonFeatures | None:
    from zskel.extractors.features import load_model
    from zskel.extractors.mm import versions
    from zskel.extractors.shards import extract_in_processes, working_digest

    plan, phase = wanted.plan, wanted.phase
    rows, store = phase.rows, plan.store
    spec = _spec(wanted)
    work = f"extracting {wanted.what}"
    with bar(work) as tell, memory_in_one_line(work, "free some and start again"):
        model = load_model(spec, weights, outputs)
        digest = working_digest([wanted.provenance, weights_sha256, versions()])
        found = extract_in_processes(model, spec, store, rows, shard_folder(wanted.path, digest),
                                 on_progress=tell, on_notice=say)
    if found is None:
        return None
    made_by = {**versions(), **_joined(found.machines)}
    if found.cut:
        made_by["out_of_memory"] = f"{found.cut} of {found.passes} passes were run in parts"
        say(f"{made_by['out_of_memory']}: they did not fit into memory")
    return SkeletonFeatures(
        f_x=found.f_x, logits=found.logits, label=store.label[rows],
        sample_id=store.sample_id[rows], subset=phase.subset,
        **{name: getattr(store, name)[rows] for name in IDENTITY},
        dataset=store.dataset, sample_protocol=wanted.experiment.dataset.sample_protocol,
        phase=phase.name, class_names=store.class_names,
        seen_classes=phase.seen_classes, unseen_classes=phase.unseen_classes,
        backbone=spec.name, weights_sha256=weights_sha256,
        preprocessing={"cleaning": store.cleaning, "prepare": spec.prepare,
                       "test_pipeline": spec.test_pipeline, "logits": "head",
                       **({"autocast": spec.extract_autocast}
                          if spec.extract_autocast != "float32" else {})},
        config=wanted.provenance, software=made_by,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        notices=plan.notices,
    )


def _joined(machines: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What several machines are, each value once.

    >>> _joined([{"gpu": "A", "threads": "1"}, {"gpu": "B", "threads": "1"}])
    {'gpu': 'A; B', 'threads': '1'}
    """
    names = dict.fromkeys(name for each in machines for name in each)
    return {name: "; ".join(dict.fromkeys(each[name] for each in machines if name in each))
            for name in names}


def _spec(wanted: Wanted) -> BackboneSpec:
    """How features are extracted."""
    spec = backbone_spec(wanted.experiment, wanted.plan.store)
    transforms = wanted.provenance.get("view", {}).get("transforms", [])
    return dataclasses.replace(spec, test_pipeline=[*transforms, *spec.test_pipeline])


def _last_accuracy(history: Sequence[dict[str, float]]) -> str:
    accuracy = history[-1].get("top1_acc") if history else None
    return "unknown" if accuracy is None else f"{accuracy:.1%}"
