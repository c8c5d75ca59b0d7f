"""Which tables of results the report holds, made from settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zskel.pipeline.report import paired
from zskel.pipeline.report.rows import (
    ANY_GATE_LEGEND,
    CONTEXT,
    METHOD,
    SEED,
    SEEDS,
    compact_columns,
    group_row,
    metric_columns,
    names,
    relative_href,
    run_rows,
)
from zskel.pipeline.report.summary import Setting, confusion
from zskel.pipeline.report.tables import Column, Link, Table

MARKS = (f"{paired.BETTER} or {paired.WORSE}: on the same seeds better or worse than the headline "
         "method (95 % interval of the mean difference).")


def results_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """The headline: ZSL and GZSL accuracy over clips, with chance."""
    zsl, *others = metric_columns("results")
    columns = (*CONTEXT, *METHOD, SEEDS, zsl,
               Column("chance", "Chance", "rate", "ZSL", linked=False), *others)
    rows = []
    for setting in settings:
        found = paired.differences(setting)
        rows += [{**group_row(setting, group, out_dir, columns),
                  "marks": paired.marks(found, group)} for group in setting.groups]
    return Table("results", "ZSL and GZSL accuracy in percent, averaged over test clips; "
                 "mean ± standard deviation over seeds.", columns, rows, legend=MARKS)


def class_averaged_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """The same averaged over classes, and the harmonic mean of a gate without error."""
    columns = (*CONTEXT, *METHOD, SEEDS, *metric_columns("class_averaged"))
    return Table("class_averaged", "The same averaged over classes, and the harmonic mean that "
                 "a seen/unseen gate without errors would reach over clips; in percent.", columns,
                 [group_row(setting, group, out_dir, columns)
                  for setting in settings for group in setting.groups], legend=ANY_GATE_LEGEND)


def per_class_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """Accuracy of every class in every group."""
    columns = (
        *CONTEXT, *METHOD, SEEDS, Column("class", "Class"), Column("index", "Index", "count"),
        Column("part", "Part"), Column("count", "Clips", "count"),
        Column("zsl_accuracy", "ZSL", "stat"), Column("gzsl_accuracy", "GZSL", "stat"),
    )
    rows = [
        {**group_row(setting, group, out_dir), "class": entry.name, "index": entry.index,
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
    columns = (*CONTEXT, *METHOD, SEED, Column("phase", "Phase"),
               Column("epoch", "Epoch", "count"), Column("loss", "Loss"),
               Column("value", "Value", "number"))
    rows = [
        {**row, "phase": phase, "epoch": epoch_of(entry, at), "loss": name, "value": value}
        for row, run in run_rows(settings) for phase in ("test", "calibration")
        for at, entry in enumerate(getattr(run.record.history, phase))
        for name, value in entry.items() if name != "epoch"
    ]
    return Table("training", "Losses per epoch.", columns, rows, data=True)


def runs_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """Every run with its numbers and its file."""
    rates = compact_columns("rate")
    columns = (
        *CONTEXT, *METHOD, SEED, *rates, Column("seconds", "Seconds", "number"),
        Column("created", "Created", "time"), Column("file", "Record", "link"),
    )
    anchors = {group.runs[0].path: group.anchor for setting in settings for group in setting.gated}
    rows = []
    for row, run in run_rows(settings, gated=True):
        record, href = run.record, relative_href(run, out_dir)
        rows.append({
            **row, **{each.key: record.metrics.get(each.key) for each in rates},
            "seconds": record.duration_seconds, "created": record.created, "href": href,
            "file": Link(f"JSON, seed {record.seed}", href), "anchor": anchors.get(run.path, ""),
        })
    return Table("runs", "Every run; rates in percent, averaged over test clips.", columns, rows)


def epoch_of(entry: dict[str, float], position: int) -> int:
    """Epoch of a history entry: what it says itself, else its place, from 1."""
    return int(entry.get("epoch", position + 1))
