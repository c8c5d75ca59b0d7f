"""Memory that the steps of a training use again."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Buffers:
    """Tensors by name, made when first asked for, and larger ones when needed.

    For a few large ones: memory of its own for every small one leaves the cache sooner
    than what the allocator gives again.

    >>> buffers = Buffers()
    >>> of_epoch, of_remainder = buffers("x", 4, 2), buffers("x", 3, 2)
    >>> of_remainder.shape, of_epoch.data_ptr() == of_remainder.data_ptr()
    (torch.Size([3, 2]), True)
    """

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        """A float32 tensor with values of no meaning."""
        size = math.prod(shape)
        if name not in self._kept or self._kept[name].numel() < size:
            self._kept[name] = torch.empty(size)
        return self._kept[name][:size].view(shape)
