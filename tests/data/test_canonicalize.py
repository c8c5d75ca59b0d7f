"""Pose canonicalization: what turning a clip must not change, and hand-worked cases."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from zskel.data.canonicalize import canonicalize
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.preprocess import pre_normalize_3d
from zskel.data.skeleton import KINECT_V1_TO_NTU, LAYOUTS, NTU_RGBD, UTD_MHAD, JointMapping, present
from zskel.data.synthetic import Settings, generate
from zskel.data.synthetic.layouts import as_layout

modes = st.sampled_from([("frame", 10.0), ("frame", 2.5), ("frame", 0.0), ("clip", 10.0)])


def about_y(points: np.ndarray, angle: float | np.ndarray) -> np.ndarray:
    """Turns [..., T, V, 3] about the y axis through the origin, by an angle or one a frame."""
    cosine, sine = np.cos(angle), np.sin(angle)
    if np.ndim(angle):
        cosine, sine = cosine[:, None], sine[:, None]
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([cosine * x + sine * z, y, cosine * z - sine * x], axis=-1)


def clip(
    seed: int = 0, bodies: int = 2, frames: int = 12, absent: float = 0.0, missing: float = 0.0
) -> np.ndarray:
    """Float64 clips; neither the joints nor their order in time make a body."""
    random = np.random.default_rng(seed)
    made = random.normal(size=(bodies, frames, 25, 3)) + (0.3, 0.1, 3.0)
    made[random.random((bodies, frames)) < absent] = 0
    made[random.random((bodies, frames, 25)) < missing] = 0
    return made


def has_direction(made: np.ndarray) -> bool:
    """Whether the first body that appears has a root, and shoulders or hips, somewhere."""
    main = made[present(made).any(axis=1).argmax()].any(axis=-1)
    return bool(main[:, 0].any() and (main[:, [4, 8]].all(1) | main[:, [12, 16]].all(1)).any())


def standing(frames: int = 5) -> np.ndarray:
    """One body that faces a sensor at the origin, two metres off, arms down."""
    body = np.zeros((1, frames, 25, 3))
    body[..., 1] = np.linspace(0.9, -0.9, 25)
    body[:, :, [4, 12], 0], body[:, :, [8, 16], 0] = -0.2, 0.2
    body[:, :, 3, 2] = -0.1  # a nose, so to say: forward of the rest
    body[..., 2] += 2.0
    return body


# -- properties ----------------------------------------------------------------


@settings(max_examples=150)
@given(
    seed=st.integers(0, 10**6), angle=st.floats(-7, 7), mode=modes, bodies=st.integers(1, 3),
    frames=st.integers(1, 40), absent=st.sampled_from([0.0, 0.3, 0.9]),
    missing=st.sampled_from([0.0, 0.2]), away=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
def test_a_turned_clip_gives_the_same_clip(
    seed: int, angle: float, mode: tuple[str, float], bodies: int, frames: int, absent: float,
    missing: float, away: tuple[float, float],
) -> None:
    made = clip(seed, bodies, frames, absent, missing)
    there = made.any(axis=-1, keepdims=True)
    assume(has_direction(made))
    turned = about_y(made, angle) + np.where(there, (away[0], 0.0, away[1]), 0.0)
    np.testing.assert_allclose(canonicalize(turned, *mode), canonicalize(made, *mode), atol=1e-6)


@given(angle=st.floats(-7, 7), mode=modes, number=st.integers(0, 5))
def test_a_turned_recording_gives_the_same_clip_in_float32(
    recordings: list[np.ndarray], angle: float, mode: tuple[str, float], number: int
) -> None:
    made = recordings[number]
    turned = about_y(made, angle).astype(np.float32)
    np.testing.assert_allclose(canonicalize(turned, *mode), canonicalize(made, *mode), atol=1e-4)


@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=15)
@given(angle=st.floats(-7, 7), mode=modes, number=st.integers(0, 5))
def test_a_turned_recording_gives_the_same_clip_in_every_layout(
    recordings: list[np.ndarray], name: str, angle: float, mode: tuple[str, float], number: int
) -> None:
    made = as_layout(recordings[number].astype(np.float64), LAYOUTS[name])
    once = canonicalize(made, *mode, layout=name)
    np.testing.assert_allclose(
        canonicalize(about_y(made, angle), *mode, layout=name), once, atol=1e-6)
    np.testing.assert_array_equal(once[..., 1], made[..., 1])
    if mode in (("frame", 0.0), ("clip", 10.0)):
        np.testing.assert_allclose(canonicalize(once, *mode, layout=name), once, atol=1e-6)
    # The shoulders and hips of the first frame: the right side is on the +x side.
    if mode == ("frame", 0.0):
        layout = LAYOUTS[name]
        across = sum(once[0, 0, right] - once[0, 0, left]
                     for left, right in (layout.shoulders, layout.hips))
        assert across[0] > 0 and across[2] == pytest.approx(0, abs=1e-9)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6), mode=st.sampled_from([("frame", 0.0), ("clip", 10.0)]),
    frames=st.integers(1, 30), absent=st.sampled_from([0.0, 0.4]),
    missing=st.sampled_from([0.0, 0.2]),
)
def test_twice_is_once(
    seed: int, mode: tuple[str, float], frames: int, absent: float, missing: float
) -> None:
    once = canonicalize(clip(seed, 2, frames, absent, missing), *mode)
    np.testing.assert_allclose(canonicalize(once, *mode), once, atol=1e-6)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), mode=modes, absent=st.sampled_from([0.0, 0.4]))
def test_heights_distances_and_absences_stay(
    seed: int, mode: tuple[str, float], absent: float
) -> None:
    made = clip(seed, absent=absent, missing=0.1)
    turned = canonicalize(made, *mode)
    there = made.any(axis=-1)
    np.testing.assert_array_equal(turned.any(axis=-1), there)
    np.testing.assert_array_equal(turned[..., 1], made[..., 1])
    for t in range(made.shape[1]):  # between all joints of all bodies
        before, after = made[:, t][there[:, t]], turned[:, t][there[:, t]]
        np.testing.assert_allclose(
            np.linalg.norm(after[:, None] - after, axis=-1),
            np.linalg.norm(before[:, None] - before, axis=-1), atol=1e-9,
        )


@pytest.fixture(scope="module")
def recordings() -> list[np.ndarray]:
    made = generate(Settings(seed=4, performers=1, cameras=1, frames=(20, 40)))
    return [
        np.stack([body.joints for body in recording.bodies]).astype(np.float32)
        for number, recording in enumerate(made) if number % 7 == 3
    ]


# -- by hand -------------------------------------------------------------------


def test_a_body_that_faces_the_sensor_is_only_moved() -> None:
    made = standing()
    np.testing.assert_allclose(canonicalize(made), made - (0, 0, 2), atol=1e-12)


@pytest.mark.parametrize(("facing", "nose", "right"), [
    ("-z", (0, 0, -0.1), (0.2, 0, 0)), ("z", (0, 0, 0.1), (-0.2, 0, 0)),
    ("x", (0.1, 0, 0), (0, 0, 0.2)), ("-x", (-0.1, 0, 0), (0, 0, -0.2)),
])
@pytest.mark.parametrize("mode", ["frame", "clip"])
def test_the_body_faces_where_it_is_told(
    facing: str, nose: tuple[float, ...], right: tuple[float, ...], mode: str
) -> None:
    turned = canonicalize(about_y(standing(), 0.7), mode, facing=facing)
    for joint, place in ((3, nose), (8, right)):
        for axis in (0, 2):
            np.testing.assert_allclose(turned[0, :, joint, axis], place[axis], atol=1e-12)


@pytest.mark.parametrize(("vertical", "facing", "columns", "signs"), [
    ("z", "-x", (2, 0, 1), (1, 1, 1)),   # x, y, z renamed in a circle: y is z, z is x
    ("-y", "-z", (0, 1, 2), (-1, -1, 1)),  # upside down, by half a turn about z
])
def test_other_verticals_are_the_same_clip_in_other_axes(
    vertical: str, facing: str, columns: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    made = clip(5)
    other = made[..., columns] * signs
    expected = canonicalize(made)[..., columns] * signs
    np.testing.assert_allclose(
        canonicalize(other, vertical=vertical, facing=facing), expected, atol=1e-9
    )


def test_walking_a_circle_is_walking_straight_on_frame_by_frame() -> None:
    angles = np.linspace(0, 1.5, 31)
    made = about_y(standing(31), angles)  # round the sensor, facing it
    turned = canonicalize(made, "frame", sigma=0)
    step = 2 * 2 * np.sin(0.05 / 2)  # chord of the circle of radius 2
    # Sideways, for it faces the centre; a chord is half a step's angle off.
    np.testing.assert_allclose(turned[0, :, 0, 0], np.arange(31) * step * np.cos(0.025), atol=1e-9)
    pose = turned[0] - turned[0, :, :1]
    np.testing.assert_allclose(pose, np.broadcast_to(pose[:1], pose.shape), atol=1e-9)
    # One turn for the clip, by its middle direction: the circle stays one.
    circle = canonicalize(made, "clip")
    whole = about_y(made, -0.75)
    np.testing.assert_allclose(circle, whole - whole[:, :1, :1] * (1, 0, 1), atol=1e-9)


def test_the_others_turn_with_the_main_body() -> None:
    made = np.concatenate([standing(), about_y(standing(), 0.3)])
    turned = canonicalize(about_y(made, 2.0))
    np.testing.assert_allclose(turned, made - (0, 0, 2), atol=1e-12)


def test_smoothing_leaves_a_twitch_in_and_takes_a_slow_turn_out() -> None:
    twitch, slow = np.zeros(61), np.linspace(0, 3, 61)
    twitch[30] = 0.5

    def left(angles: np.ndarray) -> np.ndarray:
        turned = canonicalize(about_y(standing(61) - (0, 0, 2), angles) + (0, 0, 2), sigma=10)
        return np.arctan2(turned[0, :, 8, 2] - turned[0, :, 4, 2],
                          turned[0, :, 8, 0] - turned[0, :, 4, 0])

    assert -left(twitch)[30] == pytest.approx(0.5, abs=0.03)
    # A Gaussian keeps a steady turn as it is, but for the ends.
    assert np.abs(left(slow)[30]) == pytest.approx(0, abs=1e-3)
    assert np.abs(left(slow)).max() < 0.5


# -- what is missing -----------------------------------------------------------


def test_absent_frames_take_the_nearest_direction_the_earlier_of_two() -> None:
    angles = np.array([0.3, 0.3, 0.3, 0.3, 1.1, 1.1])
    pair = np.concatenate([standing(6), standing(6) + (1, 0, 0)])
    made = about_y(pair, angles)
    made[0, [0, 2, 3]] = 0
    turned = canonicalize(made, sigma=0)
    # Frames 0, 2 from frame 1; frame 3 from frame 4.
    assert not turned[0, [0, 2, 3]].any()
    by = np.array([0.3, 0.3, 0.3, 1.1, 1.1, 1.1])
    main = about_y(standing(6), by)
    offset = about_y(made[1] - main[0, :, :1], -by)
    path = np.zeros((6, 3))
    root = main[0, :, 0]
    for t in range(1, 6):
        path[t] = path[t - 1] + about_y((root[t] - root[t - 1])[None, None], -by[t - 1])[0, 0]
    path[:, 1] = root[:, 1]
    np.testing.assert_allclose(turned[1], offset + path[:, None], atol=1e-9)


def test_if_the_first_body_never_appears_the_second_is_the_main_one() -> None:
    made = clip(3)
    made[0] = 0
    np.testing.assert_allclose(canonicalize(made)[1:], canonicalize(made[1:]), atol=1e-12)


@pytest.mark.parametrize("missing", [[8], [4], [12, 16]])
def test_shoulders_or_hips_do_alone(missing: list[int]) -> None:
    made = standing()
    made[:, :, missing] = 0
    turned = canonicalize(about_y(made, 1.0))
    there = made.any(axis=-1)
    np.testing.assert_allclose(turned[there], (made - (0, 0, 2))[there], atol=1e-12)


@pytest.mark.parametrize("mode", ["frame", "clip"])
def test_a_clip_without_any_direction_is_only_moved(mode: str) -> None:
    made = standing()
    made[:, :, [4, 8, 12, 16]] = made[:, :, [0]]
    np.testing.assert_allclose(canonicalize(made, mode), made - (0, 0, 2), atol=1e-12)


def test_lying_on_the_side_takes_the_direction_of_standing() -> None:
    made = about_y(standing(4), 0.8)
    made[0, 2:, [4, 12]] = made[0, 2:, [0]] + (0.001, 0.2, 0)
    made[0, 2:, [8, 16]] = made[0, 2:, [0]] - (0, 0.2, 0.001)
    turned = canonicalize(made, sigma=0)
    np.testing.assert_allclose(turned[0, 2:, 3, 0], 0, atol=1e-12)
    np.testing.assert_allclose(turned[0, 2:, 3, 2], -0.1, atol=1e-12)


@pytest.mark.parametrize(("mode", "sigma"), [("clip", 10.0), ("frame", 1e4)])
def test_directions_that_cancel_out(mode: str, sigma: float) -> None:
    made = about_y(standing(2), np.array([0.4, 0.4 + np.pi]))
    turned = canonicalize(made, mode, sigma)
    assert np.isfinite(turned).all()
    np.testing.assert_allclose(turned[0, 0], standing(1)[0, 0] - (0, 0, 2), atol=1e-6)


# -- beside others -------------------------------------------------------------


def test_equals_the_plain_loop() -> None:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "normalize.py"
    spec = importlib.util.spec_from_file_location("benchmark_normalize_2", path)
    assert spec is not None and spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    for made in bench.clips(3, seed=2):
        for name in ("canonicalize, frame", "canonicalize, clip"):
            ours, plain = bench.NORMALIZATIONS[name]
            np.testing.assert_allclose(ours(made), plain(made), atol=1e-5)


def test_pre_normalize_after_it_no_longer_depends_on_the_view(recordings) -> None:
    made = recordings[0][:1]
    behind = about_y(made, np.pi).astype(np.float32)
    views = [pre_normalize_3d(canonicalize(view, sigma=5)) for view in (made, behind)]
    np.testing.assert_allclose(views[0], views[1], atol=1e-3)


def test_other_layouts_by_name_object_or_parts() -> None:
    made = clip(2)[:, :, :20]
    mapped = JointMapping(UTD_MHAD, NTU_RGBD, KINECT_V1_TO_NTU)(made.astype(np.float32))
    ours = canonicalize(made, layout="utd-mhad")
    again = JointMapping(UTD_MHAD, NTU_RGBD, KINECT_V1_TO_NTU)(ours.astype(np.float32))
    np.testing.assert_allclose(canonicalize(mapped), again, atol=1e-4)
    parts = dict(joints=list(UTD_MHAD.joints), bones=[list(bone) for bone in UTD_MHAD.bones],
                 center=2, spine=[3, 2], shoulders=[4, 8], hips=[12, 16])
    for layout in (UTD_MHAD, parts):
        np.testing.assert_array_equal(canonicalize(made, layout=layout), ours)


@pytest.mark.parametrize(("options", "message"), [
    (dict(mode="both"), "mode is 'both'"), (dict(sigma=-1), "sigma is -1"),
    (dict(sigma=float("nan")), "sigma is nan"), (dict(vertical="up"), "vertical is 'up'"),
    (dict(facing="xy"), "facing is 'xy'"), (dict(facing=""), "facing is ''"),
    (dict(facing="-y"), "facing '-y' is along vertical 'y'"), (dict(layout="ntu"), "layout 'ntu'"),
])
def test_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        canonicalize(clip(), **options)


@pytest.mark.parametrize("bad", [clip()[0], clip()[:, :, :20], clip().astype(int)])
def test_what_is_no_clip_of_the_layout_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(BadInput, match="layout 'nturgb\\+d' has floats"):
        canonicalize(bad)


def test_no_bodies_no_frames() -> None:
    assert canonicalize(np.zeros((2, 0, 25, 3))).shape == (2, 0, 25, 3)
    assert not present(canonicalize(np.zeros((2, 3, 25, 3)))).any()
