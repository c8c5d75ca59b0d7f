"""Fifty steps computed by class end where fifty steps of the plain definitions do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_steps import PlainCADAVAE, PlainJPoSE, PlainReViSE, PlainSMIE, PlainSynSE
from transferable import make

from zskel.zsl.methods.cada_vae import CADAVAE
from zskel.zsl.methods.jpose import JPoSE
from zskel.zsl.methods.revise import ReViSE
from zskel.zsl.methods.smie import SMIE
from zskel.zsl.methods.synse import SynSE

PROBLEM = make(3, verbs=4, nouns=4, clips=9, f_x_dim=12, text_dim=10)
SIZES = {ReViSE: dict(code_dim=9, text_hidden_dim=11, embedding_dim=7),
         JPoSE: dict(embedding_dim=7, text_hidden_dim=11),
         SMIE: dict(hidden_dims=(13, 11), learning_rate=1e-2),
         SynSE: dict(latent_dim=6, cycles=3, learning_rate=1e-2),
         CADAVAE: dict(latent_dim=5, cycles=3, learning_rate=1e-2)}
PLAIN = {ReViSE: PlainReViSE, JPoSE: PlainJPoSE, SMIE: PlainSMIE, SynSE: PlainSynSE,
         CADAVAE: PlainCADAVAE}
SHALLOW = {f"{kind}_{modality}_hidden": () for kind in ("encoder", "decoder") for modality in "xy"}
CASES = [
    (ReViSE, {}), (ReViSE, dict(recipe="released")),
    (ReViSE, dict(mmd_kappa=0.5, class_gradient=False, contraction_weight=0.1)),
    (JPoSE, {}), (JPoSE, dict(recipe="released")),
    (JPoSE, dict(losses="hinge", verb_weight=2.0)), (JPoSE, dict(networks="tanh_relu")),
    (SynSE, {}), (SynSE, dict(recipe="released", batch_size=20)),
    (CADAVAE, dict(recipe="released")), (CADAVAE, {**SHALLOW, "noise": "sample"}),
    (CADAVAE, dict(**SHALLOW, output_activation="relu", reconstruction="sum")),
    (SMIE, {}), (SMIE, dict(recipe="released")), (SMIE, dict(masked=True)),
]


def fit(cls, options, kept):
    # 117 clips: three batches of 39 an epoch, and 17 epochs.
    extra = {"f_x_masked": PROBLEM.f_x_masked} if options.get("masked") else {}
    options = {name: value for name, value in options.items() if name != "masked"}
    model = cls(**{"epochs": 17, "batch_size": 39, "seed": 1, **SIZES[kept], **options})
    text = PROBLEM.parts if cls.text_parts else PROBLEM.f_y
    return model.fit(PROBLEM.f_x, PROBLEM.y, text, seen_classes=PROBLEM.seen, **extra)


def weights_of(model):
    """Every array of parameters by its name."""
    return {name: torch.from_numpy(array) for name, array in model.state().arrays.items()
            if name.endswith((".weight", ".bias"))}


@pytest.mark.parametrize(("cls", "options"), CASES, ids=str)
def test_fifty_steps_are_those_of_the_plain_definitions(cls, options):
    ours, plain = fit(cls, options, cls), fit(PLAIN[cls], options, cls)
    assert ours.steps(len(PROBLEM.f_x)) >= 50
    assert set(ours.history) == set(plain.history)
    for term, values in plain.history.items():
        np.testing.assert_allclose(ours.history[term], values, rtol=1e-5, atol=1e-5)
    weights, expected = weights_of(ours), weights_of(plain)
    initial = weights_of(fit(cls, {**options, "learning_rate": 1e-12, "epochs": 1}, cls))
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=1e-5)
    assert any((expected[name] - value).abs().max() > 1e-2 for name, value in initial.items())
