"""Gates: does a clip show a seen or an unseen action, and what follows from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from data.errors import BadInput


@dataclass(frozen=True)
class GateInput:
    """What a gate may look at: outputs and features, never a method's insides.

    Attributes:
        seen_logits: ``[N, S]`` of C_s, before its softmax.
        unseen_proba: ``[N, U]`` p_u.
    """

    seen_logits: np.ndarray
    unseen_proba: np.ndarray

    def __post_init__(self) -> None:
        shapes = np.shape(self.seen_logits), np.shape(self.unseen_proba)
        if any(len(shape) != 2 or 0 in shape for shape in shapes) or shapes[0][0] != shapes[1][0]:
            raise BadInput("a gate needs [N, S] and [N, U], "
                           f"got {list(shapes[0])} and {list(shapes[1])}")

    def __len__(self) -> int:
        return len(self.seen_logits)


class Gate(ABC):
    """Tells the probability that a clip belongs to a seen class.

    It is fitted on calibration clips, whose seen and unseen classes are others
    than at test time; only their number of unseen classes agrees.
    """

    name: ClassVar[str]

    @abstractmethod
    def fit(self, inputs: GateInput, is_seen: np.ndarray) -> Gate:
        """Learns from ``[N]`` booleans which rows are of seen classes.

        Raises:
            BadInput: There are too few rows of either side.
        """

    @abstractmethod
    def predict_proba(self, inputs: GateInput) -> np.ndarray:
        """p_d ``[N]``: the probability of a seen class."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """What was chosen and found in fitting, as JSON values."""


def mix(p_d: np.ndarray, p_s: np.ndarray, p_u: np.ndarray) -> np.ndarray:
    """Eq. 11: p(y|x) = p_d p_s (+) (1 - p_d) p_u, ``[N, S + U]``.

    >>> mix(np.array([0.5]), np.array([[0.25, 0.75]]), np.array([[1.0]]))
    array([[0.125, 0.375, 0.5  ]])
    """
    p_d = np.asarray(p_d)[:, None]
    return np.concatenate([p_d * p_s, (1 - p_d) * p_u], axis=1)


def decide(
    p_d: np.ndarray,
    p_s: np.ndarray,
    p_u: np.ndarray,
    seen_classes: np.ndarray,
    unseen_classes: np.ndarray,
) -> np.ndarray:
    """Eq. 12: the class id of the largest entry of :func:`mix`, ``[N]``.

    >>> decide(np.array([0.9, 0.2]), np.array([[0.3, 0.7]] * 2), np.array([[1.0]] * 2), [4, 8], [6])
    array([8, 6])
    """
    classes = np.concatenate([seen_classes, unseen_classes])
    return classes[np.argmax(mix(p_d, p_s, p_u), axis=1)]
