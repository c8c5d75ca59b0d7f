"""The head of PGFA: one linear layer from skeletons into the space of the texts.

Zhou et al., "Prototype-guided feature alignment for zero-shot skeleton-based action
recognition", IEEE TIP 2025 (arXiv 2507.00566). PGFA trains its backbone along with
this layer; here f_x stays as it is (the released option ``fix_encoder``), so its
published numbers are not those of this head; ``backbone.text_supervision`` trains both
together. Its alignment at test time looks at unlabelled test clips and is no part of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import skip_init

from zskel.data.common.soft_labels import soft_label_divergence
from zskel.zsl.methods.base import RecipeParams
from zskel.zsl.methods.cosine import CosineMethod, CosineNetwork, CosineParams
from zskel.zsl.methods.training import Step


class PGFAHeadParams(RecipeParams, CosineParams):
    """All parameters; the defaults are those of NTU-60.

    The released code makes its temperature a parameter, but in a way that leaves it out
    of training: "released" keeps it at 0.07.

    Attributes:
        sharpness: Of the soft labels softmax(sharpness [same class]).
        epochs, batch_size, learning_rate, momentum, weight_decay: Of SGD.
        warm_up: Epochs in which the learning rate rises from 0, which is that of the
            first.
    """

    released: ClassVar[Mapping[str, Any]] = {"learn_temperature": False}

    sharpness: float = Field(10.0, ge=0)
    epochs: int = Field(50, ge=1)
    batch_size: int = Field(128, ge=1)
    learning_rate: float = Field(0.05, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    warm_up: int = Field(5, ge=0)


class PGFAHead(CosineMethod):
    """PGFA's head in the style of scikit-learn.

    Args:
        **params: See :class:`PGFAHeadParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "pgfa_head", PGFAHeadParams
    params: PGFAHeadParams

    def _training(
        self, f_x: Tensor, columns: Tensor, generator: torch.Generator
    ) -> tuple[Sequence[str], Step]:
        params = self.params
        text = self._text_of(self.seen_classes)
        optimizer = torch.optim.SGD(
            self._net.parameters(), lr=params.learning_rate, momentum=params.momentum,
            weight_decay=params.weight_decay, nesterov=False)

        def step(rows: Tensor, epoch: int, k: int) -> Tensor:
            risen = min(1.0, epoch / params.warm_up) if params.warm_up else 1.0
            optimizer.param_groups[0]["lr"] = params.learning_rate * risen
            scores = self._score(f_x[rows], text)
            loss = soft_label_divergence(scores, columns[rows], params.sharpness)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()[None]

        return ("loss",), step

    def _build(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> CosineNetwork:
        layer = skip_init(nn.Linear, f_x_dim, text_dims["f_y"])
        with torch.no_grad():  # Kaiming's, fan-out; that it is the normal one is an assumption.
            layer.weight.normal_(0, math.sqrt(2 / text_dims["f_y"]), generator=generator)
            layer.bias.zero_()
        return CosineNetwork(layer, nn.Identity(), self.params).to(torch.get_default_device())
