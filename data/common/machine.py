"""What a machine computes with, as far as it decides the last bits of numbers."""

from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path

_CPU_INFO, _DRIVER = Path("/proc/cpuinfo"), Path("/proc/driver/nvidia/version")


def machine() -> dict[str, str]:
    """What numbers of this process depend on besides versions, for the files that hold them.

    Returns:
        "cpu" with the instructions that torch uses and "threads"; where this process has
        computed on a GPU also "gpu", "cuda", "driver" and whether its algorithms were
        "deterministic".
    """
    import torch

    found = {
        "cpu": f"{_cpu()} ({torch.backends.cpu.get_cpu_capability()})",
        "threads": str(torch.get_num_threads()),
    }
    if torch.cuda.is_initialized():
        found |= {
            "gpu": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda),
            "driver": _driver(),
            "deterministic": "yes" if torch.are_deterministic_algorithms_enabled() else "no",
        }
    return found


@cache
def _cpu() -> str:
    try:
        text = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return " ".join(named[1].split()) if named else platform.processor() or platform.machine()


@cache
def _driver() -> str:
    try:
        text = _DRIVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    version = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", text)
    return version[1] if version else "unknown"
