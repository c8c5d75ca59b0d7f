"""Checks of text features that come in parts, such as verb and noun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zskel.data.common.errors import BadInput
from zskel.zsl.methods.base import check_training_data, unit_rows


def check_training_parts(
    f_x: Any, y: Any, f_y: Any, seen_classes: Sequence[int], parts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """``check_training_data`` for a mapping of text features.

    A label without a noun has the embedding of ``zskel.data.texts.NO_NOUN``: a row
    like any other, which all such labels share.

    Args:
        f_x, y, seen_classes: As for ``check_training_data``.
        f_y: Part -> ``[C, Dt]``; the widths may differ.
        parts: The keys that must be there; others are refused.

    Returns:
        f_x as float32, y as int64, each part float32 with unit rows in the order
        of ``parts``, seen_classes ascending.

    Raises:
        BadInput: With the first broken rule in one line.

    >>> ones = np.ones((2, 3))
    >>> check_training_parts(ones, [0, 1], {"verb": ones}, [0, 1], ("verb", "noun"))
    Traceback (most recent call last):
    ...
    zskel.data.common.errors.BadInput: f_y has no part 'noun'; expected text features of verb, noun
    """
    expected = f"expected text features of {', '.join(parts)}"
    if not isinstance(f_y, Mapping):
        raise BadInput(f"f_y is one {type(f_y).__name__}; {expected}")
    for name in parts:
        if name not in f_y:
            raise BadInput(f"f_y has no part {name!r}; {expected}")
    for name in f_y:
        if name not in parts:
            raise BadInput(f"f_y has a part {name!r}; {expected}")
    checked: dict[str, np.ndarray] = {}
    for name in parts:
        try:
            x, labels, text, seen = check_training_data(f_x, y, f_y[name], seen_classes)
            checked[name] = unit_rows(text)
        except BadInput as error:
            raise BadInput(str(error).replace("f_y", f"f_y[{name!r}]")) from None
    counts = {name: len(text) for name, text in checked.items()}
    if len(set(counts.values())) > 1:
        raise BadInput(f"the parts of f_y have rows for {counts} classes, expected as many each")
    return x, labels, checked, seen
