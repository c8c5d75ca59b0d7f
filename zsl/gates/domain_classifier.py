"""C_d as the paper writes it: logistic regression on sorted probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.class_weight import compute_sample_weight

from zskel.data.common.errors import BadInput
from zskel.data.common.linear import fit_linear
from zskel.zsl.gates.base import Gate, GateInput, check_calibration_rows
from zskel.zsl.linear import linear_arrays, linear_model
from zskel.zsl.methods.base import State

TEMPERATURES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)


class DomainClassifier(Gate):
    """C_d (section 3, "Seen, Unseen and Domain Classifier").

    The input is p'_s (+) p_u. p'_s are the k largest entries of
    softmax(logits of C_s / T), k = |unseen classes|. Both parts are sorted in
    descending order: the classes at calibration are not those at test time, so
    that a position must mean a rank and never a class.

    The temperature T is the one with the smallest cross-validated log loss on
    the calibration rows; C_d is then fitted again on all of them. Every fold
    and every T sees the same division of the rows.

    Args:
        temperatures: Candidates; the first of equally good ones is taken.
        folds: Of the stratified cross-validation; fewer where a side has fewer
            rows.
        class_weight: "balanced" gives both sides the same total weight however
            many rows they have, because H weighs them the same (the released
            code drops surplus seen rows to that end); None counts rows.
        inverse_penalty: scikit-learn's ``C``.
        seed: Of the division into folds.

    Attributes:
        temperature: The chosen T; after ``fit``.
        log_losses: Cross-validated log loss of each candidate; after ``fit``.
    """

    name: ClassVar[str] = "domain_classifier"

    def __init__(
        self,
        temperatures: Sequence[float] = TEMPERATURES,
        folds: int = 5,
        class_weight: Literal["balanced"] | None = "balanced",
        inverse_penalty: float = 1.0,
        seed: int = 0,
    ) -> None:
        if folds < 2:
            raise BadInput(f"folds is {folds}, expected at least 2")
        self.temperatures = check_temperatures(temperatures)
        self.folds, self.class_weight = folds, class_weight
        self.inverse_penalty, self.seed = inverse_penalty, seed

    def fit(
        self, inputs: GateInput, is_seen: np.ndarray, columns: np.ndarray | None = None
    ) -> DomainClassifier:
        """Chooses T and fits C_d on calibration rows. See :meth:`Gate.fit`."""
        is_seen = check_calibration_rows(inputs, is_seen, "C_d")
        fewest = int(min(is_seen.sum(), (~is_seen).sum()))
        splitter = StratifiedKFold(min(self.folds, fewest), shuffle=True, random_state=self.seed)
        divisions = list(splitter.split(np.zeros(len(inputs)), is_seen))
        self.log_losses = {
            t: self._validate(gate_features(inputs, t), is_seen, divisions)
            for t in self.temperatures
        }
        self.temperature = min(self.log_losses, key=self.log_losses.__getitem__)
        self._columns = inputs.unseen_proba.shape[1]
        self._model = fit_linear(
            self._new_model(), gate_features(inputs, self.temperature), is_seen, "C_d")
        self._rows = int(is_seen.sum()), int((~is_seen).sum())
        return self

    def predict_proba(self, inputs: GateInput) -> np.ndarray:
        """p_d ``[N]`` of eq. 11.

        Raises:
            BadInput: Not fitted, or another number of unseen classes.
        """
        if not hasattr(self, "_model"):
            raise BadInput("C_d: call fit before predict_proba")
        check_as_many_unseen(inputs, self._columns, "C_d")
        return self._model.predict_proba(gate_features(inputs, self.temperature))[:, 1]

    def description(self) -> dict[str, Any]:
        """Temperature, losses, coefficients (p'_s first) and counts."""
        return {
            "name": self.name,
            "temperature": self.temperature,
            "log_losses": {str(t): loss for t, loss in self.log_losses.items()},
            "class_weight": self.class_weight,
            "coefficients": self._model.coef_[0].tolist(),
            "intercept": float(self._model.intercept_[0]),
            "seen_rows": self._rows[0],
            "unseen_rows": self._rows[1],
        }

    def state(self) -> State:
        """See :meth:`Gate.state`."""
        return State(linear_arrays(self._model), {
            "temperature": self.temperature, "log_losses": list(self.log_losses.items()),
            "columns": self._columns, "rows": list(self._rows),
        })

    def restore(self, state: State) -> None:
        """See :meth:`Gate.restore`."""
        self._model, values = linear_model(state.arrays), state.values
        self.temperature, self.log_losses = values["temperature"], dict(values["log_losses"])
        self._columns, self._rows = values["columns"], tuple(values["rows"])

    def _new_model(self) -> LogisticRegression:
        return LogisticRegression(
            C=self.inverse_penalty, class_weight=self.class_weight, solver="lbfgs", max_iter=10_000
        )

    def _validate(self, features: np.ndarray, is_seen: np.ndarray, divisions: list[Any]) -> float:
        p_d = np.empty(len(features))
        for fit, held_out in divisions:
            model = fit_linear(self._new_model(), features[fit], is_seen[fit], "C_d")
            p_d[held_out] = model.predict_proba(features[held_out])[:, 1]
        weight = compute_sample_weight(self.class_weight, is_seen)
        return float(log_loss(is_seen, p_d, sample_weight=weight))


def check_temperatures(temperatures: Sequence[float]) -> tuple[float, ...]:
    """The temperatures as floats.

    Raises:
        BadInput: There are none, or one is not positive.
    """
    if not temperatures or not all(0 < t < np.inf for t in temperatures):
        raise BadInput(f"temperatures are {list(temperatures)}, expected positive numbers")
    return tuple(float(t) for t in temperatures)


def check_as_many_unseen(inputs: GateInput, fitted: int, gate: str) -> None:
    """Checks that there are as many unseen classes as when a gate was fitted.

    Raises:
        BadInput: There are not.
    """
    found = inputs.unseen_proba.shape[1]
    if found != fitted:
        raise BadInput(f"{gate} was fitted with {fitted} unseen classes and is given {found}")


def gate_features(inputs: GateInput, temperature: float) -> np.ndarray:
    """p'_s (+) p_u, each sorted in descending order, ``[N, 2k]``.

    With fewer seen classes than k the missing ones have probability 0.

    >>> inputs = GateInput(np.log([[1.0, 6.0, 3.0]]), np.array([[0.2, 0.8]]))
    >>> gate_features(inputs, temperature=1.0).round(6)
    array([[0.6, 0.3, 0.8, 0.2]])
    """
    k = inputs.unseen_proba.shape[1]
    p_s = softmax(np.asarray(inputs.seen_logits, np.float64) / temperature, axis=1)
    largest = -np.sort(-p_s, axis=1)[:, :k]
    padded = np.pad(largest, [(0, 0), (0, k - largest.shape[1])])
    return np.concatenate([padded, -np.sort(-inputs.unseen_proba, axis=1)], axis=1)
