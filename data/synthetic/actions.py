"""The action classes: plain English names, and the movements that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from zskel.data.synthetic import motions as m
from zskel.data.synthetic.motions import BACKWARD, FORWARD, SIDEWAYS, Take

_LEFT, _RIGHT, _BOTH = ("left",), ("right",), ("left", "right")


@dataclass(frozen=True)
class Action:
    """A class.

    Attributes:
        name: Movement, body part and direction in plain English.
        move: What each person does.
        people: 1, or 2 who do it at each other.
        distance: Metres between two people at the start.
        facing_away: Two people stand back to back.
    """

    name: str
    move: Callable[[Take], None]
    people: int = 1
    distance: float = 0.0
    facing_away: bool = False


#: In label order. A name's words are shared with others: what a class means is
#: a combination, and each part of it is shown by other classes too.
ACTIONS = (
    Action("raise left arm sideways", partial(m.raise_arm, sides=_LEFT, direction=SIDEWAYS)),
    Action("raise right arm sideways", partial(m.raise_arm, sides=_RIGHT, direction=SIDEWAYS)),
    Action("raise both arms sideways", partial(m.raise_arm, sides=_BOTH, direction=SIDEWAYS)),
    Action("raise left arm forward", partial(m.raise_arm, sides=_LEFT, direction=FORWARD)),
    Action("raise right arm forward", partial(m.raise_arm, sides=_RIGHT, direction=FORWARD)),
    Action("raise both arms forward", partial(m.raise_arm, sides=_BOTH, direction=FORWARD)),
    Action("wave left hand", partial(m.wave_hand, sides=_LEFT)),
    Action("wave right hand", partial(m.wave_hand, sides=_RIGHT)),
    Action("wave both hands", partial(m.wave_hand, sides=_BOTH)),
    Action("circle left arm", partial(m.circle_arm, sides=_LEFT)),
    Action("circle right arm", partial(m.circle_arm, sides=_RIGHT)),
    Action("circle both arms", partial(m.circle_arm, sides=_BOTH)),
    Action("push forward with left hand", partial(m.push, sides=_LEFT)),
    Action("push forward with right hand", partial(m.push, sides=_RIGHT)),
    Action("push forward with both hands", partial(m.push, sides=_BOTH)),
    Action("touch head with left hand", partial(m.touch_head, sides=_LEFT)),
    Action("touch head with right hand", partial(m.touch_head, sides=_RIGHT)),
    Action("kick forward with left leg", partial(m.kick, side="left", direction=FORWARD)),
    Action("kick forward with right leg", partial(m.kick, side="right", direction=FORWARD)),
    Action("kick sideways with left leg", partial(m.kick, side="left", direction=SIDEWAYS)),
    Action("kick sideways with right leg", partial(m.kick, side="right", direction=SIDEWAYS)),
    Action("kick backward with left leg", partial(m.kick, side="left", direction=BACKWARD)),
    Action("kick backward with right leg", partial(m.kick, side="right", direction=BACKWARD)),
    Action("raise left knee", partial(m.raise_knee, side="left")),
    Action("raise right knee", partial(m.raise_knee, side="right")),
    Action("bend upper body forward", partial(m.bend_trunk, direction=FORWARD)),
    Action("bend upper body backward", partial(m.bend_trunk, direction=BACKWARD)),
    Action("bend upper body to the left", partial(m.bend_trunk, direction="left")),
    Action("bend upper body to the right", partial(m.bend_trunk, direction="right")),
    Action("twist upper body to the left", partial(m.twist_trunk, direction="left")),
    Action("twist upper body to the right", partial(m.twist_trunk, direction="right")),
    Action("turn head to the left", partial(m.turn_head, direction="left")),
    Action("turn head to the right", partial(m.turn_head, direction="right")),
    Action("squat down", m.squat),
    Action("jump up", m.jump),
    Action("two people wave at each other", m.wave_at, people=2, distance=1.4),
    Action("two people push each other", m.push_at, people=2, distance=0.95),
    Action("two people kick each other", m.kick_at, people=2, distance=1.2),
    Action("two people walk towards each other", partial(m.walk, metres=0.8), 2, 2.4),
    Action("two people walk away from each other", partial(m.walk, metres=0.8), 2, 0.7, True),
)

_NAMES = tuple(action.name for action in ACTIONS)


def class_names() -> tuple[str, ...]:
    """The names of the action classes, in label order."""
    return _NAMES


def _labels(*names: str) -> tuple[int, ...]:
    return tuple(sorted(_NAMES.index(name) for name in names))


#: The default split's unseen classes (0-based labels), one of each family, each a
#: new combination of what seen classes show.
UNSEEN = _labels(
    "raise right arm sideways",
    "wave both hands",
    "push forward with left hand",
    "kick forward with right leg",
    "bend upper body to the left",
    "two people kick each other",
)
