"""The command line: names, exit codes, one line for each error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_commands_and_options_people_script_against(commands: Any) -> None:
    assert {"extract", "fit", "report", "demo-data"} <= set(commands.run("--help").out.split())
    for command, options in (
        ("extract", ("EXPERIMENT", "--raw", "--work-dir", "--cfg-options")),
        ("fit", ("EXPERIMENT", "--work-dir", "--cfg-options", "--seeds")),
        ("report", ("--work-dir", "--out")),
    ):
        ended = commands.run(command, "--help")
        assert ended.code == 0
        for option in options:
            assert option in ended.out, f"{command} {option}"


@pytest.mark.parametrize(("arguments", "message"), [
    (("extract", "dmeo"), "did you mean 'demo'"),
    (("fit", "dmeo"), "did you mean 'demo'"),
    (("fit", "demo", "--cfg-options", "fit.sedes=3"), "did you mean 'seeds'"),
    (("fit", "demo", "--cfg-options", "fit.seeds"), "expected key=value"),
    (("fit", "demo", "--work-dir", "nowhere"), "pipeline extract"),
    (("report", "--work-dir", "nowhere"), "nowhere"),
    (("report", "dmeo"), "dmeo"),
    (("fit", "tiny6/w"), "tiny6/w: no such folder or config file"),
    (("fit", "zzzz"), "no experiment 'zzzz'; there are "),
    (("import", "npz", "nosuch.toml", "--work-dir", "w"), "nosuch.toml: no such mapping file"),
])
def test_a_mistake_is_one_line_and_exit_code_2(
    commands: Any, arguments: tuple[str, ...], message: str
) -> None:
    ended = commands.run(*arguments)
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert ended.err.startswith("error: ") and message in ended.err
    assert ended.out == ""


def test_a_model_that_cannot_be_had_is_exit_code_3(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("store",))
    ended = commands.run("extract", tiny_config, "--work-dir", work, "--cfg-options",
                         "class_text.encoder.options.model=stsb-bert-large")
    assert ended.code == 3
    assert "stsb-bert-large" in ended.err.splitlines()[-1] and "Traceback" not in ended.err


@pytest.mark.parametrize(("arguments", "message"), [
    (("fitt", "demo"), "no such command 'fitt'"),
    (("fit",), "missing argument 'EXPERIMENT'"),
    (("fit", "demo", "--seeds", "0"), "invalid value for '--seeds': "),
    (("fit", "demo", "--sedes", "2"), "no such option"),
])
def test_wrong_usage_is_one_line_and_exit_code_2(
    commands: Any, arguments: tuple[str, ...], message: str
) -> None:
    ended = commands.run(*arguments)
    (line,) = ended.err.splitlines()
    command = "" if arguments[0] == "fitt" else "fit "
    assert ended.code == 2 and line.startswith(f"error: {message}")
    assert line.endswith(f" `pipeline {command}--help` lists what there is")


def test_overrides_may_be_repeated_and_the_work_directory_has_a_default(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("features",))
    ended = commands.run("fit", tiny_config, "--work-dir", work, "--cfg-options", "fit.seeds=1",
                         "--cfg-options", "fit.method.options.epochs=1")
    assert ended.code == 0, ended.err
    assert [path.name for path in (work / "results").glob("*.json")] == [
        "sa_dvae-fd-tc-strict-default-seed0.json"]
    # Not there, and the message says where it was looked for.
    missing = commands.run("fit", tiny_config)
    assert missing.code == 2 and "work_dirs/tiny/features" in missing.err


def test_demo_data_of_fewer_people_and_cameras(tmp_path: Path, commands: Any) -> None:
    ended = commands.run("demo-data", tmp_path / "raw", "--performers", 1, "--cameras", 1)
    assert ended.code == 0 and "40 clips" in ended.err, ended.err
    assert {path.name[4:12] for path in (tmp_path / "raw").glob("*.skeleton")} == {"C001P001"}
    for option, value in (("--performers", 0), ("--cameras", 4)):
        assert commands.run("demo-data", tmp_path / "none", option, value).code == 2
    assert not (tmp_path / "none").exists()


def test_demo_data_writes_ntu_files_and_keeps_them(tmp_path: Path) -> None:
    from zskel.data.synthetic import Settings
    from zskel.pipeline.demo_data.demo_data import demo_data

    few = Settings(performers=1, cameras=1, frames=(16, 18), actions=("jump up", "squat down"))
    assert demo_data(tmp_path, settings=few) == 2
    files = sorted(tmp_path.glob("*.skeleton"))
    assert [path.name[:16] for path in files] == ["S031C001P001R001"] * 2
    before = [path.stat().st_mtime_ns for path in files]
    assert demo_data(tmp_path, settings=few) == 2
    assert [path.stat().st_mtime_ns for path in files] == before
    assert demo_data(tmp_path, seed=1, settings=few) == 2
    assert [path.stat().st_mtime_ns for path in files] != before


def test_report_takes_what_fit_takes(tiny_work: Path, commands: Any, tmp_path: Path) -> None:
    for arguments in ((tiny_work,), ("demo", "--work-dir", tiny_work)):
        ended = commands.run("report", *arguments, "--out", tmp_path / "report")
        assert ended.code == 0, ended.err
        assert "Experiment tiny" in (tmp_path / "report" / "report.md").read_text()
