"""Flora's rule: seen or unseen by the ratio of the smallest errors on both sides."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, softmax

from zskel.zsl.curves import best_bias
from zskel.zsl.gates.base import ERRORS, Gate, GateInput, check_calibration_rows, check_columns, mix
from zskel.zsl.methods.base import State

_TINY = np.finfo(np.float64).tiny


class ErrorRatio(Gate):
    """A clip is of an unseen class where min error(seen) / min error(unseen) > threshold.

    Flora's (arXiv 2511.09388, CVPR 2026 Findings), which has a constant of its own for every
    split, 0.45 to 0.75; here the threshold is the one with the highest H on the calibration
    rows. On either side the class with the smallest error is taken; C_s has no part in it.
    Errors are the method's own where it names classes by errors, as ``flora`` and ``tdsm`` do,
    and elsewhere the negative log probabilities of its joint classifier.

    Args:
        seed: Accepted as every gate's, and not used.

    Attributes:
        threshold: After ``fit``.
        harmonic_mean: H of the calibration rows with it.
    """

    name: ClassVar[str] = "error_ratio"
    needs: ClassVar[frozenset[str]] = frozenset({ERRORS})

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(
        self, inputs: GateInput, is_seen: np.ndarray, columns: np.ndarray | None = None
    ) -> ErrorRatio:
        """Chooses the threshold. See :meth:`Gate.fit`."""
        is_seen = check_calibration_rows(inputs, is_seen, self.name, fewest=1)
        columns = check_columns(inputs, is_seen, columns, self.name)
        seen, unseen = self.sides(inputs)
        right = columns == np.where(
            is_seen, seen.argmax(axis=1), seen.shape[1] + unseen.argmax(axis=1))
        bias, self.harmonic_mean = best_bias(-self._log_ratio(inputs), is_seen, right)
        self.threshold = float(np.exp(-bias))
        self._rows = int(is_seen.sum()), int((~is_seen).sum())
        return self

    def state(self) -> State:
        """See :meth:`Gate.state`."""
        return State({}, {"threshold": self.threshold, "harmonic_mean": self.harmonic_mean,
                          "rows": list(self._rows)})

    def restore(self, state: State) -> None:
        """See :meth:`Gate.restore`."""
        self.threshold, self.harmonic_mean = (
            state.values["threshold"], state.values["harmonic_mean"])
        self._rows = tuple(state.values["rows"])

    def predict_proba(self, inputs: GateInput) -> np.ndarray:
        """threshold / (threshold + ratio), ``[N]``."""
        return np.asarray(expit(self.margins(inputs)))

    def sides(self, inputs: GateInput) -> tuple[np.ndarray, np.ndarray]:
        """A softmax of the negative errors within each side."""
        seen, unseen = (softmax(-errors, axis=1) for errors in self._split(inputs))
        return seen, unseen

    def probabilities(self, inputs: GateInput) -> np.ndarray:
        """One side or the other, zeros elsewhere."""
        return mix((self.margins(inputs) > 0).astype(float), *self.sides(inputs))

    def margins(self, inputs: GateInput) -> np.ndarray:
        """Log of the threshold less that of the ratio."""
        return np.asarray(np.log(self.threshold) - self._log_ratio(inputs))

    def description(self) -> dict[str, Any]:
        """The threshold, its H on the calibration rows, and their numbers."""
        return {
            "name": self.name,
            "threshold": self.threshold,
            "calibration_harmonic_mean": self.harmonic_mean,
            "seen_rows": self._rows[0],
            "unseen_rows": self._rows[1],
        }

    def _log_ratio(self, inputs: GateInput) -> np.ndarray:
        seen, unseen = (np.log(np.maximum(errors.min(axis=1), _TINY))
                        for errors in self._split(inputs))
        return np.asarray(seen - unseen)

    def _split(self, inputs: GateInput) -> tuple[np.ndarray, np.ndarray]:
        inputs.require(self.needs, self.name)
        errors, count = np.asarray(inputs.errors, np.float64), inputs.seen_logits.shape[1]
        return errors[:, :count], errors[:, count:]
