"""Methods that score how well a clip and the text of any class go together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from typing_extensions import Self

from zskel.zsl.methods.base import Latents, ZeroShotMethod
from zskel.zsl.methods.checks import check_unseen


class ScoringMethod(ZeroShotMethod):
    """A score of (skeleton, class text), whose softmax over classes names a clip.

    Nothing is trained for new classes: their text is enough. The same score over seen
    and unseen classes together is ``predict_joint_proba``. Text features are scaled to
    unit length.
    """

    @property
    @abstractmethod
    def _known_classes(self) -> int:
        """How many classes have a text."""

    @abstractmethod
    def _proba(self, f_x: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """The softmax ``[N, K]`` of the scores of known classes."""

    def fit_unseen_classifier(self, unseen_classes: Sequence[int]) -> Self:
        """Takes note of the classes; their text is all that the score needs.

        Raises:
            BadInput: Not fitted, a class was seen in training, or it has no row in ``f_y``.
        """
        self._require_fit()
        self.unseen_classes = check_unseen(
            unseen_classes, self._known_classes, self.seen_classes)
        return self

    def predict_proba(self, f_x: np.ndarray) -> np.ndarray:
        """p_u ``[N, U]``: the softmax of the scores over the unseen classes.

        Raises:
            BadInput: No unseen classes yet, wrong width, or non-finite values.
        """
        self._require_fit("predict_proba")
        return self._proba(f_x, self.unseen_classes)

    def predict_joint_proba(self, f_x: np.ndarray) -> np.ndarray:
        """The softmax of the scores over seen, then unseen classes, ``[N, S + U]``.

        Raises:
            BadInput: As :meth:`predict_proba`.
        """
        self._require_fit("predict_joint_proba")
        return self._proba(f_x, self._all_classes)

    @property
    def _all_classes(self) -> np.ndarray:
        return np.concatenate([self.seen_classes, self.unseen_classes])


def aligned(z_r: np.ndarray) -> Latents:
    """Latents of a method without a z_v."""
    return Latents(z_r=z_r, z_v=np.zeros((len(z_r), 0), np.float32))
