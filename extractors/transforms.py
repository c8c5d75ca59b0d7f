"""Augmentations of 3D skeletons, in mmaction2's transform registry.

They draw from numpy's global generator, as mmaction2's own transforms do;
``extractors.dataset`` seeds it for each clip and epoch.
"""

from __future__ import annotations

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
class RandomRotation3D(BaseTransform):
    """Turns a whole clip about the coordinate axes by uniform random angles.

    Args:
        degrees: Largest angle about the x, y and z axis, in degrees.
    """

    def __init__(self, degrees: tuple[float, float, float] = (15.0, 15.0, 15.0)) -> None:
        self.limits = np.deg2rad(np.asarray(degrees, np.float64))

    def transform(self, results: dict) -> dict:
        x, y, z = np.random.uniform(-self.limits, self.limits)
        results["keypoint"] = (results["keypoint"] @ rotation(x, y, z).T).astype(np.float32)
        return results


@TRANSFORMS.register_module()
class RandomScale3D(BaseTransform):
    """Stretches a whole clip along each axis by a uniform random factor.

    Args:
        ratio: Largest relative change; 0.1 gives factors in 0.9..1.1.
    """

    def __init__(self, ratio: float = 0.1) -> None:
        self.ratio = ratio

    def transform(self, results: dict) -> dict:
        factors = 1.0 + np.random.uniform(-self.ratio, self.ratio, size=3)
        results["keypoint"] = (results["keypoint"] * factors).astype(np.float32)
        return results


@TRANSFORMS.register_module()
class RandomTemporalCrop(BaseTransform):
    """Cuts a random stretch of a clip, so that tempo and phase vary.

    Args:
        shortest: The shortest stretch, as a share of the clip.
    """

    def __init__(self, shortest: float = 0.8) -> None:
        self.shortest = shortest

    def transform(self, results: dict) -> dict:
        total = results["keypoint"].shape[1]
        length = max(1, round(total * np.random.uniform(self.shortest, 1.0)))
        start = np.random.randint(0, total - length + 1)
        results["keypoint"] = results["keypoint"][:, start : start + length]
        results["total_frames"] = length
        return results


def rotation(x: float, y: float, z: float) -> np.ndarray:
    """The matrix that turns about x, then y, then z, by angles in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos((x, y, z)), np.sin((x, y, z))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x
