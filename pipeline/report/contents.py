"""Which tables of results the report holds, made from settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zskel.pipeline.report import paired
from zskel.pipeline.report.links import record_href, relative_href
from zskel.pipeline.report.summary import Group, Setting, confusion
from zskel.pipeline.report.tables import Column, Link, Table
from zskel.zsl.metrics import METRICS

CONTEXT = (
    Column("experiment", "Experiment", context=True),
    Column("dataset", "Data set", context=True),
    Column("sample_protocol", "Sample protocol", context=True),
    Column("split", "Split", context=True),
    Column("protocol", "Protocol", context=True),
)
METHOD = (
    Column("label", "Method"),
    Column("method", "Method key", context=True),
    Column("variant", "Variant key", context=True),
    Column("seen_classifier", "C_s reads", context=True),
    Column("gate_key", "Gate key", context=True),
    Column("distinction", "Differs in", context=True),
)
SEEDS = Column("seeds", "Seeds", "count")
MARKS = (f"{paired.BETTER} or {paired.WORSE}: on the same seeds better or worse than the headline "
         "method (95 % interval of the mean difference).")


def metric_columns(table: str) -> list[Column]:
    """The metrics that stand in one of the report's tables, below the headings of their groups."""
    return [Column(metric.name, metric.column, "stat", metric.group)
            for metric in METRICS.values() if table in metric.tables]


def compact_columns(kind: str) -> list[Column]:
    """The headline metrics where a plain accuracy needs no heading above it."""
    return [Column(metric.name, metric.short, kind,
                   metric.group if metric.short != metric.group else "")
            for metric in METRICS.values() if "results" in metric.tables]


def results_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """The headline: ZSL and GZSL accuracy over clips, with chance."""
    zsl, *others = metric_columns("results")
    columns = (*CONTEXT, *METHOD, SEEDS, zsl,
               Column("chance", "Chance", "rate", "ZSL", linked=False), *others)
    return Table("results", "ZSL and GZSL accuracy in percent, averaged over test clips; "
                 "mean ± standard deviation over seeds.", columns,
                 _stat_rows(settings, columns, out_dir), legend=MARKS)


def class_averaged_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """The same averaged over classes, and the harmonic mean of a gate without error."""
    columns = (*CONTEXT, *METHOD, SEEDS, *metric_columns("class_averaged"))
    return Table("class_averaged", "The same averaged over classes, and the harmonic mean that "
                 "a seen/unseen gate without errors would reach over clips; in percent.", columns,
                 _stat_rows(settings, columns, out_dir, marked=False))


def per_class_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """Accuracy of every class in every group."""
    columns = (
        *CONTEXT, *METHOD, SEEDS, Column("class", "Class"), Column("index", "Index", "count"),
        Column("part", "Part"), Column("count", "Clips", "count"),
        Column("zsl_accuracy", "ZSL", "stat"), Column("gzsl_accuracy", "GZSL", "stat"),
    )
    rows = [
        {**names(setting, group), "href": record_href(group, out_dir),
         "class": entry.name, "index": entry.index,
         "part": "unseen" if entry.unseen else "seen", "count": entry.count,
         "zsl_accuracy": group.class_stat(entry.name, "zsl_accuracy"),
         "gzsl_accuracy": group.class_stat(entry.name, "gzsl_accuracy")}
        for setting in settings for group in setting.groups
        for entry in (*setting.unseen, *setting.seen)
    ]
    return Table("per_class", "Accuracy of each class in percent.", columns, rows)


def confusion_table(settings: Sequence[Setting], task: str) -> Table:
    """Confusion counts in long form, added over the seeds; see ``summary.confusion``."""
    columns = (*CONTEXT, *METHOD, SEEDS, Column("true_class", "True class"),
               Column("predicted_class", "Predicted class"), Column("clips", "Clips", "count"))
    rows = []
    for setting in settings:
        classes = [entry.name for entry in setting.unseen] + ["(any seen class)"]
        for group in setting.groups:
            counts = confusion(group, setting, task)
            for true, row in enumerate(() if counts is None else counts.tolist()):
                rows += [{**names(setting, group), "true_class": classes[true],
                          "predicted_class": classes[guess], "clips": clips}
                         for guess, clips in enumerate(row)]
    return Table(f"confusion_{task}", f"{task.upper()} confusion counts over all seeds.",
                 columns, rows, data=True)


def training_table(settings: Sequence[Setting]) -> Table:
    """Losses per epoch of every run, in long form."""
    columns = (*CONTEXT, *METHOD, Column("seed", "Seed", "count"), Column("phase", "Phase"),
               Column("epoch", "Epoch", "count"), Column("loss", "Loss"),
               Column("value", "Value", "number"))
    rows = [
        {**names(setting, group), "seed": run.record.seed, "phase": phase,
         "epoch": epoch_of(entry, at), "loss": name, "value": value}
        for setting in settings for group in setting.groups for run in group.runs
        for phase in ("test", "calibration")
        for at, entry in enumerate(getattr(run.record.history, phase))
        for name, value in entry.items() if name != "epoch"
    ]
    return Table("training", "Losses per epoch.", columns, rows, data=True)


def runs_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """Every run with its numbers and its file."""
    columns = (
        *CONTEXT, *METHOD, Column("gate", "Gate"), Column("seed", "Seed", "count"),
        *compact_columns("rate"),
        Column("seconds", "Seconds", "number"), Column("created", "Created", "time"),
        Column("file", "Record", "link"),
    )
    rows = []
    for setting in settings:
        for group in setting.gated:
            for run in group.runs:
                record = run.record
                rates = {c.key: record.metrics.get(c.key) for c in columns if c.kind == "rate"}
                href = relative_href(run, out_dir)
                rows.append({
                    **names(setting, group), **rates, "gate": group.gate, "seed": record.seed,
                    "seconds": record.duration_seconds, "created": record.created, "href": href,
                    "file": Link(f"JSON, seed {record.seed}", href),
                    "anchor": group.anchor if run is group.runs[0] else "",
                })
    return Table("runs", "Every run; rates in percent, averaged over test clips.", columns, rows)


def epoch_of(entry: dict[str, float], position: int) -> int:
    """Epoch of a history entry: what it says itself, else its place, from 1."""
    return int(entry.get("epoch", position + 1))


def context(setting: Setting) -> dict[str, str]:
    """Values of the context columns."""
    return {column.key: getattr(setting, column.key) for column in CONTEXT}


def names(setting: Setting, group: Group) -> dict[str, Any]:
    """Values of the context columns and of those that name a group."""
    return {**context(setting), "label": group.label, "method": group.method,
            "variant": group.variant, "seen_classifier": group.seen_classifier,
            "gate_key": group.gate_key, "distinction": group.distinction,
            "seeds": len(group.runs), "chance": setting.chance}


def stat_cells(group: Group, columns: Sequence[Column]) -> dict[str, Any]:
    """Values of the columns that hold statistics of a metric."""
    return {column.key: group.stat(column.key) for column in columns if column.kind == "stat"}


def _stat_rows(
    settings: Sequence[Setting], columns: Sequence[Column], out_dir: Path, marked: bool = True
) -> list[dict[str, Any]]:
    rows = []
    for setting in settings:
        found = paired.differences(setting) if marked else []
        rows += [
            {**names(setting, group), **stat_cells(group, columns),
             "href": record_href(group, out_dir), "marks": paired.marks(found, group)}
            for group in setting.groups
        ]
    return rows
