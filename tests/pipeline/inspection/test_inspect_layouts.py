"""Shipped layouts as inspect shows and draws them, and their pictures in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from zskel.data.common.errors import BadInput
from zskel.data.skeleton import LAYOUTS, NTU_RGBD
from zskel.pipeline.inspect.inspect import inspect

PICTURES = Path(__file__).resolve().parents[3] / "docs" / "layouts"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.mark.parametrize("name", LAYOUTS)
def test_pictures_of_the_docs_are_up_to_date(name: str, tmp_path: Path) -> None:
    drawn = tmp_path / f"{name}.svg"
    found = inspect(layout=name, out=drawn)
    layout = LAYOUTS[name]
    assert [row["joint"] for row in found["joints"]] == list(layout.joints)
    assert [row["joint"] for row in found["mapped_to_nturgb+d"]] == list(NTU_RGBD.joints)
    new, old = drawn.read_text(), (PICTURES / drawn.name).read_text()
    assert NUMBER.sub("", new) == NUMBER.sub("", old), f"draw {name}.svg again with inspect"
    np.testing.assert_allclose([float(number) for number in NUMBER.findall(new)],
                               [float(number) for number in NUMBER.findall(old)], atol=0.2)
    page = (PICTURES.parent / "layouts.md").read_text()
    assert f"(layouts/{name}.svg)" in page and f"| {layout.num_joints} |" in page


@pytest.mark.parametrize("name", LAYOUTS)
def test_in_the_picture_left_is_right_and_no_two_joints_meet(name: str, tmp_path: Path) -> None:
    drawn = tmp_path / "x.svg"
    inspect(layout=name, out=drawn)
    dots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="4"', drawn.read_text())
    places = np.asarray(dots, float)
    joints = LAYOUTS[name].joints
    assert len(places) == len(joints)
    middle = places[[joints.index("left hip"), joints.index("right hip")], 0].mean()
    for joint, (x, _) in zip(joints, places, strict=True):
        side = joint.split()[0]
        assert {"left": x > middle, "right": x < middle}.get(side, abs(x - middle) < 1), joint
    apart = np.linalg.norm(places[:, None] - places, axis=-1) + 99 * np.eye(len(joints))
    assert apart.min() > 8


def test_what_is_no_layout_or_no_picture(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="name a path to inspect, or with --layout"):
        inspect()
    with pytest.raises(BadInput, match="did you mean 'smpl-24'"):
        inspect(layout="smpl24")
    with pytest.raises(BadInput, match=r"x.png: a picture of a layout is called \.svg"):
        inspect(layout="smpl-24", out=tmp_path / "x.png")
