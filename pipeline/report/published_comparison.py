"""Our results beside published ones: only where they are the same experiment, never filled in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zskel.pipeline.report.caches import is_canonicalized
from zskel.pipeline.report.labels import RELEASED, protocol_label
from zskel.pipeline.report.load import PAPER_WEIGHTS
from zskel.pipeline.report.published import PublishedRow, PublishedTable, SplitColumn
from zskel.pipeline.report.rows import record_href
from zskel.pipeline.report.summary import Group, Setting, Stat
from zskel.pipeline.report.tables import Average, Column, Link, Printed, Table
from zskel.zsl.metrics import METRICS

#: Words in a text source that tell enhanced descriptions from plain labels.
_AUGMENTED = ("description", "llm", "augmented", "file")
#: Said where no row of ours stands.
NOTHING = "Not run: none of the results of this report belong beside these."


@dataclass(frozen=True)
class Candidate:
    """A group of ours in a setting that holds out a column's classes.

    Attributes:
        position: Which of the column's splits the setting is.
        kind: What must be the same in every cell of one row.
    """

    setting: Setting
    group: Group
    position: int
    kind: tuple[str, ...]


def accepts(conditions: Mapping[str, Any], group: Group) -> bool:
    """Whether a group is what has to stand beside a row.

    Args:
        conditions: Trait -> value, or a list of values any of which will do; a
            condition of None is none. Traits are "method", "variant",
            "seen_classifier", "backbone" and "encoder" (beginnings of names), "text"
            ("label" or "augmented"), "canonical" (None if not known) and weights
            such as "beta_x", compared to three decimals.
        group: Which it may be.
    """
    return all(_holds(group, trait, wanted if isinstance(wanted, list) else [wanted])
               for trait, wanted in conditions.items() if wanted is not None)


def _holds(group: Group, trait: str, wanted: list[Any]) -> bool:
    record = group.first
    if trait in ("method", "seen_classifier"):
        return getattr(group, trait) in wanted
    if trait == "variant":
        name, *others = record.variant.split()
        return name in wanted and set(others) <= {RELEASED}
    if trait in ("backbone", "encoder"):
        name = record.backbone.name if trait == "backbone" else record.text.encoder
        return any(name == each or name.startswith((f"{each}-", f"{each}:")) for each in wanted)
    if trait == "text":
        augmented = any(word in record.text.text_source.lower() for word in _AUGMENTED)
        return ("augmented" if augmented else "label") in wanted
    if trait == "canonical":
        return is_canonicalized(group.runs[0]) in wanted
    value = group.option(trait)
    return round(PAPER_WEIGHTS[trait] if value is None else float(value), 3) in wanted


def comparison_table(
    table: PublishedTable, settings: Sequence[Setting], out_dir: Path, averages: str
) -> Table:
    """A published table with our rows below those they belong to.

    A cell that was not run stays empty; one whose splits were run in part says so.

    Args:
        table: The published one.
        settings: Ours.
        out_dir: Where links start.
        averages: What a mean over several splits is, for the caption.
    """
    single = len(table.metrics) == 1
    heads = [Column("label", "Method")]
    cells = [Column(f"{split.key}_{metric}",
                    split.label if single else METRICS[metric].short, "stat",
                    "" if single else split.label)
             for split in table.columns for metric in table.metrics]
    rows: list[dict[str, Any]] = []
    for row in table.rows:
        rows.append(_published_row(table, row))
        if row.ours is not None:
            rows += _our_rows(table, row.ours, settings, out_dir)
    if table.ours is not None:
        rows += _our_rows(table, table.ours, settings, out_dir)
    tail = [
        Column("evaluation", "Evaluation"), Column("mark", "Source"), Column("seeds", "Seeds"),
        Column("features", "Features"), Column("source", "From", "links"),
    ]
    ours = any(row["ours"] for row in rows)
    averaged = any(len(split.splits) > 1 for split in table.columns)
    caption = " ".join(filter(None, (
        f"{table.title}, in percent.", table.note,
        averages if averaged and ours else "", "" if ours else NOTHING)))
    shown = [column for column in tail if column.key == "source" or
             any(row.get(column.key) for row in rows)]
    return Table(f"published_{table.key}", caption, [*heads, *cells, *shown], rows)


def _published_row(table: PublishedTable, row: PublishedRow) -> dict[str, Any]:
    cells = {
        f"{split.key}_{metric}": None if value is None else Printed(round(value / 100, 6),
                                                                    row.digits)
        for split, values in zip(table.columns, row.values, strict=True)
        for metric, value in zip(table.metrics, values, strict=True)
    }
    return {"label": row.label, "source": (Link("published", ""),), "features": row.features,
            "evaluation": row.evaluation, "mark": f"[{row.source}]" if row.source else "",
            "ours": False, **cells}


def _our_rows(
    table: PublishedTable, wanted: Mapping[str, Any], settings: Sequence[Setting], out_dir: Path
) -> Iterator[dict[str, Any]]:
    """A row for each kind of result, with what each column has of it."""
    found: dict[tuple[str, ...], dict[str, dict[int, Candidate]]] = defaultdict(dict)
    for column in table.columns:
        for candidate in _candidates(column, wanted, settings):
            at, row = 0, (*candidate.kind, "0")
            # Two results for one cell: each gets a row, none is chosen for its numbers.
            while candidate.position in found[row].get(column.key, {}):
                at += 1
                row = (*candidate.kind, str(at))
            found[row].setdefault(column.key, {})[candidate.position] = candidate
    for (protocol, label, features, _), by_column in found.items():
        cells: dict[str, Any] = {}
        hrefs: dict[str, str] = {}
        used: list[Candidate] = []
        for column in table.columns:
            members = [member for _, member in sorted(by_column.get(column.key, {}).items())]
            used += members
            for metric in table.metrics:
                stats = [stat for member in members if (stat := member.group.stat(metric))]
                if stats:
                    key = f"{column.key}_{metric}"
                    cells[key] = _cell(stats, len(column.splits))
                    hrefs[key] = record_href(members[0].group, out_dir)
        yield {"label": f"{label} (ours, {protocol_label(protocol)})", "features": features,
               "evaluation": protocol_label(protocol) if table.marked else "", "mark": "",
               "ours": True,
               "source": tuple(dict.fromkeys(
                   Link(each.setting.experiment, record_href(each.group, out_dir))
                   for each in used)),
               "seeds": ", ".join(dict.fromkeys(str(len(each.group.runs)) for each in used)),
               "hrefs": hrefs, **cells}


def _cell(stats: list[Stat], splits: int) -> Stat | Average:
    return stats[0] if splits == 1 else Average(tuple(stats), splits)


def _candidates(
    column: SplitColumn, wanted: Mapping[str, Any], settings: Sequence[Setting]
) -> Iterator[Candidate]:
    for setting in settings:
        position = column.position(setting)
        if position is None:
            continue
        for group in setting.groups:
            if accepts(wanted, group):
                record = group.first
                features = [record.backbone.name, record.text.encoder, record.text.text_source]
                if is_canonicalized(group.runs[0]):
                    features.append("canonicalized")
                yield Candidate(setting, group, position, (
                    setting.protocol, group.label_without_distinction, ", ".join(features)))
