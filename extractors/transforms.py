"""Normalizations, augmentations and projection of skeletons, as mmaction2 transforms.

Augmentations draw from numpy's global generator, as mmaction2's own transforms do;
``zskel.extractors.dataset`` seeds it for each clip and epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmaction.datasets import GenSkeFeat, JointToBone
from mmaction.datasets import UniformSampleFrames as _UniformSampleFrames
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from zskel.data.preprocess import STEPS
from zskel.data.projection import orthographic_view
from zskel.data.skeleton import NTU_RGBD, layout_of


@TRANSFORMS.register_module()
class DataStep(BaseTransform):
    """A normalization of ``zskel.data.preprocess`` or one's own of its ``STEPS``.

    For a config's ``prepare``, in the order wanted::

        prepare=[
            dict(type="DataStep", step="canonicalize", mode="frame"),
            dict(type="DataStep", step="pre_normalize_3d"),
        ]

    Canonicalization comes first, for it needs to know which axis is vertical;
    ``zskel.data.canonicalize`` tells what the normalization after it undoes.

    Args:
        step: Its name.
        options: Its keyword arguments; ``layout`` as ``zskel.data.skeleton.layout_of``
            takes it.

    Raises:
        BadConfig: Unknown step, or it takes no such option or value.
    """

    def __init__(self, step: str, **options: Any) -> None:
        if "layout" in options:
            options["layout"] = layout_of(options["layout"])
        self.step, self.options = step, options
        # An empty clip is enough for a step to object to its options, here and
        # not at the first clip of a long run.
        joints = options.get("layout", NTU_RGBD).num_joints
        STEPS.build(step, np.zeros((1, 1, joints, 3), np.float32), **options)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        results["keypoint"] = STEPS.build(self.step, results["keypoint"], **self.options)
        results["total_frames"] = results["keypoint"].shape[1]
        return results

    def __repr__(self) -> str:
        options = "".join(
            f", {name}={getattr(value, 'name', value)!r}" for name, value in self.options.items()
        )
        return f"{type(self).__name__}(step={self.step!r}{options})"


@TRANSFORMS.register_module()
class OrthographicView(BaseTransform):
    """Joints in space to joints in an image, with a score: what PoseC3D starts from.

    After it come mmaction2's own transforms for 2D poses, ``GeneratePoseTarget``
    among them with ``use_score=True``, so that joints, bodies and frames that are
    not there draw nothing. Transforms in space have to come before it.

    Args:
        right, up, pixels_per_metre: See ``zskel.data.projection.orthographic_view``.

    Raises:
        BadConfig: An option is impossible.
    """

    def __init__(
        self, right: str = "x", up: str = "y", pixels_per_metre: float = 256.0
    ) -> None:
        self.options: dict[str, Any] = {
            "right": right, "up": up, "pixels_per_metre": pixels_per_metre}
        orthographic_view(np.zeros((1, 1, 1, 3)), **self.options)  # objects to wrong options

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        pixels, score, side = orthographic_view(results["keypoint"], **self.options)
        results["keypoint"], results["keypoint_score"] = pixels, score
        results["img_shape"] = results["original_shape"] = (side, side)
        return results


@TRANSFORMS.register_module()
class GenLayoutFeat(GenSkeFeat):
    """mmaction2's ``GenSkeFeat`` (joints, bones, their motions) for any joints in space.

    Args:
        bones: ``(child, parent)`` of each bone; a root's bone is zeros.
        feats: Which features, as there.
    """

    def __init__(self, bones: Sequence[Sequence[int]], feats: Sequence[str] = ("j",)) -> None:
        super().__init__(feats=list(feats))
        for step in self.ops.transforms:
            if isinstance(step, JointToBone):
                step.pairs = bones


@TRANSFORMS.register_module(force=True)
class UniformSampleFrames(_UniformSampleFrames):
    """mmaction2's own, without its search for bodies in each frame.

    What it finds there could change frame numbers that are not whole, and those drawn
    here always are.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        keypoint = {key: results.pop(key) for key in ("keypoint",) if key in results}
        return {**super().transform(results), **keypoint}


@TRANSFORMS.register_module()
class RandomRotation3D(BaseTransform):
    """Turns a whole clip about the coordinate axes by uniform random angles.

    Args:
        degrees: Largest angle about the x, y and z axis, in degrees.
    """

    def __init__(self, degrees: tuple[float, float, float] = (15.0, 15.0, 15.0)) -> None:
        self.limits = np.deg2rad(np.asarray(degrees, np.float64))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
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

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
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

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
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
