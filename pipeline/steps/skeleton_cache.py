"""The skeleton caches of an experiment: trained for, extracted, or kept where current."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zskel.data.caches import read_skeleton_features, write_skeleton_features
from zskel.data.common.errors import BadCache
from zskel.data.common.files import digest_file, digest_json
from zskel.data.phases import Phase
from zskel.data.protocols import CLIP, RANDOM_CLIPS
from zskel.extractors.distributed import agreed, barrier, is_main
from zskel.extractors.shard_files import drop_shards
from zskel.pipeline.base.changes import differences
from zskel.pipeline.base.config import Experiment
from zskel.pipeline.base.determinism import tell_if_not_deterministic
from zskel.pipeline.base.progress import bar, say
from zskel.pipeline.base.workdir import WorkDir, write_pointer
from zskel.pipeline.steps.extraction import (
    Wanted,
    check_view,
    of_given_weights,
    of_one_pass,
    of_trained,
)
from zskel.pipeline.steps.model_store import ModelStore, trained_digest, trained_with
from zskel.pipeline.steps.phase_plan import Plan, backbone_config, backbone_spec, feature_view
from zskel.pipeline.steps.text_cache import supervising_text

if TYPE_CHECKING:
    from zskel.extractors.training import TrainedBackbone

__all__ = ["Plan", "backbone_digest", "cache_changes", "has_current_cache", "skeleton_cache",
           "train"]


def skeleton_cache(
    experiment: Experiment, plan: Plan, phase: Phase, work: WorkDir,
    model_store: ModelStore | None = None, given: Path | None = None,
) -> Path:
    """Writes or keeps the skeleton cache of a phase; trains its backbone if need be.

    The caches of the experiment's feature views are written beside it.
    Of processes that work together the first writes; all train and extract.

    Args:
        experiment: Whose cache it is.
        plan: Store and phases of the experiment.
        phase: One of them.
        work: Where the cache belongs.
        model_store: Where backbones are shared; None: in the work directory.
        given: Weights to use instead of training.

    Returns:
        The cache of f_x.

    Raises:
        PipelineError: Something is wrong with the config or the clips.
    """
    all_wanted = wanted_features(experiment, plan, phase, work, given)
    # One decides for all: who trains waits for the others.
    missing = agreed([wanted.name for wanted in all_wanted if not _is_current(wanted)])
    for wanted in all_wanted:
        if wanted.name not in missing:
            say(f"kept {wanted.path}")

            def software(path: Path = wanted.path) -> Mapping[str, str]:
                return read_skeleton_features(path).software

            tell_if_not_deterministic(wanted.path, software)
    to_make = [wanted for wanted in all_wanted if wanted.name in missing]
    for wanted in to_make:
        check_view(wanted)
    if missing and given is None:
        trained = train(experiment, plan, phase, work, model_store)
    for together in of_one_pass(to_make):
        if given is not None:
            kept = work.own_store.parent if model_store is None else model_store.root
            made = of_given_weights(together, given, kept / "features", model_store)
        else:
            made = of_trained(together, trained, model_store)
        for wanted, (features, note) in zip(together, made):
            write_skeleton_features(wanted.path, features)
            say(f"wrote {wanted.path}: {' x '.join(map(str, features.f_x.shape))}, {note}")
    if is_main():
        for wanted in all_wanted:
            drop_shards(wanted.path)
    return work.skeleton(phase.name)


def train(
    experiment: Experiment, plan: Plan, phase: Phase, work: WorkDir,
    model_store: ModelStore | None = None,
) -> TrainedBackbone:
    """Trains the backbone of a phase, goes on, or takes the one that is there.

    With a model store, it is trained there, by one command at a time, and the work
    directory names it.

    Raises:
        PipelineError: The config is wrong or the training diverges.
    """
    from zskel.extractors.mm import register

    register()
    from zskel.extractors.training import train_backbone, where

    spec = backbone_spec(experiment, plan.store, supervising_text(experiment, work))
    digest = spec.digest(plan.store, phase.train, phase.seen_classes)
    folder = work.own_backbone(phase.name) if model_store is None else model_store.backbone(digest)
    with ExitStack() as held:
        if model_store is not None and is_main():
            what = f"the {phase.name}-phase {spec.name} of {experiment.name}"
            held.enter_context(model_store.locked(folder, what))
            model_store.adopt(work.own_backbone(phase.name), digest)
        # Processes that train together look for finished weights only once one has the lock.
        barrier()
        if trained_digest(folder) != digest:
            say(f"training the {phase.name}-phase {spec.name}: {where(spec)}")
        else:
            tell_if_not_deterministic(folder, lambda: trained_with(folder))
        tell = held.enter_context(bar(f"training {phase.name}-phase {spec.name}"))
        trained = train_backbone(
            spec, plan.store, phase.train, phase.seen_classes, folder,
            lambda epoch, total, losses: tell(epoch, total, f"loss {losses['loss']:.3f}"),
        )
    if model_store is not None and is_main():
        write_pointer(work.backbone_pointer(phase.name), folder, {
            "digest": digest, "name": spec.name, "weights_sha256": trained.weights_sha256,
            "bank": model_store.seen_from(work.backbone_pointer(phase.name)),
        })
    return trained


def backbone_digest(
    experiment: Experiment, plan: Plan, phase: Phase, work: WorkDir
) -> str | None:
    """Names the weights that ``train`` gives; None where they need texts that are to come."""
    spec = backbone_spec(experiment, plan.store, supervising_text(experiment, work))
    if spec.text_supervision is not None and spec.text is None:
        return None
    return spec.digest(plan.store, phase.train, phase.seen_classes)


def has_current_cache(experiment: Experiment, plan: Plan, phase: Phase, work: WorkDir) -> bool:
    """Whether a phase's skeleton caches are there and were made from the same."""
    return all(map(_is_current, wanted_features(experiment, plan, phase, work)))


