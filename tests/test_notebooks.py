"""Every notebook runs from top to bottom beside a work directory of the demo's kind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def cells(notebook: Path, kind: str) -> list[str]:
    document = json.loads(notebook.read_text(encoding="utf-8"))
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert not any(cell.get("outputs") for cell in document["cells"]), "outputs are not kept"
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == kind]


def test_all_are_listed() -> None:
    page = (FOLDER.parent / "notebooks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"notebooks/([\w-]+\.ipynb)", page)) == {path.name for path in NOTEBOOKS}
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_draws(
    notebook: Path, tiny_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "docs" / "notebooks"
    here.mkdir(parents=True)
    (tmp_path / "work_dirs").mkdir()
    (tmp_path / "work_dirs" / "demo").symlink_to(tiny_work)
    monkeypatch.chdir(here)
    matplotlib.use("Agg")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    try:
        for number, code in enumerate(cells(notebook, "code")):
            exec(compile(code, f"{notebook.name}, code cell {number}", "exec"), namespace)
        figures = [plt.figure(number) for number in plt.get_fignums()]
        for figure in figures:
            figure.canvas.draw()
        assert figures and all(axis.has_data() for each in figures for axis in each.axes)
    finally:
        plt.close("all")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_links_lead_somewhere(notebook: Path) -> None:
    for text in cells(notebook, "markdown"):
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            assert (FOLDER / target).exists(), target
