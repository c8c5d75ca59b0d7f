"""The named cleaning steps, one by one, and their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zskel.data.bodies import (
    DEFAULT_CLEANING,
    STEPS,
    clean,
    drop_empty_frames,
    drop_short_tracks,
    fill_gaps,
    join_flicker,
    keep_most_active,
    motion,
    nonfinite,
    zero_joints,
)
from zskel.data.common.errors import BadConfig, ClipError
from zskel.data.skeleton import present


def tracks(*marks: str, joints: int = 3) -> np.ndarray:
    """Bodies that walk 1 cm a frame where the mark is x; body m starts at x = 0.1 m."""
    made = np.zeros((len(marks), len(marks[0]), joints, 3), np.float32)
    for body, mark in enumerate(marks):
        for t, letter in enumerate(mark):
            if letter == "x":
                made[body, t] = (0.1 * body + 0.01 * t, 1.0, 3.0)
                made[body, t, :, 1] += np.arange(joints)
    return made


def shown(keypoint: np.ndarray) -> list[str]:
    return ["".join("x" if there else "." for there in body) for body in present(keypoint)]


# -- keep_most_active ----------------------------------------------------------


def test_motion_is_the_spread_over_the_frames_with_the_body() -> None:
    made = np.zeros((2, 4, 1, 3))
    made[0, :2, 0, 0] = 1.0, 3.0  # standard deviation 1 over the two frames it is in
    made[0, :2, 0, 2] = 5.0
    assert motion(made).tolist() == [1.0, 0.0]


def test_the_most_active_come_first_and_at_least_one_stays() -> None:
    made = tracks("xx......", "xxxxxxxx", "........", "xxxx....")
    kept = keep_most_active(made, 2)
    np.testing.assert_array_equal(kept, made[[1, 3]])
    assert len(keep_most_active(np.zeros_like(made), 2)) == 1
    np.testing.assert_array_equal(clean(made, DEFAULT_CLEANING), kept)


# -- drop_empty_frames, drop_short_tracks --------------------------------------


def test_frames_without_any_body_are_cut_out() -> None:
    made = tracks("..xx..x.", "...xx...")
    cut = drop_empty_frames(made)
    assert shown(cut) == ["xx.x", ".xx."]
    np.testing.assert_array_equal(cut, made[:, [2, 3, 4, 6]])


def test_a_clip_without_bodies_is_listed_not_cut_to_nothing() -> None:
    with pytest.raises(ClipError, match="no body in any of 5 frames"):
        drop_empty_frames(np.zeros((2, 5, 3, 3)))


@pytest.mark.parametrize(("options", "kept"), [
    (dict(min_frames=3), [0, 2]), (dict(min_frames=2), [0, 1, 2]),
    (dict(min_frames=0, min_share=0.5), [2]), (dict(min_frames=99), [2]),
    (dict(min_frames=0), [0, 1, 2, 3]),
])
def test_short_tracks(options: dict, kept: list[int]) -> None:
    made = tracks("xxx.....", "x..x....", "xxxxx...", "........")
    np.testing.assert_array_equal(drop_short_tracks(made, **options), made[kept])


# -- fill_gaps -----------------------------------------------------------------


def test_short_absences_are_filled_on_a_line() -> None:
    made = tracks(".xx...xx....x.")
    filled = fill_gaps(made, max_gap=3)
    assert shown(filled) == [".xxxxxxx....x."]
    # The track itself walks on a line, so the filled frames are those of the whole track.
    np.testing.assert_allclose(filled[0, 1:8], tracks("x" * 14)[0, 1:8], atol=1e-6)
    assert shown(fill_gaps(made, max_gap=4)) == [".xxxxxxxxxxxx."]
    assert shown(fill_gaps(made, max_gap=2)) == shown(fill_gaps(made, 0)) == shown(made)


def test_a_joint_missing_beside_the_gap_is_not_invented() -> None:
    made = tracks("x.x", joints=2)
    made[0, 2, 1] = 0
    filled = fill_gaps(made)
    np.testing.assert_allclose(filled[0, 1, 0], [0.01, 1.0, 3.0], atol=1e-6)
    assert not filled[0, 1, 1].any()


# -- join_flicker --------------------------------------------------------------


def test_tracks_that_take_over_from_each_other_are_one_body() -> None:
    made = tracks("xxx.....xx", "....xxx...", "xxxxxxxxxx")
    joined = join_flicker(made, max_gap=1, max_distance=0.2)
    assert shown(joined) == ["xxx.xxx.xx", "xxxxxxxxxx"]
    np.testing.assert_array_equal(joined[0], made[0] + made[1])
    np.testing.assert_array_equal(joined[1], made[2])


@pytest.mark.parametrize(("marks", "options"), [
    (("xxx....", "..xxx.."), {}),                          # both there in one frame
    (("xxx....", ".....xx"), dict(max_gap=1)),             # two frames without either
    (("xxx....", "...xxxx"), dict(max_distance=0.1)),      # 0.11 m apart
    (("xx...xx", ".......",), {}),                         # the other never appears
])
def test_other_tracks_stay_apart(marks: tuple[str, ...], options: dict) -> None:
    made = tracks(*marks)
    np.testing.assert_array_equal(join_flicker(made, **options), made)


def test_limits_include_themselves() -> None:
    made = tracks("xxx....", ".....xx")  # 0.1 m and three frames' walk
    assert len(join_flicker(made, max_gap=2, max_distance=0.1301)) == 1
    assert len(join_flicker(made, max_gap=2, max_distance=0.1299)) == 2


def test_the_closest_pair_is_joined_first() -> None:
    made = tracks("xxx......", "...xxx...", "...xxx...", "......xxx")
    made[2, 3:6, :, 0] = 0.03  # nearer to the first track's end than the second
    joined = join_flicker(made)
    assert shown(joined) == ["xxxxxx...", "...xxxxxx"]
    np.testing.assert_array_equal(joined[0], made[0] + made[2])
    np.testing.assert_array_equal(joined[1], made[1] + made[3])


def test_a_chain_of_tracks_becomes_one_body() -> None:
    made = tracks("xx......", "..xx....", "....xx..", "......xx")
    assert shown(join_flicker(made)) == ["xxxxxxxx"]


@settings(max_examples=50)
@given(
    cuts=st.lists(st.integers(1, 29), min_size=1, max_size=5, unique=True),
    owners=st.lists(st.integers(0, 2), min_size=6, max_size=6), shift=st.floats(-2, 2),
)
def test_one_body_cut_into_tracks_comes_back(
    cuts: list[int], owners: list[int], shift: float
) -> None:
    whole = tracks("x" * 30, joints=5)
    whole[..., 2] += shift * np.linspace(0, 0.5, 30)[None, :, None]
    parts = np.zeros((3, *whole.shape[1:]), np.float32)
    bounds = [0, *sorted(cuts), 30]
    for start, stop, owner in zip(bounds, bounds[1:], owners):
        parts[owner, start:stop] = whole[0, start:stop]
    joined = join_flicker(parts)
    np.testing.assert_array_equal(joined[present(joined).any(axis=1)], whole)


# -- zero_joints, nonfinite ----------------------------------------------------


def test_joints_at_the_origin_are_interpolated_in_time() -> None:
    whole = tracks("xxxxx.x", joints=4)
    made = whole.copy()
    made[0, [1, 2], 1] = 0   # inside: on the line
    made[0, [0, 6], 2] = 0   # at the ends: held
    made[0, :, 3] = 0        # never tracked
    fixed = zero_joints(made)
    np.testing.assert_allclose(fixed[0, :, 1], whole[0, :, 1], atol=1e-6)
    np.testing.assert_array_equal(fixed[0, 0, 2], whole[0, 1, 2])
    np.testing.assert_array_equal(fixed[0, 6, 2], whole[0, 4, 2])
    assert not fixed[0, :, 3].any() and not fixed[0, 5].any()
    np.testing.assert_array_equal(fixed[0, :, 0], whole[0, :, 0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_joints_are_interpolated(bad: float) -> None:
    whole = tracks("xxxxx", "xx...", joints=2)
    made = whole.copy()
    made[0, 2, 1, 0] = bad
    made[0, 4] = bad  # the whole body: absent
    fixed = nonfinite(made)
    assert np.isfinite(fixed).all() and fixed.dtype == np.float32
    assert shown(fixed) == ["xxxx.", "xx..."]
    np.testing.assert_allclose(fixed[:, :4], whole[:, :4], atol=1e-6)


def test_nonfinite_leaves_missing_joints_to_the_step_for_them() -> None:
    made = tracks("xxx", joints=2)
    made[0, 1, 0] = 0
    made[0, 1, 1, 2] = np.nan
    fixed = nonfinite(made)
    assert not fixed[0, 1].any()  # nothing finite is left of it: absent
    made[0, 1, 0] = 1
    made[0, 2, 0] = 0
    fixed = nonfinite(made)
    assert fixed[0, 1, 1].any() and not fixed[0, 2, 0].any()


def test_nonfinite_can_refuse() -> None:
    made = tracks("xxx", "xxx")
    np.testing.assert_array_equal(nonfinite(made, "refuse"), made)
    made[1, 2, 0, 1] = np.nan
    with pytest.raises(ClipError, match="1 joints are not finite, the first in body 1, frame 2"):
        nonfinite(made, "refuse")


# -- all -----------------------------------------------------------------------


def test_steps_run_in_the_order_given() -> None:
    made = tracks("xx.xx...", "......xx", "........")
    steps = [dict(type="join_flicker"), dict(type="fill_gaps", max_gap=2),
             dict(type="keep_most_active", bodies=1)]
    assert shown(clean(made, steps)) == ["xxxxxxxx"]
    assert shown(clean(made, steps[1:] + steps[:1])) == ["xxxxx..."]


@pytest.mark.parametrize("name", STEPS.names())
def test_a_step_leaves_its_input_alone(name: str) -> None:
    made = tracks("x.xxx.", "..xx..", "xxxxx.", joints=4)
    made[0, 2, 1] = 0
    made[2, 1, 2] = np.nan
    before = made.copy()
    result = STEPS.build(name, made)
    np.testing.assert_array_equal(made, before)
    assert result.dtype == np.float32 and result.shape[2:] == (4, 3)


@pytest.mark.parametrize("name", STEPS.names())
def test_a_whole_clip_passes_unchanged(name: str) -> None:
    made = tracks("x" * 12, "x" * 12)
    np.testing.assert_array_equal(STEPS.build(name, made), made)


@pytest.mark.parametrize(("step", "message"), [
    (dict(type="fill_gap"), "did you mean 'fill_gaps'"),
    (dict(type="fill_gaps", gap=3), "unexpected keyword argument 'gap'"),
    (dict(type="fill_gaps", max_gap=-1), "max_gap is -1, expected 0 or more"),
    (dict(type="join_flicker", max_distance=float("nan")), "max_distance is nan"),
    (dict(type="join_flicker", max_gap=-2), "max_gap is -2"),
    (dict(type="drop_short_tracks", min_share=1.5), "min_share is 1.5, expected 0 to 1"),
    (dict(type="drop_short_tracks", min_frames=-1), "min_frames is -1"),
    (dict(type="nonfinite", action="drop"), "action is 'drop'"),
])
def test_wrong_steps(step: dict, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        clean(tracks("x"), [step])
