"""What the page's template shows of a setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from zskel.pipeline.report import curves, figures, svg
from zskel.pipeline.report.clips import clips_of
from zskel.pipeline.report.embedding import Embeddings
from zskel.pipeline.report.latents import latent_drawings
from zskel.pipeline.report.remarks import remarks
from zskel.pipeline.report.rows import METHOD, context
from zskel.pipeline.report.summary import Setting
from zskel.pipeline.report.tables import Table
from zskel.zsl.metrics import MAIN, METRICS

if TYPE_CHECKING:
    from zskel.pipeline.report.all_tables import Tables

Row = dict[str, Any]


def setting_view(
    setting: Setting, embeddings: Embeddings, tables: Tables, room: int
) -> dict[str, Any]:
    """Everything that the template needs; coordinates of clips take ``room`` characters."""
    latents, places = latent_drawings(setting, embeddings)
    head, keep = setting.headline, of_setting(setting)
    own = {name: table.narrow(keep) for name, table in tables.own.items()}
    shown = {name: _warned(setting, table.condensed()) for name, table in own.items()}
    return {
        "it": setting,
        "tables": shown,
        "remarks": remarks(setting),
        "href": shown["results"].rows[-1]["href"],  # the headline comes last
        "headline": [(metric, head.stat(metric.name), metric.name in MAIN)
                     for metric in METRICS.values() if "results" in metric.tables],
        "paired": shown["paired"].without("against"),
        "run_panels": figures.run_panels(setting),
        "unseen_bars": figures.bar_rows(setting, unseen=True),
        "seen_bars": figures.bar_rows(setting, unseen=False),
        "series": [(figures.series_of(setting, group), group.variant_label)
                   for group in setting.compared],
        "confusion_zsl": figures.confusion_rows(setting, "zsl"),
        "confusion_gzsl": figures.confusion_rows(setting, "gzsl"),
        "embeddings": embeddings,
        "latents": latents,
        "clips": clips_of(setting, embeddings, places, room),
        "legend": [(entry.name, svg.swatch(at)) for at, entry in enumerate(setting.unseen)],
        "seen_unseen": curves.gate_panels(setting, curves.SEEN_UNSEEN),
        "roc": curves.gate_panels(setting, curves.ROC),
        "gate_legend": [(gate, svg.swatch(at))
                        for at, gate in enumerate(curves.gates_of(setting))],
        "sensitivity_panels": figures.sensitivity_panels(setting),
        "training": figures.training_panels(setting),
        "numbers": _numbers(setting, own),
    }


def _numbers(setting: Setting, tables: dict[str, Table]) -> dict[str, dict[str, str]]:
    """What stands behind each figure.

    Returns:
        For each figure "name", that of the CSV file with the numbers of all settings;
        "href", a ``data:`` URL of this figure's own; and "file", a name for that.
    """
    head = setting.headline
    # What is drawn; the file beside the page has the curves of every seed.
    drawn = {(group.label, group.gate_key): group.seeds[0] for group in setting.gated}

    def of_head(row: Row) -> bool:
        return all(row[column.key] == getattr(head, column.key) for column in METHOD)

    def of_curve(row: Row) -> bool:
        return (row.get("point", "curve") != "curve"
                or row["seed"] == drawn[row["label"], row["gate_key"]])

    def whole(row: Row) -> bool:
        return True

    def numbers(name: str, which: Callable[[Row], bool] = whole, part: str = "") -> dict[str, str]:
        # A comma and a colon need no escape in a data URL, and CSV has many.
        content = quote(tables[name].narrow(which).to_csv(), safe=",:()")
        return {"name": name, "file": f"{setting.key}-{name}{part}.csv",
                "href": f"data:text/csv;charset=utf-8,{content}"}

    return {
        "unseen": numbers("per_class", lambda row: row["part"] == "unseen", "_unseen"),
        "seen": numbers("per_class", lambda row: row["part"] == "seen", "_seen"),
        **{name: numbers(name) for name in ("runs", "latents", "sensitivity")},
        **{name: numbers(name, of_head)
           for name in ("confusion_zsl", "confusion_gzsl", "training")},
        **{name: numbers(name, of_curve) for name in ("seen_unseen_curves", "gate_roc")},
    }


def of_setting(setting: Setting) -> Callable[[Row], bool]:
    """Whether a row of a table belongs to the setting."""
    own = context(setting)
    return lambda row: all(row[name] == value for name, value in own.items())


def title_of(settings: Sequence[Setting]) -> str:
    """The report's title."""
    names = list(dict.fromkeys(setting.dataset_label for setting in settings))
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"Zero-shot skeleton action recognition on {listed}"


def _warned(setting: Setting, table: Table) -> Table:
    """The table with the protocol's warning before its caption."""
    if not setting.warning:
        return table
    return replace(table, caption=(
        f"{setting.protocol.capitalize()} protocol, {setting.warning}. {table.caption}"))
