"""Named steps that turn what a sensor tracked into the bodies a clip keeps.

Each step maps ``[M, T, V, 3]`` to the same kind of array. A store records the
steps it was made with in its ``cleaning`` attribute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data.registry import Registry
from data.skeleton import present

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
    order = np.argsort(-motion(keypoint), kind="stable")
    order = [body for body in order if present(keypoint)[body].any()] or [0]
    return keypoint[np.asarray(order[:bodies])]


STEPS = Registry("cleaning step", {"keep_most_active": keep_most_active})

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
