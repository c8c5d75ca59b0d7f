"""Fitted models in one safetensors file, whose metadata hold a JSON document, the card.

Two kinds of content share the format: a method alone, and all that a protocol has
fitted. Nothing in a file is ever run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from zskel.data.common.errors import BadInput, PipelineError
from zskel.data.common.files import atomic_path, digest_file
from zskel.data.common.os_errors import raise_refusal

VERSION = 2


@dataclass(frozen=True)
class Kind:
    """A kind of content.

    Attributes:
        format: As the card names it.
        keys: What the card must hold, and of which type.
        source: Where such files come from.
        remedy: What to do about one that cannot be read.
    """

    format: str
    keys: Mapping[str, type]
    source: str
    remedy: str


METHOD = Kind("zero-shot-skeleton/method", {"method": str, "params": dict, "values": dict},
              "a method's `save` writes one", "fit and save it again")
FITTED = Kind("zero-shot-skeleton/fitted", {"method": str, "phases": dict, "gates": dict},
              "`pipeline fit` keeps what it fits", "delete it and fit again")


def write_model_file(
    path: str | os.PathLike[str], kind: Kind, content: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> Path:
    """Writes a file, whole or not at all.

    Args:
        path: The file; its folder is made.
        kind: Of the content.
        content: JSON values with the kind's keys.
        arrays: By name.

    Raises:
        BadInput: There is a folder of that name.
    """
    path = Path(path)
    if path.is_dir():
        raise BadInput(f"{path}: is a folder; name a file, such as {path / 'model.safetensors'}")
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    card = {"format": kind.format, "format_version": VERSION, **content,
            "arrays_sha256": _digest(arrays)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        # Not save_file: it gives the file to its owner alone.
        temporary.write_bytes(save(arrays, {"card": json.dumps(card, allow_nan=False)}))
    return path


def read_card(path: str | os.PathLike[str], kind: Kind) -> dict[str, Any]:
    """What a file says of itself, without its arrays.

    Raises:
        BadInput: There is no such file, or it is damaged or of another format.
    """
    path, folder = Path(path), Path(path).is_dir()
    path = path / "model.json" if folder else path  # a method as version 1 saved it
    try:
        if folder:
            text = path.read_text(encoding="utf-8")
        else:
            with safe_open(path, "numpy") as file:
                text = (file.metadata() or {}).get("card", "null")
        card = json.loads(text)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; {kind.source}") from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise_refusal(error, path)
        raise BadInput(f"{path}: damaged ({error}); {kind.remedy}") from None
    if not isinstance(card, dict) or card.get("format") != kind.format:
        raise BadInput(f"{path}: format {kind.format!r} expected; {kind.source}")
    if card.get("format_version") not in range(1, VERSION + 1):
        raise BadInput(f"{path}: format_version {card.get('format_version')!r}, expected "
                       f"{VERSION}; written by a newer version?")
    wrong = [key for key, of in kind.keys.items() if not isinstance(card.get(key), of)]
    if wrong:
        raise BadInput(f"{path}: its card has no {wrong[0]}; {kind.remedy}")
    return card


def read_model_file(
    path: str | os.PathLike[str], kind: Kind
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Card and arrays of a file.

    Raises:
        BadInput: As :func:`read_card`, or the arrays are not those that were written.
    """
    card, path = read_card(path, kind), Path(path)
    folder = path.is_dir()
    weights = path / "model.safetensors" if folder else path
    try:
        with safe_open(weights, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        digest = digest_file(weights) if folder else _digest(arrays)
    except FileNotFoundError:
        raise BadInput(f"{weights}: no such file; {kind.source}") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise_refusal(error, weights)
        raise BadInput(f"{weights}: damaged ({error}); {kind.remedy}") from None
    if digest != card.get("weights_sha256" if folder else "arrays_sha256"):
        raise BadInput(f"{weights}: damaged (its arrays are not those that were written); "
                       f"{kind.remedy}")
    return card, arrays


@contextlib.contextmanager
def as_written(path: str | os.PathLike[str], name: str) -> Iterator[None]:
    """Turns what arrays of another form make fail inside the block into one line.

    Args:
        path: Where the arrays come from.
        name: What they should make.

    Raises:
        BadInput: Something failed.
    """
    try:
        yield
    except PipelineError:
        raise
    except (KeyError, IndexError, TypeError, RuntimeError, ValueError, AttributeError) as error:
        # PyTorch's message names the module in its first line, the array in its second.
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise BadInput(f"{path}: its arrays do not make a {name}: {reason}") from None


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
