"""Features in the layout of SMIE's comparison track."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zskel.data.caches import CALIBRATION, TRAIN, SkeletonFeatures, TextFeatures
from zskel.data.exchange.arrays import save_npy_files

#: Our data sets under SMIE's names.
DATASETS = {"pku-mmd": "pku"}


def export_smie(
    folder: Path, test: SkeletonFeatures, calibration: SkeletonFeatures, text: TextFeatures,
    dataset: str | None = None, force: bool = False,
) -> tuple[list[Path], list[str]]:
    """Writes ``sota/split_<U>/`` and ``data/language/<dataset>_embeddings.npy``.

    SMIE's comparison track ("sota" in its config) reads features: ``train.npy``
    and ``train_label.npy`` of seen classes, ``test.npy`` and ``test_label.npy`` of
    unseen ones. (Its main track reads skeletons, which caches do not hold.) SMIE
    knows no calibration phase; ours is written to ``split_<U>_calibration``.

    Args:
        folder: Where it goes.
        test, calibration, text: The caches.
        dataset: SMIE's name of the data set.
        force: Replace files that say something else.

    Returns:
        The files, and what one should know about them.

    Raises:
        BadInput: A file is there and says something else.
    """
    name = dataset or DATASETS.get(test.dataset, test.dataset)
    arrays = {f"data/language/{name}_embeddings.npy": np.asarray(text.f_y, np.float32)}
    for features in (test, calibration):
        held_out = features.rows(features.phase)
        unseen = held_out[np.isin(features.label[held_out], features.unseen_classes)]
        split = f"sota/split_{len(test.unseen_classes)}"
        split += "_calibration" if features.phase == CALIBRATION else ""
        for which, rows in (("train", features.rows(TRAIN)), ("test", unseen)):
            arrays[f"{split}/{which}.npy"] = np.asarray(features.f_x[rows], np.float32)
            arrays[f"{split}/{which}_label.npy"] = np.asarray(features.label[rows], np.int64)
    notes = [f"set sota_unseen to {list(test.unseen_classes)} in SMIE's config"]
    for width, expected, what in ((test.f_x.shape[1], 256, "visual_size"),
                                  (text.f_y.shape[1], 768, "language_size")):
        if width != expected:
            notes.append(f"set {what} to {width} in SMIE's config, where it is {expected}")
    return save_npy_files(folder, arrays, force), notes
