"""Movements: each changes the channels of one person's pose over a take.

A movement is a function of a ``Take`` and of what its name says (sides,
direction). None of them knows an action's name; ``actions.py`` composes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zskel.data.synthetic.body import SIDES, Pose
from zskel.data.synthetic.performers import Performer

FORWARD, SIDEWAYS, BACKWARD = "forward", "sideways", "backward"
_ARM_AZIMUTH = {FORWARD: 5.0, SIDEWAYS: 88.0}


@dataclass
class Take:
    """One person's part in one performance.

    Attributes:
        pose: What the movements change.
        time: Float64 ``[T]``: 0 where the movement begins, 1 where it ends;
            the person stands before and after.
        performer: Whose manner colours the movement.
        rng: Of this take.
        size: The take's amplitude: the performer's and the day's.
    """

    pose: Pose
    time: np.ndarray
    performer: Performer
    rng: np.random.Generator
    size: float

    def plateau(self, rise: float = 0.3) -> np.ndarray:
        """``[T]`` from 0 up to 1, held, and back to 0; ``rise`` is each flank's share."""
        rise = rise * self.rng.uniform(0.75, 1.3)
        return _smooth(self.time / rise) * _smooth((1.0 - self.time) / rise)

    def beats(self, low: int, high: int) -> np.ndarray:
        """``[T]`` with ``low`` to ``high`` smooth beats from 0 to 1 and back."""
        count = self.rng.integers(low, high + 1)
        return np.sin(np.pi * count * np.clip(self.time, 0.0, 1.0)) ** 2

    def swings(self, low: float, high: float) -> np.ndarray:
        """``[T]``: ``low`` to ``high`` swings between -1 and 1, none outside the movement."""
        angle = 2 * np.pi * self.rng.uniform(low, high) * self.time
        return np.sin(angle + self.rng.uniform(0.0, 2 * np.pi)) * self.plateau(0.15)

    def followers(self, sides: Sequence[str]) -> list[tuple[str, float]]:
        """Each arm and the share of the movement that it makes."""
        spill = self.performer.overflow * self.rng.uniform(0.0, 1.6)
        return [(side, 1.0 if side in sides else spill) for side in SIDES]

    def aim(self, direction: str) -> float:
        """The azimuth of an arm movement, degrees."""
        return _ARM_AZIMUTH[direction] + self.performer.aim + self.rng.normal(0.0, 8.0)


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _arm(take: Take, side: str, weight: np.ndarray, **targets: np.ndarray | float) -> None:
    for channel in ("arm_lift", "arm_azimuth", "elbow", "arm_roll"):
        if channel in targets:
            take.pose.reach(f"{side} {channel.replace('_', ' ')}", targets[channel], weight)


def raise_arm(take: Take, sides: Sequence[str], direction: str) -> None:
    """Lifts straight arms to shoulder height or above, and lowers them."""
    weight, aim = take.plateau(), take.aim(direction)
    lift, elbow = 105.0 * take.size, take.rng.uniform(2.0, 25.0)
    for side, share in take.followers(sides):
        _arm(take, side, weight * share, arm_lift=lift, arm_azimuth=aim, elbow=elbow)


def wave_hand(take: Take, sides: Sequence[str]) -> None:
    """Holds the forearm up and swings it from side to side."""
    weight, swing = take.plateau(0.2), take.swings(2.5, 4.5)
    lift, aim = take.rng.uniform(55.0, 95.0), take.rng.uniform(45.0, 85.0)
    for side, share in take.followers(sides):
        _arm(
            take, side, weight * share, arm_lift=lift, arm_azimuth=aim,
            elbow=90.0 + 28.0 * take.size * swing, arm_roll=10.0 + 25.0 * take.size * swing,
        )


