"""Fits a method in both phases, teaches gates on one, and tests on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zskel.data.caches import CALIBRATION, TEST, TRAIN, SkeletonFeatures
from zskel.zsl.cache_checks import Caches, Extra, input_of
from zskel.zsl.fitted import Fitted
from zskel.zsl.gates.base import DESCRIPTORS, Gate, GateInput, checked_p_d, mix
from zskel.zsl.methods.base import Latents, Progress, State, ZeroShotMethod
from zskel.zsl.metrics import Predictions, Values, accuracy, measure
from zskel.zsl.phase_models import PhaseModels, fit_method, fit_seen_classifier
from zskel.zsl.protocols import STRICT, Protocol, check_honest
from zskel.zsl.refinements.base import Refinement
from zskel.zsl.threads import single_threaded

MethodFactory = Callable[[int], ZeroShotMethod]
"""Makes an unfitted method from a seed."""

GateFactory = Callable[[int], Gate]
"""Makes an unfitted gate from a seed."""


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
        selection: What the protocol chose, and on which rows, and its refinement;
            empty where it chose nothing and had none.
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


def evaluate(
    caches: Caches,
    *,
    method: MethodFactory,
    gate: GateFactory,
    protocol: Protocol = STRICT,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Fits a method and a gate and evaluates them on the test rows.

    Args:
        caches: Features of both phases and of the texts.
        method: Called once a phase with the seed, returns an unfitted method.
        gate: Called once with the seed, returns an unfitted gate.
        protocol: What C_s is, and which epoch counts.
        seed: Handed to ``method`` and ``gate``.
        on_progress: Told the method's training steps, over both phases.

    Raises:
        BadCache: A feature view has other rows than the features.
        BadInput: The method or the gate cannot work with the caches.
    """
    return evaluate_gates(caches, method=method, gates={"": gate}, protocol=protocol, seed=seed,
                          on_progress=on_progress)[""]


@single_threaded()
def evaluate_gates(
    caches: Caches,
    *,
    method: MethodFactory,
    gates: Mapping[str, GateFactory],
    protocol: Protocol = STRICT,
    seed: int = 0,
    on_progress: Progress | None = None,
    on_fitted: Callable[[Fitted], None] | None = None,
) -> dict[str, Evaluation]:
    """:func:`evaluate` with several gates on the same fitted method.

    Args:
        caches, method, protocol, seed, on_progress: See :func:`evaluate`.
        gates: By names of the caller's; the evaluations have the same names.
        on_fitted: Given the models of both phases and the gates, to keep them.

    Raises:
        BadCache, BadInput: See :func:`evaluate`.
    """
    test, calibration = caches.test, caches.calibration
    methods = {CALIBRATION: method(seed), TEST: method(seed)}
    check_honest(methods[TEST], protocol)
    made = {name: make(seed) for name, make in gates.items()}
    refinement = protocol.refinement() if protocol.refinement is not None else None
    needs = frozenset().union(*(gate.needs for gate in made.values()))
    phases = {CALIBRATION: calibration, TEST: test}
    steps = {phase: methods[phase].steps(len(features.rows(TRAIN)))
             for phase, features in phases.items()}
    before, total = {CALIBRATION: 0, TEST: steps[CALIBRATION]}, sum(steps.values())
    selection: dict[str, Any] = {}

    def fitted(phase: str) -> PhaseModels:
        def advance(done: int, _: int) -> None:
            if on_progress is not None:
                on_progress(before[phase] + done, total)

        method, features = methods[phase], phases[phase]
        best = _BestEpoch(method, features, caches.extra) if protocol.best_epoch else None
        fit_method(method, features, caches.text, caches.extra,
                   on_progress=advance, on_epoch=best)
        if best is not None:
            selection[phase] = best.restore()
        method.fit_unseen_classifier(features.unseen_classes)
        c_s = fit_seen_classifier(method, features, protocol.seen_from, caches.extra)
        return PhaseModels(method, features, caches.text, protocol.seen_from, c_s, caches.extra)

    models = calibrated = fitted(CALIBRATION)
    rows = calibration.rows(CALIBRATION)
    is_seen = np.isin(calibration.label[rows], calibration.seen_classes)
    inputs, columns = models.inputs(rows, needs), models.columns(rows)
    for gate in made.values():
        gate.fit(inputs, is_seen, columns)

    models = fitted(TEST)
    if on_fitted is not None:
        on_fitted(Fitted({CALIBRATION: calibrated, TEST: models}, made, seed))
    rows = test.rows(TEST)
    if refinement is not None:
        needs |= refinement.needs | ({DESCRIPTORS} if refinement.feature_views else set())
    inputs, latents = models.inputs(rows, needs), models.transform(rows)
    of_seen = np.isin(test.label[rows], models.seen_classes)
    counts = {
        "train": len(test.rows(TRAIN)),
        "test_seen": int(of_seen.sum()), "test_unseen": int((~of_seen).sum()),
        "calibration_train": len(calibration.rows(TRAIN)),
        "calibration_seen": int(is_seen.sum()), "calibration_unseen": int((~is_seen).sum()),
    }
    history = {phase: method.history for phase, method in methods.items()}
    evaluations = {}
    for name, gate in made.items():
        predictions = predict(models, gate, rows, inputs, refinement)
        if refinement is not None:
            selection["refinement"] = refinement.description()
        evaluations[name] = Evaluation(
            protocol.name, seed, measure(predictions), predictions, latents, counts,
            gate.description(), selection, history)
    return evaluations


