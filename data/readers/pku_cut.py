"""PKU-MMD instances that somebody has cut already, one file each.

Files are called ``FfffVvvvCcccLlll``, ``.skeleton`` or ``.txt``: number of the video,
view (1, 2, 3 for L, M, R), class from 1 and, where it is there, the instance's line in
the label file from 1. The names and the first of the two forms below are those of the
converter in https://github.com/bruceyo/TSMF, from which others took them over:

- Lines as of an NTU file, cut down: the number of frames; per frame the number of
  bodies, a line of 10 fields, the number of joints (25), and a line of x, y, z for each
  joint; a second body follows with its 25 lines alone, or with all of that.
- A line a frame of 150 numbers, as in the data set's own files. That cut clips come in
  this form as well is an assumption; no converter that writes it is known to us.

That converter cuts from the frame before ``start`` up to ``end``, so its clips are a
frame longer than those that ``zskel.data.readers.pku_mmd`` cuts.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

import numpy as np

from zskel.data.common.errors import ClipError
from zskel.data.readers.coordinates import bodies_there
from zskel.data.readers.raw_file import printable, read_file
from zskel.data.skeleton import NTU_RGBD

MAX_FILE_BYTES = 64 << 20
_NAME = re.compile(r"F([0-9]{3,4})V([0-9]{3})C([0-9]{3})(L([0-9]{3}))?\.(txt|skeleton)")
_JOINTS = NTU_RGBD.num_joints
_HEADER = 10


class CutName(NamedTuple):
    """What the name of a cut clip says.

    Attributes:
        video: Its number.
        view, action: From 1.
        line: Of the label file, from 1; 0 where the name does not say.
    """

    video: int
    view: int
    action: int
    line: int


def cut_name(name: str) -> CutName | None:
    """Takes a file's name apart; None if it is not called like a cut clip.

    >>> cut_name("F002V001C010L003.skeleton")
    CutName(video=2, view=1, action=10, line=3)
    """
    match = _NAME.fullmatch(name)
    return None if match is None else CutName(*(int(match[group] or 0) for group in (1, 2, 3, 5)))


def read_cut(path: str) -> np.ndarray:
    """Reads a cut clip.

    Returns:
        Float32 ``[M, T, 25, 3]``, metres: the bodies that appear.

    Raises:
        ClipError: The file is damaged or holds no body.
    """
    from zskel.data.readers.pku_text import parse_sequence  # loads numba

    where = printable(path)
    text = read_file(path, MAX_FILE_BYTES).removeprefix(codecs.BOM_UTF8)
    if len(text.split(b"\n", 1)[0].split()) == 1:
        clip = _parse(text, where)
    else:
        clip = parse_sequence(text, where)
    return bodies_there(clip, where)


class _Lines:
    """The lines of a file, one after the other."""

    def __init__(self, text: bytes, where: str) -> None:
        self._lines = text.decode("ascii", "replace").rstrip().split("\n")
        self._where, self._at = where, 0

    def next(self, fields: int, what: str) -> list[str]:
        """The fields of the next line.

        Raises:
            ClipError: There is none, or it has another number of fields.
        """
        found = self.ahead()
        self._at += 1
        if len(found) != fields:
            raise self.wrong(f"expected {what}, found {len(found)} fields")
        return found

    def ahead(self) -> list[str]:
        return self._lines[self._at].split() if self._at < len(self._lines) else []

    def count(self, most: int, what: str) -> int:
        (field,) = self.next(1, what)
        if not re.fullmatch("[0-9]{1,6}", field) or int(field) > most:
            raise self.wrong(f"expected {what}, at most {most}, found {field[:20]!a}")
        return int(field)

    def wrong(self, complaint: str) -> ClipError:
        return ClipError(f"{self._where}: line {self._at}: {complaint}")

    def end(self) -> None:
        if self._at < len(self._lines):
            self._at += 1
            raise self.wrong("expected the end of the file")


def _parse(text: bytes, where: str) -> np.ndarray:
    lines = _Lines(text, where)
    # No frame is shorter than its line of the number of bodies.
    frames = lines.count(len(text) // 2, "the number of frames")
    clip = np.zeros((2, frames, _JOINTS, 3), np.float32)
    for frame in range(frames):
        for body in range(lines.count(2, "the number of bodies")):
            if body == 0 or len(lines.ahead()) == _HEADER:
                lines.next(_HEADER, f"{_HEADER} fields of a body")
                if lines.count(_JOINTS, "the number of joints") != _JOINTS:
                    raise lines.wrong(f"expected {_JOINTS} joints")
            for joint in range(_JOINTS):
                clip[body, frame, joint] = _point(lines)
    lines.end()
    return clip


def _point(lines: _Lines) -> np.ndarray:
    fields = lines.next(3, "x, y, z of a joint")
    try:
        with np.errstate(over="ignore"):
            point = np.asarray([float(field) for field in fields]).astype(np.float32)
    except ValueError:
        point = np.full(3, np.nan, np.float32)
    if not np.isfinite(point).all() or any("_" in field for field in fields):
        raise lines.wrong(f"expected three finite numbers, found {' '.join(fields)[:40]!a}")
    return point
