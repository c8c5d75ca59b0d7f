"""The ragged sequence store: every clip of a data set in one HDF5 file, unpadded.

Layout: ``/keypoint`` float32 ``[R, V, 3]`` holds one row per body and frame,
clip after clip, within a clip body after body; ``/offset`` int64 ``[N + 1]``
bounds the clips' rows and ``/num_bodies`` int16 ``[N]`` shapes them back to
``[M, T, V, 3]``. Identity as in the feature caches.

A store can be too large to be read whole each time it is opened. So ``/crc32`` uint32
``[N]`` holds a checksum of each clip's rows, compared whenever the clip is read, and the
file's own (``zskel.data.common.checksums``) covers everything else.
Stores from before that have neither.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from zskel.data.caches import IDENTITY
from zskel.data.common.checksums import DAMAGE, open_hdf5
from zskel.data.common.errors import BadCache, BadConfig
from zskel.data.common.hdf5 import open_to_read
from zskel.data.common.limits import own_dataset, read_strings
from zskel.data.common.os_errors import raise_refusal
from zskel.data.common.registry import nearest
from zskel.data.skeleton import Clip, layout_of

STORE_FORMAT = "zsl-skeleton-store"
STORE_VERSION = 1


class SequenceStore:
    """Reads a store. Clips come from the file as they are asked for.

    The file is opened on first use in each process, so instances may be sent to
    or inherited by worker processes.

    Attributes:
        path, dataset, digest: Of the store.
        layout: The joints and bones of its clips.
        sample_protocol: Which one ``replication`` stands for, or "".
        class_names: ``[C]``.
        sample_id, label, num_bodies, num_frames: ``[N]`` arrays.
        subject, camera, setup, replication: Int16 ``[N]``, -1 unknown.
        names: Field -> name -> number, where its source names what it numbers.

    Raises:
        BadCache: Not a store, or a damaged one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: h5py.File | None = None
        self._keypoint: h5py.Dataset | None = None
        self._owner = -1
        if not self.path.is_file():
            raise BadCache(f"{path}: no such file; `pipeline extract --raw ...` makes the store")
        with open_hdf5(self.path) as file:
            try:
                self._load_index(file)
            except BadCache:
                raise
            except DAMAGE as error:
                raise_refusal(error, path)
                raise BadCache(f"{path}: not a whole sequence store ({error}); delete it and "
                               "extract again") from None

    def _load_index(self, file: h5py.File) -> None:
        if file.attrs.get("format") != STORE_FORMAT:
            raise ValueError(f"format is {file.attrs.get('format')!r}, expected {STORE_FORMAT!r}")
        if int(file.attrs["format_version"]) != STORE_VERSION:
            raise ValueError(f"format_version is {file.attrs['format_version']}, "
                             f"this release reads {STORE_VERSION}")
        for name in ("keypoint", "offset", "num_bodies", "label", *IDENTITY, "sample_id"):
            if own_dataset(file, name, self.path) is None:
                raise ValueError(f"/{name} is missing")
        self.dataset = str(file.attrs["dataset"])
        self.layout = layout_of(json.loads(file.attrs["layout"]))
        self.sample_protocol = str(file.attrs["sample_protocol"])
        self.digest = str(file.attrs["digest"])
        self.cleaning = json.loads(file.attrs["cleaning"])
        self.class_names = tuple(str(name) for name in file.attrs["class_names"])
        self.sample_id = read_strings(file["sample_id"], "sample_id", self.path)
        self.label = file["label"][()]
        self.num_bodies = file["num_bodies"][()]
        self.offset = file["offset"][()]
        for name in IDENTITY:
            setattr(self, name, file[name][()])
        self.names = {field: dict(numbers) for field, numbers in
                      json.loads(file.attrs.get("names", "{}")).items()}
        rows = np.diff(self.offset)
        if len(rows) != len(self.label) or (rows <= 0).any() or (rows % self.num_bodies).any():
            raise ValueError("/offset and /num_bodies disagree")
        if self.offset[-1] != len(file["keypoint"]):
            raise ValueError("/offset does not end where /keypoint does")
        self.num_frames = rows // self.num_bodies
        self._crc32 = file["crc32"][()] if own_dataset(file, "crc32", self.path) else None
        if self._crc32 is not None and self._crc32.shape != self.label.shape:
            raise ValueError("/crc32 and /label differ in length")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_keypoint": None, "_owner": -1}

    def __len__(self) -> int:
        return len(self.label)

    def keypoint(self, index: int) -> np.ndarray:
        """Float32 ``[M, T, V, 3]`` of one clip.

        Raises:
            BadCache: It is not what was written.
            OSError: It cannot be read now.
        """
        try:
            if self._owner != os.getpid():
                # HDF5 handles must not be shared between processes.
                self._file, self._owner = open_to_read(self.path), os.getpid()
                self._keypoint = self._file["keypoint"]
            assert self._keypoint is not None
            rows = self._keypoint[self.offset[index] : self.offset[index + 1]]
        except FileNotFoundError:
            raise  # another process has removed it
        except DAMAGE as error:
            raise_refusal(error, self.path)
            raise self._damaged(index, str(error)) from None
        if self._crc32 is not None and zlib.crc32(rows) != self._crc32[index]:
            raise self._damaged(index, "its checksum does not hold")
        return rows.reshape(self.num_bodies[index], -1, *rows.shape[1:])

    def values(self, field: str) -> np.ndarray:
        """A field's value for each clip ``[N]``: its name where it has names, else its number.

        An unknown value is -1 in both cases.
        """
        numbers = getattr(self, field)
        if field not in self.names:
            return numbers
        shown = {number: name for name, number in self.names[field].items()}
        return np.asarray([shown.get(number, number) for number in numbers.tolist()], object)

    def as_stored(self, field: str, given: Sequence[int | str], key: str) -> list[int | str]:
        """Values from a config in the form that ``values`` has them.

        Raises:
            BadConfig: One is not a name that the store has, or is no number where
                it has numbers; the message starts with ``key``.
        """
        names = self.names.get(field)
        found: list[int | str] = []
        for value in given:
            if names is not None and str(value) not in names:
                raise BadConfig(f"{key}: no {field} is called {str(value)!r}; "
                                f"{nearest(str(value), names)}")
            if names is None and not str(value).isdecimal():
                raise BadConfig(f"{key}: {value!r} is no number, and {field}s have numbers in "
                                f"{self.path}, no names")
            found.append(int(value) if names is None else str(value))
        return found

    def _damaged(self, index: int, reason: str) -> BadCache:
        return BadCache(f"{self.path}: clip {str(self.sample_id[index])!r} cannot be read "
                        f"({reason}); delete the store and extract again")

    @property
    def has_checksums(self) -> bool:
        """Whether damage is noticed; stores from before there were checksums have none."""
        return self._crc32 is not None

    def clip(self, index: int) -> Clip:
        """One clip with its identity."""
        return Clip(
            str(self.sample_id[index]), int(self.label[index]), self.keypoint(index),
            **{name: int(getattr(self, name)[index]) for name in IDENTITY},
        )
