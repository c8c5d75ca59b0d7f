"""C_d on how familiar f_x itself looks, and how well it agrees with seen classes' text."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.linalg import cholesky, solve, solve_triangular
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from zskel.data.common.errors import BadInput
from zskel.data.common.linear import fit_linear
from zskel.zsl.gates.base import (
    F_X,
    F_Y,
    REFERENCE,
    Gate,
    GateInput,
    Reference,
    check_calibration_rows,
)
from zskel.zsl.linear import linear_arrays, linear_model, unit_or_zero
from zskel.zsl.methods.base import State

NAMES = ("familiarity", "text_agreement")


class FamiliarityGate(Gate):
    """Logistic regression on two quantities of f_x, each relative to its own phase.

    Sorted probabilities, the input of the paper's C_d, forget where a clip lies:
    a softmax is as sure far away from all training clips as among them. This
    gate looks at f_x, scaled to unit length:

    - *familiarity*: the relative Mahalanobis distance (Ren et al., 2021), that
      is, the squared distance to the nearest seen class under the covariance
      within classes, less that to the mean of all training clips under their
      covariance, negated;
    - *text agreement*: a ridge regression from f_x to the text features; the
      cosine of its prediction with the best seen class's text less that with
      the best unseen class's, both after subtracting the mean text of the seen
      classes.

    Both depend on how many clips, subjects and classes a phase trains on. So
    each is expressed in units of what the phase's own training clips get when
    their subject is left out: less the median, divided by half the distance
    between the 16th and the 84th percentile. That scale is the same in both
    phases, which the raw quantities' is not. The decision is eq. 11 and 12.

    It was designed on clips of training subjects only, see ``docs/gates.md``.

    Args:
        inverse_penalty: scikit-learn's ``C``. Small, because calibration rows
            show few unseen classes and two coefficients fit them too well.
        shrinkage: Weight of a multiple of the identity in both covariances.
        ridge: Penalty per training clip, where the centred features have a
            mean squared norm of 1.
        folds: Most parts into which subjects are divided for leaving out.
        seed: Accepted as every gate's, and not used.
    """

    name: ClassVar[str] = "familiarity"
    needs: ClassVar[frozenset[str]] = frozenset({F_X, F_Y, REFERENCE})

    def __init__(
        self,
        inverse_penalty: float = 0.03,
        shrinkage: float = 0.5,
        ridge: float = 1e-3,
        folds: int = 10,
        seed: int = 0,
    ) -> None:
        if not inverse_penalty > 0 or not 0 < shrinkage <= 1 or not ridge > 0 or folds < 2:
            raise BadInput(
                f"inverse_penalty {inverse_penalty}, shrinkage {shrinkage}, ridge {ridge}, folds "
                f"{folds}: expected more than 0, up to 1, more than 0, at least 2")
        self.inverse_penalty, self.shrinkage, self.ridge = inverse_penalty, shrinkage, ridge
        self.folds, self.seed = folds, seed

    def fit(
        self, inputs: GateInput, is_seen: np.ndarray, columns: np.ndarray | None = None
    ) -> FamiliarityGate:
        """Fits two coefficients and an intercept. See :meth:`Gate.fit`."""
        is_seen = check_calibration_rows(inputs, is_seen, self.name)
        values = self.features(inputs)
        self._mean, self._std = values.mean(axis=0), values.std(axis=0)
        self._std[self._std == 0] = 1.0
        self._model = LogisticRegression(C=self.inverse_penalty, class_weight="balanced")
        fit_linear(self._model, (values - self._mean) / self._std, is_seen, f"gate {self.name}")
        self._rows = int(is_seen.sum()), int((~is_seen).sum())
        self._asked: GateInput | None = None
        return self

    def predict_proba(self, inputs: GateInput) -> np.ndarray:
        """p_d ``[N]`` of eq. 11.

        Raises:
            BadInput: Not fitted, or the input lacks something.
        """
        if not hasattr(self, "_model"):
            raise BadInput(f"gate {self.name}: call fit before predict_proba")
        # Evaluations ask several times about the same rows.
        if self._asked is not inputs:
            values = (self.features(inputs) - self._mean) / self._std
            self._answer = self._model.predict_proba(values)[:, 1]
            self._asked = inputs
        return self._answer

    def state(self) -> State:
        """See :meth:`Gate.state`."""
        return State(
            {**linear_arrays(self._model), "mean": self._mean, "std": self._std},
            {"rows": list(self._rows)},
        )

    def restore(self, state: State) -> None:
        """See :meth:`Gate.restore`."""
        self._model, self._rows = linear_model(state.arrays), tuple(state.values["rows"])
        self._mean, self._std = (state.arrays[name].copy() for name in ("mean", "std"))
        self._asked = None

    def features(self, inputs: GateInput) -> np.ndarray:
        """Familiarity and text agreement ``[N, 2]`` in units of the phase's training clips."""
        inputs.require(self.needs, self.name)
        reference, f_x, f_y = inputs.reference, inputs.f_x, inputs.f_y
        assert reference is not None and f_x is not None and f_y is not None
        known, seen = unit_or_zero(reference.f_x), inputs.seen_logits.shape[1]
        left_out = np.empty((len(known), 2))
        for rest, part in self._divisions(reference):
            left_out[part] = self._scores(
                known[rest], reference.columns[rest], known[part], f_y, seen
            )
        low, middle, high = np.percentile(left_out, [16, 50, 84], axis=0)
        spread = (high - low) / 2
        spread[spread == 0] = 1.0
        scores = self._scores(known, reference.columns, unit_or_zero(f_x), f_y, seen)
        return (scores - middle) / spread

    def description(self) -> dict[str, Any]:
        """Coefficients on standardized features, their mean and scale, and counts."""
        return {
            "name": self.name,
            "features": list(NAMES),
            "coefficients": self._model.coef_[0].tolist(),
            "intercept": float(self._model.intercept_[0]),
            "mean": self._mean.tolist(),
            "scale": self._std.tolist(),
            "seen_rows": self._rows[0],
            "unseen_rows": self._rows[1],
        }

    def _divisions(self, reference: Reference) -> list[tuple[np.ndarray, np.ndarray]]:
        groups = reference.groups
        if len(np.unique(groups)) < 2:  # Nobody knows the subjects: clip by clip.
            groups = np.arange(len(groups))
        folds = GroupKFold(min(self.folds, len(np.unique(groups))))
        return list(folds.split(groups, groups=groups))

    def _scores(
        self, known: np.ndarray, columns: np.ndarray, f: np.ndarray, f_y: np.ndarray, seen: int
    ) -> np.ndarray:
        return np.stack([
            -relative_mahalanobis(known, columns, f, self.shrinkage),
            text_agreement(known, columns, f, f_y, seen, self.ridge),
        ], axis=1)


