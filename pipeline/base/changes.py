"""What changed between two configs, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_LONGEST = 60


def differences(then: Any, now: Any, where: str = "") -> list[str]:
    """Each value that differs, by its dotted name.

    >>> differences({"epochs": 2, "optim": {"lr": 0.1}}, {"epochs": 3, "optim": {"lr": 0.1}})
    ['epochs was 2, is 3']
    >>> differences({"parts": [1, 2]}, {"parts": [1, 2, 3], "seed": 1})
    ['parts.2 is new: 3', 'seed is new: 1']
    >>> differences({"a": 1}, {"a": True})
    ['a was 1, is true']
    """
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        return [line for key in dict.fromkeys([*then, *now])
                for line in _of_key(then, now, key, where)]
    if isinstance(then, list) and isinstance(now, list):
        return differences(dict(enumerate(then)), dict(enumerate(now)), where)
    # As JSON: 1 and True are equal in Python, and NaN is not even equal to itself.
    if _text(then, None) == _text(now, None):
        return []
    return [f"{where or 'value'} was {_text(then)}, is {_text(now)}"]


def few(lines: list[str], most: int = 3) -> str:
    """The first of them in one line.

    >>> few(["a", "b", "c", "d"], 2)
    'a; b; and 2 more'
    """
    rest = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "; ".join([*lines[:most], *rest])


def _of_key(then: Mapping[Any, Any], now: Mapping[Any, Any], key: Any, where: str) -> list[str]:
    name = f"{where}.{key}" if where else str(key)
    if key not in now:
        return [f"{name} is gone, was {_text(then[key])}"]
    if key not in then:
        return [f"{name} is new: {_text(now[key])}"]
    return differences(then[key], now[key], name)


def _text(value: Any, longest: int | None = _LONGEST) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return text if longest is None or len(text) <= longest else f"{text[: longest - 3]}..."
