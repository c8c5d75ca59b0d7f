"""benchmarks/utd_splits.py: what it draws and asks for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zskel.pipeline.steps.phase_plan import resolve_split

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def utd_splits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield importlib.import_module("utd_splits")
    for name in ("utd_splits", "method_table", "differences"):
        if name not in before:
            sys.modules.pop(name, None)


def test_every_split_draws_other_classes_and_trains_a_backbone_of_its_own(
    utd_splits: Any, tmp_path: Path
) -> None:
    experiments = [utd_splits.experiment_of(split, tmp_path / str(split)) for split in range(3)]
    splits = [resolve_split(experiment) for experiment in experiments]
    assert len({split.unseen for split in splits}) == 3
    assert all(len(split.unseen) == len(split.validation_unseen) == 5 for split in splits)
    assert {experiment.backbone.name for experiment in experiments} == {"stgcn-tiny"}
    again = utd_splits.experiment_of(1, tmp_path / "again")
    assert resolve_split(again) == splits[1]
