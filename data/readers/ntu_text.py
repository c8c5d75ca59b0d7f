"""The text of a ``.skeleton`` file, parsed at about the speed of copying it.

Format, one line each, fields separated by blanks or tabs, lines ended by LF or
CRLF: the number of frames; per frame the number of bodies; per body a line of
10 fields that starts with the body id, the number of joints (25), and per joint
a line of 12 fields that starts with x, y and z in metres.

Every byte is looked at once. Counts, body ids and x, y, z are parsed; of the
remaining fields (pixels, orientations, tracking states) only the number is
checked, because no method here uses them and recordings hold text such as
``NaN`` or ``-Infinity`` there. Numbers in plain or scientific decimal notation
are accepted where they are parsed; anything that is not finite as float32 is an
error, as are stray control characters, missing or surplus fields and lines, and
a body id that occurs twice in a frame: which of the two is that body cannot be
told, and taking either would be a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import boolean, float32, float64, int64, uint8, uint64
from numba.types import Array, Tuple, UniTuple

from data.errors import ClipError
from data.skeleton import NTU_RGBD

MAX_BODIES = 1024
MAX_CLIP_BYTES = 256 << 20

_JOINTS = NTU_RGBD.num_joints
_BODY_FIELDS = 10
_JOINT_FIELDS = 12
# The shortest text of one body and of one frame: one character a field.
_BODY_BYTES = 2 * _BODY_FIELDS + len(f"{_JOINTS}\n") + 2 * _JOINT_FIELDS * _JOINTS
_FRAME_BYTES = len("0\n")

_TOKEN, _BLANK, _LF, _CR, _JUNK = range(5)
_CLASS = np.full(256, _JUNK, np.uint8)
_CLASS[0x21:0x7F] = _TOKEN
_CLASS[[0x20, 0x09]] = _BLANK
_CLASS[0x0A], _CLASS[0x0D] = _LF, _CR

# A decimal whose digits form an integer up to 2**53 and whose power of ten is
# at most 10**22 is the quotient or product of two exact doubles, hence correctly
# rounded (Clinger 1990). 18 digits are what fits an int64 on the way there.
_EXACT_MANTISSA = 1 << 53
_POWERS = 10.0 ** np.arange(23)
_MAX_DIGITS = 18
# Of numbers beyond that a file is expected to have at most.
_FEW = 256

# What the parser expected when it stopped.
_FRAMES, _BODIES, _BODY, _JOINT_COUNT, _JOINT, _END = range(6)
# Why it stopped.
_FINE, _MALFORMED, _TOO_MANY, _TWICE, _CROWD, _HUGE, _FULL = range(7)


class Bodies(NamedTuple):
    """The bodies of one recording.

    Attributes:
        keypoint: Float32 ``[M, T, 25, 3]``, metres, bodies in order of first
            appearance, zeros where a body is absent.
        ids: Int64 ``[M]``, the sensor's body ids.
    """

    keypoint: np.ndarray
    ids: np.ndarray


def jit(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compiles for one signature, and keeps the result on disk where that is possible."""
    options = {"nogil": True, "error_model": "numpy"}

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return numba.njit(signature, cache=True, **options)(function)
        except (RuntimeError, OSError):  # no folder for it, or no room
            return numba.njit(signature, **options)(function)

    return compiled


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
def _rest(buffer, words, at):
    """Counts the fields that start in the rest of a line.

    Where eight bytes in a row are printable ASCII or blanks, they are classified
    in one go: adding to each byte carries what it is into its top bit.

    Returns:
        Fields and the start of the next line, or -1 there for a stray byte.
    """
    fields = 0
    blank = 1
    while True:
        kind = int64(_CLASS[buffer[at]])
        if kind > _BLANK:
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
    if kind == _CR:
        at += 1
        kind = int64(_CLASS[buffer[at]])
    return fields, (at + 1 if kind == _LF else int64(-1))


@jit(Tuple((boolean, int64, int64))(_BUFFER, int64))
def _integer(buffer, at):
    """Parses one integer field; returns whether it is one, its value, its end."""
    while _CLASS[buffer[at]] == _BLANK:
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
    kind = _CLASS[buffer[at]]
    fine = at > start and kind != _TOKEN and kind != _JUNK
    return fine, (-value if negative else value), at


