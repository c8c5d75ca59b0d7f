"""Clips that have lost part of their motion, for SMIE's temporal constraint."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from zskel.data.common.errors import BadConfig
from zskel.data.preprocess import tracked


@TRANSFORMS.register_module()
class MaskMotionFrames(BaseTransform):
    """Cuts out the frames of the largest motion, then some of the others at random.

    SMIE (Zhou et al. 2023) compares a clip with what is left of it. Of 50 frames
    its code cuts the 15 of the largest motion and 15 more; here both are shares,
    so that clips of any length can be cut. It comes first in ``test_pipeline``,
    before the frames are sampled::

        test_pipeline=[dict(type="MaskMotionFrames"), dict(type="UniformSampleFrames", ...), ...]

    What is cut from a clip depends on ``seed`` and the clip alone, not on its
    place in a store or on what was drawn before. Nothing global is drawn from.

    Args:
        motion_share: Share of the frames that go for their motion.
        random_share: Share of all frames that go besides.
        seed: Of the second cut.

    Raises:
        BadConfig: The shares are not in 0..1 or leave nothing.
    """

    def __init__(
        self, motion_share: float = 0.3, random_share: float = 0.3, seed: int = 0
    ) -> None:
        if not (min(motion_share, random_share) >= 0 and motion_share + random_share < 1):
            raise BadConfig(f"MaskMotionFrames: shares {motion_share} and {random_share}, expected "
                            "two numbers from 0 with a sum below 1")
        self.motion_share, self.random_share, self.seed = motion_share, random_share, seed

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        keypoint = results["keypoint"]
        content = zlib.crc32(np.ascontiguousarray(keypoint).tobytes())
        kept = kept_frames(keypoint, self.motion_share, self.random_share,
                           np.random.default_rng((self.seed, content)))
        results["keypoint"] = keypoint[:, kept]
        if "keypoint_score" in results:
            results["keypoint_score"] = results["keypoint_score"][:, kept]
        results["total_frames"] = len(kept)
        return results

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(motion_share={self.motion_share}, "
                f"random_share={self.random_share}, seed={self.seed})")


def frame_motion(keypoint: np.ndarray) -> np.ndarray:
    """How far the joints of all bodies have moved since the frame before, ``[T]``.

    Joints that are absent in one of the two frames count nothing, or a body that
    comes in would be the largest motion of all. The first frame has none.

    Args:
        keypoint: ``[M, T, V, C]``; a joint at the origin is absent.
    """
    there = tracked(keypoint) if keypoint.shape[-1] == 3 else (keypoint != 0).any(axis=-1)
    moved = np.linalg.norm(np.diff(keypoint.astype(np.float64), axis=1), axis=-1)
    moved[~(there[:, 1:] & there[:, :-1])] = 0
    return np.concatenate([[0.0], moved.sum(axis=(0, 2))])


def kept_frames(
    keypoint: np.ndarray, motion_share: float, random_share: float, random: np.random.Generator
) -> np.ndarray:
    """Which frames stay, ascending; at least one.

    Of T frames, round(motion_share T) of the largest motion go, the earlier one
    of two that move alike, then round(random_share T) of the rest.

    Args:
        keypoint: ``[M, T, V, C]``.
        motion_share, random_share: See :class:`MaskMotionFrames`.
        random: Draws the second cut.
    """
    total = keypoint.shape[1]
    first = min(round(motion_share * total), total - 1)
    rest = np.sort(np.argsort(-frame_motion(keypoint), kind="stable")[first:])
    second = min(round(random_share * total), len(rest) - 1)
    return np.sort(random.choice(rest, len(rest) - second, replace=False))
