"""C_s and the fit behind C_u."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zskel.data.common.errors import BadInput
from zskel.zsl.classifiers import SeenClassifier, fit_linear_softmax


def blobs(classes=(1, 4, 6), n=40, seed=0):
    rng = np.random.default_rng(seed)
    centres = 3 * rng.normal(size=(10, 5))
    y = np.asarray(classes)[np.arange(n * len(classes)) % len(classes)]
    return (centres[y] + rng.normal(size=(len(y), 5))).astype(np.float32), y


@pytest.mark.parametrize("classes", [(1, 4, 6), (2, 9)])
def test_seen_classifier_names_columns_by_class(classes):
    f_x, y = blobs(classes)
    model = SeenClassifier().fit(f_x, y)
    proba = model.predict_proba(f_x)
    assert model.classes.tolist() == list(classes) and proba.shape == (len(y), len(classes))
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert np.mean(model.classes[proba.argmax(axis=1)] == y) > 0.9
    e = np.exp(model.logits(f_x))
    np.testing.assert_allclose(proba, e / e.sum(axis=1, keepdims=True))


def test_two_classes_equal_the_logistic_function():
    f_x, y = blobs((2, 9))
    model = SeenClassifier().fit(f_x, y)
    difference = np.diff(model.logits(f_x), axis=1)[:, 0]
    np.testing.assert_allclose(model.predict_proba(f_x)[:, 1], 1 / (1 + np.exp(-difference)))


def test_seen_classifier_minimizes_the_penalized_cross_entropy():
    # At the minimum the gradient C * sum (p - onehot) x^T + W vanishes; the
    # penalty does not touch the intercepts.
    f_x, y = blobs()
    model = SeenClassifier(inverse_penalty=0.5).fit(f_x, y)
    mean = f_x.mean(axis=0, dtype=np.float64)
    scale = np.sqrt(np.mean(np.sum((f_x - mean) ** 2, axis=1)))
    x = (f_x - mean) / scale
    probes = mean + scale * np.vstack([np.zeros(5), np.eye(5)])
    logits = model.logits(probes.astype(np.float32))
    weights = (logits[1:] - logits[0]).T
    residual = model.predict_proba(f_x) - (y[:, None] == model.classes)
    np.testing.assert_allclose(0.5 * residual.T @ x + weights, 0, atol=0.02)
    np.testing.assert_allclose(residual.sum(axis=0), 0, atol=0.02)


def test_seen_classifier_does_not_depend_on_scale_or_offset_of_features():
    f_x, y = blobs()
    one = SeenClassifier().fit(f_x, y).predict_proba(f_x)
    two = SeenClassifier().fit(f_x * 64 + 16, y).predict_proba(f_x * 64 + 16)
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_seen_classifier_is_deterministic_and_survives_constant_columns():
    f_x, y = blobs()
    f_x[:, 0] = 0
    one, two = (SeenClassifier().fit(f_x, y).logits(f_x) for _ in range(2))
    assert np.isfinite(one).all() and np.array_equal(one, two)


def test_seen_classifier_refusals():
    f_x, y = blobs()
    with pytest.raises(BadInput, match="at least two"):
        SeenClassifier().fit(f_x[y == 1], y[y == 1])
    f_x[0, 0] = np.nan
    with pytest.raises(BadInput, match="row 0 holds non-finite"):
        SeenClassifier().fit(f_x, y)


def test_linear_softmax_first_step_by_hand():
    # From zero weights p = 1/2 everywhere, so Adam's first step is lr * -sign(gradient).
    z, columns = torch.tensor([[1.0, -2.0], [-1.0, 2.0]]), torch.tensor([0, 1])
    layer = fit_linear_softmax(z, columns, epochs=1, learning_rate=0.01)
    np.testing.assert_allclose(layer.weight.detach(), [[0.01, -0.01], [-0.01, 0.01]], rtol=1e-4)
    np.testing.assert_allclose(layer.bias.detach(), 0, atol=1e-6)


def test_linear_softmax_trains_the_layer_it_is_given():
    # softmax of (1, 0): the gradient of the first weight is p_0 - 1 < 0 for z > 0.
    layer = torch.nn.Linear(1, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0], [0.0]])), layer.bias.zero_()
    z, columns = torch.tensor([[1.0]]), torch.tensor([0])
    trained = fit_linear_softmax(z, columns, epochs=1, learning_rate=0.01, initial=layer)
    assert trained is layer
    np.testing.assert_allclose(trained.weight.detach(), [[1.01], [-0.01]], rtol=1e-4)


def test_linear_softmax_with_relu_does_not_move_what_is_below_zero():
    layer = torch.nn.Linear(1, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0], [-1.0]])), layer.bias.zero_()
    z, columns = torch.tensor([[1.0]]), torch.tensor([0])
    fit_linear_softmax(z, columns, epochs=3, learning_rate=0.01, initial=layer, relu=True)
    np.testing.assert_allclose(layer.weight[:, 0].detach(), [1.03, -1.0], rtol=1e-3)
    zero = fit_linear_softmax(z, columns, epochs=3, learning_rate=0.01, relu=True)
    assert not zero.weight.any()


def test_linear_softmax_separates_blobs():
    f_x, y = blobs()
    z, columns = torch.from_numpy(f_x), torch.from_numpy(np.searchsorted([1, 4, 6], y))
    layer = fit_linear_softmax(z, columns, epochs=200, learning_rate=0.05)
    assert (layer(z).argmax(1) == columns).float().mean() > 0.9


def test_linear_softmax_refuses_non_finite():
    with pytest.raises(BadInput, match="non-finite"):
        fit_linear_softmax(torch.tensor([[float("inf")], [1.0]]), torch.tensor([0, 1]),
                           epochs=2, learning_rate=0.1)
