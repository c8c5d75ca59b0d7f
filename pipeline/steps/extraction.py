"""Skeleton features by a backbone: extracted by all processes, or found where they are shared."""

from __future__ import annotations

import dataclasses
import datetime
import json
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
from zskel.extractors.shard_files import (
    Shard,
    drop_shards,
    read_shard,
    shard_folder,
    write_shard,
)
from zskel.pipeline.base.config import Experiment
from zskel.pipeline.base.progress import bar, say
from zskel.pipeline.steps.model_store import ModelStore
from zskel.pipeline.steps.phase_plan import Plan, backbone_spec

if TYPE_CHECKING:
    from zskel.extractors.spec import BackboneSpec
    from zskel.extractors.training import TrainedBackbone

#: Of a backbone's config, what features by given weights depend on.
_DECIDES_FEATURES = ("model", "prepare", "test_pipeline", "extract_autocast", "code")


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
        made = _extracted(wanted, wanted.what, wanted.phase.rows, trained.weights,
                          len(trained.classes), wanted.path,
                          [wanted.provenance, trained.weights_sha256])
        if made is None:
            return None
        features = _features(wanted, made.f_x, made.logits, trained.weights_sha256,
                             json.loads(made.machine), "head")
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
    wanted: Wanted, given: Path, folder: Path, model_store: ModelStore | None = None
) -> tuple[SkeletonFeatures, str] | None:
    """Features by weights from elsewhere; as ``of_trained`` otherwise.

    Such weights give the same features whatever the class split. So all clips of the
    store are extracted at once, and any split or phase takes its rows from there.

    Args:
        wanted, model_store: As for ``of_trained``.
        given: The weights.
        folder: Where the features of all clips are kept, each in a folder of its own.
    """
    of_all = _of_all_clips(wanted, given, folder, model_store)
    if of_all is None:
        return None
    from zskel.extractors.probe import seen_logits

    everything, shared = of_all
    phase, store = wanted.phase, wanted.plan.store
    f_x, logits = everything.f_x[phase.rows], everything.logits[phase.rows]
    train_rows = np.flatnonzero(np.isin(phase.rows, phase.train))
    logits, source = seen_logits(f_x, logits, store.label[phase.rows], train_rows,
                                 phase.seen_classes, len(store.class_names))
    features = _features(wanted, f_x, logits, wanted.provenance["given_weights"]["sha256"],
                         json.loads(everything.machine), source)
    note = f"given weights {given.name}, logits from the {source}"
    return features, f"{note}, features shared" if shared else note


def _of_all_clips(
    wanted: Wanted, given: Path, folder: Path, model_store: ModelStore | None
) -> tuple[Shard, bool] | None:
    """All clips of the store in one shard, and whether it was there; None as ``of_trained``."""
    provenance, store = wanted.provenance, wanted.plan.store
    backbone = provenance["backbone"]
    decided_by = [store.digest, provenance["given_weights"]["sha256"], provenance.get("view"), {
        key: backbone[key] for key in _DECIDES_FEATURES if key in backbone}]
    path = folder / digest_json(decided_by)[:16] / "features.npz"
    rows, found = np.arange(len(store)), None
    what = "features of all clips" + ("" if wanted.name == "f_x" else f" ({wanted.name})")
    with ExitStack() as held:
        if is_main():
            if model_store is not None:
                held.enter_context(model_store.locked(
                    path.parent, f"the {what} of {wanted.experiment.name}"))
            found = read_shard(path, rows)
        if agreed(found is not None):
            return None if found is None else (found, True)

        from zskel.extractors.mm import register

        register()
        from zskel.extractors.weights import head_classes, read_state

        found = _extracted(wanted, what, rows, given, head_classes(read_state(given), given),
                           path, decided_by)
        if found is None:
            return None
        write_shard(path, found)
        drop_shards(path)
    return found, False


def _extracted(
    wanted: Wanted, what: str, rows: np.ndarray, weights: Path, outputs: int, path: Path,
    decided_by: list[Any],
) -> Shard | None:
    """Features of some rows in the first process, with versions and machines.

    Args:
        wanted: How they are extracted.
        what: As messages call them.
        rows: Of the store.
        weights, outputs: The weights and how many classes their head has.
        path: The file that they will become.
        decided_by: JSON values of everything but software and machine that decides them.
    """
    from zskel.extractors.features import load_model
    from zskel.extractors.mm import versions
    from zskel.extractors.shards import extract_in_processes, working_digest

    spec, store = _spec(wanted), wanted.plan.store
    work = f"extracting {what}"
    with bar(work) as tell, memory_in_one_line(work, "free some and start again"):
        model = load_model(spec, weights, outputs)
        digest = working_digest([*decided_by, versions()])
        found = extract_in_processes(model, spec, store, rows, shard_folder(path, digest),
                                     on_progress=tell, on_notice=say)
    if found is None:
        return None
    made_by = {**versions(), **_joined(found.machines)}
    if found.cut:
        made_by["out_of_memory"] = f"{found.cut} of {found.passes} passes were run in parts"
        say(f"{made_by['out_of_memory']}: they did not fit into memory")
    return Shard(rows, found.f_x, found.logits, found.cut, json.dumps(made_by))


def _features(
    wanted: Wanted, f_x: np.ndarray, logits: np.ndarray, weights_sha256: str,
    made_by: Mapping[str, str], logits_from: str,
) -> SkeletonFeatures:
    """The cache's content, of the rows of the phase."""
    plan, phase, spec = wanted.plan, wanted.phase, _spec(wanted)
    rows, store = phase.rows, plan.store
    return SkeletonFeatures(
        f_x=f_x, logits=logits, label=store.label[rows],
        sample_id=store.sample_id[rows], subset=phase.subset,
        **{name: getattr(store, name)[rows] for name in IDENTITY},
        dataset=store.dataset, sample_protocol=wanted.experiment.dataset.sample_protocol,
        phase=phase.name, class_names=store.class_names,
        seen_classes=phase.seen_classes, unseen_classes=phase.unseen_classes,
        backbone=spec.name, weights_sha256=weights_sha256,
        preprocessing={"cleaning": store.cleaning, "prepare": spec.prepare,
                       "test_pipeline": spec.test_pipeline, "logits": logits_from,
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
