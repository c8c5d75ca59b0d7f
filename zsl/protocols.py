"""From feature caches to an evaluation: who may be fitted on which rows.

``strict`` chooses nothing on test data. The method, C_s and C_u are fitted
twice: on the calibration phase, whose validation-unseen classes then teach the
gate what unseen clips look like, and on the test phase, where everything meets
the test rows once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from data.caches import (
    CALIBRATION,
    TEST,
    TRAIN,
    SkeletonFeatures,
    TextFeatures,
    check_same_classes,
    check_skeleton_features,
    check_text_features,
)
from data.errors import BadCache
from zsl import metrics
from zsl.classifiers import SeenClassifier
from zsl.gates.base import Gate, GateInput, decide
from zsl.methods.base import Latents, Progress, ZeroShotMethod
from zsl.threads import single_threaded

MethodFactory = Callable[[int], ZeroShotMethod]
GateFactory = Callable[[int], Gate]


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
        zsl_per_class, gzsl_per_class: Accuracy by class id.
        counts: Rows by use: "train", "test_seen", "test_unseen",
            "calibration_train", "calibration_seen", "calibration_unseen".
        gate: What the gate chose and found.
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
    zsl_per_class: dict[int, float]
    gzsl_per_class: dict[int, float]
    counts: dict[str, int]
    gate: dict[str, Any]
    history: dict[str, dict[str, list[float]]]
    rows: TestRows


@single_threaded()
def strict(
    test: SkeletonFeatures,
    calibration: SkeletonFeatures,
    text: TextFeatures,
    *,
    method: MethodFactory,
    gate: GateFactory,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Fits and evaluates a method without choosing anything on test data.

    Args:
        test: Test-phase features.
        calibration: Calibration-phase features, whose backbone has seen
            neither the validation-unseen classes nor the calibration rows.
        text: Text features of all classes.
        method: Makes an unfitted method from a seed; called once a phase.
        gate: Makes an unfitted gate from a seed.
        seed: Handed to both.
        on_progress: Told the method's training steps, over both phases.

    Raises:
        BadCache: The caches do not belong together.
        BadInput: The method or the gate cannot work with them.
    """
    check_caches(test, calibration, text)
    calibration_train, test_train = calibration.rows(TRAIN), test.rows(TRAIN)
    methods = method(seed), method(seed)
    done = methods[0].steps(len(calibration_train))
    total = done + methods[1].steps(len(test_train))
    advance = on_progress or (lambda done, total: None)

    models = _Models(methods[0], calibration, text, lambda step, _: advance(step, total))
    rows = calibration.rows(CALIBRATION)
    is_seen = np.isin(calibration.label[rows], calibration.seen_classes)
    outputs = models.outputs(calibration.f_x[rows])
    fitted_gate = gate(seed).fit(outputs.gate_input, is_seen)
    history = {CALIBRATION: models.method.history}

    models = _Models(methods[1], test, text, lambda step, _: advance(done + step, total))
    history[TEST] = models.method.history
    counts = {
        "calibration_train": len(calibration_train),
        "calibration_seen": int(is_seen.sum()),
        "calibration_unseen": int((~is_seen).sum()),
        "train": len(test_train),
    }
    return _evaluate(test, models, fitted_gate, seed, counts, history)


