"""The gate that leaves seen classes out to rehearse the test."""

from __future__ import annotations

import json

import numpy as np
import pytest
from transferable import make

from zskel.data.common.errors import BadInput
from zskel.zsl.gates import GATES
from zskel.zsl.gates.base import GateInput, Reference
from zskel.zsl.gates.left_out_classes import LeftOutClassesGate


def phase(seed: int = 0, rows: slice = slice(None), subjects: int = 4) -> tuple:
    """Test clips of a made-up problem as a gate's input; which are of seen classes."""
    p = make(seed)
    classes = np.concatenate([p.seen, p.unseen])
    f_x, is_seen = p.test_f_x[rows], np.isin(p.test_y, p.seen)[rows]
    inputs = GateInput(
        np.random.default_rng(seed).normal(size=(len(f_x), len(p.seen))),
        np.full((len(f_x), len(p.unseen)), 1 / len(p.unseen)), f_x=f_x, f_y=p.f_y[classes],
        reference=Reference(p.f_x, np.searchsorted(p.seen, p.y), np.arange(len(p.y)) % subjects),
    )
    return inputs, is_seen


def fitted(inputs: GateInput, is_seen: np.ndarray, **options: int) -> LeftOutClassesGate:
    return LeftOutClassesGate(**options).fit(inputs, is_seen)


@pytest.mark.parametrize("seed", range(3))
def test_tells_unseen_classes_from_seen_ones(seed: int) -> None:
    inputs, is_seen = phase(seed)
    says_seen = fitted(inputs, is_seen).margins(inputs) > 0
    assert (says_seen[is_seen].mean() + (~says_seen[~is_seen]).mean()) / 2 > 0.6


def test_answers_fit_together_and_repeat_to_the_bit() -> None:
    inputs, is_seen = phase()
    gate = fitted(inputs, is_seen)
    p_d, margins = gate.predict_proba(inputs), gate.margins(inputs)
    assert np.array_equal(p_d > 0.5, margins > 0)
    probabilities = gate.probabilities(inputs)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert np.array_equal(probabilities.argmax(axis=1) < inputs.seen_logits.shape[1], margins > 0)
    assert np.array_equal(fitted(*phase()).margins(phase()[0]), margins)


def test_calibration_rows_and_other_test_rows_are_no_matter() -> None:
    inputs, is_seen = phase()
    margins = fitted(inputs, is_seen).margins(inputs)
    assert np.array_equal(fitted(inputs, ~is_seen).margins(inputs), margins)
    few, few_seen = phase(rows=slice(5, 9))
    np.testing.assert_allclose(fitted(few, few_seen).margins(few), margins[5:9], rtol=1e-9)


def test_restored_it_says_the_same() -> None:
    inputs, is_seen = phase()
    gate, other = fitted(inputs, is_seen), LeftOutClassesGate()
    other.restore(gate.state())
    assert np.array_equal(other.margins(inputs), gate.margins(inputs))
    assert json.loads(json.dumps(gate.description())) == {"name": gate.name, "rehearsals": 10}


@pytest.mark.parametrize("seen", [2, 3, 4])
def test_few_classes_and_unknown_subjects_are_enough(seen: int) -> None:
    inputs, _ = phase(subjects=1)
    reference = inputs.reference
    rows = reference.columns < seen
    small = GateInput(
        inputs.seen_logits[:, :seen], inputs.unseen_proba, f_x=inputs.f_x,
        f_y=np.concatenate([inputs.f_y[:seen], inputs.f_y[-5:]]),
        reference=Reference(reference.f_x[rows], reference.columns[rows], reference.groups[rows]))
    gate = fitted(small, np.ones(len(small), bool))
    assert np.isfinite(gate.margins(small)).all()


def test_refusals() -> None:
    inputs, is_seen = phase()
    with pytest.raises(BadInput, match="gate left_out_classes needs f_x"):
        LeftOutClassesGate().fit(GateInput(inputs.seen_logits, inputs.unseen_proba), is_seen)
    with pytest.raises(BadInput, match="call fit before"):
        LeftOutClassesGate().margins(inputs)
    with pytest.raises(BadInput, match="rehearsals is 0"):
        LeftOutClassesGate(rehearsals=0)
    assert GATES.get("left_out_classes") is LeftOutClassesGate
