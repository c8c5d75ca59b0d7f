"""Reads a data set into a sequence store, in shards that survive a stop."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from zskel.data.bodies import DEFAULT_CLEANING, clean
from zskel.data.caches import IDENTITY
from zskel.data.common.checksums import checksummed_hdf5
from zskel.data.common.errors import BadCache, BadInput, ClipError
from zskel.data.common.files import atomic_path, digest_json, remove_left_behind, write_json
from zskel.data.common.processes import in_processes
from zskel.data.parse_report import Extent, ParseReport
from zskel.data.plausibility import store_notices
from zskel.data.readers.base import Entry, Reader, Scan
from zskel.data.skeleton import present
from zskel.data.store import STORE_FORMAT, STORE_VERSION, SequenceStore

# Large enough that a shard's own cost vanishes, small enough that a stopped
# run repeats little and the merge holds only one in memory.
SHARD_CLIPS = 512
# Smaller sources are cut more finely, to keep that many processes busy to the end.
_SHARDS, _FEWEST_CLIPS = 64, 32

Progress = Callable[[int, int], None]


def build_store(
    reader: Reader,
    path: str | os.PathLike[str],
    class_names: Sequence[str],
    cleaning: Sequence[Mapping[str, Any]] = DEFAULT_CLEANING,
    workers: int = 1,
    on_progress: Progress | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> ParseReport:
    """Reads all clips of a source into a store; an existing fit one is kept.

    Clips are read in shards that are kept until the store is whole, so a
    stopped build goes on where it was. The result does not depend on
    ``workers``.

    Args:
        reader: The source.
        path: Where the store belongs; ``<path>.report.json`` gets the report.
        class_names: The data set's classes.
        cleaning: Named steps of ``zskel.data.bodies``.
        workers: Processes that parse.
        on_progress: Called with (clips done, clips in all).
        meanwhile: Called in this process while others parse, where they do.

    Raises:
        BadInput: The source holds nothing usable.
    """
    path = Path(path)
    scan = reader.scan()
    identity: dict[str, Any] = {
        "reader": type(reader).__name__,
        "dataset": reader.dataset,
        "layout": reader.layout.definition(),
        "sample_protocol": reader.sample_protocol,
        "class_names": list(class_names),
        "cleaning": [dict(step) for step in cleaning],
        "source": _source_digest(scan),
    }
    if scan.names:
        identity["names"] = scan.names
    digest = digest_json(identity)
    report_path = path.with_name(path.name + ".report.json")
    if path.is_file() and report_path.is_file() and _stored_digest(path) == digest:
        return ParseReport(**json.loads(report_path.read_text(encoding="utf-8")))
    shards = path.with_name(f".{path.name}.{digest[:16]}.shards")
    _read_shards(reader, scan.entries, identity["cleaning"], shards, workers, on_progress,
                 meanwhile)
    parts = [path for path, _ in _shards(shards, scan.entries)]
    attributes = {
        "dataset": reader.dataset,
        "layout": json.dumps(reader.layout.definition()),
        "sample_protocol": reader.sample_protocol,
        "cleaning": json.dumps(identity["cleaning"]),
        "digest": digest,
    }
    if scan.names:
        attributes["names"] = json.dumps(scan.names)
    report = _merge(parts, scan, path, class_names, attributes)
    report.notices = store_notices(SequenceStore(path))
    write_json(report_path, asdict(report))
    shutil.rmtree(shards, ignore_errors=True)
    return report


def _source_digest(scan: Scan) -> str:
    sizes = {path: _size(path) for path in {entry.path for entry in scan.entries}}
    return digest_json([
        [e.sample_id, e.label, os.path.basename(e.path), e.member, e.span, sizes[e.path],
         *(getattr(e, name) for name in IDENTITY)]
        for e in scan.entries
    ])


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return -1  # Reading it will say what is wrong, for this clip alone.


def _stored_digest(path: Path) -> str | None:
    try:
        return SequenceStore(path).digest
    except BadCache:
        return None


def _shards(folder: Path, entries: Sequence[Entry]) -> Iterator[tuple[Path, Sequence[Entry]]]:
    """The file of each shard and the clips in it."""
    size = min(SHARD_CLIPS, max(_FEWEST_CLIPS, -(-len(entries) // _SHARDS)))
    for start in range(0, len(entries), size):
        part = entries[start : start + size]
        yield folder / f"{start:08d}-{len(part)}.npz", part


def _read_shards(
    reader: Reader, entries: Sequence[Entry], cleaning: Sequence[Mapping[str, Any]],
    folder: Path, workers: int, on_progress: Progress | None,
    meanwhile: Callable[[], None] | None,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tell = on_progress or (lambda done, total: None)
    jobs, done = [], 0
    for path, part in _shards(folder, entries):
        if path.is_file():
            done += len(part)
        else:
            jobs.append((path, part))
    tell(done, len(entries))
    # Few clips are read before a process would have started.
    if workers <= 1 or sum(len(part) for _, part in jobs) <= SHARD_CLIPS:
        for path, part in jobs:
            def told(n: int, base: int = done) -> None:
                tell(base + n, len(entries))

            _read_shard(reader, part, cleaning, path, told)
            done += len(part)
        return
    calls = [(reader, part, cleaning, path) for path, part in jobs]
    try:
        # Closed at once, or an interrupt here would let the processes go on.
        with closing(in_processes(
                _read_shard, calls, min(workers, len(jobs)), meanwhile)) as read:
            for number, _ in read:
                done += len(jobs[number][1])
                tell(done, len(entries))
    finally:
        remove_left_behind(folder)  # of processes that were killed with the command


def _read_shard(
    reader: Reader, entries: Sequence[Entry], cleaning: Sequence[Mapping[str, Any]],
    path: Path, tell: Callable[[int], None] | None = None,
) -> None:
    arrays: list[np.ndarray] = []
    kept: list[Entry] = []
    skipped: list[dict[str, str]] = []
    tracked: list[int] = []
    empty = 0
    for number, entry in enumerate(entries, start=1):
        try:
            _check_identity(entry)
            keypoint = reader.read(entry)
            arrays.append(clean(keypoint, cleaning))
            kept.append(entry)
            tracked.append(len(keypoint))
            empty += int((~present(keypoint).any(axis=0)).sum())
        except ClipError as error:
            skipped.append({"name": entry.sample_id, "reason": str(error)})
        if tell is not None:
            tell(number)
    joints = reader.layout.num_joints
    rows = [a.reshape(-1, joints, 3) for a in arrays] or [np.zeros((0, joints, 3), np.float32)]
    identity: dict[str, Any] = {
        name: np.asarray([getattr(e, name) for e in kept], np.int16) for name in IDENTITY}
    keypoint, extent = np.concatenate(rows), Extent()
    extent.add(keypoint)
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez(
            handle,
            keypoint=keypoint,
            extent=extent.values,
            crc32=np.asarray([zlib.crc32(r.tobytes()) for r in rows] if arrays else [], np.uint32),
            rows=np.asarray([len(r) for r in rows] if arrays else [], np.int64),
            num_bodies=np.asarray([len(a) for a in arrays], np.int16),
            sample_id=np.asarray([e.sample_id for e in kept], dtype=np.str_),
            label=np.asarray([e.label for e in kept], np.int64),
            skipped=np.asarray(json.dumps(skipped)),
            tracked=np.asarray(tracked, np.int64),
            empty_frames=np.asarray(empty),
            **identity,
        )


def _check_identity(entry: Entry) -> None:
    limits = np.iinfo(np.int16)
    for name in IDENTITY:
        value = getattr(entry, name)
        if not limits.min <= value <= limits.max:
            raise ClipError(f"{entry.where}: {name} {value} is not in {limits.min}..{limits.max}")


def _merge(
    parts: Sequence[Path], scan: Scan, path: Path, class_names: Sequence[str],
    attributes: Mapping[str, str],
) -> ParseReport:
    report = ParseReport.of_scan(scan)
    columns: dict[str, list[np.ndarray]] = {
        name: [] for name in
        ("rows", "num_bodies", "tracked", "crc32", "sample_id", "label", *IDENTITY)
    }
    extent = Extent()
    string = h5py.string_dtype("utf-8")
    with atomic_path(path) as temporary, checksummed_hdf5(temporary, "keypoint") as file:
        keypoint: h5py.Dataset | None = None
        start, total = 0, sum(_rows(part) for part in parts)
        for part in parts:
            file.pause()
            with np.load(part) as shard:
                block = shard["keypoint"]
                for name, values in columns.items():
                    values.append(shard[name])
                report.skipped += json.loads(str(shard["skipped"]))
                report.empty_frames += int(shard["empty_frames"])
                extent.join(shard["extent"])
            if keypoint is None:
                # In one piece, so that the file's checksum leaves out one stretch.
                keypoint = file.create_dataset("keypoint", (total, *block.shape[1:]), np.float32)
            keypoint[start : start + len(block)] = block
            start += len(block)
        merged = {name: np.concatenate(values) for name, values in columns.items()}
        if len(merged["label"]) == 0:
            raise BadInput(report.nothing_readable())
        file["offset"] = np.concatenate([[0], np.cumsum(merged["rows"])]).astype(np.int64)
        for name in ("num_bodies", "label", *IDENTITY):
            file[name] = merged[name]
        file.create_dataset("sample_id", data=merged["sample_id"].tolist(), dtype=string)
        file.attrs["format"], file.attrs["format_version"] = STORE_FORMAT, STORE_VERSION
        file.attrs.create("class_names", list(class_names), dtype=string)
        for name, value in attributes.items():
            file.attrs[name] = value
        file["crc32"] = merged["crc32"]
    report.count(merged["rows"], merged["num_bodies"], merged["tracked"])
    report.coordinates = extent.summary()
    return report


def _rows(part: Path) -> int:
    with np.load(part) as shard:
        return int(shard["rows"].sum())
