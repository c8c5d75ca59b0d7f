"""Which caches may be used together, and which parts of them a method takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from zskel.data.caches import (
    CALIBRATION,
    TEST,
    TRAIN,
    SkeletonFeatures,
    TextFeatures,
    check_same_classes,
    check_skeleton_features,
    check_text_features,
)
from zskel.data.common.errors import BadCache, BadInput
from zskel.data.pooled import descriptors
from zskel.data.text_rows import check_distinct
from zskel.zsl.methods.base import ZeroShotMethod
from zskel.zsl.methods.checks import TOKENS, WHOLE

Text = TextFeatures | Mapping[str, TextFeatures]
"""Text features, or for methods with ``text_parts`` those of each part by name."""

Extra = Mapping[str, Sequence[SkeletonFeatures]]
"""Further skeleton features by the name that ``method.fit`` gives them, for each the
test-phase and the calibration-phase ones, with the same rows as the main ones."""

Method = ZeroShotMethod | type[ZeroShotMethod]

#: The feature views that the eight descriptors of ``zskel.data.pooled`` are read off.
DESCRIPTOR_VIEWS = ("joint_means", "frame_means")


def by_part(text: Text) -> Mapping[str, TextFeatures]:
    """Text features by part, "" for those of a method without ``text_parts``."""
    return text if isinstance(text, Mapping) else {"": text}


@dataclass(frozen=True)
class Caches:
    """All features of one class split, checked to belong together.

    Attributes:
        test: Test-phase features.
        calibration: Calibration-phase features, whose backbone has seen neither the
            validation-unseen classes nor the calibration rows.
        text: Text features of all classes; for methods with ``text_parts`` a mapping
            with those of each part.
        extra: For methods with ``extra_features`` or ``feature_views``, and for refinements
            with the latter.

    Raises:
        BadCache: They do not belong together.
    """

    test: SkeletonFeatures
    calibration: SkeletonFeatures
    text: Text
    extra: Extra = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_caches(self.test, self.calibration, self.text)


def check_caches(
    test: SkeletonFeatures, calibration: SkeletonFeatures, text: Text
) -> None:
    """Checks that caches can be used together without a leak.

    Raises:
        BadCache: With the first reason why not, in one line.
    """
    for features, phase in ((test, TEST), (calibration, CALIBRATION)):
        where = f"{phase}-phase skeleton features"
        _require(features.phase == phase,
                 f"{where}: phase is {features.phase!r}; are the files swapped?")
        check_skeleton_features(features, where)
    check_same_classes(test, calibration, "calibration-phase skeleton features")
    check_texts(test, text)
    for part, features_y in by_part(text).items():
        if not part:
            check_distinct(features_y, "text features")
    for name in ("dataset", "sample_protocol"):
        ours, theirs = getattr(test, name), getattr(calibration, name)
        _require(ours == theirs,
                 f"{name} is {ours!r} in the test phase and {theirs!r} in calibration")
    names = test.class_names

    test_seen, test_unseen = set(test.seen_classes), set(test.unseen_classes)
    leaked = (set(calibration.seen_classes) | set(calibration.unseen_classes)) - test_seen
    _require(not leaked, lambda: (
        f"calibration-phase skeleton features: class {min(leaked)} ({names[min(leaked)]!r}) "
        "is not a seen class of the test phase"))
    _require(len(calibration.unseen_classes) == len(test_unseen), lambda: (
        f"calibration phase: {len(calibration.unseen_classes)} validation-unseen classes, "
        f"but the test phase has {len(test_unseen)} unseen ones; the gate needs as many"))

    for features in (test, calibration):
        check_rows(features, f"{features.phase} phase")
    strange = set(test.label[test.rows(TEST)].tolist()) - test_seen - test_unseen
    _require(not strange, lambda: (
        f"test phase: subset 'test' holds class {min(strange)} ({names[min(strange)]!r}), "
        "which is neither seen nor unseen"))
    shared = set(test.sample_id[test.rows(TEST)].tolist()) & set(calibration.sample_id.tolist())
    _require(not shared, lambda: (
        f"calibration-phase skeleton features: sample {min(shared)!r} is also a test row"))


def check_texts(skeleton: SkeletonFeatures, text: Text) -> None:
    """Checks text features, and that they are of the skeleton features' classes.

    Raises:
        BadCache: With the first reason why not.
    """
    for part, features in by_part(text).items():
        where = f"{part} text features".strip()
        check_text_features(features, where)
        check_same_classes(skeleton, features, where)


def check_rows(features: SkeletonFeatures, where: str) -> None:
    """Checks that a phase has rows of every kind that it needs.

    Args:
        features: Of one phase.
        where: Named at the start of the error message.

    Raises:
        BadCache: A seen class has no train rows, or the held-out rows are all of seen or
            all of unseen classes.
    """
    names, phase = features.class_names, features.phase
    missing = set(features.seen_classes) - set(features.label[features.rows(TRAIN)].tolist())
    _require(not missing, lambda: (
        f"{where}: seen class {min(missing)} ({names[min(missing)]!r}) has no train rows"))
    unseen = np.isin(features.label[features.rows(phase)], features.unseen_classes)
    _require(bool(unseen.any() and not unseen.all()), lambda: (
        f"{where}: subset {phase!r} has {int((~unseen).sum())} rows of seen and "
        f"{int(unseen.sum())} of unseen classes, both are needed"))


def text_of(method: Method, text: Text) -> np.ndarray | dict[str, np.ndarray]:
    """f_y in the form that a method takes.

    Args:
        method: Fitted or not, or its class.
        text: Checked already.

    Raises:
        BadInput: The method takes parts and there are none, or the reverse.
    """
    parts = method.text_parts
    if not parts:
        if isinstance(text, Mapping):
            raise BadInput(f"{method.name} takes one set of text features, "
                           f"not parts ({', '.join(text)})")
        return whole_text(text, method.reads_tokens)
    given = text if isinstance(text, Mapping) else {}
    missing = [part for part in parts if part not in given]
    if missing:
        raise BadInput(f"{method.name} takes text features of each of {', '.join(parts)}; "
                       f"those of {missing[0]} are missing")
    return {part: given[part].f_y for part in parts}


def whole_text(text: TextFeatures, reads_tokens: bool) -> np.ndarray | dict[str, np.ndarray]:
    """f_y; with its tokens, if there are any, for a method that reads them."""
    if reads_tokens and text.token_features is not None:
        return {WHOLE: text.f_y, TOKENS: text.token_features}
    return text.f_y


def extra_of(
    method: Method, extra: Extra, features: SkeletonFeatures
) -> dict[str, np.ndarray]:
    """The further skeleton features that a method takes, ``[N, D]`` for all rows of a phase.

    Args:
        method: Fitted or not, or its class.
        extra: May hold more than the method takes.
        features: The main ones of the phase.

    Raises:
        BadInput: The method takes features that are not there.
        BadCache: Their rows are not those of ``features``.
    """
    # The method says itself which of them it cannot do without.
    found = _of_phase(method.name, method.extra_features, extra, features)
    return {name: each.f_x for name, each in found.items()}


def views_of(
    method: Method, extra: Extra, features: SkeletonFeatures
) -> dict[str, np.ndarray]:
    """The feature views that a method takes in place of f_x, ``[N, ..., D]`` each.

    Args:
        method, extra, features: See :func:`extra_of`.

    Raises:
        BadInput: One is not there.
        BadCache: Their rows are not those of ``features``.
    """
    found = _of_phase(method.name, method.feature_views, extra, features)
    for name in method.feature_views:
        if name not in found:
            raise BadInput(f"{method.name} takes the feature view {name} in place of f_x; that "
                           f"of the {features.phase} phase is missing")
    return {name: found[name].f_x for name in method.feature_views}


def descriptors_of(
    extra: Extra, features: SkeletonFeatures, rows: np.ndarray
) -> np.ndarray | None:
    """The eight descriptors of clips, ``[N, 8, D]``; None where a view of them is missing.

    Args:
        extra, features: See :func:`extra_of`.
        rows: Which clips.

    Raises:
        BadCache: See :func:`extra_of`.
    """
    found = _of_phase("the descriptors", DESCRIPTOR_VIEWS, extra, features)
    if len(found) < len(DESCRIPTOR_VIEWS):
        return None
    for name, view in found.items():
        _require(view.pooled.get("pool") == name,
                 f"{name} of the {features.phase} phase: is no view pooled as {name}")
    joints, frames = (found[name] for name in DESCRIPTOR_VIEWS)
    return descriptors(joints.f_x[rows], frames.f_x[rows], joints.pooled["parts"])


def input_of(method: Method, extra: Extra, features: SkeletonFeatures) -> np.ndarray:
    """What a method takes as f_x: that, or the values of its views, ``[N, D]``.

    Args:
        method, extra, features: See :func:`views_of`.

    Raises:
        BadCache, BadInput: See :func:`views_of`.
    """
    if not method.feature_views:
        return features.f_x
    return side_by_side(views_of(method, extra, features))


def side_by_side(views: Mapping[str, np.ndarray]) -> np.ndarray:
    """Values of views one after the other, a row a clip."""
    rows = [view.reshape(len(view), -1) for view in views.values()]
    return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)


def _of_phase(
    taker: str, names: Sequence[str], extra: Extra, features: SkeletonFeatures
) -> dict[str, SkeletonFeatures]:
    of_phase = {}
    for name in names:
        found = [other for other in extra.get(name, ()) if other.phase == features.phase]
        if not found:
            continue
        if len(found) != 1:
            raise BadInput(f"{taker} takes {name}: there must be one cache of it for the "
                           f"{features.phase} phase, there are {len(found)}")
        where = f"{name} of the {features.phase} phase"
        check_skeleton_features(found[0], where)
        _require(np.array_equal(found[0].sample_id, features.sample_id),
                 f"{where}: its sample_id are not those of the skeleton features, row for row")
        of_phase[name] = found[0]
    return of_phase


def _require(condition: bool, problem: str | Callable[[], str]) -> None:
    if not condition:
        raise BadCache(problem() if callable(problem) else problem)
