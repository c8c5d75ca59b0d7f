"""Normalizations beside mmaction2's class, plain loops and hand-worked cases."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.preprocess import STEPS, pre_normalize_3d, rotation_between, shift_gcn_normalize
from zskel.data.skeleton import present

AXES = np.eye(3)


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """benchmarks/normalize.py: generated clips and the definitions as plain loops."""
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "normalize.py"
    spec = importlib.util.spec_from_file_location("benchmark_normalize", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pre_normalize():
    """mmaction2's class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmaction.datasets.transforms import PreNormalize3D
    return PreNormalize3D


def clip(
    seed: int = 0, bodies: int = 2, frames: int = 12, joints: int = 25, absent: float = 0.0,
    missing: float = 0.0,
) -> np.ndarray:
    random = np.random.default_rng(seed)
    made = random.normal(size=(bodies, frames, joints, 3)) + (0.3, 0.1, 3.0)
    made[random.random((bodies, frames)) < absent] = 0
    made[random.random((bodies, frames, joints)) < missing] = 0
    return made.astype(np.float32)


# -- pre_normalize_3d ----------------------------------------------------------


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6), bodies=st.sampled_from([1, 2]), frames=st.integers(1, 30),
    joints=st.sampled_from([25, 20, 17]), absent=st.sampled_from([0.0, 0.3, 0.8]),
    missing=st.sampled_from([0.0, 0.2]),
)
def test_equals_mmaction2(
    pre_normalize, seed: int, bodies: int, frames: int, joints: int, absent: float, missing: float
) -> None:
    made = clip(seed, bodies, frames, joints, absent, missing)
    theirs = pre_normalize().transform({"keypoint": made.copy()})["keypoint"]
    ours = pre_normalize_3d(made)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("options", [
    dict(zaxis=[3, 7], xaxis=[2, 9]), dict(align_spine=False), dict(align_shoulder=False),
])
def test_equals_mmaction2_with_its_options(pre_normalize, options: dict) -> None:
    made = clip(4, absent=0.3)
    theirs = pre_normalize(**options).transform({"keypoint": made.copy()})["keypoint"]
    np.testing.assert_allclose(pre_normalize_3d(made, **options), theirs, atol=1e-5)


@pytest.mark.parametrize("tilt", [0.0, 1e-7, 1e-5, 2e-4, 1e-3])
@pytest.mark.parametrize("up", [1.0, -1.0])
def test_equals_mmaction2_where_a_spine_is_almost_on_the_axis(
    pre_normalize, tilt: float, up: float
) -> None:
    made = clip(7)
    made[0, 0, 1] = made[0, 0, 0] + np.float32([tilt, -tilt / 3, 0.3 * up])
    theirs = pre_normalize().transform({"keypoint": made.copy()})["keypoint"]
    np.testing.assert_allclose(pre_normalize_3d(made), theirs, atol=1e-5)


def test_the_body_present_longer_comes_first_and_its_absences_are_dropped() -> None:
    made = clip()
    made[0, :5] = 0
    made[1, 3] = 0
    normal = pre_normalize_3d(made, align_spine=False, align_shoulder=False)
    assert normal.shape == (2, 11, 25, 3)
    kept = np.delete(made, 3, axis=1)
    np.testing.assert_allclose(normal[0], kept[1] - kept[1, 0, 1], atol=1e-6)
    assert present(normal)[1].tolist() == present(kept)[0].tolist()


def test_without_centering_the_origin_stays() -> None:
    made = clip()
    only_turned = pre_normalize_3d(made, align_center=False)
    np.testing.assert_allclose(
        np.linalg.norm(only_turned, axis=-1), np.linalg.norm(made, axis=-1), rtol=1e-5
    )


def test_equals_the_plain_loop(bench: ModuleType) -> None:
    for made in bench.clips(3, seed=1):
        for name in ("pre_normalize_3d", "shift_gcn_normalize"):
            ours, plain = bench.NORMALIZATIONS[name]
            np.testing.assert_allclose(ours(made), plain(made), atol=1e-5)


# -- shift_gcn_normalize -------------------------------------------------------


