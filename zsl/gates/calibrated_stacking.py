"""Calibrated stacking: a handicap for seen classes in a joint classifier."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import expit

from zskel.zsl.curves import best_bias
from zskel.zsl.gates.base import GateInput, check_calibration_rows, check_columns, mix
from zskel.zsl.gates.joint_softmax import JointSoftmax
from zskel.zsl.methods.base import State


class CalibratedStacking(JointSoftmax):
    """Subtracts gamma from the scores of all seen classes (Chao et al., ECCV 2016).

    Scores are the log probabilities of the method's joint classifier, so that
    the result is a distribution again. gamma is the one with the highest H on
    the calibration rows.

    Args:
        seed: Accepted as every gate's, and not used.

    Attributes:
        gamma: After ``fit``.
        harmonic_mean: H of the calibration rows with it.
    """

    name: ClassVar[str] = "calibrated_stacking"

    def fit(
        self, inputs: GateInput, is_seen: np.ndarray, columns: np.ndarray | None = None
    ) -> CalibratedStacking:
        """Chooses gamma. See :meth:`Gate.fit`."""
        is_seen = check_calibration_rows(inputs, is_seen, self.name, fewest=1)
        columns = check_columns(inputs, is_seen, columns, self.name)
        seen, unseen = self.sides(inputs)
        own_side = np.where(
            is_seen, seen.argmax(axis=1), seen.shape[1] + unseen.argmax(axis=1)
        )
        self.gamma, self.harmonic_mean = best_bias(
            super().margins(inputs), is_seen, own_side == columns
        )
        self._rows = int(is_seen.sum()), int((~is_seen).sum())
        return self

    def state(self) -> State:
        """See :meth:`Gate.state`."""
        return State({}, {"gamma": self.gamma, "harmonic_mean": self.harmonic_mean,
                          "rows": list(self._rows)})

    def restore(self, state: State) -> None:
        """See :meth:`Gate.restore`."""
        self.gamma, self.harmonic_mean = state.values["gamma"], state.values["harmonic_mean"]
        self._rows = tuple(state.values["rows"])

    def predict_proba(self, inputs: GateInput) -> np.ndarray:
        """What the seen classes have together after the handicap, ``[N]``."""
        seen, unseen = (part.sum(axis=1) for part in self._split(inputs))
        with np.errstate(divide="ignore"):
            return expit(np.log(seen) - np.log(unseen) - self.gamma)

    def probabilities(self, inputs: GateInput) -> np.ndarray:
        """The joint classifier's with the handicap, summing to 1 again."""
        return mix(self.predict_proba(inputs), *self.sides(inputs))

    def margins(self, inputs: GateInput) -> np.ndarray:
        """Those of the joint classifier less gamma."""
        return super().margins(inputs) - self.gamma

    def description(self) -> dict[str, Any]:
        """gamma, its H on the calibration rows, and their numbers."""
        return {
            "name": self.name,
            "gamma": self.gamma,
            "calibration_harmonic_mean": self.harmonic_mean,
            "seen_rows": self._rows[0],
            "unseen_rows": self._rows[1],
        }
