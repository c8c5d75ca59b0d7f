"""Arguments and options that several commands have, and what completes them in a shell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zskel.pipeline.base.shipped import config_names, shipped_configs

if TYPE_CHECKING:
    from zskel.pipeline.base.jobs import Execution


def completion(folder: str, *more: str) -> Callable[[str], list[str]]:
    """For the shell: names of the configs in a folder, and more, that begin as was typed."""
    # Not zskel.pipeline.base.config: a shell that completes must not wait for its imports.
    return lambda incomplete: [
        name for name in (*more, *config_names(shipped_configs() / folder))
        if name.startswith(incomplete)]


def gate_names(incomplete: str) -> list[str]:
    from zskel.zsl.gates import GATES

    return [name for name in ("all", *GATES.names()) if name.startswith(incomplete)]


experiment_names, method_names = completion(""), completion("_base_/methods", "all")
ExperimentName = Annotated[str, typer.Argument(
    metavar="EXPERIMENT", autocompletion=experiment_names,
    help="Name of a config in configs/, path to a config file, or work directory of an import.")]
WorkDirOption = Annotated[Path | None, typer.Option(
    help="Where everything is kept [default: work_dirs/EXPERIMENT].")]
Options = Annotated[list[str] | None, typer.Option(
    "--cfg-options", metavar="KEY=VALUE", help="Override a config value; may be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Deterministic = Annotated[bool, typer.Option("--deterministic", help=(
    "Compute on a GPU with algorithms that give the same bits each time; they can be slower."))]
TableName = Annotated[str, typer.Argument(
    metavar="TABLE", autocompletion=completion("tables"),
    help="Name of a config in configs/tables/, or path to a config file.")]
TableRaw = Annotated[list[str] | None, typer.Option(
    "--raw", metavar="[DATASET=]PATH", help=(
        "Raw recordings of a data set, which can be left out where the table has one; may be "
        "repeated. Not needed once the sequence store is there."))]
TableSeeds = Annotated[int | None, typer.Option(
    min=1, help="How many seeds, from 0 [default: the table's].")]
ModelStoreOption = Annotated[Path | None, typer.Option(
    "--model-store", "--bank",
    help="Where sequence stores and backbones are shared [default: bank in --work-dirs].")]
ParsersOption = Annotated[int | None, typer.Option(
    min=1, help="Processes that parse [default: one for each core].")]
Jobs = Annotated[int, typer.Option(
    "--jobs", "-j", min=1, help="How many fits at once, each in a process of its own.")]
ExecutorName = Annotated[Literal["local", "slurm"] | None, typer.Option(help=(
    "Hands the fits to submitit: slurm, a cluster; local, processes of this machine."))]
JobsPerTask = Annotated[int, typer.Option(
    min=1, help="How many fits a task of a cluster does at most, one after the other.")]
ExecutorOptions = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help=(
    "An option of submitit's, such as slurm_partition=cpu; may be repeated."))]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help=(
    "Where networks compute: cpu; cuda, a GPU; auto, a GPU where there is one."))]
FitDevice = Annotated[Literal["auto", "cpu", "cuda"] | None, typer.Option("--device", help=(
    "Where methods compute: cpu; cuda, a GPU; auto, a GPU where there is one and the method's "
    "steps are faster there [default: the config's fit.device, auto]."))]
FittedSource = Annotated[str, typer.Argument(
    metavar="WORK_DIR|EXPERIMENT", help="Where something was fitted.")]
FittedMethod = Annotated[str | None, typer.Option("--method", help=(
    "Which method, where several were fitted [default: the experiment's own]."))]
FittedGate = Annotated[str, typer.Option("--gate", help=(
    "Which gate of that fit answers [default: the experiment's own]."))]
FittedSeed = Annotated[int, typer.Option(
    "--seed", min=0, help="Which fit, by the seed that it had.")]
ReaderOption = Annotated[str | None, typer.Option("--reader", help=(
    "Read the files with this reader [default: the experiment's]."))]
TextSources = Annotated[list[str] | None, typer.Option(
    "--text-source", metavar="[PART=]NAME|FILE", help=(
        "Text of labels that are no class names: a text source, or a JSON file of texts by label "
        "[default: as for the classes]."))]
BackboneWeights = Annotated[Path | None, typer.Option("--weights", help=(
    "The backbone's weights, where they were given to extract."))]
WorkDirsOption = Annotated[Path, typer.Option(help="Folder of the experiments' work directories.")]


def answer(
    content: Mapping[str, Any], as_json: bool, show: Callable[[Mapping[str, Any]], None]
) -> None:
    """Tells on standard output what a command has found: as JSON, or as ``show`` prints it."""
    if as_json:
        import json

        print(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        show(content)


def execution_of(
    jobs: int, executor: str | None, per_task: int, options: Sequence[str]
) -> Execution:
    """What the options on jobs and the executor say."""
    from zskel.data.common.errors import BadInput
    from zskel.pipeline.base.config_files import literal
    from zskel.pipeline.base.jobs import Execution

    parts = [option.partition("=") for option in options]
    for key, equals, value in parts:
        if executor is None:
            raise BadInput(f"--executor-options {key}{equals}{value}: is of use with --executor")
        if not (key and equals):
            raise BadInput(f"--executor-options {key!r}: expected KEY=VALUE, such as "
                           "timeout_min=60")
    return Execution(jobs, executor, per_task, {key: literal(value) for key, _, value in parts})


def with_device(options: Sequence[str] | None, device: str | None) -> list[str]:
    """Overrides of config values, the device of fits among them if one is given."""
    return [*(options or ()), *([f"fit.device={device}"] if device else [])]


def by_phase(options: Sequence[str]) -> dict[str, str]:
    """``FILE`` for both phases, ``test=FILE`` or ``calibration=FILE`` for one."""
    weights: dict[str, str] = {}
    for option in options:
        phase, equals, file = option.partition("=")
        if equals and phase in ("test", "calibration"):
            weights[phase] = file
        else:
            weights = {"test": option, "calibration": option} | weights
    return weights


def by_dataset(options: Sequence[str]) -> dict[str, list[str]]:
    """``DATASET=PATH``, several of one data set together."""
    from zskel.data.common.errors import BadInput

    raw: dict[str, list[str]] = {}
    for option in options:
        dataset, equals, path = option.partition("=")
        if not (dataset and equals and path):
            raise BadInput(f"--raw {option!r}: expected DATASET=PATH, such as ntu60=nturgbd.zip")
        raw.setdefault(dataset, []).append(path)
    return raw
