"""Small inputs that people really have: from the folder of cases, or twins of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "cases"


@pytest.fixture
def case(tmp_path: Path) -> Callable[..., Path]:
    """A writable folder that holds one situation.

    Called with the situation's name and a function that makes a twin of it in a
    folder. Where ``shared/cases`` lies beside the checkout, its files are copied
    instead, and ``CONFIGS/`` is taken out of their configs' bases.
    """
    def get(name: str, make_twin: Callable[[Path], None]) -> Path:
        folder, given = tmp_path / name, CASES / name
        folder.mkdir()
        if not given.is_dir():
            make_twin(folder)
            return folder
        for file in given.iterdir():
            shutil.copyfile(file, folder / file.name)
        for config in folder.glob("*.py"):
            text = config.read_text(encoding="utf-8")
            config.write_text(text.replace("CONFIGS/", ""), encoding="utf-8")
        return folder

    return get
