"""Which tables of results the report holds, made from settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zskel.pipeline.report import paired
from zskel.pipeline.report.links import record_href, relative_href
from zskel.pipeline.report.summary import Group, Setting, confusion
from zskel.pipeline.report.tables import Column, Link, Table

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


def results_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """The headline: ZSL and GZSL accuracy over clips, with chance."""
    columns = (
        *CONTEXT, *METHOD, SEEDS,
        Column("zsl_accuracy", "Accuracy", "stat", "ZSL"),
        Column("chance", "Chance", "rate", "ZSL", linked=False),
        Column("gzsl_seen_accuracy", "Seen", "stat", "GZSL"),
        Column("gzsl_unseen_accuracy", "Unseen", "stat", "GZSL"),
        Column("gzsl_harmonic_mean", "H", "stat", "GZSL"),
    )
    return Table("results", "ZSL and GZSL accuracy in percent, averaged over test clips; "
                 "mean ± standard deviation over seeds.", columns,
                 _stat_rows(settings, columns, out_dir), legend=MARKS)


def class_averaged_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """The same averaged over classes, and the harmonic mean of a gate without error."""
    columns = (
        *CONTEXT, *METHOD, SEEDS,
        Column("zsl_accuracy_class_averaged", "Accuracy", "stat", "ZSL"),
        Column("gzsl_seen_accuracy_class_averaged", "Seen", "stat", "GZSL"),
        Column("gzsl_unseen_accuracy_class_averaged", "Unseen", "stat", "GZSL"),
        Column("gzsl_harmonic_mean_class_averaged", "H", "stat", "GZSL"),
        Column("gzsl_oracle_harmonic_mean", "H", "stat", "Oracle gate"),
    )
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
        Column("zsl_accuracy", "ZSL", "rate"),
        Column("gzsl_seen_accuracy", "Seen", "rate", "GZSL"),
        Column("gzsl_unseen_accuracy", "Unseen", "rate", "GZSL"),
        Column("gzsl_harmonic_mean", "H", "rate", "GZSL"),
        Column("seconds", "Seconds", "number"), Column("created", "Created", "time"),
        Column("file", "Record", "link"),
    )
    rows = []
    for setting in settings:
        for group in setting.gated:
            for run in group.runs:
                record = run.record
                rates = {c.key: getattr(record, c.key) for c in columns if c.kind == "rate"}
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
    """Values of the columns that hold statistics of a record's field."""
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
