"""Where numbers lead: to the JSON files of the runs behind them."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from zskel.pipeline.report.summary import Group, Run

PAGE = "report.html"


def relative_href(run: Run, out_dir: Path) -> str:
    """The run's file as a relative URL, seen from the report."""
    return quote(Path(os.path.relpath(run.path, out_dir.resolve())).as_posix())


def record_href(group: Group, out_dir: Path) -> str:
    """The record itself of a single run; of several, where the page lists them."""
    if len(group.runs) == 1:
        return relative_href(group.runs[0], out_dir)
    return f"{PAGE}#{group.anchor}"