def cache_changes(
    experiment: Experiment, plan: Plan, phase: Phase, work: WorkDir
) -> dict[Path, list[str]]:
    """The skeleton caches of a phase, and what decides each and has changed; [] where nothing has.

    Weights that were given to ``extract`` are no part of the config and of no account here.
    """
    changes: dict[Path, list[str]] = {}
    for wanted in wanted_features(experiment, plan, phase, work):
        try:
            then = _made_from(wanted.path)
        except BadCache as error:
            changes[wanted.path] = [str(error)]
            continue
        then.pop("given_weights", None)
        changes[wanted.path] = differences(then, json.loads(json.dumps(wanted.provenance)))
    return changes


def _is_current(wanted: Wanted) -> bool:
    """Whether a cache is there and was made from the same."""
    try:
        return digest_json(_made_from(wanted.path)) == digest_json(wanted.provenance)
    except BadCache:
        return False


def _made_from(path: Path) -> dict[str, Any]:
    config = read_skeleton_features(path).config
    return as_written_today(config) if isinstance(config, Mapping) else {}


def as_written_today(decided: Mapping[str, Any]) -> dict[str, Any]:
    """What a cache says that decided it, as it would be written today."""
    then = dict(decided)
    if "masking" in then:  # before there were views, of the one that there was
        then["view"] = {"transforms": [then.pop("masking")]}
    if then.get("split_source") == "data.synthetic":  # before all had one import name
        then["split_source"] = "zskel.data.synthetic"
    return then


def wanted_features(
    experiment: Experiment, plan: Plan, phase: Phase, work: WorkDir, given: Path | None = None
) -> list[Wanted]:
    """f_x and the feature views that the experiment asks for."""
    provenance = _provenance(experiment, plan, phase)
    if experiment.needed_backbone.text_supervision is not None:
        text = supervising_text(experiment, work)
        provenance["supervising_text"] = None if text is None else digest_json(
            text[list(phase.seen_classes)].tolist())
    if given is not None:
        provenance["given_weights"] = {"file": given.name, "sha256": digest_file(given)}
    decided = {"f_x": provenance}
    for name, view in experiment.feature_views.items():
        content = feature_view(view, plan.store).model_dump(mode="json")
        decided[name] = {**provenance, "view": content}
    return [Wanted(experiment, plan, phase, name, each, work.skeleton(phase.name, name))
            for name, each in decided.items()]


def _provenance(experiment: Experiment, plan: Plan, phase: Phase) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    if experiment.dataset.sample_protocol == RANDOM_CLIPS:
        drawn["test_clips"] = {"share": experiment.dataset.test_share,
                               "seed": experiment.dataset.test_seed}
    if plan.calibration_group == CLIP:
        drawn["calibration_clips"] = {"share": experiment.calibration.share,
                                      "seed": experiment.calibration.seed}
    return {
        "experiment": experiment.name,
        "split": plan.split.name,
        "split_source": plan.split.source,
        "validation_choice": plan.split.validation_choice,
        "calibration_subjects": list(plan.calibration_subjects),
        **drawn,
        "backbone": backbone_config(experiment, plan.store).model_dump(mode="json"),
        "store_digest": plan.store.digest,
        "phase_digest": digest_json([
            plan.store.sample_id[phase.rows].tolist(), phase.subset.tolist(),
        ]),
    }
