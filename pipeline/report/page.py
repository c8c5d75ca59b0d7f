"""Writes the report: an HTML page, a Markdown file, and CSV and LaTeX for each table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zskel.data.common.errors import BadInput
from zskel.data.common.files import write_text
from zskel.pipeline.report.all_tables import Tables
from zskel.pipeline.report.embedding import Embeddings, embed_setting
from zskel.pipeline.report.labels import protocol_label
from zskel.pipeline.report.latex import to_latex
from zskel.pipeline.report.load import load_runs, summarize
from zskel.pipeline.report.markdown import render_markdown
from zskel.pipeline.report.published import literature
from zskel.pipeline.report.rows import PAGE
from zskel.pipeline.report.summary import Setting
from zskel.pipeline.report.tables import Table
from zskel.pipeline.report.templating import render_template
from zskel.pipeline.report.view import setting_view, title_of


@dataclass(frozen=True)
class ReportPaths:
    """Where a report lies.

    Attributes:
        html, markdown: The report.
        tables: Its CSV files.
        latex: Its LaTeX files.
    """

    html: Path
    markdown: Path
    tables: tuple[Path, ...]
    latex: tuple[Path, ...]


def write_report(
    sources: Sequence[str | os.PathLike[str]], out_dir: str | os.PathLike[str] | None = None
) -> ReportPaths:
    """Reads result records and writes a report on them.

    The same records give the same files, byte for byte.

    Args:
        sources: Work directories, or JSON files of single results.
        out_dir: Where the report goes; ``<work_dir>/report`` of a single work
            directory if left out.

    Raises:
        BadInput: There are no records, one is broken, two claim to be the same
            run, or ``out_dir`` is missing for several sources.
    """
    if not sources:
        raise BadInput("no work directory given to report on")
    if out_dir is None:
        if len({Path(source).resolve() for source in sources}) > 1 or Path(sources[0]).is_file():
            raise BadInput("a report on several work directories, or on result files, needs an "
                           "output directory")
        out_dir = Path(sources[0]) / "report"
    out_dir = Path(out_dir)
    settings = summarize(load_runs(sources))
    embeddings = [embed_setting(setting) for setting in settings]
    tables = Tables.of(settings, embeddings, out_dir)
    written: dict[str, list[Path]] = {"tables": [], "latex": []}
    for folder, ending, form, chosen in (
        ("tables", "csv", Table.to_csv, tables.all()), ("latex", "tex", to_latex, tables.printed()),
    ):
        for table in chosen:
            path = out_dir / folder / f"{table.name}.{ending}"
            write_text(path, form(table))
            written[folder].append(path)
    markdown, html = out_dir / "report.md", out_dir / PAGE
    write_text(markdown, render_markdown(settings, tables))
    write_text(html, render_html(settings, embeddings, tables))
    return ReportPaths(html, markdown, tuple(written["tables"]), tuple(written["latex"]))


def render_html(
    settings: Sequence[Setting], embeddings: Sequence[Embeddings], tables: Tables
) -> str:
    """The page: one string that needs nothing else to be shown."""
    return render_template(
        # What leads to the page itself is an anchor within it.
        "report.html", lambda href: href.removeprefix(PAGE),
        settings=[setting_view(*each, tables) for each in zip(settings, embeddings)],
        overview=_overview(tables.own["results"]), paper=literature("sa_dvae"),
        later=literature("later"), tables=tables, title=title_of(settings),
        matched=any(row["ours"] for table in tables.paper for row in table.rows),
        warned=[setting for setting in settings if setting.warning],
        run_count=sum(len(setting.runs) for setting in settings),
    )


def _overview(results: Table) -> Table:
    """The results of all settings, the protocol with its warning."""
    rows: list[dict[str, Any]] = [
        {**row, "protocol": protocol_label(row["protocol"])} for row in results.rows]
    return replace(results, rows=rows).without(
        "dataset", "sample_protocol", "method", "variant", "seen_classifier", "gate_key",
        "distinction", "chance")
