"""A table as data, and its Markdown and CSV forms; ``latex`` and the page have the others."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from zskel.pipeline.report.summary import Stat

#: Printed where a number does not exist; in CSV the cell is empty.
ABSENT = "–"


@dataclass(frozen=True)
class Link:
    """Text that leads to a file, by a path relative to the report."""

    text: str
    href: str


@dataclass(frozen=True)
class Printed:
    """A figure as it was printed.

    Attributes:
        mean: As a fraction of 1.
        digits: Decimals of the percentage.
    """

    mean: float
    digits: int
    std: None = None


@dataclass(frozen=True)
class Average:
    """A mean over class splits of means over seeds.

    Attributes:
        splits: One statistic a split that was run.
        of: How many splits there are; with fewer runs no mean exists.
    """

    splits: tuple[Stat, ...]
    of: int

    @property
    def whole(self) -> Stat | None:
        """Statistics over the splits' means, None if any split is missing."""
        if len(self.splits) < self.of:
            return None
        return Stat(tuple(stat.mean for stat in self.splits))


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: Its name in CSV and in the rows.
        label: Its heading.
        kind: "text", "count", "number", "time" (ISO 8601), "link", "links", "rate" (fraction
            of 1, shown in percent), "stat" (the same with mean and standard
            deviation; a ``Printed`` stands for a published one, an ``Average`` for one
            over splits) or "points" (a signed difference of fractions,
            shown in percentage points).
        over: Heading above a run of columns, "" for none.
        context: Whether the column only names the setting, and goes where the
            surrounding section names it already.
        linked: Whether its numbers come from records and lead there.
        shared: How the caption says a value that all rows share, in place of the column;
            "" keeps the column.
    """

    key: str
    label: str
    kind: str = "text"
    over: str = ""
    context: bool = False
    linked: bool = True
    shared: str = ""

    @property
    def numeric(self) -> bool:
        """Whether it is set flush right."""
        return self.kind in ("count", "number", "rate", "stat", "points")


@dataclass(frozen=True)
class Cell:
    """A formatted value.

    Attributes:
        text: What is read.
        spread: The "± ..." after it, or "".
        sort: The value in full precision, to sort by and for CSV.
        std: The same of its standard deviation.
        href: Where it leads, or "".
        links: Several places it leads to, named one by one, instead of ``text``.
        mark: A sign behind it that the caption explains, or "".
    """

    text: str
    spread: str = ""
    sort: str = ""
    std: str = ""
    href: str = ""
    mark: str = ""
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows under typed columns.

    Attributes:
        name: File name of the CSV form, without ending.
        caption: One line that says what it shows.
        columns: Left to right; the first one that is no context names the row.
        rows: Column key -> value; None or a missing key is an absent number. Besides,
            "href" is where the row's numbers lead, "hrefs" the same by column key,
            "marks" are signs behind cells by column key, and "ours" tells rows of
            ours among published ones.
        data: Whether it is for machines rather than readers: only written as CSV.
        legend: What the marks mean; said where there are any.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[dict[str, Any]] = field(default_factory=list)
    data: bool = False
    legend: str = ""

    @property
    def heading(self) -> str:
        """Caption and, if any row has marks, their legend."""
        marked = any(row.get("marks") for row in self.rows)
        return f"{self.caption} {self.legend}" if marked and self.legend else self.caption

    def narrow(self, keep: Callable[[dict[str, Any]], bool], caption: str = "") -> Table:
        """The rows for which ``keep`` holds, without the context columns."""
        columns = [column for column in self.columns if not column.context]
        return replace(self, caption=caption or self.caption, columns=columns,
                       rows=[row for row in self.rows if keep(row)])

    def condensed(self, telling: Sequence[str] = ()) -> Table:
        """As people read it: what all rows share goes, or stands in the caption.

        Args:
            telling: Context columns that stay where rows differ in them.
        """
        columns, caption = list[Column](), self.caption
        for column in self.columns:
            values = {row.get(column.key) for row in self.rows
                      if column.context or column.shared}  # others need not be hashable
            if column.shared and len(values) <= 1:
                caption = " ".join([caption, *map(column.shared.format, values)])
            elif not column.context or (column.key in telling and len(values) > 1):
                columns.append(column)
        return replace(self, columns=columns, caption=caption)

    def without(self, *keys: str) -> Table:
        """The table without some columns."""
        kept = [column for column in self.columns if column.key not in keys]
        return replace(self, columns=kept)

    def cell(self, row: dict[str, Any], column: Column) -> Cell:
        """One value as people read it."""
        cell = format_cell(row.get(column.key), column.kind)
        mark = row.get("marks", {}).get(column.key, "")
        href = cell.href
        if column.linked and column.kind in ("stat", "rate", "points") and cell.sort:
            href = row.get("hrefs", {}).get(column.key) or row.get("href", "")
        return replace(cell, mark=mark, href=href)

    def heading_groups(self) -> list[tuple[str, int]]:
        """Runs of equal ``over`` headings with their lengths; empty if there are none."""
        groups = [(over, len(list(run))) for over, run in groupby(c.over for c in self.columns)]
        return groups if any(label for label, _ in groups) else []

    def to_csv(self) -> str:
        """CSV with full precision; rates are fractions of 1, absent numbers empty cells."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([name for column in self.columns for name in (
            (f"{column.key}_mean", f"{column.key}_std") if column.kind == "stat"
            else (column.key,))])
        for row in self.rows:
            writer.writerow([value for column in self.columns
                             for value in _csv_values(row.get(column.key), column.kind)])
        return out.getvalue()

    def to_markdown(self) -> str:
        """A pipe table under its caption."""
        labels = [f"{c.over}: {c.label}" if c.over else c.label for c in self.columns]
        lines = [f"*{_escape(self.heading)}*", "", _pipe(map(_escape, labels)),
                 _pipe("---:" if column.numeric else "---" for column in self.columns)]
        for row in self.rows:
            cells = [self.cell(row, column) for column in self.columns]
            lines.append(_pipe(map(_markdown, cells)))
        return "\n".join(lines) + "\n"


