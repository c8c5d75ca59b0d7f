"""benchmarks/gpu.py on a CPU, in parts."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("gpu")
    for name in ("gpu", "methods"):
        sys.modules.pop(name, None)


def outcome(gpu: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["gpu.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.filterwarnings("ignore")
def test_all_kinds_of_sections_give_rows(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ("step sa_dvae", "extract stgcn", "train stgcn", "DDP")
    only = [part for kind in kinds for part in ("--only", kind)]
    assert outcome(gpu, monkeypatch, "--device", "cpu", "--quick", *only) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()
            if line.startswith("| ")][2:]
    assert [row[0].removeprefix("| ") for row in rows] == [
        "step sa_dvae", *("extract stgcn",) * 2, *("train stgcn",) * 2,
        "DDP, world size 1, stgcn"]
    assert rows[0][4] == "z_r differs by 0e+00 of the largest"
    assert rows[-1][4] == "loss differs by 0.0e+00"


def test_without_a_gpu_it_says_so(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert outcome(gpu, monkeypatch) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_section_that_fails_stops_no_other_one(gpu: Any) -> None:
    def fails(bench: Any) -> Iterator[tuple[str, ...]]:
        yield ("half",)
        raise RuntimeError("no\nkernel")

    def late(bench: Any) -> Iterator[tuple[str, ...]]:
        yield ("last",)

    rows, failed = gpu.run_all(gpu.Bench("cpu", True), {"one": fails, "two": late})
    assert rows == [("half",), ("last",)] and failed == ["one: RuntimeError: no kernel"]
