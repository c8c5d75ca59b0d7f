"""Checks of what methods are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from zskel.data.common.errors import BadInput

TextFeatures = np.ndarray | Mapping[str, np.ndarray]
"""f_y ``[C, Dt]``, or for methods with ``text_parts`` one such array for each part.

For methods that read tokens it may be a mapping of ``WHOLE``, f_y, and ``TOKENS``, features
``[C, L, Dl]`` of each token, all zeros where a text has no more of them.
"""

WHOLE, TOKENS = "f_y", "tokens"


def check_unseen(classes: Sequence[int], count: int, seen_classes: np.ndarray) -> np.ndarray:
    """Checks unseen classes and returns them ascending, int64.

    Raises:
        BadInput: As :func:`check_classes`, or one was seen in training.
    """
    unseen = check_classes(classes, count, "unseen_classes")
    seen = np.intersect1d(unseen, seen_classes)
    if len(seen):
        raise BadInput(f"unseen_classes holds class {seen[0]}, which was seen in training")
    return unseen


def unit_rows(f: np.ndarray, name: str = "f_y") -> np.ndarray:
    """Rows scaled to unit length.

    Raises:
        BadInput: A row is all zeros.

    >>> unit_rows(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """
    norms = np.linalg.norm(f, axis=1, keepdims=True)
    if not norms.all():
        raise BadInput(f"{name} row {int(np.argmin(norms))} is all zeros")
    return f / norms


def unit_tokens(
    tokens: ArrayLike, classes: int, shape: tuple[int, ...] | None = None
) -> np.ndarray:
    """Tokens ``[C, L, D]`` as float32, each scaled to unit length but for padding.

    Args:
        tokens: All zeros where a text has no more of them.
        classes: C.
        shape: L and D where they are known.

    Raises:
        BadInput: They have another shape or non-finite values, or a class has none.

    >>> unit_tokens(np.array([[[3.0, 4.0], [0.0, 0.0]]]), 1).tolist()
    [[[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]]
    """
    try:
        tokens = np.ascontiguousarray(tokens, dtype=np.float32)
    except (TypeError, ValueError):
        raise BadInput("tokens is not an array of numbers") from None
    expected = "L, D" if shape is None else ", ".join(map(str, shape))
    if tokens.ndim != 3 or len(tokens) != classes or 0 in tokens.shape or (
            shape is not None and tokens.shape[1:] != shape):
        raise BadInput(f"tokens has shape {list(tokens.shape)}, expected [{classes}, {expected}]")
    if not np.isfinite(tokens).all():
        raise BadInput("tokens holds non-finite values")
    norms = np.linalg.norm(tokens, axis=2, keepdims=True)
    without = np.flatnonzero(~norms.any(axis=(1, 2)))
    if len(without):
        raise BadInput(f"tokens of class {without[0]} are all zeros")
    return tokens / np.where(norms > 0, norms, 1)


def check_training_data(
    f_x: ArrayLike, y: ArrayLike, f_y: TextFeatures, seen_classes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Checks what ``fit`` is given.

    Returns:
        f_x as float32, y as int64, f_y as float32, seen_classes ascending.

    Raises:
        BadInput: With the first broken rule in one line.
    """
    f_x, f_y = check_features(f_x, "f_x"), check_features(f_y, "f_y")
    y = np.asarray(y)
    if y.shape != (len(f_x),) or y.dtype.kind not in "iu":
        raise BadInput(f"y is {y.dtype} {list(y.shape)}, "
                       f"expected integers [{len(f_x)}], one a row of f_x")
    seen = check_classes(seen_classes, len(f_y), "seen_classes")
    strange = np.setdiff1d(y, seen)
    if len(strange):
        raise BadInput(f"y holds class {strange[0]}, which is not in seen_classes")
    empty = np.setdiff1d(seen, y)
    if len(empty):
        raise BadInput(f"seen class {empty[0]} has no row in f_x; leave it out of seen_classes")
    return f_x, y.astype(np.int64), f_y, seen


def check_features(
    f: ArrayLike | Mapping[str, np.ndarray], name: str, columns: int | None = None
) -> np.ndarray:
    """Checks a feature matrix and returns it as contiguous float32.

    Raises:
        BadInput: It is not ``[N, D]`` with N, D > 0, has another number of
            columns than ``columns``, or holds non-finite values.
    """
    try:
        f = np.ascontiguousarray(f, dtype=np.float32)
    except (TypeError, ValueError):
        raise BadInput(f"{name} is not an array of numbers") from None
    if f.ndim != 2 or 0 in f.shape:
        raise BadInput(f"{name} has shape {list(f.shape)}, "
                       "expected [rows, columns], neither of them 0")
    if columns is not None and f.shape[1] != columns:
        raise BadInput(f"{name} has {f.shape[1]} columns, fit was given {columns}")
    finite = np.isfinite(f).all(axis=1)
    if not finite.all():
        raise BadInput(f"{name} row {int(np.argmin(finite))} holds non-finite values")
    return f


def check_classes(classes: Sequence[int], count: int, name: str) -> np.ndarray:
    """Checks a list of class ids and returns it ascending, int64.

    Raises:
        BadInput: It is empty, has duplicates, or an id outside ``range(count)``.
    """
    array = np.asarray(classes)
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
        raise BadInput(f"{name} is {classes!r}, expected a list of class ids")
    unique = np.unique(array).astype(np.int64)
    if len(unique) < len(array):
        raise BadInput(f"{name} has duplicates")
    if unique[0] < 0 or unique[-1] >= count:
        outside = unique[0] if unique[0] < 0 else unique[-1]
        raise BadInput(f"{name} holds class {outside}, f_y has rows for {count} classes")
    return unique


def check_training_parts(
    f_x: ArrayLike, y: ArrayLike, f_y: TextFeatures, seen_classes: Sequence[int],
    parts: Sequence[str],
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


def check_training_texts(
    f_x: ArrayLike, y: ArrayLike, f_y: TextFeatures, seen_classes: Sequence[int],
    parts: Sequence[str], whole: str, reads_tokens: bool = False,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """``check_training_parts``; without parts the same of one text, named ``whole``.

    Where tokens are read and given, they are there as ``TOKENS``, too.
    """
    if parts:
        return check_training_parts(f_x, y, f_y, seen_classes, parts)
    tokens = None
    if reads_tokens and isinstance(f_y, Mapping) and set(f_y) == {WHOLE, TOKENS}:
        f_y, tokens = f_y[WHOLE], f_y[TOKENS]
    f_x, y, text, seen = check_training_data(f_x, y, f_y, seen_classes)
    found = {whole: unit_rows(text)}
    if tokens is not None:
        found[TOKENS] = unit_tokens(tokens, len(text))
    return f_x, y, found, seen
