"""Where the numbers come from: data, backbones, texts, gates, digests, software."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from zskel.pipeline.report.labels import protocol_label
from zskel.pipeline.report.rows import CONTEXT, context
from zskel.pipeline.report.summary import Group, Setting
from zskel.pipeline.report.tables import Column, Table, percent


def provenance_table(settings: Sequence[Setting]) -> Table:
    """Where the numbers come from: one field a row; a field that differs lists each value."""
    columns = (*CONTEXT, Column("field", "What"), Column("value", "Value"))
    rows = []
    for setting in settings:
        for field, value in _provenance(setting):
            rows.append({**context(setting), "field": field, "value": value})
    return Table("provenance", "Where these numbers come from.", columns, rows)


def _provenance(setting: Setting) -> Iterable[tuple[str, str]]:
    records = [run.record for run in setting.runs]

    def each(values: Iterable[str]) -> str:
        return "; ".join(dict.fromkeys(values))

    first = setting.first
    yield "Experiment", setting.experiment
    yield "Data set", setting.dataset_label
    yield "Sample protocol", setting.sample_protocol
    yield "Class split", setting.split
    yield "Evaluation protocol", protocol_label(setting.protocol)
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
    notices = [notice["text"] for record in records for notice in record.backbone.notices]
    if notices:
        yield "Notices on the skeletons", each(notices)
    yield "Backbone weights", each(f"sha256 {r.backbone.weights_sha256}" for r in records)
    yield "Text encoder", each(
        " ".join(filter(None, (record.text.encoder, record.text.encoder_revision)))
        for record in records)
    yield "Text source", each(record.text.read for record in records)
    if any(record.text.cut_classes for record in records):
        yield "Texts that the encoder cut", each(
            ", ".join(record.text.cut_classes) or "none" for record in records)
    yield from _by_group(setting, "Seeds", lambda group: ", ".join(map(str, group.seeds)))
    yield from _by_group(setting, "Gate", lambda group: each(
        brief(run.record.gate) for run in group.runs))
    yield from _by_group(setting, "Chosen by the protocol", lambda group: each(
        brief(run.record.selection) for run in group.runs))
    yield from _by_group(setting, "Configuration", lambda group: brief(group.first.config))
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
        yield f"{field}, {setting.short(group)}", text


def brief(value: dict[str, Any]) -> str:
    """Scalars of a dictionary on one line; nested values as JSON.

    >>> brief({"temperature": 2.0, "coefficients": [1, 2]})
    'temperature = 2, coefficients = [1, 2]'
    """
    def show(item: Any) -> str:
        if isinstance(item, float):
            return f"{item:.6g}"
        return item if isinstance(item, str) else json.dumps(item)

    return ", ".join(f"{name} = {show(item)}" for name, item in value.items()) or "nothing"
