"""Kinect v2's joints as other sensors and tools would have reported them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zskel.data.skeleton import NTU_RGBD, JointLayout

Weights = Mapping[str, float]


def _sum(*terms: tuple[float, Weights]) -> Weights:
    total: dict[str, float] = {}
    for factor, weights in terms:
        for joint, weight in weights.items():
            total[joint] = total.get(joint, 0.0) + factor * weight
    return total


def _at(joint: str) -> Weights:
    return {joint: 1.0}


def _step(start: str, end: str) -> Weights:
    return {start: -1.0, end: 1.0}


def _between(start: str, end: str, share: float) -> Weights:
    return {start: 1.0 - share, end: share}


_UP = _step("spine shoulder", "neck")
_LEFT = _step("right shoulder", "left shoulder")
# Of an upright head, what its joint lies ahead of the neck; see BONES and the head
# of zskel.data.synthetic.body.
_AHEAD = _sum((1.0, _step("neck", "head")), (-1.77, _UP))


def _face(ahead: float, up: float, left: float) -> Weights:
    return _sum((1.0, _at("head")), (ahead, _AHEAD), (up, _UP), (left, _LEFT))


def _of_side(side: str) -> dict[str, Weights]:
    sign = 1.0 if side == "left" else -1.0
    knuckles = _between(f"{side} hand", f"{side} hand tip", 0.5)
    spread = _step(f"{side} hand", f"{side} thumb")
    sole = _step(f"{side} ankle", f"{side} foot")
    found = {
        "collar": _between("spine shoulder", f"{side} shoulder", 0.35),
        "clavicle": _between("spine shoulder", f"{side} shoulder", 0.15),
        "eye": _face(1.6, 0.5, sign * 0.09),
        "eye inner": _face(1.6, 0.5, sign * 0.05), "eye outer": _face(1.5, 0.5, sign * 0.13),
        "ear": _face(0.0, 0.2, sign * 0.21), "mouth": _face(1.7, -0.7, sign * 0.06),
        "index": _sum((1.0, knuckles), (0.2, spread)),
        "pinky": _sum((1.0, knuckles), (-0.6, spread)),
        "big toe": _at(f"{side} foot"), "foot index": _at(f"{side} foot"),
        "small toe": _sum((1.0, _at(f"{side} foot")), (-0.1, sole),
                          (sign * 0.3, _step("right hip", "left hip"))),
        "heel": _sum((1.0, _at(f"{side} ankle")), (-0.3, sole),
                     (0.2, _step(f"{side} knee", f"{side} ankle"))),
    }
    return {f"{side} {joint}": weights for joint, weights in found.items()}


_FROM_NTU: Mapping[str, Weights] = {
    **dict.fromkeys(("hip", "hip center", "pelvis", "mid hip"), _at("spine base")),
    **dict.fromkeys(("spine", "torso", "spine 2"), _at("spine mid")),
    **dict.fromkeys(("thorax", "shoulder center"), _at("spine shoulder")),
    "spine 1": _between("spine base", "spine mid", 0.5),
    "spine 3": _between("spine mid", "spine shoulder", 0.3),
    "spine navel": _between("spine base", "spine mid", 0.7),
    "spine chest": _between("spine mid", "spine shoulder", 0.4),
    "nose": _face(2.0, 0.0, 0.0),
    **_of_side("left"), **_of_side("right"),
}
#: Layouts whose neck lies between the shoulders.
_LOW_NECK = ("openni-15", "openpose-body25")


def as_layout(keypoint: np.ndarray, layout: JointLayout) -> np.ndarray:
    """Maps ``[..., 25, 3]`` to the joints of a shipped layout.

    What Kinect v2 does not have (faces, toes, more of the spine) is put where it
    would be on an upright body; it moves with the joints near it.

    >>> from zskel.data.skeleton import LAYOUTS
    >>> as_layout(np.zeros((2, 25, 3)), LAYOUTS["coco-17"]).shape
    (2, 17, 3)
    """
    matrix = np.zeros((layout.num_joints, NTU_RGBD.num_joints), keypoint.dtype)
    for row, joint in enumerate(layout.joints):
        low = joint == "neck" and layout.name in _LOW_NECK
        weights = _at("spine shoulder") if low else _FROM_NTU.get(joint, _at(joint))
        for name, weight in weights.items():
            matrix[row, NTU_RGBD.index(name)] = weight
    mapped: np.ndarray = np.einsum("ts,...sc->...tc", matrix, keypoint)
    return mapped
