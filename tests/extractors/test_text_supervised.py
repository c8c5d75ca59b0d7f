"""Backbones that class texts train: losses, temperature, repeatability, features."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.store import SequenceStore

SEEN = (0, 2)
TEXT = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
OPTIONS = {"weight": 1.0, "cross_entropy": 1.0, "temperature": 0.07, "learn_temperature": False,
           "target_sharpness": 10.0, "features": "pooled"}
SHIFT_GCN = {"model": {
    "type": "RecognizerGCN",
    "backbone": {"type": "ShiftGCN", "channels": [6, 8], "strides": [1, 2], "num_person": 1},
    "cls_head": {"type": "GCNHead", "in_channels": 8},
}}

pytestmark = pytest.mark.filterwarnings("ignore:.*has been created:UserWarning")


@pytest.fixture
def supervised(make_spec: Callable[..., Any]) -> Callable[..., Any]:
    """A spec of two epochs with texts; keyword arguments are options of the supervision."""
    def make(spec: dict[str, Any] | None = None, **options: Any) -> Any:
        return make_spec(**{"epochs": 2, "text": TEXT, "text_supervision": {**OPTIONS, **options},
                            **(spec or {})})

    return make


@pytest.fixture
def train(store: SequenceStore, rows: np.ndarray, tmp_path: Path) -> Callable[..., Any]:
    from zskel.extractors.training import train_backbone

    def run(spec: Any, folder: str = "one", on_epoch: Any = None) -> Any:
        return train_backbone(spec, store, rows, SEEN, tmp_path / folder, on_epoch)

    return run


def state(trained: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy()
            for name, value in torch.load(trained.weights, weights_only=True).items()}


def cosines(f_x: np.ndarray, weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """h of features, and its cosines with the seen texts."""
    h = f_x @ weights["weight"].T + weights["bias"]
    text = TEXT[list(SEEN)] / np.linalg.norm(TEXT[list(SEEN)], axis=1, keepdims=True)
    return h, h / np.linalg.norm(h, axis=1, keepdims=True) @ text.T


@pytest.mark.parametrize(("by_text", "by_classifier"), [(1.0, 1.0), (0.5, 2.0), (3.0, 0.0)])
def test_the_losses_equal_numpy(by_text: float, by_classifier: float) -> None:
    from mmaction.structures import ActionDataSample

    from zskel.extractors.heads.text_supervised import TextSupervisedHead

    torch.manual_seed(0)
    head = TextSupervisedHead(2, 8, TEXT[list(SEEN)], {
        **OPTIONS, "weight": by_text, "cross_entropy": by_classifier, "temperature": 0.2,
        "target_sharpness": 3.0})
    head.init_weights()
    feature_map, columns = torch.rand(6, 2, 8, 4, 5), np.array([0, 1, 1, 0, 0, 1])
    losses = head.loss(feature_map, [ActionDataSample().set_gt_labels(int(c)) for c in columns])

    weights = {name: value.detach().numpy() for name, value in head.alignment.state_dict().items()}
    f_x = feature_map.numpy().mean(axis=(1, 3, 4))
    logits = cosines(f_x, weights)[1] / 0.2
    pairs = logits[:, columns]
    target = softmax(3.0 * (columns[:, None] == columns), axis=1)
    expected = np.mean([
        (target * (np.log(target) - log_softmax(side, axis=1))).sum(axis=1).mean()
        for side in (pairs, pairs.T)])
    assert losses["loss_text"].item() == pytest.approx(by_text * expected, rel=1e-4)
    if by_classifier:
        logits = f_x @ head.fc.weight.detach().numpy().T + head.fc.bias.detach().numpy()
        own = -log_softmax(logits, axis=1)[np.arange(6), columns].mean()
        assert losses["loss_cls"].item() == pytest.approx(by_classifier * own, rel=1e-4)
    assert ("loss_cls" in losses) is bool(by_classifier)
    assert losses["top1_acc"].item() == pytest.approx((logits.argmax(axis=1) == columns).mean())


@pytest.mark.parametrize("cross_entropy", [0.0, 1.0])
@pytest.mark.parametrize("learn", [False, True])
def test_the_temperature_changes_only_when_asked(
    supervised: Callable[..., Any], train: Callable[..., Any], learn: bool, cross_entropy: float
) -> None:
    spec = supervised(learn_temperature=learn, cross_entropy=cross_entropy, temperature=0.1)
    trained = train(spec)
    found = state(trained)
    assert (abs(found["cls_head.alignment.log_scale"] + math.log(0.1)) < 1e-6) is not learn
    text = TEXT[list(SEEN)]
    np.testing.assert_allclose(found["cls_head.alignment.text"],
                               text / np.linalg.norm(text, axis=1, keepdims=True), rtol=1e-6)
    assert ("cls_head.fc.weight" in found) is bool(cross_entropy)
    assert ("loss_cls" in trained.history[0]) is bool(cross_entropy)
    assert {"loss", "loss_text", "top1_acc"} <= set(trained.history[0])


def test_the_divergence_falls(supervised: Callable[..., Any], train: Callable[..., Any]) -> None:
    losses = [epoch["loss_text"] for epoch in train(supervised(
        {"epochs": 24, "param_scheduler": []}, cross_entropy=0.0)).history]
    assert np.mean(losses[-4:]) < 0.75 * np.mean(losses[:2])


@pytest.mark.parametrize("other", [{}, SHIFT_GCN], ids=["st-gcn", "shift-gcn"])
def test_a_stopped_training_ends_bit_for_bit_like_an_undisturbed_one(
    supervised: Callable[..., Any], train: Callable[..., Any], other: dict[str, Any]
) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int, losses: Any) -> None:
        raise Stopped

    spec = supervised(other, learn_temperature=True)
    undisturbed = train(spec, "undisturbed")
    with pytest.raises(Stopped):
        train(spec, "stopped", stop)
    epochs: list[int] = []
    again = train(spec, "stopped", lambda done, *_: epochs.append(done))
    assert epochs == [2] and again.history == undisturbed.history
    ours, theirs = state(again), state(undisturbed)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("cross_entropy", [0.0, 1.0])
@pytest.mark.parametrize("other", [{}, SHIFT_GCN], ids=["st-gcn", "shift-gcn"])
def test_features_and_logits(
    supervised: Callable[..., Any], train: Callable[..., Any], store: SequenceStore,
    cross_entropy: float, other: dict[str, Any],
) -> None:
    from zskel.extractors.features import extract_features, load_model
    from zskel.extractors.inference import BodyWise, recognizer
    from zskel.extractors.weights import head_classes, read_state

    spec = supervised({**other, "epochs": 1}, cross_entropy=cross_entropy, learn_temperature=True)
    trained = train(spec)
    assert head_classes(read_state(trained.weights), trained.weights) == 2
    untold = dataclasses.replace(spec, text=None)  # the weights bring the texts along
    model = load_model(untold, trained.weights, 2)
    assert isinstance(recognizer(model, (1, 1, 8, 25, 3)), BodyWise)
    every = np.arange(len(store))
    f_x, logits = extract_features(model, untold, store, every)
    assert f_x.shape == (18, 8) and logits.shape == (18, 2)
    direct = extract_features(model, untold, store, every, fast=False)
    np.testing.assert_allclose(f_x, direct[0], atol=1e-4)
    np.testing.assert_allclose(logits, direct[1], atol=1e-3)

    found = state(trained)
    weights = {name: found[f"cls_head.alignment.{name}"] for name in ("weight", "bias")}
    h, cosine = cosines(f_x, weights)
    if cross_entropy:
        expected = f_x @ found["cls_head.fc.weight"].T + found["cls_head.fc.bias"]
    else:
        expected = np.exp(found["cls_head.alignment.log_scale"]) * cosine
    np.testing.assert_allclose(logits, expected, atol=1e-4)

    aligned = dataclasses.replace(
        untold, text_supervision={**spec.text_supervision, "features": "aligned"})
    own, same = extract_features(model, aligned, store, every)
    np.testing.assert_allclose(own, h, atol=1e-5)
    np.testing.assert_array_equal(same, logits)


def test_what_names_the_weights(
    make_spec: Callable[..., Any], supervised: Callable[..., Any], store: SequenceStore,
    rows: np.ndarray,
) -> None:
    def digest(spec: Any) -> str:
        return spec.digest(store, rows, SEEN)

    plain = digest(supervised())
    other = [TEXT + [[0], [0], [1]], TEXT + [[0], [1], [0]]]
    seen, unseen = (digest(supervised({"text": text.astype(np.float32)})) for text in other)
    assert plain == unseen != seen
    assert digest(supervised(features="aligned")) == plain
    assert len({plain, digest(make_spec(epochs=2)), digest(supervised(weight=2.0)),
                digest(supervised(learn_temperature=True))}) == 4


def test_what_it_cannot_be(
    make_spec: Callable[..., Any], supervised: Callable[..., Any], trained: Any
) -> None:
    from zskel.extractors.features import load_model

    model = {"type": "Recognizer3D", "cls_head": {"type": "I3DHead", "in_channels": 16}}
    with pytest.raises(BadConfig, match=r"^backbone.text_supervision: .* found 'I3DHead'$"):
        supervised({"model": model}).model_config(2, TEXT)
    with pytest.raises(BadInput, match=r"weights.pth: were not trained with the classes' texts"):
        load_model(supervised(), trained.weights, 2)
