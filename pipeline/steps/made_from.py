"""Whether the caches that stage two takes are of what its config asks for, as far as they tell.

Each cache holds what it was made from. What no feature depends on is of no account, nor is
what a cache does not tell: that of an earlier version, or an imported one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zskel.data.caches import TEST, SkeletonFeatures, TextFeatures, read_decided
from zskel.data.classes import class_names
from zskel.data.common.errors import BadCache
from zskel.data.store import SequenceStore
from zskel.pipeline.base.changes import differences, few
from zskel.pipeline.base.config import BackboneConfig, Experiment, FeatureView, TextConfig
from zskel.pipeline.base.schema import Section
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.phase_plan import Plan, make_plan, resolve_split

#: Of a backbone's config, what is filled in from the joints of the clips.
_OF_JOINTS = {"model", "prepare", "train_pipeline", "test_pipeline"}


def check_made_from(
    experiment: Experiment, work: WorkDir, both: Sequence[SkeletonFeatures],
    texts: Mapping[str, TextFeatures], views: Collection[str] = (),
) -> None:
    """Checks that the caches which methods take are those that the experiment asks for.

    Args:
        experiment: From ``load_experiment``.
        work: Where the caches are.
        both: What methods take for f_x, of both phases or one.
        texts: Text features by part; "": f_y.
        views: Further skeleton features that are there and taken, by name.

    Raises:
        BadConfig: The split is impossible, or the config does not fit the clips.
        BadCache: A cache was made from something else; the message names the key.
    """
    main, decided = experiment.fit.features, both[0].config
    refuse = partial(_refuse, _are_imported(experiment, decided))
    for features in both:
        refuse(work.skeleton(features.phase, main), _content_changes(experiment, features))
    plan = _plan(experiment, work, decided)
    for features in both:
        for name in [main, *sorted(experiment.feature_views.keys() & {*views} - {main})]:
            path = work.skeleton(features.phase, name)
            decided = features.config if name == main else read_decided(path)
            refuse(path, _decided_changes(experiment, plan, features.phase, name, decided, work))
    for part, text in texts.items():
        config = experiment.class_text_parts.get(part) if part else experiment.class_text
        refuse(work.text_part(part) if part else work.text, text_changes_of(config, text))


def text_changes_of(config: TextConfig | None, found: TextFeatures) -> list[str]:
    """In what a text cache differs from a section; nothing where it does not tell.

    Args:
        config: The section; None: anything goes.
        found: The cache.
    """
    then = _as_today(TextConfig, found.config)
    now = config and _as_today(TextConfig, config.model_dump())
    return differences(then, now, "class_text") if then and now else []


def _refuse(imported: bool, path: Path, changes: list[str]) -> None:
    if changes:
        raise BadCache(f"{path}: is not what the config asks for: {few(changes)}; " + (
            "the features were imported: `pipeline import` makes others" if imported else
            "run `pipeline extract`, or give the options here that were given there"))


def _are_imported(experiment: Experiment, decided: Any) -> bool:
    """Whether features come from elsewhere; those exported by us still say how they were made."""
    return experiment.imported is not None or (
        isinstance(decided, Mapping) and "imported" in decided)


def _content_changes(experiment: Experiment, features: SkeletonFeatures) -> list[str]:
    """Data set and class split, which every cache tells."""
    dataset, decided = experiment.dataset, features.config
    imported = _are_imported(experiment, decided)
    if not imported and not (isinstance(decided, Mapping) and "backbone" in decided):
        return []  # of another maker
    then: dict[str, Any] = {
        "name": features.dataset, "class_names": list(features.class_names),
        "sample_protocol": features.sample_protocol}
    now: dict[str, Any] = {
        "name": dataset.name, "class_names": list(class_names(dataset.name)),
        "sample_protocol": dataset.sample_protocol}
    if imported:
        now = {key: value for key, value in now.items() if key in dataset.model_fields_set}
    elif "cleaning" in features.preprocessing:
        then["cleaning"], now["cleaning"] = features.preprocessing["cleaning"], dataset.cleaning
    changes = differences({key: then[key] for key in now}, now, "dataset")
    if changes:
        return changes
    key = "unseen" if features.phase == TEST else "validation_unseen"
    asked = getattr(experiment.split, key)
    if experiment.imported is None and (asked is not None or not imported):
        asked = getattr(resolve_split(experiment), key)
    # Tuples, which are told as a whole.
    own = differences(features.unseen_classes, tuple(sorted(asked)), f"split.{key}") \
        if asked is not None else []
    if own and isinstance(decided, Mapping) and "split" in decided:
        return [*differences(decided["split"], experiment.split.name, "split.name"), *own]
    return own


def _plan(experiment: Experiment, work: WorkDir, decided: Any) -> Plan | None:
    """What extraction would work on, where the clips of the caches are there."""
    if experiment.imported is not None or not isinstance(decided, Mapping):
        return None
    try:
        store = SequenceStore(work.store)
    except BadCache:
        return None  # caches are enough to fit
    same = store.digest == decided.get("store_digest")
    return make_plan(experiment, store, resolve_split(experiment)) if same else None


def _decided_changes(
    experiment: Experiment, plan: Plan | None, phase: str, name: str, then: Any, work: WorkDir
) -> list[str]:
    """What else decided the features of a phase and has changed, where their cache tells."""
    from zskel.pipeline.steps.skeleton_cache import as_written_today, wanted_features

    if experiment.imported is not None or not isinstance(then, Mapping) or "backbone" not in then:
        return []
    before = _as_sections(as_written_today(then), name)
    if plan is None:
        backbone = experiment.needed_backbone.model_dump(mode="json")
        before, now = ({key: value for key, value in (made or {}).items() if key not in _OF_JOINTS}
                       for made in (before["backbone"], backbone))
        return differences(before, now, "backbone") if before else []
    own = next(each for each in plan.phases if each.name == phase)
    provenance = next(each.provenance for each in wanted_features(experiment, plan, own, work)
                      if each.name == name)
    asked = _as_sections(json.loads(json.dumps(provenance)), name)
    known = [key for key, value in before.items() if value is not None]
    changes = differences({key: before[key] for key in known}, {key: asked[key] for key in known})
    # The clips of the test phase do not depend on who calibrates, but the reverse holds.
    told = changes and (phase != TEST or "test_clips" in provenance)
    if told or then.get("phase_digest") in (None, provenance["phase_digest"]):
        return changes
    return ["its clips are not those that dataset.train and dataset.group choose", *changes]


def _as_sections(decided: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a cache says that decided it by the keys of a config; None: it does not tell."""
    drawn, subjects = decided.get("calibration_clips"), decided.get("calibration_subjects")
    view = decided.get("view")
    return {
        "backbone": _as_today(BackboneConfig, decided["backbone"]),
        f"feature_views.{name}": view and _as_today(FeatureView, view),
        "dataset": {f"test_{key}": value for key, value in decided.get("test_clips", {}).items()},
        # A tuple is told as a whole.
        "calibration": drawn or (subjects and {"subjects": tuple(subjects)}),
    }


def _as_today(section: type[Section], content: Any) -> dict[str, Any] | None:
    """A section from a cache with today's defaults; None where it is no such section."""
    try:
        return section.model_validate(content).model_dump(mode="json")
    except ValidationError:
        return None
