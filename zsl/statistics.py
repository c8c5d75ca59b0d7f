"""How sure a number is: intervals over rows, spread over seeds, paired comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from zskel.data.common.errors import BadInput


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float],
    rows: int,
    *,
    strata: np.ndarray | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap over rows: how much a result hangs on the clips at hand.

    It says nothing of other splits or seeds, whose spread is usually larger.

    Args:
        statistic: Computes the result from row indices ``[rows]``, some of them
            several times.
        rows: How many there are.
        strata: ``[rows]`` groups that keep their sizes, such as whether a row's
            class is seen; H needs that, or one side may be empty.
        level: Of confidence.
        resamples: Draws.
        seed: Of the draws.

    Raises:
        BadInput: No rows, or an impossible level or number of draws.

    >>> hits = np.array([1, 1, 1, 0])
    >>> bootstrap_interval(lambda index: hits[index].mean(), 4)
    Interval(low=0.25, high=1.0)
    """
    if rows < 1 or resamples < 1 or not 0 < level < 1:
        raise BadInput(f"bootstrap of {rows} rows, {resamples} resamples, level {level}: expected "
                       "at least 1, at least 1, and a level between 0 and 1")
    groups = np.zeros(rows) if strata is None else np.asarray(strata)
    if groups.shape != (rows,):
        raise BadInput(f"strata has shape {list(groups.shape)}, expected [{rows}]")
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    generator = np.random.default_rng(seed)
    values = [
        statistic(np.concatenate([generator.choice(m, len(m)) for m in members]))
        for _ in range(resamples)
    ]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


@dataclass(frozen=True)
class MeanStd:
    """Mean and standard deviation over runs.

    Attributes:
        mean: Of the values.
        std: With ``n - 1``; None for one value, whose spread nobody knows.
        n: How many values.
    """

    mean: float
    std: float | None
    n: int


def mean_std(values: Sequence[float]) -> MeanStd:
    """Mean ± standard deviation over seeds or splits.

    Raises:
        BadInput: There are no values.

    >>> mean_std([0.2, 0.4])
    MeanStd(mean=0.30000000000000004, std=0.14142135623730953, n=2)
    """
    array = np.asarray(values, float)
    if not array.size:
        raise BadInput("mean of no values")
    std = float(array.std(ddof=1)) if array.size > 1 else None
    return MeanStd(float(array.mean()), std, array.size)


@dataclass(frozen=True)
class PairedComparison:
    """One method against another on the same splits or seeds.

    Attributes:
        mean_difference: Mean of ours less theirs.
        standard_error: Of that mean.
        interval: Student's t interval of it.
        wins, losses, ties: Pairs in which ours is larger, smaller, the same.
        p_sign: Two-sided exact sign test: how often chance alone gives wins and
            losses at least as uneven; ties left out.
        n: Pairs.
    """

    mean_difference: float
    standard_error: float
    interval: Interval
    wins: int
    losses: int
    ties: int
    p_sign: float
    n: int


def paired_comparison(
    ours: Sequence[float], theirs: Sequence[float], level: float = 0.95
) -> PairedComparison:
    """Compares two methods pair by pair, so that hard splits count against both.

    Pairs must be independent: several seeds of one split are averaged first,
    or all pairs are seeds of the same split and only speak of that one.

    Args:
        ours, theirs: One value a split or seed, in the same order.
        level: Of the t interval.

    Raises:
        BadInput: Lengths differ, or there are fewer than two pairs.

    >>> comparison = paired_comparison([0.3, 0.5, 0.7], [0.2, 0.3, 0.4])
    >>> round(comparison.mean_difference, 3), comparison.wins, comparison.p_sign
    (0.2, 3, 0.25)
    """
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise BadInput(f"a paired comparison needs two lists of the same length of at least 2, "
                       f"got {list(a.shape)} and {list(b.shape)}")
    difference = a - b
    n = len(difference)
    mean, error = float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(n))
    reach = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    p_sign = float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    return PairedComparison(
        mean, error, Interval(mean - reach, mean + reach),
        wins, losses, n - wins - losses, p_sign, n,
    )
