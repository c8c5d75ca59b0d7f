"""The report as Markdown: all tables; figures are in the page only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zskel.pipeline.report.labels import protocol_label
from zskel.pipeline.report.published import literature
from zskel.pipeline.report.remarks import remarks
from zskel.pipeline.report.summary import Setting
from zskel.pipeline.report.view import of_setting, title_of

if TYPE_CHECKING:
    from zskel.pipeline.report.all_tables import Tables
    from zskel.pipeline.report.tables import Table


def render_markdown(settings: Sequence[Setting], tables: Tables) -> str:
    """One file; numbers lead to their records."""
    parts = [f"# {title_of(settings)}", "", "Figures are in [report.html](report.html), "
             "numbers in full precision in [tables/](tables/), LaTeX in [latex/](latex/).", ""]
    for setting in settings:
        parts += _setting(setting, tables)
    paper, later = literature("sa_dvae"), literature("later")
    parts += ["## The paper's tables", "", f"{paper['source']}. {paper['setting']}.", ""]
    parts += [table.to_markdown() for table in tables.paper]
    parts += ["## Later methods", "", later["marks"], ""]
    parts += [table.to_markdown() for table in tables.later]
    return "\n".join(parts).rstrip() + "\n"


def _setting(setting: Setting, tables: Tables) -> list[str]:
    keep, own = of_setting(setting), tables.own

    def shown(name: str) -> Table:
        return own[name].narrow(keep).condensed()

    unseen = own["per_class"].narrow(lambda row: keep(row) and row["part"] == "unseen")

    parts = [f"## {setting.dataset_label}, split {setting.split}", "",
             f"Experiment {setting.experiment}, {setting.sample_protocol} test clips, "
             f"protocol {protocol_label(setting.protocol)}, {len(setting.seen)} seen and "
             f"{len(setting.unseen)} unseen classes.", ""]
    warning = [f"**{setting.protocol} protocol: {setting.warning}.**"] if setting.warning else []
    parts += [line for remark in (*warning, *remarks(setting)) for line in (f"> {remark}", "")]
    parts += [shown("results").to_markdown(), shown("class_averaged").to_markdown()]
    for title, name in (("Gates", "gates"), ("Paired comparison", "paired"),
                        ("Sensitivity", "sensitivity")):
        if (table := shown(name)).rows:
            parts += [f"### {title}", "", table.to_markdown()]
    parts += ["### Unseen classes", "",
              unseen.condensed().without("part", "index").to_markdown(),
              "### Provenance", "", shown("provenance").to_markdown(),
              "### Runs", "", shown("runs").to_markdown()]
    return parts
