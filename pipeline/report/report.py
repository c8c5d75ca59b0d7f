"""``pipeline report``: result records to tables, figures and a page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from zskel.data.common.errors import BadInput
from zskel.data.common.files import write_text
from zskel.pipeline.base.locks import work_dir_locked
from zskel.pipeline.base.progress import say, tell_warning
from zskel.pipeline.base.workdir import DEFAULT_ROOT, WorkDir
from zskel.pipeline.report.all_tables import Tables
from zskel.pipeline.report.clips import MOST_CHARACTERS
from zskel.pipeline.report.embedding import Embeddings, embed_setting
from zskel.pipeline.report.latex import to_latex
from zskel.pipeline.report.load import load_runs, summarize
from zskel.pipeline.report.markdown import render_markdown
from zskel.pipeline.report.published import literature
from zskel.pipeline.report.remarks import stale
from zskel.pipeline.report.rows import PAGE, across_settings
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


def report(work_dirs: Sequence[str | Path] = (), out: str | Path | None = None) -> ReportPaths:
    """Writes the report of work directories or single results.

    Args:
        work_dirs: Work directories, or JSON files of results; default: every
            folder below ``work_dirs`` that has results.
        out: Where the report goes; default: ``report`` inside the work
            directory, or ``work_dirs/report`` for several or for files.

    Raises:
        BadInput: There are no results, or a record is broken.
    """
    folders = [Path(folder) for folder in work_dirs] or sorted(
        folder for folder in DEFAULT_ROOT.glob("*") if any(folder.glob("results/*.json")))
    if not folders:
        raise BadInput(f"{DEFAULT_ROOT}: no results in it; run `pipeline fit` first or name a "
                       "folder with --work-dir")
    if out is None:
        single = len(folders) == 1 and not folders[0].is_file()
        out = WorkDir(folders[0]).report if single else DEFAULT_ROOT / "report"
    with written_alone(folders, Path(out)):
        paths = write_report(folders, Path(out))
    say(f"wrote {paths.html}, {paths.markdown} and {len(paths.tables)} tables, "
        f"{len(paths.latex)} of them in LaTeX as well")
    return paths


def written_alone(work_dirs: Sequence[Path], out: Path) -> AbstractContextManager[None]:
    """Keeps others from where a report goes: the work directory that it lies in, or itself.

    Elsewhere it waits for nobody: results are whole or absent, so a report on what is
    there can be made while a fit goes on.
    """
    inside = [folder for folder in work_dirs
              if out.resolve().is_relative_to(folder.resolve())]
    return work_dir_locked(inside[0] if inside else out, "pipeline report", not inside,
                           (out / "tables", out / "latex"))


def write_report(
    sources: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]
) -> ReportPaths:
    """Reads result records and writes a report on them; others may write there meanwhile.

    The same records give the same files, byte for byte.

    Args:
        sources: Work directories, or JSON files of single results.
        out: Where the report goes.

    Raises:
        BadInput: There are no records, one is broken, or two claim to be the same run.
    """
    out_dir = Path(out)
    settings = summarize(load_runs(sources))
    for said in (line for setting in settings for line in stale(setting)):
        tell_warning(said)
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
        settings=[setting_view(*each, tables, MOST_CHARACTERS // len(settings))
                  for each in zip(settings, embeddings)],
        overview=across_settings(tables.own["results"]).without("chance"),
        paper=literature("sa_dvae"), later=literature("later"), tables=tables,
        title=title_of(settings),
        matched=any(row["ours"] for table in tables.paper for row in table.rows),
        warned=[setting for setting in settings if setting.warning],
        run_count=sum(len(setting.runs) for setting in settings),
    )
