"""What all protocols share: fit two phases, teach gates on one, test on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np

from zskel.data.caches import CALIBRATION, TEST, TRAIN, SkeletonFeatures
from zskel.data.common.errors import BadInput
from zskel.zsl.cache_checks import Extra, Text, check_caches
from zskel.zsl.evaluation import Evaluation, predict, zsl_accuracy_so_far
from zskel.zsl.fitted import Fitted
from zskel.zsl.gates.base import Gate
from zskel.zsl.methods.base import Progress, State, ZeroShotMethod
from zskel.zsl.metrics import measure
from zskel.zsl.phase_models import PhaseModels, SeenFrom, fit_method, fit_seen_classifier
from zskel.zsl.threads import single_threaded

MethodFactory = Callable[[int], ZeroShotMethod]
GateFactory = Callable[[int], Gate]

FittedHook = Callable[[Fitted], None]
"""Given all that was fitted, to keep it."""


@single_threaded()
def run_phases(
    test: SkeletonFeatures,
    calibration: SkeletonFeatures,
    text: Text,
    *,
    protocol: str,
    method: MethodFactory,
    gates: Mapping[str, GateFactory],
    seed: int,
    seen_from: SeenFrom,
    best_epoch: bool,
    extra: Extra,
    on_progress: Progress | None,
    on_fitted: FittedHook | None = None,
) -> dict[str, Evaluation]:
    """Fits a method in both phases once and evaluates each gate on top of it.

    Args:
        test, calibration, text, method, seed, extra, on_progress: See
            ``zskel.zsl.protocols.strict``.
        on_fitted: See ``zskel.zsl.protocols.strict_many``.
        protocol: Name that the evaluations carry.
        gates: Makers of unfitted gates, by names of the caller's.
        seen_from: What C_s is.
        best_epoch: Keeps the epoch with the highest accuracy on the phase's
            held-out rows of unseen classes. In the test phase these are the
            test rows: a choice on test data.

    Returns:
        One evaluation for each of ``gates``.

    Raises:
        BadCache: The caches do not belong together.
        BadInput: The method or a gate cannot work with them.
    """
    if seen_from not in get_args(SeenFrom):
        raise BadInput(f"seen_from is {seen_from!r}, "
                       f"expected one of {', '.join(get_args(SeenFrom))}")
    check_caches(test, calibration, text)
    methods = {CALIBRATION: method(seed), TEST: method(seed)}
    made = {name: make(seed) for name, make in gates.items()}
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
        best = _BestEpoch(method, features) if best_epoch else None
        fit_method(method, features, text, extra, on_progress=advance, on_epoch=best)
        if best is not None:
            selection[phase] = best.restore()
        method.fit_unseen_classifier(features.unseen_classes)
        c_s = fit_seen_classifier(method, features, seen_from)
        return PhaseModels(method, features, text, seen_from, c_s)

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
    inputs, latents = models.inputs(rows, needs), models.method.transform(test.f_x[rows])
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
        predictions = predict(models, gate, rows, inputs)
        evaluations[name] = Evaluation(
            protocol, seed, measure(predictions), predictions, latents, counts,
            gate.description(), selection, history)
    return evaluations


class _BestEpoch:
    """Watches a fit and keeps the state of the best epoch, the first of equally good ones."""

    def __init__(self, method: ZeroShotMethod, features: SkeletonFeatures) -> None:
        rows = features.rows(features.phase)
        self._rows = rows[np.isin(features.label[rows], features.unseen_classes)]
        self._method, self._features = method, features
        self._state: State | None = None
        self._chosen: dict[str, Any] = {"zsl_accuracy": -1.0}

    def __call__(self, epoch: int) -> None:
        accuracy = zsl_accuracy_so_far(self._method, self._features, self._rows)
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
