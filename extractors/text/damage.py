"""Why a text model that is on this machine does not load: which of its files, and how."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from zskel.data.common.errors import BadInput
from zskel.data.common.files import mistaken_for

#: Endings of files of weights.
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
#: The files of a folder that are read, whatever else a training left there.
_READ = ("*.json", "*.safetensors", "pytorch_model*.bin", "open_clip*.bin")


def damaged_file(place: Path) -> str | None:
    """The first file of a model that is not what its name says.

    Args:
        place: The model's folder, or its one file of weights.

    Returns:
        "FILE is ..." in words; None if each file by itself looks whole.
    """
    files = sorted(path for pattern in _READ for path in place.rglob(pattern)) \
        if place.is_dir() else [place]
    return next(filter(None, map(_fault, files)), None)


def _fault(path: Path) -> str | None:
    found = mistaken_for(path)
    if found is not None:
        return f"{path} is {found}"
    return next((f"{path} {problem}" for problem in _problems(path)), None)


def _problems(path: Path) -> Iterator[str]:
    if path.suffix == ".json":
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            yield f"is not JSON ({error})"
    elif path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy"):
                pass
        except SafetensorError as error:
            yield f"is damaged or cut off ({error})"
    else:
        from zskel.extractors.weights import read_state

        try:
            read_state(path)
        except BadInput as error:
            yield f"cannot be used: {str(error).removeprefix(f'{path}: ')}"
