"""The sequence store of an experiment: read from raw recordings, or found."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from zskel.data.classes import class_names
from zskel.data.common.errors import BadInput
from zskel.data.parse_report import ParseReport
from zskel.data.readers import READERS
from zskel.data.store import SequenceStore
from zskel.data.store_building import build_store
from zskel.pipeline.base.config import DatasetConfig
from zskel.pipeline.base.progress import bar, say, table
from zskel.pipeline.base.workdir import WorkDir, write_pointer
from zskel.pipeline.steps.model_store import ModelStore


def open_store(
    dataset: DatasetConfig, raw: Sequence[str | Path], work: WorkDir,
    workers: int | None = None, model_store: ModelStore | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> SequenceStore:
    """The sequence store of a work directory, made from ``raw`` where that is given.

    A store that the work directory has of its own comes before the shared one.
    ``meanwhile`` is called while other processes parse, where they do.

    Raises:
        BadInput: There is neither a store nor anything to make it from.
    """
    if model_store is None or work.own_store.is_file():
        return _store_at(work.own_store if raw else work.store, dataset, raw, workers, meanwhile)
    path = model_store.store(dataset, raw) if raw else model_store.find_store(dataset, work)
    if path is None:
        raise BadInput(f"{model_store.root}: no sequence store of {dataset.name} read like this "
                       "yet; give the raw recordings with --raw")
    if raw:
        with model_store.locked(path.parent, f"the sequence store of {dataset.name}"):
            store = _store_at(path, dataset, raw, workers, meanwhile)
            model_store.note_source(dataset, raw)
    else:
        store = SequenceStore(path)
    point_to_store(work, model_store, store)
    return store


def point_to_store(work: WorkDir, model_store: ModelStore, store: SequenceStore) -> None:
    """Lets a work directory name a shared sequence store."""
    write_pointer(work.store_pointer, store.path, {
        "digest": store.digest, "dataset": store.dataset,
        "bank": model_store.seen_from(work.store_pointer),
    })


def _store_at(
    path: Path, dataset: DatasetConfig, raw: Sequence[str | Path], workers: int | None,
    meanwhile: Callable[[], None] | None,
) -> SequenceStore:
    if raw:
        assert dataset.reader is not None
        reader = READERS.build(dataset.reader, raw, **dataset.reader_options)
        with bar("reading clips") as tell:
            report = build_store(
                reader, path, class_names(dataset.name), dataset.cleaning,
                workers or os.cpu_count() or 1, tell, meanwhile,
            )
        _tell_parsed(report, path)
    elif not path.is_file():
        raise BadInput(f"{path}: no sequence store yet; give the raw recordings with --raw")
    return SequenceStore(path)


def _tell_parsed(report: ParseReport, store: Path) -> None:
    say(f"store: {report.stored} clips of {report.found} files, {len(report.skipped)} skipped")
    frames = report.frames
    table(
        ("frames a clip", f"{frames['min']} to {frames['max']}, median {frames['median']:.0f}"),
        ("bodies tracked", _tally(report.tracked_bodies)),
        ("bodies kept", _tally(report.bodies_per_clip)),
        ("frames without a body", f"{report.empty_frames}"),
        *((f"{axis} (m)", f"{of['min']:.2f} to {of['max']:.2f}, mean {of['mean']:.2f}")
          for axis, of in report.coordinates.items()),
        *((f"{field}s", f"{len(names)}, numbered by name: {_some(list(names))}")
          for field, names in report.names.items()),
        *(("skipped", f"{skip['name']}: {skip['reason']}") for skip in report.skipped[:3]),
    )
    for note in report.notes:
        say(f"  note: {note}")
    if len(report.skipped) > 3:
        say(f"  ... all that was skipped, and why: {store}.report.json")


def _tally(counts: dict[str, int]) -> str:
    return ", ".join(f"{bodies} in {clips} clips" for bodies, clips in counts.items())


def _some(values: Sequence[int | str]) -> str:
    shown = ", ".join(map(str, values[:8]))
    return shown if len(values) <= 8 else f"{shown}, ... ({len(values)})"
