"""Skeleton files that somebody points at, as a small sequence store."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.common.errors import BadInput
from zskel.data.readers import READERS
from zskel.data.readers.base import Entry, Reader, Scan, Skip
from zskel.data.skeleton import UNKNOWN
from zskel.data.store import SequenceStore
from zskel.data.store_building import build_store
from zskel.pipeline.base.config import DatasetConfig
from zskel.pipeline.base.progress import bar, tell_notices
from zskel.pipeline.inspect.reader_choice import open_raw
from zskel.pipeline.inspect.sources import Options

#: Files that hold many clips: their reader knows how to find them.
_CONTAINERS = (".zip", ".tar", ".tar.gz", ".tgz", ".npz", "_data.npy", "_data_joint.npy", ".pkl",
               ".pickle")


@dataclass(frozen=True)
class Clips:
    """Clips that could be read.

    Attributes:
        store: Cleaned as the experiment's.
        files: Sample id -> the file it came from.
        skipped: Name and reason of each thing left out.
        labelled: Whether the store's labels are the experiment's classes.
    """

    store: SequenceStore
    files: Mapping[str, str]
    skipped: Sequence[Mapping[str, str]]
    labelled: bool


def read_clips(
    paths: Sequence[str | Path], dataset: DatasetConfig, reader: str | None,
    class_names: Sequence[str], cleaning: Sequence[Mapping[str, Any]], folder: Path,
    most: int | None = None,
) -> Clips:
    """Reads files, folders and archives.

    A single file need not be named as its data set names files.

    Args:
        paths: What to read.
        dataset: The experiment's, whose reader is taken and whose joints are needed.
        reader: Another reader.
        class_names: The experiment's.
        cleaning: Named steps of ``zskel.data.bodies``.
        folder: Gets the store.
        most: How many clips there may be.

    Raises:
        BadInput: A path does not exist, nothing can be read, there are too many
            clips, or the joints are not those that the backbone takes.
    """
    name = reader or dataset.reader
    assert name is not None and dataset.reader is not None, "features that were not imported"
    found: dict[str, Entry] = {}
    skipped: list[Skip] = []
    used: Reader | None = None
    for path in map(Path, paths):
        if not path.exists():
            raise BadInput(f"{path}: no such file or folder")
        try:
            used, scan = _scan(path, name, dataset)
        except BadInput as error:
            raise (_refused(path, name, dataset, error) if reader is None else error) from None
        skipped += scan.skipped
        for entry in scan.entries:
            _add(entry, found, skipped)
    if used is None:
        raise BadInput("no skeleton files given")
    if not found:
        why = f"; {skipped[0].name}: {skipped[0].reason}" if skipped else ""
        raise BadInput(f"{paths[0]}: reader {name!r} finds no clip in it{why}")
    if most is not None and len(found) > most:
        raise BadInput(f"{paths[0]}: holds {len(found)} clips, more than {most}; `pipeline "
                       "predict` takes any number")
    needed = READERS.build(dataset.reader, [], **dataset.reader_options).layout
    if used.layout.definition() != needed.definition():
        raise BadInput(f"reader {name!r} gives {used.layout.num_joints} joints "
                       f"({used.layout.name}), the backbone takes {needed.num_joints} "
                       f"({needed.name})")
    chosen = _Chosen(used, Scan([found[key] for key in sorted(found)], skipped))
    with bar("reading clips") as tell:
        try:
            report = build_store(chosen, folder / "clips.h5", class_names, cleaning, 1, tell)
        except BadInput as error:
            other = None if reader else _other_reader(Path(paths[0]), name, dataset)
            raise (_points_to(other, Path(paths[0]), name) if other else error) from None
    tell_notices(report.notices)
    store = SequenceStore(folder / "clips.h5")
    return Clips(store, {key: entry.where for key, entry in found.items()}, report.skipped,
                 name == dataset.reader)


def _refused(path: Path, name: str, dataset: DatasetConfig, error: BadInput) -> BadInput:
    """What to say of a path that the experiment's own reader cannot scan."""
    other = _other_reader(path, name, dataset)
    if other is not None:
        return _points_to(other, path, name)
    if path.is_file():
        try:
            open_raw(path, Options())
        except BadInput as known:  # by the reader whose file it is by its ending
            return known
    return error


def _points_to(other: str, path: Path, name: str) -> BadInput:
    return BadInput(f"{path}: is nothing for the experiment's reader {name!r}, but {other!r} "
                    f"reads it: add --reader {other}")


def _other_reader(path: Path, name: str, dataset: DatasetConfig) -> str | None:
    """Another reader that reads a path, if there is one."""
    if path.is_dir():
        try:
            found = open_raw(path, Options()).reader_name
        except BadInput:
            return None
        return None if found == name else found
    for other in READERS.names():
        if other == name or path.suffix.lower() not in READERS.get(other).endings:
            continue
        try:
            reader, scan = _scan(path, other, dataset)
            if scan.entries:
                reader.read(scan.entries[0])
                return other
        except BadInput:
            continue
    return None


class _Chosen(Reader):
    """Some entries of another reader."""

    def __init__(self, reader: Reader, scan: Scan) -> None:
        super().__init__(reader.sources)
        self.dataset, self.layout = reader.dataset, reader.layout
        self._reader, self._scan = reader, scan

    def scan(self) -> Scan:
        return self._scan

    def read(self, entry: Entry) -> np.ndarray:
        return self._reader.read(entry)


def _scan(path: Path, name: str, dataset: DatasetConfig) -> tuple[Reader, Scan]:
    """A reader for a path and the clips that it means."""
    if name != dataset.reader:
        if path.is_dir() or path.name.lower().endswith(_CONTAINERS):
            source = open_raw(path, Options(reader=name))
            return source.reader, source.scan
        options = {"dataset": "any", "num_classes": 999} if name == "ntu" else {}
    else:
        aside = READERS.get(name).training_options
        options = {key: value for key, value in dataset.reader_options.items()
                   if key not in aside}
    reader: Reader = READERS.build(name, [path], **options)
    reader.unlabelled = True
    if path.is_dir() or path.name.lower().endswith(_CONTAINERS):
        return reader, reader.scan()
    return reader, Scan([_single(path, name, options)])


def _single(path: Path, name: str, options: Mapping[str, Any]) -> Entry:
    """The entry of one file: with what its name tells, if its name tells anything."""
    with tempfile.TemporaryDirectory(prefix="predict-") as folder:
        # Readers of folders refuse a file, and its own folder may hold a whole disk.
        alone = Path(folder) / path.name
        alone.symlink_to(path.resolve())
        try:
            entries = READERS.build(name, [Path(folder)], **options).scan().entries
        except BadInput:
            entries = []
    if len(entries) == 1 and Path(entries[0].path) == alone:
        return replace(entries[0], path=str(path))
    return Entry(path.stem.removesuffix("_skeleton"), UNKNOWN, str(path))


def _add(entry: Entry, found: dict[str, Entry], skipped: list[Skip]) -> None:
    if found.get(entry.sample_id, entry) != entry:
        folder = Path(entry.path).resolve().parent.name
        entry = replace(entry, sample_id=f"{folder}/{entry.sample_id}")
    if found.setdefault(entry.sample_id, entry) != entry:
        skipped.append(Skip(entry.where, f"is called like {found[entry.sample_id].where}"))
