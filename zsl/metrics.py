"""Accuracies of zero-shot and generalized zero-shot recognition.

Pure functions of numpy arrays; every accuracy is a fraction of 1.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from zskel.data.common.errors import BadInput


def accuracy(label: np.ndarray, prediction: np.ndarray) -> float:
    """Share of rows predicted rightly: what the tables of the field show.

    >>> accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    0.75
    """
    _check(label, prediction)
    return float(np.mean(label == prediction))


def per_class_accuracy(label: np.ndarray, prediction: np.ndarray) -> dict[int, float]:
    """Accuracy of each class that has rows, by class id, ascending.

    >>> per_class_accuracy(np.array([4, 4, 2]), np.array([4, 2, 2]))
    {2: 1.0, 4: 0.5}
    """
    _check(label, prediction)
    classes, columns, counts = np.unique(label, return_inverse=True, return_counts=True)
    hits = np.bincount(columns, weights=label == prediction)
    return {int(c): float(h / n) for c, h, n in zip(classes, hits, counts)}


def class_averaged_accuracy(label: np.ndarray, prediction: np.ndarray) -> float:
    """Mean of the per-class accuracies (Xian et al.): every class counts the same.

    >>> class_averaged_accuracy(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 0, 0]))
    0.5
    """
    return float(np.mean(list(per_class_accuracy(label, prediction).values())))


def confusion_matrix(
    label: np.ndarray, prediction: np.ndarray, classes: Sequence[int]
) -> np.ndarray:
    """Counts ``[C, C]``: rows are labels, columns predictions, in the order of ``classes``.

    Raises:
        BadInput: A label or a prediction is none of ``classes``.

    >>> confusion_matrix(np.array([4, 4, 2]), np.array([4, 2, 2]), [2, 4]).tolist()
    [[1, 0], [1, 1]]
    """
    _check(label, prediction)
    order = np.argsort(classes)
    ascending = np.asarray(classes)[order]
    strange = np.setdiff1d([label, prediction], ascending)
    if len(strange):
        raise BadInput(f"class {strange[0]} occurs but is none of the confusion matrix's classes")
    row, column = (order[np.searchsorted(ascending, values)] for values in (label, prediction))
    count = len(ascending)
    return np.bincount(row * count + column, minlength=count**2).reshape(count, count)


def harmonic_mean(seen: float, unseen: float) -> float:
    """H of seen and unseen accuracy; 0 where both are.

    >>> harmonic_mean(0.5, 0.5), harmonic_mean(1.0, 0.0), harmonic_mean(0.0, 0.0)
    (0.5, 0.0, 0.0)
    """
    return 2 * seen * unseen / (seen + unseen) if seen + unseen > 0 else 0.0


@dataclass(frozen=True)
class GZSLSummary:
    """Accuracy on seen classes, on unseen classes, and their harmonic mean.

    The first three count rows alike, the last three count classes alike.
    """

    seen: float
    unseen: float
    harmonic: float
    seen_class_averaged: float
    unseen_class_averaged: float
    harmonic_class_averaged: float


def gzsl_summary(
    label: np.ndarray, prediction: np.ndarray, unseen_classes: Collection[int]
) -> GZSLSummary:
    """Splits rows by whether their label is unseen, and measures both parts.

    Args:
        label: ``[N]`` class ids, with at least one row of either part.
        prediction: ``[N]`` class ids among all classes.
        unseen_classes: Ids of the unseen classes.

    >>> summary = gzsl_summary(np.array([0, 0, 0, 9]), np.array([0, 0, 9, 9]), [9])
    >>> round(summary.seen, 3), summary.unseen, round(summary.harmonic, 3)
    (0.667, 1.0, 0.8)
    """
    _check(label, prediction)
    unseen = np.isin(label, list(unseen_classes))
    if unseen.all() or not unseen.any():
        raise BadInput("GZSL needs test rows of seen and of unseen classes; "
                       f"there are {int((~unseen).sum())} and {int(unseen.sum())}")
    seen_rows = label[~unseen], prediction[~unseen]
    unseen_rows = label[unseen], prediction[unseen]
    seen, other = accuracy(*seen_rows), accuracy(*unseen_rows)
    seen_c, other_c = class_averaged_accuracy(*seen_rows), class_averaged_accuracy(*unseen_rows)
    return GZSLSummary(
        seen, other, harmonic_mean(seen, other),
        seen_c, other_c, harmonic_mean(seen_c, other_c),
    )


def _check(label: np.ndarray, prediction: np.ndarray) -> None:
    if len(label) == 0 or np.shape(label) != np.shape(prediction):
        raise BadInput(f"labels {list(np.shape(label))} and predictions "
                       f"{list(np.shape(prediction))} must be as many, and not none")
