"""The command ``pipeline import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zskel.pipeline.cli.app import app


@app.command("import")
def import_(
    form: Annotated[str, typer.Argument(metavar="FORMAT", help="synse or npz.")],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help=(
        "A folder, or for npz the mapping file that says what one's own arrays are."))],
    work_dir: Annotated[Path, typer.Option(help=(
        "Where features/ and experiment.py are written."))],
    name: Annotated[str | None, typer.Option(
        help="Name of the experiment [default: the work directory's].")] = None,
    dataset: Annotated[str | None, typer.Option(
        help=(
        "For synse, the data set whose class names hold; for npz, the shipped data set whose texts "
        "--class-text takes."))] = None,
    class_names: Annotated[Path | None, typer.Option(metavar="FILE", help=(
        "Class names of a data set of your own, one a line."))] = None,
    unseen: Annotated[int | None, typer.Option(
        min=1, help="How many unseen classes, where there are several splits.")] = None,
    random_split: Annotated[int | None, typer.Option(metavar="SEED", help=(
        "For a mapping file: draw --unseen classes with this seed."))] = None,
    test_folder: Annotated[Path | None, typer.Option(
        help="For synse, the directory with gtest.npy, where there are several.")] = None,
    calibration_folder: Annotated[Path | None, typer.Option(
        help="For synse, the directory with val.npy.")] = None,
    label_splits: Annotated[Path | None, typer.Option(
        help="For synse, the folder with ru*.npy.")] = None,
    text: Annotated[list[str] | None, typer.Option(metavar="[PART=]FILE", help=(
        "For synse, text features; verb=FILE and noun=FILE for parts; may be repeated."))] = None,
    class_text: Annotated[list[str] | None, typer.Option(metavar="NAME|FILE", help=(
        "Embed the class names as a config of configs/_base_/text says, or a file of your own like "
        "those; may be repeated."))] = None,
    without_logits: Annotated[bool, typer.Option("--without-logits", help=(
        "For synse, take a folder without _out files."))] = False,
    method: Annotated[str, typer.Option(
        help="A config of configs/_base_/methods for the experiment.")] = "sa_dvae",
    force: Annotated[bool, typer.Option("--force", help=(
        "Replace features that were not imported."))] = False,
) -> None:
    """Take features from elsewhere as caches, with an experiment that fits them."""
    from zskel.pipeline.import_.import_ import ImportOptions, given_of, import_features

    import_features(
        form, source, work_dir,
        ImportOptions(name, dataset, class_names, without_logits, random_split, unseen,
                      class_text or (), method, force),
        given_of(test_folder, calibration_folder, label_splits, text or ()))
