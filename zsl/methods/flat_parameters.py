"""The weights of several layers in one buffer, for engines that write their gradients out."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

_ALIGNMENT = 64


class FlatParameters:
    """The weights of several layers in one buffer, with their Adam.

    Args:
        layers: Transpose ``[inputs, outputs]`` of the weight, and bias, by name.
        learning_rate: Of Adam.

    Attributes:
        value, grad: ``[inputs + 1, outputs]`` by name, the bias as the last row.
    """

    def __init__(
        self, layers: Mapping[str, tuple[Tensor, Tensor]], learning_rate: float
    ) -> None:
        self._rate, self._steps = learning_rate, torch.zeros(())
        # Full vectors only: Adam then treats a weight the same wherever it lies.
        sizes = [-(-(weight.numel() + len(bias)) // _ALIGNMENT) * _ALIGNMENT
                 for weight, bias in layers.values()]
        self._buffers = [torch.zeros(sum(sizes)) for _ in range(4)]
        self.value, self.grad = (
            {name: part[:weight.numel() + len(bias)].view(-1, len(bias))
             for part, (name, (weight, bias)) in zip(buffer.split(sizes), layers.items())}
            for buffer in self._buffers[:2]
        )
        for name, (weight, bias) in layers.items():
            self.value[name][:-1], self.value[name][-1] = weight, bias

    @classmethod
    def of(cls, layers: Mapping[str, nn.Linear], learning_rate: float) -> FlatParameters:
        """Those of linear layers; :meth:`write` puts them back."""
        return cls({name: (layer.weight.T, layer.bias) for name, layer in layers.items()},
                   learning_rate)

    def write(self, layers: Mapping[str, nn.Linear]) -> None:
        """Puts the weights into the layers that they are from."""
        for name, layer in layers.items():
            layer.weight.copy_(self.value[name][:-1].T)
            layer.bias.copy_(self.value[name][-1])

    def adam_step(self, rate: float | None = None) -> None:
        """One step down the gradients, as ``torch.optim.Adam`` takes it by default.

        Args:
            rate: In place of the learning rate.
        """
        values, grads, means, squares = self._buffers
        adam([values], [grads], [means], [squares], [], [self._steps], fused=True, amsgrad=False,
             beta1=0.9, beta2=0.999, lr=self._rate if rate is None else rate, weight_decay=0.0,
             eps=1e-8, maximize=False)
