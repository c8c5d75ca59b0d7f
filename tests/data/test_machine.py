"""What files say of the machine that made them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from zskel.data.common import machine as module
from zskel.data.common.machine import machine


@pytest.fixture(autouse=True)
def forget() -> None:
    module._cpu.cache_clear(), module._driver.cache_clear()


def test_cpu_and_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some  CPU @ 2.40GHz\nflags\t: avx2\n")
    monkeypatch.setattr(module, "_CPU_INFO", info)
    found = machine()
    assert set(found) == {"cpu", "threads"}
    assert found["cpu"].startswith("Some CPU @ 2.40GHz (") and found["cpu"].endswith(")")
    assert found["threads"] == str(torch.get_num_threads())


def test_without_proc_there_is_still_something(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_CPU_INFO", tmp_path / "none")
    assert machine()["cpu"].partition(" (")[0]


@pytest.mark.parametrize(("text", "driver"), [
    ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n"
     "GCC version:  gcc version 11.4.0\n", "535.104.05"),
    ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build\n",
     "550.54.15"),
    ("something else\n", "unknown"), (None, "unknown"),
])
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_gpu_that_was_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, driver: str,
    deterministic: bool,
) -> None:
    if text is not None:
        (tmp_path / "version").write_text(text)
    monkeypatch.setattr(module, "_DRIVER", tmp_path / "version")
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    found = machine()
    assert (found["gpu"], found["driver"]) == ("Some GPU", driver)
    assert found["deterministic"] == ("yes" if deterministic else "no") and found["cuda"]
