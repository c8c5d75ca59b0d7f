"""Bars, lines in logs, and --json-log."""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from zskel.pipeline.base import progress
from zskel.pipeline.base.progress import ProgressLines, bar, event, log_to, quiet, say
from zskel.pipeline.cli import main as cli


@pytest.fixture
def text(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What goes to a standard error that is no terminal."""
    stream = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=stream, highlight=False))
    yield stream
    log_to(None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set by the test."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def run(clock: list[float], steps: int, seconds: float) -> None:
    with bar("training") as tell:
        for done in range(1, steps + 1):
            clock[0] += seconds
            tell(done, steps, f"loss {done}")


def test_a_short_step_leaves_no_line(text: io.StringIO, clock: list[float]) -> None:
    run(clock, 1000, 0.005)
    assert text.getvalue() == ""


def test_a_long_step_leaves_lines(text: io.StringIO, clock: list[float]) -> None:
    run(clock, 200, 1.0)
    lines = text.getvalue().splitlines()
    assert lines[1] == "  training: 20/200 (10 %), about 3 min to go, loss 20"
    assert len(lines) == 16 and lines[-1] == (
        "  training: 193/200 (96 %), about 7 s to go, loss 193")


def test_a_step_of_many_hours_shows_life_early(
    text: io.StringIO, clock: list[float]
) -> None:
    run(clock, 100, 360.0)
    assert text.getvalue().startswith("  training: 1/100 (1 %), about 594 min to go")


@given(steps=st.integers(1, 3000), seconds=st.floats(1e-3, 3e2))
def test_ten_days_leave_about_a_hundred_lines_at_most(steps: int, seconds: float) -> None:
    life = ProgressLines(0.0)
    times = [done * seconds for done in range(1, steps + 1)
             if life.due(done, steps, done * seconds)]
    assert len(times) <= 10 + math.log(864_000 / 100, 1.1)
    assert all(b - a >= 10 for a, b in itertools.pairwise(times))


def test_an_unknown_total_shows_life_all_the_same() -> None:
    life = ProgressLines(0.0)
    assert not life.due(5, 0, 100.0)
    assert life.remaining(0, 5, 3.0) == float("inf")


def test_every_event_is_one_json_object(
    text: io.StringIO, clock: list[float], tmp_path: Path
) -> None:
    log_to(tmp_path / "log")
    say("reading [a/b] ümläut")
    run(clock, 20, 20.0)
    event("error", "error", text="no", exit_code=2, path=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log").read_text("utf-8").splitlines()]
    assert all(list(row) == ["time", "level", "event", "fields"] for row in rows)
    assert rows[0]["fields"] == {"text": "reading [a/b] ümläut"}
    assert rows[1]["event"] == "progress" and rows[1]["fields"] == {
        "step": "training", "done": 1, "total": 20, "note": "loss 1"}
    assert rows[-1]["level"] == "error" and rows[-1]["fields"]["path"] == str(tmp_path)
    log_to(tmp_path / "log")  # is added to
    say("again")
    assert len((tmp_path / "log").read_text("utf-8").splitlines()) == len(rows) + 1


def test_who_is_quiet_logs_nothing(text: io.StringIO, tmp_path: Path) -> None:
    log_to(tmp_path / "log")
    quiet()
    say("nobody hears")
    assert text.getvalue() == "" and (tmp_path / "log").read_text() == ""


def test_a_librarys_warning_is_one_line_once(python: Callable[..., Any]) -> None:
    code = ("import warnings\nfrom zskel.pipeline.cli.app import app, main\n"
            "@app.command()\ndef warn():\n"
            "    for _ in range(2):\n"
            "        warnings.warn('two \\x1b[1mlines\\x1b[0m\\n  of advice', stacklevel=1)\n"
            "import sys\nsys.argv = ['pipeline', 'warn']\nmain()")
    assert python("-c", code).stderr.splitlines() == ["warning: two lines of advice"]


def test_json_log_tells_how_a_command_went(python: Callable[..., Any], tmp_path: Path) -> None:
    log = tmp_path / "log"
    ended = python("-m", "zskel", "--json-log", log, "fit", "no-such-experiment")
    assert ended.returncode == 2
    rows = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert rows[0]["event"] == "started" and rows[0]["fields"] == {"command": "fit"}
    assert rows[-1]["event"] == "error" and rows[-1]["fields"]["exit_code"] == 2
    assert f"error: {rows[-1]['fields']['text']}" == ended.stderr.strip()


def test_a_log_that_cannot_be_opened_is_one_line(python: Callable[..., Any]) -> None:
    ended = python("-m", "zskel", "--json-log", "/no/such/folder/log", "fit", "demo")
    assert ended.returncode == 1 and len(ended.stderr.splitlines()) == 1
    assert "/no/such/folder/log" in ended.stderr


@pytest.mark.parametrize(("words", "expected", "not_expected"), [
    ("pipeline fit utd", "utd-mhad-22-5", "demo"),
    ("pipeline extract de", "demo", "utd-mhad-22-5"),
    ("pipeline fit demo --method cada", "cada_vae", "smie"),
    ("pipeline fit demo --gate ha", "hard", "familiarity"),
])
def test_the_shell_completes_names(words: str, expected: str, not_expected: str) -> None:
    ended = CliRunner().invoke(cli.app, [], prog_name="pipeline", env={
        "_PIPELINE_COMPLETE": "complete_bash", "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1)})
    offered = ended.stdout.split()
    assert expected in offered and not_expected not in offered


def test_json_log_after_the_command_says_where_it_stands(python: Callable[..., Any]) -> None:
    ended = python("-m", "zskel", "fit", "demo", "--json-log", "log")
    assert ended.returncode == 2
    assert ended.stderr == ("error: --json-log stands before the command: "
                            "pipeline --json-log FILE fit ...\n")
