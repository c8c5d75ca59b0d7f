"""Joints in an image, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.projection import AXES, orthographic_view


def clip(seed: int = 0, bodies: int = 2, frames: int = 5, joints: int = 25) -> np.ndarray:
    random = np.random.default_rng(seed)
    made = random.normal(size=(bodies, frames, joints, 3)) + (0.3, 0.1, 3.0)
    made[random.random((bodies, frames, joints)) < 0.2] = 0
    return made.astype(np.float32)


def test_two_joints_and_an_absent_one_by_hand() -> None:
    # Two metres apart in x, half a metre in y: 200 x 50 pixels in a square of 202.
    joints = np.array([[-1.0, 0.5, 3.0], [1.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
    pixels, score, side = orthographic_view(joints.reshape(1, 1, 3, 3), pixels_per_metre=100)
    assert side == 202
    # The higher joint has the smaller row; 75 pixels are left above and below.
    assert pixels[0, 0].tolist() == [[1.0, 126.0], [201.0, 76.0], [0.0, 0.0]]
    assert score[0, 0].tolist() == [1.0, 1.0, 0.0]


def test_axes_are_taken_as_named() -> None:
    joints = np.array([[1.0, 2.0, 3.0], [2.0, 2.0, 7.0]]).reshape(1, 1, 2, 3)
    pixels, _, side = orthographic_view(joints, right="-x", up="z", pixels_per_metre=1)
    # x 1 lies right of x 2, z 7 above z 3; the image is 4 high, so 1.5 are left aside.
    assert side == 6 and pixels[0, 0].tolist() == [[3.5, 5.0], [2.5, 1.0]]


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.sampled_from([20, 25]), st.sampled_from(AXES),
       st.sampled_from(AXES), st.floats(1.0, 500.0))
def test_what_is_there_lies_in_the_image_and_keeps_its_distances(
    seed: int, joints: int, right: str, up: str, scale: float
) -> None:
    made = clip(seed, joints=joints)
    if right[-1] == up[-1]:
        with pytest.raises(BadConfig, match="same line"):
            orthographic_view(made, right, up)
        return
    pixels, score, side = orthographic_view(made, right, up, scale)
    there = (made != 0).any(axis=-1)
    assert pixels.dtype == score.dtype == np.float32
    assert np.array_equal(score, there) and not pixels[~there].any()
    inside = pixels[there].astype(np.float64)
    assert inside.min() >= 0.99 and inside.max() <= side
    plane = made[there].astype(np.float64)[:, ["xyz".index(right[-1]), "xyz".index(up[-1])]]
    expected = np.linalg.norm(plane[:, None] - plane[None], axis=-1) * scale
    found = np.linalg.norm(inside[:, None] - inside[None], axis=-1)
    np.testing.assert_allclose(found, expected, atol=1e-3 * scale)


def test_depth_and_place_change_nothing() -> None:
    made = clip()
    there = (made != 0).any(axis=-1, keepdims=True)
    moved = (made + (5.0, -2.0, 8.0)) * there
    pixels, score, side = orthographic_view(made)
    again, score_again, side_again = orthographic_view(moved)
    np.testing.assert_allclose(again, pixels, atol=1e-2)
    assert np.array_equal(score, score_again) and abs(side - side_again) <= 1


def test_a_clip_without_anybody_gives_no_joint() -> None:
    pixels, score, side = orthographic_view(np.zeros((2, 4, 20, 3), np.float32))
    assert pixels.shape == (2, 4, 20, 2) and not pixels.any() and not score.any() and side >= 1


@pytest.mark.parametrize(("options", "message"), [
    (dict(right="w"), "right is 'w'"), (dict(up="+y"), "up is"),
    (dict(pixels_per_metre=0), "pixels_per_metre is 0"),
])
def test_impossible_options_are_one_line(options: dict, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        orthographic_view(clip(), **options)


def test_other_arrays_are_refused() -> None:
    with pytest.raises(BadInput, match="found \\[5, 25, 3\\]"):
        orthographic_view(clip()[0])
