"""Methods whose transformer explains a clip by a text, with noise: the smallest error wins."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from zskel.zsl.methods.compatibility import CompatibilityMethod, Text, TrainingParams
from zskel.zsl.methods.tokens import sequences_of

# Triples of clip, class and noise, times their tokens, that are scored at once.
_TRIPLES = 1 << 12


class ErrorParams(TrainingParams):
    """What the transformers of all of them have.

    Attributes:
        width, heads: Of the transformer; ``heads`` divides ``width``.
        weight_decay: AdamW's.
        noises: How many a clip is scored with, the mean counts. They are drawn from the
            seed and the same for all clips and classes.
        sharpness: Of the softmax of the negative errors. The authors only take the
            smallest error.
    """

    width: int = Field(128, ge=2, multiple_of=2)
    heads: int = Field(4, ge=1)
    weight_decay: float = Field(0.01, ge=0)
    noises: int = Field(3, ge=1)
    sharpness: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads is {self.heads}, expected a divisor of width {self.width}")
        return self


class ErrorMethod(CompatibilityMethod):
    """The score of a class is the negative error with its text, times ``sharpness``.

    Args:
        **params: Of ``params_model``.
    """

    faster_on_gpu = reads_tokens = True
    params: ErrorParams

    @abstractmethod
    def _errors(self, text: Text) -> Callable[[Tensor], Tensor]:
        """What makes of f_x ``[N, D]`` errors ``[N, K, J]`` with K texts and J noises."""

    def errors(self, f_x: np.ndarray) -> np.ndarray:
        """The mean squared errors. See :meth:`ZeroShotMethod.errors`."""
        self._require_fit("errors")
        return -self._scores(f_x, self._all_classes).double().numpy() / self.params.sharpness

    def _score(self, f_x: Tensor, text: Text) -> Tensor:
        classes, length = sequences_of(text)[0].shape[:2]
        at_once = max(1, _TRIPLES // (classes * self.params.noises * length))
        of, sharpness = self._errors(text), self.params.sharpness
        return -sharpness * torch.cat([of(part).mean(dim=2) for part in f_x.split(at_once)])

    def _adamw(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self._net.parameters(), lr=self.params.learning_rate,
                                 weight_decay=self.params.weight_decay, fused=True)
