"""Methods on another device than the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


@contextlib.contextmanager
def computing_on(device: str) -> Iterator[None]:
    """Lets methods and C_u compute on a device inside the block.

    They are written as for the CPU. What they make of arrays, and all that follows from
    it, is on the device; what they give is arrays again. All that is drawn is drawn on
    the CPU and moved, so that it is the same whatever the device. A method that is
    fitted in a block is used and saved in one, too; what it has saved can be loaded
    anywhere. Gates and C_s are no networks and stay on the CPU.

    Args:
        device: As torch names it, such as "cuda"; "cpu" changes nothing.
    """
    if device == "cpu":
        yield
        return
    with torch.device(device), _FromAndToTheCpu(torch.device(device)):
        yield


class _FromAndToTheCpu(TorchFunctionMode):
    """Draws of a generator, which is the CPU's, and arrays, which are there too."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(
        self, function: Callable[..., Any], types: Sequence[Any], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function in (Tensor.numpy, Tensor.__array__):
            return function(args[0].cpu(), *args[1:], **kwargs)
        # Of all makers of tensors, torch.device may miss this one: transformers replaces it
        # while it loads a model, and torch keeps the list that it looks up first.
        if function is torch.linspace:
            kwargs.setdefault("device", self._device)
        if kwargs.get("generator") is None:
            return function(*args, **kwargs)
        if args and isinstance(args[0], Tensor):  # in place, such as normal_
            drawn = torch.empty(args[0].shape, dtype=args[0].dtype, device="cpu")
            return args[0].copy_(function(drawn, *args[1:], **kwargs))
        return function(*args, **{**kwargs, "device": "cpu"}).to(self._device)
