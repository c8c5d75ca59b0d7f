"""Metrics of zero-shot and generalized zero-shot recognition: the functions and their table.

``METRICS`` is the one place that names them: validation, evaluation, result records, the
report's tables and the objectives of a search are made from it. Every value is a fraction
of 1, and everything here is a pure function of numpy arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from zskel.data.common.errors import BadInput
from zskel.zsl.curves import ROC, SeenUnseenCurve, roc, seen_unseen_curve

Pair = tuple[np.ndarray, np.ndarray]
"""Labels and predictions of the same clips."""

Values = dict[str, "float | None"]
"""Values by the names of ``METRICS``; None where one does not exist."""


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


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a fitted method and its gate say of the clips that they are tried on.

    All that metrics may look at. Arrays without another shape are ``[N]``, one entry a clip.

    Attributes:
        label: Class ids; clips of seen and of unseen classes must both be among them.
        sample_id: As in the cache.
        seen_classes, unseen_classes: ``[S]`` and ``[U]`` class ids.
        zsl_prediction: Class id among the unseen ones; -1 for clips of seen
            classes, which the ZSL setting does not ask about.
        gzsl_prediction: Class id among all classes.
        oracle_prediction: The same, if the gate were never wrong.
        margin: How far the clip is from changing sides; see ``Gate.margins``.
        p_seen: The gate's p_d.
        p_u: ``[N, U]`` probabilities of the unseen classes, if they are kept.

    Raises:
        BadInput: Lengths differ, or one kind of clips is missing.
    """

    label: np.ndarray
    sample_id: np.ndarray
    seen_classes: np.ndarray
    unseen_classes: np.ndarray
    zsl_prediction: np.ndarray
    gzsl_prediction: np.ndarray
    oracle_prediction: np.ndarray
    margin: np.ndarray
    p_seen: np.ndarray
    p_u: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in _BY_CLIP:
            _check(self.label, getattr(self, name))
        if self.is_seen.all() or not self.is_seen.any():
            raise BadInput("GZSL needs test rows of seen and of unseen classes; there are "
                           f"{int(self.is_seen.sum())} and {int((~self.is_seen).sum())}")

    @staticmethod
    def joined(parts: Sequence[Predictions]) -> Predictions:
        """Those of several sets of clips, with the same classes, as one; without p_u."""
        return replace(parts[0], p_u=None, **{
            name: np.concatenate([getattr(part, name) for part in parts]) for name in _BY_CLIP})

    @cached_property
    def is_seen(self) -> np.ndarray:
        """``[N]`` whether the clip's class is seen."""
        return ~np.isin(self.label, self.unseen_classes)

    @property
    def zsl(self) -> Pair:
        """Clips of unseen classes, decided among those."""
        return self._of(self.zsl_prediction, ~self.is_seen)

    @property
    def gzsl_seen(self) -> Pair:
        """Clips of seen classes, decided among all classes."""
        return self._of(self.gzsl_prediction, self.is_seen)

    @property
    def gzsl_unseen(self) -> Pair:
        """Clips of unseen classes, decided among all classes."""
        return self._of(self.gzsl_prediction, ~self.is_seen)

    @property
    def oracle_seen(self) -> Pair:
        """Clips of seen classes, decided among those."""
        return self._of(self.oracle_prediction, self.is_seen)

    @property
    def oracle_unseen(self) -> Pair:
        """Clips of unseen classes, decided by the gate's own side for them."""
        return self._of(self.oracle_prediction, ~self.is_seen)

    @cached_property
    def curve(self) -> SeenUnseenCurve:
        """Seen and unseen accuracy at every bias."""
        return seen_unseen_curve(self.margin, self.is_seen, self.oracle_prediction == self.label)

    @cached_property
    def roc(self) -> ROC:
        """Of p_d: the decision for "seen"."""
        return roc(self.p_seen, self.is_seen)

    def _of(self, prediction: np.ndarray, rows: np.ndarray) -> Pair:
        return self.label[rows], prediction[rows]


_BY_CLIP = ("label", "sample_id", "zsl_prediction", "gzsl_prediction", "oracle_prediction",
            "margin", "p_seen")


