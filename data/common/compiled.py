"""Functions that numba compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

#: What all of them are compiled with.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def jit(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compiles for one signature, and keeps the result on disk where that is possible.

    What is kept is renewed when the file of the function changes, not when that of a
    function changes which it calls.
    """
    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return numba.njit(signature, cache=True, **OPTIONS)(function)
        except (RuntimeError, OSError):  # no folder for it, or no room
            return numba.njit(signature, **OPTIONS)(function)

    return compiled
