"""What a gate can do at every operating point, not only at the one it chose.

Pure functions of numpy arrays. Nothing here may choose an operating point for a
result: these curves show test rows to whoever reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zskel.data.common.errors import BadInput


@dataclass(frozen=True)
class SeenUnseenCurve:
    """Accuracies while a bias pushes the decision from "all seen" to "all unseen".

    Counts are kept, and each fraction is one division of them: a sum of rounded
    fractions can be a little more than 1.

    Attributes:
        seen_right, unseen_right: Int ``[P]``, rows that are decided rightly. The
            first falls from what C_s gets right alone to 0, the second rises from
            0 to what C_u gets right alone.
        num_seen, num_unseen: Rows of seen and of unseen classes.
    """

    seen_right: np.ndarray
    unseen_right: np.ndarray
    num_seen: int
    num_unseen: int

    @property
    def seen(self) -> np.ndarray:
        """``[P]`` accuracies on rows of seen classes."""
        return self.seen_right / self.num_seen

    @property
    def unseen(self) -> np.ndarray:
        """``[P]`` accuracies on rows of unseen classes."""
        return self.unseen_right / self.num_unseen

    @property
    def area(self) -> float:
        """AUSUC (Chao et al., ECCV 2016): the area under unseen over seen."""
        widths = self.seen_right[:-1] - self.seen_right[1:]
        doubled = int(widths @ (self.unseen_right[1:] + self.unseen_right[:-1]))
        return doubled / (2 * self.num_seen * self.num_unseen)

    @property
    def best_harmonic_mean(self) -> float:
        """The largest H on the curve: what the best bias would give."""
        return float(self.harmonic_means.max())

    @property
    def harmonic_means(self) -> np.ndarray:
        """``[P]`` H at each point."""
        right = self.seen_right * self.num_unseen + self.unseen_right * self.num_seen
        return 2 * self.seen_right * self.unseen_right / np.maximum(right, 1)

    def thinned(self, points: int = 101) -> SeenUnseenCurve:
        """At most so many of its points, evenly spaced, with both ends."""
        keep = _even(len(self.seen), points)
        return replace(self, seen_right=self.seen_right[keep],
                       unseen_right=self.unseen_right[keep])


def seen_unseen_curve(
    margin: np.ndarray, is_seen: np.ndarray, right: np.ndarray
) -> SeenUnseenCurve:
    """The exact curve: one point for each bias at which anything changes.

    A row counts as seen while its margin is larger than the bias. Rows with the
    same margin change sides together.

    Args:
        margin: ``[N]`` best score among seen classes less the best among unseen ones.
        is_seen: ``[N]`` whether the row's class is seen; both kinds must occur.
        right: ``[N]`` whether the best class of the row's own side is its class.

    Raises:
        BadInput: Lengths differ, one kind has no rows, or a margin is NaN.

    >>> curve = seen_unseen_curve(
    ...     np.array([2.0, 1.0, 0.0, -1.0]), np.array([True, False, True, False]),
    ...     np.array([True, True, True, True]))
    >>> curve.seen.tolist(), curve.unseen.tolist()
    ([1.0, 1.0, 0.5, 0.5, 0.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    >>> curve.area, round(curve.best_harmonic_mean, 3)
    (0.75, 0.667)
    """
    margin = np.asarray(margin, float)
    is_seen, right = np.asarray(is_seen, bool), np.asarray(right, bool)
    if not len(margin) == len(is_seen) == len(right) or np.isnan(margin).any():
        raise BadInput(f"margin, is_seen and right have {len(margin)}, {len(is_seen)} and "
                       f"{len(right)} rows; they must be as many, without NaN")
    _require_both(is_seen)
    values, place = np.unique(margin, return_inverse=True)
    seen_right, unseen_right = (
        np.bincount(place[side & right], minlength=len(values)) for side in (is_seen, ~is_seen)
    )
    return SeenUnseenCurve(
        seen_right=np.concatenate([np.cumsum(seen_right[::-1])[::-1], [0]]),
        unseen_right=np.concatenate([[0], np.cumsum(unseen_right)]),
        num_seen=int(is_seen.sum()), num_unseen=int((~is_seen).sum()),
    )


def ausuc(margin: np.ndarray, is_seen: np.ndarray, right: np.ndarray) -> float:
    """Area under the :func:`seen_unseen_curve`.

    It is the chance that a random row of a seen and one of an unseen class are
    both right within their side and rightly ordered by their margins.

    >>> ausuc(np.array([1.0, 0.0]), np.array([True, False]), np.array([True, True]))
    1.0
    """
    return seen_unseen_curve(margin, is_seen, right).area


def best_bias(
    margin: np.ndarray, is_seen: np.ndarray, right: np.ndarray
) -> tuple[float, float]:
    """The bias on seen classes with the highest H on these rows, and that H.

    Between two neighbouring margins any bias does the same; the middle is
    taken, and of equally good ones the nearest to 0.

    Args:
        margin, is_seen, right: As for :func:`seen_unseen_curve`; margins finite.

    >>> best_bias(np.array([2.0, 1.0, -1.0]), np.array([True, True, False]), np.ones(3, bool))
    (0.0, 1.0)
    """
    curve = seen_unseen_curve(margin, is_seen, right)
    values = np.unique(margin)
    # The first and the last point are one-sided: H is 0 there.
    between = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    h = curve.harmonic_means
    best = np.flatnonzero(h == h.max())
    choice = best[np.argmin(np.abs(between[best]))]
    return float(between[choice]), float(h[choice])


@dataclass(frozen=True)
class ROC:
    """Of the decision "seen or unseen", seen being the positive.

    Attributes:
        fpr, tpr: ``[P]``, ascending from 0 to 1.
        area: Area under the curve; 0.5 is chance.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    area: float

    def thinned(self, points: int = 101) -> ROC:
        """At most so many of its points, evenly spaced; the area stays that of all."""
        keep = _even(len(self.fpr), points)
        return ROC(self.fpr[keep], self.tpr[keep], self.area)


def roc(p_seen: np.ndarray, is_seen: np.ndarray) -> ROC:
    """ROC of ``[N]`` scores against ``[N]`` booleans.

    Raises:
        BadInput: One of the two kinds has no rows.

    >>> roc(np.array([0.9, 0.8, 0.3]), np.array([True, False, False])).area
    1.0
    """
    from sklearn.metrics import roc_curve

    _require_both(is_seen)
    fpr, tpr, _ = roc_curve(is_seen, p_seen)
    # The chance that a seen row has the larger score; ties count half.
    return ROC(fpr, tpr, ausuc(p_seen, is_seen, np.ones(len(is_seen), bool)))


def _require_both(is_seen: np.ndarray) -> None:
    seen = int(np.sum(is_seen))
    if not 0 < seen < len(is_seen):
        raise BadInput("a curve needs rows of seen and of unseen classes; "
                       f"there are {seen} and {len(is_seen) - seen}")


def _even(count: int, points: int) -> np.ndarray:
    if points < 2:
        raise BadInput(f"points is {points}, expected at least 2")
    return np.unique(np.linspace(0, count - 1, min(count, points)).round().astype(int))
