"""An mmaction2 recognizer as its own config files write it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.store import SequenceStore

SEEN = (0, 2)


@pytest.fixture
def own_model(make_spec: Callable[..., Any]) -> dict[str, Any]:
    """With the parts of mmaction2's config files that ours leave out."""
    model = dict(make_spec().model)
    return {
        **model,
        "data_preprocessor": {"type": "ActionDataPreprocessor", "mean": [2.0], "std": [4.0],
                              "format_shape": "NCTHW"},
        "train_cfg": None,
        "test_cfg": {"average_clips": "prob"},
        "cls_head": {**model["cls_head"], "average_clips": "score", "num_classes": 400,
                     "loss_cls": {"type": "CrossEntropyLoss", "loss_weight": 2.0}},
    }


def test_its_data_preprocessor_loss_and_test_options_are_used(
    own_model: dict[str, Any], make_spec: Callable[..., Any], store: SequenceStore,
    rows: np.ndarray, tmp_path: Path,
) -> None:
    import torch

    from zskel.extractors.features import extract_features, load_model
    from zskel.extractors.training import train_backbone

    # No normalization of the input in the backbone, or it would undo the preprocessor's.
    own_model["backbone"] = {**own_model["backbone"], "data_bn_type": None}
    spec = make_spec(model=own_model, epochs=1, param_scheduler=[])
    trained = train_backbone(spec, store, rows, SEEN, tmp_path / "own")
    assert np.isfinite(trained.history[0]["loss"])
    state = torch.load(trained.weights, weights_only=True)
    assert state["cls_head.fc.weight"].shape == (2, 8)  # not the config's 400
    model = load_model(spec, trained.weights, 2)
    assert type(model.data_preprocessor).__name__ == "ActionDataPreprocessor"
    assert model.test_cfg == {"average_clips": "prob"}

    f_x, logits = extract_features(model, spec, store, rows)
    # The same by hand: clips through the transforms, (x - 2) / 4, backbone, pooling.
    from zskel.extractors.dataset import StoreClips

    clips = StoreClips(store, rows, np.full(len(rows), -1), spec.prepare, spec.test_pipeline)
    with torch.inference_mode():
        for row in range(3):
            inputs = (clips[row]["inputs"].float() - 2) / 4
            pooled = model.backbone(inputs).mean(dim=(1, 3, 4))
            assert f_x[row] == pytest.approx(pooled[0].numpy(), abs=1e-4)
            expected = pooled @ state["cls_head.fc.weight"].T + state["cls_head.fc.bias"]
            assert logits[row] == pytest.approx(expected[0].numpy(), abs=1e-4)


def test_its_loss_weight_counts(
    own_model: dict[str, Any], make_spec: Callable[..., Any], store: SequenceStore,
    rows: np.ndarray, tmp_path: Path,
) -> None:
    from zskel.extractors.training import train_backbone

    # A learning rate of nothing: both see the first weights in every batch.
    losses = []
    for weight in (1.0, 2.0):
        head = {**own_model["cls_head"], "dropout": 0.0,
                "loss_cls": {"type": "CrossEntropyLoss", "loss_weight": weight}}
        spec = make_spec(learning_rate=0.0, model={**own_model, "cls_head": head}, epochs=1,
                         param_scheduler=[])
        trained = train_backbone(spec, store, rows, SEEN, tmp_path / str(weight))
        losses.append(trained.history[0]["loss"])
    assert losses[1] == pytest.approx(2 * losses[0], rel=1e-5)
