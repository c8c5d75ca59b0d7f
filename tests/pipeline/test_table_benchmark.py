"""benchmarks/table.py on few clips, and what `pipeline plan` makes of its times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_times_of_a_table_are_those_that_were_measured(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, ROOT / "benchmarks/table.py", "--scale", "0.001", "--jobs", "1",
         "--method", "synse", "--keep", tmp_path], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    *_, of_fit, both, last = ended.stdout.splitlines()
    assert of_fit.startswith("synse: ") and both.startswith("fit --jobs 1: ")
    assert float(last.removeprefix("seconds ")) > 0
    planned = subprocess.run(
        [sys.executable, "-m", "zskel", "plan", "table-3", "--work-dirs", tmp_path, "--json"],
        capture_output=True, text=True, cwd=ROOT)
    assert planned.returncode == 0, planned.stderr
    (record,) = (json.loads(path.read_text())
                 for path in (tmp_path / "ntu60-55-5/results").glob("*.json"))
    fits = [fit for fit in json.loads(planned.stdout)["fits"]
            if fit["experiment"] == "ntu60-55-5" and fit["method"] == "synse"]
    assert max(fit["seconds"] for fit in fits) == pytest.approx(
        record["duration_seconds"], abs=0.1)
