"""Joint layouts by name: a table of the joints, and a picture with their numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.common.errors import BadInput
from zskel.data.common.files import write_text
from zskel.data.skeleton import NTU_RGBD, JointLayout, layout_of, mapping_by_name
from zskel.data.synthetic.body import BONES, Pose, joints
from zskel.data.synthetic.layouts import as_layout
from zskel.pipeline.report.svg import number

_COLOURS = {"left": "#0072b2", "right": "#d55e00", "": "#444444"}
_SCALE, _MARGIN, _LINE = 320, 36, 18  # units of the drawing: a metre, and a line of text
_FACE = ("nose", "eye", "ear", "mouth")
#: Joints that lie close together are drawn further apart, about the joint before them.
_ENLARGED = (
    ("head", 1.6, _FACE),
    ("spine shoulder", 2.0, ("head", *_FACE)),
    ("wrist", 2.2, ("hand", "hand tip", "thumb", "pinky", "index")),
    ("ankle", 1.8, ("foot", "foot index", "big toe", "small toe", "heel")),
)


def describe_layout(name: str) -> dict[str, Any]:
    """What a shipped layout consists of.

    Raises:
        BadConfig: There is none of that name.
    """
    layout = layout_of(name)
    parent = dict(layout.bones)
    joints = layout.joints
    mapping = mapping_by_name(layout)
    matrix = mapping.matrix() if mapping is not None else ()
    return {
        "kind": "joint layout", "path": name,
        **{what: joints[getattr(layout, what)] if what == "center"
           else ", ".join(joints[joint] for joint in getattr(layout, what))
           for what in ("center", "spine", "shoulders", "hips")},
        "joints": [
            {"index": index, "joint": joint,
             "parent": joints[parent[index]] if index in parent else "(the root)"}
            for index, joint in enumerate(joints)],
        f"mapped_to_{NTU_RGBD.name}": [
            {"index": index, "joint": joint,
             "from": " + ".join(f"{row[source]:.3g} {joints[source]}" if row[source] != 1
                                else joints[source] for source in np.flatnonzero(row))}
            for index, (joint, row) in enumerate(zip(NTU_RGBD.joints, matrix, strict=False))],
    }


def draw_layout(name: str, path: str | os.PathLike[str]) -> None:
    """Draws a shipped layout from the front, with numbers and names, as SVG.

    The person looks at you: left joints, in blue, are on the right. The central
    joint has a ring; a dashed line shows the spine. Face, hands and feet are
    drawn larger.

    Raises:
        BadInput: The file is not called ``.svg``.
        BadConfig: There is no layout of that name.
    """
    layout = layout_of(name)
    if Path(path).suffix.lower() != ".svg":
        raise BadInput(f"{path}: a picture of a layout is called .svg")
    write_text(Path(path), "\n".join(_drawing(layout)) + "\n")


def _drawing(layout: JointLayout) -> Iterator[str]:
    places = _places(layout)
    height = max(places[:, 1].max(), _LINE * (layout.num_joints - 0.5)) + 2 * _MARGIN
    names_at = places[:, 0].max() + 3.5 * _MARGIN
    width = names_at + 160
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} '
           f'{number(height)}" width="{number(width)}" font-family="sans-serif" font-size="13">')
    yield f"<title>{escape(layout.name)}: {layout.num_joints} joints</title>"
    yield '<rect width="100%" height="100%" fill="#ffffff"/>'
    places = places + _MARGIN
    for child, parent in layout.bones:
        yield _line(places[child], places[parent], _COLOURS[_side(layout.joints[child])], 3)
    lower, upper = layout.spine
    yield _line(places[lower], places[upper], "#000000", 1.5, ' stroke-dasharray="2 4"')
    x, y = places[layout.center]
    yield (f'<circle cx="{number(x)}" cy="{number(y)}" r="8" fill="none" '
           'stroke="#000000" stroke-width="1.5"/>')
    for index, (joint, (x, y)) in enumerate(zip(layout.joints, places, strict=True)):
        side = _side(joint)
        colour = _COLOURS[side]
        yield f'<circle cx="{number(x)}" cy="{number(y)}" r="4" fill="{colour}"/>'
        shift, anchor = (-8, "end") if side == "right" else (8, "start")
        rise = 4
        if side and _part(joint) in _FACE:
            shift, anchor, rise = 0, "middle", 9
        # A white rim keeps numbers legible where bones pass behind them.
        yield (f'<text x="{number(x + shift)}" y="{number(y - rise)}" text-anchor="{anchor}" '
               f'fill="{colour}" stroke="#ffffff" stroke-width="3" paint-order="stroke">'
               f"{index}</text>")
        line = _MARGIN + _LINE * (index + 0.5)
        yield (f'<text x="{number(names_at)}" y="{number(line)}" text-anchor="end" '
               f'fill="{colour}">{index}</text><text x="{number(names_at + 8)}" '
               f'y="{number(line)}" fill="{colour}">{escape(joint)}</text>')
    yield "</svg>"


def _places(layout: JointLayout) -> np.ndarray:
    """``[V, 2]`` in units of the drawing, the left and upper edge at 0."""
    pose = Pose(1)
    for side in ("left", "right"):
        for limb, lift in (("arm", 38), ("leg", 9)):
            pose.add(f"{side} {limb} lift", lift)
            pose.add(f"{side} {limb} azimuth", 90)
        pose.add(f"{side} arm roll", -90)  # the palms to the front, thumbs outwards
    body = joints(pose, BONES)[0]
    placed = as_layout(body, layout)
    anchors = dict(zip(NTU_RGBD.joints, body, strict=True))
    for row, joint in enumerate(layout.joints):
        for anchor, factor, parts in _ENLARGED:
            if _part(joint) in parts:
                start = anchors.get(anchor, anchors.get(f"{_side(joint)} {anchor}"))
                placed[row] = start + factor * (placed[row] - start)
    # Seen from slightly above, so that toes do not hide heels.
    flat = np.stack([placed[:, 0], -placed[:, 1] + 0.4 * placed[:, 2]], axis=1) * _SCALE
    return flat - flat.min(axis=0)


def _side(joint: str) -> str:
    first = joint.split()[0]
    return first if first in ("left", "right") else ""


def _part(joint: str) -> str:
    part = joint.removeprefix(_side(joint)).strip()
    return part.removesuffix(" inner").removesuffix(" outer")


def _line(start: np.ndarray, end: np.ndarray, colour: str, width: float, more: str = "") -> str:
    return (f'<line x1="{number(start[0])}" y1="{number(start[1])}" x2="{number(end[0])}" '
            f'y2="{number(end[1])}" stroke="{colour}" stroke-width="{width}"{more}/>')
