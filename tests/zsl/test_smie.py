"""SMIE's bound, temporal constraint and schedule against plain numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from zskel.data.common.errors import BadConfig, BadInput
from zskel.zsl.methods.smie import SMIE, normalized, warm_up_cosine
from zskel.zsl.methods.smie_engine import SMIEEngine, jensen_shannon_bound
from zskel.zsl.ranking import draw_one

SEEN, UNSEEN = (0, 1, 3, 4), (2, 5)
TINY = dict(hidden_dims=(9, 7), epochs=2, batch_size=16)


def problem(seed=0):
    rng = np.random.default_rng(seed)
    y = np.asarray(SEEN)[np.arange(30) % 4]
    f_x = np.abs(rng.normal(size=(30, 6))).astype(np.float32)
    return f_x, y, rng.normal(size=(6, 4)).astype(np.float32)


def fitted(masked=False, **params):
    f_x, y, f_y = problem()
    extra = {"f_x_masked": 0.5 * f_x[::-1]} if masked else {}
    return SMIE(**{**TINY, **params}).fit(f_x, y, f_y, seen_classes=SEEN, **extra)


def softplus(x):
    return np.log1p(np.exp(x))


def plain_t(model, f_x, f_y, norm=True):
    """T of pairs of rows, in float64."""
    weights = {k: p.detach().numpy().astype(float) for k, p in model._net.named_parameters()}

    def layer(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    x = np.asarray(f_x, float)
    if norm:
        x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    hidden = np.maximum(layer("first", np.hstack([x, f_y])), 0)
    return layer("rest.3", np.maximum(layer("rest.1", hidden), 0))[:, 0]


def test_bound_equals_numpy():
    matching, other = np.random.default_rng(0).normal(size=(2, 9)) * 3
    expected = np.mean(-softplus(-matching)) - np.mean(softplus(other))
    value = jensen_shannon_bound(*map(torch.from_numpy, (matching, other)))
    assert float(value) == pytest.approx(expected, rel=1e-12)


def test_bound_of_a_blind_and_of_a_perfect_estimator_and_without_other_pairs():
    zeros = torch.zeros(4)
    assert float(jensen_shannon_bound(zeros, zeros)) == pytest.approx(-2 * math.log(2))
    assert float(jensen_shannon_bound(zeros + 200, zeros - 200)) == 0
    assert float(jensen_shannon_bound(zeros, zeros[:0])) == pytest.approx(-math.log(2))


@pytest.mark.parametrize("negatives", ["other_class", "roll"])
def test_terms_equal_numpy(negatives):
    model = fitted(negatives=negatives, temporal_weight=2.0, temporal_margin=0.5)
    f_x, y, _ = problem()
    masked = 0.5 * f_x[::-1].copy()
    columns = torch.from_numpy(np.searchsorted(SEEN, y))
    text = model._text["f_y"][list(SEEN)]
    own = text[columns].numpy()
    generator = torch.Generator().manual_seed(3)
    state = generator.get_state()
    x, x_masked = (normalized(torch.from_numpy(f)) for f in (f_x, masked))
    engine = SMIEEngine(model._net, model.params, text, generator)
    terms = engine.step(x, columns, x_masked)
    generator.set_state(state)
    if negatives == "roll":
        other = np.roll(np.arange(30), 1)
    else:
        other = draw_one(columns[:, None] != columns, generator)[0].numpy()
        assert (y[other] != y).all()

    def bound(f):
        return (np.mean(-softplus(-plain_t(model, f, own)))
                - np.mean(softplus(plain_t(model, f[other], own))))

    whole, part = bound(f_x), bound(masked)
    temporal = max(0.0, 0.5 - (whole - part))
    expected = [whole, part, temporal, 2 * temporal - whole]
    assert temporal > 0
    assert terms.numpy() == pytest.approx(expected, rel=1e-4)


def test_rolled_negatives_may_be_of_the_same_class():
    # All rows alike: T cannot tell them apart, and "other_class" finds no negative.
    f_x, text = torch.ones(4, 6).cumsum(dim=1), torch.eye(4)
    columns = torch.zeros(4, dtype=torch.int64)
    for negatives in ("roll", "other_class"):
        model = fitted(negatives=negatives)
        t = plain_t(model, f_x[:1].numpy(), text[:1].numpy())[0]
        expected = -softplus(-t) - (softplus(t) if negatives == "roll" else 0)
        engine = SMIEEngine(model._net, model.params, text, torch.Generator())
        whole, _ = engine.step(normalized(f_x), columns)
        assert whole.item() == pytest.approx(expected, rel=1e-4)


def test_without_masked_clips_the_loss_is_the_bound_alone():
    history = fitted().history
    assert sorted(history) == ["loss", "mutual_information"]
    assert history["loss"] == [-value for value in history["mutual_information"]]
    assert sorted(fitted(masked=True).history) == [
        "loss", "mutual_information", "mutual_information_masked", "temporal"]


def test_the_temporal_constraint_pulls_the_bounds_apart():
    kept = [fitted(masked=True, epochs=40, learning_rate=3e-3, temporal_weight=weight,
                   temporal_margin=0.5).history for weight in (0.0, 3.0)]
    without, with_ = (h["mutual_information"][-1] - h["mutual_information_masked"][-1]
                      for h in kept)
    assert with_ > without


@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_scores_are_t_of_every_pair_normalized_as_the_recipe_says(recipe):
    model = fitted(recipe=recipe).fit_unseen_classifier(UNSEEN)
    f_x, _, _ = problem()
    f_y = model._text["f_y"].numpy()[list(UNSEEN)]
    scores = np.stack([plain_t(model, f_x, np.tile(row, (30, 1)), norm=recipe == "paper")
                       for row in f_y], axis=1)
    proba = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(f_x), proba, rtol=1e-4)


def test_many_pairs_are_scored_in_pieces(monkeypatch):
    model = fitted().fit_unseen_classifier(UNSEEN)
    f_x, _, _ = problem()
    once = model.predict_proba(f_x)
    monkeypatch.setattr("zskel.zsl.methods.smie._PAIRS", 9)
    np.testing.assert_allclose(model.predict_proba(f_x), once, rtol=1e-5)


def test_layer_norm():
    x = np.random.default_rng(0).normal(size=(3, 8)) * 5 + 2
    rows = normalized(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(rows.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(rows.var(axis=1), 1, rtol=1e-5)


def test_the_learning_rate_rises_and_falls():
    rates = [warm_up_cosine(epoch, 100, 0.15) for epoch in range(100)]
    assert rates[:15] == pytest.approx([(k + 1) / 15 for k in range(15)])
    assert rates[15:] == pytest.approx(
        [0.5 * (1 + math.cos(math.pi * k / 85)) for k in range(85)])
    assert min(rates) > 0 and [warm_up_cosine(0, 1, share) for share in (0.0, 0.4, 0.9)] == [1] * 3


def test_training_follows_the_schedule():
    # Adam's first step moves every weight by the learning rate, whatever the gradient.
    start = fitted(epochs=1, learning_rate=1e-12, warm_up=0.0)._net.first.weight
    for epochs, warm_up, factor in ((1, 0.0, 1.0), (4, 0.5, 0.5)):
        stops = []
        model = SMIE(**{**TINY, "epochs": epochs, "warm_up": warm_up, "batch_size": 30,
                        "learning_rate": 1e-3})
        f_x, y, f_y = problem()
        model.fit(f_x, y, f_y, seen_classes=SEEN,
                  on_epoch=lambda epoch: stops.append(model._net.first.weight.detach().clone()))
        moved = float((stops[0] - start.detach()).abs().max())
        assert moved == pytest.approx(1e-3 * factor, rel=1e-2)


@pytest.mark.parametrize(("masked", "message"), [
    (np.ones((29, 6)), "f_x_masked has 29 rows, expected 30"),
    (np.ones((30, 5)), "f_x_masked has 5 columns, fit was given 6"),
    (np.full((30, 6), np.nan), "f_x_masked row 0 holds non-finite"),
])
def test_masked_features_have_to_fit(masked, message):
    f_x, y, f_y = problem()
    with pytest.raises(BadInput, match=message):
        SMIE(**TINY).fit(f_x, y, f_y, seen_classes=SEEN, f_x_masked=masked)


@pytest.mark.parametrize(("params", "message"), [
    ({"warm_up": 1.0}, "warm_up"), ({"hidden_dims": (4,)}, "hidden_dims"),
    ({"negatives": "shift"}, "negatives"), ({"batch_size": 1}, "batch_size"),
])
def test_impossible_parameters(params, message):
    with pytest.raises(BadConfig, match=f"smie: {message}"):
        SMIE(**params)
