"""One plain .npz file a phase, one for each set of text features: everything, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from zskel.data.caches import (
    CALIBRATION,
    TEST,
    TOKEN_ARRAYS,
    SkeletonFeatures,
    TextFeatures,
    check_skeleton_features,
    check_text_features,
)
from zskel.data.common.errors import BadInput
from zskel.data.exchange.arrays import load_npz, require_new, save_npz
from zskel.data.exchange.caches import (
    Imported,
    json_array,
    json_of,
    skeleton_arrays,
    skeleton_attributes,
    skeleton_of,
    text_arrays,
    text_attributes,
    text_of,
)

FORMAT = "zsl-npz-1"

Views = Mapping[str, tuple[SkeletonFeatures, SkeletonFeatures]]


def export_npz(
    folder: Path, test: SkeletonFeatures, calibration: SkeletonFeatures,
    texts: Mapping[str, TextFeatures], force: bool = False, views: Views = MappingProxyType({}),
) -> list[Path]:
    """Writes ``skeleton_<phase>.npz`` for both phases, ``text.npz`` and ``text_<part>.npz``.

    Feature views are ``skeleton_<phase>_<view>.npz``.

    The arrays have the names and types of the HDF5 caches; ``attributes`` is a
    string of JSON with the rest.

    Args:
        folder: Where they go.
        test, calibration: The skeleton features of the two phases.
        texts: "" -> f_y, and part -> f_y of that part.
        force: Replace files that are there.
        views: Feature views by what their files are called.

    Returns:
        The files.

    Raises:
        BadInput: A file is there already.
    """
    files = {}
    for view, features in [("", test), ("", calibration),
                           *((view, each) for view, both in views.items() for each in both)]:
        name = "_".join(filter(None, ("skeleton", features.phase, view)))
        files[folder / f"{name}.npz"] = {
            **skeleton_arrays(features),
            "attributes": json_array({"format": FORMAT, **skeleton_attributes(features)}),
        }
    for part, text in texts.items():
        files[folder / f"{'_'.join(filter(None, ('text', part)))}.npz"] = {
            **text_arrays(text),
            "attributes": json_array({"format": FORMAT, **text_attributes(text)}),
        }
    require_new(files, force)
    for path, arrays in files.items():
        save_npz(path, arrays)
    return list(files)


def import_npz(folder: Path) -> Imported:
    """Reads what ``export_npz`` wrote.

    Raises:
        BadInput: A file is missing, damaged or not of this format.
        BadCache: A file breaks the contract of the caches.
    """
    phases = {phase: _skeleton(folder / f"skeleton_{phase}.npz", phase)
              for phase in (TEST, CALIBRATION)}
    parts = {path.stem.removeprefix("text_"): _text(path)
             for path in sorted(folder.glob("text_*.npz"))}
    text = _text(folder / "text.npz") if (folder / "text.npz").exists() or not parts else None
    views = {path.stem.removeprefix(f"skeleton_{TEST}_"): path
             for path in sorted(folder.glob(f"skeleton_{TEST}_*.npz"))}
    of_views = {view: (_skeleton(path, TEST), _skeleton(
        folder / f"skeleton_{CALIBRATION}_{view}.npz", CALIBRATION))
        for view, path in views.items()}
    config = phases[TEST].config
    split = config.get("split", "imported") if isinstance(config, dict) else "imported"
    return Imported(phases[TEST], phases[CALIBRATION], text, parts, str(split),
                    views=of_views)


def _skeleton(path: Path, phase: str) -> SkeletonFeatures:
    arrays = load_npz(path)
    attributes = _attributes(arrays, path)
    features = skeleton_of(arrays, attributes, str(path))
    check_skeleton_features(features, str(path))
    if features.phase != phase:
        raise BadInput(f"{path}: holds the {features.phase} phase; are the files swapped?")
    return features


def _text(path: Path) -> TextFeatures:
    arrays = load_npz(path, ("f_y", "attributes"), TOKEN_ARRAYS)
    text = text_of(arrays, _attributes(arrays, path), str(path))
    check_text_features(text, str(path))
    return text


def _attributes(arrays: Mapping[str, np.ndarray], path: Path) -> dict[str, Any]:
    if "attributes" not in arrays:
        raise BadInput(f"{path}: holds no array 'attributes'; to import arrays of your own, "
                       "write a mapping file (docs/exchange.md)")
    attributes = json_of(arrays["attributes"], path)
    if not isinstance(attributes, dict) or attributes.pop("format", None) != FORMAT:
        raise BadInput(f"{path}: attributes do not name the format {FORMAT!r}")
    return attributes
