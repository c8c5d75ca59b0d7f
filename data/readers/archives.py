"""Archives of recordings, read where they lie: zip, tar and tar.gz.

Nothing is unpacked to the disk, and no name found in an archive is used as a path.
Members of zip and tar archives are found by where they start. A tar.gz can only be
inflated from its beginning: ``zskel.data.readers.gzip_file`` says what that costs.
"""

from __future__ import annotations

import functools
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from zskel.data.common.errors import BadInput, ClipError
from zskel.data.common.files import ONLY_ZEROS, only_zeros
from zskel.data.readers.gzip_file import GzipFile
from zskel.data.readers.raw_file import cause, check_size, printable

#: No recording is larger, packed or not.
MAX_FILE_BYTES = 256 << 20
_TAR = (".tar", ".tar.gz", ".tgz")
_GZIP = (".tar.gz", ".tgz")

_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
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


def is_archive(name: str) -> bool:
    """Whether a file's name is that of an archive.

    >>> is_archive("a.zip"), is_archive("b.TAR.GZ"), is_archive("c.skeleton.gz")
    (True, True, False)
    """
    return name.lower().endswith((".zip", *_TAR))


def members(path: str, endings: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """The files in an archive whose names have one of some endings, sorted.

    Yields:
        The member's name and how many times it is there; the last one counts.

    Raises:
        BadInput: It is no archive, or cannot be listed to its end.
    """
    archive = _archive(path)
    names = archive.names if isinstance(archive, _Tar) else archive.namelist()
    yield from sorted(Counter(name for name in names if name.endswith(endings)).items())


def read_member(path: str, member: str, where: str) -> bytes:
    """The bytes of one file in an archive.

    Args:
        path: The archive.
        member: A name out of ``members``.
        where: Names the member in messages.

    Raises:
        ClipError: It is damaged, encrypted, packed in an unusual way or larger
            than ``MAX_FILE_BYTES``.
        BadInput: The archive cannot be opened any more.
    """
    archive = _archive(path)
    try:
        if isinstance(archive, _Tar):
            size, content = archive.read(member, where)
        else:
            size, content = _read_zipped(archive, member, where)
    except ClipError:
        raise
    except _DAMAGE as error:
        raise ClipError(f"{where}: is damaged in the archive: {cause(error)}") from error
    if len(content) != size:
        raise ClipError(f"{where}: is damaged in the archive: {len(content)} of {size} bytes")
    return content


def _read_zipped(archive: zipfile.ZipFile, member: str, where: str) -> tuple[int, bytes]:
    info = archive.getinfo(member)
    check_size(info.file_size, MAX_FILE_BYTES, where)
    if info.flag_bits & _ENCRYPTED:
        raise ClipError(f"{where}: is encrypted; unpack the archive first")
    if info.compress_type not in _ZIP_METHODS:
        method = f"method {info.compress_type}"
        raise ClipError(f"{where}: is compressed by {method}; repack it with deflate")
    with archive.open(info) as handle:
        # A bound on what is inflated, should the sizes in the archive lie.
        return info.file_size, handle.read(info.file_size)


class _Tar:
    """A tar archive and where its members are.

    Args:
        path: Its file.

    Attributes:
        names: Of all that is no folder, in its order.

    Raises:
        tarfile.TarError: A header is damaged, or the archive has no end mark. The
            library itself would take the headers before that for the whole archive.
    """

    def __init__(self, path: str) -> None:
        self._file = GzipFile(path) if path.lower().endswith(_GZIP) else _Bounded(path)
        self.names: list[str] = []
        self._place: dict[str, tuple[int, int] | None] = {}
        with tarfile.open(fileobj=self._file, mode="r:") as archive:
            while (info := archive.next()) is not None:
                if not info.isdir():
                    plain = info.isreg() and not info.issparse()
                    self.names.append(info.name)
                    self._place[info.name] = (info.offset_data, info.size) if plain else None
                # It keeps all of every header, of which there may be very many.
                archive.members = []  # type: ignore[attr-defined]
            self._file.seek(archive.offset)
        mark = self._file.read(tarfile.BLOCKSIZE)
        if len(mark) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it is cut off")
        if any(mark):
            raise tarfile.ReadError(f"no file starts at its byte {archive.offset}")
        while self._file.read(1 << 20):
            pass  # to the checksum of what is packed

    def read(self, member: str, where: str) -> tuple[int, bytes]:
        """Size and bytes of a file."""
        place = self._place[member]
        if place is None:
            raise ClipError(f"{where}: is a link, or has holes; only whole files are read")
        start, size = place
        check_size(size, MAX_FILE_BYTES, where)
        self._file.seek(start)
        return size, self._file.read(size)


class _Bounded(io.FileIO):
    """A file of which nobody reads very much at once.

    Headers in tar archives announce the length of longer headers, as they like.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_FILE_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes is not read")
        return super().read(size) or b""


def _archive(path: str) -> zipfile.ZipFile | _Tar:
    kind = "tar" if path.lower().endswith(_TAR) else "zip"
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise BadInput(f"{printable(path)}: is neither a folder nor an archive")
        if only_zeros(Path(path)):
            raise BadInput(f"{printable(path)}: {ONLY_ZEROS}")
        return _open_archive(path, os.getpid(), status.st_mtime_ns, status.st_size)
    except BadInput:
        raise
    except _DAMAGE as error:
        raise BadInput(
            f"{printable(path)}: cannot be opened as a {kind} archive: {cause(error)}"
        ) from error


# Per process, as forked ones would share, and so disturb, one file position; and
# not for a file that has changed meanwhile.
@functools.lru_cache(maxsize=16)
def _open_archive(
    path: str, process: int, modified: int, size: int
) -> zipfile.ZipFile | _Tar:
    return _Tar(path) if path.lower().endswith(_TAR) else zipfile.ZipFile(path)
