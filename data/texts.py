"""What ships about classes besides their names: descriptions, parts of speech, texts of parts.

A table is a file of ``resources/descriptions``, ``resources/parts_of_speech`` or
``resources/part_texts`` named like its data set, in label order. NTU RGB+D's 60
classes are the first of NTU RGB+D 120, and have no file of their own.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple, TypeVar

from zskel.data.classes import class_names
from zskel.data.common.errors import BadConfig
from zskel.data.common.registry import nearest

#: The noun of a label that has none, as SynSE and JPoSE write it.
NO_NOUN = "#"

_FIRST_OF = {"ntu60": "ntu120"}
_T = TypeVar("_T")


class PartsOfSpeech(NamedTuple):
    """The verb of a label, and its noun or ``NO_NOUN``."""

    verb: str
    noun: str


class PartTexts(NamedTuple):
    """What each part of the body does, what happens in each third, and the motion alone.

    ``motion`` tells how the body moves and names no object and no purpose.
    """

    head: str
    hands: str
    torso: str
    legs: str
    start: str
    middle: str
    end: str
    motion: str


@cache
def descriptions(dataset: str) -> Mapping[str, str]:
    """Class name -> one or two sentences on what moves and how, in label order.

    Raises:
        BadConfig: No descriptions ship for the data set.

    >>> descriptions("nw-ucla")["drop trash"][:19]
    'Walking up to a bin'
    """
    return _first(dataset, json.loads(_table("descriptions", dataset, "json")))


@cache
def parts_of_speech(dataset: str) -> Mapping[str, PartsOfSpeech]:
    """Class name -> verb and noun, in label order.

    NTU's are those of SynSE and JPoSE; the others follow their manner.

    Raises:
        BadConfig: None ship for the data set.

    >>> parts_of_speech("ntu60")["wear a shoe"]
    PartsOfSpeech(verb='put on', noun='shoe')
    """
    rows = csv.DictReader(_table("parts_of_speech", dataset, "csv").splitlines())
    return _first(dataset, {
        row["class"]: PartsOfSpeech(row["verb"], row["noun"] or NO_NOUN) for row in rows
    })


@cache
def part_texts(dataset: str) -> Mapping[str, PartTexts]:
    """Class name -> what its parts and thirds are, in label order.

    Raises:
        BadConfig: None ship for the data set.

    >>> part_texts("ntu60")["clapping"].hands
    'both palms meet and part in a quick beat'
    """
    rows = csv.DictReader(_table("part_texts", dataset, "csv").splitlines())
    return _first(dataset, {row.pop("class"): PartTexts(**row) for row in rows})


def of_all(table: Callable[[str], Mapping[str, _T]]) -> dict[str, Mapping[str, _T]]:
    """One of the tables above for each data set that ships with texts."""
    return {name: table(name) for name in _datasets()}


def look_up(
    names: Sequence[str], tables: Mapping[str, Mapping[str, _T]], dataset: str | None = None
) -> list[_T | None]:
    """What the tables say of each class.

    The same name can stand for different movements in two data sets, such as
    NTU's and NW-UCLA's "throw". It is read as in the data set that has all the
    names; where none has all of them, each name is looked up everywhere.

    Args:
        names: ``[C]`` class names; case and punctuation are of no account.
        tables: Data set -> class name -> text.
        dataset: Look nowhere else.

    Returns:
        ``[C]``, ``None`` for a class that no table has.

    Raises:
        BadConfig: No such table, or tables differ over a name.

    >>> tables = {"a": {"throw": "high", "sit": "low"}, "b": {"throw": "far"}}
    >>> look_up(["throw", "sit", "fly"], tables, "a")
    ['high', 'low', None]
    >>> look_up(["Throw", "sit"], tables)
    ['high', 'low']
    """
    names = [plain(name) for name in names]
    tables = {key: {plain(name): text for name, text in table.items()}
              for key, table in tables.items()}
    if dataset is not None:
        if dataset not in tables:
            raise BadConfig(f"no texts ship for data set {dataset!r}; {nearest(dataset, tables)}")
        return [tables[dataset].get(name) for name in names]
    whole = {key: table for key, table in tables.items() if all(name in table for name in names)}
    found: list[_T | None] = []
    for name in names:
        sources = {key: table[name] for key, table in (whole or tables).items() if name in table}
        if len(set(sources.values())) > 1:
            raise BadConfig(f"class {name!r} differs between {', '.join(sources)}; "
                            "say whose it is with class_text.source.options.dataset, or with "
                            "--dataset of `pipeline import npz`")
        found.append(next(iter(sources.values()), None))
    return found


def plain(name: str) -> str:
    """A class name without what data sets write differently.

    >>> plain("Draw circle (counter-clockwise)")
    'draw circle counter clockwise'
    """
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


def _datasets() -> list[str]:
    folder = resources.files("zskel.data.resources") / "descriptions"
    files = [item.name for item in folder.iterdir()]
    return sorted([name.removesuffix(".json") for name in files if name.endswith(".json")]
                  + list(_FIRST_OF))


def _table(kind: str, dataset: str, ending: str) -> str:
    name = f"{_FIRST_OF.get(dataset, dataset)}.{ending}"
    file = resources.files("zskel.data.resources") / kind / name
    if dataset not in _datasets():
        raise BadConfig(f"no {kind.replace('_', ' ')} ship for data set {dataset!r}; "
                        f"{nearest(dataset, _datasets())}")
    return file.read_text(encoding="utf-8")


def _first(dataset: str, table: dict[str, _T]) -> Mapping[str, _T]:
    return {name: table[name] for name in class_names(dataset)}
