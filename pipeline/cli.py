"""The commands. Each is a thin shell over an importable function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Optional

import typer
from typer.core import TyperGroup


class _Commands(TyperGroup):
    def invoke(self, ctx: typer.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # Further up typer takes it for itself and says nothing.
            typer.echo("interrupted; the same command goes on from here", err=True)
            raise SystemExit(130) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Zero-shot skeleton action recognition, from raw recordings to a report.",
)


def _beginning(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """For the shell: those names that begin with what has been typed."""
    return lambda incomplete: [name for name in names() if name.startswith(incomplete)]


def _experiments() -> Iterable[str]:
    return _configs("")


def _tables() -> Iterable[str]:
    return _configs("tables")


def _methods() -> Iterable[str]:
    return ["all", *_configs("_base_/methods")]


def _gates() -> Iterable[str]:
    from zsl.gates import GATES

    return ["all", *GATES.names()]


def _configs(folder: str) -> list[str]:
    # Not pipeline.config: a shell that completes must not wait for its imports.
    root = resources.files("configs").joinpath(*folder.split("/")) if folder else \
        resources.files("configs")
    return sorted(item.name[:-3] for item in root.iterdir()
                  if item.name.endswith(".py") and not item.name.startswith("_"))


ExperimentName = Annotated[str, typer.Argument(
    metavar="EXPERIMENT", autocompletion=_beginning(_experiments),
    help="Name of a config in configs/, or path to a config file.")]
WorkDirOption = Annotated[Optional[Path], typer.Option(
    help="Where everything is kept [default: work_dirs/EXPERIMENT].")]
Options = Annotated[Optional[list[str]], typer.Option(
    "--cfg-options", metavar="KEY=VALUE", help="Override a config value; may be repeated.")]
TableName = Annotated[str, typer.Argument(
    metavar="TABLE", autocompletion=_beginning(_tables),
    help="Name of a config in configs/tables/, or path to a config file.")]
TableRaw = Annotated[Optional[list[str]], typer.Option(
    "--raw", metavar="[DATASET=]PATH", help=(
        "Raw recordings of a data set, which can be left out where the table has one; may be "
        "repeated. Not needed once the sequence store is there."))]
WorkDirsOption = Annotated[Path, typer.Option(help="Folder of the experiments' work directories.")]


@app.callback()
def every_command(
    context: typer.Context,
    json_log: Annotated[Optional[Path], typer.Option(metavar="FILE", help=(
        "Gets every message and progress too, one JSON object a line. Stands before the command."
    ))] = None,
) -> None:
    """Zero-shot skeleton action recognition, from raw recordings to a report."""
    if json_log is not None:
        from pipeline.progress import event, log_to

        log_to(json_log)
        event("started", command=context.invoked_subcommand)
        context.call_on_close(lambda: event("ended", command=context.invoked_subcommand))


@app.command()
def extract(
    experiment: ExperimentName,
    raw: Annotated[Optional[list[Path]], typer.Option(
        help="Raw recordings: a folder or archive; may be repeated. "
             "Not needed once the sequence store is there.")] = None,
    work_dir: WorkDirOption = None,
    cfg_options: Options = None,
    workers: Annotated[Optional[int], typer.Option(
        min=1, help="Processes that parse [default: one for each core].")] = None,
    weights: Annotated[Optional[list[str]], typer.Option(metavar="[PHASE=]FILE", help=(
        "Weights to use instead of training, for both phases or for test= or calibration=."))] = None,
    bank: Annotated[Optional[Path], typer.Option(help=(
        "Where store and backbones are shared with other experiments [default: work_dirs/bank; "
        "a --work-dir keeps its own]."))] = None,
    launcher: Annotated[str, typer.Option(help=(
        "What has started several processes of this command, which then train together: "
        "pytorch (torchrun), slurm (srun) or mpi (mpirun)."))] = "none",
) -> None:
    """Stage one: train the backbones, embed the texts, cache f_x and f_y."""
    from pipeline.commands.extract import extract as run
    from pipeline.config import load_experiment

    run(load_experiment(experiment, cfg_options or ()), raw or (), work_dir, workers,
        _by_phase(weights or ()), bank, launcher)


@app.command()
def queue(
    experiments: Annotated[Optional[list[str]], typer.Argument(
        metavar="[EXPERIMENT]...", autocompletion=_beginning(_experiments),
        help="Experiments, in order [default: the paper's 13].")] = None,
    raw: Annotated[Optional[list[str]], typer.Option(metavar="DATASET=PATH", help=(
        "Raw recordings of a data set; may be repeated. "
        "Not needed once its sequence store is there."))] = None,
    only_list: Annotated[bool, typer.Option("--list", help=(
        "Show what is needed and what is there, and do nothing."))] = False,
    bank: Annotated[Optional[Path], typer.Option(
        help="Where stores and backbones are shared [default: bank in --work-dirs].")] = None,
    work_dirs: Annotated[Path, typer.Option(
        help="Folder of the experiments' work directories.")] = Path("work_dirs"),
    cfg_options: Options = None,
    workers: Annotated[Optional[int], typer.Option(
        min=1, help="Processes that parse [default: one for each core].")] = None,
    as_json: Annotated[Optional[Path], typer.Option("--json", metavar="FILE", help=(
        "Gets the list, or what became of each backbone and experiment."))] = None,
) -> None:
    """Stage one of many experiments: every backbone that they need, trained once.

    It trains in one process. To train a backbone with several, run extract --launcher on an
    experiment with the same --bank: the queue takes what is there.
    """
    from pipeline.commands.queue import PAPER, require_done, show
    from pipeline.commands.queue import queue as run
    from pipeline.config import load_experiment

    loaded = [load_experiment(name, cfg_options or ()) for name in experiments or PAPER]
    content = run(loaded, _by_dataset(raw or ()), only_list, bank, work_dirs, workers, as_json)
    show(content, only_list)
    if not only_list:
        require_done(content)


@app.command()
def fit(
    experiment: ExperimentName,
    work_dir: WorkDirOption = None,
    seeds: Annotated[Optional[int], typer.Option(
        min=1, help="How many seeds, from 0 [default: the config's].")] = None,
    method: Annotated[Optional[list[str]], typer.Option(autocompletion=_beginning(_methods), help=(
        "A config of configs/_base_/methods instead of the experiment's method; may be repeated; "
        "all: every method."))] = None,
    gate: Annotated[Optional[list[str]], typer.Option(autocompletion=_beginning(_gates), help=(
        "A gate to evaluate beside the experiment's own; may be repeated; all: every gate."))] = None,
    no_models: Annotated[bool, typer.Option("--no-models", help=(
        "Keep results alone; predict needs what was fitted, a few MB a method and seed."))] = False,
    cfg_options: Options = None,
) -> None:
    """Stage two: fit methods and their gates on the caches, evaluate, write results."""
    from pipeline.commands.fit import fit as run
    from pipeline.config import load_experiment

    run(load_experiment(experiment, cfg_options or ()), work_dir,
        None if seeds is None else range(seeds), method or (), gate or (), not no_models)


@app.command()
def predict(
    source: Annotated[str, typer.Argument(metavar="WORK_DIR|EXPERIMENT", help=(
        "Where something was fitted."))],
    files: Annotated[list[Path], typer.Argument(metavar="SKELETON...", help=(
        "Recordings of any kind that extract reads: files, folders, archives."))],
    label: Annotated[Optional[list[str]], typer.Option(metavar="TEXT", help=(
        "What the clips may show, in your own words; may be repeated "
        "[default: the unseen classes]."))] = None,
    gzsl: Annotated[bool, typer.Option("--gzsl/--zsl", help=(
        "Whether the seen classes are answers too."))] = False,
    top: Annotated[int, typer.Option(min=1, help="How many answers a clip.")] = 5,
    method: Annotated[Optional[str], typer.Option(help=(
        "Of several that were fitted [default: the experiment's own]."))] = None,
    gate: Annotated[str, typer.Option(help=(
        "A further gate of that fit [default: the experiment's own]."))] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the fit.")] = 0,
    reader: Annotated[Optional[str], typer.Option(
        help="Read the files with this reader [default: the experiment's].")] = None,
    text_source: Annotated[Optional[list[str]], typer.Option(metavar="[PART=]NAME|FILE", help=(
        "Text of labels that are no class names: a text source, or a JSON file of texts by label "
        "[default: as for the classes]."))] = None,
    weights: Annotated[Optional[Path], typer.Option(help=(
        "The backbone's weights, where they were given to extract."))] = None,
    gif: Annotated[Optional[Path], typer.Option(metavar="FILE|FOLDER", help=(
        "Draw the clip under its answers: a .gif; for several clips a folder."))] = None,
    out: Annotated[Optional[Path], typer.Option(metavar="FILE", help="Gets the JSON too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help=(
        "One JSON document on standard output."))] = False,
) -> None:
    """Classify recordings among labels of your own."""
    from pipeline.commands.predict import run

    run(source, files, label or (), as_json=as_json, out=out, gzsl=gzsl, top=top, method=method,
        gate=gate, seed=seed, reader=reader, text_source=text_source or (), weights=weights,
        gif=gif)


@app.command()
def report(
    experiments: Annotated[Optional[list[str]], typer.Argument(
        metavar="[EXPERIMENT]...", autocompletion=_beginning(_experiments),
        help="Experiments whose work_dirs/EXPERIMENT to report [default: all with results].")] = None,
    work_dir: Annotated[Optional[list[Path]], typer.Option(
        help="A work directory, or the JSON file of one result; may be repeated.")] = None,
    out: Annotated[Optional[Path], typer.Option(
        help="Where the report goes [default: report/ in the work directory].")] = None,
) -> None:
    """Tables, figures and one self-contained page from the results."""
    from pipeline.commands.report import report as run
    from pipeline.workdir import WorkDir

    folders = [WorkDir.of(name, None).root for name in experiments or ()]
    run([*folders, *(work_dir or ())], out)


@app.command()
def plan(
    table: TableName,
    raw: TableRaw = None,
    work_dirs: WorkDirsOption = Path("work_dirs"),
    bank: Annotated[Optional[Path], typer.Option(
        help="Where stores and backbones are shared [default: bank in --work-dirs].")] = None,
    seeds: Annotated[Optional[int], typer.Option(
        min=1, help="How many seeds, from 0 [default: the table's].")] = None,
    cfg_options: Options = None,
    as_json: Annotated[bool, typer.Option("--json", help=(
        "One JSON document on standard output."))] = False,
) -> None:
    """What a table of the paper needs, what is there, how long the rest takes, the commands."""
    from pipeline.commands.plan import plan as run
    from pipeline.commands.plan import raw_of, show
    from pipeline.tables.definition import load_table

    loaded = load_table(table, cfg_options or (), seeds)
    content = run(loaded, raw_of(loaded, raw or ()), work_dirs, bank)
    if as_json:
        import json

        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        show(content)


@app.command("run")
def run_table(
    table: TableName,
    raw: TableRaw = None,
    work_dirs: WorkDirsOption = Path("work_dirs"),
    bank: Annotated[Optional[Path], typer.Option(
        help="Where stores and backbones are shared [default: bank in --work-dirs].")] = None,
    seeds: Annotated[Optional[int], typer.Option(
        min=1, help="How many seeds, from 0 [default: the table's].")] = None,
    cfg_options: Options = None,
    workers: Annotated[Optional[int], typer.Option(
        min=1, help="Processes that parse [default: one for each core].")] = None,
    as_json: Annotated[Optional[Path], typer.Option("--json", metavar="FILE", help=(
        "Gets what became of each backbone, experiment and fit."))] = None,
) -> None:
    """All of a table: backbones, features, fits and report; what is there already is kept."""
    from pipeline.commands.plan import raw_of
    from pipeline.commands.run import require_done, summary
    from pipeline.commands.run import run as run_all
    from pipeline.progress import say
    from pipeline.tables.definition import load_table

    loaded = load_table(table, cfg_options or (), seeds)
    content = run_all(loaded, raw_of(loaded, raw or ()), work_dirs, bank, workers, as_json)
    say(summary(content))
    require_done(content)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help=(
        "Raw recordings (folder or archive), a sequence store, skeleton or text features, "
        "a result record, or a work directory."))],
    draw: Annotated[Optional[Path], typer.Option(metavar="FILE", help=(
        "Draw a clip: .png shows frames side by side, .gif is animated."))] = None,
    clip: Annotated[Optional[str], typer.Option(metavar="SAMPLE_ID", help=(
        "The clip to describe and draw [default: draw the first]."))] = None,
    as_json: Annotated[bool, typer.Option("--json", help=(
        "One JSON document on standard output."))] = False,
    reader: Annotated[Optional[str], typer.Option(
        help="Take PATH as raw recordings of this reader.")] = None,
    dataset: Annotated[Optional[str], typer.Option(
        help="Whose class names and protocols hold.")] = None,
    split: Annotated[Optional[str], typer.Option(
        help="Class split that marks unseen classes of raw data or a store.")] = None,
    read: Annotated[int, typer.Option(
        min=0, help="Read at most so many clips' coordinates; 0: all.")] = 1000,
) -> None:
    """Show what any raw source, store, cache, result or work directory holds."""
    from pipeline.commands.inspect import inspect as run

    run(path, draw, clip, as_json, reader, dataset, split, read)


@app.command("evaluate-backbone")
def evaluate_backbone(
    backbone: Annotated[str, typer.Option(help=(
        "A config of configs/_base_/backbones, or path to a config file."))],
    dataset: Annotated[str, typer.Option(help="A config of configs/_base_/datasets.")],
    weights: Annotated[Path, typer.Option(help="State dict or checkpoint.")],
    raw: Annotated[Optional[list[Path]], typer.Option(
        help="Labelled recordings; may be repeated.")] = None,
    work_dir: Annotated[Optional[Path], typer.Option(
        help="Where the store is kept [default: work_dirs/evaluate-DATASET].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help=(
        "Each clip's id, label and five best classes as JSON on standard output."))] = False,
    workers: Annotated[Optional[int], typer.Option(
        min=1, help="Processes that parse [default: one for each core].")] = None,
) -> None:
    """Top-1 and top-5 accuracy of a backbone's own head: do weights and data fit?"""
    from pipeline.commands.evaluate_backbone import evaluate_backbone as run

    result = run(backbone, dataset, weights, raw or (), work_dir, workers)
    if as_json:
        import json

        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))


