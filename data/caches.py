"""The public contract of f_x and f_y: HDF5 files that say what they are.

``format_version`` grows when a reader of the older version would misunderstand
a file. See docs/caches.md for the layout and a five-line h5py example. Files are
guarded by a checksum (``zskel.data.common.checksums``); those of other makers need not be.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from zskel.data.cache_rules import (
    ARRAYS,
    CALIBRATION,
    IDENTITY,
    SUBSETS_OF_PHASE,
    TEST,
    TOKEN_ARRAYS,
    TRAIN,
    SkeletonFeatures,
    TextFeatures,
    check_same_classes,
    check_skeleton_features,
    check_text_features,
    require,
)
from zskel.data.common.checksums import DAMAGE, checksummed_hdf5, open_hdf5
from zskel.data.common.errors import BadCache
from zskel.data.common.files import atomic_path
from zskel.data.common.hdf5 import open_to_read
from zskel.data.common.limits import own_dataset, read_strings
from zskel.data.common.os_errors import raise_refusal

__all__ = [
    "ARRAYS", "CALIBRATION", "FORMAT_VERSION", "IDENTITY", "SKELETON_FORMAT", "SUBSETS_OF_PHASE",
    "TEST", "TEXT_FORMAT", "TOKEN_ARRAYS", "TRAIN", "SkeletonFeatures", "TextFeatures",
    "check_same_classes", "check_skeleton_features", "check_text_features", "read_decided",
    "read_skeleton_features", "read_text_features", "write_skeleton_features",
    "write_text_features",
]

SKELETON_FORMAT = "zsl-skeleton-features"
TEXT_FORMAT = "zsl-text-features"
FORMAT_VERSION = 1

_TEXT = h5py.string_dtype("utf-8")
#: Kind of values, dimensions and, but for strings, the type that is written.
_KINDS: dict[str, tuple[str, int | None, Any]] = {
    "f_x": ("f", None, np.float32), "logits": ("f", 2, np.float32), "label": ("i", 1, np.int64),
    **dict.fromkeys(("sample_id", "subset"), ("s", 1, None)),
    **dict.fromkeys(IDENTITY, ("i", 1, np.int16)),
}
_KIND_NAMES = {"f": "float", "i": "integer", "b": "bool"}
_STRINGS = ("dataset", "sample_protocol", "phase", "backbone", "weights_sha256", "created")
_JSON = ("preprocessing", "config", "software")
_TEXT_STRINGS = ("encoder", "encoder_revision", "text_source")


def write_skeleton_features(path: str | os.PathLike[str], features: SkeletonFeatures) -> None:
    """Checks the features and writes them atomically.

    Raises:
        BadCache: They break the contract; nothing is written.
    """
    if features.pooled:  # as it will be read: what is too large for a half is refused
        with np.errstate(over="ignore"):
            features = replace(features, f_x=features.f_x.astype(np.float16, copy=False))
    check_skeleton_features(features, "skeleton features to be written")
    with atomic_path(path) as temporary, checksummed_hdf5(temporary) as file:
        for name in ARRAYS:
            values, (*_, kind) = getattr(features, name), _KINDS[name]
            if name == "f_x" and features.pooled:
                file[name] = values
            elif kind is not None:
                file[name] = values.astype(kind, copy=False)
            else:
                file.create_dataset(name, data=[str(value) for value in values], dtype=_TEXT)
        attributes = file.attrs
        attributes["format"] = SKELETON_FORMAT
        attributes["format_version"] = FORMAT_VERSION
        for name in _STRINGS:
            attributes[name] = getattr(features, name)
        for name in _JSON:
            attributes[name] = json.dumps(getattr(features, name), sort_keys=True)
        if features.notices:
            attributes["notices"] = json.dumps([dict(notice) for notice in features.notices])
        if features.pooled:
            attributes["pooled"] = json.dumps(dict(features.pooled))
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
        if features.token_features is not None:
            file["token_features"] = features.token_features.astype(np.float16, copy=False)
            file["token_mask"] = features.token_mask
        file.attrs["format"] = TEXT_FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs.create("class_names", list(features.class_names), dtype=_TEXT)
        for name in _TEXT_STRINGS:
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
            name: _dataset(path, file, name, *_KINDS[name][:2]) for name in ARRAYS}
        strings: dict[str, Any] = {name: _string(path, file, name) for name in _STRINGS}
        values = {name: _parse_json(path, name, _string(path, file, name)) for name in _JSON}
        # Only where there is something to notice; older files have none.
        notices = _parse_json(path, "notices", str(file.attrs.get("notices", "[]")))
        pooled = _parse_json(path, "pooled", str(file.attrs.get("pooled", "{}")))
        features = SkeletonFeatures(
            **arrays,
            **strings,
            **values,
            notices=tuple(notices) if isinstance(notices, list) else notices,
            pooled=pooled,
            class_names=_names(path, file),
            seen_classes=_classes(path, file, "seen_classes"),
            unseen_classes=_classes(path, file, "unseen_classes"),
        )
    check_skeleton_features(features, str(path))
    return features


def read_decided(path: str | os.PathLike[str]) -> Any:
    """What a cache says that it was made from; its arrays are not read, nor its checksum.

    Raises:
        BadCache: The file is absent, or no cache.
    """
    if not Path(path).is_file():
        raise BadCache(f"{path}: no such file; `pipeline extract` writes it")
    try:
        with open_to_read(path) as file:
            return json.loads(file.attrs["config"])
    except DAMAGE as error:
        raise_refusal(error, path)
        raise BadCache(f"{path}: does not say what it was made from ({error})") from None


def read_text_features(path: str | os.PathLike[str]) -> TextFeatures:
    """Reads and checks a text feature cache.

    Raises:
        BadCache: The file is absent, damaged, or breaks the contract.
    """
    with _open(path, TEXT_FORMAT) as file:
        f_y = _dataset(path, file, "f_y", "f", 2)
        text = _dataset(path, file, "text", "s", None)
        strings: dict[str, Any] = {name: _string(path, file, name) for name in _TEXT_STRINGS}
        # Files of other makers need not say how they were configured, nor older ones with what.
        config, software = (_parse_json(path, name, str(file.attrs.get(name, "{}")))
                            for name in ("config", "software"))
        features = TextFeatures(f_y=f_y, text=text, class_names=_names(path, file), **strings,
                                config=config, software=software, **_tokens(path, file),
                                **_token_features(path, file))
    check_text_features(features, str(path))
    return features


@contextlib.contextmanager
def _open(path: str | os.PathLike[str], expected: str) -> Iterator[h5py.File]:
    if not Path(path).is_file():
        raise BadCache(f"{path}: no such file; `pipeline extract` writes it")
    with open_hdf5(path) as file:
        found = _string(path, file, "format")
        require(found == expected, str(path), f"format is {found!r}, expected {expected!r}")
        version = file.attrs.get("format_version")
        require(version is not None and int(version) == FORMAT_VERSION, str(path),
                 f"format_version is {version}, this release reads {FORMAT_VERSION}")
        yield file


def _dataset(path: Any, file: h5py.File, name: str, kind: str, dims: int | None) -> np.ndarray:
    item = own_dataset(file, name, path)
    if item is None:
        raise BadCache(f"{path}: dataset /{name} is missing")
    require(dims is None or item.ndim == dims, str(path),
             f"/{name} has {item.ndim} dimensions, expected {dims}")
    try:
        if kind == "s":
            require(h5py.check_string_dtype(item.dtype) is not None, str(path),
                     f"/{name} is {item.dtype}, expected UTF-8 strings")
            return read_strings(item, name, path)
        require(item.dtype.kind == kind, str(path),
                 f"/{name} is {item.dtype}, expected {_KIND_NAMES[kind]}")
        return item[()]
    except (OSError, UnicodeDecodeError) as error:
        raise_refusal(error, path)
        raise BadCache(f"{path}: /{name} cannot be read ({error})") from None


def _attribute(path: Any, file: h5py.File, name: str) -> Any:
    require(name in file.attrs, str(path), f"attribute {name!r} is missing")
    return file.attrs[name]


def _string(path: Any, file: h5py.File, name: str) -> str:
    value = _attribute(path, file, name)
    require(isinstance(value, str), str(path), f"attribute {name!r} is not a string")
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


def _token_features(path: Any, file: h5py.File) -> dict[str, Any]:
    """Only where they were asked for."""
    return {name: _dataset(path, file, name, *kind)
            for name, kind in zip(TOKEN_ARRAYS, (("f", 3), ("b", 2))) if name in file}


def _classes(path: Any, file: h5py.File, name: str) -> tuple[int, ...]:
    values = np.atleast_1d(_attribute(path, file, name))
    require(values.dtype.kind in "iu", str(path), f"attribute {name!r} is not a list of integers")
    return tuple(int(value) for value in values)
