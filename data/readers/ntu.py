"""NTU RGB+D 60 and 120, and whatever else comes in their file format.

Recordings are named ``SsssCcccPpppRrrrAaaa.skeleton``: setup, camera, performer,
replication and action, all counted from 1. They are read where they lie, in
folders at any depth or inside the zip archives that the data set is distributed
as; nothing is unpacked, and no name found in an archive is used as a path.
"""

from __future__ import annotations

import functools
import os
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from data.errors import BadInput, ClipError
from data.readers.base import Entry, Reader, Scan, Skip
from data.skeleton import NTU_RGBD

SUFFIX = ".skeleton"
MAX_FILE_BYTES = 256 << 20

_SOURCES = f"--raw takes folders and zip archives of SsssCcccPpppRrrrAaaa{SUFFIX} files"
_NAME = re.compile("S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A([0-9]{3})")
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
)
# Python's zipfile bounds the memory of these two; other methods could blow up.
_ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED = 0x1


def missing_skeletons(dataset: str) -> frozenset[str]:
    """Sample ids whose skeletons are missing or incomplete.

    The lists are those of the data set's authors; every paper leaves these
    samples out.

    >>> len(missing_skeletons("ntu60")), len(missing_skeletons("ntu120"))
    (302, 535)
    >>> len(missing_skeletons("some other data set"))
    0
    """
    if dataset not in ("ntu60", "ntu120"):
        return frozenset()
    resource = files("data") / "resources" / f"{dataset}_missing_skeletons.txt"
    return frozenset(resource.read_text(encoding="utf-8").split())


class NTUReader(Reader):
    """Reads ``.skeleton`` files from folders and zip archives.

    Args:
        sources: Folders, zip archives and single ``.skeleton`` files, in any
            mixture. Archives inside folders are looked into as well.
        dataset: ``ntu60`` or ``ntu120``, or the name of any data set that comes
            in the same format.
        num_classes: Recordings of actions above this number are skipped.
        drop_missing: Skip the samples of ``missing_skeletons(dataset)``.
    """

    layout = NTU_RGBD
    endings = (".skeleton", ".zip")

    def __init__(
        self,
        sources: Sequence[str | Path],
        dataset: str,
        num_classes: int,
        drop_missing: bool = True,
    ) -> None:
        super().__init__(sources)
        self.dataset = dataset
        self.num_classes = num_classes
        self.drop_missing = drop_missing

    def scan(self) -> Scan:
        """Lists the recordings, sorted by sample id; labels count from 0.

        A sample found more than once is taken from the first source that has
        it, and of one source from the first path in alphabetical order.

        Raises:
            BadInput: There is no source, or one does not exist, cannot be
                opened, or holds no ``.skeleton`` file.
        """
        if not self.sources:
            raise BadInput(f"no source given; {_SOURCES}")
        missing = missing_skeletons(self.dataset) if self.drop_missing else frozenset()
        found: dict[str, Entry] = {}
        skipped: list[Skip] = []
        for source in self.sources:
            empty, noted = True, len(skipped)
            for path, member in _recordings(source, skipped):
                empty = False
                entry = self._identify(path, member, missing, skipped)
                if entry is None:
                    continue
                first = found.setdefault(entry.sample_id, entry)
                if first is not entry:
                    places = f"{printable(entry.where)}, also in {printable(first.where)}"
                    skipped.append(Skip(entry.sample_id, f"{places}, which is used"))
            if empty:
                trouble = "".join(f"; {skip.name} {skip.reason}" for skip in skipped[noted:][:1])
                raise BadInput(f"{printable(source)}: holds no {SUFFIX} file{trouble}; {_SOURCES}")
        return Scan([found[sample_id] for sample_id in sorted(found)], skipped)

    def _identify(
        self, path: str, member: str, missing: frozenset[str], skipped: list[Skip]
    ) -> Entry | None:
        place = f"{path}!{member}" if member else path
        name = re.split(r"[/\\]", member or os.path.basename(path))[-1]
        sample_id = name.removesuffix(SUFFIX)
        match = _NAME.fullmatch(sample_id)
        if match is None:
            skipped.append(Skip(printable(place), f"is not named SsssCcccPpppRrrrAaaa{SUFFIX}"))
            return None
        setup, camera, subject, replication, action = map(int, match.groups())
        if min(setup, camera, subject, replication, action) == 0:
            skipped.append(Skip(printable(place), "has a 000 in its name; numbers count from 1"))
            return None
        if action > self.num_classes:
            reason = f"action {action} is not among the first {self.num_classes}"
            skipped.append(Skip(sample_id, reason))
            return None
        if sample_id in missing:
            reason = f"on {self.dataset}'s list of missing or incomplete skeletons"
            skipped.append(Skip(sample_id, reason))
            return None
        return Entry(
            sample_id, action - 1, path, member, None, subject, camera, setup, replication
        )

    def read(self, entry: Entry) -> np.ndarray:
        """Reads one recording.

        Returns:
            Float32 ``[M, T, 25, 3]``, metres: bodies kept apart by body id, in
            order of first appearance, zeros in frames without them. All values
            are finite and equal ``np.float32(float(text))`` bit for bit.

        Raises:
            ClipError: The file cannot be read, breaks the format, or holds no
                body in any frame.
        """
        # Loads numba, which listing recordings does without.
        from data.readers.ntu_text import parse_skeleton

        where = printable(entry.where)
        if entry.member:
            text = _read_member(entry.path, entry.member, where)
        else:
            text = _read_file(entry.path, where)
        return parse_skeleton(text, where).keypoint


