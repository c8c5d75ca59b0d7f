"""HDF5 files that carry a checksum of themselves in front of their content.

HDF5 leaves room for others at the start of a file, the *user block*, which its
readers skip. Ours holds one line, padded with zeros to 512 bytes::

    zsl-sealed sha256 <SHA-256 of all bytes after the block, in hex>

A file too large to be read whole each time leaves its largest array to checksums of
its own (``zskel.data.store``); then ``except <first byte>+<bytes>`` stands behind. The line
is compared before the HDF5 library sees the file, which damage can make crash
or read something else. The attribute ``sealed`` says that there has to be such a
line, so a file that has lost it is not taken for one of another maker.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import h5py

from zskel.data.common.errors import BadCache
from zskel.data.common.files import ONLY_ZEROS, atomic_path, only_zeros
from zskel.data.common.hdf5 import NewFile, new_hdf5, open_to_read
from zskel.data.common.os_errors import raise_refusal

BLOCK_BYTES = 512
ATTRIBUTE, ALGORITHM = "sealed", "sha256"
_START = b"zsl-sealed sha256 "
_LINE = re.compile(_START + rb"[0-9a-f]{64}(?: except ([0-9]{1,18})[+]([0-9]{1,18}))?\n")
#: What damaged files make h5py raise.
DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError,
           MemoryError)


@contextlib.contextmanager
def checksummed_hdf5(
    path: str | os.PathLike[str], left_out: str | None = None
) -> Iterator[NewFile]:
    """A new HDF5 file to write to, which gets its checksum when it is closed.

    The same content gives the same bytes. Not atomic: ``path`` is ``atomic_path``'s.

    Args:
        path: The file.
        left_out: A data set whose values the checksum leaves out; it is not chunked.
    """
    hole = (0, 0)
    with new_hdf5(path, userblock_size=BLOCK_BYTES) as file:
        yield file
        file.attrs[ATTRIBUTE] = ALGORITHM
        if left_out is not None:
            values = file[left_out].id
            hole = (values.get_offset(), values.get_storage_size())
    with open(path, "r+b") as handle:
        block = _block(_digest_rest(handle, hole), hole)
        handle.seek(0)
        handle.write(block)


@contextlib.contextmanager
def open_hdf5(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """An HDF5 file to read from, after its checksum where it has one.

    What h5py complains of while it is read is damage, too.

    Raises:
        BadCache: The file is damaged or was changed since its checksum was written; it is not
            HDF5; or something in it cannot be read.
    """
    checked = has_checksum(path)
    try:
        with open_to_read(path) as file:
            if not checked and ATTRIBUTE in file.attrs:
                raise BadCache(f"{path}: has lost the checksum at its start; {_advice(path)}")
            yield file
    except BadCache:
        raise
    except DAMAGE as error:
        raise_refusal(error, path)  # it may be whole, it just cannot be read now
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, MemoryError):
            raise BadCache(f"{path}: does not fit into memory ({reason}); free some, then run the "
                           "same command again") from None
        if only_zeros(Path(path)):
            reason = ONLY_ZEROS
        raise BadCache(f"{path}: not a readable HDF5 file ({reason}); delete it and extract "
                       "again") from None


def has_checksum(path: str | os.PathLike[str]) -> bool:
    """Whether a file has a checksum, which then holds.

    Raises:
        BadCache: It has one that does not hold, or half of one, or cannot be read.
    """
    try:
        with open(path, "rb") as handle:
            block = handle.read(BLOCK_BYTES)
            # Half a start is enough: a damaged one must not open the door to the rest.
            if sum(a == b for a, b in zip(block, _START)) <= len(_START) // 2:
                return False
            hole = _hole(block)
            whole = hole is not None and block == _block(_digest_rest(handle, hole), hole)
            partial = hole is None or hole[1] > 0
    except OSError as error:
        raise_refusal(error, path)
        raise BadCache(f"{path}: cannot be read ({error.strerror or error})") from None
    if not whole:
        raise BadCache(f"{path}: its checksum does not hold, so it is damaged or was changed "
                       f"after it was written; {_advice(path, partial)}")
    return True


def write_checksum(
    path: str | os.PathLike[str], check: Callable[[Path], object] = lambda copy: None
) -> None:
    """Gives an HDF5 file the checksum of its present content, in place of an older one.

    Call it for files that were changed on purpose.

    The file is copied, part by part, and replaced when the copy is whole.

    Args:
        path: The file.
        check: Called with the finished copy before it takes the file's place; what it
            raises leaves the file as it is.

    Raises:
        BadCache: It cannot be read, or ``check`` raised it.
    """
    try:
        with atomic_path(path) as temporary:
            try:
                with open_to_read(path) as old, checksummed_hdf5(temporary) as new:
                    _copy(old, new)
                check(temporary)
            except BadCache as error:
                raise BadCache(str(error).replace(str(temporary), str(path))) from None
    except BadCache:
        raise
    except DAMAGE as error:
        raise_refusal(error, path)
        raise BadCache(f"{path}: cannot be read ({' '.join(str(error).split())})") from None


def _copy(old: h5py.File, new: h5py.File) -> None:
    for name in old:
        if not isinstance(old.get(name, getlink=True), h5py.HardLink):
            raise BadCache(f"{old.filename}: /{name} is a link to something else; only what the "
                           "file itself holds is read")
        old.copy(name, new)
    for name in old.attrs:
        if name != ATTRIBUTE:
            kind = old.attrs.get_id(name)
            new.attrs.create(name, old.attrs[name], kind.shape, kind.dtype)


def _block(digest: str, hole: tuple[int, int]) -> bytes:
    line = f"{digest} except {hole[0]}+{hole[1]}\n" if hole[1] else f"{digest}\n"
    return (_START + line.encode()).ljust(BLOCK_BYTES, b"\0")


def _hole(block: bytes) -> tuple[int, int] | None:
    """First byte and length of what a checksum leaves out; None if its line is damaged."""
    match = _LINE.match(block)
    return match and (int(match[1] or 0), int(match[2] or 0))


def _digest_rest(handle: BinaryIO, hole: tuple[int, int]) -> str:
    """Of all that follows the block, but for the hole."""
    digest, (start, length) = hashlib.sha256(), hole
    handle.seek(BLOCK_BYTES)
    for end in (start, None) if length else (None,):
        left = end - BLOCK_BYTES if end is not None else sys.maxsize
        while left > 0 and (block := handle.read(min(1 << 20, left))):
            digest.update(block)
            left -= len(block)
        handle.seek(start + length)
    return digest.hexdigest()


def _advice(path: str | os.PathLike[str], partial: bool = False) -> str:
    again = "delete it and extract again"
    return again if partial else (
        f"{again} or, if the change was meant, `pipeline verify --write-checksums {Path(path)}`")
