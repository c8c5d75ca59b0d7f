"""A device for tests that computes on the CPU and refuses tensors that are elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

NAME = "meta"
_TO_CPU = "aten::_to_copy"
# Which torch allows: places to write at may be named by tensors of the CPU.
_INDEXING = {"aten::index_put_", "aten::_index_put_impl_"}


class There(torch.Tensor):
    """A tensor of that device, with its numbers on the CPU in ``numbers``."""

    numbers: torch.Tensor

    @staticmethod
    def __new__(cls, numbers: torch.Tensor) -> There:
        return torch.Tensor._make_wrapper_subclass(
            cls, numbers.shape, strides=numbers.stride(),
            storage_offset=numbers.storage_offset(), dtype=numbers.dtype, device=NAME)

    def __init__(self, numbers: torch.Tensor) -> None:
        self.numbers = numbers

    def tolist(self) -> Any:
        return self.numbers.tolist()

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return _run(function, args, dict(kwargs or {}))


class _Factories(TorchDispatchMode):
    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return _run(function, args, dict(kwargs or {}))


class _Constants(TorchFunctionMode):
    """``torch.tensor`` makes a tensor past the other mode."""

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return function(*args, **kwargs, device="cpu").to(device)
        return function(*args, **kwargs)


def _run(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    leaves = tree_flatten((args, kwargs))[0]
    there = [leaf for leaf in leaves if isinstance(leaf, There)]
    here = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.ndim
            and not isinstance(leaf, There)]
    name = function._schema.name
    copies = name in ("aten::copy_", _TO_CPU)
    if there and here and not copies and name not in _INDEXING:
        raise RuntimeError(f"{name}: tensors on two devices")
    if kwargs.get("generator") is not None and there:
        raise RuntimeError(f"{name}: the generator is the CPU's")
    to = kwargs.get("device")
    if to is not None:
        kwargs["device"] = torch.device("cpu")
    stays = bool(there) if to is None else torch.device(to).type == NAME
    if name == "aten::copy_":
        stays = isinstance(args[0], There)
    originals = {id(leaf.numbers): leaf for leaf in there}
    found = function(*tree_map(_numbers, tuple(args)), **tree_map(_numbers, kwargs))

    def back(result: Any) -> Any:
        if not isinstance(result, torch.Tensor) or not stays:
            return result
        return originals[id(result)] if id(result) in originals else There(result)

    return tree_map(back, found)


def _numbers(leaf: Any) -> Any:
    return leaf.numbers if isinstance(leaf, There) else leaf


@contextmanager
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Inside the block there is such a device; its name."""
    optimizers = sys.modules["torch.optim.optimizer"]
    monkeypatch.setattr(
        optimizers, "_get_fused_kernels_supported_devices", lambda: ["cpu", NAME])
    with _Factories(), _Constants():
        yield NAME
