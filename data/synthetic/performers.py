"""Who performs: body size, tempo, amplitude, posture and habits, none of them sided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from zskel.data.synthetic.body import BONES, SIDES, Pose

# Standard deviations, in degrees, of the slow involuntary motion of each kind
# of channel; a person's restlessness scales them.
_RESTLESS = {
    "turn": 2.0, "bend": 2.5, "lean": 2.0, "twist": 2.5, "look": 5.0, "nod": 4.0, "tilt": 3.0,
    "arm lift": 5.0, "arm azimuth": 8.0, "elbow": 7.0, "arm roll": 8.0,
    "leg lift": 1.5, "leg azimuth": 3.0, "knee": 2.0,
}


@dataclass(frozen=True)
class Performer:
    """One person's body and manner.

    Attributes:
        bones: Bone lengths in metres, keyed as ``body.BONES``.
        tempo: Speed relative to others; a clip is as much shorter.
        amplitude: Size of movements relative to others.
        slouch: How far the trunk is bent at rest, degrees.
        arm_lift, arm_azimuth, elbow: How the arms hang, degrees.
        stance: How far each leg is spread, degrees.
        aim: What is added to the azimuth of every arm movement, degrees.
        restlessness: Scale of involuntary motion.
        overflow: The share of a one-armed movement that the other arm follows.
        balance: The share of a leg's lift that the trunk leans against.
    """

    bones: Mapping[str, float]
    tempo: float
    amplitude: float
    slouch: float
    arm_lift: float
    arm_azimuth: float
    elbow: float
    stance: float
    aim: float
    restlessness: float
    overflow: float
    balance: float


def draw_performer(rng: np.random.Generator) -> Performer:
    """Draws a person."""
    height = rng.uniform(1.52, 1.92) / 1.75
    return Performer(
        bones={name: length * height * rng.normal(1.0, 0.05) for name, length in BONES.items()},
        tempo=rng.uniform(0.8, 1.25),
        amplitude=rng.uniform(0.75, 1.15),
        slouch=rng.uniform(-2.0, 12.0),
        arm_lift=rng.uniform(5.0, 18.0),
        arm_azimuth=rng.uniform(20.0, 100.0),
        elbow=rng.uniform(8.0, 35.0),
        stance=rng.uniform(1.0, 9.0),
        aim=rng.normal(0.0, 10.0),
        restlessness=rng.uniform(0.6, 1.5),
        overflow=rng.uniform(0.0, 0.3),
        balance=rng.uniform(0.05, 0.35),
    )


def stand(performer: Performer, frames: int, rng: np.random.Generator) -> Pose:
    """The pose of someone who stands there and does nothing in particular."""
    pose = Pose(frames)
    pose.add("bend", performer.slouch)
    pose.add("nod", -0.5 * performer.slouch)
    for side in SIDES:
        pose.add(f"{side} arm lift", performer.arm_lift)
        pose.add(f"{side} arm azimuth", performer.arm_azimuth)
        pose.add(f"{side} elbow", performer.elbow)
        pose.add(f"{side} arm roll", 25.0)
        pose.add(f"{side} leg lift", performer.stance)
        pose.add(f"{side} leg azimuth", 80.0)
        pose.add(f"{side} knee", 4.0)
    for channel, scale in _RESTLESS.items():
        sides = SIDES if channel.partition(" ")[2] or channel in ("elbow", "knee") else ("",)
        for side in sides:
            wander = _wander(frames, rng) * scale * performer.restlessness
            pose.add(f"{side} {channel}".strip(), wander)
    return pose


def _wander(frames: int, rng: np.random.Generator) -> np.ndarray:
    """A slow wave of unit variance: 0.2 to 0.9 Hz at 30 frames per second."""
    seconds = np.arange(frames) / 30.0
    frequency, phase = rng.uniform(0.2, 0.9, (2, 1)), rng.uniform(0.0, 2 * np.pi, (2, 1))
    return np.sin(2 * np.pi * frequency * seconds + phase).sum(axis=0)
