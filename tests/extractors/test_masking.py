"""Frames of large motion and others cut out of a clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zskel.data.common.errors import BadConfig
from zskel.data.store import SequenceStore
from zskel.extractors.dataset import build_transforms
from zskel.extractors.masking import MaskMotionFrames, frame_motion, kept_frames
from zskel.extractors.mm import register


def line(positions: list[float], joints: int = 1) -> np.ndarray:
    """One body whose joints stand at (x, 1, 0), x by frame."""
    clip = np.zeros((1, len(positions), joints, 3), np.float32)
    clip[..., 0], clip[..., 1] = np.array(positions)[None, :, None], 1
    return clip


def clip(frames: int = 50, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, frames, 5, 3)).astype(np.float32)


def test_motion_is_the_path_of_all_joints_since_the_frame_before() -> None:
    assert frame_motion(line([0, 3, 3, -1], joints=2)) == pytest.approx([0, 6, 0, 8])
    two = np.concatenate([line([0, 3, 3, -1]), line([5, 5, 6, 6])])
    assert frame_motion(two) == pytest.approx([0, 3, 1, 4])


def test_a_body_that_comes_in_has_not_moved() -> None:
    made = line([2, 2, 2, 4])
    made[0, :2] = 0
    assert frame_motion(made) == pytest.approx([0, 0, 0, 2])


def test_the_frames_of_the_largest_motion_go() -> None:
    # Motions 0 1 5 0 0 7 2 0 0 4: 30 % of ten frames are those with 7, 5 and 4.
    made = line([0, 1, 6, 6, 6, 13, 15, 15, 15, 19])
    kept = kept_frames(made, 0.3, 0.0, np.random.default_rng(0))
    assert kept.tolist() == [0, 1, 3, 4, 6, 7, 8]


def test_of_frames_that_move_alike_the_earlier_goes() -> None:
    kept = kept_frames(line([0, 1, 2, 3]), 0.5, 0.0, np.random.default_rng(0))
    assert kept.tolist() == [0, 3]


def test_fifty_frames_keep_twenty_as_in_the_released_code() -> None:
    motion = frame_motion(clip())
    kept = kept_frames(clip(), 0.3, 0.3, np.random.default_rng(0))
    assert len(kept) == 20
    gone = np.argsort(-motion)[:15]
    assert not np.isin(gone, kept).any()


def test_every_other_frame_can_be_drawn() -> None:
    seen = set()
    for seed in range(60):
        seen |= set(kept_frames(clip(), 0.3, 0.3, np.random.default_rng(seed)).tolist())
    assert seen == set(np.argsort(-frame_motion(clip()))[15:].tolist())


@settings(max_examples=60)
@given(st.integers(1, 60), st.floats(0, 1), st.floats(0, 1), st.integers(0, 9))
def test_any_clip_keeps_ascending_frames_and_never_none(
    frames: int, share: float, part: float, seed: int
) -> None:
    motion_share, random_share = 0.99 * share * part, 0.99 * share * (1 - part)
    kept = kept_frames(clip(frames, seed), motion_share, random_share, np.random.default_rng(seed))
    assert len(kept) >= 1 and (np.diff(kept) > 0).all() and set(kept) <= set(range(frames))
    expected = frames - round(motion_share * frames) - round(random_share * frames)
    assert len(kept) == max(1, expected)


def run(made: np.ndarray, **options: Any) -> dict:
    return MaskMotionFrames(**options)({
        "keypoint": made, "keypoint_score": made[..., 0], "total_frames": made.shape[1]})


def test_the_transform_cuts_joints_and_scores_alike_and_leaves_its_input() -> None:
    made = clip()
    before = made.copy()
    results = run(made)
    np.testing.assert_array_equal(made, before)
    assert results["keypoint"].shape == (2, 20, 5, 3) and results["total_frames"] == 20
    np.testing.assert_array_equal(results["keypoint_score"], results["keypoint"][..., 0])
    rows = [int(np.flatnonzero((made == frame[:, None]).all(axis=(0, 2, 3)))[0])
            for frame in results["keypoint"].swapaxes(0, 1)]
    assert rows == sorted(set(rows))


def test_the_cut_depends_on_seed_and_clip_alone() -> None:
    state = np.random.get_state()
    first = run(clip())["keypoint"]
    assert np.array_equal(np.random.get_state()[1], state[1])
    np.random.seed(1)
    np.testing.assert_array_equal(first, run(clip())["keypoint"])
    np.random.set_state(state)
    assert not np.array_equal(first, run(clip(), seed=1)["keypoint"])


@pytest.mark.parametrize("shares", [(-0.1, 0.3), (0.5, 0.5), (float("nan"), 0.1)])
def test_impossible_shares_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(BadConfig, match="MaskMotionFrames: shares"):
        MaskMotionFrames(*shares)


def test_configs_name_it_before_frames_are_sampled() -> None:
    register()
    pipeline = build_transforms([
        {"type": "MaskMotionFrames"},
        {"type": "UniformSampleFrames", "clip_len": 8, "num_clips": 1, "test_mode": True},
        {"type": "PoseDecode"},
    ])
    made = clip()
    results = pipeline({"keypoint": made, "total_frames": 50, "start_index": 0,
                        "modality": "Pose", "label": 0})
    assert results["keypoint"].shape == (2, 8, 5, 3)
    kept = run(made)["keypoint"]
    for frame in results["keypoint"].swapaxes(0, 1):
        assert (kept == frame[:, None]).all(axis=(0, 2, 3)).any()


def test_features_of_masked_clips_are_those_of_the_frames_that_stay(
    make_spec: Callable[..., Any], store: SequenceStore, trained: Any, rows: np.ndarray
) -> None:
    from zskel.extractors.features import extract_features, load_model

    spec = make_spec()
    masking = make_spec(test_pipeline=[{"type": "MaskMotionFrames"}, *spec.test_pipeline])
    model = load_model(spec, trained.weights, 2)
    whole, _ = extract_features(model, spec, store, rows)
    masked, _ = extract_features(model, masking, store, rows)
    again, _ = extract_features(model, masking, store, rows[::-1])
    assert masked.shape == whole.shape and np.isfinite(masked).all()
    assert (np.abs(masked - whole).max(axis=1) > 1e-6).mean() > 0.5
    np.testing.assert_allclose(masked, again[::-1], atol=1e-6)
