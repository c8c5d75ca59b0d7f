"""Named steps that turn what a sensor tracked into the bodies a clip keeps.

Each step maps ``[M, T, V, 3]`` to the same kind of array. A store records the
steps it was made with, in order and with their options, in its ``cleaning``
attribute. ``STEPS`` holds their names; those that judge how much a body moves
(``keep_most_active``) belong after those that repair, and ``nonfinite`` before
all others.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zskel.data.common.errors import BadConfig, ClipError
from zskel.data.common.registry import Registry
from zskel.data.skeleton import present


def motion(keypoint: np.ndarray) -> np.ndarray:
    """How much each body moves.

    Args:
        keypoint: ``[M, T, V, 3]``.

    Returns:
        Float64 ``[M]``: the sum over axes of the coordinates' standard
        deviation over all joints and the frames in which the body is present.
    """
    energy = np.zeros(len(keypoint))
    for body, (coordinates, frames) in enumerate(zip(keypoint, present(keypoint))):
        if frames.any():
            energy[body] = coordinates[frames].reshape(-1, 3).astype(np.float64).std(axis=0).sum()
    return energy


def keep_most_active(keypoint: np.ndarray, bodies: int = 2) -> np.ndarray:
    """Keeps the bodies that move most, the most active first.

    Bodies that never appear go first of all; at least one body is kept.
    """
    by_motion = np.argsort(-motion(keypoint), kind="stable")
    order = [body for body in by_motion if present(keypoint)[body].any()] or [0]
    return keypoint[np.asarray(order[:bodies])]


def drop_empty_frames(keypoint: np.ndarray) -> np.ndarray:
    """Cuts out the frames in which there is no body.

    What comes before and after such a frame becomes adjacent.

    Raises:
        ClipError: There is no body in any frame.
    """
    there = present(keypoint).any(axis=0)
    if not there.any():
        raise ClipError(f"no body in any of {there.size} frames")
    return keypoint[:, there]


def drop_short_tracks(
    keypoint: np.ndarray, min_frames: int = 10, min_share: float = 0.0
) -> np.ndarray:
    """Drops bodies that are present too briefly; the longest-lived one stays.

    Args:
        keypoint: ``[M, T, V, 3]``.
        min_frames: Fewer frames than this are too few.
        min_share: So are fewer than this share of the clip's frames.
    """
    _require("drop_short_tracks", "min_frames", min_frames, 0)
    _require("drop_short_tracks", "min_share", min_share, 0, 1)
    frames = present(keypoint).sum(axis=1)
    long_enough = frames >= max(min_frames, min_share * keypoint.shape[1])
    long_enough[frames.argmax()] = True
    return keypoint[long_enough]


def fill_gaps(keypoint: np.ndarray, max_gap: int = 5) -> np.ndarray:
    """Interpolates a body that is lost and comes back, linearly in time.

    Args:
        keypoint: ``[M, T, V, 3]``.
        max_gap: Longest absence that is filled, in frames. Absences before a
            body's first and after its last frame stay.

    Returns:
        ``[M, T, V, 3]``. A joint that is missing (zeros) on either side of the gap
        stays missing in it.
    """
    _require("fill_gaps", "max_gap", max_gap, 0)
    filled = keypoint.copy()
    for body, frames in zip(filled, present(keypoint)):
        there = np.flatnonzero(frames)
        for before, after in itertools.pairwise(there):
            if not 1 < after - before <= max_gap + 1:
                continue
            known = body[before].any(axis=-1) & body[after].any(axis=-1)
            share = np.arange(1, after - before)[:, None, None] / (after - before)
            between = (1 - share) * body[before] + share * body[after]
            body[before + 1 : after] = np.where(known[:, None], between, 0)
    return filled


def join_flicker(
    keypoint: np.ndarray, max_gap: int = 10, max_distance: float = 0.5
) -> np.ndarray:
    """Joins tracks that are one body which the sensor took for several.

    Two tracks are one body if they are never there at the same time and each
    time one takes over from the other it does so soon and close by. Of several
    such pairs the closest is joined first, until none is left. The joined body
    has the place of the earlier of the two in the array.

    Args:
        keypoint: ``[M, T, V, 3]``.
        max_gap: Most frames without either track at a takeover.
        max_distance: Farthest that the body's middle (the mean of its tracked
            joints) may move at a takeover, in metres.

    Returns:
        ``[M', T, V, 3]`` with M' <= M.
    """
    _require("join_flicker", "max_gap", max_gap, 0)
    _require("join_flicker", "max_distance", max_distance, 0)
    bodies = list(keypoint)
    while True:
        middles = [_middle(body) for body in bodies]
        pairs = [
            (_takeover(middles[first], middles[second], max_gap), first, second)
            for first in range(len(bodies)) for second in range(first + 1, len(bodies))
        ]
        distance, first, second = min(pairs, default=(np.inf, 0, 0))
        if distance > max_distance:
            return np.stack(bodies) if len(bodies) < len(keypoint) else keypoint
        bodies[first] = bodies[first] + bodies.pop(second)


def _middle(body: np.ndarray) -> np.ndarray:
    """``[T, 3]``: the mean of the tracked joints, NaN where there are none."""
    joints = body.any(axis=-1).sum(axis=-1, keepdims=True)
    return np.where(joints > 0, body.sum(axis=1) / np.maximum(joints, 1), np.nan)


def _takeover(first: np.ndarray, second: np.ndarray, max_gap: int) -> float:
    """The longest way between two tracks' middles at a takeover, or infinity."""
    there = np.stack([~np.isnan(first[:, 0]), ~np.isnan(second[:, 0])])
    if there.all(axis=0).any() or not there.any(axis=1).all():
        return np.inf
    frames = np.flatnonzero(there.any(axis=0))
    owner = there[1, frames]
    changes = np.flatnonzero(owner[1:] != owner[:-1])
    before, after = frames[changes], frames[changes + 1]
    if (after - before - 1).max() > max_gap:
        return np.inf
    path = np.where(there[0][:, None], first, second)
    return float(np.linalg.norm(path[after] - path[before], axis=-1).max())


def zero_joints(keypoint: np.ndarray) -> np.ndarray:
    """Interpolates joints that lie at the origin while the rest of the body does not.

    Linear in time between the frames in which the joint is tracked, constant
    before the first and after the last; a joint that never is stays at zero.
    """
    missing = present(keypoint)[..., None] & ~keypoint.any(axis=-1)
    return _interpolate(keypoint, missing)


def nonfinite(keypoint: np.ndarray, action: str = "interpolate") -> np.ndarray:
    """Deals with coordinates that are NaN or infinite.

    Args:
        keypoint: ``[M, T, V, 3]``.
        action: "interpolate" replaces the joint as ``zero_joints`` does (a body
            without one finite joint is absent in that frame); "refuse" leaves
            the clip out.

    Raises:
        ClipError: The clip has such a coordinate and ``action`` is "refuse".
        BadConfig: Unknown ``action``.
    """
    if action not in ("interpolate", "refuse"):
        raise BadConfig(f"nonfinite: action is {action!r}, expected 'interpolate' or 'refuse'")
    bad = ~np.isfinite(keypoint).all(axis=-1)
    if not bad.any():
        return keypoint
    if action == "refuse":
        body, frame, joint = np.argwhere(bad)[0]
        raise ClipError(f"{bad.sum()} joints are not finite, the first in body {body}, frame "
                        f"{frame}, joint {joint}")
    zeroed = np.where(bad[..., None], 0, keypoint).astype(keypoint.dtype, copy=False)
    return _interpolate(zeroed, bad & present(zeroed)[..., None])


def _interpolate(keypoint: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Fills the joints marked in ``[M, T, V]`` from the same joint's tracked frames."""
    if not missing.any():
        return keypoint
    filled = keypoint.copy()
    tracked = np.any(keypoint, axis=-1)
    for body, joint in np.argwhere(missing.any(axis=1)):
        known = np.flatnonzero(tracked[body, :, joint])
        wanted = np.flatnonzero(missing[body, :, joint])
        if len(known):
            for axis in range(3):
                filled[body, wanted, joint, axis] = np.interp(
                    wanted, known, keypoint[body, known, joint, axis]
                )
    return filled


def _require(
    step: str, option: str, value: float, least: float, most: float = np.inf
) -> None:
    if not least <= value <= most:
        limit = f"{least} or more" if most == np.inf else f"{least} to {most}"
        raise BadConfig(f"{step}: {option} is {value}, expected {limit}")


STEPS = Registry(
    "cleaning step",
    {
        "keep_most_active": keep_most_active,
        "drop_empty_frames": drop_empty_frames,
        "drop_short_tracks": drop_short_tracks,
        "fill_gaps": fill_gaps,
        "join_flicker": join_flicker,
        "zero_joints": zero_joints,
        "nonfinite": nonfinite,
    },
)

#: What a store is made with unless the config says otherwise.
DEFAULT_CLEANING: tuple[Mapping[str, Any], ...] = ({"type": "keep_most_active", "bodies": 2},)


def clean(keypoint: np.ndarray, steps: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Applies named steps in order.

    Raises:
        BadConfig: A step is unknown or has a wrong option.
    """
    for step in steps:
        options = {key: value for key, value in step.items() if key != "type"}
        keypoint = STEPS.build(step.get("type", ""), keypoint, **options)
    return keypoint
