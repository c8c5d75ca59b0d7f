"""f_x and logits against the network taken apart by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zskel.data.common.errors import BadInput
from zskel.data.store import SequenceStore


@pytest.fixture(scope="module")
def model(make_spec: Callable[..., Any], trained: Any) -> Any:
    from zskel.extractors.features import load_model

    return load_model(make_spec(), trained.weights, 2)


@pytest.fixture(scope="module")
def every_row(store: SequenceStore) -> np.ndarray:
    return np.random.default_rng(1).permutation(len(store))


@pytest.fixture(scope="module")
def extracted(model: Any, make_spec: Callable[..., Any], store: SequenceStore,
              every_row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from zskel.extractors.features import extract_features

    return extract_features(model, make_spec(), store, every_row, batch_size=5)


def test_features_are_the_pooled_backbone_and_logits_the_linear_layer_on_them(
    model: Any, make_spec: Callable[..., Any], store: SequenceStore, trained: Any,
    every_row: np.ndarray, extracted: tuple[np.ndarray, np.ndarray],
) -> None:
    import torch

    from zskel.extractors.dataset import build_transforms

    spec = make_spec()
    transforms = build_transforms([*spec.prepare, *spec.test_pipeline])
    state = torch.load(trained.weights, weights_only=True)
    weight, bias = state["cls_head.fc.weight"].numpy(), state["cls_head.fc.bias"].numpy()
    f_x, logits = extracted
    assert f_x.dtype == logits.dtype == np.float32
    assert f_x.shape == (18, 8) and logits.shape == (18, 2)
    for position, row in enumerate(every_row):
        keypoint = store.keypoint(int(row))
        sample = transforms({"keypoint": keypoint, "total_frames": keypoint.shape[1], "label": 0,
                             "start_index": 0, "modality": "Pose"})["inputs"]
        assert sample.shape == (1, 1, 8, 25, 3)
        with torch.no_grad():
            output = model.backbone(sample.float()).numpy()[0]  # [bodies, channels, frames, joints]
        assert output.shape[:2] == (1, 8) and output.shape[3] == 25
        by_hand = output.astype(np.float64).mean(axis=(0, 2, 3))
        assert f_x[position] == pytest.approx(by_hand, abs=1e-5)
        assert logits[position] == pytest.approx(weight @ by_hand + bias, abs=1e-5)


def test_rows_keep_their_order(
    model: Any, make_spec: Callable[..., Any], store: SequenceStore, every_row: np.ndarray,
    extracted: tuple[np.ndarray, np.ndarray],
) -> None:
    from zskel.extractors.features import extract_features

    f_x, logits = extract_features(model, make_spec(), store, np.sort(every_row))
    order = np.argsort(every_row)
    assert f_x == pytest.approx(extracted[0][order], abs=1e-5)
    assert logits == pytest.approx(extracted[1][order], abs=1e-5)
    assert len(np.unique(f_x.round(4), axis=0)) == 18  # a wrong order would show


@pytest.mark.parametrize("batch_size", [1, 18, 100])
def test_batch_size_does_not_matter(
    model: Any, make_spec: Callable[..., Any], store: SequenceStore, every_row: np.ndarray,
    extracted: tuple[np.ndarray, np.ndarray], batch_size: int,
) -> None:
    from zskel.extractors.features import extract_features

    told: list[tuple[int, int]] = []
    f_x, logits = extract_features(model, make_spec(), store, every_row, batch_size,
                                   lambda done, total: told.append((done, total)))
    assert f_x == pytest.approx(extracted[0], abs=1e-5)
    assert logits == pytest.approx(extracted[1], abs=1e-5)
    assert told[-1] == (18, 18) and len(told) == -(-18 // batch_size)


@pytest.mark.parametrize(("batch_size", "per_pass"), [(1, 1), (5, 1), (6, 2), (11, 3)])
def test_a_pass_has_no_more_sampled_clips_than_it_may(
    model: Any, make_spec: Callable[..., Any], store: SequenceStore, every_row: np.ndarray,
    monkeypatch: pytest.MonkeyPatch, batch_size: int, per_pass: int,
) -> None:
    from zskel.extractors import features

    spec = make_spec()
    sample, *rest = spec.test_pipeline
    spec = make_spec(test_pipeline=[{**sample, "num_clips": 3}, *rest])
    sizes: list[tuple[int, ...]] = []
    make = features.recognizer

    def noted(*arguments: Any, **options: Any) -> Any:
        run = make(*arguments, **options)

        def noting(inputs: Any) -> Any:
            sizes.append(tuple(inputs.shape[:2]))
            return run(inputs)

        return noting

    monkeypatch.setattr(features, "recognizer", noted)
    f_x, _ = features.extract_features(model, spec, store, every_row[:8], batch_size)
    assert max(clips for clips, _ in sizes) == per_pass and {crops for _, crops in sizes} == {3}
    assert sum(clips for clips, _ in sizes) == 8 and len(sizes) == -(-8 // per_pass)
    monkeypatch.setattr(features, "recognizer", make)
    together, _ = features.extract_features(model, spec, store, every_row[:8], 100)
    assert f_x == pytest.approx(together, abs=1e-5)


@pytest.mark.parametrize(("precision", "near"), [("bfloat16", 0.1), ("float16", 0.02)])
def test_a_lower_precision_is_used_where_it_is_asked_for(
    model: Any, make_spec: Callable[..., Any], store: SequenceStore, every_row: np.ndarray,
    extracted: tuple[np.ndarray, np.ndarray], precision: str, near: float,
) -> None:
    from zskel.extractors.features import extract_features

    spec = make_spec(extract_autocast=precision)
    f_x, logits = extract_features(model, spec, store, every_row)
    scale = np.abs(extracted[0]).max()
    assert f_x.dtype == logits.dtype == np.float32
    assert 1e-6 < np.abs(f_x - extracted[0]).max() / scale < near
    # The weights are the same, so they keep their name.
    assert spec.digest(store, every_row, (0, 1)) == make_spec().digest(store, every_row, (0, 1))


def test_weights_of_another_shape_are_refused(make_spec: Callable[..., Any], trained: Any) -> None:
    from zskel.extractors.features import load_model

    with pytest.raises(BadInput, match="does not fit tiny with 3 classes"):
        load_model(make_spec(), trained.weights, 3)


def test_a_feature_that_is_not_finite_names_its_clip(
    make_spec: Callable[..., Any], store: SequenceStore, trained: Any, every_row: np.ndarray
) -> None:
    import torch

    from zskel.extractors.features import extract_features, load_model

    model = load_model(make_spec(), trained.weights, 2)
    with torch.no_grad():
        next(model.backbone.parameters()).fill_(float("nan"))
    with pytest.raises(BadInput, match=str(store.sample_id[every_row[0]])):
        extract_features(model, make_spec(), store, every_row)
