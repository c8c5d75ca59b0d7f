"""Which tables the report holds, made from settings."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.report.summary import Group, Run, Setting, confusion
from pipeline.report.tables import Column, Link, Table, percent

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
)
SEEDS = Column("seeds", "Seeds", "count")


def results_table(settings: Sequence[Setting]) -> Table:
    """The headline: ZSL and GZSL accuracy over clips, with chance."""
    columns = (
        *CONTEXT, *METHOD, SEEDS,
        Column("zsl_accuracy", "Accuracy", "stat", "ZSL"),
        Column("chance", "Chance", "rate", "ZSL"),
        Column("gzsl_seen_accuracy", "Seen", "stat", "GZSL"),
        Column("gzsl_unseen_accuracy", "Unseen", "stat", "GZSL"),
        Column("gzsl_harmonic_mean", "H", "stat", "GZSL"),
    )
    return Table("results", "ZSL and GZSL accuracy in percent, averaged over test clips; "
                 "mean ± standard deviation over seeds.", columns,
                 _stat_rows(settings, columns))


def class_averaged_table(settings: Sequence[Setting]) -> Table:
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
                 _stat_rows(settings, columns))


def per_class_table(settings: Sequence[Setting]) -> Table:
    """Accuracy of every class in every group."""
    columns = (
        *CONTEXT, *METHOD, SEEDS, Column("class", "Class"), Column("index", "Index", "count"),
        Column("part", "Part"), Column("count", "Clips", "count"),
        Column("zsl_accuracy", "ZSL", "stat"), Column("gzsl_accuracy", "GZSL", "stat"),
    )
    rows = [
        {**_names(setting, group), "class": entry.name, "index": entry.index,
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
        names = [entry.name for entry in setting.unseen] + ["(any seen class)"]
        for group in setting.groups:
            counts = confusion(group, setting, task)
            for true, row in enumerate(() if counts is None else counts.tolist()):
                rows += [{**_names(setting, group), "true_class": names[true],
                          "predicted_class": names[guess], "clips": clips}
                         for guess, clips in enumerate(row)]
    return Table(f"confusion_{task}", f"{task.upper()} confusion counts over all seeds.",
                 columns, rows)


def curves_table(settings: Sequence[Setting]) -> Table:
    """Losses per epoch of every run, in long form."""
    columns = (*CONTEXT, *METHOD, Column("seed", "Seed", "count"), Column("phase", "Phase"),
               Column("epoch", "Epoch", "count"), Column("loss", "Loss"),
               Column("value", "Value", "number"))
    rows = [
        {**_names(setting, group), "seed": run.record.seed, "phase": phase,
         "epoch": epoch_of(entry, at), "loss": name, "value": value}
        for setting in settings for group in setting.groups for run in group.runs
        for phase in ("test", "calibration")
        for at, entry in enumerate(getattr(run.record.history, phase))
        for name, value in entry.items() if name != "epoch"
    ]
    return Table("training", "Losses per epoch.", columns, rows)


def runs_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """Every run with its numbers and its file."""
    columns = (
        *CONTEXT, *METHOD, Column("seed", "Seed", "count"),
        Column("zsl_accuracy", "ZSL", "rate"),
        Column("gzsl_seen_accuracy", "Seen", "rate", "GZSL"),
        Column("gzsl_unseen_accuracy", "Unseen", "rate", "GZSL"),
        Column("gzsl_harmonic_mean", "H", "rate", "GZSL"),
        Column("seconds", "Seconds", "number"), Column("created", "Created", "time"),
        Column("file", "Record", "link"),
    )
    rows = []
    for setting in settings:
        for group in setting.groups:
            for run in group.runs:
                record = run.record
                rates = {c.key: getattr(record, c.key) for c in columns if c.kind == "rate"}
                rows.append({
                    **_names(setting, group), **rates, "seed": record.seed,
                    "seconds": record.duration_seconds, "created": record.created,
                    "file": Link(f"JSON, seed {record.seed}", relative_href(run, out_dir)),
                })
    return Table("runs", "Every run; rates in percent, averaged over test clips.", columns, rows)


def provenance_table(settings: Sequence[Setting]) -> Table:
    """Where the numbers come from: one field a row; a field that differs lists each value."""
    columns = (*CONTEXT, Column("field", "What"), Column("value", "Value"))
    rows = []
    for setting in settings:
        for field, value in _provenance(setting):
            rows.append({**_context(setting), "field": field, "value": value})
    return Table("provenance", "Where these numbers come from.", columns, rows)


def relative_href(run: Run, out_dir: Path) -> str:
    """The run's file as a relative URL, seen from the report."""
    return quote(Path(os.path.relpath(run.path, out_dir.resolve())).as_posix())