def printable(text: str | Path) -> str:
    r"""A name for a message: one line, whatever characters the name has.

    >>> printable("a\nb")
    'a\\nb'
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _recordings(source: Path, skipped: list[Skip]) -> Iterator[tuple[str, str]]:
    """Yields the path and, in archives, the member of each ``.skeleton`` file."""
    if os.path.isdir(source):
        yield from _folder(str(source), skipped)
    elif not os.path.exists(source):
        raise BadInput(f"{printable(source)}: no such file or folder; {_SOURCES}")
    elif source.suffix == SUFFIX:
        yield str(source), ""
    else:
        yield from _members(str(source), skipped)


def _folder(source: str, skipped: list[Skip]) -> Iterator[tuple[str, str]]:
    def unreadable(error: OSError) -> None:
        skipped.append(Skip(printable(error.filename), f"cannot be opened: {error.strerror}"))

    visited = set()
    for folder, subfolders, names in os.walk(source, onerror=unreadable, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:  # a link back, or a second way in
            subfolders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        subfolders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith(SUFFIX):
                yield path, ""
            elif name.endswith(".zip"):
                try:
                    yield from _members(path, skipped)
                except BadInput as error:
                    reason = str(error).removeprefix(f"{printable(path)}: ")
                    skipped.append(Skip(printable(path), reason))


def _members(path: str, skipped: list[Skip]) -> Iterator[tuple[str, str]]:
    names = Counter(name for name in _archive(path).namelist() if name.endswith(SUFFIX))
    for name, copies in sorted(names.items()):
        if copies > 1:
            reason = f"is in the archive {copies} times; the last copy is used"
            skipped.append(Skip(printable(f"{path}!{name}"), reason))
        yield path, name


def _read_file(path: str, where: str) -> bytes:
    try:
        # Checked before opening: opening a named pipe would wait for a writer.
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ClipError(f"{where}: is not a regular file")
        _check_size(status.st_size, where)
        with open(path, "rb", buffering=0) as handle:
            return handle.read(status.st_size)
    except OSError as error:
        raise ClipError(f"{where}: cannot be read: {error.strerror}") from error


def _read_member(path: str, member: str, where: str) -> bytes:
    archive = _archive(path)
    try:
        info = archive.getinfo(member)
        _check_size(info.file_size, where)
        if info.flag_bits & _ENCRYPTED:
            raise ClipError(f"{where}: is encrypted; unpack the archive first")
        if info.compress_type not in _ZIP_METHODS:
            method = f"method {info.compress_type}"
            raise ClipError(f"{where}: is compressed by {method}; repack it with deflate")
        with archive.open(info) as handle:
            # A bound on what is inflated, should the sizes in the archive lie.
            text = handle.read(info.file_size)
    except ClipError:
        raise
    except _ZIP_ERRORS as error:
        raise ClipError(f"{where}: is damaged in the archive: {_cause(error)}") from error
    if len(text) != info.file_size:
        raise ClipError(
            f"{where}: is damaged in the archive: {len(text)} of {info.file_size} bytes"
        )
    return text


def _check_size(size: int, where: str) -> None:
    if size > MAX_FILE_BYTES:
        raise ClipError(
            f"{where}: has {size >> 20} MB; recordings above {MAX_FILE_BYTES >> 20} MB are not read"
        )


def _archive(path: str) -> zipfile.ZipFile:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise BadInput(f"{printable(path)}: is neither a folder nor a zip archive")
        return _open_archive(path, os.getpid(), status.st_mtime_ns, status.st_size)
    except BadInput:
        raise
    except _ZIP_ERRORS as error:
        raise BadInput(
            f"{printable(path)}: cannot be opened as a zip archive: {_cause(error)}"
        ) from error


# Per process, as forked ones would share, and so disturb, one file position; and
# not for a file that has changed meanwhile.
@functools.lru_cache(maxsize=16)
def _open_archive(path: str, process: int, modified: int, size: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def _cause(error: BaseException) -> str:
    return printable(str(error)[:200]) or type(error).__name__
