"""Flora's rule against its formula, on errors of a method's own and on probabilities."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from small_methods import small

from tests.zsl.test_joint_gates import S, U, rows
from tests.zsl.test_nobody_peeks import FEATURES, SEEN, TEXTS, UNSEEN
from zskel.data.caches import TEST, TRAIN
from zskel.data.common.errors import BadInput
from zskel.zsl.gates.base import GateInput
from zskel.zsl.gates.error_ratio import ErrorRatio
from zskel.zsl.methods import METHODS
from zskel.zsl.methods.base import ZeroShotMethod
from zskel.zsl.metrics import harmonic_mean


def drawn(seed: int = 0) -> tuple[GateInput, np.ndarray, np.ndarray]:
    """Errors that are small for the own class and smaller for seen ones than for unseen ones."""
    inputs, is_seen, columns = rows(seed=seed)
    errors = np.random.default_rng(seed).uniform(0.5, 1.5, size=(len(columns), S + U))
    errors[np.arange(len(columns)), columns] *= 0.6
    errors[:, :S] *= 0.7
    return replace(inputs, errors=errors), is_seen, columns


def said(errors: np.ndarray, threshold: float) -> np.ndarray:
    ratio = errors[:, :S].min(axis=1) / errors[:, S:].min(axis=1)
    return np.where(ratio > threshold, S + errors[:, S:].argmin(axis=1),
                    errors[:, :S].argmin(axis=1))


def h_with(threshold: float, errors: np.ndarray, columns: np.ndarray) -> float:
    right = said(errors, threshold) == columns
    return harmonic_mean(right[columns < S].mean(), right[columns >= S].mean())


def test_the_ratio_decides_at_the_threshold_with_the_best_h() -> None:
    inputs, is_seen, columns = drawn()
    gate = ErrorRatio().fit(inputs, is_seen, columns)
    swept = [h_with(theta, inputs.errors, columns) for theta in np.arange(0.2, 2.0, 0.001)]
    assert gate.harmonic_mean == pytest.approx(h_with(gate.threshold, inputs.errors, columns))
    assert gate.harmonic_mean >= max(swept) - 1e-12
    assert gate.threshold < 0.95  # it makes up for the smaller errors of seen classes
    other, _, truth = drawn(seed=1)
    probabilities = gate.probabilities(other)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), said(other.errors, gate.threshold))
    np.testing.assert_array_equal(gate.margins(other) > 0, probabilities.argmax(axis=1) < S)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert h_with(gate.threshold, other.errors, truth) > h_with(1.0, other.errors, truth)
    ratio = other.errors[:, :S].min(axis=1) / other.errors[:, S:].min(axis=1)
    np.testing.assert_allclose(gate.predict_proba(other), gate.threshold / (gate.threshold + ratio))
    again = ErrorRatio()
    again.restore(gate.state())
    np.testing.assert_array_equal(again.margins(other), gate.margins(other))
    assert json.loads(json.dumps(again.description())) == gate.description()


def test_it_says_what_it_lacks_and_takes_errors_of_zero() -> None:
    inputs, is_seen, columns = drawn()
    with pytest.raises(BadInput, match="error_ratio needs errors"):
        ErrorRatio().fit(replace(inputs, errors=None), is_seen, columns)
    with pytest.raises(BadInput, match="errors is \\[120, 2\\], expected \\[120, 7\\]"):
        replace(inputs, errors=inputs.errors[:, :2])
    none = np.zeros_like(inputs.errors)
    gate = ErrorRatio().fit(replace(inputs, errors=none), is_seen, columns)
    assert np.isfinite(gate.margins(replace(inputs, errors=none))).all()


@pytest.mark.parametrize("name", ["flora", "tdsm", "ridge"])
def test_errors_are_the_methods_own_or_negative_log_probabilities(name: str) -> None:
    model = small(name)
    train, test = FEATURES.rows(TRAIN), FEATURES.rows(TEST)
    model.fit(FEATURES.f_x[train], FEATURES.label[train], TEXTS[""].f_y, seen_classes=SEEN)
    model.fit_unseen_classifier(UNSEEN)
    f_x = FEATURES.f_x[test]
    errors, joint = model.errors(f_x), model.predict_joint_proba(f_x)
    sharpness = getattr(model.params, "sharpness", 1.0)
    assert errors.shape == joint.shape and (errors > 0).all()
    np.testing.assert_allclose(joint, softmax(-sharpness * errors, axis=1), rtol=1e-6)
    assert (METHODS.get(name).errors is ZeroShotMethod.errors) == (name == "ridge")