def percent(value: float, digits: int = 2) -> str:
    """A fraction of 1 in percent, without the sign.

    >>> percent(0.41383), percent(1.0, 1)
    ('41.38', '100.0')
    """
    return f"{100 * value:.{digits}f}"


#: How values of the plain kinds are written.
_FORMS: dict[str, Callable[[Any], str]] = {
    "text": str, "rate": percent, "points": lambda value: f"{100 * value:+.2f}",
    "number": lambda value: f"{value:.4g}",
    "count": lambda value: f"{value:,}".replace(",", "\u202f"),
    "time": lambda value: value[:16].replace("T", " "),
}


def format_cell(value: Any, kind: str) -> Cell:
    """Formats a value of a column kind; see :class:`Column`."""
    if value is None or value == "":
        return Cell(ABSENT)
    if kind == "link":
        return Cell(value.text, sort=value.text, href=value.href)
    if kind == "links":
        text = ", ".join(link.text for link in value)
        return Cell(text, sort=text, links=tuple(link for link in value if link.href))
    if isinstance(value, Average):
        if value.whole is None:
            return Cell(f"{len(value.splits)} of {value.of} splits")
        value = value.whole
    if kind == "stat":
        std = value.std
        return Cell(percent(value.mean, value.digits), "" if std is None else f"± {percent(std)}",
                    repr(value.mean), "" if std is None else repr(std))
    exact = repr(float(value)) if kind in ("rate", "points", "number") else str(value)
    return Cell(_FORMS[kind](value), sort=exact)


def _csv_values(value: Any, kind: str) -> Sequence[str]:
    cell = format_cell(value, kind)
    if kind == "stat":
        return cell.sort, cell.std
    return (cell.href if kind == "link" else cell.sort,)


def _markdown(cell: Cell) -> str:
    """A cell's text with its links."""
    def lead(text: str, href: str) -> str:
        return f"[{_escape(text)}](<{href}>)" if href else _escape(text)

    links = ", ".join(lead(link.text, link.href) for link in cell.links)
    shown = links or lead(cell.text, cell.href)
    return " ".join(filter(None, (shown + _escape(cell.mark), cell.spread)))


def _pipe(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escape(text: str) -> str:
    for character in "\\|*_[]<>`":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())