@app.command("export")
def export(
    work_dir: Annotated[Path, typer.Argument(
        metavar="WORK_DIR", help="Work directory whose caches to export.")],
    to: Annotated[tuple[str, Path], typer.Option(metavar="FORMAT FOLDER", help=(
        "synse, smie, npz or table, and where the files go."))],
    layout: Annotated[str, typer.Option(
        help="Of synse: whose scripts are to read it: sa-dvae, synse-zsl or msf.")] = "sa-dvae",
    dataset: Annotated[Optional[str], typer.Option(
        help="What the scripts call the data set [default: ours, or pku51].")] = None,
    visual: Annotated[Optional[str], typer.Option(
        "--ve", help="What they call the backbone [default: by width].")] = None,
    encoder: Annotated[Optional[str], typer.Option(
        "--le", help="What they call the text encoder [default: the cache's].")] = None,
    mode: Annotated[Optional[str], typer.Option(
        "--tm", help="What they call the text [default: lb for labels, else ad].")] = None,
    force: Annotated[bool, typer.Option("--force", help=(
        "Replace files that say something else."))] = False,
) -> None:
    """Write caches as the folders and files that other people's scripts read."""
    from pipeline.commands.export import export as run

    run(work_dir, to[0], to[1], layout, dataset, visual, encoder, mode, force)


