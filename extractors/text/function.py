"""A text encoder that is a function of one's own."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.files import digest_file


class FunctionEncoder:
    """Calls a function that maps N strings to N rows.

    Args:
        function: ``"package.module:callable"`` or ``"path/to/file.py:callable"``.
        options: Keyword arguments for the function, after the list of strings.

    Raises:
        BadConfig: There is no such module, file or callable, or loading it fails.
    """

    def __init__(self, function: str, **options: Any) -> None:
        place, name = _parts(function)
        source = _source(place)
        if source is None:
            kind = "file" if place.endswith(".py") else "module with a source file"
            raise BadConfig(f"text encoder 'function': {place}: no such {kind}; expected "
                            "'package.module:callable' or 'path/to/file.py:callable'")
        shown = source.name if place.endswith(".py") else place
        self.name = f"function:{shown}:{name}"
        self.revision = f"sha256:{digest_file(source)}"
        self._options = options
        found = getattr(_load(place, source), name, None)
        if not callable(found):
            what = "has no" if found is None else "has no callable"
            raise BadConfig(f"text encoder 'function': {place} {what} {name!r}")
        self._function: Callable[..., Any] = found

    @staticmethod
    def known_revision(function: str, **options: Any) -> str | None:
        """The revision, without loading the module; None where its file is gone."""
        source = _source(_parts(function)[0])
        return None if source is None else f"sha256:{digest_file(source)}"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 ``[N, D]``.

        Raises:
            BadInput: The function fails, or returns something else.
        """
        try:
            vectors = np.asarray(self._function(list(texts), **self._options), np.float32)
        except Exception as error:  # the function is the user's: anything can go wrong in it
            raise BadInput(f"text encoder {self.name}: {_one_line(error)}") from error
        if vectors.ndim != 2 or len(vectors) != len(texts) or vectors.shape[1] == 0:
            raise BadInput(f"text encoder {self.name}: returned shape {vectors.shape} for "
                           f"{len(texts)} strings, expected [{len(texts)}, D]")
        if not np.isfinite(vectors).all():
            row = int(np.argwhere(~np.isfinite(vectors))[0][0])
            raise BadInput(f"text encoder {self.name}: row {row} is not finite "
                           f"({texts[row]!r})")
        return vectors


def _parts(function: str) -> tuple[str, str]:
    place, colon, name = str(function).rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise BadConfig(f"text encoder 'function': {function!r}: expected "
                        "'package.module:callable' or 'path/to/file.py:callable'")
    return place, name


def _source(place: str) -> Path | None:
    """The file that a module or a path stands for."""
    if place.endswith(".py"):
        return Path(place) if Path(place).is_file() else None
    try:
        spec = importlib.util.find_spec(place)
    except Exception:  # a parent package runs its own code, and may not be there
        return None
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return path if path is not None and path.is_file() else None


def _load(place: str, source: Path) -> ModuleType:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        # Known by its content, so that two files of the same name are two modules.
        name = f"_text_encoder_{source.stem}_{digest_file(source)[:16]}"
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, source)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module
    except Exception as error:  # the module is the user's: anything can go wrong in it
        raise BadConfig(f"text encoder 'function': {place} cannot be loaded: "
                        f"{_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
