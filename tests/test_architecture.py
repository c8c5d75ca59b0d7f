"""Who may import whom, and what a quick command must not load."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "data": {"data"},
    "extractors": {"data", "extractors"},
    "zsl": {"data", "zsl"},
    "pipeline": {"data", "extractors", "zsl", "pipeline", "configs"},
    "configs": set(),
}
OURS = set(MAY_IMPORT)
HEAVY = {"mmaction", "mmcv", "torchvision", "sentence_transformers", "open_clip"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def room(name: str) -> str:
    """The package of a dotted name: ours without ``zskel``, others' by their top-level name."""
    first, _, rest = name.partition(".")
    return rest.partition(".")[0] if first == "zskel" and rest else first


def imported(tree: ast.AST, module_level: bool = False) -> Iterator[str]:
    """The package of everything that a module imports, anywhere or when it is loaded."""
    if module_level and isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return
    if isinstance(tree, ast.Import):
        yield from (room(alias.name) for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom):
        assert tree.level == 0, "relative import"
        if tree.module == "zskel":
            yield from (alias.name for alias in tree.names)
        else:
            yield room(tree.module or "")
    for child in ast.iter_child_nodes(tree):
        yield from imported(child, module_level)


def named_in_strings(tree: ast.AST) -> Iterator[str]:
    """Packages of ``"package.module:Part"`` strings, which registries import later."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            module, colon, part = node.value.partition(":")
            if colon and part.isidentifier() and module.replace(".", "").isidentifier():
                yield room(module)


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_go_one_way(package: str) -> None:
    assert modules(package)
    for path in modules(package):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = set(imported(tree)) | set(named_in_strings(tree))
        strangers = found & (OURS - MAY_IMPORT[package])
        assert not strangers, f"{path.relative_to(ROOT)} imports {strangers}"


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_the_packages_are_imported_by_one_name(package: str) -> None:
    for path in modules(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            bare = {name.partition(".")[0] for name in names} & OURS
            assert not bare, f"{path.relative_to(ROOT)} imports {bare} without zskel"


#: The floors of ``pipeline``, from the ground up: a folder imports from lower ones alone.
FLOORS = (
    {"base"},
    {"steps"},
    {"cli"},  # the program and its options, which every command stands on
    {"demo_data", "doctor", "evaluate_backbone", "export", "extract", "fit", "import_", "report",
     "verify"},
    {"inspect", "queue", "search"},
    {"plan", "predict"},
    {"run", "show", "try_"},
)


def test_every_folder_of_the_pipeline_has_a_floor() -> None:
    folders = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}
    assert folders == set().union(*FLOORS)
    commands = {path.parent.name for path in (ROOT / "pipeline").glob("*/command.py")}
    assert commands == set().union(*FLOORS[3:])


@pytest.mark.parametrize("height", range(len(FLOORS)))
def test_imports_of_the_pipeline_go_down(height: int) -> None:
    """The list of all commands, ``cli.main``, is the roof."""
    below = set().union(*FLOORS[:height])
    for folder in FLOORS[height]:
        for path in (ROOT / "pipeline" / folder).rglob("*.py"):
            if path == ROOT / "pipeline" / "cli" / "main.py":
                continue
            found = set()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found |= {name.split(".")[2] for name in names
                          if re.match(r"zskel\.pipeline\.\w", name)}
            strangers = found - below - {folder}
            assert not strangers, f"{path.relative_to(ROOT)} imports {strangers}"


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_functions_have_few_arguments(package: str) -> None:
    """At most eight; a command has one for each option that its user sees."""
    for path in modules(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or (
                    path.name == "command.py" and node.decorator_list):
                continue
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = [argument.arg for argument in given if argument.arg not in ("self", "cls")]
            assert len(names) <= 8, f"{path.relative_to(ROOT)}: {node.name} has {len(names)}"


@pytest.mark.parametrize("package", ["data", "zsl", "pipeline"])
def test_only_extractors_touch_the_skeleton_toolbox(package: str) -> None:
    for path in modules(package):
        found = set(imported(ast.parse(path.read_text(encoding="utf-8"))))
        assert not found & (HEAVY - {"open_clip", "sentence_transformers"}), path


def test_the_import_check_sees_every_form() -> None:
    tree = ast.parse("import zskel.zsl.vae as v\ndef f():\n    from zskel.pipeline import cli\n"
                     "    from zskel import data\nX = 'zskel.zsl.a:B'")
    assert set(imported(tree)) == {"zsl", "pipeline", "data"}
    assert set(imported(tree, module_level=True)) == {"zsl"}
    assert set(named_in_strings(tree)) == {"zsl"}


def loaded(python: Callable[..., Any], code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after the code."""
    ended = python("-c", f"{code}\nimport sys, json\n"
                         "roots = sorted({m.split('.')[0] for m in sys.modules})\n"
                         "print('\\n' + json.dumps(roots))")
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stdout.splitlines()[-1]))


def test_the_command_line_is_light(python: Callable[..., Any]) -> None:
    found = loaded(python, "import zskel.pipeline.cli.main")
    assert "zskel" in found
    # numpy alone would be quick; torch, h5py and scipy are what takes seconds.
    assert not found & (HEAVY | {"torch", "numpy", "scipy", "h5py", "mmengine", "sklearn"})


def test_help_is_light(python: Callable[..., Any]) -> None:
    code = """
import sys
from zskel.pipeline.cli.main import main
sys.argv = ["pipeline", "--help"]
try:
    main()
except SystemExit as ended:
    assert ended.code == 0
"""
    ended = python("-c", code)
    for command in ("extract", "fit", "report", "demo-data"):
        assert command in ended.stdout
    assert not loaded(python, code) & (HEAVY | {"torch", "numpy", "scipy", "h5py", "mmengine"})


def test_stage_two_and_the_report_do_without_the_skeleton_toolbox(
    python: Callable[..., Any]
) -> None:
    commands = [path.parent.name for path in sorted((ROOT / "pipeline").glob("*/command.py"))]
    assert {"extract", "fit", "report"} <= set(commands)
    names = ["zsl", "zsl.evaluation", "zsl.methods.sa_dvae", "zsl.gates", "zsl.validation",
             "pipeline.cli.main", "pipeline.search.worker", "pipeline.search.page",
             *(f"pipeline.{name}.{name}" for name in commands)]
    found = loaded(python, "import " + ", ".join(f"zskel.{name}" for name in names))
    assert "torch" in found
    assert not found & HEAVY
    assert "optuna" not in found, "only a search needs it"
