"""HDF5 files: read without HDF5's locks, written so that nothing breaks them.

HDF5 locks what it opens, which some file systems of clusters refuse. No file here needs
that: each gets its name when it is whole and is never changed afterwards, and who writes
holds a lock of ``zskel.pipeline.base.locks``.

HDF5 does not survive a write that fails: it reports it in texts of its own, again for
every object that is closed after it, and may crash. Here its writes go through a stream
that never fails: what the disk refuses is kept in memory, and told when HDF5 is done.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import h5py

from zskel.data.common.interrupts import DeferredSignals, deferred_signals


def open_to_read(path: str | os.PathLike[str]) -> h5py.File:
    """Opens an HDF5 file without asking for HDF5's lock.

    Raises:
        OSError: It cannot be opened; with ENOLCK where HDF5_USE_FILE_LOCKING makes HDF5
            ask for a lock all the same, and it gets none.
    """
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "unable to lock file" not in str(error):
            raise
        reason = os.strerror(error.errno or errno.ENOLCK)
        raise OSError(errno.ENOLCK, f"HDF5 cannot lock it ({reason}); nothing here needs that: "
                      "unset HDF5_USE_FILE_LOCKING", os.fspath(path)) from None


class NewFile(h5py.File):
    """A file that is being written."""

    def __init__(self, stream: _Stream, held: DeferredSignals, **options: Any) -> None:
        super().__init__(stream, "w", **options)
        self._stream, self._held = stream, held

    def pause(self) -> None:
        """A moment between writes at which it may end; for files that take long.

        Raises:
            OSError: The disk has refused something.
            KeyboardInterrupt: Somebody wants it to end.
        """
        self._held.deliver()
        self._stream.check()


@contextmanager
def new_hdf5(path: str | os.PathLike[str], **options: Any) -> Iterator[NewFile]:
    """Writes an HDF5 file; interrupts wait for the end or a ``pause``.

    Args:
        path: The file. Not atomic: it is ``atomic_path``'s.
        options: As of ``h5py.File``.

    Yields:
        The file to write to.

    Raises:
        OSError: It cannot be written.
    """
    with open(path, "w+b", buffering=0) as raw:
        stream = _Stream(raw)
        with deferred_signals() as held:
            with NewFile(stream, held, **options) as file:
                yield file
            stream.check()


class _Stream(io.RawIOBase):
    """A seekable binary file for h5py's driver ``fileobj``."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._at, self._end = raw, 0, 0
        self._kept: list[tuple[int, bytes]] = []
        self._refused: OSError | None = None

    def check(self) -> None:
        """Raises what the disk has refused."""
        if self._refused is not None:
            raise self._refused

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        size, done = len(view), 0
        if self._refused is None:
            try:
                self._raw.seek(self._at)
                while done < size:
                    done += self._raw.write(view[done:]) or 0
            except OSError as error:
                self._refused = error
        if done < size:
            self._kept.append((self._at + done, bytes(view[done:])))
        self._at += size
        self._end = max(self._end, self._at)
        return size

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        size, done = min(len(view), max(self._end - self._at, 0)), 0
        self._raw.seek(self._at)
        while done < size and (got := self._raw.readinto(view[done:size])):  # type: ignore[attr-defined]
            done += got
        view[done:] = bytes(len(view) - done)  # never written, or kept below
        for start, data in self._kept:
            first, last = max(start, self._at), min(start + len(data), self._at + len(view))
            if first < last:
                view[first - self._at:last - self._at] = data[first - start:last - start]
        self._at += size
        return size

    def truncate(self, size: int | None = None) -> int:
        self._end = self._at if size is None else size
        if self._refused is None:
            try:
                self._raw.truncate(self._end)
            except OSError as error:
                self._refused = error
        return self._end
