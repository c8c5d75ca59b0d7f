"""Published figures, as resources: the paper's tables and those of later methods."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from pydantic import BaseModel

from zskel.pipeline.report.summary import Setting

#: Files of ``literature/``: the paper itself, and what came after it.
FILES = ("sa_dvae", "later")


class SplitColumn(BaseModel, frozen=True):
    """A data set and one class split, or several over which figures are averaged.

    Attributes:
        splits: Names in ``zskel.data.splits``; none if the lists are not public here.
    """

    key: str
    label: str
    dataset: str
    sample_protocol: str
    splits: tuple[str, ...]

    def position(self, setting: Setting) -> int | None:
        """Which of the splits a setting is.

        The held-out classes decide, not the name of the split.
        """
        from zskel.data.splits import class_split

        if (setting.dataset, setting.sample_protocol) != (self.dataset, self.sample_protocol):
            return None
        own = tuple(entry.index for entry in setting.unseen)
        held_out = [class_split(self.dataset, name).unseen for name in self.splits]
        return held_out.index(own) if own in held_out else None


class PublishedRow(BaseModel, frozen=True):
    """One line of a published table.

    Attributes:
        values: Percent, ``[columns][metrics]``; None where nothing legible was printed.
        ours: Which results of ours belong beside it (see ``published_comparison.accepts``);
            None for none.
        evaluation: How it was evaluated, or "".
        source: "P" read at the source, "Q" quoted by others, "" in the paper's own tables.
        features: What it was computed from, or "".
        digits: Decimals it was printed with.
    """

    label: str
    values: tuple[tuple[float | None, ...], ...]
    ours: dict[str, Any] | None = None
    evaluation: str = ""
    source: str = ""
    features: str = ""
    digits: int = 2


class PublishedTable(BaseModel, frozen=True):
    """A published table.

    Attributes:
        ours: What results of ours have to be to stand in it once, below its rows;
            None where they stand beside its rows.
    """

    key: str
    title: str
    note: str = ""
    columns: tuple[SplitColumn, ...]
    metrics: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    ours: dict[str, Any] | None

    @property
    def marked(self) -> bool:
        """Whether its rows say how they were evaluated."""
        return any(row.evaluation for row in self.rows)


@cache
def literature(name: str) -> dict[str, Any]:
    """A file of ``literature/`` as it is; values are percentages."""
    file = resources.files("zskel.pipeline.report") / "literature" / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))


@cache
def columns() -> dict[str, SplitColumn]:
    """Every column that a published table can have, by key."""
    return {item["key"]: SplitColumn(**item) for item in literature("sa_dvae")["columns"]}


@cache
def published_tables(name: str) -> tuple[PublishedTable, ...]:
    """The tables of a file of ``literature/``.

    >>> [table.key.removeprefix("table_") for table in published_tables("sa_dvae")]
    ['3', '4', '6', '7', '8', 'b', 'c', 'd', 'e', 'g', 'h']
    """
    return tuple(_table(item) for item in literature(name)["tables"])


def _table(item: dict[str, Any]) -> PublishedTable:
    """A table, with what all its rows want of ours said in each of them."""
    common = item.get("ours", {})
    rows = [row if row.get("ours") is None else {**row, "ours": {**common, **row["ours"]}}
            for row in item["rows"]]
    beside = any("ours" in row for row in rows)
    return PublishedTable(**{
        **item, "columns": [columns()[key] for key in item["columns"]], "rows": rows,
        "ours": None if beside else common})
