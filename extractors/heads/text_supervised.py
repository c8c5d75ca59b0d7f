"""A head by which the seen classes' texts train a backbone along with it, as in PGFA.

Zhou et al., "Prototype-guided feature alignment for zero-shot skeleton-based action
recognition", IEEE TIP 2025 (arXiv 2507.00566). Beside or instead of the classifier, a
linear layer maps f_x to h in the space of the texts; soft labels draw h to the text of
its class.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from mmaction.models.heads import GCNHead
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from zskel.data.common.soft_labels import soft_label_divergence

#: Of the temperature where it is learned, as CLIP has it.
_LEAST_TEMPERATURE = 0.01


class TextAlignment(nn.Linear):
    """h = W f_x + b; called, its cosines with the texts over the temperature.

    Args:
        in_channels: D, of f_x.
        text: f_y of the classes, ``[S, Dt]``; kept with the weights, as unit rows.
        temperature: Divides the cosines; where it is learned, at the start.
        learn_temperature: Whether it is trained.
    """

    text: Tensor

    def __init__(
        self, in_channels: int, text: Tensor, temperature: float, learn_temperature: bool
    ) -> None:
        super().__init__(in_channels, text.shape[1])
        self.register_buffer("text", F.normalize(text.float(), dim=1))
        log_scale = torch.tensor(-math.log(temperature))
        if learn_temperature:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    def init_weights(self) -> None:
        """Kaiming's, fan-out, and no bias: PGFA's."""
        nn.init.kaiming_normal_(self.weight, mode="fan_out")
        nn.init.zeros_(self.bias)

    def embed(self, f_x: Tensor) -> Tensor:
        """h, ``[N, Dt]``."""
        return super().forward(f_x)

    def forward(self, f_x: Tensor) -> Tensor:
        """``[N, S]``."""
        scale = self.log_scale.clamp(max=-math.log(_LEAST_TEMPERATURE)).exp()
        return scale * (F.normalize(self.embed(f_x), dim=1) @ self.text.T)


@MODELS.register_module()
class TextSupervisedHead(GCNHead):
    """A ``GCNHead`` with a ``TextAlignment`` beside its classifier, or in place of it.

    Logits are the classifier's; without one, those of the alignment.

    Args:
        num_classes, in_channels, **options: Of ``GCNHead``.
        text: f_y of the classes, ``[S, Dt]``.
        supervision: The options of ``backbone.text_supervision``.
    """

    fc: nn.Linear

    def __init__(
        self, num_classes: int, in_channels: int, text: Any, supervision: dict[str, Any],
        **options: Any,
    ) -> None:
        super().__init__(num_classes, in_channels, **options)
        self.supervision = supervision
        classifier = self.fc
        del self.fc
        self.alignment = TextAlignment(in_channels, torch.as_tensor(text),
                                       supervision["temperature"], supervision["learn_temperature"])
        if supervision["cross_entropy"]:
            self.fc = classifier  # last: f_x is what the last linear layer reads

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        """Logits ``[N, S]`` of a feature map ``[N, M, C, T, V]``."""
        return self._logits(self._pooled(x))

    def loss(self, feats: Tensor, data_samples: Any, **_: Any) -> dict[str, Tensor]:
        """``loss_text`` and, with a classifier, ``loss_cls``, by their weights; accuracies."""
        f_x = self._pooled(feats)
        found: dict[str, Tensor] = self.loss_by_feat(self._logits(f_x), data_samples)
        by_classifier, columns = self.supervision["cross_entropy"], torch.stack(
            [sample.gt_labels.item for sample in data_samples]).flatten().to(f_x.device)
        losses = {name: by_classifier * value if "loss" in name else value
                  for name, value in found.items() if by_classifier or "loss" not in name}
        by_text = soft_label_divergence(
            self.alignment(f_x), columns, self.supervision["target_sharpness"])
        return {**losses, "loss_text": self.supervision["weight"] * by_text}

    def _pooled(self, x: Tensor) -> Tensor:
        f_x = x.mean(dim=(1, 3, 4))
        return f_x if self.dropout is None else self.dropout(f_x)

    def _logits(self, f_x: Tensor) -> Tensor:
        read = self.fc if self.supervision["cross_entropy"] else self.alignment
        logits: Tensor = read(f_x)
        return logits
