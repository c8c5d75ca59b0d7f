"""Class names of the data sets, in label order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import resources

from zskel.data.common.errors import BadConfig
from zskel.data.common.files import read_text

# Data sets of one's own, by name.
_REGISTERED: dict[str, tuple[str, ...]] = {}


def class_names(dataset: str) -> tuple[str, ...]:
    """The class names of a data set; index = label.

    The NTU names are those of the data set's code repository, which the paper
    uses ("wear on glasses"), not the website's.

    Raises:
        BadConfig: The data set is unknown.

    >>> class_names("ntu60")[17]
    'wear on glasses'
    >>> len(class_names("ntu120")), len(class_names("pku-mmd"))
    (120, 51)
    """
    if dataset in _REGISTERED:
        return _REGISTERED[dataset]
    if dataset == "synthetic":
        from zskel.data import synthetic

        return synthetic.class_names()
    if dataset not in _shipped():
        raise BadConfig(f"unknown data set {dataset!r}; there are {', '.join(datasets())}; "
                        "a data set of your own needs its class_names")
    return _shipped()[dataset]


def register_dataset(
    dataset: str, names: Sequence[str] | str | os.PathLike[str]
) -> tuple[str, ...]:
    """Makes the classes of a data set of one's own known in this process.

    Args:
        dataset: Its name. A name given before takes the new classes.
        names: The class names in label order, or a text file with one a line.

    Returns:
        The class names.

    Raises:
        BadConfig: No names, one that is empty or there twice, or the name of a
            data set that ships with other classes.

    >>> register_dataset("three moves", ["sit", "stand", "turn round"])
    ('sit', 'stand', 'turn round')
    >>> class_names("three moves")[2]
    'turn round'
    """
    if isinstance(names, (str, os.PathLike)):
        try:
            names = read_text(names).splitlines()
        except (OSError, ValueError) as error:
            raise BadConfig(f"class_names: {names} cannot be read as a text file of class names, "
                            f"one a line ({error})") from None
    names = tuple(names)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise BadConfig(f"class_names of {dataset!r}: expected a list of names, none of them empty")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise BadConfig(f"class_names of {dataset!r}: {twice[0]!r} is there twice")
    if dataset in datasets() and dataset not in _REGISTERED and class_names(dataset) != names:
        raise BadConfig(f"data set {dataset!r} ships with other class names; "
                        "give a data set of your own another name")
    _REGISTERED[dataset] = names
    return names


def datasets() -> tuple[str, ...]:
    """Names of all data sets with a class list."""
    return tuple(sorted({*_shipped(), "synthetic", *_REGISTERED}))


@cache
def _shipped() -> dict[str, tuple[str, ...]]:
    folder = resources.files("zskel.data.resources") / "classes"
    return {
        item.name.removesuffix(".txt"): tuple(item.read_text(encoding="utf-8").splitlines())
        for item in folder.iterdir() if item.name.endswith(".txt")
    }
