"""The matrix products of training steps, and how long they alone take."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")


class Products(TorchDispatchMode):
    """Takes note of every matrix product inside the block, also of gradients.

    What lay in the same memory does so again when the products are repeated.
    """

    def __init__(self) -> None:
        super().__init__()
        self._factors: dict[tuple[Any, ...], Tensor] = {}
        self._pairs: list[tuple[Tensor, Tensor, Tensor]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func._schema.name.removesuffix("_") in _PRODUCTS:
            a, b = (self._like(arg) for arg in args[-2:])
            self._pairs.append((a, b, self._like(torch.matmul(a, b))))
        return func(*args, **(kwargs or {}))

    def seconds(self, repeats: int = 1) -> float:
        """CPU time of all of them together."""
        started = time.process_time()
        for _ in range(repeats):
            for a, b, out in self._pairs:
                torch.matmul(a, b, out=out)
        return (time.process_time() - started) / repeats

    def _like(self, f: Tensor) -> Tensor:
        key = f.data_ptr(), f.shape, f.stride()
        if key not in self._factors:
            self._factors[key] = torch.rand_like(f.detach())
        return self._factors[key]
