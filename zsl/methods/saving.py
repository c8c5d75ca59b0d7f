"""Fitted methods and networks from arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from zskel.zsl.methods import METHODS
from zskel.zsl.methods.base import ZeroShotMethod
from zskel.zsl.model_file import METHOD, read_model_file


def load_method(path: str | os.PathLike[str]) -> ZeroShotMethod:
    """Reads what a method's ``save`` wrote, whichever method it is.

    Raises:
        BadInput: The file is missing or damaged, or not of this format.
        BadConfig: Its method or parameters are not this version's.
    """
    content, arrays = read_model_file(path, METHOD)
    return method_of(content, arrays, path)


def method_of(
    content: Mapping[str, Any], arrays: dict[str, np.ndarray], path: str | os.PathLike[str]
) -> ZeroShotMethod:
    """The method that ``ZeroShotMethod.content`` told of, by its name in the registry."""
    kind: type[ZeroShotMethod] = METHODS.get(content["method"])
    return kind.of_content(content, arrays, path)


def module_arrays(module: nn.Module, prefix: str) -> dict[str, np.ndarray]:
    """A module's parameters as arrays named ``<prefix>.<parameter>``."""
    return {f"{prefix}.{name}": tensor.detach().cpu().numpy().copy()
            for name, tensor in module.state_dict().items()}


def restore_module(module: nn.Module, prefix: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Loads into a module what :func:`module_arrays` gave, strictly."""
    start = f"{prefix}."
    module.load_state_dict({
        name.removeprefix(start): torch.from_numpy(array.copy())
        for name, array in arrays.items() if name.startswith(start)
    })
