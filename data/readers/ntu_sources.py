"""Where recordings of NTU RGB+D are: files, folders at any depth, archives and arrays."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zskel.data.common.errors import BadInput
from zskel.data.exchange.arrays import about_arrays
from zskel.data.readers import archives, ntu_arrays
from zskel.data.readers.base import Entry, Skip
from zskel.data.readers.gzip_file import gunzip
from zskel.data.readers.raw_file import printable, read_file

SUFFIX = ".skeleton"
#: As text, the same packed by gzip, and as txt2npy.py writes it.
SUFFIXES = (SUFFIX, f"{SUFFIX}.gz", f"{SUFFIX}.npy")
SOURCES = (f"--raw takes folders, zip, tar and tar.gz archives of SsssCcccPpppRrrrAaaa{SUFFIX} "
           "files, or arrays such as NTU60_CS.npz or train_data_joint.npy")


class Found(NamedTuple):
    """Something that is called like a recording.

    Attributes:
        path, member: As in ``Entry``.
        name: That of the file or of the array's row, without the suffix; "" where
            an array names none.
        label: Class index where an array tells it, else -1.
        subset: 1 for training, 2 for test clips where that is all that is told of
            who and how; else 0.
    """

    path: str
    member: str
    name: str
    label: int = -1
    subset: int = 0


def recordings(source: Path, skipped: list[Skip]) -> Iterator[Found]:
    """Yields what a source holds, files of a folder in alphabetical order.

    Args:
        source: A file or folder.
        skipped: Gets what cannot be opened.

    Raises:
        BadInput: The source is absent, or is no file that can be read.
    """
    if os.path.isdir(source):
        yield from _folder(str(source), skipped)
    elif not os.path.exists(source):
        raise BadInput(f"{printable(source)}: no such file or folder; {SOURCES}")
    elif source.name.endswith(SUFFIXES):
        yield _file(str(source))
    elif source.name.endswith((".npy", ".npz")):
        yield from _rows(str(source))
    else:
        yield from _members(str(source), skipped)


def read(entry: Entry) -> np.ndarray:
    """Reads what ``recordings`` has found, as ``NTUReader.read``."""
    # Loads numba, which listing recordings does without.
    from zskel.data.readers.ntu_text import parse_skeleton

    where = printable(entry.where)
    if entry.member.endswith("]"):
        return ntu_arrays.read_row(entry.path, entry.member, where)
    if entry.member:
        content = archives.read_member(entry.path, entry.member, where)
    else:
        content = read_file(entry.path, archives.MAX_FILE_BYTES)
    name = entry.member or entry.path
    if name.endswith(".npy"):
        return ntu_arrays.read_dictionary(content, where)
    if name.endswith(".gz"):
        content = gunzip(content, archives.MAX_FILE_BYTES, where)
    return parse_skeleton(content, where).keypoint


def _file(path: str, member: str = "") -> Found:
    name = re.split(r"[/\\]", member or os.path.basename(path))[-1]
    return Found(path, member, _without_suffix(name))


def _without_suffix(name: str) -> str:
    return next((name.removesuffix(ending) for ending in SUFFIXES if name.endswith(ending)), name)


def _rows(path: str) -> Iterator[Found]:
    if path.endswith(".npz") and ntu_arrays.is_split_rows(path):
        rows = ntu_arrays.split_rows(path)
    elif ntu_arrays.is_named_rows(os.path.basename(path)):
        rows = ntu_arrays.named_rows(path)
    else:
        raise BadInput(printable(about_arrays(Path(path))) + "; recordings are read from arrays "
                       "such as x_train, y_train, x_test, y_test of NTU60_CS.npz, or from "
                       "train_data_joint.npy and the like")
    for row in rows:
        yield Found(path, row.member, _without_suffix(row.name), row.label, row.subset)


def _folder(source: str, skipped: list[Skip]) -> Iterator[Found]:
    def unreadable(error: OSError) -> None:
        skipped.append(Skip(printable(error.filename), f"cannot be opened: {error.strerror}"))

    visited = set()
    for folder, subfolders, names in os.walk(source, onerror=unreadable, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:  # a link back, or a second way in
            subfolders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        subfolders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith(SUFFIXES):
                yield _file(path)
                continue
            try:
                if archives.is_archive(name):
                    yield from _members(path, skipped)
                elif ntu_arrays.is_named_rows(name) or (
                    name.endswith(".npz") and ntu_arrays.is_split_rows(path)
                ):
                    yield from _rows(path)
            except BadInput as error:
                reason = str(error).removeprefix(f"{printable(path)}: ")
                skipped.append(Skip(printable(path), reason))


def _members(path: str, skipped: list[Skip]) -> Iterator[Found]:
    for name, copies in archives.members(path, SUFFIXES):
        if copies > 1:
            reason = f"is in the archive {copies} times; the last copy is used"
            skipped.append(Skip(printable(f"{path}!{name}"), reason))
        yield _file(path, name)
