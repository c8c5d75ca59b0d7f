"""Caches to directories that the released scripts of the SynSE lineage read unchanged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.caches import TEST, TRAIN, SkeletonFeatures, TextFeatures
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.exchange.arrays import save_npy_files
from zskel.data.exchange.layouts import DATASETS, FILL, SECTIONS, Layout, split_files


@dataclass(frozen=True)
class Names:
    """What the released scripts are told by ``--dataset``, ``--ve``, ``--le`` and ``--tm``.

    None: derived from the caches.
    """

    dataset: str | None = None
    visual: str | None = None
    encoder: str | None = None
    mode: str | None = None


def export_synse(
    folder: Path, test: SkeletonFeatures, calibration: SkeletonFeatures,
    texts: Mapping[str, TextFeatures], layout: Layout, names: Names = Names(),
    force: bool = False,
) -> tuple[list[Path], list[str]]:
    """Writes both phases, label splits and text features.

    The scripts' ``_out`` arrays have a column for each of the C classes; those
    of classes that our backbone has no output for hold ``layouts.FILL``. The lineage
    has no place for sample ids, subjects, the order of rows, logits of training rows
    and provenance.

    Args:
        folder: What users of the layout download, e.g. ``resources``.
        test, calibration: The skeleton features of the two phases.
        texts: "" -> f_y; "verb", "noun" -> f_y of that part.
        layout: Whose scripts are to read it.
        names: What the scripts will be told.
        force: Replace files that say something else.

    Returns:
        The files, and what one should know about them.

    Raises:
        BadInput: The caches cannot be said in this layout, or a file is there.
    """
    _check_splits(test, calibration)
    values, notes = _values(test, texts, layout, names)
    arrays: dict[str, np.ndarray] = {}
    for features in (test, calibration):
        directory = layout.features[features.phase].format(**values)
        for (data, label, out), found in zip(SECTIONS[features.phase], _section_rows(features)):
            if not len(found):
                raise BadInput(f"{features.phase}-phase features hold no rows for {data}.npy")
            arrays[f"{directory}/{data}.npy"] = np.asarray(features.f_x[found], np.float32)
            arrays[f"{directory}/{label}.npy"] = np.asarray(features.label[found], np.int64)
            if out:
                arrays[f"{directory}/{out}.npy"] = all_columns(features, found)
    splits = layout.splits.format(**values)
    lists = {"unseen": test.unseen_classes, "seen": test.seen_classes,
             "validation_unseen": calibration.unseen_classes,
             "validation_seen": calibration.seen_classes}
    for which, name in split_files(values["classes"], values["unseen"]).items():
        arrays[f"{splits}/{name}.npy"] = np.asarray(lists[which], np.int64)
    for part, text in texts.items():
        path = layout.text.format(**{**values, "mode": part or values["mode"]})
        arrays[path] = np.asarray(text.f_y, np.float32)
    if layout.name == "synse-zsl":
        arrays |= _vocabularies(test.class_names, texts)
    return save_npy_files(folder, arrays, force), notes


def all_columns(features: SkeletonFeatures, rows: np.ndarray) -> np.ndarray:
    """Logits ``[n, C]`` in the order of ``class_names``; ``FILL`` where there is no output."""
    logits = np.full((len(rows), len(features.class_names)), FILL, np.float32)
    logits[:, list(features.seen_classes)] = features.logits[rows]
    return logits


def _section_rows(features: SkeletonFeatures) -> list[np.ndarray]:
    held_out = features.rows(features.phase)
    unseen = np.isin(features.label[held_out], features.unseen_classes)
    last = held_out if features.phase == TEST else held_out[~unseen]
    return [features.rows(TRAIN), held_out[unseen], last]


def _check_splits(test: SkeletonFeatures, calibration: SkeletonFeatures) -> None:
    every = range(len(test.class_names))
    for features, classes in ((test, every), (calibration, test.seen_classes)):
        found = {*features.seen_classes, *features.unseen_classes}
        if found != set(classes):
            odd = min(found ^ set(classes))
            raise BadInput(f"{features.phase} phase: class {odd} ({test.class_names[odd]!r}) is "
                           "neither seen nor unseen, which the lineage's file names cannot say")
    if len(test.unseen_classes) != len(calibration.unseen_classes):
        raise BadInput(f"{len(calibration.unseen_classes)} validation-unseen classes and "
                       f"{len(test.unseen_classes)} unseen ones: the lineage's file names have "
                       "one number for both")


def _values(
    test: SkeletonFeatures, texts: Mapping[str, TextFeatures], layout: Layout, names: Names
) -> tuple[dict[str, Any], list[str]]:
    width = test.f_x.shape[1]
    visual = names.visual
    if visual is None:
        visual = layout.visual.get(width, next(iter(layout.visual.values())))
        if layout.name == "sa-dvae" and width == 256 and "shift" in test.backbone.lower():
            visual = "shift"
    main = texts.get("", next(iter(texts.values())))
    source = main.text_source
    mode = names.mode or ("labels" if layout.name == "synse-zsl" else
                          "lb" if source == "label" else "ad")
    values = {
        "dataset": names.dataset or DATASETS.get(test.dataset, test.dataset.replace("-", "_")),
        "visual": visual, "unseen": len(test.unseen_classes), "classes": len(test.class_names),
        "encoder": names.encoder or layout.encoder or _slug(main.encoder), "mode": mode,
    }
    for key in ("dataset", "visual", "encoder", "mode"):
        if not re.fullmatch(r"[\w.\-]+(/[\w.\-]+)?", str(values[key])) or ".." in str(values[key]):
            raise BadConfig(f"{key} name {values[key]!r}: expected letters, digits, '-', '_', '.'")
        if key in ("dataset", "visual") and "_val" in str(values[key]):
            raise BadConfig(f"{key} name {values[key]!r}: the released loaders take any path with "
                            "'_val' for the calibration phase; give another name")
    notes = []
    if width not in layout.visual:
        notes.append(f"f_x is {width}-d; the released scripts of {layout.name} know only "
                     f"{' and '.join(map(str, layout.visual))}, change their width before use")
    if layout.name == "synse-zsl" and any(text.f_y.shape[1] != 1024 for text in texts.values()):
        notes.append("f_y is not 1024-d; the released scripts of synse-zsl expect 1024 for 'bert'")
    if layout.name != "synse-zsl" and "_" in str(mode):
        raise BadConfig(f"text mode {mode!r}: the released scripts split it at '_'")
    return values, notes


def _vocabularies(
    class_names: Sequence[str], texts: Mapping[str, TextFeatures]
) -> dict[str, np.ndarray]:
    """``labels.npy``, and the words of each part with one-hot rows for the classes."""
    arrays = {"resources/labels.npy": np.asarray(class_names)}
    for part in ("noun", "verb"):
        if part in texts:
            words = np.asarray(texts[part].text).reshape(len(class_names), -1)[:, 0]
            vocabulary, index = np.unique(words, return_inverse=True)
            arrays[f"resources/{part}s_vocab.npy"] = vocabulary
            arrays[f"resources/{part}s_ohe.npy"] = np.eye(len(vocabulary), dtype=np.int64)[index]
    return arrays


def _slug(name: str) -> str:
    return re.sub(r"[^\w.\-]+", "-", name).strip("-.") or "text"
