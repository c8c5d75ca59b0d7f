"""No gate at all: one softmax over seen and unseen classes together."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from zskel.zsl.gates.base import JOINT_PROBA, Gate, GateInput
from zskel.zsl.methods.base import State

_TINY = np.finfo(np.float64).tiny


class JointSoftmax(Gate):
    """Takes the largest probability of the method's joint classifier.

    CADA-VAE's way (Schönfeld et al., CVPR 2019): a single softmax is trained on
    latents of seen classes' clips and of unseen classes' text. Neither C_s nor
    calibration rows take part.

    Args:
        seed: Accepted as every gate's, and not used.
    """

    name: ClassVar[str] = "joint_softmax"
    needs: ClassVar[frozenset[str]] = frozenset({JOINT_PROBA})

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(
        self, inputs: GateInput, is_seen: np.ndarray, columns: np.ndarray | None = None
    ) -> JointSoftmax:
        """Learns nothing."""
        inputs.require(self.needs, self.name)
        return self

    def state(self) -> State:
        """Nothing."""
        return State({}, {})

    def restore(self, state: State) -> None:
        """Takes over nothing."""

    def predict_proba(self, inputs: GateInput) -> np.ndarray:
        """What the seen classes have together, ``[N]``."""
        return self._split(inputs)[0].sum(axis=1).clip(max=1.0)

    def sides(self, inputs: GateInput) -> tuple[np.ndarray, np.ndarray]:
        """The joint probabilities within each side."""
        return tuple(
            part / np.maximum(part.sum(axis=1, keepdims=True), _TINY)
            for part in self._split(inputs)
        )

    def probabilities(self, inputs: GateInput) -> np.ndarray:
        """The joint classifier's, as they are."""
        return np.concatenate(self._split(inputs), axis=1)

    def margins(self, inputs: GateInput) -> np.ndarray:
        """Log of the largest seen probability less that of the largest unseen one."""
        seen, unseen = (part.max(axis=1) for part in self._split(inputs))
        return np.log(np.maximum(seen, _TINY)) - np.log(np.maximum(unseen, _TINY))

    def description(self) -> dict[str, Any]:
        """Its name."""
        return {"name": self.name}

    def _split(self, inputs: GateInput) -> tuple[np.ndarray, np.ndarray]:
        inputs.require(self.needs, self.name)
        joint = np.asarray(inputs.joint_proba, np.float64)
        count = inputs.seen_logits.shape[1]
        return joint[:, :count], joint[:, count:]
