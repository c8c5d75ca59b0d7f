"""The report of a table, and whether it is that of the results that are there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from zskel.data.common.files import digest_file, write_json
from zskel.pipeline.report.clips import store_of

#: Written last: says what a report was made from.
MARKER = "made_from.json"


def report_folder(work_dirs: Path, table: str) -> Path:
    """Where a table's report goes."""
    return work_dirs / "reports" / table


def is_current(folder: Path, sources: Sequence[Path]) -> bool:
    """Whether a report is whole and was made from these work directories as they are."""
    try:
        content = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        files = [folder / name for name in content["files"]]
        return bool(content == _facts(folder, sources, files))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def mark(folder: Path, sources: Sequence[Path], files: Sequence[Path]) -> None:
    """Notes what a report was made from and what it consists of."""
    write_json(folder / MARKER, _facts(folder, sources, files))


def _facts(folder: Path, sources: Sequence[Path], files: Sequence[Path]) -> dict[str, object]:
    results = [path for source in sources for path in sorted((source / "results").glob("*.json"))]
    stores = {source.name: store_of(source)[0] for source in sources}
    return {
        "stores": {name: store and store.digest for name, store in stores.items()},
        "results": {f"{path.parent.parent.name}/{path.name}": digest_file(path)
                    for path in results},
        "files": {path.relative_to(folder).as_posix(): digest_file(path) for path in files},
    }
