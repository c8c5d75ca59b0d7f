"""How much a file may say that it holds, asked before memory is made for it.

Compressed files hold more than their bytes, and a few bytes can announce any
size. What people store here hardly shrinks below a tenth, so a file that speaks
of more than ``room`` is refused. Parts that lie in other files are, too.
"""

from __future__ import annotations

import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from zskel.data.common.errors import BadCache, BadInput

#: So much any file may hold, and so many times its size.
ALWAYS_BYTES, TIMES = 64 << 20, 64

#: What damaged archives make zipfile raise, beside OSError, ValueError and EOFError.
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError,
              LookupError)


def room(size: int) -> int:
    """Bytes that a file of ``size`` bytes may stand for.

    >>> room(0) == 64 * 2**20, room(10**9) > 64 * 10**9
    (True, True)
    """
    return ALWAYS_BYTES + TIMES * size


def own_dataset(file: h5py.File, name: str, path: str | os.PathLike[str]) -> h5py.Dataset | None:
    """A data set of an HDF5 file by its path in it, "f_x" or "train/f_x"; None if there is none.

    Raises:
        BadCache: It is a link, lies in other files, or is larger than the file can hold.
    """
    item: Any = file
    for part in name.strip("/").split("/"):
        link = item.get(part, getlink=True) if isinstance(item, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise BadCache(f"{path}: /{name} is a link to something else; only what the file "
                           "itself holds is read")
        item = item[part]
    if not isinstance(item, h5py.Dataset):
        return None
    if item.is_virtual or item.external:
        raise BadCache(f"{path}: /{name} lies in other files; only what the file itself holds is "
                       "read")
    if item.shape is None:
        raise BadCache(f"{path}: /{name} is empty")
    declared, size = math.prod(item.shape) * item.dtype.itemsize, Path(path).stat().st_size
    if declared > room(size):
        raise BadCache(f"{path}: /{name} is declared as {_mega(declared)}, in a file of "
                       f"{_mega(size)}; more than {_mega(room(size))} is not read")
    return item


def read_strings(item: h5py.Dataset, name: str, path: str | os.PathLike[str]) -> np.ndarray:
    """The UTF-8 strings of a data set, as an array of strings of its shape.

    Strings of variable length can all be one and the same long one. They are read
    in parts that stay within bounds even then.

    Raises:
        BadCache: Together they are larger than the file can hold.
        UnicodeDecodeError: They are no UTF-8.
    """
    size = Path(path).stat().st_size
    most, part = room(size), max(1, room(size) // max(size, 1))
    lengths = _lengths(item, path)
    if lengths is not None and max(int(lengths.sum()), 4 * int(lengths.max()) * item.size) <= most:
        return np.asarray(item.asstr()[()], object).astype(str)
    found = np.empty(item.shape, object)
    text, total, longest = item.asstr(), 0, 0
    for at in _parts(item.shape, part):
        found[at] = text[at]
        each = [len(value) for value in np.atleast_1d(found[at])]
        total, longest = total + sum(each), max(longest, *each)
        # numpy gives every string the room of the longest, four bytes a character.
        if max(total, 4 * longest * found.size) > most:
            raise BadCache(f"{path}: the strings of /{name} take more than {_mega(most)}, in a "
                           f"file of {_mega(size)}; they are not read")
    return found.astype(str)


def _lengths(item: h5py.Dataset, path: str | os.PathLike[str]) -> np.ndarray | None:
    """Bytes of each string of variable length, without reading the strings, where they stand
    together: there HDF5 has 4 bytes of length and 12 that say where the string is."""
    start, width = item.id.get_offset(), 16
    if start is None or not item.size or item.id.get_storage_size() != width * item.size \
            or h5py.check_string_dtype(item.dtype).length is not None:
        return None
    found = np.fromfile(path, "<u4", width // 4 * item.size, offset=start)[:: width // 4]
    return found.astype(np.int64) if len(found) == item.size else None


def check_npz(path: str | os.PathLike[str]) -> None:
    """Refuses an .npz file whose members or arrays are larger than it can hold.

    Nothing else is checked: what is no such file is left to numpy.

    Raises:
        BadInput: With the first such member.
        zipfile.BadZipFile, ValueError, OSError: The file is damaged.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        check_archive(archive, path)
        for info in archive.infolist():
            if info.filename.endswith(".npy"):
                with archive.open(info) as handle:
                    check_npy(handle, info.file_size, f"{path}: array {info.filename[:-4]!r}")


def check_archive(archive: zipfile.ZipFile, path: str | os.PathLike[str]) -> None:
    """Refuses a zip archive whose members together are larger than it can hold.

    Raises:
        BadInput: They are.
    """
    declared = sum(info.file_size for info in archive.infolist())
    size = Path(path).stat().st_size
    if declared > room(size):
        raise BadInput(f"{path}: is declared to unpack to {_mega(declared)}, from a file of "
                       f"{_mega(size)}; more than {_mega(room(size))} is not read")


def check_npy(handle: IO[bytes], size: int, where: str) -> tuple[int, ...]:
    """Refuses an .npy stream whose header announces more than its bytes; else gives its shape.

    Args:
        handle: At its start; left after the header.
        size: Bytes of the whole stream.
        where: Names it in the message.

    Raises:
        BadInput: It does.
        ValueError: The header is damaged.
    """
    shape, _, dtype = npy_header(handle, where)
    declared = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and declared > size:
        raise BadInput(f"{where} is declared as {dtype} of shape {list(shape)}, "
                       f"{_mega(declared)}, and has {_mega(size)}")
    return tuple(shape)


def npy_header(handle: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it lies column by column, and type of an .npy stream.

    Args:
        handle: At the stream's start; left after the header.
        where: Names it in the message.

    Raises:
        BadInput: It is in a version of the format that nothing here needs.
        ValueError: The header is damaged.
    """
    version = np.lib.format.read_magic(handle)
    read = {(1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        # Version 3 is for records with fields in other scripts, which nothing here has.
        raise BadInput(f"{where} is in version {version[0]} of numpy's format, which plain arrays "
                       "do not need; save it with numpy.save")
    try:
        return read(handle)
    except (SyntaxError, TypeError, tokenize.TokenError) as error:  # of what is to be a dictionary
        raise ValueError(f"its header is damaged ({error})") from None


def _parts(shape: tuple[int, ...], part: int) -> Iterator[tuple[int | slice, ...]]:
    """Indices that cut an array into runs of at most ``part`` values."""
    if not shape:
        yield ()
        return
    for outer in np.ndindex(*shape[:-1]):
        for start in range(0, shape[-1], part):
            yield (*outer, slice(start, min(start + part, shape[-1])))


def _mega(size: int) -> str:
    return f"{size / 2**20:,.1f} MB"
