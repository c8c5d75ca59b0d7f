"""The text of a ``.skeleton`` file, parsed at hundreds of megabytes a second.

Format, one line each, fields separated by blanks or tabs, lines ended by LF or
CRLF: the number of frames; per frame the number of bodies; per body a line of
10 fields that starts with the body id, the number of joints (25), and per joint
a line of 12 fields that starts with x, y and z in metres.

One pass reads everything. Counts, body ids and x, y, z are parsed; of the
remaining fields (pixels, orientations, tracking states) only the number is
checked, because no method here uses them and recordings hold text such as
``NaN`` or ``-Infinity`` there. Numbers in plain or scientific decimal notation
are accepted where they are parsed; anything that is not finite as float32 is an
error, as are stray control characters, missing or surplus fields and lines, and
a body id that occurs twice in a frame: which of the two is that body cannot be
told, and taking either would be a guess.
"""

from __future__ import annotations

import codecs
from typing import NamedTuple

import numpy as np

from zskel.data.common.errors import ClipError
from zskel.data.common.files import ONLY_ZEROS, only_zeros
from zskel.data.readers import ntu_kernel as kernel
from zskel.data.skeleton import NTU_RGBD

MAX_BODIES = 1024
MAX_CLIP_BYTES = 256 << 20

_JOINTS = NTU_RGBD.num_joints
# So many numbers of unusual length are made room for at first.
_FEW = 256


class Bodies(NamedTuple):
    """The bodies of one recording.

    Attributes:
        keypoint: Float32 ``[M, T, 25, 3]``, metres, bodies in order of first
            appearance, zeros where a body is absent.
        ids: Int64 ``[M]``, the sensor's body ids.
    """

    keypoint: np.ndarray
    ids: np.ndarray


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
    if only_zeros(text):
        raise ClipError(f"{where}: {ONLY_ZEROS}")
    text = text.removeprefix(codecs.BOM_UTF8)
    size = len(text)
    words = np.empty(size // 8 + 2, np.uint64)
    buffer = words.view(np.uint8)
    buffer[:size] = np.frombuffer(text, np.uint8)
    buffer[size:] = 0x0A
    room = size // kernel.BODY_BYTES + 1
    coordinates = np.empty(room * _JOINTS * 3, np.float32)
    places = np.empty((room, 2), np.int64)
    ids = np.empty(MAX_BODIES, np.int64)
    for slow_room in (_FEW, coordinates.size):
        slow = np.empty((slow_room, 3), np.int64)
        why, what, line, start, frames, bodies, filled, slow_count = kernel.parse(
            buffer, words, size, coordinates, places, ids, slow
        )
        if why != kernel.FULL:
            break
    if why != kernel.FINE:
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
            complaint = _complaint(words, size, kernel.HUGE, kernel.JOINT, start, 0)
            raise ClipError(f"{where}: line {line}: {complaint}")
        coordinates[index] = value
    keypoint = np.zeros((bodies, frames, _JOINTS, 3), np.float32)
    body, frame = places[:filled].T
    keypoint[body, frame] = coordinates.reshape(room, _JOINTS, 3)[:filled]
    if not keypoint.any():
        raise ClipError(f"{where}: no body in any of its {frames} frames, all coordinates are zero")
    return Bodies(keypoint, ids[:bodies].copy())


_EXPECTED = {
    kernel.FRAMES: "the number of frames",
    kernel.BODIES: "the number of bodies of frame {frame}",
    kernel.BODY: f"a body ({kernel.BODY_FIELDS} fields, an integer id first)",
    kernel.JOINT_COUNT: f"{_JOINTS}, the number of joints",
    kernel.JOINT: f"a joint ({kernel.JOINT_FIELDS} fields, finite x, y and z first)",
    kernel.END: "the end of the file after {frame} frames",
}


def _complaint(
    words: np.ndarray, size: int, why: int, what: int, start: int, number: int
) -> str:
    """Says why the parser stopped at the line that starts at ``start``.

    ``number`` is the frame, or the count itself where that is the trouble.
    """
    if why == kernel.TOO_MANY:
        noun = "frames" if what == kernel.FRAMES else "bodies"
        return f"{number} {noun} are announced, more than the rest of the file can hold"
    if why == kernel.CROWD:
        return f"more than {MAX_BODIES} different body ids"
    expected = _EXPECTED[what].format(frame=number + (what == kernel.BODIES))
    if start >= size:
        return f"expected {expected}, but the file {'ends here' if start else 'is empty'}"
    buffer = words.view(np.uint8)
    found = buffer[start : start + 40].tobytes().partition(b"\n")[0].rstrip(b"\r")
    quoted = ascii(found.decode("latin-1"))
    if why == kernel.TWICE:
        return f"a body id that this frame already has: {quoted}"
    if why == kernel.HUGE:
        return f"expected {expected}, found a number beyond float32: {quoted}"
    fields, following = kernel.count_fields(buffer, words, start)
    if following < 0:
        return f"expected {expected}, found a byte that is no plain text after {fields} fields"
    return f"expected {expected}, found {fields} field{'s'[: fields != 1]}: {quoted}"
