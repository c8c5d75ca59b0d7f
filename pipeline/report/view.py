"""What the page's template shows of a setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from zskel.pipeline.report import curves, figures
from zskel.pipeline.report.contents import context
from zskel.pipeline.report.embedding import Embeddings
from zskel.pipeline.report.latents import latent_panels
from zskel.pipeline.report.summary import Setting, remarks
from zskel.pipeline.report.tables import Table
from zskel.zsl.metrics import MAIN, METRICS

if TYPE_CHECKING:
    from zskel.pipeline.report.all_tables import Tables

@dataclass(frozen=True)
class Numbers:
    """The numbers behind a figure.

    Attributes:
        name: Of the CSV file that holds them, with those of other settings.
        file: Name for what ``href`` holds.
        href: A ``data:`` URL of this figure's own CSV.
    """

    name: str
    file: str
    href: str


def setting_view(
    setting: Setting, embeddings: Embeddings, tables: Tables, markup: Callable[[str], Any]
) -> dict[str, Any]:
    """Everything that the template needs; drawings are marked as safe by ``markup``."""
    keep = of_setting(setting)
    head = setting.headline

    def drawn(panels: Sequence[figures.Panel]) -> list[tuple[str, Any]]:
        return [(panel.title, markup(panel.svg)) for panel in panels]

    def numbers(
        table: Table, which: Callable[[dict[str, Any]], bool] = lambda row: True, part: str = ""
    ) -> Numbers:
        own = table.narrow(lambda row: keep(row) and which(row))
        # A comma and a colon need no escape in a data URL, and CSV has many.
        return Numbers(table.name, f"{setting.key}-{table.name}{part}.csv",
                       "data:text/csv;charset=utf-8," + quote(own.to_csv(), safe=",:()"))

    def of_head(row: dict[str, Any]) -> bool:
        return all(row[name] == getattr(head, name) for name in (
            "method", "variant", "gate_key", "seen_classifier", "distinction"))

    # What is drawn; the file beside the page has the curves of every seed.
    drawn_seed = {(group.label, group.gate_key): group.seeds[0] for group in setting.gated}

    def of_curve(row: dict[str, Any]) -> bool:
        return (row.get("point", "curve") != "curve"
                or row["seed"] == drawn_seed[(row["label"], row["gate_key"])])

    losses = figures.curve_panels(setting)
    seen_unseen, roc = curves.seen_unseen_figure(setting), curves.roc_figure(setting)
    return {
        "it": setting,
        "remarks": remarks(setting),
        "href": next(row["href"] for row in tables.results.rows if keep(row) and of_head(row)),
        "headline": [(metric, head.stat(metric.name), metric.name in MAIN)
                     for metric in METRICS.values() if "results" in metric.tables],
        "results": _warned(setting, tables.results.narrow(keep)),
        "class_averaged": _warned(setting, tables.class_averaged.narrow(keep)),
        "gates": _warned(setting, tables.gates.narrow(keep)),
        "paired": tables.paired.narrow(keep).without("against"),
        "sensitivity": _warned(setting, tables.sensitivity.narrow(keep)),
        "runs": _warned(setting, tables.runs.narrow(keep)),
        "provenance": [(row["field"], row["value"]) for row in tables.provenance.rows if keep(row)],
        "run_panels": drawn(figures.run_panels(setting)),
        "unseen_bars": figures.bar_rows(setting, unseen=True),
        "seen_bars": figures.bar_rows(setting, unseen=False),
        "series": [(figures.series_of(setting, group), group.variant_label)
                   for group in setting.compared],
        "confusion_zsl": figures.confusion_rows(setting, "zsl"),
        "confusion_gzsl": figures.confusion_rows(setting, "gzsl"),
        "embeddings": embeddings,
        "latents": [(p.space, p.of, markup(p.svg)) for p in latent_panels(setting, embeddings)],
        "legend": [(number, entry.name, markup(figures.legend_mark(number)))
                   for number, entry in enumerate(setting.unseen, 1)],
        "seen_unseen": drawn(seen_unseen.panels),
        "roc": drawn(roc.panels),
        "gate_legend": [(gate, markup(mark)) for gate, mark in seen_unseen.legend],
        "sensitivity_panels": drawn(curves.sensitivity_panels(setting)),
        "curves": drawn(losses.panels),
        "curve_seeds": losses.seeds,
        "numbers": {
            "runs": numbers(tables.runs),
            "unseen": numbers(tables.per_class, lambda row: row["part"] == "unseen", "_unseen"),
            "seen": numbers(tables.per_class, lambda row: row["part"] == "seen", "_seen"),
            "confusion_zsl": numbers(tables.confusion_zsl, of_head),
            "confusion_gzsl": numbers(tables.confusion_gzsl, of_head),
            "latents": numbers(tables.latents),
            "seen_unseen": numbers(tables.seen_unseen_curves, of_curve),
            "roc": numbers(tables.gate_roc, of_curve),
            "sensitivity": numbers(tables.sensitivity),
            "training": numbers(tables.training, of_head),
        },
    }


def of_setting(setting: Setting) -> Callable[[dict[str, Any]], bool]:
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
