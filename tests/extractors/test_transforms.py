"""Augmentations: what they keep and what they change."""

from __future__ import annotations

from collections.abc import Iterator

import mmaction.datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zskel.extractors.dataset import build_transforms
from zskel.extractors.mm import register
from zskel.extractors.transforms import (
    RandomRotation3D,
    RandomScale3D,
    RandomTemporalCrop,
    UniformSampleFrames,
    rotation,
)

register()

angle = st.floats(-3.2, 3.2)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    state = np.random.get_state()
    np.random.seed(3)
    yield
    np.random.set_state(state)


def clip(bodies: int = 2, frames: int = 11) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(bodies, frames, 25, 3)).astype(np.float32)


def distances(points: np.ndarray) -> np.ndarray:
    flat = points.reshape(-1, 3).astype(np.float64)
    return np.linalg.norm(flat[:, None] - flat[None, :60], axis=-1)


@given(angle, angle, angle)
def test_rotation_is_a_proper_rotation(x: float, y: float, z: float) -> None:
    matrix = rotation(x, y, z)
    assert matrix.T @ matrix == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)


def test_rotation_turns_about_x_then_y_then_z() -> None:
    right = np.pi / 2
    assert rotation(right, 0, 0) @ (0, 1, 0) == pytest.approx((0, 0, 1))
    assert rotation(0, right, 0) @ (0, 0, 1) == pytest.approx((1, 0, 0))
    assert rotation(0, 0, right) @ (1, 0, 0) == pytest.approx((0, 1, 0))
    # y goes to z about x, from there to x about y, and to y about z.
    assert rotation(right, right, right) @ (0, 1, 0) == pytest.approx((0, 1, 0))


def test_random_rotation_keeps_all_distances_and_turns_the_whole_clip_alike() -> None:
    before = clip()
    after = RandomRotation3D((30, 30, 30))({"keypoint": before})["keypoint"]
    assert after.dtype == np.float32 and after.shape == before.shape
    assert np.abs(after - before).max() > 0.1
    assert distances(after) == pytest.approx(distances(before), abs=1e-5)
    matrix, residual, *_ = np.linalg.lstsq(before.reshape(-1, 3), after.reshape(-1, 3), rcond=None)
    assert residual == pytest.approx(0, abs=1e-6)
    assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-5)


def test_random_rotation_stays_within_its_limits() -> None:
    turn = RandomRotation3D((0, 0, 10))
    axes = np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3)
    angles = []
    for _ in range(200):
        turned = turn({"keypoint": axes})["keypoint"][0, 0]
        assert turned[2] == pytest.approx((0, 0, 1))
        angles.append(np.degrees(np.arctan2(turned[0, 1], turned[0, 0])))
    assert -10 <= min(angles) < -8 and 8 < max(angles) <= 10


def test_random_scale_has_one_factor_an_axis_within_its_ratio() -> None:
    before = clip()
    found = []
    for _ in range(100):
        after = RandomScale3D(0.2)({"keypoint": before})["keypoint"]
        assert after.dtype == np.float32
        ratio = (after / before).reshape(-1, 3)
        assert np.ptp(ratio, axis=0) == pytest.approx(0, abs=1e-5)
        found.append(ratio[0])
    factors = np.array(found)
    assert 0.8 - 1e-5 <= factors.min() < 0.83 and 1.17 < factors.max() <= 1.2 + 1e-5
    assert np.ptp(factors, axis=1).min() > 1e-4  # not the same for all axes


@settings(max_examples=60)
@given(st.integers(1, 40), st.floats(0.01, 1.0), st.integers(0, 999))
def test_temporal_crop_is_a_stretch_of_the_clip(frames: int, shortest: float, seed: int) -> None:
    before = np.arange(frames, dtype=np.float32).reshape(1, frames, 1, 1) * np.ones((2, 1, 25, 3))
    np.random.seed(seed)
    results = RandomTemporalCrop(shortest)({"keypoint": before, "total_frames": frames})
    times = results["keypoint"][0, :, 0, 0]
    assert results["keypoint"].shape == (2, len(times), 25, 3)
    assert results["total_frames"] == len(times) >= max(1, round(shortest * frames) - 1)
    assert np.diff(times) == pytest.approx(1)
    assert 0 <= times[0] and times[-1] <= frames - 1


def test_temporal_crop_reaches_both_ends() -> None:
    before = np.arange(10, dtype=np.float32).reshape(1, 10, 1, 1)
    starts, ends = set(), set()
    for _ in range(200):
        times = RandomTemporalCrop(0.5)({"keypoint": before})["keypoint"].ravel()
        starts.add(int(times[0]))
        ends.add(int(times[-1]))
    assert min(starts) == 0 and max(ends) == 9 and max(starts) >= 4


@pytest.mark.parametrize("test_mode", [True, False])
@pytest.mark.parametrize("frames", [3, 16, 25, 90])
def test_frames_are_sampled_as_mmaction2_does(frames: int, test_mode: bool) -> None:
    keypoint = np.random.default_rng(frames).normal(size=(2, frames, 25, 3))
    keypoint[0, : frames // 2], keypoint[1, frames // 3 :] = 0, 0
    found = []
    for transform in (mmaction.datasets.UniformSampleFrames, UniformSampleFrames):
        np.random.seed(frames)
        found.append(transform(clip_len=16, num_clips=2, test_mode=test_mode)(
            {"keypoint": keypoint, "total_frames": frames, "start_index": 0}))
    theirs, ours = found
    assert ours["keypoint"] is keypoint and theirs.keys() == ours.keys()
    assert ours["frame_inds"].dtype == theirs["frame_inds"].dtype
    assert ours["frame_inds"].tolist() == theirs["frame_inds"].tolist()


def test_configs_mean_the_faster_sampling() -> None:
    assert type(build_transforms([{"type": "UniformSampleFrames", "clip_len": 4}]).transforms[0]
                ) is UniformSampleFrames
