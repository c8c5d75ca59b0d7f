"""``pipeline report``: result records to tables, figures and a page."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from zskel.data.common.errors import BadInput
from zskel.pipeline.base.locks import work_dir_locked
from zskel.pipeline.base.progress import say
from zskel.pipeline.base.workdir import DEFAULT_ROOT, WorkDir
from zskel.pipeline.report.page import ReportPaths, write_report


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
    folders = [Path(folder) for folder in work_dirs] or _with_results(DEFAULT_ROOT)
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


def _with_results(root: Path) -> list[Path]:
    return sorted(folder for folder in root.glob("*") if any((folder / "results").glob("*.json")))
