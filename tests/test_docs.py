"""Every command and code block of README and docs runs, parses, or says that it needs data."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from zskel.pipeline.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
#: The command, and what ``python -m`` calls it.
PROGRAM, MODULE = "pipeline", "zskel"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LICENSED = "<!-- needs licensed data -->"
#: Its blocks are put together by tests/zsl/test_adding_a_method.py.
TESTED_ELSEWHERE = {"adding-a-method.md"}
#: Blocks that show a file's content, or what happens, and no commands.
PLAIN = {"text", "toml", "json"}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^`([\w-]+\.py)`:\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block; ``file`` is what the line before it calls it, ``licensed`` its mark."""

    page: Path
    line: int
    language: str
    text: str
    file: str
    licensed: bool


def blocks(page: Path) -> list[Block]:
    text, found = page.read_text(encoding="utf-8"), []
    for match in _FENCE.finditer(text):
        before = text[:match.start()].rstrip().rpartition("\n")[2].strip()
        name = _FILE.match(before)
        found.append(Block(page, text.count("\n", 0, match.start()) + 2, match[1], match[2],
                           name[1] if name else "", before == LICENSED))
    return found


def commands(page: Path) -> list[str]:
    """Lines of shell blocks, of unnamed blocks of commands, and indented command lines."""
    lines = []
    for block in blocks(page):
        if block.language in ("sh", "", "console"):
            lines += block.text.replace("\\\n", " ").splitlines()
    outside = _FENCE.sub("", page.read_text(encoding="utf-8"))
    lines += re.findall(r"^    (?=(?:pipeline|python) )(.*)$", outside, re.MULTILINE)
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")
            and "──" not in line]


def parse(line: str) -> None:
    """Raises or exits with a usage error where the command line would."""
    words = [PROGRAM if word == MODULE else word for word in shlex.split(line)]
    command = typer.main.get_command(app)
    context = command.make_context(PROGRAM, words[words.index(PROGRAM) + 1:],
                                   resilient_parsing="--install-completion" in words)
    if "--install-completion" in words:
        return
    rest = [*context._protected_args, *context.args]
    name, chosen, rest = command.resolve_command(context, rest)
    chosen.make_context(name, list(rest), parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_one(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a --json-log is opened when the line is parsed
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in commands(page):
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), line
        elif words[0] == "python" and words[1] in {block.file for block in blocks(page)}:
            continue  # a file that the page shows
        elif words[0] == "python":
            script = (ROOT / words[1]).read_text(encoding="utf-8")
            missing = [word for word in words if word.startswith("--")
                       and f'"{word}"' not in script]
            assert not missing, f"{page.name}: {line}: no {missing}"
        else:
            assert words[0] in (PROGRAM, "torchrun", "srun"), line
            try:
                parse(shlex.join(words))
            except Exception as error:
                pytest.fail(f"{page.name}: {line}: {type(error).__name__} {error}")


@pytest.mark.parametrize("line", ["pipeline fit", "pipeline fit demo --no-such", "pipeline nope",
                                  "pipeline plan", "pipeline fit demo --seeds many"])
def test_a_wrong_command_is_noticed(line: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011  (typer's own copy of click's errors)
        parse(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_what_is_there(page: Path) -> None:
    """Experiments and tables of the commands exist, and files that need data are marked."""
    from zskel.pipeline.base.config import experiment_names

    known = {*experiment_names(), *(p.stem for p in (ROOT / "configs" / "tables").glob("*.py"))}
    for block in blocks(page):
        text = block.text.replace("\\\n", " ")
        for line in text.splitlines() if block.language == "sh" else ():
            words = shlex.split(line, comments=True)
            if not {PROGRAM, MODULE} & set(words):
                continue
            named = [word for word in words
                     if re.match(r"(ntu|pku|utd|nw-|table-)[\w-]*\d[\w-]*$", word)
                     and word not in ("ntu60", "ntu120", "pku-mmd", "utd-mhad", "nw-ucla")]
            assert set(named) <= known, f"{page.name}: {line}"
            real = {"extract", "fit", "report", "run", "queue"} & set(words) and named
            assert block.licensed or not real, f"{page.name}:{block.line} needs {LICENSED}"


@pytest.mark.parametrize("page", [
    page for page in PAGES if page.name not in TESTED_ELSEWHERE and any(
    block.language == "python" for block in blocks(page))], ids=lambda page: page.name)
def test_python_blocks_run(
    page: Path, tiny_work: Path, tiny_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a page, in order, in one namespace, beside a work directory of the demo's kind."""
    from zskel.data.readers import READERS
    from zskel.zsl.gates import GATES

    for registry in (READERS, GATES):
        monkeypatch.setattr(registry, "_parts", dict(registry._parts))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work_dirs").mkdir()
    (tmp_path / "work_dirs" / "demo").symlink_to(tiny_work)
    shutil.copy(sorted(tiny_raw.glob("*.skeleton"))[0], tmp_path / "my recording.skeleton")
    namespace: dict[str, object] = {"__name__": "documented"}
    for block in blocks(page):
        if block.language == "python" and not block.licensed:
            if block.file:
                (tmp_path / block.file).write_text(block.text, encoding="utf-8")
            if block.text.startswith("_base_ = "):
                check_config(block, tmp_path)
                continue
            # The line numbers are those of the page.
            tree = ast.increment_lineno(ast.parse(block.text), block.line - 1)
            exec(compile(tree, str(page), "exec"), namespace)
    if page.name == "README.md":
        import numpy as np

        got = namespace
        assert got["p_u"].shape == (240, 2) and got["latents"].z_v.shape == (240, 4)
        np.testing.assert_array_equal(got["same"].predict_proba(got["f_x"]), got["p_u"])
    elif page.name.startswith("adding-"):
        assert "\nassert " in blocks(page)[-1].text


def check_config(block: Block, folder: Path) -> None:
    """An experiment's config is a whole one, in any folder."""
    from zskel.pipeline.base.config import load_experiment
    from zskel.pipeline.steps.phase_plan import resolve_split

    (folder / "own.py").write_text(block.text, encoding="utf-8")
    assert resolve_split(load_experiment(str(folder / "own.py"))).unseen


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_of_a_known_kind(page: Path) -> None:
    known = PLAIN | {"sh", "python", ""}
    assert not [(block.line, block.language) for block in blocks(page)
                if block.language not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 250


def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs (extra 'docs') is not installed")
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0 and "WARNING" not in ended.stderr, ended.stderr
    assert (tmp_path / "site" / "adding-a-gate" / "index.html").exists()


def test_every_picture_is_made_by_make_pictures() -> None:
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in PAGES:
        for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            name = (page.parent / link).relative_to(ROOT).as_posix()
            assert name in made or f"{name.rpartition('/')[0]}/*.svg" in made, link
            assert (ROOT / name).stat().st_size < 400_000, f"{name} is large"
