"""The hard gate against a plain transcription of what the released code does."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import minimize

from zskel.data.common.errors import BadInput
from zskel.zsl.gates.base import GateInput
from zskel.zsl.gates.hard import HardGate


def rows(n_seen=90, n_unseen=60, seed=0, s=7, u=3):
    """Seen rows have a confident C_s, unseen rows a confident p_u; shuffled."""
    generator = np.random.default_rng(seed)
    n = n_seen + n_unseen
    is_seen = generator.permutation(np.arange(n) < n_seen)
    logits = generator.normal(size=(n, s)) * 2
    logits[np.arange(n), generator.integers(s, size=n)] += np.where(is_seen, 4.0, 1.0)
    scores = generator.normal(size=(n, u))
    scores[:, 1] += np.where(is_seen, 0.0, 1.5)
    p_u = np.exp(scores)
    return GateInput(logits, p_u / p_u.sum(axis=1, keepdims=True)), is_seen


def multinomial(x, y):
    """Softmax regression of two classes, C = 1, penalty on the weights of both."""
    n, d = x.shape

    def loss(flat):
        w, b = flat[: 2 * d].reshape(2, d), flat[2 * d:]
        z = x @ w.T + b
        top = z.max(axis=1, keepdims=True)
        log_p = z - top - np.log(np.exp(z - top).sum(axis=1, keepdims=True))
        return (w**2).sum() / 2 - log_p[np.arange(n), y].sum()

    flat = minimize(loss, np.zeros(2 * d + 2), method="L-BFGS-B",
                    options={"maxiter": 5000, "maxfun": 10**6, "ftol": 1e-15, "gtol": 1e-9}).x
    w, b = flat[: 2 * d].reshape(2, d), flat[2 * d:]

    def p(features):
        e = np.exp(features @ w.T + b)
        return e / e.sum(axis=1, keepdims=True)

    return p


def released(inputs, is_seen, mirrored, seed, temperatures=range(1, 10)):
    """Section by section: subsample, hold out, fit, search; returns T, threshold, model."""
    def features(t):
        e = np.exp(inputs.seen_logits / t)
        p_s = np.sort(e / e.sum(axis=1, keepdims=True), axis=1)[:, ::-1]
        k = inputs.unseen_proba.shape[1]
        return np.concatenate([np.sort(inputs.unseen_proba, axis=1)[:, ::-1], p_s[:, :k]], axis=1)

    generator = np.random.default_rng(seed)
    unseen, seen = (generator.permutation(np.flatnonzero(is_seen == side)) for side in (0, 1))
    count = min(len(unseen), len(seen))
    unseen, seen = unseen[:count], seen[:count]
    held = min(300, count // 6)
    best = (-1,)
    for t in temperatures:
        u, s = generator.permutation(unseen), generator.permutation(seen)
        fit, test = np.r_[u[held:], s[held:]], np.r_[u[:held], s[:held]]
        p = multinomial(features(t)[fit], is_seen[fit].astype(int))
        p_unseen, p_seen = p(features(t)[test]).T
        for threshold in [percent / 100 for percent in range(25, 75)]:
            right = 0
            for row, pu, ps in zip(test, p_unseen, p_seen):
                if mirrored:
                    says_unseen = pu > threshold
                else:
                    says_unseen = not ps > threshold
                right += says_unseen != is_seen[row]
            if right > best[0]:
                best = (right, t, threshold, p, features)
    return best[1:]


@pytest.mark.parametrize("mirrored", [False, True])
def test_search_and_prediction_equal_the_transcription(mirrored):
    inputs, is_seen = rows()
    gate = HardGate(mirrored=mirrored, seed=4).fit(inputs, is_seen)
    t, threshold, p, features = released(inputs, is_seen, mirrored, seed=4)
    assert (gate.temperature, gate.threshold) == (t, threshold)
    p_seen = p(features(t))[:, 1]
    np.testing.assert_allclose(gate.predict_proba(inputs), p_seen, atol=2e-4)
    seen_side, unseen_side = inputs.seen_logits.argmax(axis=1), inputs.unseen_proba.argmax(axis=1)
    expected = np.where(p_seen > threshold, seen_side, 7 + unseen_side)
    clear = abs(p_seen - threshold) > 1e-3
    assert clear.mean() > 0.9
    found = gate.probabilities(inputs).argmax(axis=1)
    assert np.array_equal(found[clear], expected[clear])


def test_mirroring_changes_the_side_of_the_threshold_only():
    inputs, is_seen = rows()
    for seed in range(4):
        right, wrong = (HardGate([2.0], mirrored=m, seed=seed).fit(inputs, is_seen)
                        for m in (False, True))
        # Same draws and model; "unseen if P(unseen) > t" is "seen if P(seen) >= 1 - t".
        np.testing.assert_array_equal(right.predict_proba(inputs), wrong.predict_proba(inputs))
        assert right.held_out_accuracy == pytest.approx(wrong.held_out_accuracy, abs=0.11)


def test_both_fixed_searches_nothing_and_uses_all_rows():
    inputs, is_seen = rows(30, 30)
    gate = HardGate([2.0], [0.5], seed=1).fit(inputs, is_seen)
    description = gate.description()
    assert (description["temperature"], description["threshold"]) == (2.0, 0.5)
    assert description["held_out_accuracy"] is None and description["rows_of_each_side"] == 30
    assert json.loads(json.dumps(description)) == description
    other = HardGate([2.0], [0.5], seed=9).fit(inputs, is_seen)
    np.testing.assert_allclose(gate.predict_proba(inputs), other.predict_proba(inputs), atol=1e-4)


def test_margin_is_positive_where_a_seen_class_is_predicted():
    inputs, is_seen = rows()
    gate = HardGate(seed=2).fit(inputs, is_seen)
    says_seen = gate.probabilities(inputs).argmax(axis=1) < 7
    assert np.array_equal(gate.margins(inputs) > 0, says_seen)
    assert says_seen.any() and not says_seen.all()


def test_refusals():
    inputs, is_seen = rows(30, 5)
    with pytest.raises(BadInput, match="at least 6 calibration rows"):
        HardGate().fit(inputs, is_seen)
    with pytest.raises(BadInput, match="thresholds"):
        HardGate(thresholds=[1.0])
    with pytest.raises(BadInput, match="temperatures"):
        HardGate(temperatures=[-1.0])
    with pytest.raises(BadInput, match="call fit before"):
        HardGate().predict_proba(inputs)
    inputs, is_seen = rows()
    gate = HardGate().fit(inputs, is_seen)
    with pytest.raises(BadInput, match="3 unseen classes and is given 2"):
        gate.predict_proba(GateInput(inputs.seen_logits, inputs.unseen_proba[:, :2]))
