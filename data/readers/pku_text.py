"""The text of a PKU-MMD skeleton file, parsed at the speed of the NTU parser.

A line per frame, 150 numbers separated by blanks or tabs: two bodies of 25
joints of x, y, z in metres; lines end in LF or CRLF. Anything else, a number
that is not finite as float32 among it, is an error; only at the end of the file
may lines be blank.
"""

from __future__ import annotations

import codecs

import numba
import numpy as np
from numba import float32, int64, uint8, uint64
from numba.types import Array, UniTuple

from zskel.data.common.errors import ClipError
from zskel.data.readers.ntu_kernel import (
    BLANK,
    CLASS,
    CR,
    LF,
    TOKEN,
    count_fields,
    decimal,
)
from zskel.data.skeleton import NTU_RGBD

BODIES = 2
NUMBERS = BODIES * NTU_RGBD.num_joints * 3
# The shortest text of a frame: one digit and one separator a number.
_FRAME_BYTES = 2 * NUMBERS
_FINE, _WRONG_COUNT, _NO_NUMBER, _HUGE, _STRAY, _FULL = range(6)
_FEW = 256


# Not kept on disk: numba would not notice a change of the imported functions.
@numba.njit(
    UniTuple(int64, 6)(
        Array(uint8, 1, "C"), Array(uint64, 1, "C"), int64, Array(float32, 1, "C"),
        Array(int64, 2, "C"),
    ),
    nogil=True, error_model="numpy",
)
def _parse(
    buffer: np.ndarray, words: np.ndarray, size: int, out: np.ndarray, slow: np.ndarray
) -> tuple[int, int, int, int, int, int]:
    """Parses all lines.

    Returns:
        Why it stopped, the line (from 1), where that starts, the number of its
        fields, frames read and slow numbers, as in ``ntu_kernel``.
    """
    at = 0
    line = 0
    frames = 0
    slow_count = 0
    blank_line = 0
    blank_start = 0
    while at < size:
        line += 1
        start = at
        count = 0
        while True:
            kind = CLASS[buffer[at]]
            while kind == BLANK:
                at += 1
                kind = CLASS[buffer[at]]
            if kind != TOKEN:
                break
            if count == NUMBERS:
                more, at = count_fields(buffer, words, at)
                return _WRONG_COUNT, line, start, count + more, frames, slow_count
            if blank_line:
                return _WRONG_COUNT, blank_line, blank_start, 0, frames, slow_count
            index = frames * NUMBERS + count
            if index >= len(out):
                return _WRONG_COUNT, line, start, count, frames, slow_count
            known, value, end = decimal(buffer, at)
            if known == 0:
                return _NO_NUMBER, line, start, count, frames, slow_count
            if known == 2:
                if slow_count == len(slow):
                    return _FULL, line, start, count, frames, slow_count
                slow[slow_count, 0] = index
                slow[slow_count, 1] = at
                slow[slow_count, 2] = end
                slow_count += 1
            if np.isinf(np.float32(value)):
                return _HUGE, line, start, count, frames, slow_count
            out[index] = value
            count += 1
            at = end
        if kind == CR:
            at += 1
            kind = CLASS[buffer[at]]
        if kind != LF:
            return _STRAY, line, start, count, frames, slow_count
        at += 1
        if count == NUMBERS:
            frames += 1
        elif count:
            return _WRONG_COUNT, line, start, count, frames, slow_count
        elif blank_line == 0:
            blank_line = line
            blank_start = start
    return _FINE, line, at, 0, frames, slow_count


def parse_sequence(text: bytes, where: str) -> np.ndarray:
    """Parses a whole file.

    Args:
        text: The file.
        where: Names the file in messages.

    Returns:
        Float32 ``[2, T, 25, 3]``; a body that is absent is zeros. The numbers
        equal ``np.float32(float(field))`` bit for bit.

    Raises:
        ClipError: The text breaks the format; the message names the line.

    >>> parse_sequence(b"0.5 " * 75 + b"0 " * 75 + b"\\n", "video")[:, 0, 24].tolist()
    [[0.5, 0.5, 0.5], [0.0, 0.0, 0.0]]
    """
    text = text.removeprefix(codecs.BOM_UTF8)
    size = len(text)
    words = np.empty(size // 8 + 2, np.uint64)
    buffer = words.view(np.uint8)
    buffer[:size] = np.frombuffer(text, np.uint8)
    buffer[size:] = 0x0A
    out = np.empty((size // _FRAME_BYTES + 1) * NUMBERS, np.float32)
    for room in (_FEW, out.size):
        slow = np.empty((room, 3), np.int64)
        why, line, start, count, frames, slow_count = _parse(buffer, words, size, out, slow)
        if why != _FULL:
            break
    if why != _FINE:
        raise ClipError(f"{where}: line {line}: {_complaint(text, why, start, count)}")
    if frames == 0:
        raise ClipError(f"{where}: has no frames")
    for index, first, end in slow[:slow_count].tolist():
        with np.errstate(over="ignore"):
            value = np.float32(float(text[first:end]))
        if np.isinf(value):
            line = text.count(b"\n", 0, first) + 1
            raise ClipError(f"{where}: line {line}: {_complaint(text, _HUGE, first, 0)}")
        out[index] = value
    sequence = out[: frames * NUMBERS].reshape(frames, BODIES, NTU_RGBD.num_joints, 3)
    return np.ascontiguousarray(sequence.transpose(1, 0, 2, 3))


def _complaint(text: bytes, why: int, start: int, count: int) -> str:
    expected = f"expected {NUMBERS} finite numbers"
    if why == _WRONG_COUNT:
        return f"{expected}, found {count} fields"
    if why == _HUGE:
        return f"{expected}, found one beyond float32"
    if why == _STRAY:
        return f"{expected}, found a byte that is no plain text after {count} fields"
    fields = text[start : start + 65536].split(b"\n", 1)[0].split()
    found = fields[count][:20].decode("latin-1") if count < len(fields) else ""
    return f"{expected}, found {found!a} as number {count + 1}"
