"""The compiled part of the NTU parser: from bytes to numbers, in one pass.

All of it lies in one file because the compiled code that numba keeps on disk is
renewed when the file of the calling function changes, not that of a called one.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, float32, float64, int64, uint8, uint64
from numba.types import Array, Tuple, UniTuple

from zskel.data.common.compiled import jit
from zskel.data.skeleton import NTU_RGBD

JOINTS = NTU_RGBD.num_joints
BODY_FIELDS = 10
JOINT_FIELDS = 12
# The shortest text of one body and of one frame: one character a field.
BODY_BYTES = 2 * BODY_FIELDS + len(f"{JOINTS}\n") + 2 * JOINT_FIELDS * JOINTS
_FRAME_BYTES = len("0\n")

TOKEN, BLANK, LF, CR, JUNK = range(5)
CLASS = np.full(256, JUNK, np.uint8)
CLASS[0x21:0x7F] = TOKEN
CLASS[[0x20, 0x09]] = BLANK
CLASS[0x0A], CLASS[0x0D] = LF, CR

# A decimal whose digits form an integer up to 2**53 and whose power of ten is
# at most 10**22 is the quotient or product of two exact doubles, hence correctly
# rounded (Clinger 1990). 18 digits are what fits an int64 on the way there.
_EXACT_MANTISSA = 1 << 53
_POWERS = np.array([float(10**power) for power in range(23)])
_MAX_DIGITS = 18

# What the parser expected when it stopped.
FRAMES, BODIES, BODY, JOINT_COUNT, JOINT, END = range(6)
# Why it stopped.
FINE, MALFORMED, TOO_MANY, TWICE, CROWD, HUGE, FULL = range(7)


# Every buffer ends in LFs that are not part of the file, two at least, so that no loop
# has to compare its position with the size, even after a last line without LF.
_BUFFER = Array(uint8, 1, "C")
_WORDS = Array(uint64, 1, "C")
_COORDINATES = Array(float32, 1, "C")
_PLACES = Array(int64, 2, "C")

_EIGHT, _SEVEN, _TOP_BYTE, _TOP_BIT = (np.uint64(shift) for shift in (8, 7, 56, 63))
_ONES = np.uint64(0x0101010101010101)
_TOPS = _ONES * np.uint64(0x80)
_BLANKS = _ONES * np.uint64(0x20)
_TOKEN_TO_TOP = _ONES * np.uint64(0x80 - 0x21)
_NOT_ZERO_TO_TOP = _ONES * np.uint64(0x7F)
_DELETE_TO_TOP = _ONES


@jit(UniTuple(int64, 2)(_BUFFER, _WORDS, int64))
def count_fields(buffer: np.ndarray, words: np.ndarray, at: int) -> tuple[int, int]:
    """Counts the fields that start in the rest of a line.

    Where eight bytes in a row are printable ASCII or blanks, they are classified
    in one go: adding to each byte carries what it is into its top bit.

    Returns:
        Fields and the start of the next line, or -1 there for a stray byte.
    """
    fields = 0
    blank = 1
    while True:
        kind = int64(CLASS[buffer[at]])
        if kind > BLANK:
            break
        fields += blank & (kind ^ 1)
        blank = kind
        at += 1
        while at & 7 == 0:
            word = words[at >> 3]
            token = (word + _TOKEN_TO_TOP) & _TOPS
            other = ~token & ((word ^ _BLANKS) + _NOT_ZERO_TO_TOP)
            if (word | other | (word + _DELETE_TO_TOP)) & _TOPS:
                break
            before = (token << _EIGHT) | uint64((blank ^ 1) << 7)
            # The product's top byte is the sum of all bytes.
            fields += int64((((token & ~before) >> _SEVEN) * _ONES) >> _TOP_BYTE)
            blank = 1 - int64(token >> _TOP_BIT)
            at += 8
    if kind == CR:
        at += 1
        kind = int64(CLASS[buffer[at]])
    return fields, (at + 1 if kind == LF else int64(-1))


@jit(Tuple((boolean, int64, int64))(_BUFFER, int64))
def _integer(buffer: np.ndarray, at: int) -> tuple[bool, int, int]:
    """Parses one integer field; returns whether it is one, its value, its end."""
    while CLASS[buffer[at]] == BLANK:
        at += 1
    negative = buffer[at] == 45
    if negative:
        at += 1
    start = at
    value = 0
    digit = int64(buffer[at]) - 48
    while 0 <= digit <= 9:
        if value > (0x7FFFFFFFFFFFFFFF - digit) // 10:
            return False, 0, at
        value = value * 10 + digit
        at += 1
        digit = int64(buffer[at]) - 48
    kind = CLASS[buffer[at]]
    fine = at > start and kind != TOKEN and kind != JUNK
    return fine, (-value if negative else value), at


@jit(UniTuple(int64, 2)(_BUFFER, _WORDS, int64))
def _count(buffer: np.ndarray, words: np.ndarray, at: int) -> tuple[int, int]:
    """Parses a line that is one count; returns it and the next line's start.

    The count is -1 where the line is anything else.
    """
    fine, value, end = _integer(buffer, at)
    if not fine or value < 0:
        return -1, at
    fields, following = count_fields(buffer, words, end)
    if fields != 0 or following < 0:
        return -1, at
    return value, following


@jit(Tuple((int64, float64, int64))(_BUFFER, int64))
def decimal(buffer: np.ndarray, at: int) -> tuple[int, float, int]:
    """Parses one decimal field.

    Returns:
        1 and the value where that is exactly what correct rounding gives, 2
        where a slower parser has to tell, 0 where the field is no number; then
        the field's end.
    """
    negative = buffer[at] == 45
    at += int64(negative) | int64(buffer[at] == 43)
    mantissa = 0
    start = at
    digit = int64(buffer[at]) - 48
    while 0 <= digit <= 9:
        mantissa = mantissa * 10 + digit
        at += 1
        digit = int64(buffer[at]) - 48
    digits = at - start
    exponent = 0
    if buffer[at] == 46:
        at += 1
        start = at
        digit = int64(buffer[at]) - 48
        while 0 <= digit <= 9:
            mantissa = mantissa * 10 + digit
            at += 1
            digit = int64(buffer[at]) - 48
        exponent = start - at
        digits += at - start
    if digits == 0:
        return 0, 0.0, at
    if buffer[at] | 32 == 101:
        at += 1
        below = buffer[at] == 45
        if below or buffer[at] == 43:
            at += 1
        start = at
        power = 0
        digit = int64(buffer[at]) - 48
        while 0 <= digit <= 9:
            power = min(power * 10 + digit, 1 << 30)
            at += 1
            digit = int64(buffer[at]) - 48
        if at == start:
            return 0, 0.0, at
        exponent += -power if below else power
    kind = CLASS[buffer[at]]
    if kind == TOKEN or kind == JUNK:  # noqa: SIM109  (numba: no tuple)
        return 0, 0.0, at
    # Surplus digits have overflowed the mantissa, which nothing reads then.
    if digits > _MAX_DIGITS or mantissa > _EXACT_MANTISSA or abs(exponent) > 22:
        return 2, 0.0, at
    if exponent < 0:
        value = mantissa / _POWERS[-exponent]
    else:
        value = mantissa * _POWERS[exponent]
    return 1, (-value if negative else value), at


@jit(UniTuple(int64, 4)(_BUFFER, _WORDS, int64, int64, _COORDINATES, int64, _PLACES, int64))
def _joints(
    buffer: np.ndarray, words: np.ndarray, size: int, at: int,
    coordinates: np.ndarray, first: int, slow: np.ndarray, slow_count: int,
) -> tuple[int, int, int, int]:
    """Parses the joint lines of a body in a frame.

    Args:
        coordinates: Takes x, y and z of each joint, flat, from ``first`` on.
        slow: Takes, from ``slow_count`` on, each number that a slower parser has
            to look at: which coordinate it is, its start and its end.

    Returns:
        Why the parser stopped, lines read, the start of the next or of the
        damaged line, and ``slow_count``.
    """
    for joint in range(JOINTS):
        start = at
        if start >= size:
            return MALFORMED, joint, start, slow_count
        for index in range(first + 3 * joint, first + 3 * joint + 3):
            while CLASS[buffer[at]] == BLANK:
                at += 1
            kind, value, end = decimal(buffer, at)
            if kind == 0:
                return MALFORMED, joint, start, slow_count
            if kind == 2:
                if slow_count == len(slow):
                    return FULL, joint, start, slow_count
                slow[slow_count, 0] = index
                slow[slow_count, 1] = at
                slow[slow_count, 2] = end
                slow_count += 1
            if np.isinf(np.float32(value)):
                return HUGE, joint, start, slow_count
            coordinates[index] = value
            at = end
        fields, at = count_fields(buffer, words, at)
        if fields != JOINT_FIELDS - 3 or at < 0:
            return MALFORMED, joint, start, slow_count
    return FINE, JOINTS, at, slow_count


@jit(
    UniTuple(int64, 8)(
        _BUFFER, _WORDS, int64, _COORDINATES, _PLACES, Array(int64, 1, "C"), _PLACES
    )
)
def parse(
    buffer: np.ndarray, words: np.ndarray, size: int, coordinates: np.ndarray,
    places: np.ndarray, ids: np.ndarray, slow: np.ndarray,
) -> tuple[int, int, int, int, int, int, int, int]:
    """Parses a whole file.

    Args:
        buffer: The file and LFs.
        words: The same memory, eight bytes each.
        size: Of the file.
        coordinates: Takes x, y, z of all joints, one body in one frame after
            the other.
        places: Takes the body and the frame of each of these.
        ids: Takes the bodies' ids.
        slow: As in ``_joints``.

    Returns:
        Why and at what the parser stopped, in which line, where that line
        starts, frames or the count that is the trouble, bodies, places and
        slow numbers.
    """
    seen = np.full(len(ids), -1, np.int64)
    body_count = 0
    place = 0
    slow_count = 0
    line = 1

    frames, at = _count(buffer, words, 0)
    if frames < 0 or size == 0:
        return MALFORMED, FRAMES, line, 0, 0, 0, 0, 0
    if frames > (size - at + 1) // _FRAME_BYTES:
        return TOO_MANY, FRAMES, line, 0, frames, 0, 0, 0

    for frame in range(frames):
        line += 1
        start = at
        bodies, at = _count(buffer, words, start)
        if bodies < 0 or start >= size:
            return MALFORMED, BODIES, line, start, frame, 0, 0, 0
        if bodies > (size - at + 1) // BODY_BYTES:
            return TOO_MANY, BODIES, line, start, bodies, 0, 0, 0

        for _ in range(bodies):
            line += 1
            start = at
            fine, body_id, end = _integer(buffer, start)
            fields, at = count_fields(buffer, words, end)
            if not fine or fields != BODY_FIELDS - 1 or at < 0 or start >= size:
                return MALFORMED, BODY, line, start, frame, 0, 0, 0
            body = 0
            while body < body_count and ids[body] != body_id:
                body += 1
            if body == body_count:
                if body_count == len(ids):
                    return CROWD, BODY, line, start, frame, 0, 0, 0
                ids[body] = body_id
                body_count += 1
            if seen[body] == frame:
                return TWICE, BODY, line, start, frame, 0, 0, 0
            seen[body] = frame

            line += 1
            start = at
            joints, at = _count(buffer, words, start)
            if joints != JOINTS or start >= size:
                return MALFORMED, JOINT_COUNT, line, start, frame, 0, 0, 0
            why, joints, at, slow_count = _joints(
                buffer, words, size, at, coordinates, 3 * JOINTS * place, slow, slow_count
            )
            line += joints
            if why != FINE:
                return why, JOINT, line + 1, at, frame, 0, 0, 0
            places[place, 0] = body
            places[place, 1] = frame
            place += 1

    while at < size:
        line += 1
        start = at
        fields, at = count_fields(buffer, words, start)
        if fields != 0 or at < 0:
            return MALFORMED, END, line, start, frames, 0, 0, 0
    return FINE, END, line, at, frames, body_count, place, slow_count
