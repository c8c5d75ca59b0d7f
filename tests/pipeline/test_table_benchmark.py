"""benchmarks/table.py on few clips, and what `pipeline plan` makes of its times."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_times_of_a_table_are_those_that_were_measured(
    python: Callable[..., Any], tmp_path: Path
) -> None:
    ended = python(ROOT / "benchmarks/table.py", "--scale", "0.001", "--jobs", "1",
                   "--method", "synse", "--keep", tmp_path)
    assert ended.returncode == 0, ended.stderr
    *_, of_fit, both, last = ended.stdout.splitlines()
    assert of_fit.startswith("synse: ") and both.startswith("fit --jobs 1: ")
    assert float(last.removeprefix("seconds ")) > 0
    planned = python("-m", "zskel", "plan", "table-3", "--work-dirs", tmp_path, "--json")
    assert planned.returncode == 0, planned.stderr
    (record,) = (json.loads(path.read_text())
                 for path in (tmp_path / "ntu60-55-5/results").glob("*.json"))
    fits = [fit for fit in json.loads(planned.stdout)["fits"]
            if fit["experiment"] == "ntu60-55-5" and fit["method"] == "synse"]
    assert max(fit["seconds"] for fit in fits) == pytest.approx(
        record["duration_seconds"], abs=0.1)
