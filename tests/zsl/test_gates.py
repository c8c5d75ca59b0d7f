"""The gate C_d and the mixture, by hand-worked cases."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from zskel.data.common.errors import BadInput
from zskel.zsl.gates.base import GateInput, decide, mix
from zskel.zsl.gates.domain_classifier import DomainClassifier, gate_features


def calibration(n=200, seed=0, balance=0.5, temperature=1.0):
    """Seen rows have a confident C_s, unseen rows a confident C_u."""
    rng = np.random.default_rng(seed)
    is_seen = np.arange(n) < balance * n
    seen_logits = rng.normal(size=(n, 6))
    seen_logits[np.arange(n), rng.integers(6, size=n)] += np.where(is_seen, 3.0, 0.5)
    unseen_logits = rng.normal(size=(n, 3))
    unseen_logits[:, 0] += np.where(is_seen, 0.0, 2.0)
    return GateInput(seen_logits * temperature, softmax(unseen_logits, axis=1)), is_seen


def test_features_are_top_k_of_the_tempered_softmax_then_p_u():
    inputs = GateInput(np.log([[1.0, 16.0, 4.0, 4.0]]), np.array([[0.3, 0.7]]))
    # T = 2 takes square roots: 1, 4, 2, 2 of 9.
    np.testing.assert_allclose(gate_features(inputs, 2.0), [[4 / 9, 2 / 9, 0.7, 0.3]])


def test_fewer_seen_classes_than_k_are_padded_with_zeros():
    inputs = GateInput(np.zeros((1, 2)), np.array([[0.2, 0.5, 0.3]]))
    np.testing.assert_allclose(gate_features(inputs, 1.0), [[0.5, 0.5, 0, 0.5, 0.3, 0.2]])


@given(st.permutations(range(6)), st.permutations(range(3)))
def test_features_carry_no_class_identity(seen_order, unseen_order):
    inputs, _ = calibration(5)
    shuffled = GateInput(inputs.seen_logits[:, seen_order], inputs.unseen_proba[:, unseen_order])
    np.testing.assert_allclose(gate_features(shuffled, 3.0), gate_features(inputs, 3.0))


def test_gate_tells_seen_from_unseen_on_other_rows():
    gate = DomainClassifier().fit(*calibration(400))
    inputs, is_seen = calibration(400, seed=1)
    p_d = gate.predict_proba(inputs)
    assert ((p_d >= 0) & (p_d <= 1)).all()
    assert p_d[is_seen].mean() > 0.6 and p_d[~is_seen].mean() < 0.4


def test_temperature_undoes_an_inflated_scale_of_logits():
    fitted = DomainClassifier(temperatures=(1.0, 8.0)).fit(*calibration(400, temperature=8.0))
    assert fitted.temperature == 8.0
    assert fitted.log_losses[8.0] < fitted.log_losses[1.0]


def test_ties_take_the_first_temperature():
    inputs, is_seen = calibration(60)
    flat = GateInput(np.zeros_like(inputs.seen_logits), inputs.unseen_proba)
    assert DomainClassifier(temperatures=(4.0, 1.0, 2.0)).fit(flat, is_seen).temperature == 4.0


def test_log_loss_equals_a_plain_balanced_computation():
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    inputs, is_seen = calibration(100, balance=0.8)
    gate = DomainClassifier(temperatures=(2.0,), folds=4, seed=3).fit(inputs, is_seen)
    features, p_d = gate_features(inputs, 2.0), np.zeros(100)
    for fit, held_out in StratifiedKFold(4, shuffle=True, random_state=3).split(features, is_seen):
        weights = np.where(is_seen[fit], 0.5 / is_seen[fit].mean(), 0.5 / (~is_seen[fit]).mean())
        model = LogisticRegression(max_iter=10_000).fit(features[fit], is_seen[fit], weights)
        p_d[held_out] = model.predict_proba(features[held_out])[:, 1]
    expected = -(np.log(p_d[is_seen]).mean() + np.log(1 - p_d[~is_seen]).mean()) / 2
    assert gate.log_losses[2.0] == pytest.approx(expected, rel=1e-3)


def test_balanced_weights_keep_the_rarer_side():
    inputs, is_seen = calibration(400, balance=0.95)
    fresh, fresh_seen = calibration(400, seed=1)
    recall = {
        weight: np.mean(DomainClassifier(class_weight=weight).fit(inputs, is_seen)
                        .predict_proba(fresh)[~fresh_seen] < 0.5)
        for weight in ("balanced", None)
    }
    assert recall["balanced"] > recall[None] + 0.2


def test_gate_is_deterministic_and_describes_itself_in_json():
    one, two = (DomainClassifier(seed=5).fit(*calibration()) for _ in range(2))
    description = one.description()
    assert description == two.description() == json.loads(json.dumps(description))
    assert description["temperature"] in one.temperatures
    assert (description["seen_rows"], description["unseen_rows"]) == (100, 100)
    assert len(description["coefficients"]) == 6


def test_mixture_by_hand():
    p_s, p_u = np.array([[0.6, 0.4], [0.6, 0.4]]), np.array([[0.1, 0.9], [0.1, 0.9]])
    np.testing.assert_allclose(mix(np.array([0.75, 0.25]), p_s, p_u),
                               [[0.45, 0.3, 0.025, 0.225], [0.15, 0.1, 0.075, 0.675]])
    # Soft, not hard: with p_d = 0.55 the flat p_s loses to the sharp p_u.
    chosen = decide(np.array([0.75, 0.25, 0.55]), np.array([[0.6, 0.4]] * 3),
                    np.array([[0.1, 0.9]] * 3), np.array([3, 8]), np.array([1, 5]))
    assert chosen.tolist() == [3, 5, 5]


@given(st.floats(0, 1))
def test_mixture_is_a_distribution(p_d):
    rows = mix(np.array([p_d]), np.array([[0.2, 0.8]]), np.array([[0.5, 0.25, 0.25]]))
    assert rows.sum() == pytest.approx(1) and (rows >= 0).all()


def test_refusals():
    inputs, is_seen = calibration(20)
    with pytest.raises(BadInput, match="at least 2 calibration rows"):
        DomainClassifier().fit(inputs, np.ones(20, bool))
    with pytest.raises(BadInput, match="is_seen has shape"):
        DomainClassifier().fit(inputs, is_seen[:5])
    with pytest.raises(BadInput, match="call fit before"):
        DomainClassifier().predict_proba(inputs)
    gate = DomainClassifier().fit(inputs, is_seen)
    with pytest.raises(BadInput, match="3 unseen classes and is given 2"):
        gate.predict_proba(GateInput(inputs.seen_logits, inputs.unseen_proba[:, :2]))
    with pytest.raises(BadInput, match="a gate needs"):
        GateInput(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(BadInput, match="temperatures"):
        DomainClassifier(temperatures=(0.0,))
    with pytest.raises(BadInput, match="folds"):
        DomainClassifier(folds=1)


@given(st.integers(0, 50))
def test_margin_is_positive_where_the_mixture_says_seen(seed):
    gate = DomainClassifier(temperatures=(2.0,)).fit(*calibration(60))
    inputs, _ = calibration(60, seed=seed)
    assert np.array_equal(gate.margins(inputs) > 0, gate.probabilities(inputs).argmax(axis=1) < 6)
    p_d = gate.predict_proba(inputs)
    by_hand = decide(p_d, softmax(inputs.seen_logits, axis=1), inputs.unseen_proba,
                     np.arange(6), np.arange(6, 9))
    assert np.array_equal(gate.probabilities(inputs).argmax(axis=1), by_hand)


def test_input_must_have_as_many_rows_everywhere():
    inputs, _ = calibration(20)
    with pytest.raises(BadInput, match="f_x has 19 rows, the gate's input 20"):
        GateInput(inputs.seen_logits, inputs.unseen_proba, f_x=np.zeros((19, 4)))
    with pytest.raises(BadInput, match="error has 3 rows, the gate's input 20"):
        GateInput(inputs.seen_logits, inputs.unseen_proba, evidence={"error": np.zeros(3)})
    with pytest.raises(BadInput, match="gate mine needs evidence, which its input lacks"):
        inputs.require(frozenset({"evidence"}), "mine")