def test_shift_gcn_by_its_definition() -> None:
    made = clip(1, frames=40, missing=0.1)
    made[:, :4] = 0
    made[0, 4] = clip(9)[0, 0]
    made[1, 20:] = 0
    normal = shift_gcn_normalize(made)
    assert normal.shape == (2, 300, 25, 3)
    assert normal.dtype == np.float32
    np.testing.assert_array_equal(normal[:, 36:72], normal[:, :36])
    np.testing.assert_array_equal(normal[:, 288:], normal[:, :12])
    assert np.abs(normal[0, :, 1]).max() == 0
    # The second turn moves the spine off z again, but keeps its angle to the shoulders.
    shoulders, spine = normal[0, 0, 8] - normal[0, 0, 4], normal[0, 0, 1] - normal[0, 0, 0]
    np.testing.assert_allclose(shoulders[1:], 0, atol=1e-5)
    assert shoulders[0] > 0
    before = made[0, 4, 8] - made[0, 4, 4], made[0, 4, 1] - made[0, 4, 0]
    assert shoulders @ spine == pytest.approx(before[0] @ before[1], abs=1e-4)
    # Absent bodies and joints stay so; distances stay.
    assert not normal[1, 16:36].any()
    np.testing.assert_array_equal(
        normal[1, :36].any(axis=-1), made[1, 4:].any(axis=-1)
    )
    apart = np.linalg.norm(normal[1, :16, 5] - normal[0, :16, 1], axis=-1)
    seen = made[1, 4:20, 5].any(axis=-1) & made[0, 4:20, 1].any(axis=-1)
    expected = np.linalg.norm(made[1, 4:20, 5] - made[0, 4:20, 1], axis=-1)
    np.testing.assert_allclose(apart[seen], expected[seen], atol=1e-5)


def test_shift_gcn_lays_a_spine_square_to_the_shoulders_on_z() -> None:
    made = clip(2)
    made[0, 0, [0, 1]] = [1.0, 1.0, 3.0], [1.3, 1.4, 3.0]
    made[0, 0, [8, 4]] = [1.2, 2.0, 3.5], [1.6, 1.7, 3.5]
    normal = shift_gcn_normalize(made, frames=None)
    np.testing.assert_allclose(normal[0, 0, 0], [0, 0, -0.5], atol=1e-6)
    np.testing.assert_allclose(normal[0, 0, 8] - normal[0, 0, 4], [0.5, 0, 0],
                               atol=1e-6)


def test_shift_gcn_half_turns_what_points_the_other_way() -> None:
    made = np.zeros((1, 1, 25, 3), np.float32)
    made[0, 0, [0, 1, 4, 8]] = [0, 0, 4], [0, 0, 3], [0.2, 0, 2], [-0.2, 0, 2]
    normal = shift_gcn_normalize(made, frames=None)[0, 0]
    np.testing.assert_allclose(normal[[0, 4, 8]], [[0, 0, -1], [-0.2, 0, 1], [0.2, 0, 1]],
                               atol=1e-6)


def test_shift_gcn_where_body_0_is_absent() -> None:
    made = clip(3)
    made[0, :2] = 0
    normal = shift_gcn_normalize(made, frames=None)
    assert normal.shape == made.shape
    first = made[0, 2]
    turn = rotation_between((first[1] - first[0]).astype(float), AXES[2])
    turn = rotation_between(turn @ (first[8] - first[4]), AXES[0]) @ turn
    assert not normal[0, :2].any()
    np.testing.assert_allclose(normal[1, :2], made[1, :2] @ turn.T, atol=1e-5)
    np.testing.assert_allclose(normal[1, 2:], (made[1, 2:] - made[0, 2:, None, 1]) @ turn.T,
                               atol=1e-5)


def test_shift_gcn_without_body_0_only_repeats() -> None:
    made = clip(3)
    made[0] = 0
    np.testing.assert_array_equal(shift_gcn_normalize(made, 30)[:, 12:24], made)


def test_shift_gcn_repeats_each_body_alone_if_asked() -> None:
    made = clip(5, frames=6)
    made[0, 4:] = 0      # body 0: frames 0 1 2 3 | 0 1 2 3 | ...
    made[1, [0, 3]] = 0  # body 1: frames 1 2 4 5 | 1 2 4 5 | ...
    joined = np.stack([made[0, [0, 1, 2, 3]], made[1, [1, 2, 4, 5]]])
    expected = shift_gcn_normalize(joined, 10)
    np.testing.assert_allclose(shift_gcn_normalize(made, 10, repeat="body"), expected, atol=1e-6)
    made[1] = clip(6, frames=6)[1]
    for frames, total in ((None, 6), (15, 15)):  # one repeats every 4 frames, one every 6
        each = np.stack([made[0, np.arange(total) % 4], made[1, np.arange(total) % 6]])
        np.testing.assert_allclose(
            shift_gcn_normalize(made, frames, repeat="body"), shift_gcn_normalize(each, None),
            atol=1e-6,
        )
    full = clip(6)
    np.testing.assert_array_equal(
        shift_gcn_normalize(full), shift_gcn_normalize(full, repeat="body")
    )


