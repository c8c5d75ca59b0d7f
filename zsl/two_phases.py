"""What all protocols share: fit two phases, teach gates on one, test on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from zskel.data.caches import CALIBRATION, TEST, TRAIN, SkeletonFeatures
from zskel.zsl import metrics
from zskel.zsl.cache_checks import Extra, Text, check_caches
from zskel.zsl.evaluation import Evaluation, Tested, evaluate
from zskel.zsl.fitted import Fitted
from zskel.zsl.gates.base import Gate
from zskel.zsl.methods.base import Progress, State, ZeroShotMethod
from zskel.zsl.phase_models import PhaseModels, SeenFrom
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

        best = _BestEpoch(methods[phase], phases[phase]) if best_epoch else None
        models = PhaseModels(
            methods[phase], phases[phase], text, extra=extra, seen_from=seen_from,
            on_progress=advance, on_epoch=best,
        )
        if best is not None:
            selection[phase] = best.restore()
        return models.finish()

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
    tested = Tested(
        label=test.label[rows],
        sample_id=test.sample_id[rows],
        inputs=models.inputs(rows, needs),
        seen_classes=models.seen_classes,
        unseen_classes=models.unseen_classes,
        latents=models.method.transform(test.f_x[rows]),
    )
    counts = {
        "calibration_train": len(calibration.rows(TRAIN)),
        "calibration_seen": int(is_seen.sum()),
        "calibration_unseen": int((~is_seen).sum()),
        "train": len(test.rows(TRAIN)),
    }
    history = {phase: method.history for phase, method in methods.items()}
    return {
        name: evaluate(tested, gate, protocol=protocol, seed=seed, counts=counts,
                       selection=selection, history=history)
        for name, gate in made.items()
    }


class _BestEpoch:
    """Watches a fit and keeps the state of the best epoch, the first of equally good ones."""

    def __init__(self, method: ZeroShotMethod, features: SkeletonFeatures) -> None:
        rows = features.rows(features.phase)
        rows = rows[np.isin(features.label[rows], features.unseen_classes)]
        self._method, self._classes = method, features.unseen_classes
        self._f_x, self._label = features.f_x[rows], features.label[rows]
        self._state: State | None = None
        self._chosen: dict[str, Any] = {"zsl_accuracy": -1.0}

    def __call__(self, epoch: int) -> None:
        method = self._method.fit_unseen_classifier(self._classes)
        prediction = method.unseen_classes[method.predict_proba(self._f_x).argmax(axis=1)]
        accuracy = metrics.accuracy(self._label, prediction)
        if accuracy > self._chosen["zsl_accuracy"]:
            self._state = method.state()
            self._chosen = {"epoch": epoch, "zsl_accuracy": accuracy, "rows": len(self._label)}

    def restore(self) -> dict[str, Any]:
        """Takes the method back to that epoch; tells which and how good it was."""
        assert self._state is not None, "fit ended without an epoch"
        history = self._method.history
        self._method.restore(self._state)
        self._method.history = history  # That of all epochs, not only up to the best.
        return self._chosen