def relative_mahalanobis(
    known: np.ndarray, columns: np.ndarray, f: np.ndarray, shrinkage: float
) -> np.ndarray:
    """Squared distance to the nearest class less that to all classes together, ``[N]``.

    Args:
        known: ``[M, D]`` training features, ``columns`` ``[M]`` their classes.
        f: ``[N, D]``.
        shrinkage: Of both covariances, towards a multiple of the identity with
            the same trace.

    >>> known = np.array([[0.0, 1.0], [0.0, -1.0], [9.0, 1.0], [9.0, -1.0]])
    >>> f = np.array([[9.0, 0.0], [4.5, 0.0]])
    >>> relative_mahalanobis(known, np.array([0, 0, 1, 1]), f, shrinkage=1.0).round(2)
    array([-1.91, 40.5 ])
    """
    _, place = np.unique(columns, return_inverse=True)
    counts = np.bincount(place)
    means = np.zeros((len(counts), known.shape[1]))
    np.add.at(means, place, known)
    means /= counts[:, None]
    within = _whitener(known - means[place], shrinkage)
    rows, centres = within(f), within(means)
    squared = (
        (rows**2).sum(axis=1)[:, None] - 2 * rows @ centres.T + (centres**2).sum(axis=1)[None]
    )
    middle = known.mean(axis=0)
    overall = _whitener(known - middle, shrinkage)(f - middle)
    return squared.min(axis=1) - (overall**2).sum(axis=1)


def text_agreement(
    known: np.ndarray, columns: np.ndarray, f: np.ndarray, f_y: np.ndarray, seen: int, ridge: float
) -> np.ndarray:
    """Best cosine with a seen class's text less the best with an unseen one's, ``[N]``.

    Args:
        known: ``[M, D]`` training features, ``columns`` ``[M]`` their rows of f_y.
        f: ``[N, D]``.
        f_y: ``[C, Dt]`` text features, seen classes first.
        seen: How many those are.
        ridge: See :class:`FamiliarityGate`.
    """
    text = unit_or_zero(f_y)
    text = text - text[:seen].mean(axis=0)
    middle = known.mean(axis=0)
    scale = np.sqrt(np.mean(np.sum((known - middle) ** 2, axis=1))) or 1.0
    a = (known - middle) / scale
    gram = a.T @ a + ridge * len(a) * np.eye(a.shape[1])
    weights = solve(gram, a.T @ text[columns], assume_a="pos")
    cosine = unit_or_zero((f - middle) / scale @ weights) @ unit_or_zero(text).T
    return cosine[:, :seen].max(axis=1) - cosine[:, seen:].max(axis=1)


def _whitener(centred: np.ndarray, shrinkage: float) -> Any:
    covariance = centred.T @ centred / len(centred)
    variance = float(np.trace(covariance)) / len(covariance) or 1.0
    factor = cholesky(
        (1 - shrinkage) * covariance + shrinkage * variance * np.eye(len(covariance)), lower=True
    )
    return lambda f: solve_triangular(factor, f.T, lower=True).T
