"""Parts of the body of any layout, and the descriptors made from pooled views."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zskel.data.layouts import LAYOUTS, NTU_RGBD, layout_of
from zskel.data.pooled import BODY_PARTS, DESCRIPTORS, body_parts, descriptors, thirds


def test_the_parts_of_ntu_are_those_of_purls() -> None:
    assert body_parts(NTU_RGBD) == {
        "head": [2, 3, 4, 8, 20], "hands": [*range(4, 12), 21, 22, 23, 24],
        "torso": [0, 1, 4, 8, 12, 16, 20], "legs": [0, *range(12, 20)]}


@pytest.mark.parametrize("name", LAYOUTS)
def test_parts_of_every_layout_are_whole_and_as_left_as_right(name: str) -> None:
    layout, parts = LAYOUTS[name], body_parts(LAYOUTS[name])
    assert list(parts) == list(BODY_PARTS) and all(parts.values())
    assert set().union(*parts.values()) == set(range(layout.num_joints))
    for joints in parts.values():
        named = {layout.joints[joint] for joint in joints}
        assert {each.replace("left", "right") for each in named if "left" in each} == {
            each for each in named if "right" in each}
    named = {part: {layout.joints[joint] for joint in joints} for part, joints in parts.items()}
    assert {"left wrist", "left hand"} & named["hands"] and not {"left knee"} & named["hands"]
    assert "left knee" in named["legs"] and not {"nose", "head"} & named["torso"]


def test_parts_of_a_layout_of_ones_own() -> None:
    own = layout_of(dict(
        joints=["top", "chest", "hip", "a", "b", "c", "d", "e"],
        bones=[["chest", "top"], ["hip", "chest"], ["a", "chest"], ["b", "chest"], ["c", "hip"],
               ["d", "hip"], ["e", "a"]],
        center="hip", spine=["hip", "chest"], shoulders=["a", "b"], hips=["c", "d"]))
    assert body_parts(own) == {"head": [0, 1, 3, 4], "hands": [3, 4, 7],
                               "torso": [1, 2, 3, 4, 5, 6], "legs": [2, 5, 6]}


@given(st.integers(1, 400))
def test_thirds_have_a_frame_each_and_leave_none_out(frames: int) -> None:
    found = thirds(frames)
    assert all(0 <= begin < end <= frames for begin, end in found)
    assert set().union(*(range(*ends) for ends in found)) == set(range(frames))


def test_descriptors_are_means_over_parts_and_thirds() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 16, 25, 3))
    parts = body_parts(NTU_RGBD)
    found = descriptors(maps.mean(axis=1), maps.mean(axis=2), parts)
    assert found.shape == (2, len(DESCRIPTORS), 3) and found.dtype == np.float32
    expected = [maps[:, :, parts[part]].mean(axis=(1, 2)) for part in BODY_PARTS]
    expected += [maps[:, begin:end].mean(axis=(1, 2)) for begin, end in ((0, 5), (5, 11), (11, 16))]
    expected.append(maps.mean(axis=(1, 2)))
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-4, atol=1e-6)
