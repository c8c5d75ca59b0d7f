"""What a clip is, and how the joints of one sensor map to those of another.

A clip's coordinates are an array ``keypoint`` of shape ``[M, T, V, 3]``: bodies,
frames, joints, (x, y, z) in metres, the order mmaction2 uses. A body that is
absent in a frame is all zeros there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from zskel.data.layouts import (
    KINECT_V1,
    KINECT_V1_TO_NTU,
    LAYOUTS,
    NTU_RGBD,
    TO_NTU,
    UTD_MHAD,
    JointLayout,
    layout_of,
    layouts_of,
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
