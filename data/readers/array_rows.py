"""Rows of arrays that may be larger than the memory, in .npy and .npz files.

Arrays that are stored as they are get mapped into memory: a row costs its own bytes,
in any order. Compressed members of .npz files can only be unpacked from their
beginning: read in order, all rows together cost one pass over the member for each
process that reads, and the memory of one row; going back starts again. Checksums of
stored members are not compared, as that would read the whole file once more.
"""

from __future__ import annotations

import functools
import math
import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from zskel.data.common.errors import BadInput
from zskel.data.common.files import ONLY_ZEROS, only_zeros
from zskel.data.common.limits import ZIP_DAMAGE, check_npy, check_npz, npy_header
from zskel.data.readers.raw_file import cause, printable

_LOCAL_HEADER = 30


@contextmanager
def _whole(where: str, problem: str) -> Iterator[None]:
    """Turns what damaged files make numpy and zipfile raise into one line."""
    try:
        yield
    except BadInput:
        raise
    except (ValueError, EOFError, OSError, MemoryError, *ZIP_DAMAGE) as error:
        raise BadInput(f"{where}: {problem}: {cause(error)}") from None


class Unpacked:
    """A compressed member of an .npz file, read by its first index as an array is.

    Attributes:
        shape: Of the whole array.
    """

    def __init__(self, where: str, handle: IO[bytes], shape: tuple[int, ...], kind: Any) -> None:
        self._where, self._handle, self._kind, self.shape = where, handle, kind, shape
        self._first = handle.tell()

    def __getitem__(self, index: int) -> np.ndarray:
        """One row.

        Raises:
            BadInput: What the file says cannot be unpacked.
        """
        size = math.prod(self.shape[1:]) * self._kind.itemsize
        with _whole(self._where, f"row {index} cannot be read"):
            # Forward, this unpacks what is between; back, everything from the beginning.
            self._handle.seek(self._first + index * size)
            content = self._handle.read(size)
            return np.frombuffer(content, self._kind).reshape(self.shape[1:])


def array_names(path: str | Path) -> list[str]:
    """The arrays of an .npz file.

    Raises:
        BadInput: It is damaged, or its members say that they are larger than they can be.
    """
    where = printable(path)
    with _whole(where, "is not a whole .npz file"):
        if only_zeros(Path(path)):
            raise BadInput(f"{where}: {ONLY_ZEROS}")
        if not zipfile.is_zipfile(path):
            raise BadInput(f"{where}: is not a whole .npz file; is it cut off?")
        check_npz(path)
        with zipfile.ZipFile(path) as archive:
            return [name[:-4] for name in archive.namelist() if name.endswith(".npy")]


def open_rows(path: str | Path, name: str = "") -> np.ndarray | Unpacked:
    """An array by name of an .npz file, or the one of an .npy file.

    Each process opens a file once.

    Raises:
        BadInput: It is absent, damaged, or holds something else than numbers.
    """
    where = printable(f"{path}!{name}" if name else path)
    with _whole(where, "is not a whole array"):
        status = os.stat(path)
        return _open(str(path), name, os.getpid(), status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=8)
def _open(path: str, name: str, process: int, modified: int, size: int) -> np.ndarray | Unpacked:
    where = printable(f"{path}!{name}" if name else path)
    if only_zeros(Path(path)):
        raise BadInput(f"{where}: {ONLY_ZEROS}")
    if not name:
        with open(path, "rb") as plain:
            return _map(path, plain, size, where)
    check_npz(path)
    archive = zipfile.ZipFile(path)
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
        with archive, open(path, "rb") as plain:
            plain.seek(info.header_offset)
            mark, name_length, extra = struct.unpack("<4s22xHH", plain.read(_LOCAL_HEADER))
            if mark != b"PK\3\4":
                raise BadInput(f"{where}: is damaged: it does not start where the file says")
            plain.seek(name_length + extra, os.SEEK_CUR)
            return _map(path, plain, info.file_size, where)
    handle = archive.open(info)
    shape, fortran, kind = _header(handle, info.file_size, where)
    if fortran and len(shape) > 1:
        raise BadInput(f"{where}: is compressed column by column; save it uncompressed "
                       "(numpy.savez), or numpy.ascontiguousarray of it")
    return Unpacked(where, handle, shape, kind)


def _map(path: str, handle: IO[bytes], size: int, where: str) -> np.ndarray | Unpacked:
    """Maps the array that starts where the file is at."""
    shape, fortran, kind = _header(handle, size, where)
    if 0 in shape:
        return np.zeros(shape, kind)
    order: Any = "F" if fortran else "C"
    return np.memmap(path, kind, "r", handle.tell(), shape, order)


def _header(handle: IO[bytes], size: int, where: str) -> tuple[tuple[int, ...], bool, Any]:
    """Shape, whether it lies column by column, and type; the handle is left after it."""
    start = handle.tell()
    check_npy(handle, size, where)
    handle.seek(start)
    shape, fortran, kind = npy_header(handle, where)
    if kind.kind not in "fiu" or not shape:
        raise BadInput(f"{where}: holds {kind} of shape {list(shape)}, expected rows of numbers")
    if handle.tell() - start + math.prod(shape) * kind.itemsize > size:
        raise BadInput(f"{where}: is cut off: an array of shape {list(shape)} does not fit")
    return shape, fortran, kind
