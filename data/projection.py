"""From joints in space to joints in an image, for backbones that look at heatmaps."""

from __future__ import annotations

import math

import numpy as np

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.preprocess import tracked

AXES = ("x", "y", "z", "-x", "-y", "-z")
# mmaction2 takes a coordinate of exactly 0 for a joint that is not there.
_MARGIN = 1.0


def orthographic_view(
    keypoint: np.ndarray, right: str = "x", up: str = "y", pixels_per_metre: float = 256.0
) -> tuple[np.ndarray, np.ndarray, int]:
    """A clip as it looks from far away along one of its axes.

    Each joint goes to the point of a square image where its coordinates along
    ``right`` and ``up`` put it; the third one, the depth, is dropped without the
    foreshortening of a real camera. The image is as large as the clip: its longer
    side spans all tracked joints of all bodies and frames, the other is centred.

    The default is what a Kinect sees, for clips in its own coordinates (x to the
    right of its image, y up, z away from it): bodies that face each other stay
    apart, as in the 2D poses that PoseC3D is published with. After
    ``pre_normalize_3d`` with ``align_center=False`` (or its origin would count as
    absent), the main body is seen from the front with ``right="-x", up="z"``.

    Args:
        keypoint: ``[M, T, V, 3]`` in metres; a joint at the origin is absent.
        right: Axis that becomes the image's columns, "x" or "-x" and so on.
        up: Axis that becomes its rows, from the last to the first.
        pixels_per_metre: Of no influence but by the rounding of later crops.

    Returns:
        Float32 pixels ``[M, T, V, 2]`` (column, row; 0 where absent), the score
        float32 ``[M, T, V]`` (1 tracked, 0 absent), and the image's side.

    Raises:
        BadConfig: The axes do not span a plane, or the scale is not positive.
        BadInput: Not a clip.

    >>> joints = np.array([[0.0, 1.0, 9.0], [1.0, 3.0, 7.0], [0.0, 0.0, 0.0]])
    >>> pixels, score, side = orthographic_view(joints.reshape(1, 1, 3, 3), pixels_per_metre=10)
    >>> pixels[0, 0].tolist(), score[0, 0].tolist(), side
    ([[6.0, 21.0], [16.0, 1.0], [0.0, 0.0]], [1.0, 1.0, 0.0], 22)
    """
    for name, axis in (("right", right), ("up", up)):
        if axis not in AXES:
            raise BadConfig(f"orthographic view: {name} is {axis!r}, expected one of "
                            f"{', '.join(AXES)}")
    if right[-1] == up[-1]:
        raise BadConfig(f"orthographic view: right {right!r} and up {up!r} are the same line")
    if not (pixels_per_metre > 0 and math.isfinite(pixels_per_metre)):
        raise BadConfig(f"orthographic view: pixels_per_metre is {pixels_per_metre}, expected a "
                        "positive number")
    clip = np.asarray(keypoint)
    if clip.ndim != 4 or clip.shape[-1] != 3:
        raise BadInput("orthographic view: expected a clip [bodies, frames, joints, 3], found "
                       f"{list(clip.shape)}")
    there = tracked(clip)
    score = there.astype(np.float32)
    plane = np.stack([_along(clip, right), -_along(clip, up)], axis=-1) * pixels_per_metre
    if not there.any():
        return np.zeros(plane.shape, np.float32), score, math.ceil(2 * _MARGIN)
    low, high = plane[there].min(axis=0), plane[there].max(axis=0)
    longer = (high - low).max()
    pixels = plane - (low + high - longer) / 2 + _MARGIN
    pixels[~there] = 0
    return pixels.astype(np.float32), score, math.ceil(longer + 2 * _MARGIN)


def _along(clip: np.ndarray, axis: str) -> np.ndarray:
    values = clip[..., "xyz".index(axis[-1])].astype(np.float64)
    return -values if axis.startswith("-") else values
