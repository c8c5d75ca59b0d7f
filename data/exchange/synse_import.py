"""Directories of the SynSE lineage to caches; every doubt is resolved and told."""

from __future__ import annotations

from collections.abc import Sequence
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
from zskel.data.exchange.arrays import features_of, labels_of, load_npy, require_finite
from zskel.data.exchange.caches import UNKNOWN_NAME, Imported
from zskel.data.exchange.layouts import SECTIONS
from zskel.data.exchange.synse_checks import (
    Section,
    check_calibration,
    check_test,
    compare_phases,
)
from zskel.data.exchange.synse_find import Found, Given, encoder_name, find
from zskel.data.exchange.synse_splits import LabelSplits, read_label_splits


def import_synse(
    folder: Path, dataset: str, class_names: Sequence[str], given: Given = Given(),  # noqa: B008  (frozen)
    without_logits: bool = False,
) -> Imported:
    """Reads both phases, label splits and text features.

    Args:
        folder: The download; see ``synse_find.find``.
        dataset: Our name of the data set.
        class_names: In label order.
        given: Directories and files that need not be looked for.
        without_logits: Take a folder without ``_out`` files.

    Raises:
        BadInput: A file is missing, damaged, swapped or disagrees with another;
            the message names it.
    """
    notes: list[str] = []
    names = tuple(class_names)
    found = find(folder, dataset, len(names), given)
    splits = read_label_splits(found.splits, len(names), found.unseen, notes)
    test = _read(found.test, TEST, splits, notes, without_logits)
    calibration = _read(found.calibration, CALIBRATION, splits, notes, without_logits)
    check_test(test, splits, notes)
    check_calibration(calibration, splits, notes)
    compare_phases(test, calibration, notes)
    notes.append("sample ids are made up from file and row, subjects, cameras and setups are "
                 "unknown (-1)")
    texts = {part: _text(path, names, encoder_name(path, found.test), notes)
             for part, path in found.texts.items()}
    config = {"imported": "synse", "files": _digests(found), "notes": list(notes)}
    return Imported(
        test=_cache(test, TEST, splits, dataset, names, config),
        calibration=_cache(calibration, CALIBRATION, splits, dataset, names, config),
        text=texts.pop("", None), text_parts=texts,
        split=f"{len(splits.seen)}-{len(splits.unseen)}", notes=tuple(notes),
    )


def _read(
    directory: Path, phase: str, splits: LabelSplits, notes: list[str], without_logits: bool
) -> dict[str, Section]:
    classes = len(splits.seen) + len(splits.unseen)
    seen = splits.seen if phase == TEST else splits.validation_seen
    order = splits.seen_order if phase == TEST else splits.validation_seen_order
    sections: dict[str, Section] = {}
    other = {TEST: "val.npy", CALIBRATION: "gtest.npy"}[phase]
    own = {TEST: "gtest.npy", CALIBRATION: "val.npy"}[phase]
    if (directory / other).is_file() and not (directory / own).is_file():
        raise BadInput(f"{directory}: holds {other} and no {own}; the two phases' directories "
                       "look swapped")
    for data, labels, out in SECTIONS[phase]:
        path, label_path = directory / f"{data}.npy", directory / f"{labels}.npy"
        f_x = features_of(load_npy(path), str(path), notes)
        label = labels_of(load_npy(label_path), str(label_path), classes)
        if len(f_x) != len(label):
            raise BadInput(f"{label_path}: {len(label)} labels, {path.name} has {len(f_x)} rows")
        logits = None
        if out:
            out_path = directory / f"{out}.npy"
            if without_logits and not out_path.exists():
                notes.append(f"{out_path}: not there, taken as zeros; C_s can only be fitted on "
                             "f_x or z_r")
            else:
                logits = _logits(out_path, len(f_x), path, classes, seen, order, notes)
        sections[data] = Section(f_x, label, logits, path, label_path)
    widths = {section.f_x.shape[1]: section.path for section in sections.values()}
    if len(widths) > 1:
        (a, first), (b, second) = list(widths.items())[:2]
        raise BadInput(f"{second}: {b} columns, {first.name} has {a}")
    return sections


