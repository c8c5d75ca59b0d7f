"""Installs a wheel in a clean environment and runs the small demo there.

``python tests/smoke.py WHEEL`` (or ``make smoke``) makes a virtual environment
outside of the checkout, installs the wheel as a user would, and goes from
recordings to a report in an empty folder with the installed ``pipeline`` command
alone. Nothing of the checkout is on any path, so that a file which the wheel lacks
is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from other_repository import CODE, PRINTED, write_other_repository

EXPERIMENT = "demo-small"
SEEDS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    wheel = parser.parse_args().wheel.resolve()
    with tempfile.TemporaryDirectory(prefix="smoke-") as scratch:
        folder = Path(scratch).resolve()
        bin_folder = install(wheel, folder / "venv")
        (folder / "empty").mkdir()
        demo(bin_folder, folder / "empty")
        check_results(folder / "empty" / "work_dirs" / EXPERIMENT, bin_folder)
    print("the wheel works")


def install(wheel: Path, venv: Path) -> Path:
    """Makes the environment; returns its folder of commands."""
    run([sys.executable, "-m", "venv", venv], venv.parent)
    bin_folder = venv / "bin"
    run([bin_folder / "python", "-m", "pip", "install", "--quiet", f"{wheel}[demo]"], venv.parent)
    code = "import zskel; print(zskel.__file__, zskel.__version__)"
    place, version = run([bin_folder / "python", "-c", code], venv.parent).split()
    assert Path(place).is_relative_to(venv) and version in wheel.name, f"{place} {version}"
    for regular in (True, False):
        other = write_other_repository(venv.parent / f"other-{regular}", regular)
        printed = run([bin_folder / "python", "-c", CODE], other)
        assert printed.strip() == PRINTED, printed
    return bin_folder


def demo(bin_folder: Path, folder: Path) -> None:
    """From recordings to a report."""
    for arguments in (
        ("doctor",),
        ("demo-data", "raw", "--performers", "4", "--cameras", "1"),
        ("extract", EXPERIMENT, "--raw", "raw"),
        ("fit", EXPERIMENT),
        ("fit", EXPERIMENT, "--method", "all", "--seeds", "1"),
        ("report", EXPERIMENT),
    ):
        run([bin_folder / "pipeline", *arguments], folder)


def check_results(work: Path, bin_folder: Path) -> None:
    """What a demo leaves: caches, finite numbers, a page with all of them."""
    for name in ("skeleton_test", "skeleton_calibration", "text", "text_verb", "text_noun"):
        assert (work / "features" / f"{name}.h5").stat().st_size > 10_000, name
    records = {path: json.loads(path.read_text(encoding="utf-8"))
               for path in sorted((work / "results").glob("*.json"))}
    seeds: dict[str, set[int]] = {}
    for record in records.values():
        seeds.setdefault(record["method"], set()).add(record["seed"])
    listing = ("from zskel.zsl.methods import METHODS; print(*(name for name in METHODS.names() "
               "if not METHODS.get(name).feature_views))")  # of which the demo has none
    known = run([bin_folder / "python", "-c", listing], work).split()
    assert sorted(seeds) == sorted(known), f"results of {sorted(seeds)}, expected {sorted(known)}"
    assert seeds["sa_dvae"] == set(range(SEEDS)), seeds["sa_dvae"]
    for path, record in records.items():
        for name in ("zsl_accuracy", "gzsl_seen_accuracy", "gzsl_unseen_accuracy",
                     "gzsl_harmonic_mean"):
            assert 0 <= record[name] <= 1, f"{path.name}: {name} is {record[name]}"
        strange = [number for number in numbers(record) if not math.isfinite(number)]
        assert not strange, f"{path.name}: holds {strange[0]}"
        assert path.with_suffix(".npz").stat().st_size > 1_000, path
    page = (work / "report" / "report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>") and len(page) > 100_000, f"{len(page)} characters"
    missing = [path.stem for path in records if path.stem not in page]
    assert not missing, f"the report says nothing of {missing}"


def numbers(value: Any) -> Iterator[float]:
    """All numbers in a JSON value."""
    if isinstance(value, dict):
        for each in value.values():
            yield from numbers(each)
    elif isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, (int, float)):
        yield value


def run(command: list[Any], folder: Path) -> str:
    """Runs a command in a folder, without anything that leads to the checkout."""
    leading = ("PYTHON", "VIRTUAL_ENV", "COVERAGE")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(leading)}
    start = time.monotonic()
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env={**clean, "HF_HUB_OFFLINE": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )
    shown = " ".join(str(part).rpartition("/")[2] for part in command)
    print(f"{time.monotonic() - start:6.1f} s  {shown}", flush=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{shown} ended with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
