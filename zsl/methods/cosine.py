"""What methods share whose score is a cosine in a common space over a temperature."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn

from zskel.zsl.methods.compatibility import CompatibilityMethod, Text, TrainingParams

#: Of the temperature, as CLIP has it: no score is multiplied by more than 100.
_LEAST_TEMPERATURE = 0.01


class CosineParams(TrainingParams):
    """Parameters that all of them have.

    Attributes:
        temperature: Divides the cosines; where it is learned, at the start.
        learn_temperature: Whether it is trained.
    """

    temperature: float = Field(0.07, gt=0)
    learn_temperature: bool = True


class CosineNetwork(nn.Module):
    """Maps skeletons and texts into one space and compares directions there.

    Args:
        skeleton: Maps f_x.
        text: Maps f_y; nothing for the space of the texts themselves.
        params: Of the temperature.
    """

    def __init__(self, skeleton: nn.Module, text: nn.Module, params: CosineParams) -> None:
        super().__init__()
        self.skeleton, self.text = skeleton, text
        self.log_scale = nn.Parameter(torch.tensor(-math.log(params.temperature)),
                                      requires_grad=params.learn_temperature)

    def embed(self, f_x: Tensor) -> Tensor:
        """Unit rows ``[N, E]``."""
        return nn.functional.normalize(self.skeleton(f_x), dim=1)

    def forward(self, f_x: Tensor, f_y: Tensor) -> Tensor:
        """Cosines over the temperature, ``[N, K]``."""
        cosine = self.embed(f_x) @ nn.functional.normalize(self.text(f_y), dim=1).T
        scale = self.log_scale.clamp(max=-math.log(_LEAST_TEMPERATURE)).exp()
        return scale * cosine


class CosineMethod(CompatibilityMethod):
    """A method whose network is a ``CosineNetwork``; ``transform`` gives unit rows."""

    params: CosineParams
    _net: CosineNetwork

    def _embed(self, f_x: Tensor) -> Tensor:
        return self._net.embed(f_x)

    def _score(self, f_x: Tensor, text: Text) -> Tensor:
        scores: Tensor = self._net(f_x, text["f_y"])
        return scores
