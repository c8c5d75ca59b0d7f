"""What gzip packed, within bounds: single files, and archives read from any place.

Deflate can only be unpacked from the beginning. ``GzipFile`` remembers how far it
was at places on the way, so that going back costs what lies between two of them and
not the whole file. A process that reads the recordings of an archive therefore
inflates all of it once, and for each recording that is not the next one in the
archive about a four-thousandth of it again; its bookmarks take up to 80 MB. Archives
of many gigabytes are better kept as tar or zip.
"""

from __future__ import annotations

import bisect
import io
import os
import zlib
from typing import Any

from zskel.data.common.errors import ClipError
from zskel.data.common.limits import room
from zskel.data.readers.raw_file import check_size

_GZIP = 31  # zlib's number for its window of 32 KB with gzip's header and checksum
_BLOCK = 32 << 10
_BOOKMARKS = 2048
_AT_ONCE = 256 << 20


def gunzip(packed: bytes, limit: int, where: str) -> bytes:
    """Unpacks a file.

    Args:
        packed: The file.
        limit: The most bytes that are unpacked.
        where: Names it in messages.

    Raises:
        ClipError: It is damaged, cut off, or holds more.

    >>> import gzip
    >>> gunzip(gzip.compress(b"text"), 100, "clip")
    b'text'
    """
    parts: list[bytes] = []
    left = limit
    while packed or not parts:
        engine = zlib.decompressobj(_GZIP)
        try:
            parts.append(engine.decompress(packed, left + 1))
        except zlib.error as error:
            raise ClipError(f"{where}: is damaged, or not packed by gzip: {error}") from None
        left -= len(parts[-1])
        check_size(limit - left, limit, where)
        if not engine.eof:
            raise ClipError(f"{where}: is cut off: what gzip packed does not end")
        packed = engine.unused_data.lstrip(b"\0")
    return b"".join(parts)


class GzipFile(io.RawIOBase):
    """What a gzip file holds, as a file that can be read from any place.

    Args:
        path: The file; its content may be as large as ``zskel.data.common.limits.room`` allows.

    Raises:
        OSError: It cannot be opened.
        zlib.error, EOFError, ValueError: On reading: it is damaged, cut off, or
            holds more than such a file can.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._file = io.FileIO(path)
        size = os.fstat(self._file.fileno()).st_size
        self._room = room(size)
        self._step = max(size // _BOOKMARKS, _BLOCK)
        engine = zlib.decompressobj(_GZIP)
        # Unpacked byte, packed byte and state at each bookmark, ascending.
        self._marks: list[tuple[int, int, Any]] = [(0, 0, engine.copy())]
        self._engine: Any = engine
        self._block, self._start, self._packed = b"", 0, 0
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET or offset < 0:
            raise ValueError("only places from the beginning are known")
        self._at = offset
        return offset

    def read(self, size: int | None = -1, /) -> bytes:
        """The next ``size`` bytes, fewer at the end.

        Raises:
            ValueError: They are more than anybody needs at once.
        """
        if size is None or not 0 <= size <= _AT_ONCE:
            raise ValueError(f"{size} bytes are not read at once")
        self._go_back()
        parts: list[bytes] = []
        while size:
            first = self._at - self._start
            if first < len(self._block):
                parts.append(self._block[first : first + size])
                size -= len(parts[-1])
                self._at += len(parts[-1])
            elif not self._advance():
                break
        return b"".join(parts)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _go_back(self) -> None:
        """Returns to the last bookmark before the place, unless what follows is nearer."""
        number = bisect.bisect_right(self._marks, self._at, key=lambda mark: mark[0]) - 1
        start, packed, engine = self._marks[number]
        if self._at < self._start or start > self._start:
            self._block, self._start, self._packed = b"", start, packed
            self._engine = engine.copy()

    def _advance(self) -> bool:
        """Unpacks the next block; False at the end."""
        self._file.seek(self._packed)
        packed = self._file.read(_BLOCK)
        self._start += len(self._block)
        self._block = b""
        if not packed:
            if not self._engine.eof:
                raise EOFError("it is cut off")
            return False
        self._packed += len(packed)
        parts = []
        while packed:
            if self._engine.eof:  # several files packed by themselves are one as well
                packed = packed.lstrip(b"\0")
                if not packed:
                    break
                self._engine = zlib.decompressobj(_GZIP)
            parts.append(self._engine.decompress(packed))
            packed = self._engine.unused_data
        self._block = b"".join(parts)
        end = self._start + len(self._block)
        if end > self._room:
            raise ValueError(f"it unpacks to more than {self._room >> 20} MB")
        if self._packed >= self._marks[-1][1] + self._step:
            self._marks.append((end, self._packed, self._engine.copy()))
        return True