@app.command("import")
def import_(
    form: Annotated[str, typer.Argument(metavar="FORMAT", help="synse or npz.")],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help=(
        "A folder, or for npz the mapping file that says what one's own arrays are."))],
    work_dir: Annotated[Path, typer.Option(help="Gets features/ and experiment.py.")],
    name: Annotated[Optional[str], typer.Option(
        help="Of the experiment [default: the work directory's].")] = None,
    dataset: Annotated[Optional[str], typer.Option(
        help="Of synse: the data set, whose class names hold.")] = None,
    class_names: Annotated[Optional[Path], typer.Option(metavar="FILE", help=(
        "Class names of a data set of your own, one a line."))] = None,
    unseen: Annotated[Optional[int], typer.Option(
        min=1, help="How many unseen classes, where there are several splits.")] = None,
    random_split: Annotated[Optional[int], typer.Option(metavar="SEED", help=(
        "Of a mapping file: draw --unseen classes."))] = None,
    test_folder: Annotated[Optional[Path], typer.Option(
        help="Of synse: the directory with gtest.npy, where there are several.")] = None,
    calibration_folder: Annotated[Optional[Path], typer.Option(
        help="Of synse: the directory with val.npy.")] = None,
    label_splits: Annotated[Optional[Path], typer.Option(
        help="Of synse: the folder with ru*.npy.")] = None,
    text: Annotated[Optional[list[str]], typer.Option(metavar="[PART=]FILE", help=(
        "Of synse: text features; verb=FILE and noun=FILE for parts; may be repeated."))] = None,
    class_text: Annotated[Optional[list[str]], typer.Option(metavar="NAME", help=(
        "Embed the class names as a config of configs/_base_/text says; may be repeated."))] = None,
    without_logits: Annotated[bool, typer.Option("--without-logits", help=(
        "Of synse: take a folder without _out files."))] = False,
    method: Annotated[str, typer.Option(
        help="A config of configs/_base_/methods for the experiment.")] = "sa_dvae",
    force: Annotated[bool, typer.Option("--force", help=(
        "Replace features that were not imported."))] = False,
) -> None:
    """Take features from elsewhere as caches, with an experiment that fits them."""
    from pipeline.commands.import_ import given_of
    from pipeline.commands.import_ import import_features as run

    run(form, source, work_dir, name=name, dataset=dataset, names=class_names,
        given=given_of(test_folder, calibration_folder, label_splits, unseen, text or ()),
        without_logits=without_logits, random_split=random_split, unseen=unseen,
        class_text=class_text or (), method=method, force=force)


