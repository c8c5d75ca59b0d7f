"""The familiarity gate against plain formulas, and what it must not depend on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from zskel.data.common.errors import BadInput
from zskel.zsl.gates.base import GateInput, Reference
from zskel.zsl.gates.familiarity import FamiliarityGate, relative_mahalanobis, text_agreement

S, U, D, DT = 8, 4, 10, 5
SUBJECTS = 4


def phase(seed=0, subjects=SUBJECTS, noise=0.5, world=7):
    """Train and evaluation clips whose class means follow the text of the classes."""
    fixed, generator = np.random.default_rng(world), np.random.default_rng(seed)
    classes = fixed.normal(size=(40, DT))[generator.choice(40, S + U, replace=False)]
    means = classes @ fixed.normal(size=(DT, D)) + 4
    def clips(label, subject, style):
        return means[label] + style[subject] + noise * generator.normal(size=(len(label), D))
    style = 0.3 * generator.normal(size=(subjects + 2, D))
    label, subject = (a.ravel() for a in np.meshgrid(np.arange(S), np.arange(subjects)))
    label, subject = np.repeat(label, 5), np.repeat(subject, 5)
    held_label = np.repeat(np.arange(S + U), 8)
    held_subject = subjects + np.arange(len(held_label)) % 2
    inputs = GateInput(
        generator.normal(size=(len(held_label), S)), np.full((len(held_label), U), 1 / U),
        f_x=clips(held_label, held_subject, style), f_y=classes,
        reference=Reference(clips(label, subject, style), label, subject),
    )
    return inputs, held_label < S


def unit(f):
    return f / np.linalg.norm(f, axis=1, keepdims=True)


def test_relative_mahalanobis_by_plain_inverses():
    inputs, _ = phase()
    known, columns, f = inputs.reference.f_x, inputs.reference.columns, inputs.f_x

    def shrunk(rows):
        covariance = sum(np.outer(row, row) for row in rows) / len(rows)
        return 0.7 * covariance + 0.3 * np.trace(covariance) / D * np.eye(D)

    means = np.array([known[columns == c].mean(axis=0) for c in range(S)])
    within = np.linalg.inv(shrunk([x - means[c] for x, c in zip(known, columns)]))
    overall = np.linalg.inv(shrunk(known - known.mean(axis=0)))
    expected = [
        min((x - m) @ within @ (x - m) for m in means)
        - (x - known.mean(axis=0)) @ overall @ (x - known.mean(axis=0)) for x in f
    ]
    np.testing.assert_allclose(relative_mahalanobis(known, columns, f, 0.3), expected, rtol=1e-8)


def test_text_agreement_by_scikit_learns_ridge():
    inputs, _ = phase()
    known, columns, f = inputs.reference.f_x, inputs.reference.columns, inputs.f_x
    text = unit(inputs.f_y) - unit(inputs.f_y)[:S].mean(axis=0)
    scale = np.sqrt(np.mean(np.sum((known - known.mean(axis=0)) ** 2, axis=1)))
    model = Ridge(alpha=0.01 * len(known), fit_intercept=False)
    model.fit((known - known.mean(axis=0)) / scale, text[columns])
    cosine = unit(model.predict((f - known.mean(axis=0)) / scale)) @ unit(text).T
    expected = cosine[:, :S].max(axis=1) - cosine[:, S:].max(axis=1)
    np.testing.assert_allclose(
        text_agreement(known, columns, f, inputs.f_y, S, 0.01), expected, rtol=1e-6, atol=1e-9)


def test_features_are_relative_to_training_clips_of_strangers():
    inputs, _ = phase()
    gate, known = FamiliarityGate(), unit(inputs.reference.f_x)
    columns, groups = inputs.reference.columns, inputs.reference.groups
    left_out = np.empty(len(known))
    for subject in range(SUBJECTS):
        own = groups == subject
        left_out[own] = -relative_mahalanobis(known[~own], columns[~own], known[own], 0.5)
    low, middle, high = np.percentile(left_out, [16, 50, 84])
    raw = -relative_mahalanobis(known, columns, unit(inputs.f_x), 0.5)
    np.testing.assert_allclose(
        gate.features(inputs)[:, 0], (raw - middle) / ((high - low) / 2), rtol=1e-8)


def test_gate_carries_over_to_a_phase_with_other_classes_subjects_and_scale():
    gate = FamiliarityGate().fit(*phase(0))
    fresh, is_seen = phase(1, subjects=7)
    p_d = gate.predict_proba(fresh)
    assert p_d[is_seen].mean() > p_d[~is_seen].mean() + 0.1
    assert np.mean((p_d > 0.5) == is_seen) > 0.7
    # Unit length: another backbone's scale is no matter.
    larger = GateInput(
        fresh.seen_logits, fresh.unseen_proba, f_x=3 * fresh.f_x, f_y=fresh.f_y,
        reference=Reference(3 * fresh.reference.f_x, fresh.reference.columns,
                            fresh.reference.groups),
    )
    np.testing.assert_allclose(gate.predict_proba(larger), p_d)


def test_order_of_classes_and_training_clips_is_no_matter():
    inputs, is_seen = phase()
    gate = FamiliarityGate().fit(inputs, is_seen)
    generator = np.random.default_rng(3)
    order, rows = generator.permutation(S), generator.permutation(len(inputs.reference.f_x))
    reference = inputs.reference
    shuffled = GateInput(
        inputs.seen_logits, inputs.unseen_proba, f_x=inputs.f_x,
        f_y=np.concatenate([inputs.f_y[order], inputs.f_y[S:][::-1]]),
        reference=Reference(reference.f_x[rows], np.argsort(order)[reference.columns[rows]],
                            reference.groups[rows]),
    )
    np.testing.assert_allclose(gate.predict_proba(shuffled), gate.predict_proba(inputs), rtol=1e-6)


def test_without_subjects_clips_are_left_out_in_parts():
    inputs, is_seen = phase()
    reference = inputs.reference
    unknown = GateInput(
        inputs.seen_logits, inputs.unseen_proba, f_x=inputs.f_x, f_y=inputs.f_y,
        reference=Reference(reference.f_x, reference.columns, np.full(len(reference.f_x), -1)),
    )
    assert np.isfinite(FamiliarityGate().fit(unknown, is_seen).predict_proba(unknown)).all()


def test_answers_are_those_of_the_rows_asked_for():
    one, is_seen = phase(0)
    two, _ = phase(1)
    gate = FamiliarityGate().fit(one, is_seen)
    first = gate.predict_proba(one).copy()
    assert not np.array_equal(gate.predict_proba(two), first)
    assert np.array_equal(gate.predict_proba(one), first)
    fitted_again = gate.fit(two, is_seen)
    assert not np.array_equal(fitted_again.predict_proba(one), first)


def test_description_is_json():
    description = FamiliarityGate(seed=3).fit(*phase()).description()
    assert json.loads(json.dumps(description)) == description
    assert (description["seen_rows"], description["unseen_rows"]) == (64, 32)


def test_refusals():
    inputs, is_seen = phase()
    bare = GateInput(inputs.seen_logits, inputs.unseen_proba)
    with pytest.raises(BadInput, match="gate familiarity needs f_x"):
        FamiliarityGate().fit(bare, is_seen)
    with pytest.raises(BadInput, match="call fit before"):
        FamiliarityGate().predict_proba(inputs)
    with pytest.raises(BadInput, match="at least 2 calibration rows"):
        FamiliarityGate().fit(inputs, np.ones_like(is_seen))
    with pytest.raises(BadInput, match="shrinkage"):
        FamiliarityGate(shrinkage=0)
    with pytest.raises(BadInput, match="f_y has 3 rows, expected 12"):
        GateInput(inputs.seen_logits, inputs.unseen_proba, f_y=np.zeros((3, 2)))