def check_caches(
    test: SkeletonFeatures, calibration: SkeletonFeatures, text: TextFeatures
) -> None:
    """Checks that three caches can be used together without a leak.

    Raises:
        BadCache: With the first reason why not, in one line.
    """
    for features, phase in ((test, TEST), (calibration, CALIBRATION)):
        where = f"{phase}-phase skeleton features"
        _require(features.phase == phase,
                 f"{where}: phase is {features.phase!r}; are the files swapped?")
        check_skeleton_features(features, where)
    check_text_features(text, "text features")
    check_same_classes(test, calibration, "calibration-phase skeleton features")
    check_same_classes(test, text, "text features")
    for name in ("dataset", "sample_protocol"):
        ours, theirs = getattr(test, name), getattr(calibration, name)
        _require(ours == theirs,
                 f"{name} is {ours!r} in the test phase and {theirs!r} in calibration")
    names = test.class_names

    test_seen, test_unseen = set(test.seen_classes), set(test.unseen_classes)
    leaked = (set(calibration.seen_classes) | set(calibration.unseen_classes)) - test_seen
    _require(not leaked, lambda: (
        f"calibration-phase skeleton features: class {min(leaked)} ({names[min(leaked)]!r}) "
        "is not a seen class of the test phase"))
    _require(len(calibration.unseen_classes) == len(test_unseen), lambda: (
        f"calibration phase: {len(calibration.unseen_classes)} validation-unseen classes, "
        f"but the test phase has {len(test_unseen)} unseen ones; the gate needs as many"))

    for features, phase in ((test, TEST), (calibration, CALIBRATION)):
        missing = set(features.seen_classes) - set(features.label[features.rows(TRAIN)].tolist())
        _require(not missing, lambda: (
            f"{phase} phase: seen class {min(missing)} ({names[min(missing)]!r}) "
            "has no train rows"))
        label = features.label[features.rows(phase)]
        unseen = np.isin(label, features.unseen_classes)
        _require(unseen.any() and not unseen.all(), lambda: (
            f"{phase} phase: subset {phase!r} has {int((~unseen).sum())} rows of seen and "
            f"{int(unseen.sum())} of unseen classes, both are needed"))
    strange = set(test.label[test.rows(TEST)].tolist()) - test_seen - test_unseen
    _require(not strange, lambda: (
        f"test phase: subset 'test' holds class {min(strange)} ({names[min(strange)]!r}), "
        "which is neither seen nor unseen"))
    shared = set(test.sample_id[test.rows(TEST)].tolist()) & set(calibration.sample_id.tolist())
    _require(not shared, lambda: (
        f"calibration-phase skeleton features: sample {min(shared)!r} is also a test row"))


@dataclass(frozen=True)
class _Outputs:
    seen_proba: np.ndarray
    gate_input: GateInput


class _Models:
    """A method, C_u and C_s fitted on the train rows of one phase."""

    def __init__(
        self,
        method: ZeroShotMethod,
        features: SkeletonFeatures,
        text: TextFeatures,
        on_progress: Progress,
    ) -> None:
        rows = features.rows(TRAIN)
        f_x, label = features.f_x[rows], features.label[rows]
        self.method = method.fit(
            f_x, label, text.f_y, seen_classes=features.seen_classes, on_progress=on_progress
        )
        self.method.fit_unseen_classifier(features.unseen_classes)
        self.seen_classifier = SeenClassifier().fit(f_x, label)

    def outputs(self, f_x: np.ndarray) -> _Outputs:
        logits = self.seen_classifier.logits(f_x)
        return _Outputs(
            seen_proba=softmax(logits, axis=1),
            gate_input=GateInput(logits, self.method.predict_proba(f_x)),
        )


def _evaluate(
    test: SkeletonFeatures,
    models: _Models,
    gate: Gate,
    seed: int,
    counts: dict[str, int],
    history: dict[str, dict[str, list[float]]],
) -> Evaluation:
    rows = test.rows(TEST)
    f_x, label = test.f_x[rows], test.label[rows]
    seen_classes, unseen_classes = models.seen_classifier.classes, models.method.unseen_classes
    outputs = models.outputs(f_x)
    p_s, p_u = outputs.seen_proba, outputs.gate_input.unseen_proba
    p_d = gate.predict_proba(outputs.gate_input)
    unseen = np.isin(label, unseen_classes)

    among_unseen = unseen_classes[p_u.argmax(axis=1)]
    gzsl_prediction = decide(p_d, p_s, p_u, seen_classes, unseen_classes)
    oracle_prediction = np.where(unseen, among_unseen, seen_classes[p_s.argmax(axis=1)])
    zsl = label[unseen], among_unseen[unseen]
    gzsl = metrics.gzsl_summary(label, gzsl_prediction, unseen_classes)
    oracle = metrics.gzsl_summary(label, oracle_prediction, unseen_classes)
    return Evaluation(
        protocol="strict",
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
        zsl_per_class=metrics.per_class_accuracy(*zsl),
        gzsl_per_class=metrics.per_class_accuracy(label, gzsl_prediction),
        counts={**counts, "test_seen": int((~unseen).sum()), "test_unseen": int(unseen.sum())},
        gate=gate.description(),
        history=history,
        rows=TestRows(
            label=label,
            sample_id=test.sample_id[rows],
            zsl_prediction=np.where(unseen, among_unseen, -1),
            gzsl_prediction=gzsl_prediction,
            p_seen=p_d,
            latents=models.method.transform(f_x),
        ),
    )


def _require(condition: bool, problem: Any) -> None:
    if not condition:
        raise BadCache(problem() if callable(problem) else problem)
