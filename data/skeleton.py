"""What a clip is, and how the joints of one sensor map to those of another.

A clip's coordinates are an array ``keypoint`` of shape ``[M, T, V, 3]``: bodies,
frames, joints, (x, y, z) in metres, the order mmaction2 uses. A body that is
absent in a frame is all zeros there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zskel.data.common.errors import BadConfig
from zskel.data.common.registry import nearest
from zskel.data.layouts import (
    KINECT_V1,
    KINECT_V1_TO_NTU,
    LAYOUTS,
    NTU_RGBD,
    TO_NTU,
    UTD_MHAD,
    JointLayout,
)

__all__ = [
    "KINECT_V1", "KINECT_V1_TO_NTU", "LAYOUTS", "NTU_RGBD", "UNKNOWN", "UTD_MHAD", "Clip",
    "JointLayout", "JointMapping", "layout_of", "layouts_of",
    "mapping_by_name", "off_origin", "present"]

UNKNOWN = -1


@dataclass(frozen=True)
class Clip:
    """One labelled recording.

    Attributes:
        sample_id: Unique within the data set; survives into the caches.
        label: Index into the data set's class names.
        keypoint: Float32 ``[M, T, V, 3]``, metres; an absent body is zeros.
        subject, camera, setup, replication: As the data set numbers them, or
            ``UNKNOWN`` (-1).
    """

    sample_id: str
    label: int
    keypoint: np.ndarray
    subject: int = UNKNOWN
    camera: int = UNKNOWN
    setup: int = UNKNOWN
    replication: int = UNKNOWN


@dataclass(frozen=True)
class JointMapping:
    """A linear map from one layout's joints to another's.

    Each target joint is a weighted mean of source joints. Target joints that
    ``named`` leaves out take the source joint of the same name.

    Raises:
        ValueError: A target joint has no source, or a name is unknown.
    """

    source: JointLayout
    target: JointLayout
    named: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def matrix(self) -> np.ndarray:
        """Float32 ``[V_target, V_source]``; every row sums to 1."""
        matrix = np.zeros((self.target.num_joints, self.source.num_joints), np.float32)
        for row, joint in enumerate(self.target.joints):
            for name, weight in self.named.get(joint, {joint: 1.0}).items():
                if name not in self.source.joints:
                    raise ValueError(
                        f"joint {joint!r} of layout {self.target.name!r} has no source: "
                        f"layout {self.source.name!r} has no joint {name!r}"
                    )
                matrix[row, self.source.index(name)] = weight
        return matrix

    def __call__(self, keypoint: np.ndarray) -> np.ndarray:
        """Maps ``[..., V_source, 3]`` to ``[..., V_target, 3]``, float32.

        A joint that stands for one that was not tracked (zeros) is zeros, too.
        """
        matrix = self.matrix()
        mapped = np.einsum("ts,...sc->...tc", matrix, keypoint, dtype=np.float32)
        missing = ~np.any(np.asarray(keypoint) != 0, axis=-1)
        if missing.any():
            mapped[missing @ (matrix > 0).T] = 0
        return mapped


def mapping_by_name(
    source: JointLayout, target: JointLayout = NTU_RGBD
) -> JointMapping | None:
    """The map between two layouts as far as their joints' names tell it.

    Returns:
        For a shipped layout, what ``TO_NTU`` says; for others the map of joints
        of the same name; if some have none, the one that also knows
        ``KINECT_V1_TO_NTU``; None if that is not enough either.

    >>> mapping_by_name(LAYOUTS["coco-17"]).target.name
    'nturgb+d'
    """
    known: Mapping[str, Mapping[str, float]] = (
        TO_NTU.get(source.name, {}) if source == LAYOUTS.get(source.name) else {})
    for named in (known, KINECT_V1_TO_NTU):
        mapping = JointMapping(source, target, named)
        try:
            mapping.matrix()
        except ValueError:
            continue
        return mapping
    return None


def layout_of(spec: str | Mapping[str, Any]) -> JointLayout:
    """A layout by name, or one's own as a config gives it.

    Args:
        spec: A name of ``LAYOUTS``, or ``joints`` (names in array order) and
            ``bones`` (pairs of child and parent), both required; ``center``,
            ``spine`` (lower, upper), ``shoulders`` and ``hips`` (left, right),
            required unless the joints are named as in ``NTU_RGBD``; ``name``,
            "custom" if left out. Joints are given by name or index.

    Raises:
        BadConfig: The layout is unknown, or its bones are no tree.

    >>> own = layout_of(dict(joints=["hip", "chest", "left", "right"],
    ...     bones=[["chest", "hip"], ["left", "chest"], ["right", "chest"]], center="hip",
    ...     spine=["hip", "chest"], shoulders=["left", "right"], hips=["left", "right"]))
    >>> own.bones, own.shoulders
    (((1, 0), (2, 1), (3, 1)), (2, 3))
    """
    if isinstance(spec, str):
        if spec not in LAYOUTS:
            raise BadConfig(f"layout {spec!r}: {nearest(spec, LAYOUTS)} "
                            "(one of your own is given by joints and bones)")
        return LAYOUTS[spec]
    known = {"name", "joints", "bones", *_ORIENTING}
    wrong = sorted(set(spec) - known)
    if wrong or not {"joints", "bones"} <= set(spec):
        problem = f"unknown key {wrong[0]!r}" if wrong else "needs 'joints' and 'bones'"
        raise BadConfig(f"layout: {problem}; a layout has {', '.join(sorted(known))}")
    joints = tuple(spec["joints"])
    if not joints or not all(isinstance(j, str) for j in joints) or len({*joints}) < len(joints):
        raise BadConfig("layout: 'joints' has to be a list of different names")
    bones: tuple[Any, ...] = tuple(
        _joint_indices(bone, joints, 2, "bones") for bone in spec["bones"])
    _check_tree(bones, len(joints))
    orient: dict[str, Any] = {}
    for key, count in _ORIENTING.items():
        value = spec.get(key)
        if value is None:
            default = getattr(NTU_RGBD, key)
            value = [NTU_RGBD.joints[j] for j in ([default] if count == 1 else default)]
            if not set(value) <= set(joints):
                raise BadConfig(f"layout: {key!r} is missing, and no joints are named {value}")
        indices = _joint_indices(value, joints, count, key)
        orient[key] = indices[0] if count == 1 else indices
    return JointLayout(str(spec.get("name", "custom")), joints, bones, **orient)


def layouts_of(joints: int, but: str = "") -> str:
    """What to suggest for clips of so many joints.

    >>> layouts_of(17), layouts_of(18)
    ('coco-17, h36m-17', 'none that ships; give joints and bones of your own')
    """
    names = sorted({name for name, known in LAYOUTS.items() if known.num_joints == joints} - {but})
    return ", ".join(names) or "none that ships; give joints and bones of your own"


_ORIENTING = {"center": 1, "spine": 2, "shoulders": 2, "hips": 2}


def _joint_indices(value: Any, joints: Sequence[str], count: int, key: str) -> tuple[int, ...]:
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(items) != count:
        raise BadConfig(f"layout: {key!r} takes {count} joint(s), found {value!r}")
    for item in items:
        index = isinstance(item, int) and not isinstance(item, bool)
        if not (0 <= item < len(joints) if index else item in joints):
            raise BadConfig(f"layout: {key!r} names joint {item!r}, which 'joints' has not")
    return tuple(item if isinstance(item, int) else joints.index(item) for item in items)


def _check_tree(bones: Sequence[tuple[int, int]], count: int) -> None:
    parents = dict(bones)
    if len(bones) != count - 1 or len(parents) != len(bones):
        raise BadConfig(f"layout: {count} joints need {count - 1} bones, one (child, parent) for "
                        f"each joint but the root; found {len(bones)}")
    for start in range(count):
        joint = start
        for _ in range(count):
            joint = parents.get(joint, joint)
        if joint in parents:
            raise BadConfig(f"layout: the bones from joint {start} run in a circle")


def present(keypoint: np.ndarray) -> np.ndarray:
    """Bool ``[M, T]``: where a body has any non-zero coordinate."""
    return np.any(keypoint != 0, axis=(2, 3))


def off_origin(keypoint: np.ndarray, layout: JointLayout) -> np.ndarray:
    """Moves poses away that are relative to one of their joints, as lifted ones are.

    Zeros mean that a joint was not tracked. The joint that all others are relative
    to would count as that, and normalizations that turn by it would turn nothing.

    Args:
        keypoint: ``[M, T, V, 3]``, joints as ``layout``.
        layout: Its root, centre and spine are the joints that poses are relative to.

    Returns:
        The clip with 2 m added to z, if such a joint is at the origin in all frames
        and the origin lies within the bodies; otherwise as it is.
    """
    here = present(keypoint)
    poses = keypoint[here]
    trunk = {*range(layout.num_joints)} - {child for child, _ in layout.bones}
    zero = [joint for joint in {*trunk, layout.center, *layout.spine} if not poses[:, joint].any()]
    tracked = (keypoint != 0).any(axis=-1)
    if not zero or not here.any():
        return keypoint
    there = tracked[here][..., None]
    low = np.where(there, poses, np.inf).min(axis=1)
    high = np.where(there, poses, -np.inf).max(axis=1)
    margin = 0.1 * np.linalg.norm(high - low, axis=-1, keepdims=True)
    if np.mean(((low - margin <= 0) & (high + margin >= 0)).all(axis=-1)) <= 0.5:
        return keypoint
    tracked[..., zero] |= here[..., None]
    moved: np.ndarray = keypoint + tracked[..., None] * np.asarray((0, 0, 2), keypoint.dtype)
    return moved
