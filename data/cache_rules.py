"""What the caches of f_x and f_y hold, and the rules that they keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zskel.data.common.errors import BadCache
from zskel.data.pooled import wrong_axes

TRAIN, TEST, CALIBRATION = "train", "test", "calibration"
#: Which subsets a file of each phase holds.
SUBSETS_OF_PHASE: Mapping[str, tuple[str, str]] = {
    TEST: (TRAIN, TEST),
    CALIBRATION: (TRAIN, CALIBRATION),
}
IDENTITY = ("subject", "camera", "setup", "replication")
#: The arrays of ``SkeletonFeatures``, a row a clip.
ARRAYS = ("f_x", "logits", "label", "sample_id", "subset", *IDENTITY)
#: The arrays of ``TextFeatures`` that only some have.
TOKEN_ARRAYS = ("token_features", "token_mask")


@dataclass(frozen=True)
class SkeletonFeatures:
    """Skeleton features f_x of one phase, with everything needed to trust them.

    Attributes:
        f_x: Float32 ``[N, D]``; of a pooled view, float16 ``[N, ..., D]``.
        logits: Float32 ``[N, S]``; column j belongs to ``seen_classes[j]``.
        label: Int64 ``[N]``, index into ``class_names``.
        sample_id: ``[N]`` strings, unique.
        subset: ``[N]`` strings: "train" and "test", or "train" and "calibration".
        subject, camera, setup, replication: Int16 ``[N]``, -1 unknown.
        phase: "test" or "calibration".
        class_names: All classes of the data set, ``[C]``.
        seen_classes: Class indices the backbone was trained on, ascending.
        unseen_classes: Class indices held out from it: the unseen classes in
            the test phase, the validation-unseen ones in the calibration phase.
        backbone, weights_sha256: What computed f_x.
        preprocessing, config, software: JSON values.
        created: ISO 8601 time.
        notices: What looked wrong with the clips' coordinates (``zskel.data.plausibility``)
            or with how they were drawn, each with "code" and "text".
        pooled: What the axes of a pooled view are (``zskel.data.pooled.axes_of``); empty for
            features with one vector a clip.
    """

    f_x: np.ndarray
    logits: np.ndarray
    label: np.ndarray
    sample_id: np.ndarray
    subset: np.ndarray
    subject: np.ndarray
    camera: np.ndarray
    setup: np.ndarray
    replication: np.ndarray
    dataset: str
    sample_protocol: str
    phase: str
    class_names: tuple[str, ...]
    seen_classes: tuple[int, ...]
    unseen_classes: tuple[int, ...]
    backbone: str
    weights_sha256: str
    preprocessing: Any = field(default_factory=dict)
    config: Any = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    notices: tuple[Mapping[str, str], ...] = ()
    pooled: Mapping[str, Any] = field(default_factory=dict)

    def rows(self, subset: str) -> np.ndarray:
        """Indices of the rows of one subset."""
        return np.flatnonzero(self.subset == subset)


@dataclass(frozen=True)
class TextFeatures:
    """Text features f_y, one row a class.

    Attributes:
        f_y: Float32 ``[C, D]``.
        text: The strings that were embedded, ``[C]`` or ``[C, K]``.
        class_names: ``[C]``.
        encoder, encoder_revision: What computed f_y.
        text_source: "label", "description", ...
        config: JSON value: what the encoder and the source were made with.
        software: Versions and machine, where they are known.
        tokens: Int32 like ``text``: the length of each text in tokens of the encoder,
            before it cuts; -1 unknown. None: not counted.
        token_limit: How many of them the encoder reads, for each of the K texts of a
            class; -1 unknown.
        token_features: Float16 ``[C, L, Dl]``, what the encoder makes of every token, its
            special ones included; padding is all zeros. None: only f_y was asked for.
        token_mask: Bool ``[C, L]``: which are tokens and no padding.
    """

    f_y: np.ndarray
    text: np.ndarray
    class_names: tuple[str, ...]
    encoder: str
    encoder_revision: str
    text_source: str
    config: Any = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)
    tokens: np.ndarray | None = None
    token_limit: tuple[int, ...] = ()
    token_features: np.ndarray | None = None
    token_mask: np.ndarray | None = None


def check_skeleton_features(features: SkeletonFeatures, where: str) -> None:
    """Checks shapes, values and the seen/unseen rules.

    Args:
        features: What to check.
        where: Named at the start of the error message.

    Raises:
        BadCache: With the first broken rule.
    """
    count = len(features.label)
    for name in ARRAYS:
        length = len(getattr(features, name))
        require(length == count, where, f"/{name} has {length} rows, /label has {count}")
    require(count > 0, where, "holds no samples")
    _check_axes(features, where)
    require(0 not in features.f_x.shape, where, "/f_x has no columns")
    for name in ("f_x", "logits"):
        _require_finite(getattr(features, name), where, name)
    classes = len(features.class_names)
    require(classes > 0, where, "class_names is empty")
    bad = np.flatnonzero((features.label < 0) | (features.label >= classes))
    require(len(bad) == 0, where,
             lambda: f"/label[{bad[0]}] is {features.label[bad[0]]}, "
                     f"class_names has {classes} names")
    require(len(set(features.sample_id.tolist())) == count, where, "/sample_id has duplicates")
    require(features.phase in SUBSETS_OF_PHASE, where,
             f"phase is {features.phase!r}, expected one of {sorted(SUBSETS_OF_PHASE)}")
    expected = SUBSETS_OF_PHASE[features.phase]
    strange = sorted(set(features.subset.tolist()) - set(expected))
    require(not strange, where,
             f"/subset holds {strange[:3]}, "
             f"a {features.phase}-phase file has only {list(expected)}")
    require(isinstance(features.notices, tuple) and all(map(_is_notice, features.notices)), where,
             "attribute 'notices' is not a list of objects with texts 'code' and 'text'")
    _check_class_lists(features, where)
    columns = features.logits.shape[1]
    require(columns == len(features.seen_classes), where,
             f"/logits has {columns} columns, "
             f"seen_classes has {len(features.seen_classes)} classes")
    allowed = {subset: set(features.seen_classes) for subset in (TRAIN,)}
    if features.phase == CALIBRATION:
        allowed[CALIBRATION] = set(features.seen_classes) | set(features.unseen_classes)
    for subset, classes_allowed in allowed.items():
        found = set(features.label[features.rows(subset)].tolist()) - classes_allowed
        require(not found, where, lambda: (
            f"subset {subset!r} holds class {min(found)} "
            f"({features.class_names[min(found)]!r}), which is "
            f"{'unseen' if min(found) in features.unseen_classes else 'neither seen nor unseen'}"))


def check_text_features(features: TextFeatures, where: str) -> None:
    """Checks shapes and values.

    Raises:
        BadCache: With the first broken rule.
    """
    classes = len(features.class_names)
    require(classes > 0, where, "class_names is empty")
    require(features.f_y.ndim == 2 and features.f_y.shape[1] > 0, where,
             f"/f_y has shape {features.f_y.shape}, expected [C, D]")
    require(len(features.f_y) == classes, where,
             f"/f_y has {len(features.f_y)} rows, class_names has {classes} names")
    require(features.text.ndim in (1, 2) and len(features.text) == classes, where,
             f"/text has shape {features.text.shape}, expected [{classes}] or [{classes}, K]")
    _require_finite(features.f_y, where, "f_y")
    if features.tokens is not None:
        require(features.tokens.shape == features.text.shape, where,
                 f"tokens has shape {features.tokens.shape}, /text has {features.text.shape}")
        each = features.text.size // classes
        require(len(features.token_limit) == each, where,
                 f"token_limit has {len(features.token_limit)} values, expected {each}")
    empty = [name for name, row in zip(features.class_names, features.text.reshape(classes, -1))
             if not any(str(text).strip() for text in row)]
    require(not empty, where, lambda: f"class {empty[0]!r} has no text")
    _check_token_features(features, where)


def _check_token_features(features: TextFeatures, where: str) -> None:
    values, mask, classes = features.token_features, features.token_mask, len(features.class_names)
    if values is None or mask is None:
        require(values is mask, where, "has one of /token_features and /token_mask, not both")
        return
    require(values.ndim == 3 and len(values) == classes and 0 not in values.shape, where,
             f"/token_features has shape {values.shape}, expected [{classes}, L, D]")
    require(mask.shape == values.shape[:2] and mask.dtype.kind == "b", where,
             f"/token_mask is {mask.dtype} {mask.shape}, expected bool {values.shape[:2]}")
    _require_finite(values, where, "token_features")
    without = np.flatnonzero(~mask.any(axis=1))
    require(not len(without), where, lambda: (
        f"class {features.class_names[without[0]]!r} has no tokens"))
    wrong = np.argwhere(values.any(axis=2) != mask)
    require(not len(wrong), where, lambda: (
        f"/token_features of class {features.class_names[wrong[0][0]]!r}, token {wrong[0][1]}: "
        + ("is all zeros, /token_mask says that it is no padding" if mask[tuple(wrong[0])] else
           "is not zero, /token_mask says that it is padding")))


def check_same_classes(
    skeleton: SkeletonFeatures, other: SkeletonFeatures | TextFeatures, where: str
) -> None:
    """Checks that two caches speak of the same classes in the same order.

    Raises:
        BadCache: With the first difference.
    """
    ours, theirs = skeleton.class_names, other.class_names
    require(len(ours) == len(theirs), where,
             f"has {len(theirs)} classes, the skeleton cache has {len(ours)}")
    for index, (a, b) in enumerate(zip(ours, theirs)):
        require(a == b, where, f"class {index} is {b!r}, in the skeleton cache {a!r}")


def _check_axes(features: SkeletonFeatures, where: str) -> None:
    shape, pooled = features.f_x.shape, features.pooled
    if not pooled:
        require(len(shape) == 2, where, f"/f_x has {len(shape)} dimensions, expected 2")
        return
    try:
        problem = wrong_axes(shape, pooled)
    except (AttributeError, TypeError, ValueError):
        problem = "not what `pipeline extract` writes"
    require(not problem, where, f"attribute 'pooled': {problem}")


def _is_notice(value: Any) -> bool:
    return isinstance(value, Mapping) and {"code", "text"} <= set(value) and all(
        isinstance(each, str) for each in value.values())


def _check_class_lists(features: SkeletonFeatures, where: str) -> None:
    for name in ("seen_classes", "unseen_classes"):
        classes: Sequence[int] = getattr(features, name)
        require(len(classes) > 0, where, f"{name} is empty")
        require(list(classes) == sorted(set(classes)), where,
                 f"{name} is not ascending and unique")
        require(0 <= min(classes) and max(classes) < len(features.class_names), where,
                 f"{name} holds {max(classes)}, class_names has {len(features.class_names)} names")
    both = set(features.seen_classes) & set(features.unseen_classes)
    require(not both, where, lambda: f"class {min(both)} is both seen and unseen")


def require(condition: bool, where: str, problem: Any) -> None:
    """Raises BadCache unless a rule holds; the problem may be a function that words it."""
    if not condition:
        raise BadCache(f"{where}: {problem() if callable(problem) else problem}")


def _require_finite(array: np.ndarray, where: str, name: str) -> None:
    finite = np.isfinite(array)
    require(bool(finite.all()), where, lambda: (
        f"/{name} holds {int((~finite).sum())} non-finite values, the first in row "
        f"{int(np.argwhere(~finite)[0][0])}"))
