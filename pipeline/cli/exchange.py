"""Features and recordings in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from zskel.pipeline.cli.app import app


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
    from zskel.pipeline.commands.export import export as run

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
    from zskel.pipeline.commands.import_ import given_of
    from zskel.pipeline.commands.import_ import import_features as run

    run(form, source, work_dir, name=name, dataset=dataset, names=class_names,
        given=given_of(test_folder, calibration_folder, label_splits, unseen, text or ()),
        without_logits=without_logits, random_split=random_split, unseen=unseen,
        class_text=class_text or (), method=method, force=force)


@app.command("demo-data")
def demo_data(
    folder: Annotated[Path, typer.Argument(help="Where the .skeleton files go.")],
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    performers: Annotated[int, typer.Option(
        min=1, max=999, help="How many people perform each action.")] = 10,
    cameras: Annotated[int, typer.Option(min=1, max=3, help="How many record them.")] = 3,
) -> None:
    """Write the embedded synthetic recordings as NTU-format .skeleton files."""
    from zskel.data.synthetic import Settings
    from zskel.pipeline.commands.demo_data import demo_data as run

    run(folder, seed, Settings(performers=performers, cameras=cameras))
