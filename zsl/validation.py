"""How good a setting is, told by calibration clips alone: what a search may look at.

The calibration phase imitates the test phase inside the training clips. A method is
fitted on its train rows and C_u on its validation-unseen classes; C_s is that of the
protocol. The gate needs held-out rows of seen and of unseen classes, and so do the
accuracies: it is cross-fitted. The calibration rows are divided into folds, each
holding the same shares of both sides and of every class; a gate that was fitted on
all other folds decides the rows of each. H is over all calibration rows, and no row
is judged by a gate that has seen it.

No test row, nor a cache that holds one, has a part in it.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from zskel.data.caches import CALIBRATION, SkeletonFeatures, check_skeleton_features
from zskel.data.common.errors import BadCache, BadInput
from zskel.zsl.cache_checks import Extra, Text, check_rows, check_texts
from zskel.zsl.classifiers import SeenClassifier
from zskel.zsl.evaluation import (
    GateFactory,
    MethodFactory,
    predict,
    zsl_accuracy_so_far,
)
from zskel.zsl.methods.base import EpochHook, Progress, ZeroShotMethod
from zskel.zsl.metrics import Predictions, Values, measure
from zskel.zsl.phase_models import PhaseModels, fit_method, fit_seen_classifier
from zskel.zsl.protocols import STRICT, SeenFrom, check_honest
from zskel.zsl.threads import single_threaded

FOLDS = 5

_NONE: Extra = MappingProxyType({})


class Validation:
    """Fits methods in the calibration phase and scores them there.

    C_s on f_x or on the backbone's scores does not depend on the method: it is
    fitted once and serves all.

    Args:
        calibration: Calibration-phase features.
        text: Text features of all classes, or those of each part.
        gate: Makes an unfitted gate from a seed.
        seen_from: What C_s is; see ``zskel.zsl.protocols.SeenFrom``.
        extra: Calibration-phase caches of further features, by name.
        folds: Of the cross-fitted gate; fewer where a side has fewer rows.

    Raises:
        BadCache: The caches do not belong together, or lack rows that are needed.
        BadInput: ``folds`` is below 2.
    """

    def __init__(
        self,
        calibration: SkeletonFeatures,
        text: Text,
        *,
        gate: GateFactory,
        seen_from: SeenFrom = "f_x",
        extra: Extra = _NONE,
        folds: int = FOLDS,
    ) -> None:
        if folds < 2:
            raise BadInput(f"folds is {folds}, expected at least 2")
        check_calibration(calibration, text)
        self.features, self.text, self.gate = calibration, text, gate
        self.seen_from, self.extra, self.folds = seen_from, extra, folds
        self.rows = calibration.rows(CALIBRATION)
        self.label = calibration.label[self.rows]
        self.is_seen = np.isin(self.label, calibration.seen_classes)
        self._seen_classifier: SeenClassifier | None = None

    @single_threaded()
    def fit(
        self, method: ZeroShotMethod, *,
        on_progress: Progress | None = None, on_epoch: EpochHook | None = None,
    ) -> None:
        """Fits a method on the train rows.

        Args:
            method: Unfitted.
            on_progress: Told the training steps.
            on_epoch: Told the epoch just done; the method can predict then.

        Raises:
            BadInput: The method cannot work with the features, or a loss is not finite.
        """
        check_honest(method, STRICT)
        fit_method(method, self.features, self.text, self.extra,
                   on_progress=on_progress, on_epoch=on_epoch)

    @single_threaded()
    def score(self, method: ZeroShotMethod, seed: int = 0) -> Values:
        """Fits C_u and the gates of all folds, and measures everything.

        Args:
            method: Fitted by :meth:`fit`.
            seed: Of the gates and of the division into folds.

        Raises:
            BadInput: A side has too few rows, or the gate cannot work with the method.
        """
        features = self.features
        method.fit_unseen_classifier(features.unseen_classes)
        models = PhaseModels(method, features, self.text, self.seen_from, self._c_s(method),
                             self.extra)
        needs = self.gate(seed).needs
        inputs, columns = models.inputs(self.rows, needs), models.columns(self.rows)
        judged = []
        for fold in self._divide(columns, seed):
            rest = np.setdiff1d(np.arange(len(columns)), fold)
            gate = self.gate(seed)
            gate.fit(inputs.take(rest), self.is_seen[rest], columns[rest])
            judged.append(predict(models, gate, self.rows[fold], inputs.take(fold)))
        return measure(Predictions.joined(judged))

    @single_threaded()
    def quick(self, method: ZeroShotMethod) -> float:
        """ZSL accuracy in the middle of a fit: C_u alone, no gate.

        What is fitted for it is forgotten; the fit goes on as if nobody had asked.
        """
        return zsl_accuracy_so_far(
            method, self.features, self.rows[~self.is_seen], self.extra)

    def _c_s(self, method: ZeroShotMethod) -> SeenClassifier | None:
        if self.seen_from != "f_x":
            return fit_seen_classifier(method, self.features, self.seen_from, self.extra)
        if self._seen_classifier is None:
            self._seen_classifier = fit_seen_classifier(
                method, self.features, self.seen_from, self.extra)
        return self._seen_classifier

    def _divide(self, columns: np.ndarray, seed: int) -> list[np.ndarray]:
        """Folds of rows. Each side is dealt out in turn, class by class.

        scikit-learn's refuses classes with fewer clips than folds, and there are such.
        """
        count = min(self.folds, int(self.is_seen.sum()), int((~self.is_seen).sum()))
        if count < 2:
            raise BadInput(
                f"calibration phase: {int(self.is_seen.sum())} rows of seen and "
                f"{int((~self.is_seen).sum())} of unseen classes; a gate that judges no row it "
                "has seen needs at least 2 of each")
        shuffled = np.random.default_rng(seed).permutation(len(columns))
        fold_of = np.empty(len(columns), int)
        for side in (True, False):
            rows = shuffled[self.is_seen[shuffled] == side]
            rows = rows[np.argsort(columns[rows], kind="stable")]
            fold_of[rows] = np.arange(len(rows)) % count
        return [np.flatnonzero(fold_of == fold) for fold in range(count)]


def validate(
    calibration: SkeletonFeatures,
    text: Text,
    *,
    method: MethodFactory,
    gate: GateFactory,
    seed: int = 0,
    seen_from: SeenFrom = "f_x",
    extra: Extra = _NONE,
    folds: int = FOLDS,
) -> Values:
    """Fits one method in the calibration phase and scores it there.

    Args:
        method: Makes an unfitted method from a seed.
        seed: Of the method, the gates and the folds.
        calibration, text, gate, seen_from, extra, folds: See :class:`Validation`.

    Raises:
        BadCache, BadInput: See :class:`Validation`.
    """
    validation = Validation(
        calibration, text, gate=gate, seen_from=seen_from, extra=extra, folds=folds)
    made = method(seed)
    validation.fit(made)
    return validation.score(made, seed)


def check_calibration(calibration: SkeletonFeatures, text: Text) -> None:
    """Checks the caches of the calibration phase without those of the test phase.

    Raises:
        BadCache: With the first reason why they cannot be used, in one line.
    """
    where = "calibration-phase skeleton features"
    if calibration.phase != CALIBRATION:
        raise BadCache(f"{where}: phase is {calibration.phase!r}, expected {CALIBRATION!r}")
    check_skeleton_features(calibration, where)
    check_texts(calibration, text)
    check_rows(calibration, where)


__all__ = ["FOLDS", "Validation", "check_calibration", "validate"]
