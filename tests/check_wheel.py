"""Checks that wheel and source distribution hold the packages whole, and nothing else.

``python tests/check_wheel.py DIST`` (or ``make wheel``) compares what
``python -m build`` put into a folder with the files of the packages here.
"""

from __future__ import annotations

import os
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "zskel"
BESIDE = {"README.md", "LICENSE", "MANIFEST.in", "setup.cfg", "pyproject.toml"}


def files_here() -> set[str]:
    """Every file of the package, by its path from the root; its folders are links."""
    return {
        f"{Path(folder).relative_to(ROOT).as_posix()}/{name}"
        for folder, _, names in os.walk(ROOT / PACKAGE, followlinks=True)
        for name in names if not folder.endswith("__pycache__")
    }


def check(name: str, found: set[str], expected: set[str]) -> None:
    """Ends the program with what is missing or too much."""
    missing, strange = sorted(expected - found), sorted(found - expected)
    if missing or strange:
        sys.exit(f"{name}: lacks {missing or 'nothing'}, holds besides {strange or 'nothing'}")
    print(f"{name}: {len(found)} files, all that there are")


def main() -> None:
    folder = Path(sys.argv[1])
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    expected = files_here()
    kinds = {PurePosixPath(path).suffix for path in expected}
    assert {".py", ".json", ".txt", ".csv", ".html", ".css", ".js"} <= kinds, kinds
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    check(wheel.name, names, expected)
    with tarfile.open(source) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in names if name == "PKG-INFO" or ".egg-info/" in name}
    check(source.name, names - made, expected | BESIDE)


if __name__ == "__main__":
    main()
