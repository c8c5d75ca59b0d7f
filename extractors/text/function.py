"""A text encoder that is a function of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.outside import load_outside, one_line, outside_digest

_KIND = "text encoder 'function':"


class FunctionEncoder:
    """Calls a function that maps N strings to N rows.

    Args:
        function: ``"package.module:callable"`` or ``"path/to/file.py:callable"``.
        options: Keyword arguments for the function, after the list of strings.

    Raises:
        BadConfig: There is no such module, file or callable, or loading it fails.
    """

    def __init__(self, function: str, **options: Any) -> None:
        found = load_outside(function, _KIND)
        if not callable(found):
            raise BadConfig(f"{_KIND} {function!r} is no callable")
        place, _, name = function.rpartition(":")
        shown = Path(place).name if place.endswith(".py") else place
        self.name = f"function:{shown}:{name}"
        self.revision = f"sha256:{outside_digest(function)}"
        self._options = options
        self._function: Callable[..., Any] = found

    @staticmethod
    def known_revision(function: str, **options: Any) -> str | None:
        """The revision, without loading the module; None where its file is gone."""
        digest = outside_digest(function)
        return None if digest is None else f"sha256:{digest}"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 ``[N, D]``.

        Raises:
            BadInput: The function fails, or returns something else.
        """
        try:
            vectors = np.asarray(self._function(list(texts), **self._options), np.float32)
        except Exception as error:  # the function is the user's: anything can go wrong in it
            raise BadInput(f"text encoder {self.name}: {one_line(error)}") from error
        if vectors.ndim != 2 or len(vectors) != len(texts) or vectors.shape[1] == 0:
            raise BadInput(f"text encoder {self.name}: returned shape {vectors.shape} for "
                           f"{len(texts)} strings, expected [{len(texts)}, D]")
        if not np.isfinite(vectors).all():
            row = int(np.argwhere(~np.isfinite(vectors))[0][0])
            raise BadInput(f"text encoder {self.name}: row {row} is not finite "
                           f"({texts[row]!r})")
        return vectors
