"""The one file beside an exported SynSE folder that makes the export reversible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.caches import (
    CALIBRATION,
    IDENTITY,
    TEST,
    TRAIN,
    SkeletonFeatures,
    TextFeatures,
    check_skeleton_features,
    check_text_features,
)
from zskel.data.common.errors import BadInput
from zskel.data.common.files import digest_file
from zskel.data.exchange.arrays import load_npy, load_npz, save_npz
from zskel.data.exchange.caches import (
    Imported,
    json_array,
    json_of,
    skeleton_attributes,
    skeleton_of,
    text_attributes,
    text_of,
)
from zskel.data.exchange.layouts import SECTIONS

FOLDER = "zsl_export"
FORMAT = "zsl-synse-sidecar-1"
_HELD_OUT = {TEST: ("gtest",), CALIBRATION: ("ztest", "val")}


@dataclass(frozen=True)
class Written:
    """Where an export has put what.

    Attributes:
        rows: (phase, section) -> rows of the cache.
        digests: File below the folder -> SHA-256.
        text_paths: Part -> file of its features.
        directories: Phase -> directory of its features.
    """

    rows: Mapping[tuple[str, str], np.ndarray]
    digests: Mapping[str, str]
    text_paths: Mapping[str, str]
    directories: Mapping[str, str]


def write_sidecar(
    folder: Path, stem: str, test: SkeletonFeatures, calibration: SkeletonFeatures,
    texts: Mapping[str, TextFeatures], written: Written,
) -> Path:
    """Writes what the lineage has no place for, and the digest of every file.

    Args:
        folder: The exported folder.
        stem: Of the file's name.
        test, calibration, texts: What was exported.
        written: Where.
    """
    rows = written.rows
    arrays: dict[str, np.ndarray] = {}
    for features in (test, calibration):
        phase = features.phase
        for section in (TRAIN, *_HELD_OUT[phase]):
            arrays[f"{phase}/rows_{section}"] = rows[phase, section]
        arrays[f"{phase}/train_logits"] = features.logits[rows[phase, TRAIN]]
        for name in ("sample_id", *IDENTITY):
            arrays[f"{phase}/{name}"] = np.asarray(getattr(features, name))
    arrays["content"] = json_array({
        "format": FORMAT, "files": dict(written.digests), "texts": {
            part: {"file": written.text_paths[part], "attributes": text_attributes(text)}
            for part, text in texts.items()
        },
        "phases": {features.phase: {
            "directory": written.directories[features.phase],
            "attributes": skeleton_attributes(features),
        } for features in (test, calibration)},
    })
    path = folder / FOLDER / f"{stem}.npz"
    save_npz(path, arrays)
    return path


def sidecars(folder: Path) -> list[Path]:
    """The files of this kind in a folder."""
    return sorted((folder / FOLDER).glob("*.npz"))


def read_with_sidecar(folder: Path, path: Path) -> Imported:
    """The caches as they were exported.

    Raises:
        BadInput: A file is missing or not the one that was exported.
    """
    arrays = load_npz(path)
    content = json_of(arrays.get("content", np.asarray("")), path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadInput(f"{path}: not a file of `pipeline export`; delete it to import the folder "
                       "as it stands")
    for name, digest in content["files"].items():
        if not (folder / name).is_file():
            raise BadInput(f"{folder / name}: no such file, but {path} says it was exported")
        if digest_file(folder / name) != digest:
            load_npy(folder / name)  # Says what is wrong with a damaged file.
            raise BadInput(f"{folder / name}: not the file that was exported; delete {path} to "
                           "import the folder as it stands")
    phases = {phase: _phase(folder, path, phase, content["phases"][phase], arrays)
              for phase in (TEST, CALIBRATION)}
    texts = {}
    for part, item in content["texts"].items():
        texts[part] = text_of(load_npy(folder / item["file"]), item["attributes"], str(path))
        check_text_features(texts[part], str(folder / item["file"]))
    config = phases[TEST].config
    split = config.get("split", "imported") if isinstance(config, dict) else "imported"
    return Imported(phases[TEST], phases[CALIBRATION], texts.pop("", None), texts, str(split))


def _phase(
    folder: Path, path: Path, phase: str, item: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> SkeletonFeatures:
    directory, attributes = folder / item["directory"], item["attributes"]
    seen = list(attributes["seen_classes"])
    labels = {data: label for data, label, _ in SECTIONS[phase]}
    try:
        taken = {section: arrays[f"{phase}/rows_{section}"]
                 for section in (TRAIN, *_HELD_OUT[phase])}
        own = {name: arrays[f"{phase}/{name}"] for name in ("sample_id", *IDENTITY)}
        train_logits = arrays[f"{phase}/train_logits"]
    except KeyError as error:
        raise BadInput(f"{path}: holds no array {error}; export again") from None
    count = len(own["sample_id"])
    first = load_npy(directory / f"{TRAIN}.npy")
    f_x = np.empty((count, first.shape[1]), np.float32)
    logits = np.empty((count, len(seen)), np.float32)
    label = np.empty(count, np.int64)
    subset = np.full(count, phase, dtype=f"<U{max(len(phase), len(TRAIN))}")
    subset[taken[TRAIN]] = TRAIN
    for section, rows in taken.items():
        f_x[rows] = load_npy(directory / f"{section}.npy")
        label[rows] = load_npy(directory / f"{labels[section]}.npy")
        logits[rows] = (train_logits if section == TRAIN else
                        load_npy(directory / f"{section}_out.npy")[:, seen])
    features = skeleton_of(
        {"f_x": f_x, "logits": logits, "label": label, "subset": subset, **own},
        attributes, str(path),
    )
    check_skeleton_features(features, str(directory))
    return features
