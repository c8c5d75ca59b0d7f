"""The configs that ship with the package: files, and the entries of a folder's table."""

from __future__ import annotations

import runpy
from importlib import resources
from pathlib import Path

_TABLE = "_published.py"


def shipped_configs() -> Path:
    """The folder of the configs that ship with the package."""
    return Path(str(resources.files("zskel.configs")))


def config_names(folder: Path) -> list[str]:
    """Names of the configs in a folder, sorted."""
    files = {path.stem for path in folder.glob("*.py") if not path.name.startswith("_")}
    return sorted({*files, *_entries(folder)})


def config_text(path: Path) -> str | None:
    """A config as text, a file or an entry of the table beside it; None if it is neither."""
    if path.is_file():
        # Windows' editors write a byte-order mark.
        return path.read_bytes().decode("utf-8-sig")
    return _entries(path.parent).get(path.stem) if path.suffix == ".py" else None


def _entries(folder: Path) -> dict[str, str]:
    table = folder / _TABLE
    inside = folder.resolve().is_relative_to(shipped_configs().resolve())
    found: dict[str, str] = runpy.run_path(str(table))["configs"] if inside and table.is_file() \
        else {}
    return found
