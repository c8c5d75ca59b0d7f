"""Skeleton and text feature caches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.caches import (
    CALIBRATION,
    IDENTITY,
    SUBSETS_OF_PHASE,
    TRAIN,
    SkeletonFeatures,
    TextFeatures,
    read_skeleton_features,
    read_text_features,
)
from zskel.data.common.files import digest_file
from zskel.data.text_rows import about_cut, cut_classes
from zskel.pipeline.inspect.measures import class_table, identity
from zskel.pipeline.steps.backbone_accuracy import seen_test_accuracy


def describe_skeleton(path: Path) -> dict[str, Any]:
    """A skeleton feature cache.

    Raises:
        BadCache: It breaks the contract; the message names the first broken rule.
    """
    found = read_skeleton_features(path)
    unseen = np.isin(found.label, found.unseen_classes)
    held_out = "validation-unseen" if found.phase == CALIBRATION else "unseen"
    return {
        "kind": "skeleton features", "path": str(path), "dataset": found.dataset,
        "phase": found.phase, "sample_protocol": found.sample_protocol,
        "clips": len(found.label),
        "classes": len(found.class_names),
        "seen_classes": len(found.seen_classes),
        "unseen_classes": len(found.unseen_classes),
        "unseen_means": f"{held_out} classes, held out from the {found.phase}-phase backbone",
        "f_x": " x ".join(map(str, found.f_x.shape)),
        **_pooled(found.pooled),
        "logits": f"{found.logits.shape[0]} x {found.logits.shape[1]}",
        "bytes": path.stat().st_size, "sha256": digest_file(path),
        "backbone": found.backbone, "weights_sha256": found.weights_sha256,
        **_accuracy(found),
        "created": found.created,
        "notices": [dict(notice) for notice in found.notices],
        "subsets": [{
            "subset": subset,
            "clips": len(found.rows(subset)),
            "of_seen_classes": int((~unseen[found.rows(subset)]).sum()),
            "of_unseen_classes": int(unseen[found.rows(subset)].sum()),
            "subjects": _listed(found.subject[found.rows(subset)]),
        } for subset in SUBSETS_OF_PHASE[found.phase]],
        "identity": identity({name: getattr(found, name) for name in IDENTITY}),
        "class_counts": class_table(found.class_names, found.label, found.subset,
                                    found.seen_classes, found.unseen_classes, held_out),
        "statistics": _statistics(found.f_x.reshape(len(found.f_x), -1)),
        "preprocessing": found.preprocessing,
        "config": found.config,
        "software": dict(found.software),
        "checks": [{"check": check, "passed": True} for check in (
            "shapes, types and lengths agree", "f_x and logits are finite",
            "sample ids are unique", "seen and unseen classes are disjoint",
            f"no {held_out} class in subset {TRAIN!r}", "one logit per seen class",
        )],
    }


def describe_text(path: Path) -> dict[str, Any]:
    """A text feature cache.

    Raises:
        BadCache: It breaks the contract; the message names the first broken rule.
    """
    found = read_text_features(path)
    texts = found.text.reshape(len(found.text), -1)
    tokens = None if found.tokens is None else found.tokens.reshape(texts.shape).tolist()
    cut = cut_classes(found)
    return {
        "kind": "text features", "path": str(path), "classes": len(found.class_names),
        "f_y": f"{found.f_y.shape[0]} x {found.f_y.shape[1]}",
        **_token_features(found),
        "texts_per_class": texts.shape[1],
        "encoder": found.encoder, "encoder_revision": found.encoder_revision,
        "text_source": found.text_source,
        "bytes": path.stat().st_size, "sha256": digest_file(path),
        **({} if tokens is None else {
            "tokens_read": " or ".join(map(str, sorted(set(found.token_limit)))),
            "cut_texts": about_cut(found) or "none"}),
        "texts": [{"index": index, "class": name,
                   **({} if tokens is None else {"tokens": " | ".join(map(str, tokens[index])),
                                                 "cut": name in cut}),
                   "text": " | ".join(map(str, row))}
                  for index, (name, row) in enumerate(zip(found.class_names, texts, strict=True))],
        "most_alike": _most_alike(found.f_y, found.class_names),
        "statistics": _statistics(found.f_y),
        "config": found.config,
        **({"software": dict(found.software)} if found.software else {}),
        "checks": [{"check": check, "passed": True} for check in (
            "one row a class", "f_y is finite", "every class has a text",
            *(() if found.token_mask is None else ("padding of token features is all zeros",)))],
    }


def _token_features(found: TextFeatures) -> dict[str, str]:
    """How many tokens there are of a class, where their features are kept."""
    if found.token_features is None or found.token_mask is None:
        return {}
    counts = found.token_mask.sum(axis=1)
    return {"token_features": " x ".join(map(str, found.token_features.shape))
            + f", {counts.min()} to {counts.max()} tokens a class"}


def _pooled(axes: Mapping[str, Any]) -> dict[str, Any]:
    """What the axes of a pooled view are."""
    if not axes:
        return {}
    joints, parts, segments = (axes.get(key) or {} for key in ("joints", "parts", "segments"))
    return {"pooled": {
        "pool": axes["pool"],
        **({"joints": ", ".join(joints)} if joints else {}),
        **{part: ", ".join(joints[joint] for joint in own) for part, own in parts.items()},
        **({"segments": ", ".join(segments)} if isinstance(segments, list) else {
            name: f"rows {begin} to {end - 1}" for name, (begin, end) in segments.items()}),
    }}


def _accuracy(found: SkeletonFeatures) -> dict[str, float]:
    """Of the backbone's own head; only test-phase caches have what it takes."""
    accuracy = seen_test_accuracy(found)
    return {} if accuracy is None else {"seen_test_accuracy": round(accuracy, 6)}


def _statistics(features: np.ndarray) -> dict[str, Any]:
    norms = np.linalg.norm(features.astype(np.float64), axis=1)
    return {
        "mean": round(float(features.mean(dtype=np.float64)), 4),
        "standard_deviation": round(float(features.std(dtype=np.float64)), 4),
        "norm_of_rows": [round(float(v), 4) for v in (norms.min(), np.median(norms), norms.max())],
        "constant_columns": int((np.ptp(features, axis=0) == 0).sum()),
        "repeated_rows": len(features) - len(np.unique(features, axis=0)),
    }


def _most_alike(f_y: np.ndarray, names: tuple[str, ...], pairs: int = 5) -> list[dict[str, Any]]:
    """The classes whose texts a method will find hardest to tell apart."""
    norms = np.linalg.norm(f_y.astype(np.float64), axis=1, keepdims=True)
    unit = f_y / np.maximum(norms, 1e-12)
    first, second = np.triu_indices(len(names), k=1)
    cosine = (unit @ unit.T)[first, second]
    return [{"class": names[first[k]], "and": names[second[k]],
             "cosine": round(float(cosine[k]), 4)} for k in np.argsort(-cosine)[:pairs]]


def _listed(values: np.ndarray) -> list[int]:
    return sorted({int(value) for value in values if value >= 0})
