"""NTU RGB+D as the arrays that the field's preprocessing leaves.

- ``NTU60_CS.npz`` and such of CTR-GCN (https://github.com/Uason-Chen/CTR-GCN):
  ``x_train``, ``x_test`` ``[N, T, 150]``, a frame being the 25 joints of one body and
  then of a second; ``y_train``, ``y_test`` one-hot or class indices. No names, and so
  no subjects. Frames at the end without a body are padding.
- ``train_data_joint.npy`` or ``train_data.npy`` ``[N, 3, T, 25, bodies]`` beside
  ``train_label.pkl``, ``(names, labels)``, of ST-GCN, 2s-AGCN and their successors.
  Padded with empty frames, or, by 2s-AGCN, by repeating the clip.
- ``S001C001P001R001A001.skeleton.npy`` of the ``txt2npy.py`` that comes with NTU
  RGB+D: a dictionary whose ``skel_body0``, ``skel_body1``, ... are ``[T, 25, 3]``.
  Bodies are numbered by their place in the frame, not by body id: where a body is lost
  for some frames, those after it change places.

What such preprocessing did to the coordinates (centred, turned, two bodies kept) stays.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zskel.data.common.errors import BadInput, ClipError
from zskel.data.common.limits import npy_header
from zskel.data.exchange.arrays import load_npz
from zskel.data.readers.array_rows import array_names, open_rows
from zskel.data.readers.coordinates import bodies_there, finite
from zskel.data.readers.raw_file import cause, printable
from zskel.data.readers.safe_pickle import load, loads
from zskel.data.skeleton import NTU_RGBD, present

TRAIN, TEST = 1, 2
_JOINTS = NTU_RGBD.num_joints
_BODY = 3 * _JOINTS
_NAMED = re.compile(r"(.*)_data(_joint)?\.npy")
_ROW = re.compile(r"(.*)\[([0-9]+)\]")
_PROTOCOL = re.compile("(?:^|[^a-z])(cs|csub|xsub|cv|xview|cset|xset)(?:[^a-z]|$)")
_PROTOCOLS = {
    "cs": "cross-subject", "csub": "cross-subject", "xsub": "cross-subject",
    "cv": "cross-view", "xview": "cross-view", "cset": "cross-setup", "xset": "cross-setup",
}
_SKELETON = "skel_body"


class Row(NamedTuple):
    """A clip that an array holds.

    Attributes:
        member: Which, for ``read_row``.
        name: What the file calls it; "" where it names none.
        label: Class index.
        subset: TRAIN or TEST where the file tells and names nothing; else 0.
    """

    member: str
    name: str
    label: int
    subset: int = 0


def is_named_rows(name: str) -> bool:
    """Whether a file is called like ST-GCN's joints.

    >>> is_named_rows("val_data_joint.npy"), is_named_rows("val_data_bone.npy")
    (True, False)
    """
    return _NAMED.fullmatch(name) is not None


def is_split_rows(path: str) -> bool:
    """Whether an .npz file is of CTR-GCN's layout.

    Raises:
        BadInput: It is damaged.
    """
    return bool({"x_train", "x_test"} & set(array_names(path)))


def protocol_of(name: str) -> str:
    """The sample protocol that the training clips of an .npz file follow, by its name.

    >>> protocol_of("NTU60_CS.npz"), protocol_of("NTU120_CSet.npz"), protocol_of("mine.npz")
    ('cross-subject', 'cross-setup', 'listed')
    """
    found = _PROTOCOL.search(name.lower())
    return _PROTOCOLS[found[1]] if found else "listed"


def split_rows(path: str) -> Iterator[Row]:
    """The clips of an .npz file, training ones first.

    Raises:
        BadInput: Arrays are missing or do not fit together.
    """
    names, where = array_names(path), printable(path)
    for part, subset in (("train", TRAIN), ("test", TEST)):
        if f"x_{part}" not in names:
            continue
        if f"y_{part}" not in names:
            raise BadInput(f"{where}: has x_{part} and no y_{part}, the labels of its clips")
        shape = open_rows(path, f"x_{part}").shape
        if len(shape) != 3 or shape[2] == 0 or shape[2] % _BODY or shape[1] == 0:
            raise BadInput(f"{where}: x_{part} has shape {list(shape)}, expected [clips, frames, "
                           f"{2 * _BODY}]: two bodies of {_JOINTS} joints of x, y, z")
        labels = _labels(load_npz(Path(path), [f"y_{part}"])[f"y_{part}"], f"{where}: y_{part}")
        if len(labels) != shape[0]:
            raise BadInput(f"{where}: x_{part} has {shape[0]} clips, y_{part} {len(labels)} labels")
        for row, label in enumerate(labels):
            yield Row(f"x_{part}[{row}]", "", label, subset)


def _labels(array: np.ndarray, where: str) -> list[int]:
    if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "fiub":
        hot = array != 0
        wrong = np.flatnonzero((hot.sum(axis=1) != 1) | ~(array == hot).all(axis=1))
        if len(wrong):
            raise BadInput(f"{where}: row {wrong[0]} is not one-hot: one 1 among zeros")
        return [int(label) for label in hot.argmax(axis=1)]
    array = array.reshape(len(array), -1) if array.ndim else array
    if array.ndim != 2 or array.shape[1] != 1 or array.dtype.kind not in "iu" or (array < 0).any():
        raise BadInput(f"{where}: holds {array.dtype} of shape {list(array.shape)}, expected "
                       "one-hot rows or one class index a clip")
    return [int(label) for label in array[:, 0]]


def named_rows(path: str) -> Iterator[Row]:
    """The clips of ST-GCN's joints.

    Raises:
        BadInput: The array is of another shape, or its label file is missing or
            does not fit to it.
    """
    where, match = printable(path), _NAMED.fullmatch(Path(path).name)
    assert match is not None
    shape = open_rows(path).shape
    if len(shape) != 5 or shape[1] != 3 or shape[3] != _JOINTS or 0 in shape[1:]:
        raise BadInput(f"{where}: has shape {list(shape)}, expected [clips, 3, frames, {_JOINTS}, "
                       "bodies]")
    beside = Path(path).with_name(f"{match[1]}_label.pkl")
    if not beside.is_file():
        raise BadInput(f"{where}: its labels and sample names, {printable(beside.name)}, are not "
                       "beside it")
    content = load(beside)
    fine = isinstance(content, (list, tuple)) and len(content) >= 2 and all(
        isinstance(part, (list, tuple, np.ndarray)) for part in content[:2]
    ) and len(content[0]) == len(content[1])
    if not fine:
        raise BadInput(f"{printable(beside)}: expected (sample names, labels), two lists of one "
                       "length")
    if len(content[0]) != shape[0]:
        raise BadInput(f"{where}: has {shape[0]} clips, {printable(beside.name)} names "
                       f"{len(content[0])}")
    for row, (name, label) in enumerate(zip(content[0], content[1])):
        if not isinstance(name, str) or not isinstance(label, (int, np.integer)):
            raise BadInput(f"{printable(beside)}: clip {row} is {ascii(name)[:40]} with label "
                           f"{ascii(label)[:40]}, expected a name and an integer")
        yield Row(f"[{row}]", str(name), int(label))


def read_row(path: str, member: str, where: str) -> np.ndarray:
    """One clip of an array.

    Args:
        path: The .npz or .npy file.
        member: Of its ``Row``.
        where: Names it in messages.

    Returns:
        Float32 ``[M, T, 25, 3]``: the bodies that appear, without padding at the end.

    Raises:
        ClipError: A number is not finite as float32, or no frame holds a body.
        BadInput: The file is not what it was any more.
    """
    match = _ROW.fullmatch(member)
    assert match is not None
    rows = open_rows(path, match[1])
    if int(match[2]) >= rows.shape[0]:
        raise ClipError(f"{where}: is no longer in the file")
    row = rows[int(match[2])]
    if match[1]:
        bodies = row.reshape(len(row), -1, _JOINTS, 3).transpose(1, 0, 2, 3)
    else:
        bodies = row.transpose(3, 1, 2, 0)
    clip = bodies_there(_checked(bodies, where), where)
    clip = clip[:, : np.flatnonzero(present(clip).any(axis=0))[-1] + 1]
    return clip if match[1] else clip[:, : _repeats_after(clip)]


def _repeats_after(clip: np.ndarray) -> int:
    """The frames after which every body does again what it did before."""
    frames = clip.shape[1]
    longest = 0
    for body in clip.reshape(len(clip), frames, -1):
        again = np.flatnonzero((body[1:] == body[0]).all(axis=1)) + 1
        if len(again) and again[0] == 1:  # it stands still
            return frames
        longest = max(longest, next(
            (int(after) for after in again if (body[after:] == body[:-after]).all()), frames))
    return longest


def read_dictionary(content: bytes, where: str) -> np.ndarray:
    """The clip in a file that ``txt2npy.py`` wrote.

    The dictionary in it is pickled; ``zskel.data.readers.safe_pickle`` opens it.

    Returns:
        Float32 ``[M, T, 25, 3]``, zeros where a body is absent.

    Raises:
        ClipError: It is no such file, a number is not finite as float32, or no
            frame holds a body.
    """
    try:
        bodies = _bodies(content, where)
    except ClipError:
        raise
    except BadInput as error:
        raise ClipError(str(error)) from None
    return bodies_there(_checked(bodies, where), where)


def _bodies(content: bytes, where: str) -> np.ndarray:
    handle = io.BytesIO(content)
    try:
        shape, _, kind = npy_header(handle, where)
    except (ValueError, EOFError) as error:
        raise ClipError(f"{where}: is not a whole .npy file: {cause(error)}") from None
    expected = "expected the dictionary of txt2npy.py"
    if not kind.hasobject or shape:
        raise ClipError(f"{where}: holds {kind} of shape {list(shape)}, {expected}")
    found = loads(content[handle.tell():], where)
    if not isinstance(found, dict):
        raise ClipError(f"{where}: holds something else than a dictionary, {expected}")
    bodies: list[Any] = []
    while f"{_SKELETON}{len(bodies)}" in found:
        bodies.append(found[f"{_SKELETON}{len(bodies)}"])
    if not bodies:
        raise ClipError(f"{where}: its dictionary has no {_SKELETON}0, the joints in space; was it "
                        "written without them?")
    for number, body in enumerate(bodies):
        fine = isinstance(body, np.ndarray) and body.dtype.kind in "fiu" and body.ndim == 3 \
            and body.shape[1:] == (_JOINTS, 3) and len(body) == len(bodies[0]) > 0
        if not fine:
            shown = getattr(body, "shape", type(body).__name__)
            raise ClipError(f"{where}: {_SKELETON}{number} is {shown}, expected [frames, "
                            f"{_JOINTS}, 3], as many frames as the others")
    return np.stack(bodies)


def _checked(bodies: np.ndarray, where: str) -> np.ndarray:
    return np.ascontiguousarray(finite(bodies, f"{where}:"))
