"""Fifty steps computed by class end where fifty steps of the plain definitions do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_steps import PlainJPoSE, PlainReViSE
from transferable import make

from zskel.zsl.methods.jpose import JPoSE
from zskel.zsl.methods.revise import ReViSE

PROBLEM = make(3, verbs=4, nouns=4, clips=9, f_x_dim=12, text_dim=10)
SIZES = {ReViSE: dict(code_dim=9, text_hidden_dim=11, embedding_dim=7),
         JPoSE: dict(embedding_dim=7, text_hidden_dim=11)}
PLAIN = {ReViSE: PlainReViSE, JPoSE: PlainJPoSE}
CASES = [
    (ReViSE, {}), (ReViSE, dict(recipe="released")),
    (ReViSE, dict(mmd_kappa=0.5, class_gradient=False, contraction_weight=0.1)),
    (JPoSE, {}), (JPoSE, dict(recipe="released")),
    (JPoSE, dict(losses="hinge", verb_weight=2.0)), (JPoSE, dict(networks="tanh_relu")),
]


def fit(cls, options, kept):
    # 117 clips: three batches of 39 an epoch, and 17 epochs.
    model = cls(**SIZES[kept], **{"epochs": 17, "batch_size": 39, "seed": 1, **options})
    problem = PROBLEM
    text = problem.parts if cls.text_parts else problem.f_y
    return model.fit(problem.f_x, problem.y, text, seen_classes=problem.seen)


@pytest.mark.parametrize(("cls", "options"), CASES, ids=str)
def test_fifty_steps_are_those_of_the_plain_definitions(cls, options):
    ours, plain = fit(cls, options, cls), fit(PLAIN[cls], options, cls)
    assert ours.steps(len(PROBLEM.f_x)) >= 50
    assert set(ours.history) == set(plain.history)
    for term, values in plain.history.items():
        np.testing.assert_allclose(ours.history[term], values, rtol=1e-5, atol=1e-5)
    weights, expected = ours._net.state_dict(), plain._net.state_dict()
    initial = fit(cls, {**options, "learning_rate": 1e-12, "epochs": 1}, cls)._net.state_dict()
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=1e-5)
    assert any((expected[name] - value).abs().max() > 1e-2 for name, value in initial.items())
