"""Fitted methods as files: weights in safetensors, the rest in JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import nn

from zskel.data.common.errors import BadInput
from zskel.data.common.files import atomic_path, digest_file, write_json
from zskel.data.common.os_errors import raise_refusal
from zskel.zsl.methods.base import State, ZeroShotMethod

WEIGHTS, CARD = "model.safetensors", "model.json"
FORMAT = "zero-shot-skeleton/method"


def save_method(method: ZeroShotMethod, folder: str | os.PathLike[str]) -> Path:
    """Writes a fitted method to a folder: ``model.safetensors`` and ``model.json``.

    Raises:
        BadInput: The method is not fitted.
    """
    folder = Path(folder)
    state = method.state()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)  # it vouches for the weights
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file({k: np.ascontiguousarray(v) for k, v in state.arrays.items()}, temporary)
    write_json(folder / CARD, {
        "format": FORMAT,
        "format_version": 1,
        "method": method.name,
        "params": method.params.model_dump(mode="json"),  # type: ignore[attr-defined]
        "values": state.values,
        "weights_sha256": digest_file(folder / WEIGHTS),
    })
    return folder


def load_method(folder: str | os.PathLike[str]) -> ZeroShotMethod:
    """Reads what :func:`save_method` wrote; no code in it is ever run.

    Raises:
        BadInput: A file is missing, damaged or not of this format.
        BadConfig: Its parameters are not this version's.
    """
    from zskel.zsl.methods import METHODS

    folder = Path(folder)
    card = _card(folder / CARD)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise BadInput(f"{weights}: no such file")
    if digest_file(weights) != card["weights_sha256"]:
        raise BadInput(f"{weights}: not the weights that {CARD} was written for")
    try:
        arrays = load_file(weights)
    except (SafetensorError, OSError, ValueError) as error:
        raise_refusal(error, weights)
        raise BadInput(f"{weights}: not a safetensors file ({error})") from None
    method: ZeroShotMethod = METHODS.build(card["method"], **card["params"])
    try:
        method.restore(State(arrays, card["values"]))
    except (KeyError, IndexError, TypeError, RuntimeError, ValueError) as error:
        # PyTorch's message names the module in its first line, the array in its second.
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise BadInput(f"{folder}: its arrays do not make a {card['method']}: {reason}") from None
    return method


def module_arrays(module: nn.Module, prefix: str) -> dict[str, np.ndarray]:
    """A module's parameters as arrays named ``<prefix>.<parameter>``."""
    return {f"{prefix}.{name}": tensor.detach().cpu().numpy().copy()
            for name, tensor in module.state_dict().items()}


def restore_module(module: nn.Module, prefix: str, arrays: dict[str, np.ndarray]) -> None:
    """Loads into a module what :func:`module_arrays` gave, strictly."""
    start = f"{prefix}."
    module.load_state_dict({
        name.removeprefix(start): torch.from_numpy(array.copy())
        for name, array in arrays.items() if name.startswith(start)
    })


def _card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; expected a folder written by save") from None
    except (ValueError, OSError, RecursionError) as error:
        raise_refusal(error, path)
        raise BadInput(f"{path}: not readable as JSON ({error})") from None
    types = {"method": str, "params": dict, "values": dict, "weights_sha256": str}
    if not isinstance(card, dict) or card.get("format") != FORMAT \
            or not all(isinstance(card.get(key), kind) for key, kind in types.items()):
        raise BadInput(f"{path}: not a saved method (format {FORMAT!r} expected)")
    if card.get("format_version") != 1:
        raise BadInput(f"{path}: format_version {card.get('format_version')!r}, expected 1; "
                       "written by a newer version?")
    return card
