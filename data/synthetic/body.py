"""A 25-joint body that channels of joint angles move: forward kinematics.

Body coordinates are right-handed: x to the person's left, y up, z forward, the
floor at y = 0, metres. Angles are degrees.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zskel.data.skeleton import NTU_RGBD

SIDES = ("left", "right")
_LIMBS = ("arm lift", "arm azimuth", "elbow", "arm roll", "leg lift", "leg azimuth", "knee")

#: What moves. ``turn`` (to the left), ``bend`` (forward), ``lean`` (to the right)
#: and ``twist`` (to the left) turn the trunk, ``look``, ``nod`` and ``tilt`` the
#: head; ``rise``, ``ahead`` and ``aside`` shift the whole body by metres. A limb
#: hangs at lift 0 and is level at 90; its azimuth is 0 forward, 90 outward and
#: 180 backward; ``arm roll`` turns the bent forearm across the body.
CHANNELS = (
    "turn", "bend", "lean", "twist", "look", "nod", "tilt", "rise", "ahead", "aside",
    *(f"{side} {limb}" for side in SIDES for limb in _LIMBS),
)

#: Bone lengths in metres of a body 1.75 m tall.
BONES: Mapping[str, float] = {
    "lower spine": 0.29, "upper spine": 0.22, "neck": 0.08, "head": 0.15,
    "shoulder": 0.18, "upper arm": 0.28, "forearm": 0.25, "hand": 0.08,
    "hand tip": 0.08, "thumb": 0.05,
    "hip": 0.09, "thigh": 0.42, "shank": 0.40, "foot": 0.13,
}

_LEFT, _UP, _FORWARD = np.eye(3)
# Of the foot's direction: how far the toes point down the shank.
_TOE_DROP = 0.4


class Pose:
    """Angles and shifts of one person over ``frames`` frames, all zero at first.

    ``pose["nod"]`` is the float64 ``[frames]`` array of a channel of ``CHANNELS``.
    """

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self._values = {name: np.zeros(frames) for name in CHANNELS}

    def __getitem__(self, channel: str) -> np.ndarray:
        return self._values[channel]

    def add(self, channel: str, values: np.ndarray | float) -> None:
        """Adds to a channel."""
        self._values[channel] = self._values[channel] + values

    def reach(self, channel: str, target: np.ndarray | float, weight: np.ndarray) -> None:
        """Moves a channel the share ``weight`` (0 to 1, per frame) of the way to ``target``."""
        old = self._values[channel]
        self._values[channel] = old + (target - old) * weight


def _rotation(first: int, second: int, degrees: np.ndarray) -> np.ndarray:
    """``[T, 3, 3]``: turns axis ``first`` towards axis ``second``."""
    matrix = np.tile(np.eye(3), (len(degrees), 1, 1))
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix[:, first, first] = matrix[:, second, second] = cosine
    matrix[:, second, first] = sine
    matrix[:, first, second] = -sine
    return matrix


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _swing(lift: np.ndarray, azimuth: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, ...]:
    """A limb's direction, and where it goes with more lift and with less azimuth.

    Three orthonormal ``[T, 3]`` arrays in the frame of the trunk.
    """
    e, a = np.deg2rad(lift)[:, None], np.deg2rad(azimuth)[:, None]
    level = np.cos(a) * _FORWARD + np.sin(a) * out
    direction = -np.cos(e) * _UP + np.sin(e) * level
    higher = np.cos(e) * level + np.sin(e) * _UP
    inward = np.sin(a) * _FORWARD - np.cos(a) * out
    return direction, higher, inward


def joints(pose: Pose, bone: Mapping[str, float]) -> np.ndarray:
    """Where the joints are.

    The feet stand on the floor: the pelvis is as high as the lower foot asks,
    plus the channel ``rise``.

    Args:
        pose: The person's angles and shifts.
        bone: The person's bone lengths in metres, keyed as ``BONES``.

    Returns:
        Float64 ``[T, 25, 3]`` in body coordinates, joints as ``NTU_RGBD``.
    """
    found: dict[str, np.ndarray] = {}
    pelvis = _rotation(2, 0, pose["turn"])
    half = _trunk(pose, pelvis, 0.5)
    chest = _trunk(pose, pelvis, 1.0)
    head = (
        chest @ _rotation(2, 0, pose["look"])
        @ _rotation(0, 1, pose["tilt"]) @ _rotation(1, 2, pose["nod"])
    )
    base = np.zeros((pose.frames, 3))
    found["spine base"] = base
    found["spine mid"] = base + bone["lower spine"] * half @ _UP
    top = found["spine mid"] + bone["upper spine"] * chest @ _UP
    found["spine shoulder"] = top
    found["neck"] = top + bone["neck"] * chest @ _UP
    # The head's joint lies slightly ahead of the neck, so that turning it shows.
    found["head"] = found["neck"] + bone["head"] * head @ _unit(_UP + 0.35 * _FORWARD)
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        out = sign * _LEFT
        _arm(found, pose, bone, chest, side, out)
        _leg(found, pose, bone, pelvis, side, out)
    result = np.stack([found[name] for name in NTU_RGBD.joints], axis=1)
    feet = [NTU_RGBD.index(f"{side} {part}") for side in SIDES for part in ("ankle", "foot")]
    result[:, :, 1] -= result[:, feet, 1].min(axis=1, keepdims=True)
    result[:, :, 1] += pose["rise"][:, None]
    result[:, :, 2] += pose["ahead"][:, None]
    result[:, :, 0] += pose["aside"][:, None]
    return result


def _trunk(pose: Pose, pelvis: np.ndarray, share: float) -> np.ndarray:
    return (
        pelvis @ _rotation(2, 0, share * pose["twist"])
        @ _rotation(1, 0, -share * pose["lean"])
        @ _rotation(1, 2, share * pose["bend"])
    )


def _arm(
    found: dict[str, np.ndarray], pose: Pose, bone: Mapping[str, float],
    chest: np.ndarray, side: str, out: np.ndarray,
) -> None:
    upper, higher, inward = _swing(pose[f"{side} arm lift"], pose[f"{side} arm azimuth"], out)
    k, roll = (np.deg2rad(pose[f"{side} {name}"])[:, None] for name in ("elbow", "arm roll"))
    hinge = np.cos(roll) * higher + np.sin(roll) * inward
    forearm = np.cos(k) * upper + np.sin(k) * hinge
    thumb = _unit(forearm + np.cos(roll) * inward - np.sin(roll) * higher)
    steps = (
        ("shoulder", np.tile(_unit(out - 0.2 * _UP), (pose.frames, 1)), bone["shoulder"]),
        ("elbow", upper, bone["upper arm"]),
        ("wrist", forearm, bone["forearm"]),
        ("hand", forearm, bone["hand"]),
        ("hand tip", forearm, bone["hand tip"]),
    )
    place = found["spine shoulder"]
    for name, direction, length in steps:
        place = place + length * np.einsum("tij,tj->ti", chest, direction)
        found[f"{side} {name}"] = place
    found[f"{side} thumb"] = found[f"{side} hand"] + bone["thumb"] * np.einsum(
        "tij,tj->ti", chest, thumb
    )


def _leg(
    found: dict[str, np.ndarray], pose: Pose, bone: Mapping[str, float],
    pelvis: np.ndarray, side: str, out: np.ndarray,
) -> None:
    thigh, _, _ = _swing(pose[f"{side} leg lift"], pose[f"{side} leg azimuth"], out)
    # A knee's axis stays as near to left-right as the thigh allows, whichever
    # way the leg is lifted; it is never lifted level to the side.
    axis = _unit(_LEFT - thigh * (thigh @ _LEFT)[:, None])
    ahead = np.cross(thigh, axis)
    k = np.deg2rad(pose[f"{side} knee"])[:, None]
    shank = np.cos(k) * thigh - np.sin(k) * ahead
    foot = _unit(np.cos(k) * ahead + np.sin(k) * thigh + _TOE_DROP * shank)
    steps = (
        ("hip", np.tile(_unit(out - 0.2 * _UP), (pose.frames, 1)), bone["hip"]),
        ("knee", thigh, bone["thigh"]),
        ("ankle", shank, bone["shank"]),
        ("foot", foot, bone["foot"]),
    )
    place = found["spine base"]
    for name, direction, length in steps:
        place = place + length * np.einsum("tij,tj->ti", pelvis, direction)
        found[f"{side} {name}"] = place
