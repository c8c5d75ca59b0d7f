"""What ``make wheel`` refuses; the wheel itself is made and tried by ``make smoke``."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from check_wheel import files_here
from other_repository import CODE, PRINTED, write_other_repository

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def verdict(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Checks distributions with the packages' files, some left out and some added."""
    files = files_here()
    beside = {"README.md", "LICENSE", "MANIFEST.in", "setup.cfg", "pyproject.toml", "PKG-INFO"}

    def check(
        lost: str = "", added: str = "", lost_source: str = ""
    ) -> subprocess.CompletedProcess[str]:
        for name in (lost, lost_source):
            assert not name or name in files
        with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
            for name in {*files, "a.dist-info/METADATA", *filter(None, [added])} - {lost}:
                wheel.writestr(name, b"")
        with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as source:
            for name in (files | beside) - {lost_source}:
                source.addfile(tarfile.TarInfo(f"a-1/{name}"), io.BytesIO())
        return subprocess.run(
            [sys.executable, ROOT / "tests" / "check_wheel.py", tmp_path],
            capture_output=True, text=True, check=False)

    return check


def test_a_whole_distribution_is_one(verdict: Callable[..., subprocess.CompletedProcess[str]]):
    done = verdict()
    assert done.returncode == 0 and "all that there are" in done.stdout, done.stderr


@pytest.mark.parametrize(("change", "message"), [
    (dict(lost="zskel/data/resources/class_splits.json"),
     "a.whl: lacks ['zskel/data/resources/class_splits.json']"),
    (dict(added="tests/conftest.py"), "holds besides ['tests/conftest.py']"),
    (dict(lost_source="zskel/configs/demo.py"), "a.tar.gz: lacks ['zskel/configs/demo.py']"),
])
def test_what_is_lost_or_too_much_is_named(
    verdict: Callable[..., subprocess.CompletedProcess[str]], change: dict[str, str], message: str
):
    done = verdict(**change)
    assert done.returncode == 1 and message in done.stderr


@pytest.mark.parametrize("regular", [True, False], ids=["regular", "namespace"])
def test_another_repositorys_data_and_configs_are_no_trouble(regular: bool, tmp_path: Path) -> None:
    """With the installation that runs the tests, editable; ``make smoke`` tries the wheel."""
    folder = write_other_repository(tmp_path / "other", regular)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", CODE], cwd=folder, env=clean,
                          capture_output=True, text=True, check=False)
    assert done.stdout.strip() == PRINTED, done.stderr


def test_a_new_file_is_importable_at_once() -> None:
    """The folders are links: nothing is installed anew when a file is added."""
    for name in ("data", "extractors", "zsl", "pipeline", "configs"):
        assert (ROOT / "zskel" / name).is_symlink(), "git must check links out as links"
        assert (ROOT / "zskel" / name).resolve() == ROOT / name
