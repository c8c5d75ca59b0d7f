"""Joint layouts, shipped and of one's own, and where the shipped ones have Kinect v2's joints.

``resources/layouts.json`` has the shipped ones in the form that configs give layouts of
one's own in. Joint orders are those of the sensors and tools themselves; docs/layouts.md
shows each. Joints are named alike in all: what two layouts call the same is the same.
``to_ntu`` says what stands for each of the 25 joints that a layout does not have by name:
a joint at the end of a limb that is not there falls onto the last one that is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from zskel.data.common.errors import BadConfig
from zskel.data.common.registry import nearest


@dataclass(frozen=True)
class JointLayout:
    """Names and bones of a skeleton.

    Attributes:
        name: The name configs use.
        joints: Joint names, in array order.
        bones: ``(child, parent)`` joint indices; one joint, the root, has none.
        center: Joint that normalization moves to the origin.
        spine, shoulders, hips: Joint indices that orient the body: ``spine`` as
            (lower, upper), the others as (left, right).
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    center: int
    spine: tuple[int, int]
    shoulders: tuple[int, int]
    hips: tuple[int, int]

    def definition(self) -> dict[str, Any]:
        """The layout as ``layout_of`` takes it, for files that must stand alone."""
        return asdict(self)

    @property
    def num_joints(self) -> int:
        """V."""
        return len(self.joints)

    @property
    def sides(self) -> list[str]:
        """"left", "right" or "" for each joint: what hangs on which shoulder and hip.

        The bones tell, so layouts may name their joints as they like.

        >>> [UTD_MHAD.joints[i] for i, side in enumerate(UTD_MHAD.sides) if side == "left"][:3]
        ['left shoulder', 'left elbow', 'left wrist']
        """
        start = {self.shoulders[0]: "left", self.hips[0]: "left",
                 self.shoulders[1]: "right", self.hips[1]: "right"}
        parent = dict(self.bones)
        found = []
        for joint in range(self.num_joints):
            at: int | None = joint
            while at is not None and at not in start:
                at = parent.get(at)
            found.append(start.get(at, "") if at is not None else "")
        return found

    def index(self, joint: str) -> int:
        """The position of a joint, by name."""
        return self.joints.index(joint)


def layout_of(spec: str | Mapping[str, Any]) -> JointLayout:
    """A layout by name, or one's own as a config gives it.

    Args:
        spec: A name of ``LAYOUTS``, or ``joints`` (names in array order) and
            ``bones`` (pairs of child and parent), both required; ``center``,
            ``spine`` (lower, upper), ``shoulders`` and ``hips`` (left, right),
            required unless the joints are named as in ``NTU_RGBD``; ``name``,
            "custom" if left out. Joints are given by name or index.

    Raises:
        BadConfig: The layout is unknown, or its bones are no tree.

    >>> own = layout_of(dict(joints=["hip", "chest", "left", "right"],
    ...     bones=[["chest", "hip"], ["left", "chest"], ["right", "chest"]], center="hip",
    ...     spine=["hip", "chest"], shoulders=["left", "right"], hips=["left", "right"]))
    >>> own.bones, own.shoulders
    (((1, 0), (2, 1), (3, 1)), (2, 3))
    """
    if isinstance(spec, str):
        if spec not in LAYOUTS:
            raise BadConfig(f"layout {spec!r}: {nearest(spec, LAYOUTS)} "
                            "(one of your own is given by joints and bones)")
        return LAYOUTS[spec]
    known = {"name", "joints", "bones", *_ORIENTING}
    wrong = sorted(set(spec) - known)
    if wrong or not {"joints", "bones"} <= set(spec):
        problem = f"unknown key {wrong[0]!r}" if wrong else "needs 'joints' and 'bones'"
        raise BadConfig(f"layout: {problem}; a layout has {', '.join(sorted(known))}")
    joints = tuple(spec["joints"])
    if not joints or not all(isinstance(j, str) for j in joints) or len({*joints}) < len(joints):
        raise BadConfig("layout: 'joints' has to be a list of different names")
    bones: tuple[Any, ...] = tuple(
        _joint_indices(bone, joints, 2, "bones") for bone in spec["bones"])
    _check_tree(bones, len(joints))
    orient: dict[str, Any] = {}
    for key, count in _ORIENTING.items():
        value = spec.get(key)
        if value is None:
            default = getattr(NTU_RGBD, key)
            value = [NTU_RGBD.joints[j] for j in ([default] if count == 1 else default)]
            if not set(value) <= set(joints):
                raise BadConfig(f"layout: {key!r} is missing, and no joints are named {value}")
        indices = _joint_indices(value, joints, count, key)
        orient[key] = indices[0] if count == 1 else indices
    return JointLayout(str(spec.get("name", "custom")), joints, bones, **orient)


def layouts_of(joints: int, but: str = "") -> str:
    """What to suggest for clips of so many joints.

    >>> layouts_of(17), layouts_of(18)
    ('coco-17, h36m-17', 'none that ships; give joints and bones of your own')
    """
    names = sorted({name for name, known in LAYOUTS.items() if known.num_joints == joints} - {but})
    return ", ".join(names) or "none that ships; give joints and bones of your own"


_ORIENTING = {"center": 1, "spine": 2, "shoulders": 2, "hips": 2}


def _joint_indices(value: Any, joints: Sequence[str], count: int, key: str) -> tuple[int, ...]:
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(items) != count:
        raise BadConfig(f"layout: {key!r} takes {count} joint(s), found {value!r}")
    for item in items:
        index = isinstance(item, int) and not isinstance(item, bool)
        if not (0 <= item < len(joints) if index else item in joints):
            raise BadConfig(f"layout: {key!r} names joint {item!r}, which 'joints' has not")
    return tuple(item if isinstance(item, int) else joints.index(item) for item in items)


def _check_tree(bones: Sequence[tuple[int, int]], count: int) -> None:
    parents = dict(bones)
    if len(bones) != count - 1 or len(parents) != len(bones):
        raise BadConfig(f"layout: {count} joints need {count - 1} bones, one (child, parent) for "
                        f"each joint but the root; found {len(bones)}")
    for start in range(count):
        joint = start
        for _ in range(count):
            joint = parents.get(joint, joint)
        if joint in parents:
            raise BadConfig(f"layout: the bones from joint {start} run in a circle")


_SHIPPED: dict[str, dict[str, Any]] = json.loads(
    (resources.files("zskel.data.resources") / "layouts.json").read_text(encoding="utf-8"))

LAYOUTS: dict[str, JointLayout] = {
    name: layout_of({"name": name, **{key: spec[key] for key in ("joints", "bones", *_ORIENTING)}})
    for name, spec in _SHIPPED.items()
}
#: By layout and joint of ``NTU_RGBD``, the shares of the joints whose mean stands for it.
TO_NTU: dict[str, Mapping[str, Mapping[str, float]]] = {
    name: spec["to_ntu"] for name, spec in _SHIPPED.items() if "to_ntu" in spec
}
NTU_RGBD, UTD_MHAD, KINECT_V1 = (LAYOUTS[name] for name in ("nturgb+d", "utd-mhad", "kinect-v1"))
KINECT_V1_TO_NTU = TO_NTU[KINECT_V1.name]