@jit(UniTuple(int64, 2)(_BUFFER, _WORDS, int64))
def _count(buffer, words, at):
    """Parses a line that is one count; returns it and the next line's start.

    The count is -1 where the line is anything else.
    """
    fine, value, end = _integer(buffer, at)
    if not fine or value < 0:
        return -1, at
    fields, following = _rest(buffer, words, end)
    if fields != 0 or following < 0:
        return -1, at
    return value, following


@jit(Tuple((int64, float64, int64))(_BUFFER, int64))
def _decimal(buffer, at):
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
    kind = _CLASS[buffer[at]]
    if kind == _TOKEN or kind == _JUNK:
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
def _joints(buffer, words, size, at, coordinates, first, slow, slow_count):
    """Parses the joint lines of a body in a frame.

    Args:
        coordinates: Takes x, y and z of each joint, flat, from ``first`` on.
        slow: Takes, from ``slow_count`` on, each number that a slower parser has
            to look at: which coordinate it is, its start and its end.

    Returns:
        Why the parser stopped, lines read, the start of the next or of the
        damaged line, and ``slow_count``.
    """
    for joint in range(_JOINTS):
        start = at
        if start >= size:
            return _MALFORMED, joint, start, slow_count
        for index in range(first + 3 * joint, first + 3 * joint + 3):
            while _CLASS[buffer[at]] == _BLANK:
                at += 1
            kind, value, end = _decimal(buffer, at)
            if kind == 0:
                return _MALFORMED, joint, start, slow_count
            if kind == 2:
                if slow_count == len(slow):
                    return _FULL, joint, start, slow_count
                slow[slow_count, 0] = index
                slow[slow_count, 1] = at
                slow[slow_count, 2] = end
                slow_count += 1
            if np.isinf(np.float32(value)):
                return _HUGE, joint, start, slow_count
            coordinates[index] = value
            at = end
        fields, at = _rest(buffer, words, at)
        if fields != _JOINT_FIELDS - 3 or at < 0:
            return _MALFORMED, joint, start, slow_count
    return _FINE, _JOINTS, at, slow_count


@jit(
    UniTuple(int64, 8)(
        _BUFFER, _WORDS, int64, _COORDINATES, _PLACES, Array(int64, 1, "C"), _PLACES
    )
)
def _parse(buffer, words, size, coordinates, places, ids, slow):
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
        return _MALFORMED, _FRAMES, line, 0, 0, 0, 0, 0
    if frames > (size - at + 1) // _FRAME_BYTES:
        return _TOO_MANY, _FRAMES, line, 0, frames, 0, 0, 0

    for frame in range(frames):
        line += 1
        start = at
        bodies, at = _count(buffer, words, start)
        if bodies < 0 or start >= size:
            return _MALFORMED, _BODIES, line, start, frame, 0, 0, 0
        if bodies > (size - at + 1) // _BODY_BYTES:
            return _TOO_MANY, _BODIES, line, start, bodies, 0, 0, 0

        for _ in range(bodies):
            line += 1
            start = at
            fine, body_id, end = _integer(buffer, start)
            fields, at = _rest(buffer, words, end)
            if not fine or fields != _BODY_FIELDS - 1 or at < 0 or start >= size:
                return _MALFORMED, _BODY, line, start, frame, 0, 0, 0
            body = 0
            while body < body_count and ids[body] != body_id:
                body += 1
            if body == body_count:
                if body_count == len(ids):
                    return _CROWD, _BODY, line, start, frame, 0, 0, 0
                ids[body] = body_id
                body_count += 1
            if seen[body] == frame:
                return _TWICE, _BODY, line, start, frame, 0, 0, 0
            seen[body] = frame

            line += 1
            start = at
            joints, at = _count(buffer, words, start)
            if joints != _JOINTS or start >= size:
                return _MALFORMED, _JOINT_COUNT, line, start, frame, 0, 0, 0
            why, joints, at, slow_count = _joints(
                buffer, words, size, at, coordinates, 3 * _JOINTS * place, slow, slow_count
            )
            line += joints
            if why != _FINE:
                return why, _JOINT, line + 1, at, frame, 0, 0, 0
            places[place, 0] = body
            places[place, 1] = frame
            place += 1

    while at < size:
        line += 1
        start = at
        fields, at = _rest(buffer, words, start)
        if fields != 0 or at < 0:
            return _MALFORMED, _END, line, start, frames, 0, 0, 0
    return _FINE, _END, line, at, frames, body_count, place, slow_count