@dataclass(frozen=True)
class Metric:
    """One number that tells how good a method with its gate is.

    Attributes:
        name: Its key in records, CSV files and configs.
        label: What people read where it stands alone.
        group: Heading over its columns.
        function: From predictions to a fraction of 1, or None where it does not exist.
        higher_is_better: Its direction.
        heading: Of its column below ``group``; the label if left out.
        tables: The report's tables that it stands in: "results" (the headline, the
            runs and the sensitivity to weights), "class_averaged" and "gates".
    """

    name: str
    label: str
    group: str
    function: Callable[[Predictions], float | None]
    higher_is_better: bool = True
    heading: str = ""
    tables: tuple[str, ...] = ("results",)

    def worse(self, value: float) -> float:
        """A key that sorts values from the best to the worst."""
        return -value if self.higher_is_better else value

    @property
    def column(self) -> str:
        """Heading below ``group``."""
        return self.heading or self.label

    @property
    def short(self) -> str:
        """Heading without ``group``: that of a plain accuracy is the group's name.

        >>> METRICS["zsl_accuracy"].short, METRICS["gzsl_seen_accuracy"].short
        ('ZSL', 'Seen')
        """
        return self.group if self.column == "Accuracy" else self.column


def _metrics() -> list[Metric]:
    both, averaged = ("results", "gates"), ("class_averaged",)
    plain, by_class = accuracy, class_averaged_accuracy
    return [
        Metric("zsl_accuracy", "ZSL accuracy", "ZSL",
               lambda p: plain(*p.zsl), heading="Accuracy"),
        Metric("gzsl_seen_accuracy", "GZSL seen", "GZSL",
               lambda p: plain(*p.gzsl_seen), heading="Seen", tables=both),
        Metric("gzsl_unseen_accuracy", "GZSL unseen", "GZSL",
               lambda p: plain(*p.gzsl_unseen), heading="Unseen", tables=both),
        Metric("gzsl_harmonic_mean", "GZSL harmonic mean", "GZSL",
               lambda p: harmonic_mean(plain(*p.gzsl_seen), plain(*p.gzsl_unseen)),
               heading="H", tables=both),
        Metric("zsl_accuracy_class_averaged", "ZSL accuracy over classes", "ZSL",
               lambda p: by_class(*p.zsl), heading="Accuracy", tables=averaged),
        Metric("gzsl_seen_accuracy_class_averaged", "GZSL seen over classes", "GZSL",
               lambda p: by_class(*p.gzsl_seen), heading="Seen", tables=averaged),
        Metric("gzsl_unseen_accuracy_class_averaged", "GZSL unseen over classes", "GZSL",
               lambda p: by_class(*p.gzsl_unseen), heading="Unseen", tables=averaged),
        Metric("gzsl_harmonic_mean_class_averaged", "GZSL harmonic mean over classes", "GZSL",
               lambda p: harmonic_mean(by_class(*p.gzsl_seen), by_class(*p.gzsl_unseen)),
               heading="H", tables=averaged),
        Metric("gzsl_oracle_harmonic_mean", "H, oracle gate", "Oracle gate",
               lambda p: harmonic_mean(plain(*p.oracle_seen), plain(*p.oracle_unseen)),
               heading="H", tables=("class_averaged", "gates")),
        Metric("gzsl_ausuc", "AUSUC", "Any operating point",
               lambda p: p.curve.area, tables=("gates",)),
        Metric("domain_auc", "ROC area of the gate", "Any operating point",
               lambda p: p.roc.area, heading="ROC area", tables=("gates",)),
    ]


#: Every metric by name, in the order in which tables show them.
METRICS: dict[str, Metric] = {metric.name: metric for metric in _metrics()}

#: Of these, what figures and paired comparisons are made.
MAIN = ("zsl_accuracy", "gzsl_harmonic_mean")


def measure(predictions: Predictions) -> Values:
    """Every metric of these predictions."""
    return {name: metric.function(predictions) for name, metric in METRICS.items()}


def mean_values(found: Sequence[Mapping[str, float | None]]) -> Values:
    """Of several seeds, metric by metric; None where one seed has no such value.

    Raises:
        BadInput: There are none.

    >>> mean_values([{"gzsl_ausuc": 0.25}, {"gzsl_ausuc": 0.75}])
    {'gzsl_ausuc': 0.5}
    """
    if not found:
        raise BadInput("mean of no values")
    means: Values = {}
    for name in found[0]:
        values = [value for each in found if (value := each[name]) is not None]
        means[name] = float(np.mean(values)) if len(values) == len(found) else None
    return means


def _check(label: np.ndarray, prediction: np.ndarray) -> None:
    if len(label) == 0 or np.shape(label) != np.shape(prediction):
        raise BadInput(f"labels {list(np.shape(label))} and predictions "
                       f"{list(np.shape(prediction))} must be as many, and not none")
