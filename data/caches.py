"""The public contract of f_x and f_y: HDF5 files that say what they are.

``format_version`` grows when a reader of the older version would misunderstand
a file. See docs/caches.md for the layout and a five-line h5py example. Files are
guarded by a checksum (``zskel.data.common.checksums``); those of other makers need not be.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from zskel.data.common.checksums import checksummed_hdf5, open_hdf5
from zskel.data.common.errors import BadCache
from zskel.data.common.files import atomic_path
from zskel.data.common.limits import own_dataset, read_strings
from zskel.data.common.os_errors import raise_refusal

SKELETON_FORMAT = "zsl-skeleton-features"
TEXT_FORMAT = "zsl-text-features"
FORMAT_VERSION = 1

TRAIN, TEST, CALIBRATION = "train", "test", "calibration"
#: Which subsets a file of each phase holds.
SUBSETS_OF_PHASE: Mapping[str, tuple[str, str]] = {
    TEST: (TRAIN, TEST),
    CALIBRATION: (TRAIN, CALIBRATION),
}
IDENTITY = ("subject", "camera", "setup", "replication")


@dataclass(frozen=True)
class SkeletonFeatures:
    """Skeleton features f_x of one phase, with everything needed to trust them.

    Attributes:
        f_x: Float32 ``[N, D]``.
        logits: Float32 ``[N, S]``; column j belongs to ``seen_classes[j]``.
        label: Int64 ``[N]``, index into ``class_names``.
        sample_id: ``[N]`` strings, unique.
        subset: ``[N]`` strings: "train" and "test", or "train" and "calibration".
        subject, camera, setup, replication: Int16 ``[N]``, -1 unknown.
        phase: "test" or "calibration".
        class_names: All classes of the data set, ``[C]``.
        seen_classes: Class indices the backbone was trained on, ascending.
        unseen_classes: Class indices held out from it: the unseen classes in
            the test phase, the validation-unseen ones in the calibration phase.
        backbone, weights_sha256: What computed f_x.
        preprocessing, config, software: JSON values.
        created: ISO 8601 time.
        notices: What looked wrong with the clips' coordinates (``zskel.data.plausibility``)
            or with how they were drawn, each with "code" and "text".
    """

    f_x: np.ndarray
    logits: np.ndarray
    label: np.ndarray
    sample_id: np.ndarray
    subset: np.ndarray
    subject: np.ndarray
    camera: np.ndarray
    setup: np.ndarray
    replication: np.ndarray
    dataset: str
    sample_protocol: str
    phase: str
    class_names: tuple[str, ...]
    seen_classes: tuple[int, ...]
    unseen_classes: tuple[int, ...]
    backbone: str
    weights_sha256: str
    preprocessing: Any = field(default_factory=dict)
    config: Any = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    notices: tuple[Mapping[str, str], ...] = ()

    def rows(self, subset: str) -> np.ndarray:
        """Indices of the rows of one subset."""
        return np.flatnonzero(self.subset == subset)


@dataclass(frozen=True)
class TextFeatures:
    """Text features f_y, one row a class.

    Attributes:
        f_y: Float32 ``[C, D]``.
        text: The strings that were embedded, ``[C]`` or ``[C, K]``.
        class_names: ``[C]``.
        encoder, encoder_revision: What computed f_y.
        text_source: "label", "description", ...
        config: JSON value: what the encoder and the source were made with.
        software: Versions and machine, where they are known.
        tokens: Int32 like ``text``: the length of each text in tokens of the encoder,
            before it cuts; -1 unknown. None: not counted.
        token_limit: How many of them the encoder reads, for each of the K texts of a
            class; -1 unknown.
    """

    f_y: np.ndarray
    text: np.ndarray
    class_names: tuple[str, ...]
    encoder: str
    encoder_revision: str
    text_source: str
    config: Any = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)
    tokens: np.ndarray | None = None
    token_limit: tuple[int, ...] = ()


_TEXT = h5py.string_dtype("utf-8")
_SKELETON_DATASETS = {
    "f_x": ("f", 2), "logits": ("f", 2), "label": ("i", 1), "sample_id": ("s", 1),
    "subset": ("s", 1), **dict.fromkeys(IDENTITY, ("i", 1)),
}
_SKELETON_STRINGS = (
    "format", "dataset", "sample_protocol", "phase", "backbone", "weights_sha256",
    "preprocessing", "config", "software", "created",
)
_SKELETON_LISTS = ("class_names", "seen_classes", "unseen_classes")
_TEXT_STRINGS = ("format", "encoder", "encoder_revision", "text_source")


def write_skeleton_features(path: str | os.PathLike[str], features: SkeletonFeatures) -> None:
    """Checks the features and writes them atomically.

    Raises:
        BadCache: They break the contract; nothing is written.
    """
    check_skeleton_features(features, "skeleton features to be written")
    with atomic_path(path) as temporary, checksummed_hdf5(temporary) as file:
        file["f_x"] = features.f_x.astype(np.float32, copy=False)
        file["logits"] = features.logits.astype(np.float32, copy=False)
        file["label"] = features.label.astype(np.int64, copy=False)
        for name in ("sample_id", "subset"):
            file.create_dataset(name, data=[str(v) for v in getattr(features, name)], dtype=_TEXT)
        for name in IDENTITY:
            file[name] = getattr(features, name).astype(np.int16, copy=False)
        attributes = file.attrs
        attributes["format"] = SKELETON_FORMAT
        attributes["format_version"] = FORMAT_VERSION
        for name in (
            "dataset", "sample_protocol", "phase", "backbone", "weights_sha256", "created",
        ):
            attributes[name] = getattr(features, name)
        for name in ("preprocessing", "config", "software"):
            attributes[name] = json.dumps(getattr(features, name), sort_keys=True)
        if features.notices:
            attributes["notices"] = json.dumps([dict(notice) for notice in features.notices])
        attributes.create("class_names", list(features.class_names), dtype=_TEXT)
        attributes["seen_classes"] = np.asarray(features.seen_classes, np.int64)
        attributes["unseen_classes"] = np.asarray(features.unseen_classes, np.int64)


def write_text_features(path: str | os.PathLike[str], features: TextFeatures) -> None:
    """Checks the features and writes them atomically.

    Raises:
        BadCache: They break the contract; nothing is written.
    """
    check_text_features(features, "text features to be written")
    with atomic_path(path) as temporary, checksummed_hdf5(temporary) as file:
        file["f_y"] = features.f_y.astype(np.float32, copy=False)
        file.create_dataset("text", data=np.asarray(features.text, dtype=object), dtype=_TEXT)
        file.attrs["format"] = TEXT_FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs.create("class_names", list(features.class_names), dtype=_TEXT)
        for name in ("encoder", "encoder_revision", "text_source"):
            file.attrs[name] = getattr(features, name)
        file.attrs["config"] = json.dumps(features.config, sort_keys=True)
        if features.tokens is not None:
            file.attrs["tokens"] = json.dumps(features.tokens.tolist())
            file.attrs["token_limit"] = json.dumps(list(features.token_limit))
        if features.software:
            file.attrs["software"] = json.dumps(dict(features.software), sort_keys=True)


def read_skeleton_features(path: str | os.PathLike[str]) -> SkeletonFeatures:
    """Reads and checks a skeleton feature cache.

    Raises:
        BadCache: The file is absent, damaged, or breaks the contract.
    """
    with _open(path, SKELETON_FORMAT) as file:
        arrays: dict[str, Any] = {
            name: _dataset(path, file, name, *kind) for name, kind in _SKELETON_DATASETS.items()}
        strings: dict[str, Any] = {name: _string(path, file, name) for name in _SKELETON_STRINGS}
        values = {name: _parse_json(path, name, strings.pop(name))
                  for name in ("preprocessing", "config", "software")}
        strings.pop("format")
        # Only where there is something to notice; older files have none.
        notices = _parse_json(path, "notices", str(file.attrs.get("notices", "[]")))
        features = SkeletonFeatures(
            **arrays,
            **strings,
            **values,
            notices=tuple(notices) if isinstance(notices, list) else notices,
            class_names=_names(path, file),
            seen_classes=_classes(path, file, "seen_classes"),
            unseen_classes=_classes(path, file, "unseen_classes"),
        )
    check_skeleton_features(features, str(path))
    return features


def read_text_features(path: str | os.PathLike[str]) -> TextFeatures:
    """Reads and checks a text feature cache.

    Raises:
        BadCache: The file is absent, damaged, or breaks the contract.
    """
    with _open(path, TEXT_FORMAT) as file:
        f_y = _dataset(path, file, "f_y", "f", 2)
        text = _dataset(path, file, "text", "s", None)
        strings: dict[str, Any] = {name: _string(path, file, name) for name in _TEXT_STRINGS}
        strings.pop("format")
        # Files of other makers need not say how they were configured, nor older ones with what.
        config, software = (_parse_json(path, name, str(file.attrs.get(name, "{}")))
                            for name in ("config", "software"))
        features = TextFeatures(f_y=f_y, text=text, class_names=_names(path, file), **strings,
                                config=config, software=software, **_tokens(path, file))
    check_text_features(features, str(path))
    return features


def check_skeleton_features(features: SkeletonFeatures, where: str) -> None:
    """Checks shapes, values and the seen/unseen rules.

    Args:
        features: What to check.
        where: Named at the start of the error message.

    Raises:
        BadCache: With the first broken rule.
    """
    count = len(features.label)
    for name in _SKELETON_DATASETS:
        length = len(getattr(features, name))
        _require(length == count, where, f"/{name} has {length} rows, /label has {count}")
    _require(count > 0, where, "holds no samples")
    _require(features.f_x.shape[1] > 0, where, "/f_x has no columns")
    for name in ("f_x", "logits"):
        _require_finite(getattr(features, name), where, name)
    classes = len(features.class_names)
    _require(classes > 0, where, "class_names is empty")
    bad = np.flatnonzero((features.label < 0) | (features.label >= classes))
    _require(len(bad) == 0, where,
             lambda: f"/label[{bad[0]}] is {features.label[bad[0]]}, "
                     f"class_names has {classes} names")
    _require(len(set(features.sample_id.tolist())) == count, where, "/sample_id has duplicates")
    _require(features.phase in SUBSETS_OF_PHASE, where,
             f"phase is {features.phase!r}, expected one of {sorted(SUBSETS_OF_PHASE)}")
    expected = SUBSETS_OF_PHASE[features.phase]
    strange = sorted(set(features.subset.tolist()) - set(expected))
    _require(not strange, where,
             f"/subset holds {strange[:3]}, "
             f"a {features.phase}-phase file has only {list(expected)}")
    _require(isinstance(features.notices, tuple) and all(map(_is_notice, features.notices)), where,
             "attribute 'notices' is not a list of objects with texts 'code' and 'text'")
    _check_class_lists(features, where)
    columns = features.logits.shape[1]
    _require(columns == len(features.seen_classes), where,
             f"/logits has {columns} columns, "
             f"seen_classes has {len(features.seen_classes)} classes")
    allowed = {subset: set(features.seen_classes) for subset in (TRAIN,)}
    if features.phase == CALIBRATION:
        allowed[CALIBRATION] = set(features.seen_classes) | set(features.unseen_classes)
    for subset, classes_allowed in allowed.items():
        found = set(features.label[features.rows(subset)].tolist()) - classes_allowed
        _require(not found, where, lambda: (
            f"subset {subset!r} holds class {min(found)} "
            f"({features.class_names[min(found)]!r}), which is "
            f"{'unseen' if min(found) in features.unseen_classes else 'neither seen nor unseen'}"))


def check_text_features(features: TextFeatures, where: str) -> None:
    """Checks shapes and values.

    Raises:
        BadCache: With the first broken rule.
    """
    classes = len(features.class_names)
    _require(classes > 0, where, "class_names is empty")
    _require(features.f_y.ndim == 2 and features.f_y.shape[1] > 0, where,
             f"/f_y has shape {features.f_y.shape}, expected [C, D]")
    _require(len(features.f_y) == classes, where,
             f"/f_y has {len(features.f_y)} rows, class_names has {classes} names")
    _require(features.text.ndim in (1, 2) and len(features.text) == classes, where,
             f"/text has shape {features.text.shape}, expected [{classes}] or [{classes}, K]")
    _require_finite(features.f_y, where, "f_y")
    if features.tokens is not None:
        _require(features.tokens.shape == features.text.shape, where,
                 f"tokens has shape {features.tokens.shape}, /text has {features.text.shape}")
        each = features.text.size // classes
        _require(len(features.token_limit) == each, where,
                 f"token_limit has {len(features.token_limit)} values, expected {each}")
    empty = [name for name, row in zip(features.class_names, features.text.reshape(classes, -1))
             if not any(str(text).strip() for text in row)]
    _require(not empty, where, lambda: f"class {empty[0]!r} has no text")


def check_same_classes(
    skeleton: SkeletonFeatures, other: SkeletonFeatures | TextFeatures, where: str
) -> None:
    """Checks that two caches speak of the same classes in the same order.

    Raises:
        BadCache: With the first difference.
    """
    ours, theirs = skeleton.class_names, other.class_names
    _require(len(ours) == len(theirs), where,
             f"has {len(theirs)} classes, the skeleton cache has {len(ours)}")
    for index, (a, b) in enumerate(zip(ours, theirs)):
        _require(a == b, where, f"class {index} is {b!r}, in the skeleton cache {a!r}")


def _is_notice(value: Any) -> bool:
    return isinstance(value, Mapping) and {"code", "text"} <= set(value) and all(
        isinstance(each, str) for each in value.values())


def _check_class_lists(features: SkeletonFeatures, where: str) -> None:
    for name in ("seen_classes", "unseen_classes"):
        classes: Sequence[int] = getattr(features, name)
        _require(len(classes) > 0, where, f"{name} is empty")
        _require(list(classes) == sorted(set(classes)), where,
                 f"{name} is not ascending and unique")
        _require(0 <= min(classes) and max(classes) < len(features.class_names), where,
                 f"{name} holds {max(classes)}, class_names has {len(features.class_names)} names")
    both = set(features.seen_classes) & set(features.unseen_classes)
    _require(not both, where, lambda: f"class {min(both)} is both seen and unseen")


def _require(condition: bool, where: str, problem: Any) -> None:
    if not condition:
        raise BadCache(f"{where}: {problem() if callable(problem) else problem}")


def _require_finite(array: np.ndarray, where: str, name: str) -> None:
    finite = np.isfinite(array)
    _require(bool(finite.all()), where, lambda: (
        f"/{name} holds {int((~finite).sum())} non-finite values, the first in row "
        f"{int(np.argwhere(~finite)[0][0])}"))


@contextlib.contextmanager
def _open(path: str | os.PathLike[str], expected: str) -> Iterator[h5py.File]:
    if not Path(path).is_file():
        raise BadCache(f"{path}: no such file; `pipeline extract` writes it")
    with open_hdf5(path) as file:
        found = _string(path, file, "format")
        _require(found == expected, str(path), f"format is {found!r}, expected {expected!r}")
        version = file.attrs.get("format_version")
        _require(version is not None and int(version) == FORMAT_VERSION, str(path),
                 f"format_version is {version}, this release reads {FORMAT_VERSION}")
        yield file


def _dataset(path: Any, file: h5py.File, name: str, kind: str, dims: int | None) -> np.ndarray:
    item = own_dataset(file, name, path)
    if item is None:
        raise BadCache(f"{path}: dataset /{name} is missing")
    _require(dims is None or item.ndim == dims, str(path),
             f"/{name} has {item.ndim} dimensions, expected {dims}")
    try:
        if kind == "s":
            _require(h5py.check_string_dtype(item.dtype) is not None, str(path),
                     f"/{name} is {item.dtype}, expected UTF-8 strings")
            return read_strings(item, name, path)
        _require(item.dtype.kind == kind, str(path),
                 f"/{name} is {item.dtype}, expected {'float' if kind == 'f' else 'integer'}")
        return item[()]
    except (OSError, UnicodeDecodeError) as error:
        raise_refusal(error, path)
        raise BadCache(f"{path}: /{name} cannot be read ({error})") from None


def _attribute(path: Any, file: h5py.File, name: str) -> Any:
    _require(name in file.attrs, str(path), f"attribute {name!r} is missing")
    return file.attrs[name]


def _string(path: Any, file: h5py.File, name: str) -> str:
    value = _attribute(path, file, name)
    _require(isinstance(value, str), str(path), f"attribute {name!r} is not a string")
    return value


def _parse_json(path: Any, name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BadCache(f"{path}: attribute {name!r} is not JSON ({error})") from None


def _names(path: Any, file: h5py.File) -> tuple[str, ...]:
    return tuple(str(name) for name in np.atleast_1d(_attribute(path, file, "class_names")))


def _tokens(path: Any, file: h5py.File) -> dict[str, Any]:
    """What files of other makers and of older releases need not have."""
    if "tokens" not in file.attrs:
        return {}
    tokens, limit = (_parse_json(path, name, _string(path, file, name))
                     for name in ("tokens", "token_limit"))
    return {"tokens": np.asarray(tokens, np.int32), "token_limit": tuple(limit)}


def _classes(path: Any, file: h5py.File, name: str) -> tuple[int, ...]:
    values = np.atleast_1d(_attribute(path, file, name))
    _require(values.dtype.kind in "iu", str(path), f"attribute {name!r} is not a list of integers")
    return tuple(int(value) for value in values)