def epoch_of(entry: dict[str, float], position: int) -> int:
    """Epoch of a history entry: what it says itself, else its place, from 1."""
    return int(entry.get("epoch", position + 1))


def _provenance(setting: Setting) -> Iterable[tuple[str, str]]:
    records = [run.record for run in setting.runs]

    def each(values: Iterable[str]) -> str:
        return "; ".join(dict.fromkeys(values))

    first = setting.first
    yield "Experiment", setting.experiment
    yield "Data set", setting.dataset_label
    yield "Sample protocol", setting.sample_protocol
    yield "Class split", setting.split
    yield "Evaluation protocol", setting.protocol
    yield "Unseen classes", ", ".join(entry.name for entry in setting.unseen)
    yield "Validation-unseen classes", each(
        ", ".join(record.validation_unseen_classes) for record in records)
    yield "Seen classes", f"{len(setting.seen)}: " + ", ".join(c.name for c in setting.seen)
    counts = first.counts
    yield "Clips", (f"{counts.train} train; {counts.test_seen} seen and {counts.test_unseen} "
                    f"unseen test; {counts.calibration_seen} seen and "
                    f"{counts.calibration_unseen} unseen calibration")
    yield "Backbone", each(record.backbone.name for record in records)
    yield "Backbone accuracy", each(
        f"{percent(record.backbone.seen_test_accuracy)} % on the seen classes' test clips"
        if record.backbone.seen_test_accuracy is not None else "not recorded"
        for record in records)
    yield "Backbone weights", each(f"sha256 {r.backbone.weights_sha256}" for r in records)
    yield "Text encoder", each(
        " ".join(filter(None, (record.text.encoder, record.text.encoder_revision)))
        for record in records)
    yield "Text source", each(record.text.text_source for record in records)
    yield from _by_group(setting, "Seeds", lambda group: ", ".join(map(str, group.seeds)))
    yield from _by_group(setting, "Gate", lambda group: each(
        _brief(run.record.gate) for run in group.runs))
    yield from _by_group(setting, "Config digest", lambda group: each(
        f"sha256 {run.record.config_digest}" for run in group.runs))
    for name in ("skeleton_test", "skeleton_calibration", "text"):
        yield f"Cache {name}", each(
            f"sha256 {getattr(record.cache_digests, name)}" for record in records)
    yield "Software", each(
        ", ".join(f"{name} {version}" for name, version in sorted(record.software.items()))
        for record in records)


def _by_group(
    setting: Setting, field: str, value: Callable[[Group], str]
) -> Iterable[tuple[str, str]]:
    """One row if it is the same for all groups, else one for each."""
    values = [value(group) for group in setting.groups]
    if len(set(values)) == 1:
        yield field, values[0]
        return
    for group, text in zip(setting.groups, values):
        yield f"{field}, {group.variant_label}", text


def _brief(value: dict[str, Any]) -> str:
    """Scalars of a dictionary on one line; nested values as JSON."""
    def show(item: Any) -> str:
        if isinstance(item, float):
            return f"{item:.6g}"
        return item if isinstance(item, str) else json.dumps(item)

    return ", ".join(f"{name} = {show(item)}" for name, item in value.items()) or "not recorded"


def _context(setting: Setting) -> dict[str, str]:
    return {column.key: getattr(setting, column.key) for column in CONTEXT}


def _names(setting: Setting, group: Group) -> dict[str, Any]:
    return {**_context(setting), "label": group.label, "method": group.method,
            "variant": group.variant, "seeds": len(group.runs), "chance": setting.chance}


def _stat_rows(settings: Sequence[Setting], columns: Sequence[Column]) -> list[dict[str, Any]]:
    return [
        {**_names(setting, group),
         **{column.key: group.stat(column.key) for column in columns if column.kind == "stat"}}
        for setting in settings for group in setting.groups
    ]
