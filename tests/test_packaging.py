"""What ``make wheel`` refuses; the wheel itself is made and tried by ``make smoke``."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("data", "extractors", "zsl", "pipeline", "configs")


@pytest.fixture
def verdict(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Checks distributions with the packages' files, some left out and some added."""
    files = {path.relative_to(ROOT).as_posix() for package in PACKAGES
             for path in (ROOT / package).rglob("*")
             if path.is_file() and path.parent.name != "__pycache__"}
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
    (dict(lost="data/resources/class_splits.json"),
     "a.whl: lacks ['data/resources/class_splits.json']"),
    (dict(added="tests/conftest.py"), "holds besides ['tests/conftest.py']"),
    (dict(lost_source="configs/demo.py"), "a.tar.gz: lacks ['configs/demo.py']"),
])
def test_what_is_lost_or_too_much_is_named(
    verdict: Callable[..., subprocess.CompletedProcess[str]], change: dict[str, str], message: str
):
    done = verdict(**change)
    assert done.returncode == 1 and message in done.stderr
