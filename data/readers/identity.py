"""Who a clip shows, seen by which camera, in which setup and repetition: from whatever tells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zskel.data.caches import IDENTITY
from zskel.data.common.errors import BadConfig
from zskel.data.common.registry import nearest

Value = int | str

_NTU_NAME = re.compile("S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A[0-9]{3}")
_DIGITS = re.compile("[0-9]{1,9}")
#: The largest number that the sequence store and the caches keep (int16).
_LARGEST = np.iinfo(np.int16).max


class NamePattern:
    r"""A regular expression that finds identity in a clip's name, anywhere in it.

    Args:
        pattern: With named groups among subject, camera, setup and replication.

    Raises:
        BadConfig: It is no regular expression, or has other groups or none.

    >>> NamePattern(r"p(?P<subject>\d+)_.*_take(?P<replication>\d)")("p07_wave_take3")
    {'subject': '07', 'replication': '3'}
    """

    def __init__(self, pattern: str) -> None:
        where = f"reader_options.name_pattern {pattern!r}"
        try:
            self._expression = re.compile(pattern)
        except (re.error, TypeError) as error:
            raise BadConfig(f"{where}: is no regular expression: {error}") from None
        groups = self._expression.groupindex
        strange = sorted(set(groups) - set(IDENTITY))
        if strange:
            raise BadConfig(f"{where}: unknown group {strange[0]!r}; "
                            f"{nearest(strange[0], IDENTITY)}")
        if not groups:
            raise BadConfig(f"{where}: has no named group, such as (?P<subject>...); there are "
                            f"{', '.join(IDENTITY)}")

    def __call__(self, name: str) -> dict[str, Value] | None:
        """What the name tells; None: it does not match."""
        found = self._expression.search(name)
        if found is None:
            return None
        return {field: text for field, text in found.groupdict().items() if text}


def of_ntu_name(name: str) -> dict[str, Value]:
    """What a name such as ``SsssCcccPpppRrrrAaaa`` tells; any other name tells nothing.

    >>> of_ntu_name("S001C002P003R004A005")
    {'setup': 1, 'camera': 2, 'subject': 3, 'replication': 4}
    """
    found = _NTU_NAME.fullmatch(name)
    fields = ("setup", "camera", "subject", "replication")
    return dict(zip(fields, map(int, found.groups()), strict=True)) if found else {}


def of_annotation(annotation: Mapping[Any, Any]) -> tuple[dict[str, Value], str]:
    """What an annotation says under the keys subject, camera, setup and replication.

    Returns:
        The values, and what is wrong with one of them or "". None and -1 stand
        for an unknown value.
    """
    values: dict[str, Value] = {}
    for field in IDENTITY:
        value = annotation.get(field)
        if isinstance(value, str) and value.strip() and value.isprintable():
            values[field] = str(value).strip()
        elif isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= -1:
            values |= {field: int(value)} if value >= 0 else {}
        elif value is not None:
            return {}, f"{field!r} is {ascii(value)[:40]}, expected a number from 0 or a name"
    return values, ""


def numbered(
    clips: Sequence[Mapping[str, Value]],
) -> tuple[list[dict[str, Any]], dict[str, dict[str, int]]]:
    """Turns values into numbers, and keeps which number stands for which name.

    Numbers, and texts of digits alone, are themselves. Where a field holds any
    other text, or a number that the store cannot hold, all its values are names:
    in alphabetical order they are numbered from 1.

    Returns:
        Each clip's numbers, and name -> number for each field that has names.

    >>> numbered([{"subject": "07", "setup": "lab"}, {"subject": 7, "setup": "hall"}])
    ([{'subject': 7, 'setup': 2}, {'subject': 7, 'setup': 1}], {'setup': {'hall': 1, 'lab': 2}})
    """
    names: dict[str, dict[str, int]] = {}
    for field in IDENTITY:
        values = {clip[field] for clip in clips if field in clip}
        if not all(_is_number(value) for value in values):
            ordered = sorted({str(value) for value in values})
            names[field] = {name: number for number, name in enumerate(ordered, start=1)}
    return [{field: names[field][str(value)] if field in names else int(value)
             for field, value in clip.items()} for clip in clips], names


def _is_number(value: Value) -> bool:
    return bool(_DIGITS.fullmatch(str(value))) and int(value) <= _LARGEST