@pytest.mark.parametrize("repeat", ["clip", "body"])
def test_shift_gcn_cuts_what_is_longer(repeat: str) -> None:
    made = clip(6)
    np.testing.assert_array_equal(
        shift_gcn_normalize(made, 5, repeat), shift_gcn_normalize(made, 12, repeat)[:, :5]
    )


# -- both ----------------------------------------------------------------------


@pytest.mark.parametrize("step", ["pre_normalize_3d", "shift_gcn_normalize", "canonicalize"])
def test_steps_leave_their_input_alone_and_keep_its_precision(step: str) -> None:
    for kind in (np.float32, np.float64):
        made = clip(8, absent=0.2).astype(kind)
        before = made.copy()
        result = STEPS.build(step, made)
        assert result.dtype == kind
        np.testing.assert_array_equal(made, before)


@pytest.mark.parametrize("step", STEPS.names())
def test_a_clip_without_bodies_stays_empty(step: str) -> None:
    for bodies in (1, 2):
        result = STEPS.build(step, np.zeros((bodies, 4, 25, 3), np.float32))
        assert len(result) == bodies and not result.any()


@pytest.mark.parametrize("bad", [
    np.zeros((4, 25, 3), np.float32), np.zeros((1, 4, 25, 2)), np.zeros((1, 4, 25, 3), int),
    np.zeros((1, 0, 25, 3)), np.zeros((1, 4, 8, 3)),
])
@pytest.mark.parametrize("step", [pre_normalize_3d, shift_gcn_normalize])
def test_what_is_no_clip_is_refused(step, bad: np.ndarray) -> None:
    with pytest.raises(BadInput, match="clip: "):
        step(bad)


def test_refusals() -> None:
    with pytest.raises(BadInput, match="1 or 2 bodies, found 3"):
        pre_normalize_3d(clip(bodies=3))
    with pytest.raises(BadConfig, match="frames is 0"):
        shift_gcn_normalize(clip(), 0)
    with pytest.raises(BadConfig, match="repeat is 'loop'"):
        shift_gcn_normalize(clip(), repeat="loop")


# -- rotation_between ----------------------------------------------------------

vector = st.tuples(*[st.floats(-5, 5)] * 3).map(np.array).filter(
    lambda v: np.linalg.norm(v) > 1e-3
)


@given(vector, st.sampled_from([0, 1, 2]))
def test_rotation_lays_a_vector_on_an_axis(v: np.ndarray, axis: int) -> None:
    turn = rotation_between(v, AXES[axis])
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(turn) == pytest.approx(1)
    # Less than 1e-6 m off the axis is taken for on it, as in mmaction2.
    np.testing.assert_allclose(turn @ v, np.linalg.norm(v) * AXES[axis], atol=1e-5)
    # The smallest turn: by the angle between the two, and no further.
    angle = np.arccos(np.clip(v[axis] / np.linalg.norm(v), -1, 1))
    assert np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)) == pytest.approx(angle, abs=2e-3)


@pytest.mark.parametrize(("axis", "about"), [(0, 2), (1, 0), (2, 1)])
def test_opposite_vectors(axis: int, about: int) -> None:
    turn = rotation_between(-2 * AXES[axis], AXES[axis])
    np.testing.assert_array_equal(turn, 2 * np.diag(AXES[about]) - np.eye(3))
    np.testing.assert_array_equal(
        rotation_between(-2 * AXES[axis], AXES[axis], half_turn=False), np.eye(3)
    )


@pytest.mark.parametrize("v", [[0, 0, 0], [1e-8, -1e-8, 0], [0, 0, 3]])
def test_no_length_or_no_angle_is_no_turn(v: list[float]) -> None:
    np.testing.assert_array_equal(rotation_between(np.array(v, float), AXES[2]), np.eye(3))
