"""The paper's published figures, beside ours only where data set and split are the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from pipeline.report.summary import Setting
from pipeline.report.tables import Column, Table


@cache
def published() -> dict[str, Any]:
    """Content of ``published.json``: columns are splits, values are percentages."""
    file = resources.files("pipeline.report") / "published.json"
    return json.loads(file.read_text(encoding="utf-8"))


def matches(column: dict[str, Any], setting: Setting) -> bool:
    """Whether a setting holds out exactly the classes of a published column.

    The classes decide, not the name of the split.
    """
    return (setting.dataset == column["dataset"]
            and setting.sample_protocol == column["sample_protocol"]
            and [entry.index for entry in setting.unseen] == sorted(column["unseen"]))


def comparison_tables(settings: Sequence[Setting]) -> list[Table]:
    """Tables 3 and 4 of the paper; our rows follow where they match.

    A cell that was not run stays empty, and so does the whole row of a setting
    that matches no column: it is left out.
    """
    splits = published()["columns"]
    tables = []
    for item in published()["tables"]:
        single = len(item["metrics"]) == 1
        columns = [Column("label", "Method"), Column("source", "Source"),
                   Column("seeds", "Seeds", "count")]
        columns += [
            Column(f"{split['key']}_{metric['key']}",
                   split["label"] if single else metric["label"], "stat",
                   "" if single else split["label"])
            for split in splits for metric in item["metrics"]
        ]
        rows: list[dict[str, Any]] = []
        for row in item["rows"]:
            cells = {
                f"{split['key']}_{metric['key']}": round(value / 100, 6)
                for split, values in zip(splits, row["values"], strict=True)
                for metric, value in zip(item["metrics"], values, strict=True)
            }
            rows.append({"label": row["method"], "source": "published", "seeds": None, **cells})
        for setting in settings:
            for split in (split for split in splits if matches(split, setting)):
                rows += [
                    {"label": f"{group.label} (ours, {setting.protocol} protocol)",
                     "source": setting.experiment, "seeds": len(group.runs),
                     **{f"{split['key']}_{metric['key']}": group.stat(metric["key"])
                        for metric in item["metrics"]}}
                    for group in setting.groups
                ]
        caption = f"{item['title']}, in percent. {item.get('note', '')}".strip()
        tables.append(Table(f"published_{item['key']}", caption, columns, rows))
    return tables


def matched(settings: Sequence[Setting]) -> list[Setting]:
    """The settings that stand beside a published column."""
    return [setting for setting in settings
            if any(matches(split, setting) for split in published()["columns"])]
