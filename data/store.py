"""The ragged sequence store: every clip of a data set in one HDF5 file, unpadded.

Layout: ``/keypoint`` float32 ``[R, V, 3]`` holds one row per body and frame,
clip after clip, within a clip body after body; ``/offset`` int64 ``[N + 1]``
bounds the clips' rows and ``/num_bodies`` int16 ``[N]`` shapes them back to
``[M, T, V, 3]``. Identity as in the feature caches.

A store can be too large to be read whole each time it is opened. So ``/crc32`` uint32
``[N]`` holds a checksum of each clip's rows, compared whenever the clip is read, and the
file's own (``zskel.data.common.checksums``) covers everything else.
Stores from before that have neither.
"""

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
from zskel.data.common.checksums import DAMAGE, checksummed_hdf5, open_hdf5
from zskel.data.common.errors import BadCache, BadConfig, BadInput, ClipError
from zskel.data.common.files import atomic_path, digest_json, remove_left_behind, write_json
from zskel.data.common.hdf5 import open_to_read
from zskel.data.common.limits import own_dataset, read_strings
from zskel.data.common.os_errors import raise_refusal
from zskel.data.common.processes import in_processes
from zskel.data.common.registry import nearest
from zskel.data.parse_report import Extent, ParseReport
from zskel.data.plausibility import store_notices
from zskel.data.readers.base import Entry, Reader, Scan
from zskel.data.skeleton import Clip, layout_of, present

STORE_FORMAT = "zsl-skeleton-store"
STORE_VERSION = 1
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


class SequenceStore:
    """Reads a store. Clips come from the file as they are asked for.

    The file is opened on first use in each process, so instances may be sent to
    or inherited by worker processes.

    Attributes:
        path, dataset, digest: Of the store.
        layout: The joints and bones of its clips.
        sample_protocol: Which one ``replication`` stands for, or "".
        class_names: ``[C]``.
        sample_id, label, num_bodies, num_frames: ``[N]`` arrays.
        subject, camera, setup, replication: Int16 ``[N]``, -1 unknown.
        names: Field -> name -> number, where its source names what it numbers.

    Raises:
        BadCache: Not a store, or a damaged one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: h5py.File | None = None
        self._keypoint: h5py.Dataset | None = None
        self._owner = -1
        if not self.path.is_file():
            raise BadCache(f"{path}: no such file; `pipeline extract --raw ...` makes the store")
        with open_hdf5(self.path) as file:
            try:
                self._load_index(file)
            except BadCache:
                raise
            except DAMAGE as error:
                raise_refusal(error, path)
                raise BadCache(f"{path}: not a whole sequence store ({error}); delete it and "
                               "extract again") from None

    def _load_index(self, file: h5py.File) -> None:
        if file.attrs.get("format") != STORE_FORMAT:
            raise ValueError(f"format is {file.attrs.get('format')!r}, expected {STORE_FORMAT!r}")
        if int(file.attrs["format_version"]) != STORE_VERSION:
            raise ValueError(f"format_version is {file.attrs['format_version']}, "
                             f"this release reads {STORE_VERSION}")
        for name in ("keypoint", "offset", "num_bodies", "label", *IDENTITY, "sample_id"):
            if own_dataset(file, name, self.path) is None:
                raise ValueError(f"/{name} is missing")
        self.dataset = str(file.attrs["dataset"])
        self.layout = layout_of(json.loads(file.attrs["layout"]))
        self.sample_protocol = str(file.attrs["sample_protocol"])
        self.digest = str(file.attrs["digest"])
        self.cleaning = json.loads(file.attrs["cleaning"])
        self.class_names = tuple(str(name) for name in file.attrs["class_names"])
        self.sample_id = read_strings(file["sample_id"], "sample_id", self.path)
        self.label = file["label"][()]
        self.num_bodies = file["num_bodies"][()]
        self.offset = file["offset"][()]
        for name in IDENTITY:
            setattr(self, name, file[name][()])
        self.names = {field: dict(numbers) for field, numbers in
                      json.loads(file.attrs.get("names", "{}")).items()}
        rows = np.diff(self.offset)
        if len(rows) != len(self.label) or (rows <= 0).any() or (rows % self.num_bodies).any():
            raise ValueError("/offset and /num_bodies disagree")
        if self.offset[-1] != len(file["keypoint"]):
            raise ValueError("/offset does not end where /keypoint does")
        self.num_frames = rows // self.num_bodies
        self._crc32 = file["crc32"][()] if own_dataset(file, "crc32", self.path) else None
        if self._crc32 is not None and self._crc32.shape != self.label.shape:
            raise ValueError("/crc32 and /label differ in length")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_keypoint": None, "_owner": -1}

    def __len__(self) -> int:
        return len(self.label)

    def keypoint(self, index: int) -> np.ndarray:
        """Float32 ``[M, T, V, 3]`` of one clip.

        Raises:
            BadCache: It is not what was written.
            OSError: It cannot be read now.
        """
        try:
            if self._owner != os.getpid():
                # HDF5 handles must not be shared between processes.
                self._file, self._owner = open_to_read(self.path), os.getpid()
                self._keypoint = self._file["keypoint"]
            assert self._keypoint is not None
            rows = self._keypoint[self.offset[index] : self.offset[index + 1]]
        except FileNotFoundError:
            raise  # another process has removed it
        except DAMAGE as error:
            raise_refusal(error, self.path)
            raise self._damaged(index, str(error)) from None
        if self._crc32 is not None and zlib.crc32(rows) != self._crc32[index]:
            raise self._damaged(index, "its checksum does not hold")
        return rows.reshape(self.num_bodies[index], -1, *rows.shape[1:])

    def values(self, field: str) -> np.ndarray:
        """A field's value for each clip ``[N]``: its name where it has names, else its number.

        An unknown value is -1 in both cases.
        """
        numbers = getattr(self, field)
        if field not in self.names:
            return numbers
        shown = {number: name for name, number in self.names[field].items()}
        return np.asarray([shown.get(number, number) for number in numbers.tolist()], object)

    def as_stored(self, field: str, given: Sequence[int | str], key: str) -> list[int | str]:
        """Values from a config in the form that ``values`` has them.

        Raises:
            BadConfig: One is not a name that the store has, or is no number where
                it has numbers; the message starts with ``key``.
        """
        names = self.names.get(field)
        found: list[int | str] = []
        for value in given:
            if names is not None and str(value) not in names:
                raise BadConfig(f"{key}: no {field} is called {str(value)!r}; "
                                f"{nearest(str(value), names)}")
            if names is None and not str(value).isdecimal():
                raise BadConfig(f"{key}: {value!r} is no number, and {field}s have numbers in "
                                f"{self.path}, no names")
            found.append(int(value) if names is None else str(value))
        return found

    def _damaged(self, index: int, reason: str) -> BadCache:
        return BadCache(f"{self.path}: clip {str(self.sample_id[index])!r} cannot be read "
                        f"({reason}); delete the store and extract again")

    @property
    def has_checksums(self) -> bool:
        """Whether damage is noticed; stores from before there were checksums have none."""
        return self._crc32 is not None

    def clip(self, index: int) -> Clip:
        """One clip with its identity."""
        return Clip(
            str(self.sample_id[index]), int(self.label[index]), self.keypoint(index),
            **{name: int(getattr(self, name)[index]) for name in IDENTITY},
        )


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
