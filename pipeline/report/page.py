"""Writes the report: one HTML page, one Markdown file and a CSV file for each table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import BadInput
from data.files import write_text
from pipeline.report import contents, figures
from pipeline.report.published import comparison_tables, matched, published
from pipeline.report.summary import Setting, load_runs, remarks, summarize
from pipeline.report.tables import Table, percent

@dataclass(frozen=True)
class ReportPaths:
    """Where a report lies.

    Attributes:
        html, markdown: The report.
        tables: Its CSV files.
    """

    html: Path
    markdown: Path
    tables: tuple[Path, ...]


@dataclass(frozen=True)
class Tables:
    """All tables of a report; see ``contents`` and ``published``."""

    results: Table
    class_averaged: Table
    per_class: Table
    confusion_zsl: Table
    confusion_gzsl: Table
    training: Table
    runs: Table
    provenance: Table
    published: tuple[Table, ...]

    @classmethod
    def of(cls, settings: Sequence[Setting], out_dir: Path) -> Tables:
        """Makes them from settings; links are relative to ``out_dir``."""
        return cls(
            contents.results_table(settings), contents.class_averaged_table(settings),
            contents.per_class_table(settings), contents.confusion_table(settings, "zsl"),
            contents.confusion_table(settings, "gzsl"), contents.curves_table(settings),
            contents.runs_table(settings, out_dir), contents.provenance_table(settings),
            tuple(comparison_tables(settings)),
        )

    def all(self) -> list[Table]:
        """Every table, each of which becomes a CSV file."""
        return [table for item in vars(self).values()
                for table in (item if isinstance(item, tuple) else (item,))]


def write_report(
    work_dirs: Sequence[str | os.PathLike[str]], out_dir: str | os.PathLike[str] | None = None
) -> ReportPaths:
    """Reads all result records of the work directories and writes a report on them.

    The same records give the same files, byte for byte.

    Args:
        work_dirs: One or several.
        out_dir: Where the report goes; ``<work_dir>/report`` of a single work
            directory if left out.

    Raises:
        BadInput: There are no records, one is broken, two claim to be the same
            run, or ``out_dir`` is missing for several work directories.
    """
    if not work_dirs:
        raise BadInput("no work directory given to report on")
    if out_dir is None:
        if len({Path(work_dir).resolve() for work_dir in work_dirs}) > 1:
            raise BadInput("a report on several work directories needs an output directory")
        out_dir = Path(work_dirs[0]) / "report"
    out_dir = Path(out_dir)
    settings = summarize(load_runs(work_dirs))
    tables = Tables.of(settings, out_dir)
    csv_paths = []
    for table in tables.all():
        path = out_dir / "tables" / f"{table.name}.csv"
        write_text(path, table.to_csv())
        csv_paths.append(path)
    markdown, html = out_dir / "report.md", out_dir / "report.html"
    write_text(markdown, render_markdown(settings, tables))
    write_text(html, render_html(settings, tables))
    return ReportPaths(html, markdown, tuple(csv_paths))


def render_html(settings: Sequence[Setting], tables: Tables) -> str:
    """The page: one string that needs nothing else to be shown."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("pipeline.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters["percent"] = percent

    def inline(name: str) -> Markup:
        # Style and script are ours; escaping would break them.
        return Markup(loader.get_source(environment, name)[0])

    page = environment.get_template("report.html").render(
        settings=[_view(setting, tables, Markup) for setting in settings],
        published=published(), published_tables=tables.published, matched=matched(settings),
        tables=tables, inline=inline, title=_title(settings),
        run_count=sum(len(setting.runs) for setting in settings),
    )
    return page.rstrip() + "\n"


def render_markdown(settings: Sequence[Setting], tables: Tables) -> str:
    """The tables as Markdown; figures are in the page only."""
    parts = [f"# {_title(settings)}", "", "Figures are in [report.html](report.html), "
             "numbers in full precision in [tables/](tables/).", ""]
    for setting in settings:
        keep = _of(setting)
        parts += [f"## {setting.dataset_label}, split {setting.split}", "",
                  f"Experiment {setting.experiment}, {setting.sample_protocol} test clips, "
                  f"{setting.protocol} protocol, {len(setting.seen)} seen and "
                  f"{len(setting.unseen)} unseen classes.", ""]
        parts += [line for remark in remarks(setting) for line in (f"> {remark}", "")]
        parts += [tables.results.narrow(keep).to_markdown(),
                  tables.class_averaged.narrow(keep).to_markdown()]
        per_class = tables.per_class.narrow(lambda row, keep=keep: keep(row)
                                            and row["part"] == "unseen")
        parts += ["### Unseen classes", "", per_class.without("part", "index").to_markdown(),
                  "### Provenance", "", tables.provenance.narrow(keep).to_markdown(),
                  "### Runs", "", tables.runs.narrow(keep).to_markdown()]
    parts += ["## Published results", "", f"{published()['source']}. {published()['setting']}.", ""]
    parts += [table.to_markdown() for table in tables.published]
    return "\n".join(parts).rstrip() + "\n"


def _view(setting: Setting, tables: Tables, markup: type) -> dict[str, Any]:
    """What the template shows of a setting."""
    keep = _of(setting)
    latents = []
    for group in setting.headlines:
        embedding, panels = figures.latent_panels(setting, group)
        latents.append((group, embedding, [(p.title, markup(p.svg)) for p in panels]))
    curves = figures.curve_panels(setting)
    headline = setting.headline
    return {
        "it": setting,
        "remarks": remarks(setting),
        "headline": {name: headline.stat(name) for name in (
            "zsl_accuracy", "gzsl_seen_accuracy", "gzsl_unseen_accuracy", "gzsl_harmonic_mean")},
        "results": tables.results.narrow(keep),
        "class_averaged": tables.class_averaged.narrow(keep),
        "runs": tables.runs.narrow(keep),
        "provenance": [(row["field"], row["value"]) for row in tables.provenance.rows if keep(row)],
        "run_panels": [(p.title, markup(p.svg)) for p in figures.run_panels(setting)],
        "unseen_bars": figures.bar_rows(setting, unseen=True),
        "seen_bars": figures.bar_rows(setting, unseen=False),
        "series": [(figures.series_of(setting, group), group.variant_label)
                   for group in setting.groups],
        "confusion_zsl": figures.confusion_rows(setting, "zsl"),
        "confusion_gzsl": figures.confusion_rows(setting, "gzsl"),
        "latents": latents,
        "legend": [(number, entry.name, markup(figures.legend_mark(number)))
                   for number, entry in enumerate(setting.unseen, 1)],
        "curves": [(p.title, markup(p.svg)) for p in curves.panels],
        "curve_seeds": curves.seeds,
    }


def _of(setting: Setting) -> Any:
    def keep(row: dict[str, Any]) -> bool:
        return all(row[column.key] == getattr(setting, column.key) for column in contents.CONTEXT)

    return keep


def _title(settings: Sequence[Setting]) -> str:
    names = dict.fromkeys(setting.dataset_label for setting in settings)
    return f"Zero-shot skeleton action recognition on {_and(list(names))}"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
