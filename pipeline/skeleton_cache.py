"""The skeleton caches of an experiment: trained for, extracted, or kept where current."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.caches import (
    IDENTITY,
    SkeletonFeatures,
    read_skeleton_features,
    write_skeleton_features,
)
from data.errors import BadCache
from data.files import digest_file, digest_json
from data.phases import Phase
from data.splits import ClassSplit
from data.store import SequenceStore
from extractors.distributed import agreed, barrier, is_main
from pipeline.bank import Bank, trained_digest
from pipeline.config import Experiment
from pipeline.progress import bar, say
from pipeline.workdir import WorkDir, write_pointer

if TYPE_CHECKING:
    from extractors.spec import BackboneSpec
    from extractors.training import TrainedBackbone

F_X, F_X_MASKED = "f_x", "f_x_masked"

#: What SMIE's code cuts out of a clip.
MASKING = {"type": "MaskMotionFrames", "motion_share": 0.3, "random_share": 0.3, "seed": 0}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What extraction works on, known once the store is there."""

    store: SequenceStore
    split: ClassSplit
    phases: tuple[Phase, Phase]
    calibration_group: str
    calibration_subjects: tuple[int, ...]


def skeleton_cache(
    experiment: Experiment, plan: Plan, phase: Phase, work: WorkDir,
    bank: Bank | None = None, given: Path | None = None,
) -> Path:
    """Writes or keeps the skeleton cache of a phase; trains its backbone if need be.

    Where the experiment asks for masked features their cache is written beside it.
    Of processes that work together the first writes; the others help to train.

    Args:
        experiment: Whose cache it is.
        plan: Store and phases of the experiment.
        phase: One of them.
        work: Where the cache belongs.
        bank: Where backbones are shared; None: in the work directory.
        given: Weights to use instead of training.

    Returns:
        The cache of f_x.

    Raises:
        PipelineError: Something is wrong with the config or the clips.
    """
    wanted = _wanted(experiment, plan, phase, given)
    # One decides for all: who trains waits for the others.
    missing = agreed([kind for kind, provenance in wanted.items()
                      if not is_current(work.skeleton(phase.name, kind), provenance)])
    for kind in wanted:
        if kind not in missing:
            say(f"kept {work.skeleton(phase.name, kind)}")
    if missing and given is None:
        trained = train(experiment, plan, phase, work, bank)
    for kind in missing if is_main() else ():
        path, provenance = work.skeleton(phase.name, kind), wanted[kind]
        if given is not None:
            features, note = _of_given_weights(experiment, plan, phase, provenance, given)
        else:
            features, note = _of_trained(experiment, plan, phase, provenance, trained, bank)
        write_skeleton_features(path, features)
        say(f"wrote {path}: {features.f_x.shape[0]} x {features.f_x.shape[1]}, {note}")
    return work.skeleton(phase.name)


def train(
    experiment: Experiment, plan: Plan, phase: Phase, work: WorkDir, bank: Bank | None = None
) -> TrainedBackbone:
    """Trains the backbone of a phase, goes on, or takes the one that is there.

    With a bank, it is trained there, by one command at a time, and the work
    directory names it.

    Raises:
        PipelineError: The config is wrong or the training diverges.
    """
    from extractors.mm import register

    register()
    from extractors.training import BackboneSpec, train_backbone, where

    spec = BackboneSpec(**experiment.backbone.model_dump())
    digest = spec.digest(plan.store, phase.train, phase.seen_classes)
    folder = work.own_backbone(phase.name) if bank is None else bank.backbone(digest)
    with ExitStack() as held:
        if bank is not None and is_main():
            what = f"the {phase.name}-phase {spec.name} of {experiment.name}"
            held.enter_context(bank.locked(folder, what))
            bank.adopt(work.own_backbone(phase.name), digest)
        # Processes that train together look for finished weights only once one has the lock.
        barrier()
        if trained_digest(folder) != digest:
            say(f"training the {phase.name}-phase {spec.name}: {where(spec)}")
        tell = held.enter_context(bar(f"training {phase.name}-phase {spec.name}"))
        trained = train_backbone(
            spec, plan.store, phase.train, phase.seen_classes, folder,
            lambda epoch, total, losses: tell(epoch, total, f"loss {losses['loss']:.3f}"),
        )
    if bank is not None and is_main():
        write_pointer(work.backbone_pointer(phase.name), folder, {
            "digest": digest, "name": spec.name, "weights_sha256": trained.weights_sha256,
            "bank": bank.seen_from(work.backbone_pointer(phase.name)),
        })
    return trained


def backbone_digest(experiment: Experiment, plan: Plan, phase: Phase) -> str:
    """Names the weights that ``train`` gives."""
    from extractors.spec import BackboneSpec

    spec = BackboneSpec(**experiment.backbone.model_dump())
    return spec.digest(plan.store, phase.train, phase.seen_classes)


def has_current_cache(experiment: Experiment, plan: Plan, phase: Phase, work: WorkDir) -> bool:
    """Whether a phase's skeleton caches are there and were made from the same."""
    return all(is_current(work.skeleton(phase.name, kind), provenance)
               for kind, provenance in _wanted(experiment, plan, phase).items())


