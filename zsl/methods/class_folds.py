"""Left-out seen classes, to choose what a closed form leaves open.

The seen classes are divided into folds. Each fold in turn plays the unseen
classes for a model of the others; the best penalties and the best temperature
of the softmax are those with the smallest log loss on the clips of these folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

Arrays = dict[str, np.ndarray]

# Logarithms of the inverse temperatures looked at, in units of the scores' spread.
_LOG_SCALES = (-4.0, 8.0)


@dataclass(frozen=True)
class Problem:
    """Standardized training data of some seen classes, float64.

    Attributes:
        x: ``[N, D]``, of mean 0 and mean squared norm 1.
        columns: ``[N]`` the class of each row, 0 ... S-1.
        text: ``[S, Dt]`` unit rows.
        width: Of the features; D may be less.
    """

    x: np.ndarray
    columns: np.ndarray
    text: np.ndarray
    width: int


@dataclass(frozen=True)
class Fold:
    """Classes that play the unseen ones.

    Attributes:
        summary: What a method makes of the clips of all other seen classes.
        x: ``[N, D]`` the clips of these classes, centred as those are.
        columns: ``[N]`` the class of each, 0 ... C-1.
        text: ``[C, Dt]`` unit rows.
    """

    summary: Arrays
    x: np.ndarray
    columns: np.ndarray
    text: np.ndarray

    @classmethod
    def of(
        cls, summarize: Callable[[Problem], Arrays], problem: Problem, classes: np.ndarray
    ) -> Fold:
        """Makes one of ``classes``, columns of the problem."""
        rest = np.setdiff1d(np.arange(len(problem.text)), classes)
        rows, clips = (np.isin(problem.columns, side) for side in (rest, classes))
        mean = problem.x[rows].mean(axis=0)
        return cls(
            summarize(Problem(
                problem.x[rows] - mean, np.searchsorted(rest, problem.columns[rows]),
                problem.text[rest], problem.width,
            )),
            problem.x[clips] - mean,
            np.searchsorted(classes, problem.columns[clips]),
            problem.text[classes],
        )


def class_folds(classes: int, folds: int, seed: int) -> Iterator[np.ndarray]:
    """Divides ``range(classes)`` into folds of at least two classes, each ascending.

    None with fewer than four classes: a fold needs two, and so does the rest.

    >>> [fold.tolist() for fold in class_folds(5, folds=5, seed=0)]
    [[2, 3, 4], [0, 1]]
    """
    if classes >= 4:
        order = np.random.default_rng(seed).permutation(classes)
        for fold in np.array_split(order, min(folds, classes // 2)):
            yield np.sort(fold)


def best_temperature(
    held_out: Sequence[tuple[np.ndarray, np.ndarray]], fixed: float | None = None
) -> tuple[float, float]:
    """The temperature with the smallest mean log loss, and that loss.

    Args:
        held_out: Pairs of scores ``[N, C]`` and true columns ``[N]``.
        fixed: Take this one.
    """
    spread = float(np.mean([scores.std(axis=1).mean() for scores, _ in held_out])) or 1.0

    def loss(log_scale: float) -> float:
        temperature = spread / np.exp(log_scale)
        losses = [-log_softmax(scores / temperature, axis=1)[np.arange(len(columns)), columns]
                  for scores, columns in held_out]
        return float(np.concatenate(losses).mean())

    if fixed is not None:
        return fixed, loss(float(np.log(spread / fixed)))
    found = minimize_scalar(loss, bounds=_LOG_SCALES, method="bounded", options={"xatol": 1e-2})
    return float(spread / np.exp(found.x)), float(found.fun)
