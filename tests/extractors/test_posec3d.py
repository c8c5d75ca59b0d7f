"""PoseC3D: heatmaps by hand, and a tiny one from training to features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from zskel.data.common.errors import BadConfig
from zskel.data.store import SequenceStore
from zskel.extractors.dataset import build_transforms
from zskel.extractors.mm import register

SIZE, FRAMES = 16, 6
HEATMAPS = [
    {"type": "PoseDecode"}, {"type": "PoseCompact", "hw_ratio": 1.0, "allow_imgpad": True},
    {"type": "Resize", "scale": (SIZE, SIZE), "keep_ratio": False},
    {"type": "GeneratePoseTarget", "sigma": 0.6, "use_score": True},
    {"type": "FormatShape", "input_format": "NCTHW_Heatmap"}, {"type": "PackActionInputs"},
]


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    register()


def heatmaps(keypoint: np.ndarray, clips: int = 1) -> np.ndarray:
    """``[clips, V, T, H, W]`` by the transforms of a config."""
    sampled = {"type": "UniformSampleFrames", "clip_len": keypoint.shape[1], "num_clips": clips,
               "test_mode": True}
    transforms = build_transforms([{"type": "OrthographicView"}, sampled, *HEATMAPS])
    return transforms({
        "keypoint": keypoint, "total_frames": keypoint.shape[1], "label": 0, "start_index": 0,
        "modality": "Pose"})["inputs"].numpy()


def walkers(joints: int = 25) -> np.ndarray:
    """Two bodies side by side in 6 frames, absent here and there."""
    random = np.random.default_rng(0)
    made = random.normal(scale=0.2, size=(2, FRAMES, joints, 3)) + (0, 0, 3)
    made[1, ..., 0] += 2.0
    made[1, 2] = 0          # the second body leaves for a frame
    made[:, 4] = 0          # nobody is there
    made[0, 3, 7] = 0       # a hand is lost; the second body's is not
    made[:, 5, 11] = 0      # both lose a joint
    return made.astype(np.float32)


@pytest.mark.parametrize("joints", [20, 25])
def test_only_what_is_there_is_drawn(joints: int) -> None:
    made = walkers(joints)
    drawn = heatmaps(made)
    assert drawn.shape == (1, joints, FRAMES, SIZE, SIZE) and drawn.dtype == np.float32
    peaks = drawn[0].max(axis=(2, 3))  # [V, T]
    there = (made != 0).any(axis=(0, 3)).T
    assert (peaks[there] > 0.3).all() and (peaks[~there] == 0).all()
    assert not drawn[0, :, 4].any() and not drawn[0, 11, 5].any()
    # One blob for each body whose hand is there.
    assert [ndimage.label(hand)[1] for hand in drawn[0, 7]] == [2, 2, 1, 1, 0, 2]


def test_a_heatmap_by_hand() -> None:
    # A square of 2 m: 512 pixels, widened by a quarter to 640, shrunk to 16.
    corners = np.array([[-1, 1], [1, 1], [1, -1], [-1, -1], [0.3, -0.2]])
    made = np.concatenate([corners, np.full((5, 1), 3.0)], axis=1).reshape(1, 1, 5, 3)
    drawn = heatmaps(np.repeat(made, 2, axis=1).astype(np.float32))
    for joint, (x, y) in enumerate(corners):
        mu = np.array([(x + 1.25) / 2.5, (1.25 - y) / 2.5]) * SIZE
        columns, rows = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
        gauss = np.exp(-((columns - mu[0]) ** 2 + (rows - mu[1]) ** 2) / (2 * 0.6**2))
        near = np.hypot(columns - mu[0], rows - mu[1]) < 1.0
        # PoseCompact rounds its window to whole pixels of the large image.
        np.testing.assert_allclose(drawn[0, joint, 0][near], gauss[near], atol=0.05)
        far = np.maximum(abs(columns - mu[0]), abs(rows - mu[1])) > 3
        assert not drawn[0, joint, 0][far].any()


def test_a_clip_without_anybody_is_all_zero() -> None:
    assert not heatmaps(np.zeros((1, FRAMES, 25, 3), np.float32)).any()


def test_several_clips_of_a_recording() -> None:
    assert heatmaps(walkers(), clips=3).shape == (3, 25, FRAMES, SIZE, SIZE)


def test_the_prepared_clip_is_not_changed_by_what_comes_after() -> None:
    prepared = build_transforms([{"type": "OrthographicView"}])(
        {"keypoint": walkers(), "total_frames": FRAMES, "label": 0, "modality": "Pose"})
    before = prepared["keypoint"].copy()
    sample = {"type": "UniformSampleFrames", "clip_len": 4}
    flip = {"type": "Flip", "flip_ratio": 1.0, "left_kp": [4], "right_kp": [8]}
    build_transforms([sample, *HEATMAPS[:3], flip, *HEATMAPS[3:]])(dict(prepared))
    assert np.array_equal(prepared["keypoint"], before)


def test_a_wrong_view_is_refused_before_any_clip() -> None:
    with pytest.raises(BadConfig, match="same line"):
        build_transforms([{"type": "OrthographicView", "right": "y"}])


@pytest.fixture(scope="module")
def posec3d(make_spec: Callable[..., Any]) -> Any:
    def sampled(**options: Any) -> list[dict[str, Any]]:
        return [{"type": "UniformSampleFrames", "clip_len": FRAMES, **options}, *HEATMAPS]

    return make_spec(
        name="posec3d-tiny", epochs=2, learning_rate=0.05,
        model={
            "type": "Recognizer3D",
            "backbone": {
                "type": "ResNet3dSlowOnly", "depth": 50, "pretrained": None, "in_channels": 25,
                "base_channels": 4, "num_stages": 3, "out_indices": (2,),
                "stage_blocks": (1, 1, 1), "conv1_stride_s": 1, "pool1_stride_s": 1,
                "inflate": (0, 1, 1), "spatial_strides": (2, 2, 2),
                "temporal_strides": (1, 1, 2), "dilations": (1, 1, 1),
            },
            "cls_head": {"type": "I3DHead", "in_channels": 64, "dropout_ratio": 0.5},
        },
        prepare=[{"type": "OrthographicView"}], train_pipeline=sampled(),
        test_pipeline=sampled(num_clips=3, test_mode=True),
    )


def test_it_trains_and_its_features_are_what_the_last_layer_reads(
    posec3d: Any, store: SequenceStore, rows: np.ndarray, tmp_path: Path
) -> None:
    from zskel.extractors.features import extract_features, load_model
    from zskel.extractors.training import train_backbone

    trained = train_backbone(posec3d, store, rows, (0, 2), tmp_path)
    assert len(trained.history) == 2 and np.isfinite(trained.history[-1]["loss"])
    model = load_model(posec3d, trained.weights, 2)
    f_x, logits = extract_features(model, posec3d, store, rows, batch_size=5)
    assert f_x.shape == (len(rows), 64) and logits.shape == (len(rows), 2)
    state = torch.load(trained.weights, weights_only=True)
    weight = state["cls_head.fc_cls.weight"].numpy()
    bias = state["cls_head.fc_cls.bias"].numpy()
    for position, row in enumerate(rows[:4]):
        keypoint = store.keypoint(int(row))
        clip = build_transforms([*posec3d.prepare, *posec3d.test_pipeline])({
            "keypoint": keypoint, "total_frames": keypoint.shape[1], "label": 0,
            "start_index": 0, "modality": "Pose"})["inputs"]
        assert clip.shape == (3, 25, FRAMES, SIZE, SIZE)
        with torch.no_grad():
            maps = model.backbone(clip.float()).numpy()  # [clips, D, T, H, W]
        by_hand = maps.astype(np.float64).mean(axis=(0, 2, 3, 4))
        np.testing.assert_allclose(f_x[position], by_hand, atol=1e-5)
        np.testing.assert_allclose(logits[position], weight @ by_hand + bias, atol=1e-5)
    assert len(np.unique(f_x.round(5), axis=0)) == len(rows)