@app.command()
def doctor(
    work_dirs: Annotated[Path, typer.Option(
        help="Folder of the experiments' work directories.")] = Path("work_dirs"),
    as_json: Annotated[bool, typer.Option("--json", help=(
        "One JSON document on standard output."))] = False,
) -> None:
    """Check the installation and say what to do; exit code 1 if something is broken."""
    from pipeline.commands.doctor import content, lines
    from pipeline.commands.doctor import doctor as run

    findings = run(work_dirs)
    if as_json:
        import json

        typer.echo(json.dumps(content(findings), indent=2, ensure_ascii=False))
    else:
        for line in lines(findings):
            typer.echo(line)
    if not content(findings)["ok"]:
        raise typer.Exit(1)


@app.command("demo-data")
def demo_data(
    folder: Annotated[Path, typer.Argument(help="Where the .skeleton files go.")],
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
) -> None:
    """Write the embedded synthetic recordings as NTU-format .skeleton files."""
    from pipeline.commands.demo_data import demo_data as run

    run(folder, seed)


def _by_phase(options: Sequence[str]) -> dict[str, str]:
    """``FILE`` for both phases, ``test=FILE`` or ``calibration=FILE`` for one."""
    weights: dict[str, str] = {}
    for option in options:
        phase, equals, file = option.partition("=")
        if equals and phase in ("test", "calibration"):
            weights[phase] = file
        else:
            weights = {"test": option, "calibration": option} | weights
    return weights


def _by_dataset(options: Sequence[str]) -> dict[str, list[str]]:
    """``DATASET=PATH``, several of one data set together."""
    from data.errors import BadInput

    raw: dict[str, list[str]] = {}
    for option in options:
        dataset, equals, path = option.partition("=")
        if not (dataset and equals and path):
            raise BadInput(f"--raw {option!r}: expected DATASET=PATH, such as ntu60=nturgbd.zip")
        raw.setdefault(dataset, []).append(path)
    return raw


def _log_error(text: str, exit_code: int) -> None:
    import contextlib

    from pipeline.progress import event

    with contextlib.suppress(OSError):  # the log may be on the disk that is full
        event("error", "error", text=text, exit_code=exit_code)


def main() -> None:
    """Runs the command line; known errors are one line and an exit code."""
    import os
    import sys

    from data.errors import PipelineError

    try:
        app()
    except PipelineError as error:
        _log_error(' '.join(str(error).split()), error.exit_code)
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read the output (`head`, say) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        # Disk full, read-only, permission denied: nothing half-written is left.
        where = f"{error.filename}: " if error.filename else ""
        _log_error(f"{where}{error.strerror or error}", 1)
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
