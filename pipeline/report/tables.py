"""A table as data, and its Markdown and CSV forms; the page template makes the HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.report.summary import Stat

#: Printed where a number does not exist; in CSV the cell is empty.
ABSENT = "–"


@dataclass(frozen=True)
class Link:
    """Text that leads to a file, by a path relative to the report."""

    text: str
    href: str


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: Its name in CSV and in the rows.
        label: Its heading.
        kind: "text", "count", "number", "time" (ISO 8601), "link", "rate" (fraction
            of 1, shown in percent) or "stat" (the same with mean and standard
            deviation; a plain float stands for a mean without one).
        over: Heading above a run of columns, "" for none.
        context: Whether the column only names the setting, and goes where the
            surrounding section names it already.
    """

    key: str
    label: str
    kind: str = "text"
    over: str = ""
    context: bool = False

    @property
    def numeric(self) -> bool:
        """Whether it is set flush right."""
        return self.kind in ("count", "number", "rate", "stat")


@dataclass(frozen=True)
class Cell:
    """A formatted value.

    Attributes:
        text: What is read.
        spread: The "± ..." after it, or "".
        sort: What to sort by.
        href: Where it leads, or "".
    """

    text: str
    spread: str = ""
    sort: str = ""
    href: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under typed columns.

    Attributes:
        name: File name of the CSV form, without ending.
        caption: One line that says what it shows.
        columns: Left to right; the first one that is no context names the row.
        rows: Column key -> value; None or a missing key is an absent number.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[dict[str, Any]] = field(default_factory=list)

    def narrow(self, keep: Callable[[dict[str, Any]], bool], caption: str = "") -> Table:
        """The rows for which ``keep`` holds, without the context columns."""
        columns = [column for column in self.columns if not column.context]
        return Table(self.name, caption or self.caption, columns, [r for r in self.rows if keep(r)])

    def without(self, *keys: str) -> Table:
        """The table without some columns."""
        kept = [column for column in self.columns if column.key not in keys]
        return Table(self.name, self.caption, kept, self.rows)

    def cell(self, row: dict[str, Any], column: Column) -> Cell:
        """One value as people read it."""
        return format_cell(row.get(column.key), column.kind)

    def heading_groups(self) -> list[tuple[str, int]]:
        """Runs of equal ``over`` headings with their lengths; empty if there are none."""
        groups: list[tuple[str, int]] = []
        for column in self.columns:
            if groups and groups[-1][0] == column.over:
                groups[-1] = (column.over, groups[-1][1] + 1)
            else:
                groups.append((column.over, 1))
        return groups if any(label for label, _ in groups) else []

    def to_csv(self) -> str:
        """CSV with full precision; rates are fractions of 1, absent numbers empty cells."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        header: list[str] = []
        for column in self.columns:
            header += ([f"{column.key}_mean", f"{column.key}_std"] if column.kind == "stat"
                       else [column.key])
        writer.writerow(header)
        for row in self.rows:
            values: list[str] = []
            for column in self.columns:
                values += _csv_values(row.get(column.key), column.kind)
            writer.writerow(values)
        return out.getvalue()

    def to_markdown(self) -> str:
        """A pipe table under its caption."""
        labels = [f"{c.over}: {c.label}" if c.over else c.label for c in self.columns]
        lines = [f"*{_escape(self.caption)}*", "", _pipe(map(_escape, labels)),
                 _pipe("---:" if column.numeric else "---" for column in self.columns)]
        for row in self.rows:
            cells = [self.cell(row, column) for column in self.columns]
            lines.append(_pipe(
                f"[{_escape(cell.text)}](<{cell.href}>)" if cell.href
                else " ".join(filter(None, (_escape(cell.text), cell.spread)))
                for cell in cells))
        return "\n".join(lines) + "\n"


def percent(value: float, digits: int = 2) -> str:
    """A fraction of 1 in percent, without the sign.

    >>> percent(0.41383), percent(1.0, 1)
    ('41.38', '100.0')
    """
    return f"{100 * value:.{digits}f}"


def format_cell(value: Any, kind: str) -> Cell:
    """Formats a value of a column kind; see :class:`Column`."""
    if value is None or value == "":
        return Cell(ABSENT)
    if kind == "link":
        return Cell(value.text, sort=value.text, href=value.href)
    if kind == "rate" or (kind == "stat" and isinstance(value, float)):
        return Cell(percent(value), sort=repr(float(value)))
    if kind == "stat":
        spread = "" if value.std is None else f"± {percent(value.std)}"
        return Cell(percent(value.mean), spread, repr(value.mean))
    if kind == "count":
        return Cell(f"{value:,}".replace(",", "\u202f"), sort=str(value))
    if kind == "number":
        return Cell(f"{value:.4g}", sort=repr(float(value)))
    if kind == "time":
        return Cell(value[:16].replace("T", " "), sort=value)
    return Cell(str(value), sort=str(value))


def _csv_values(value: Any, kind: str) -> list[str]:
    if kind == "stat":
        if isinstance(value, Stat):
            return [repr(value.mean), "" if value.std is None else repr(value.std)]
        return ["" if value is None else repr(float(value)), ""]
    if value is None:
        return [""]
    if kind == "link":
        return [value.href]
    return [repr(float(value)) if kind in ("rate", "number") else str(value)]


def _pipe(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _escape(text: str) -> str:
    for character in "\\|*_[]<>`":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())