class _BestEpoch:
    """Watches a fit and keeps the state of the best epoch, the first of equally good ones."""

    def __init__(
        self, method: ZeroShotMethod, features: SkeletonFeatures, extra: Extra
    ) -> None:
        rows = features.rows(features.phase)
        self._rows = rows[np.isin(features.label[rows], features.unseen_classes)]
        self._method, self._features, self._extra = method, features, extra
        self._state: State | None = None
        self._chosen: dict[str, Any] = {"zsl_accuracy": -1.0}

    def __call__(self, epoch: int) -> None:
        accuracy = zsl_accuracy_so_far(
            self._method, self._features, self._rows, self._extra)
        if accuracy > self._chosen["zsl_accuracy"]:
            self._state = self._method.state()
            self._chosen = {"epoch": epoch, "zsl_accuracy": accuracy, "rows": len(self._rows)}

    def restore(self) -> dict[str, Any]:
        """Takes the method back to that epoch; tells which and how good it was."""
        assert self._state is not None, "fit ended without an epoch"
        history = self._method.history
        self._method.restore(self._state)
        self._method.history = history  # That of all epochs, not only up to the best.
        return self._chosen


def predict(
    models: PhaseModels, gate: Gate, rows: np.ndarray, inputs: GateInput,
    refinement: Refinement | None = None,
) -> Predictions:
    """What a phase's models and a gate on top of them say of some clips.

    Args:
        models: With C_u and C_s.
        gate: Fitted.
        rows: Of the models' features.
        inputs: Of these rows, as ``models.inputs`` gives them.
        refinement: Refines p_u of all clips of unseen classes together, and of all that
            the gate takes for such.
    """
    seen_classes, unseen_classes = models.seen_classes, models.unseen_classes
    label = models.features.label[rows]
    unseen = np.isin(label, unseen_classes)
    seen_side, unseen_side = gate.sides(inputs)
    p_seen = checked_p_d(gate, inputs)
    margin, probabilities = gate.margins(inputs), gate.probabilities(inputs)
    p_u = inputs.unseen_proba
    if refinement is not None:
        said_unseen = margin <= 0
        both = [seen_side, _refined(refinement, inputs, unseen_side, said_unseen)]
        probabilities = mix((~said_unseen).astype(float), *both)
        p_u, unseen_side = (
            _refined(refinement, inputs, side, unseen) for side in (p_u, unseen_side))
    return Predictions(
        label=label,
        sample_id=models.features.sample_id[rows],
        seen_classes=seen_classes,
        unseen_classes=unseen_classes,
        zsl_prediction=np.where(
            unseen, unseen_classes[p_u.argmax(axis=1)], -1),
        gzsl_prediction=np.concatenate([seen_classes, unseen_classes])[
            probabilities.argmax(axis=1)],
        oracle_prediction=np.where(
            unseen, unseen_classes[unseen_side.argmax(axis=1)],
            seen_classes[seen_side.argmax(axis=1)]),
        margin=margin,
        p_seen=p_seen,
        p_u=np.asarray(p_u, np.float32),
    )


def _refined(
    refinement: Refinement, inputs: GateInput, p_u: np.ndarray, pool: np.ndarray
) -> np.ndarray:
    if not pool.any():
        return p_u
    p_u = p_u.copy()
    p_u[pool] = refinement.refine(replace(inputs, unseen_proba=p_u).take(pool))
    return p_u


def zsl_accuracy_so_far(
    method: ZeroShotMethod, features: SkeletonFeatures, rows: np.ndarray, extra: Extra
) -> float:
    """ZSL accuracy in the middle of a fit: C_u alone, fitted for it.

    Args:
        method: While it is fitted.
        features: Of the phase.
        rows: Of its unseen classes.
        extra: See ``zskel.zsl.cache_checks.Extra``.
    """
    method.fit_unseen_classifier(features.unseen_classes)
    taken = input_of(method, extra, features)[rows]
    p_u = method.proba_knowing(taken, features.label[rows]) if method.looks_at_labels \
        else method.predict_proba(taken)
    return accuracy(features.label[rows], method.unseen_classes[p_u.argmax(axis=1)])
