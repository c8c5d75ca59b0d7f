"""What to type to make what a table lacks."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zskel.pipeline.base.workdir import DEFAULT_ROOT
from zskel.pipeline.plan.definition import Entry, FitCall, Table
from zskel.pipeline.plan.fits import THERE, Result
from zskel.pipeline.plan.table_report import report_folder


def command_lines(
    table: Table, raw: Mapping[str, Sequence[str | Path]], root: Path,
    model_store: str | Path | None, ready: set[str], results: Sequence[Result], report_state: str,
) -> list[str]:
    """The commands that make what a table lacks, in order; ``pipeline run`` does the same.

    Args:
        table: The table.
        raw: Data set -> its recordings; a place is held for those that are not given.
        root: Folder of the work directories.
        model_store: As it was given.
        ready: Experiments whose caches are there and current.
        results: Every result of the table.
        report_state: Of its report.
    """
    commands: list[list[str]] = []
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in table.entries:
        if entry.experiment.name not in ready and entry.experiment.imported is None:
            groups.setdefault(entry.options, []).append(entry)
    elsewhere = [] if root == DEFAULT_ROOT else ["--work-dirs", str(root)]
    if model_store is not None:
        elsewhere += ["--model-store", str(model_store)]
    for options, entries in groups.items():
        needed = {entry.experiment.dataset.name for entry in entries}
        given = [part for dataset in table.datasets if dataset in needed
                 for path in raw.get(dataset, [f"PATH_OF_{dataset.upper()}"])
                 for part in ("--raw", f"{dataset}={path}")]
        commands.append(["queue", *(entry.config for entry in entries), *given, *elsewhere,
                         *_as_options(options)])
    missing = {id(result.call) for result in results if result.state != THERE}
    for entry in table.entries:
        calls = [call for call in entry.fits if id(call) in missing]
        for alike in _alike(calls):
            command = ["fit", alike[0].config]
            if elsewhere:
                command += ["--work-dir", str(root / entry.experiment.name)]
            if alike[0].seeds != alike[0].experiment.fit.seeds:
                command += ["--seeds", str(alike[0].seeds)]
            command += [part for call in alike for name in call.methods
                        for part in ("--method", name)]
            command += [part for name in alike[0].gates for part in ("--gate", name)]
            command += [] if table.config.keep_models else ["--no-models"]
            commands.append([*command, *_as_options(alike[0].options)])
    if report_state != THERE:
        commands.append(["report", *(part for entry in table.entries for part in (
            "--work-dir", str(root / entry.experiment.name))),
            "--out", str(report_folder(root, table.name))])
    return [shlex.join(["pipeline", *command]) for command in commands]


def _alike(calls: Sequence[FitCall]) -> list[list[FitCall]]:
    """Fits that one command can do."""
    groups: dict[tuple[Any, ...], list[FitCall]] = {}
    for call in calls:
        key = (bool(call.methods), call.options, call.gates, call.seeds)
        groups.setdefault(key, []).append(call)
    return list(groups.values())


def _as_options(options: Iterable[str]) -> list[str]:
    return [part for option in options for part in ("--cfg-options", option)]
