"""One source of a mapping file: its arrays, checked against each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zskel.data.caches import CALIBRATION, IDENTITY, TEST, TRAIN
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.files import digest_file
from zskel.data.common.registry import nearest
from zskel.data.exchange import mapping
from zskel.data.exchange.arrays import array_shapes, features_of, labels_of, load_array

_SUBSETS = (TRAIN, TEST, CALIBRATION)
_ALONE = re.compile(r"(.+?\.(?:npy|npz|h5|hdf5))(?::(.+))?")


class OwnSource:
    """The arrays of one source.

    Args:
        folder: Of the mapping file.
        item: What the mapping says.
        number: Of the source, from 0.
        notes: Gets what had to be resolved.
        files: Gets SHA-256 by file name.

    Raises:
        BadConfig, BadInput: An array is missing or not what the mapping says.
    """

    def __init__(self, folder: Path, item: mapping.Source, number: int, notes: list[str],
                 files: dict[str, str]) -> None:
        self.where = str(folder / item.file) if item.file else f"source {number}"
        self._read = ArrayReader(folder, item.file, files)
        f_x, where = self._read(item.f_x)
        self.f_x = {TEST: features_of(f_x, where, notes)}
        self.f_x[CALIBRATION] = self.f_x[TEST]
        if item.f_x_calibration is not None:
            f_x, where = self._read(item.f_x_calibration)
            self.f_x[CALIBRATION] = features_of(f_x, where, notes)
            if self.f_x[CALIBRATION].shape != self.f_x[TEST].shape:
                raise BadInput(f"{where}: shape {list(f_x.shape)}, {item.f_x} has "
                               f"{list(self.f_x[TEST].shape)}")
        self.count = len(self.f_x[TEST])
        self.class_names, self.label = self._labels(item)
        self.identity = {name: self._identity(item, name) for name in IDENTITY}
        self.subset = self._subset(item)
        self.identity["subject"] = np.where(
            self.identity["subject"] < 0, -1, self.identity["subject"] + item.subject_offset
        ).astype(np.int16)
        self.sample_id = self._ids(item, number)
        self.logits = self._logits(item)

    def spread(self, phase: str, names: Sequence[str]) -> np.ndarray:
        """Logits in the columns of all sources' classes; NaN for other sources' classes."""
        assert self.logits is not None
        whole = np.full((self.count, len(names)), np.nan, np.float32)
        whole[:, [names.index(name) for name in self.class_names]] = self.logits[phase]
        return whole

    def _column(self, key: str) -> tuple[np.ndarray, str]:
        array, where = self._read(key)
        if array.ndim != 1 or len(array) != self.count:
            raise BadInput(f"{where}: shape {list(array.shape)}, f_x has {self.count} rows")
        return array, where

    def _labels(self, item: mapping.Source) -> tuple[list[str], np.ndarray]:
        label, where = self._column(item.label)
        names = item.class_names
        if isinstance(names, str):
            array, names_where = self._read(names)
            if array.ndim != 1 or array.dtype.kind != "U":
                raise BadInput(f"{names_where}: holds {array.dtype} of shape "
                               f"{list(array.shape)}, expected names, one a class")
            names = array.tolist()
        if not names:
            raise BadInput(f"{self.where}: class_names is empty")
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadInput(f"{self.where}: class_names holds {twice!r} more than once")
        if label.dtype.kind != "U":
            return names, labels_of(label, where, len(names))
        strange = sorted(set(label.tolist()) - set(names))
        if strange:
            raise BadInput(f"{where}: holds {strange[0]!r}, which is not in class_names; "
                           f"{nearest(strange[0], names)}")
        return names, np.array([names.index(name) for name in label.tolist()], np.int64)

    def _identity(self, item: mapping.Source, name: str) -> np.ndarray:
        key = getattr(item, name)
        if key is None:
            return np.full(self.count, -1, np.int16)
        array, where = self._column(key)
        if array.dtype.kind not in "iu" or array.min() < -1 or array.max() > 32000:
            raise BadInput(f"{where}: expected whole numbers from 0, -1 for unknown")
        return array.astype(np.int16)

    def _subset(self, item: mapping.Source) -> np.ndarray:
        if (item.subset is None) == (item.train_subjects is None):
            raise BadConfig(
                f"{self.where}: give either subset or train_subjects, which say what trains and "
                f'what tests; where all clips do the same, subset = "{TRAIN}", "{TEST}" or '
                f'"{CALIBRATION}"')
        if item.train_subjects is not None:
            if item.subject is None:
                raise BadConfig(f"{self.where}: train_subjects needs subject")
            subject = self.identity["subject"]
            strange = sorted(set(item.train_subjects) - set(subject.tolist()))
            if strange:
                raise BadInput(f"{self.where}: train_subjects names {strange[0]}, of whom there "
                               "are no clips")
            if (subject < 0).any():
                raise BadInput(f"{self.where}: {int((subject < 0).sum())} clips have no subject; "
                               "train_subjects needs that of every clip")
            return np.where(np.isin(subject, item.train_subjects), TRAIN, TEST)
        named = str(item.subset)
        if named in _SUBSETS and not self._read.holds(named, (self.count,)):
            return np.full(self.count, named)
        array, where = self._column(named)
        if array.dtype.kind == "b":
            return np.where(array, TRAIN, TEST)
        others = sorted({str(value) for value in array.tolist()} - set(_SUBSETS))
        if array.dtype.kind != "U" or others:
            raise BadInput(f"{where}: holds {others[0]!r}, expected {', '.join(_SUBSETS)} or "
                           "booleans")
        return array

    def _ids(self, item: mapping.Source, number: int) -> np.ndarray:
        if item.sample_id is not None:
            return self._column(item.sample_id)[0].astype(str)
        stem = Path(item.file).stem if item.file else f"source{number}"
        return np.array([f"{stem}/{row:06d}" for row in range(self.count)])

    def _logits(self, item: mapping.Source) -> dict[str, np.ndarray] | None:
        if item.logits is None:
            return None
        logits = {}
        for phase, key in ((TEST, item.logits), (CALIBRATION, item.logits_calibration)):
            array, where = self._read(key or item.logits)
            if array.shape != (self.count, len(self.class_names)):
                raise BadInput(f"{where}: shape {list(array.shape)}, expected "
                               f"[{self.count}, {len(self.class_names)}], a column a class")
            logits[phase] = array.astype(np.float32)
        return logits


class ArrayReader:
    """Reads arrays by what a mapping file calls them, and keeps digests.

    That is a name in ``file``, or ``x.npy``, ``x.npz:name`` or ``x.h5:path``.
    """

    def __init__(self, folder: Path, file: str | None, files: dict[str, str]) -> None:
        self._folder, self._file, self._files = folder, file, files

    def __call__(self, key: str) -> tuple[np.ndarray, str]:
        alone = _ALONE.fullmatch(key)
        if alone is None and self._file is None:
            raise BadConfig(
                f"{key!r} is an array of a file, but `file` is not given; give it, or call the "
                f'array by a file of its own, "{key}.npy", "FILE.npz:{key}" or "FILE.h5:{key}"')
        file, name = alone.groups() if alone is not None else (self._file, key)
        path = self._folder / str(file)
        array, where = load_array(path, name), f"{path}: {name}" if name else str(path)
        if path.name not in self._files:
            self._files[path.name] = digest_file(path)
        return array, where

    def holds(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether ``file`` has an array of that name and shape."""
        return self._file is not None and \
            array_shapes(self._folder / self._file).get(name) == shape