def circle_arm(take: Take, sides: Sequence[str]) -> None:
    """Swings a straight arm round in an upright circle, once or twice."""
    weight = take.plateau(0.12)
    turns = take.rng.integers(1, 3)
    lift = take.performer.arm_lift + 360.0 * turns * _smooth(take.time)
    aim = 25.0 + 0.5 * take.performer.aim + take.rng.normal(0.0, 6.0)
    for side, share in take.followers(sides):
        # An arm that only follows swings a little; a share of a circle is none.
        target = lift if share == 1.0 else take.performer.arm_lift + 90.0 * share
        _arm(take, side, weight, arm_lift=target, elbow=15.0)
        _arm(take, side, weight * share, arm_azimuth=aim)


def push(take: Take, sides: Sequence[str]) -> None:
    """Draws the hands to the chest and pushes them forward, once or twice."""
    weight, beat = take.plateau(0.2), take.beats(1, 2)
    reach = min(1.0, take.size) * beat
    aim = take.aim(FORWARD)
    for side, share in take.followers(sides):
        _arm(
            take, side, weight * share, arm_lift=15.0 + 72.0 * reach, arm_azimuth=aim,
            elbow=125.0 - 110.0 * reach, arm_roll=10.0,
        )
    take.pose.add("bend", 8.0 * take.size * weight * beat)


def touch_head(take: Take, sides: Sequence[str]) -> None:
    """Brings a hand to the side of the head, the elbow out."""
    weight = take.plateau()
    lift, aim = take.rng.uniform(80.0, 105.0), take.rng.uniform(50.0, 80.0)
    for side, share in take.followers(sides):
        _arm(take, side, weight * share, arm_lift=lift, arm_azimuth=aim, elbow=142.0, arm_roll=0.0)
    take.pose.add("nod", 6.0 * weight)


def kick(take: Take, side: str, direction: str) -> None:
    """Swings a leg out, once or twice, while the trunk leans against it."""
    beat = take.beats(1, 2)
    pose, size = take.pose, take.size * beat
    lean = take.performer.balance
    if direction == SIDEWAYS:
        pose.reach(f"{side} leg azimuth", 85.0 + take.rng.normal(0.0, 8.0), beat)
        pose.add(f"{side} leg lift", 48.0 * size)
        pose.add("lean", 40.0 * lean * size * (1.0 if side == "left" else -1.0))
    else:
        sign = 1.0 if direction == FORWARD else -1.0
        pose.reach(f"{side} leg azimuth", take.rng.normal(0.0, 12.0), np.minimum(1.0, 3.0 * beat))
        pose.add(f"{side} leg lift", sign * (62.0 if sign > 0 else 42.0) * size)
        pose.add(f"{side} knee", (20.0 if sign > 0 else 35.0) * size)
        pose.add("bend", -45.0 * sign * lean * size)
    _arms_out(take, size * lean)


def raise_knee(take: Take, side: str) -> None:
    """Lifts a bent leg in front of the body, once or twice."""
    beat = take.beats(1, 2)
    take.pose.reach(f"{side} leg azimuth", take.rng.normal(5.0, 10.0), np.minimum(1.0, 3.0 * beat))
    take.pose.add(f"{side} leg lift", 78.0 * take.size * beat)
    take.pose.add(f"{side} knee", 92.0 * take.size * beat)
    _arms_out(take, beat * take.performer.balance)


def _arms_out(take: Take, weight: np.ndarray) -> None:
    for side in SIDES:
        take.pose.add(f"{side} arm lift", 60.0 * take.rng.uniform(0.3, 1.0) * weight)


def bend_trunk(take: Take, direction: str) -> None:
    """Bends the upper body forward, backward, or over to one side."""
    weight = take.plateau() * take.size
    channel, angle = {
        FORWARD: ("bend", 55.0), BACKWARD: ("bend", -26.0),
        "left": ("lean", -32.0), "right": ("lean", 32.0),
    }[direction]
    take.pose.add(channel, angle * weight)
    if channel == "lean":
        take.pose.add("tilt", 0.4 * angle * weight)
    elif direction == FORWARD:
        # Arms hang: they stay upright in space while the trunk turns under them.
        for side in SIDES:
            take.pose.reach(f"{side} arm azimuth", 15.0, np.minimum(1.0, weight))
            take.pose.add(f"{side} arm lift", 35.0 * weight)


