"""``pipeline verify``: are files what was written, and made from what is there now?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape

from zskel.data.caches import (
    SKELETON_FORMAT,
    TEXT_FORMAT,
    read_skeleton_features,
    read_text_features,
)
from zskel.data.common.checksums import open_hdf5, write_checksum
from zskel.data.common.errors import BadCache
from zskel.pipeline.base.config import Experiment
from zskel.pipeline.base.progress import say
from zskel.pipeline.verify.checks import BROKEN, NOTICE, OK, STALE
from zskel.pipeline.verify.targets import verify_path

FORMAT, FORMAT_VERSION = "zsl-verification", 1
_STYLES = {OK: "green", NOTICE: "yellow", STALE: "bold magenta", BROKEN: "bold red"}


def verify(
    paths: Sequence[str | Path], experiment: Experiment | None = None, named: str = ""
) -> dict[str, Any]:
    """Everything that can be found out about each path.

    Args:
        paths: Work directories, model stores, folders of those, or single files.
        experiment: Compare with this config rather than that of the experiment
            that a work directory names.
        named: What the commands that are proposed call ``experiment``.

    Returns:
        JSON values: "ok", "counts" by status, and the "checks", each with "path",
        "part", "check", "status" ("ok", "notice", "stale" or "broken"), "detail" and
        "remedy".

    Raises:
        BadInput: A path is not there or nothing that is known.
    """
    found = [(path, check) for path in map(Path, paths)
             for check in verify_path(path, experiment, named)]
    counts = Counter(check.status for _, check in found)
    return {
        "format": FORMAT, "format_version": FORMAT_VERSION,
        "ok": all(check.passed for _, check in found),
        "counts": {status: counts[status] for status in (OK, NOTICE, STALE, BROKEN)},
        "checks": [{"path": str(path), **asdict(check), "part": str(check.part)}
                   for path, check in found],
    }


def write_checksums(paths: Sequence[str | Path]) -> None:
    """Writes the checksums of caches that were changed on purpose anew.

    Raises:
        BadCache: A file is no cache, or breaks the contract; it stays as it is.
    """
    for path in map(Path, paths):
        write_checksum(path, _keeps_the_contract)
        say(f"wrote the checksum of {path}")


def show(content: Mapping[str, Any]) -> None:
    """Prints what ``verify`` returns, a line a check."""
    from zskel.pipeline.base.render import stdout_console

    console = stdout_console()
    for check in content["checks"]:
        wrong = "; ".join(filter(None, (check["detail"], check["remedy"])))
        text = escape(": ".join(filter(None, (check["check"], wrong))))
        status = check["status"]
        console.print(f"[{_STYLES[status]}]{status:<6}[/]  {text}", soft_wrap=True)
    console.print(", ".join(f"{count} {status}" for status, count in content["counts"].items()))


def _keeps_the_contract(path: Path) -> None:
    readers = {SKELETON_FORMAT: read_skeleton_features, TEXT_FORMAT: read_text_features}
    with open_hdf5(path) as file:
        form = file.attrs.get("format")
    if form not in readers:
        raise BadCache(f"{path}: format is {form!r}; checksums are written for caches alone "
                       f"({', '.join(readers)})")
    readers[form](path)
