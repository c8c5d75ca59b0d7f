"""One array of numbers out of a MATLAB v5 file, whatever state the file is in.

scipy reads such files too, but trusts them: damaged ones have it make room for
gigabytes or crash the process. Here every size is checked against the bytes that
are there before anything is made of it.

A file is a header of 128 bytes and a row of elements: type, size, content. A
variable is an element of type matrix, often compressed, that holds elements
itself: flags, dimensions, name and, column after column, the numbers.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Literal

import numpy as np

from zskel.data.common.errors import ClipError
from zskel.data.readers.raw_file import printable

MAX_INFLATED_BYTES = 16 << 20

_HEADER = 128
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED, _UTF8 = 1, 5, 6, 14, 15, 16
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
            13: "u8"}
# Classes of matrices: double, single and the integers; cells, text and such are below.
_NUMERIC = range(6, 16)
_COMPLEX = 0x08


def read_array(content: bytes, name: str, where: str) -> np.ndarray:
    """The variable ``name``: float64, in MATLAB's shape.

    Args:
        content: The whole file.
        name: Of the variable.
        where: Names the file in messages.

    Raises:
        ClipError: The file is damaged or no MATLAB v5 file, or the variable is
            not there, there twice, or no array of real numbers.
    """
    orders: dict[bytes, Literal["<", ">"]] = {b"IM": "<", b"MI": ">"}
    order = orders.get(content[126:_HEADER])
    if order is None:
        raise ClipError(f"{where}: is not a MATLAB v5 file")
    found = []
    for kind, part in _elements(content, _HEADER, order, where, padded=False):
        if kind == _COMPRESSED:
            inner = list(_elements(_inflated(part, where), 0, order, where, padded=False))
            kind, part = inner[0] if len(inner) == 1 else (0, b"")
        if kind != _MATRIX:
            raise ClipError(f"{where}: is damaged: an element of type {kind} is no variable")
        parts = _elements(part, 0, order, where, padded=True)
        head = [next(parts, (0, b"")) for _ in range(3)]
        if [kind for kind, _ in head[:2]] != [_UINT32, _INT32] or head[2][0] not in (_INT8, _UTF8):
            raise ClipError(f"{where}: is damaged: a variable without flags, shape and name")
        (_, flags), (_, shape), (_, title) = head
        if title == name.encode():
            found.append((flags, shape, next(parts, (0, b""))))
    if len(found) != 1:
        raise ClipError(f"{where}: has {'two' if found else 'no'} variable{'s'[:len(found)]} "
                        f"{name!r}")
    return _array(*found[0], order, f"{where}: {name!r}")


def _array(
    flags: bytes, shape: bytes, data: tuple[int, bytes], order: Literal["<", ">"], where: str
) -> np.ndarray:
    kind, numbers = data
    if len(flags) != 8 or len(shape) % 4 or not 8 <= len(shape) <= 128:
        raise ClipError(f"{where} is damaged: {len(flags)} bytes of flags, {len(shape)} of shape")
    (flag,) = struct.unpack_from(f"{order}I", flags)
    lengths = struct.unpack(f"{order}{len(shape) // 4}i", shape)
    if flag & 0xFF not in _NUMERIC or flag >> 8 & _COMPLEX or kind not in _NUMBERS:
        raise ClipError(f"{where} is no array of real numbers")
    dtype = np.dtype(_NUMBERS[kind]).newbyteorder(order)
    if min(lengths) < 0 or math.prod(lengths) * dtype.itemsize != len(numbers):
        raise ClipError(f"{where} has {len(numbers)} bytes of {dtype.name} for shape "
                        f"{printable(str(lengths)[:60])}")
    if not numbers:
        return np.zeros(lengths)
    return np.frombuffer(numbers, dtype).reshape(lengths, order="F").astype(np.float64)


def _elements(
    content: bytes, at: int, order: str, where: str, padded: bool
) -> Iterator[tuple[int, bytes]]:
    """Types and contents, one after the other; inside a variable padded to 8 bytes."""
    while at < len(content):
        if at + 8 > len(content):
            raise ClipError(f"{where}: is damaged: ends inside an element")
        kind, size = struct.unpack_from(f"{order}II", content, at)
        start, following = at + 8, at + 8 + size
        if kind >> 16 and padded:  # a small element: its content takes the place of its size
            kind, size = kind & 0xFFFF, kind >> 16
            start, following = at + 4, at + 8
            if size > 4:
                raise ClipError(f"{where}: is damaged: a small element of {size} bytes")
        elif padded:
            following += -size % 8
        if size > len(content) - start:
            raise ClipError(f"{where}: is damaged: an element of {size} bytes is announced, "
                            f"{len(content) - start} are left")
        yield kind, content[start : start + size]
        at = following


def _inflated(part: bytes, where: str) -> bytes:
    inflate = zlib.decompressobj()
    try:
        part = inflate.decompress(part, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise ClipError(f"{where}: is damaged: a variable cannot be inflated ({error})") from None
    if not inflate.eof:
        raise ClipError(f"{where}: a compressed variable is cut off, or larger than "
                        f"{MAX_INFLATED_BYTES >> 20} MB")
    return part