def twist_trunk(take: Take, direction: str) -> None:
    """Turns the shoulders to one side, the feet staying, once or twice."""
    sign = 1.0 if direction == "left" else -1.0
    beat = take.beats(1, 2) * take.size
    take.pose.add("twist", 48.0 * sign * beat)
    take.pose.add("look", 10.0 * sign * beat)
    for side in SIDES:
        take.pose.add(f"{side} elbow", 45.0 * beat * take.rng.uniform(0.0, 1.0))


def turn_head(take: Take, direction: str) -> None:
    """Looks to one side and back."""
    sign = 1.0 if direction == "left" else -1.0
    take.pose.add("look", 62.0 * sign * take.size * take.plateau())
    take.pose.add("twist", 6.0 * sign * take.size * take.plateau())


def squat(take: Take) -> None:
    """Goes down on bent knees and comes up again."""
    weight = take.plateau(0.38) * min(1.0, take.size)
    _crouch(take, weight)
    for side in SIDES:
        _arm(take, side, weight * take.rng.uniform(0.1, 0.7), arm_lift=75.0, arm_azimuth=15.0)


def _crouch(take: Take, weight: np.ndarray) -> None:
    for side in SIDES:
        take.pose.reach(f"{side} leg azimuth", 20.0, np.minimum(1.0, 2.0 * weight))
        take.pose.add(f"{side} leg lift", 72.0 * weight)
        take.pose.add(f"{side} knee", 118.0 * weight)
    take.pose.add("bend", 28.0 * weight)


def jump(take: Take) -> None:
    """Crouches, leaps straight up, and lands crouching."""
    flight = np.clip((take.time - 0.4) / 0.25, 0.0, 1.0)
    take.pose.add("rise", 4.0 * flight * (1.0 - flight) * 0.32 * take.size)
    dip = np.exp(-(((take.time - 0.3) / 0.09) ** 2)) + np.exp(-(((take.time - 0.74) / 0.09) ** 2))
    _crouch(take, 0.45 * take.size * dip)
    arms = np.sin(np.pi * flight) ** 2 * take.rng.uniform(20.0, 80.0)
    for side in SIDES:
        take.pose.add(f"{side} arm lift", arms)


def walk(take: Take, metres: float) -> None:
    """Walks straight ahead."""
    way = np.clip(take.time, 0.0, 1.0)
    take.pose.add("ahead", metres * way * take.rng.uniform(0.85, 1.1))
    going = _smooth(way / 0.15) * _smooth((1.0 - way) / 0.15) * take.size
    stride = np.pi * take.rng.uniform(2.0, 3.2) * way + np.pi * take.rng.integers(2)
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        step = sign * np.sin(stride)
        take.pose.reach(f"{side} leg azimuth", 5.0, going.clip(0.0, 1.0))
        take.pose.add(f"{side} leg lift", 24.0 * going * step)
        take.pose.add(f"{side} knee", 30.0 * going * np.clip(step, 0.0, 1.0))
        take.pose.add(f"{side} arm lift", -16.0 * going * step)


def wave_at(take: Take) -> None:
    """Waves with one hand, whichever."""
    wave_hand(take, (SIDES[take.rng.integers(2)],))


def push_at(take: Take) -> None:
    """Pushes someone with both hands, and steps into it."""
    push(take, SIDES)
    take.pose.add("ahead", 0.15 * take.plateau())


def kick_at(take: Take) -> None:
    """Kicks towards someone with one leg, whichever."""
    kick(take, SIDES[take.rng.integers(2)], FORWARD)
    take.pose.add("ahead", 0.08 * take.plateau())
