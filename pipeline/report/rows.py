"""What the rows of all tables say alike: which setting, whose numbers, and where they lead."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from zskel.pipeline.report.labels import protocol_label
from zskel.pipeline.report.summary import Group, Run, Setting
from zskel.pipeline.report.tables import Column, Table
from zskel.zsl.metrics import METRICS
from zskel.zsl.protocols import protocol_warning

PAGE = "report.html"
CONTEXT = (
    Column("experiment", "Experiment", context=True),
    Column("dataset", "Data set", context=True),
    Column("sample_protocol", "Sample protocol", context=True),
    Column("split", "Split", context=True),
    Column("protocol", "Protocol", context=True),
)
GATE = Column("gate", "Gate", shared="Gate: {}.")
METHOD = (
    Column("label", "Method"),
    Column("method", "Method key", context=True),
    Column("variant", "Variant key", context=True),
    Column("seen_classifier", "C_s reads", context=True),
    Column("gate_key", "Gate key", context=True),
    Column("distinction", "Differs in", context=True),
    GATE,
)
SEED = Column("seed", "Seed", "count")
SEEDS = Column("seeds", "Seeds", "count")

#: Behind numbers of gates other than the one that chose which clips were refined together.
REFINED = "*"
ANY_GATE_LEGEND = (
    f"{REFINED}: as for ZSL, exactly the unseen classes’ clips are refined together; for H it is "
    "those that the gate takes for unseen. So H can be above that of the oracle gate, and lie off "
    "the seen-unseen curve.")
_ANY_GATE = ("gzsl_oracle_harmonic_mean", "gzsl_ausuc")


def metric_columns(table: str) -> list[Column]:
    """The metrics that stand in one of the report's tables, below the headings of their groups."""
    return [Column(metric.name, metric.column, "stat", metric.group)
            for metric in METRICS.values() if table in metric.tables]


def compact_columns(kind: str) -> list[Column]:
    """The headline metrics where a plain accuracy needs no heading above it."""
    return [Column(metric.name, metric.short, kind,
                   metric.group if metric.short != metric.group else "")
            for metric in METRICS.values() if "results" in metric.tables]


def context(setting: Setting) -> dict[str, str]:
    """Values of the context columns."""
    return {column.key: getattr(setting, column.key) for column in CONTEXT}


def names(setting: Setting, group: Group) -> dict[str, Any]:
    """Values of the context columns and of those that name a group."""
    return {**context(setting), **{column.key: getattr(group, column.key) for column in METHOD},
            "seeds": len(group.runs), "chance": setting.chance}


def across_settings(table: Table) -> Table:
    """As people read it where rows of all settings stand together."""
    shown = table.condensed(("experiment", "split", "protocol"))
    warned = dict.fromkeys(f"Protocol {protocol_label(name)}." for row in table.rows
                           if protocol_warning(name := row.get("protocol", "")))
    # With a space, so that a narrow column can break it.
    rows = [{**row, "protocol": row.get("protocol", "").replace(":", ": ")} for row in table.rows]
    return replace(shown, caption=" ".join([shown.caption, *warned]), rows=rows)


def group_row(
    setting: Setting, group: Group, out_dir: Path, columns: Sequence[Column] = ()
) -> dict[str, Any]:
    """A group's names, its link, and its statistics in the columns that hold some."""
    stats = {each.key: group.stat(each.key) for each in columns if each.kind == "stat"}
    marks = dict.fromkeys(_ANY_GATE, REFINED) if setting.refined else {}
    return {**names(setting, group), **stats, "href": record_href(group, out_dir),
            "marks": marks}


def run_rows(
    settings: Sequence[Setting], gated: bool = False
) -> Iterator[tuple[dict[str, Any], Run]]:
    """Every run with the start of its row; with or without those of further gates."""
    for setting in settings:
        for group in setting.gated if gated else setting.groups:
            for run in group.runs:
                yield {**names(setting, group), "seed": run.record.seed}, run


def relative_href(run: Run, out_dir: Path) -> str:
    """The run's file as a relative URL, seen from the report."""
    return quote(Path(os.path.relpath(run.path, out_dir.resolve())).as_posix())


def record_href(group: Group, out_dir: Path) -> str:
    """The record itself of a single run; of several, where the page lists them."""
    if len(group.runs) == 1:
        return relative_href(group.runs[0], out_dir)
    return f"{PAGE}#{group.anchor}"
