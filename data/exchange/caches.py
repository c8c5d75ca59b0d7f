"""What an import gives, and cache attributes as one JSON value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.caches import ARRAYS, TOKEN_ARRAYS, SkeletonFeatures, TextFeatures
from zskel.data.common.errors import BadInput

#: For attributes that an import cannot know.
UNKNOWN_NAME = "unknown"


@dataclass(frozen=True)
class Imported:
    """Caches of both phases, and how every doubt about them was resolved.

    Attributes:
        test, calibration: The skeleton features of the two phases.
        text: f_y, or None where the source has none.
        text_parts: Further text features by name, such as "verb".
        views: Feature views of the two phases by what their files are called.
        split: Name of the class split.
        notes: One sentence for each thing that had to be resolved or that one
            should know before believing a number.
    """

    test: SkeletonFeatures
    calibration: SkeletonFeatures
    text: TextFeatures | None
    text_parts: Mapping[str, TextFeatures] = field(default_factory=dict)
    split: str = "imported"
    notes: tuple[str, ...] = ()
    views: Mapping[str, tuple[SkeletonFeatures, SkeletonFeatures]] = field(default_factory=dict)


def skeleton_arrays(features: SkeletonFeatures) -> dict[str, np.ndarray]:
    """The arrays of a skeleton cache by name."""
    return {name: np.asarray(getattr(features, name)) for name in ARRAYS}


def skeleton_attributes(features: SkeletonFeatures) -> dict[str, Any]:
    """Everything else of a skeleton cache, as JSON."""
    aside = ARRAYS if features.pooled else (*ARRAYS, "pooled")
    return {item.name: _plain(getattr(features, item.name))
            for item in fields(features) if item.name not in aside}


def skeleton_of(arrays: Mapping[str, np.ndarray], attributes: Mapping[str, Any],
                where: str) -> SkeletonFeatures:
    """The inverse of the two.

    Raises:
        BadInput: Something is missing.
    """
    lists = {name: tuple(attributes.get(name, ())) for name in
             ("class_names", "seen_classes", "unseen_classes", "notices")}
    try:
        kept: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
        return SkeletonFeatures(**kept, **{**attributes, **lists})
    except (KeyError, TypeError) as error:
        raise BadInput(f"{where}: not what `pipeline export` writes ({error})") from None


def text_attributes(features: TextFeatures) -> dict[str, Any]:
    """Everything of a text cache but its features, as JSON."""
    left_out = () if features.tokens is not None else ("tokens", "token_limit")
    return {item.name: _plain(getattr(features, item.name)) for item in fields(features)
            if item.name not in ("f_y", *TOKEN_ARRAYS, *left_out)}


def text_arrays(features: TextFeatures) -> dict[str, np.ndarray]:
    """The features of a text cache: f_y, and those of tokens where it has them."""
    found = {name: getattr(features, name) for name in ("f_y", *TOKEN_ARRAYS)}
    return {name: array for name, array in found.items() if array is not None}


def text_of(
    arrays: Mapping[str, np.ndarray], attributes: Mapping[str, Any], where: str
) -> TextFeatures:
    """The inverse.

    Raises:
        BadInput: Something is missing.
    """
    try:
        kept = {**attributes, "text": np.asarray(attributes["text"]),
                "class_names": tuple(attributes["class_names"])}
        if "tokens" in kept:
            kept |= {"tokens": np.asarray(kept["tokens"], np.int32),
                     "token_limit": tuple(kept["token_limit"])}
        kept |= {name: arrays[name] for name in TOKEN_ARRAYS if name in arrays}
        return TextFeatures(f_y=arrays["f_y"], **kept)
    except (KeyError, TypeError) as error:
        raise BadInput(f"{where}: not what `pipeline export` writes ({error})") from None


def json_array(value: Any) -> np.ndarray:
    """A JSON value as an array that an .npz file can hold."""
    return np.asarray(json.dumps(value, sort_keys=True, ensure_ascii=False))


def json_of(array: np.ndarray, path: Path) -> Any:
    """The inverse.

    Raises:
        BadInput: Not JSON.
    """
    try:
        return json.loads(str(array))
    except ValueError as error:
        raise BadInput(f"{path}: not what `pipeline export` writes ({error})") from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [item.item() if isinstance(item, np.generic) else item for item in value]
    return dict(value) if isinstance(value, Mapping) else value