def is_current(path: Path, provenance: dict[str, Any]) -> bool:
    """Whether a skeleton cache was made from this."""
    try:
        return digest_json(read_skeleton_features(path).config) == digest_json(provenance)
    except BadCache:
        return False


def _of_trained(
    experiment: Experiment, plan: Plan, phase: Phase, provenance: dict[str, Any],
    trained: TrainedBackbone, bank: Bank | None,
) -> tuple[SkeletonFeatures, str]:
    note = f"training accuracy {_last_accuracy(trained.history)}"
    shared = trained.weights.parent / _shared_name(provenance)
    if bank is not None:
        found = _shared(shared, plan, phase, trained.weights_sha256)
        if found is not None:
            protocol = experiment.dataset.sample_protocol
            return dataclasses.replace(
                found, config=provenance, sample_protocol=protocol), f"{note}, features shared"
    features = _extracted(experiment, plan, phase, provenance, trained.weights,
                          trained.weights_sha256, len(trained.classes))
    if bank is not None:
        write_skeleton_features(shared, features)
    return features, note


def _shared_name(provenance: Mapping[str, Any]) -> str:
    """Of the features that go with a backbone, by what its digest leaves open."""
    digest = provenance["phase_digest"]
    choices = [provenance.get("masking"), provenance["backbone"].get("extract_autocast")]
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


def _of_given_weights(
    experiment: Experiment, plan: Plan, phase: Phase, provenance: dict[str, Any], given: Path
) -> tuple[SkeletonFeatures, str]:
    from extractors.mm import register

    register()
    from extractors.probe import seen_logits
    from extractors.weights import head_classes, read_state

    features = _extracted(experiment, plan, phase, provenance, given,
                          provenance["given_weights"]["sha256"],
                          head_classes(read_state(given), given))
    train_rows = np.flatnonzero(np.isin(phase.rows, phase.train))
    logits, source = seen_logits(features.f_x, features.logits, features.label, train_rows,
                                 phase.seen_classes, len(plan.store.class_names))
    features = dataclasses.replace(
        features, logits=logits, preprocessing={**features.preprocessing, "logits": source})
    return features, f"given weights {given.name}, logits from the {source}"


def _extracted(
    experiment: Experiment, plan: Plan, phase: Phase, provenance: dict[str, Any],
    weights: Path, weights_sha256: str, outputs: int,
) -> SkeletonFeatures:
    from extractors.features import extract_features, load_model
    from extractors.mm import software

    spec, rows, store = _spec(experiment, provenance), phase.rows, plan.store
    model = load_model(spec, weights, outputs)
    masked = "masked " if "masking" in provenance else ""
    with bar(f"extracting {masked}{phase.name}-phase features") as tell:
        f_x, logits = extract_features(model, spec, store, rows, on_progress=tell)
    return SkeletonFeatures(
        f_x=f_x, logits=logits, label=store.label[rows], sample_id=store.sample_id[rows],
        subset=phase.subset,
        **{name: getattr(store, name)[rows] for name in IDENTITY},
        dataset=store.dataset, sample_protocol=experiment.dataset.sample_protocol,
        phase=phase.name, class_names=store.class_names,
        seen_classes=phase.seen_classes, unseen_classes=phase.unseen_classes,
        backbone=spec.name, weights_sha256=weights_sha256,
        preprocessing={"cleaning": store.cleaning, "prepare": spec.prepare,
                       "test_pipeline": spec.test_pipeline, "logits": "head",
                       **({"autocast": spec.extract_autocast}
                          if spec.extract_autocast != "float32" else {})},
        config=provenance, software=software(),
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def _spec(experiment: Experiment, provenance: Mapping[str, Any]) -> BackboneSpec:
    """How features are extracted."""
    from extractors.spec import BackboneSpec

    spec = BackboneSpec(**experiment.backbone.model_dump())
    if "masking" not in provenance:
        return spec
    return dataclasses.replace(
        spec, test_pipeline=[dict(provenance["masking"]), *spec.test_pipeline])


def _wanted(
    experiment: Experiment, plan: Plan, phase: Phase, given: Path | None = None
) -> dict[str, dict[str, Any]]:
    """The kinds of features that the experiment asks for, and everything that decides them."""
    provenance = _provenance(experiment, plan, phase)
    if given is not None:
        provenance["given_weights"] = {"file": given.name, "sha256": digest_file(given)}
    wanted = {F_X: provenance}
    if experiment.masked_features:
        wanted[F_X_MASKED] = {**provenance, "masking": MASKING}
    return wanted


def _provenance(experiment: Experiment, plan: Plan, phase: Phase) -> dict[str, Any]:
    return {
        "experiment": experiment.name,
        "split": plan.split.name,
        "split_source": plan.split.source,
        "validation_choice": plan.split.validation_choice,
        "calibration_subjects": list(plan.calibration_subjects),
        "backbone": experiment.backbone.model_dump(mode="json"),
        "store_digest": plan.store.digest,
        "phase_digest": digest_json([
            plan.store.sample_id[phase.rows].tolist(), phase.subset.tolist(),
        ]),
    }


def _last_accuracy(history: Sequence[dict[str, float]]) -> str:
    accuracy = history[-1].get("top1_acc") if history else None
    return "unknown" if accuracy is None else f"{accuracy:.1%}"