def _logits(
    path: Path, rows: int, of: Path, classes: int, seen: Sequence[int], order: Sequence[int],
    notes: list[str],
) -> np.ndarray:
    array = load_npy(path)
    if array.ndim != 2 or array.dtype.kind != "f":
        raise BadInput(f"{path}: holds {array.dtype} of shape {list(array.shape)}, expected "
                       "logits [N, C]")
    if len(array) != rows:
        raise BadInput(f"{path}: {len(array)} rows, {of.name} has {rows}")
    if array.shape[1] == classes:
        logits = array[:, list(seen)]
        notes.append(f"{path.name} of {path.parent.name}: {len(seen)} of {classes} columns are "
                     "kept, those of classes that the backbone was trained on")
    elif array.shape[1] == len(order) == len(seen):
        logits = array[:, np.argsort(np.asarray(order), kind="stable")]
        notes.append(f"{path.name} of {path.parent.name}: {len(seen)} columns, taken in the order "
                     "of the label split of seen classes")
    else:
        raise BadInput(f"{path}: {array.shape[1]} columns, expected {classes}, one a class")
    require_finite(logits, str(path))
    return np.ascontiguousarray(logits, np.float32)


def _cache(
    sections: dict[str, Section], phase: str, splits: LabelSplits, dataset: str,
    names: tuple[str, ...], config: dict[str, Any],
) -> SkeletonFeatures:
    seen, unseen, order, prefix = {
        TEST: (splits.seen, splits.unseen, (TRAIN, "gtest"), "synse"),
        CALIBRATION: (splits.validation_seen, splits.validation_unseen, (TRAIN, "ztest", "val"),
                      "synse-val"),
    }[phase]
    parts = [sections[name] for name in order]
    label = np.concatenate([part.label for part in parts])
    identity: dict[str, Any] = {name: np.full(len(label), -1, np.int16) for name in IDENTITY}
    features = SkeletonFeatures(
        f_x=np.concatenate([part.f_x for part in parts]),
        # The lineage has no logits of training rows, and nothing uses them.
        logits=np.concatenate([
            np.zeros((len(part.label), len(seen)), np.float32) if part.logits is None
            else part.logits for part in parts]),
        label=label,
        sample_id=np.array([f"{prefix}/{name}/{row:06d}" for name, part in zip(order, parts)
                            for row in range(len(part.label))]),
        subset=np.array([TRAIN if name == TRAIN else phase for name, part in zip(order, parts)
                         for _ in range(len(part.label))]),
        **identity,
        dataset=dataset, sample_protocol="cross-subject", phase=phase, class_names=names,
        seen_classes=seen, unseen_classes=unseen, backbone=UNKNOWN_NAME,
        weights_sha256=UNKNOWN_NAME, config=config,
    )
    check_skeleton_features(features, str(parts[0].path.parent))
    return features


def _text(
    path: Path, names: tuple[str, ...], encoder: str, notes: list[str]
) -> TextFeatures:
    f_y = features_of(load_npy(path), str(path), notes)
    if len(f_y) != len(names):
        raise BadInput(f"{path}: {len(f_y)} rows, expected {len(names)}, one a class")
    notes.append(f"{path.name}: the strings that were embedded are not recorded; the class names "
                 "stand for them")
    text = TextFeatures(
        f_y=f_y, text=np.asarray(names), class_names=names, encoder=encoder,
        encoder_revision=UNKNOWN_NAME, text_source=f"imported: {path.stem}",
        config={"imported": "synse", "file": path.name, "sha256": digest_file(path)},
    )
    check_text_features(text, str(path))
    return text


def _digests(found: Found) -> dict[str, str]:
    return {f"{directory.name}/{name}.npy": digest_file(directory / f"{name}.npy")
            for phase, directory in ((TEST, found.test), (CALIBRATION, found.calibration))
            for names in SECTIONS[phase] for name in names
            if name and (directory / f"{name}.npy").is_file()}
