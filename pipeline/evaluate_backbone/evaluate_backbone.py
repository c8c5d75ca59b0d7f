"""``pipeline evaluate-backbone``: do weights, reader and preprocessing fit together?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from zskel.data.classes import class_names
from zskel.data.common.errors import BadInput
from zskel.data.common.files import digest_file
from zskel.data.plausibility import store_notices
from zskel.data.readers import READERS
from zskel.pipeline.base.config import BackboneConfig, DatasetConfig, find_config, load_section
from zskel.pipeline.base.locks import work_dir_locked
from zskel.pipeline.base.progress import bar, say, tell_notices
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.sequence_store import open_store

BEST = 5


def evaluate_backbone(
    backbone: str,
    dataset: str,
    weights: str | Path,
    raw: Sequence[str | Path] = (),
    work_dir: str | Path | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Top-1 and top-5 accuracy of a backbone's own head on labelled recordings.

    Args:
        backbone: A config of ``configs/_base_/backbones``, or the path of a config
            file with a ``backbone`` section, such as an experiment's.
        dataset: One of ``configs/_base_/datasets``; the head must have its classes.
        weights: State dict or checkpoint, ours or as authors publish it.
        raw: Recordings; may be empty if the store is there.
        work_dir: Where the store is kept, default ``work_dirs/evaluate-<dataset>``.
        workers: Processes that parse; default: one for each core.

    Returns:
        JSON values: "top1", "top5", "clips" (sample_id, label, class, correct and
        the "best" classes with their probabilities) and where they come from.

    Raises:
        PipelineError: Weights, backbone and data set do not fit together.
    """
    spec_config: BackboneConfig = load_section(
        find_config(backbone, "backbone", "_base_/backbones"), "backbone", BackboneConfig)
    data_config: DatasetConfig = load_section(
        find_config(dataset, "dataset", "_base_/datasets"), "dataset", DatasetConfig)
    names = class_names(data_config.name)

    from zskel.extractors.mm import register

    register()
    from zskel.extractors.features import extract_features, load_model
    from zskel.extractors.layout import follow
    from zskel.extractors.training import BackboneSpec
    from zskel.extractors.weights import head_classes, read_state

    classes = head_classes(read_state(weights), weights)
    if classes != len(names):
        raise BadInput(f"{weights}: its head has {classes} classes, {data_config.name} has "
                       f"{len(names)}")
    # Weights that do not fit should not wait for the recordings to be read.
    assert data_config.reader is not None
    layout = READERS.build(data_config.reader, [], **data_config.reader_options).layout
    spec = BackboneSpec(**follow(spec_config.model_dump(), layout))
    model = load_model(spec, weights, classes)
    work = WorkDir.of(f"evaluate-{data_config.name}", work_dir)
    with work_dir_locked(work.root, "pipeline evaluate-backbone", make=True):
        store = open_store(data_config, raw, work, workers)
    tell_notices(store_notices(store))
    rows = np.arange(len(store))
    with bar(f"evaluating {spec.name}") as tell:
        _, logits = extract_features(model, spec, store, rows, on_progress=tell)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :BEST]
    probability = softmax(logits.astype(np.float64), axis=1)
    hits = order == store.label[:, None]
    result = {
        "backbone": spec.name, "dataset": data_config.name,
        "weights": Path(weights).name, "weights_sha256": digest_file(weights),
        "num_clips": len(store), "top1": float(hits[:, 0].mean()),
        "top5": float(hits.any(axis=1).mean()),
        "clips": [
            {
                "sample_id": str(store.sample_id[row]), "label": int(store.label[row]),
                "class": names[store.label[row]], "correct": bool(hits[row, 0]),
                "best": [{"label": int(c), "class": names[c],
                          "probability": round(float(probability[row, c]), 6)}
                         for c in order[row]],
            }
            for row in rows
        ],
    }
    say(f"{spec.name} on {data_config.name}: top-1 {result['top1']:.2%}, top-5 "
        f"{result['top5']:.2%} of {len(store)} clips")
    return result