def parse_skeleton(text: bytes, where: str) -> Bodies:
    """Parses a ``.skeleton`` file.

    The coordinates equal ``np.float32(float(field))`` bit for bit.

    Args:
        text: The whole file.
        where: Names the file in messages.

    Raises:
        ClipError: The text breaks the format, no frame holds a body, or the
            clip would take more than ``MAX_CLIP_BYTES``.

    >>> text = b"1\\n1\\n72057594037932358 0 0 0 0 0 0 0 0 2\\n25\\n"
    >>> bodies = parse_skeleton(text + 25 * b"0.5 -1 4e0 0 0 0 0 0 0 0 0 2\\n", "clip")
    >>> bodies.keypoint.shape, bodies.keypoint[0, 0, 24].tolist(), bodies.ids.tolist()
    ((1, 1, 25, 3), [0.5, -1.0, 4.0], [72057594037932358])
    """
    size = len(text)
    words = np.empty(size // 8 + 2, np.uint64)
    buffer = words.view(np.uint8)
    buffer[:size] = np.frombuffer(text, np.uint8)
    buffer[size:] = 0x0A
    room = size // _BODY_BYTES + 1
    coordinates = np.empty(room * _JOINTS * 3, np.float32)
    places = np.empty((room, 2), np.int64)
    ids = np.empty(MAX_BODIES, np.int64)
    for slow_room in (_FEW, coordinates.size):
        slow = np.empty((slow_room, 3), np.int64)
        why, what, line, start, frames, bodies, filled, slow_count = _parse(
            buffer, words, size, coordinates, places, ids, slow
        )
        if why != _FULL:
            break
    if why != _FINE:
        complaint = _complaint(words, size, why, what, start, frames)
        raise ClipError(f"{where}: line {line}: {complaint}")
    if bodies == 0:
        raise ClipError(f"{where}: no body in any of its {frames} frames")
    needed = bodies * frames * _JOINTS * 3 * coordinates.itemsize
    if needed > MAX_CLIP_BYTES:
        raise ClipError(
            f"{where}: {bodies} bodies in {frames} frames would take {needed >> 20} MB; "
            f"at most {MAX_CLIP_BYTES >> 20} MB are read as one clip"
        )
    for index, first, end in slow[:slow_count].tolist():
        with np.errstate(over="ignore"):
            value = np.float32(float(text[first:end]))
        if np.isinf(value):
            line, start = text.count(b"\n", 0, first) + 1, text.rfind(b"\n", 0, first) + 1
            complaint = _complaint(words, size, _HUGE, _JOINT, start, 0)
            raise ClipError(f"{where}: line {line}: {complaint}")
        coordinates[index] = value
    keypoint = np.zeros((bodies, frames, _JOINTS, 3), np.float32)
    body, frame = places[:filled].T
    keypoint[body, frame] = coordinates.reshape(room, _JOINTS, 3)[:filled]
    return Bodies(keypoint, ids[:bodies].copy())


_EXPECTED = {
    _FRAMES: "the number of frames",
    _BODIES: "the number of bodies of frame {frame}",
    _BODY: f"a body ({_BODY_FIELDS} fields, an integer id first)",
    _JOINT_COUNT: f"{_JOINTS}, the number of joints",
    _JOINT: f"a joint ({_JOINT_FIELDS} fields, finite x, y and z first)",
    _END: "the end of the file after {frame} frames",
}


def _complaint(
    words: np.ndarray, size: int, why: int, what: int, start: int, number: int
) -> str:
    """Says why the parser stopped at the line that starts at ``start``.

    ``number`` is the frame, or the count itself where that is the trouble.
    """
    if why == _TOO_MANY:
        noun = "frames" if what == _FRAMES else "bodies"
        return f"{number} {noun} are announced, more than the rest of the file can hold"
    if why == _CROWD:
        return f"more than {MAX_BODIES} different body ids"
    expected = _EXPECTED[what].format(frame=number + (what == _BODIES))
    if start >= size:
        return f"expected {expected}, but the file {'ends here' if start else 'is empty'}"
    buffer = words.view(np.uint8)
    found = buffer[start : start + 40].tobytes().partition(b"\n")[0].rstrip(b"\r")
    quoted = ascii(found.decode("latin-1"))
    if why == _TWICE:
        return f"a body id that this frame already has: {quoted}"
    if why == _HUGE:
        return f"expected {expected}, found a number beyond float32: {quoted}"
    fields, following = _rest(buffer, words, start)
    if following < 0:
        return f"expected {expected}, found a byte that is no plain text after {fields} fields"
    return f"expected {expected}, found {fields} field{'s'[: fields != 1]}: {quoted}"
