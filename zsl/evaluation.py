"""What one method came to on one split: accuracies, curves, predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zskel.zsl import metrics
from zskel.zsl.curves import ROC, SeenUnseenCurve, roc, seen_unseen_curve
from zskel.zsl.gates.base import Gate, GateInput
from zskel.zsl.methods.base import Latents


@dataclass(frozen=True)
class TestRows:
    """What was predicted for each test row; all arrays have one entry a row.

    Attributes:
        label: Class ids.
        sample_id: As in the cache.
        zsl_prediction: Class id among the unseen ones; -1 for rows of seen
            classes, which the ZSL protocol does not ask about.
        gzsl_prediction: Class id among all classes.
        p_seen: The gate's p_d.
        latents: Means of z_r and z_v.
    """

    __test__ = False  # Not a test case, whatever pytest makes of the name.

    label: np.ndarray
    sample_id: np.ndarray
    zsl_prediction: np.ndarray
    gzsl_prediction: np.ndarray
    p_seen: np.ndarray
    latents: Latents


@dataclass(frozen=True)
class Evaluation:
    """One method on one split with one seed. Accuracies are fractions of 1.

    Attributes:
        protocol: Name of the protocol.
        seed: Of the method and the gate.
        zsl_accuracy: On test rows of unseen classes, among those.
        gzsl_seen_accuracy, gzsl_unseen_accuracy, gzsl_harmonic_mean: On all
            test rows, among all classes.
        zsl_class_averaged, gzsl_seen_class_averaged,
        gzsl_unseen_class_averaged, gzsl_harmonic_class_averaged: The same with
            every class counting alike.
        oracle_harmonic_mean: H if the gate were always right: what the two
            classifiers allow.
        ausuc: Area under ``curve``.
        curve: Seen and unseen accuracy at every bias, at most 101 points.
        roc: Of p_d on the test rows, at most 101 points.
        zsl_per_class, gzsl_per_class: Accuracy by class id.
        counts: Rows by use: "train", "test_seen", "test_unseen",
            "calibration_train", "calibration_seen", "calibration_unseen".
        gate: What the gate chose and found.
        selection: What the protocol chose, and on which rows; empty where it
            chose nothing.
        history: Loss terms by epoch, of the "calibration" and the "test" fit.
        rows: Predictions for each test row.
    """

    protocol: str
    seed: int
    zsl_accuracy: float
    gzsl_seen_accuracy: float
    gzsl_unseen_accuracy: float
    gzsl_harmonic_mean: float
    zsl_class_averaged: float
    gzsl_seen_class_averaged: float
    gzsl_unseen_class_averaged: float
    gzsl_harmonic_class_averaged: float
    oracle_harmonic_mean: float
    ausuc: float
    curve: SeenUnseenCurve
    roc: ROC
    zsl_per_class: dict[int, float]
    gzsl_per_class: dict[int, float]
    counts: dict[str, int]
    gate: dict[str, Any]
    selection: dict[str, Any]
    history: dict[str, dict[str, list[float]]]
    rows: TestRows


@dataclass(frozen=True)
class Tested:
    """The test rows and what a fitted method and C_s say of them.

    Attributes:
        label, sample_id: As in the cache.
        inputs: C_s, p_u and whatever else gates asked for.
        seen_classes, unseen_classes: Columns of C_s and of p_u.
        latents: Of the method.
    """

    label: np.ndarray
    sample_id: np.ndarray
    inputs: GateInput
    seen_classes: np.ndarray
    unseen_classes: np.ndarray
    latents: Latents


def evaluate(
    tested: Tested,
    gate: Gate,
    *,
    protocol: str,
    seed: int,
    counts: dict[str, int],
    selection: dict[str, Any],
    history: dict[str, dict[str, list[float]]],
) -> Evaluation:
    """Puts one fitted gate on top and measures everything."""
    label, inputs = tested.label, tested.inputs
    seen_classes, unseen_classes = tested.seen_classes, tested.unseen_classes
    classes = np.concatenate([seen_classes, unseen_classes])
    unseen = np.isin(label, unseen_classes)

    among_unseen = unseen_classes[inputs.unseen_proba.argmax(axis=1)]
    gzsl_prediction = classes[gate.probabilities(inputs).argmax(axis=1)]
    p_d = gate.predict_proba(inputs)
    seen_side, unseen_side = gate.sides(inputs)
    own_side = np.where(
        unseen, unseen_classes[unseen_side.argmax(axis=1)], seen_classes[seen_side.argmax(axis=1)]
    )
    zsl = label[unseen], among_unseen[unseen]
    gzsl = metrics.gzsl_summary(label, gzsl_prediction, unseen_classes)
    oracle = metrics.gzsl_summary(label, own_side, unseen_classes)
    curve = seen_unseen_curve(gate.margins(inputs), ~unseen, own_side == label)
    return Evaluation(
        protocol=protocol,
        seed=seed,
        zsl_accuracy=metrics.accuracy(*zsl),
        gzsl_seen_accuracy=gzsl.seen,
        gzsl_unseen_accuracy=gzsl.unseen,
        gzsl_harmonic_mean=gzsl.harmonic,
        zsl_class_averaged=metrics.class_averaged_accuracy(*zsl),
        gzsl_seen_class_averaged=gzsl.seen_class_averaged,
        gzsl_unseen_class_averaged=gzsl.unseen_class_averaged,
        gzsl_harmonic_class_averaged=gzsl.harmonic_class_averaged,
        oracle_harmonic_mean=oracle.harmonic,
        ausuc=curve.area,
        curve=curve.thinned(),
        roc=roc(p_d, ~unseen).thinned(),
        zsl_per_class=metrics.per_class_accuracy(*zsl),
        gzsl_per_class=metrics.per_class_accuracy(label, gzsl_prediction),
        counts={**counts, "test_seen": int((~unseen).sum()), "test_unseen": int(unseen.sum())},
        gate=gate.description(),
        selection=selection,
        history=history,
        rows=TestRows(
            label=label,
            sample_id=tested.sample_id,
            zsl_prediction=np.where(unseen, among_unseen, -1),
            gzsl_prediction=gzsl_prediction,
            p_seen=p_d,
            latents=tested.latents,
        ),
    )
