"""Class names of the data sets, in label order."""

from __future__ import annotations

from functools import cache
from importlib import resources

from data.errors import BadConfig


@cache
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
    if dataset == "synthetic":
        from data import synthetic

        return synthetic.class_names()
    file = resources.files("data.resources") / "classes" / f"{dataset}.txt"
    if not file.is_file():
        raise BadConfig(f"unknown data set {dataset!r}; there are {', '.join(datasets())}")
    return tuple(file.read_text(encoding="utf-8").splitlines())


def datasets() -> tuple[str, ...]:
    """Names of all data sets with a class list."""
    folder = resources.files("data.resources") / "classes"
    names = [item.name.removesuffix(".txt") for item in folder.iterdir() if item.name.endswith(".txt")]
    return tuple(sorted([*names, "synthetic"]))
