"""Joint softmax and calibrated stacking, by hand and by a sweep of gamma."""

from __future__ import annotations

import json

import numpy as np
import pytest

from zskel.data.common.errors import BadInput
from zskel.zsl.gates.base import GateInput
from zskel.zsl.gates.calibrated_stacking import CalibratedStacking
from zskel.zsl.gates.joint_softmax import JointSoftmax
from zskel.zsl.metrics import harmonic_mean

S, U = 4, 3


def rows(n=120, seed=0, bias=2.0):
    """A joint classifier that knows the class but favours seen ones by ``bias``."""
    generator = np.random.default_rng(seed)
    columns = generator.integers(S + U, size=n)
    logits = generator.normal(size=(n, S + U))
    logits[np.arange(n), columns] += 1.5
    logits[:, :S] += bias
    joint = np.exp(logits)
    joint /= joint.sum(axis=1, keepdims=True)
    inputs = GateInput(np.zeros((n, S)), np.full((n, U), 1 / U), joint_proba=joint)
    return inputs, columns < S, columns


def h_with(gamma, inputs, columns):
    scores = np.log(inputs.joint_proba)
    scores[:, :S] -= gamma
    right = scores.argmax(axis=1) == columns
    return harmonic_mean(right[columns < S].mean(), right[columns >= S].mean())


def test_joint_softmax_is_the_joint_classifier():
    inputs, is_seen, columns = rows()
    gate = JointSoftmax().fit(inputs, is_seen, columns)
    np.testing.assert_array_equal(gate.probabilities(inputs), inputs.joint_proba)
    np.testing.assert_allclose(gate.predict_proba(inputs), inputs.joint_proba[:, :S].sum(axis=1))
    seen, unseen = gate.sides(inputs)
    np.testing.assert_allclose(seen.sum(axis=1), 1)
    assert np.array_equal(unseen.argmax(axis=1), inputs.joint_proba[:, S:].argmax(axis=1))


def test_gamma_is_the_best_of_a_sweep_and_undoes_the_bias():
    inputs, is_seen, columns = rows()
    gate = CalibratedStacking().fit(inputs, is_seen, columns)
    swept = [h_with(gamma, inputs, columns) for gamma in np.arange(-1, 6, 0.01)]
    assert gate.harmonic_mean == pytest.approx(h_with(gate.gamma, inputs, columns))
    assert gate.harmonic_mean >= max(swept) - 1e-12
    assert gate.gamma == pytest.approx(2.0, abs=0.8)
    fresh, _, truth = rows(seed=1)
    assert h_with(gate.gamma, fresh, truth) > h_with(0, fresh, truth) + 0.1


def test_stacking_predicts_with_the_handicap_and_stays_a_distribution():
    inputs, is_seen, columns = rows()
    gate = CalibratedStacking().fit(inputs, is_seen, columns)
    scores = np.log(inputs.joint_proba)
    scores[:, :S] -= gate.gamma
    probabilities = gate.probabilities(inputs)
    assert np.array_equal(probabilities.argmax(axis=1), scores.argmax(axis=1))
    shifted = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, shifted)
    np.testing.assert_allclose(gate.predict_proba(inputs), shifted[:, :S].sum(axis=1))


@pytest.mark.parametrize("make", [JointSoftmax, CalibratedStacking])
def test_margins_agree_with_predictions(make):
    inputs, is_seen, columns = rows()
    gate = make().fit(inputs, is_seen, columns)
    assert np.array_equal(gate.margins(inputs) > 0, gate.probabilities(inputs).argmax(axis=1) < S)
    description = gate.description()
    assert json.loads(json.dumps(description)) == description


def test_a_side_without_any_probability_loses_quietly():
    joint = np.array([[1.0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1.0, 0, 0]])
    inputs = GateInput(np.zeros((2, S)), np.full((2, U), 1 / U), joint_proba=joint)
    gate = JointSoftmax().fit(inputs, np.array([True, False]))
    assert gate.predict_proba(inputs).tolist() == [1, 0]
    assert np.isfinite(gate.margins(inputs)).all()
    assert np.isfinite(np.concatenate(gate.sides(inputs), axis=1)).all()


def test_refusals():
    inputs, is_seen, columns = rows()
    without = GateInput(inputs.seen_logits, inputs.unseen_proba)
    with pytest.raises(BadInput, match="gate joint_softmax needs joint_proba"):
        JointSoftmax().fit(without, is_seen)
    with pytest.raises(BadInput, match="gate calibrated_stacking needs joint_proba"):
        CalibratedStacking().fit(without, is_seen, columns)
    with pytest.raises(BadInput, match="needs the class of each calibration row"):
        CalibratedStacking().fit(inputs, is_seen)
    with pytest.raises(BadInput, match="columns must give each row's class"):
        CalibratedStacking().fit(inputs, is_seen, columns[::-1])
    with pytest.raises(BadInput, match=r"joint_proba is \[120, 3\], expected \[120, 7\]"):
        GateInput(inputs.seen_logits, inputs.unseen_proba, joint_proba=inputs.joint_proba[:, :3])
