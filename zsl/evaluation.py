"""From fitted models and a gate to predictions, and what a protocol says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zskel.data.caches import SkeletonFeatures
from zskel.zsl.gates.base import Gate, GateInput
from zskel.zsl.methods.base import Latents, ZeroShotMethod
from zskel.zsl.metrics import Predictions, Values, accuracy
from zskel.zsl.phase_models import PhaseModels


@dataclass(frozen=True)
class Evaluation:
    """One method with one gate on one split with one seed.

    Attributes:
        protocol: Name of the protocol.
        seed: Of the method and the gate.
        metrics: By the names of ``zskel.zsl.metrics.METRICS``; fractions of 1.
        predictions: For each test row.
        latents: Means of z_r and z_v of the test rows.
        counts: Rows by use: "train", "test_seen", "test_unseen",
            "calibration_train", "calibration_seen", "calibration_unseen".
        gate: What the gate chose and found.
        selection: What the protocol chose, and on which rows; empty where it
            chose nothing.
        history: Loss terms by epoch, of the "calibration" and the "test" fit.
    """

    protocol: str
    seed: int
    metrics: Values
    predictions: Predictions
    latents: Latents
    counts: dict[str, int]
    gate: dict[str, Any]
    selection: dict[str, Any]
    history: dict[str, dict[str, list[float]]]


def predict(models: PhaseModels, gate: Gate, rows: np.ndarray, inputs: GateInput) -> Predictions:
    """What a phase's models and a gate on top of them say of some clips.

    Args:
        models: With C_u and C_s.
        gate: Fitted.
        rows: Of the models' features.
        inputs: Of these rows, as ``models.inputs`` gives them.
    """
    seen_classes, unseen_classes = models.seen_classes, models.unseen_classes
    label = models.features.label[rows]
    unseen = np.isin(label, unseen_classes)
    seen_side, unseen_side = gate.sides(inputs)
    return Predictions(
        label=label,
        sample_id=models.features.sample_id[rows],
        seen_classes=seen_classes,
        unseen_classes=unseen_classes,
        zsl_prediction=np.where(
            unseen, unseen_classes[inputs.unseen_proba.argmax(axis=1)], -1),
        gzsl_prediction=np.concatenate([seen_classes, unseen_classes])[
            gate.probabilities(inputs).argmax(axis=1)],
        oracle_prediction=np.where(
            unseen, unseen_classes[unseen_side.argmax(axis=1)],
            seen_classes[seen_side.argmax(axis=1)]),
        margin=gate.margins(inputs),
        p_seen=gate.predict_proba(inputs),
    )


def zsl_accuracy_so_far(
    method: ZeroShotMethod, features: SkeletonFeatures, rows: np.ndarray
) -> float:
    """ZSL accuracy in the middle of a fit: C_u alone, fitted for it.

    Args:
        method: While it is fitted.
        features: Of the phase.
        rows: Of its unseen classes.
    """
    method.fit_unseen_classifier(features.unseen_classes)
    p_u = method.predict_proba(features.f_x[rows])
    return accuracy(features.label[rows], method.unseen_classes[p_u.argmax(axis=1)])
