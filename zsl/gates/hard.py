"""The released gate: one side or the other, at a threshold searched on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.linear_model import LogisticRegression

from zskel.data.common.errors import BadInput
from zskel.data.common.linear import fit_linear
from zskel.zsl.gates.base import Gate, GateInput, check_calibration_rows, mix
from zskel.zsl.gates.domain_classifier import (
    check_as_many_unseen,
    check_temperatures,
    gate_features,
)
from zskel.zsl.linear import linear_arrays, linear_model
from zskel.zsl.methods.base import State

TEMPERATURES = tuple(float(t) for t in range(1, 10))
THRESHOLDS = tuple(t / 100 for t in range(25, 75))
_HELD_OUT_SHARE, _HELD_OUT_MOST = 6, 300
# The released code's multinomial regression penalizes the weights of both
# classes with C = 1; for their difference that is a binary one with C = 2.
_INVERSE_PENALTY = 2.0


class HardGate(Gate):
    """C_d as the released code fits and uses it.

    The input is that of the paper's C_d. Of the calibration rows the surplus of
    the larger side is dropped; of each side a sixth, at most 300 rows, is held
    out, another sixth for every temperature. The temperature, its model and the
    threshold with the highest accuracy on held-out rows are kept, the first of
    equally good ones; nothing is fitted again on all rows. A row above the
    threshold gets the answer of C_s, any other that of C_u: eq. 11 and 12 are
    not used.

    Args:
        temperatures: Candidates for T; one is a fixed one.
        thresholds: Candidates; one is a fixed one. With both fixed nothing is
            held out. The released code fixes T = 2 and 0.5 for NTU-120.
        mirrored: Searches the threshold as "unseen if P(unseen) > threshold"
            and applies it as "seen if P(seen) > threshold", as the released code
            does: the wrong side wherever it is not 0.5.
        seed: Of the rows dropped and held out.

    Attributes:
        temperature, threshold: Chosen; after ``fit``.
        held_out_accuracy: With them, as the search computes it; None if fixed.
    """

    name: ClassVar[str] = "hard"

    def __init__(
        self,
        temperatures: Sequence[float] = TEMPERATURES,
        thresholds: Sequence[float] = THRESHOLDS,
        mirrored: bool = False,
        seed: int = 0,
    ) -> None:
        if not thresholds or not all(0 < t < 1 for t in thresholds):
            raise BadInput(f"thresholds are {list(thresholds)}, expected numbers between 0 and 1")
        self.temperatures = check_temperatures(temperatures)
        self.thresholds = tuple(float(t) for t in thresholds)
        self.mirrored, self.seed = mirrored, seed

    def fit(
        self, inputs: GateInput, is_seen: np.ndarray, columns: np.ndarray | None = None
    ) -> HardGate:
        """Searches T and threshold on held-out calibration rows. See :meth:`Gate.fit`."""
        search = len(self.temperatures) * len(self.thresholds) > 1
        is_seen = check_calibration_rows(
            inputs, is_seen, "the hard gate", _HELD_OUT_SHARE if search else 1
        )
        generator = np.random.default_rng(self.seed)
        sides = [generator.permutation(np.flatnonzero(is_seen == side)) for side in (False, True)]
        fewest = min(map(len, sides))
        sides = [side[:fewest] for side in sides]
        held = min(fewest // _HELD_OUT_SHARE, _HELD_OUT_MOST) if search else 0
        best = -1.0
        for temperature in self.temperatures:
            features = gate_features(inputs, temperature)
            drawn = [generator.permutation(side) for side in sides]
            train = np.concatenate([side[held:] for side in drawn])
            model = LogisticRegression(C=_INVERSE_PENALTY, tol=1e-6, max_iter=50_000)
            fit_linear(model, features[train], is_seen[train], "the hard gate")
            if not search:
                self.temperature, self.threshold = temperature, self.thresholds[0]
                self._model, best = model, np.nan
                break
            test = np.concatenate([side[:held] for side in drawn])
            p_unseen, p_seen = model.predict_proba(features[test]).T
            for threshold in self.thresholds:
                says_seen = p_unseen <= threshold if self.mirrored else p_seen > threshold
                accuracy = float(np.mean(says_seen == is_seen[test]))
                if accuracy > best:
                    best, self._model = accuracy, model
                    self.temperature, self.threshold = temperature, threshold
        self.held_out_accuracy = best if search else None
        self._columns, self._rows = inputs.unseen_proba.shape[1], fewest
        return self

    def predict_proba(self, inputs: GateInput) -> np.ndarray:
        """P(seen) ``[N]``, before the threshold.

        Raises:
            BadInput: Not fitted, or another number of unseen classes.
        """
        if not hasattr(self, "_model"):
            raise BadInput("the hard gate: call fit before predict_proba")
        check_as_many_unseen(inputs, self._columns, "the hard gate")
        return self._model.predict_proba(gate_features(inputs, self.temperature))[:, 1]

    def state(self) -> State:
        """See :meth:`Gate.state`."""
        return State(linear_arrays(self._model), {
            "temperature": self.temperature, "threshold": self.threshold,
            "held_out_accuracy": self.held_out_accuracy,
            "columns": self._columns, "rows": self._rows,
        })

    def restore(self, state: State) -> None:
        """See :meth:`Gate.restore`."""
        self._model, values = linear_model(state.arrays), state.values
        self.temperature, self.threshold = values["temperature"], values["threshold"]
        self.held_out_accuracy = values["held_out_accuracy"]
        self._columns, self._rows = values["columns"], values["rows"]

    def probabilities(self, inputs: GateInput) -> np.ndarray:
        """p_s above the threshold and p_u elsewhere, zeros on the other side."""
        says_seen = self.predict_proba(inputs) > self.threshold
        return mix(says_seen.astype(float), *self.sides(inputs))

    def margins(self, inputs: GateInput) -> np.ndarray:
        """P(seen) less the threshold."""
        return self.predict_proba(inputs) - self.threshold

    def description(self) -> dict[str, Any]:
        """What was chosen, and from how many rows of each side."""
        return {
            "name": self.name,
            "temperature": self.temperature,
            "threshold": self.threshold,
            "mirrored": self.mirrored,
            "held_out_accuracy": self.held_out_accuracy,
            "rows_of_each_side": self._rows,
        }
