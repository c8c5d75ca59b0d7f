"""Rows of f_y that say less than the texts: texts that were cut, and rows that are the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from zskel.data.caches import TextFeatures
from zskel.data.common.errors import BadCache

#: Rows that differ by less than this share of their length differ by rounding alone.
_ROUNDING = 1e-5


def is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen.

    >>> is_blank(" \\u200b\\ufeff"), is_blank("#")
    (True, False)
    """
    return all(unicodedata.category(char) in ("Cc", "Cf", "Zs", "Zl", "Zp") for char in text)


def cut_classes(features: TextFeatures) -> dict[str, tuple[int, int]]:
    """Classes of which the encoder has not read the whole text.

    Returns:
        Class name -> tokens of its text and how many of them the encoder reads; of several
        texts those of the one that is cut most. Empty where the tokens were not counted.
    """
    if features.tokens is None:
        return {}
    tokens = features.tokens.reshape(len(features.class_names), -1)
    limit = np.asarray(features.token_limit)
    over = np.where((tokens >= 0) & (limit >= 0), tokens - limit, 0)
    worst = over.argmax(axis=1)
    return {name: (int(tokens[row, worst[row]]), int(limit[worst[row]]))
            for row, name in enumerate(features.class_names) if over[row, worst[row]] > 0}


def about_cut(features: TextFeatures) -> str:
    """One line that names the classes whose texts were cut; empty if none were.

    Args:
        features: Of any encoder.
    """
    cut = cut_classes(features)
    if not cut:
        return ""
    limits = sorted({limit for _, limit in cut.values()})
    return (f"{features.encoder} reads {' or '.join(map(str, limits))} tokens of a text; those of "
            f"{len(cut)} of {len(features.class_names)} classes are longer and were cut: "
            + few([f"{name!r} ({count})" for name, (count, _) in cut.items()], 5))


def check_distinct(features: TextFeatures, where: str) -> None:
    """Refuses f_y in which two classes have the same row, up to rounding.

    No method can tell such classes apart. Parts of speech may share rows: two classes
    can have the same noun.

    Args:
        features: The text features of whole classes.
        where: Named at the start of the error message.

    Raises:
        BadCache: With the first classes that share a row, and why where that is known.
    """
    rows = features.f_y.astype(np.float64)
    squares = (rows ** 2).sum(axis=1)
    apart = squares[:, None] + squares - 2 * rows @ rows.T
    same = apart <= _ROUNDING ** 2 * np.maximum(squares[:, None], squares)
    several = np.flatnonzero(same.sum(axis=1) > 1)
    if not len(several):
        return
    alike = np.flatnonzero(same[several[0]])
    names = [features.class_names[row] for row in alike]
    raise BadCache(f"{where}: the classes {few([repr(name) for name in names])} have the same row "
                   f"of f_y, so no method can tell them apart; {_cause(features, alike)}")


def few(names: Sequence[str], most: int = 3) -> str:
    """Names in one line.

    >>> few(["a", "b", "c", "d"]), few(["a", "b"])
    ('a, b and 2 more', 'a and b')
    """
    shown = names if len(names) <= most else [*names[:most - 1], f"{len(names) - most + 1} more"]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _cause(features: TextFeatures, alike: np.ndarray) -> str:
    texts = features.text.reshape(len(features.class_names), -1)[alike]
    if (texts == texts[0]).all():
        return f"they have the same text ({str(texts[0, 0])[:60]!r}), and each needs its own"
    cut = cut_classes(features)
    names = [features.class_names[row] for row in alike]
    if all(name in cut for name in names):
        limit, lengths = cut[names[0]][1], [cut[name][0] for name in names]
        return (f"their texts differ only behind the {limit} tokens that {features.encoder} reads "
                f"(they have {min(lengths)} to {max(lengths)}): shorten them, say first what "
                "differs, or take an encoder that reads more")
    return f"{features.encoder} makes no difference between their texts; word them otherwise"
