"""Fitted models applied to labels that were no classes when they were fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zskel.data.caches import CALIBRATION, TEST
from zskel.data.common.errors import BadInput
from zskel.zsl.fitted import Fitted
from zskel.zsl.gates.base import Gate, GateInput, checked_p_d
from zskel.zsl.methods.checks import TextFeatures
from zskel.zsl.phase_models import PhaseModels


@dataclass(frozen=True)
class Labels:
    """What takes the place of the unseen classes.

    Attributes:
        classes: Ids of those that the caches know; none may be a seen class.
        f_y: Text features of the others, ``[M, Dt]`` or by part; None: there
            are none. Their ids follow those of the caches' classes.
    """

    classes: Sequence[int]
    f_y: TextFeatures | None = None

    def __len__(self) -> int:
        return len(self.classes) + _rows(self.f_y)


@dataclass(frozen=True)
class Answers:
    """What the models say of N clips.

    Attributes:
        seen_classes, unseen_classes: Ids of the columns.
        unseen_proba: ``[N, U]`` p_u.
        seen_proba: ``[N, S]`` p_s.
        p_seen: ``[N]`` p_d, None without a gate.
        joint_proba: ``[N, S + U]`` p(y|x) of eq. 11, None without a gate.
    """

    seen_classes: np.ndarray
    unseen_classes: np.ndarray
    unseen_proba: np.ndarray
    seen_proba: np.ndarray
    p_seen: np.ndarray | None = None
    joint_proba: np.ndarray | None = None


def predict_labels(
    models: PhaseModels, gate: Gate | None, f_x: np.ndarray, logits: np.ndarray | None = None,
    views: np.ndarray | None = None,
) -> Answers:
    """Classifies clips among labels, as an evaluation does among classes.

    Args:
        models: Of the test phase, about the labels (:func:`choose_among_labels`).
        gate: Fitted for as many labels.
        f_x: ``[N, D]``.
        logits: ``[N, S]`` of the backbone, where C_s is its last layer.
        views: See ``PhaseModels.inputs_of``.
    """
    needs = gate.needs if gate is not None else ()
    inputs: GateInput = models.inputs_of(f_x, logits, needs, views)
    return Answers(
        models.seen_classes, models.unseen_classes, inputs.unseen_proba, inputs.seen_proba,
        *(() if gate is None else (checked_p_d(gate, inputs), gate.probabilities(inputs))),
    )


def choose_among_labels(models: PhaseModels, labels: Labels) -> PhaseModels:
    """Lets C_u of these models choose among labels; the models are changed.

    C_u stays as it was fitted where the labels are the unseen classes.

    Raises:
        BadInput: A label is a seen class, or its text features do not fit.
    """
    more: Any = [] if labels.f_y is None else models.add_classes(labels.f_y)
    chosen = np.concatenate([np.asarray(labels.classes, np.int64), more])
    models.choose_among(chosen.astype(int).tolist())
    return models


def gate_for(fitted: Fitted, key: str, fresh: Gate, labels: Labels) -> tuple[Gate, str]:
    """The gate for a number of labels, and how it came about.

    A gate knows with how many unseen classes it was fitted. For another number
    it is fitted anew on the calibration clips with so many: for fewer, with
    validation-unseen classes drawn with the seed, and clips of those alone; for
    more, the given labels join the validation-unseen classes as
    answers that are right for no calibration clip.

    Args:
        fitted: The models; where the gate is fitted anew those of the
            calibration phase are changed.
        key: Of the gate.
        fresh: An unfitted gate of the same options.
        labels: The possible answers.

    Raises:
        BadInput: There are too few calibration clips.
    """
    calibration = fitted.phases[CALIBRATION]
    own = np.asarray(calibration.features.unseen_classes)
    if len(labels) == len(own):
        return fitted.gates[key], "as fitted"
    if len(labels) < len(own):
        kept = np.random.default_rng(fitted.seed).choice(own, len(labels), replace=False)
        calibration.choose_among(np.sort(kept).tolist())
        how = f"fitted anew with {len(labels)} of {len(own)} validation-unseen classes"
    else:
        kept = own
        others = _first(labels, len(labels) - len(own), fitted.phases[TEST].seen_classes)
        choose_among_labels(calibration, Labels([*own, *others.classes], others.f_y))
        how = (f"fitted anew with {len(own)} validation-unseen classes and {len(others)} of the "
               "labels beside them")
    rows = calibration.features.rows(CALIBRATION)
    label = calibration.features.label[rows]
    is_seen = np.isin(label, calibration.seen_classes)
    used = is_seen | np.isin(label, kept)
    rows, is_seen = rows[used], is_seen[used]
    fresh.fit(calibration.inputs(rows, fresh.needs), is_seen, calibration.columns(rows))
    return fresh, how


def _first(labels: Labels, count: int, seen: np.ndarray) -> Labels:
    """The first so many labels, those that the caches know before others."""
    known = list(labels.classes)[:count]
    if np.isin(known, seen).any():
        raise BadInput("a label is a seen class")
    rest = count - len(known)
    if rest == 0 or labels.f_y is None:
        return Labels(known)
    if isinstance(labels.f_y, Mapping):
        return Labels(known, {part: f_y[:rest] for part, f_y in labels.f_y.items()})
    return Labels(known, labels.f_y[:rest])


def _rows(f_y: TextFeatures | None) -> int:
    if f_y is None:
        return 0
    return len(next(iter(f_y.values()))) if isinstance(f_y, Mapping) else len(f_y)
