"""What every reader asks of the coordinates of a clip."""

from __future__ import annotations

import numpy as np

from zskel.data.common.errors import ClipError
from zskel.data.skeleton import present


def finite(values: np.ndarray, where: str) -> np.ndarray:
    """The values as float32.

    Args:
        values: Numbers.
        where: Names them in the message.

    Raises:
        ClipError: One is not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = values.astype(np.float32)
    if not np.isfinite(found).all():
        raise ClipError(f"{where} holds a number that is not finite as float32")
    return found


def bodies_there(clip: np.ndarray, where: str) -> np.ndarray:
    """The bodies of ``[M, T, V, 3]`` that appear in some frame.

    Args:
        clip: Zeros where a body is absent.
        where: Names it in the message.

    Raises:
        ClipError: There is none.
    """
    bodies = present(clip).any(axis=1)
    if not bodies.any():
        raise ClipError(f"{where}: no body in any of its {clip.shape[1]} frames, all coordinates "
                        "are zero")
    return clip[bodies]
