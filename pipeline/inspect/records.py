"""Result records and whole work directories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zskel.data.caches import TEST, SkeletonFeatures, TextFeatures
from zskel.data.common.files import digest_file
from zskel.data.store import SequenceStore
from zskel.pipeline.inspect.measures import class_table
from zskel.pipeline.steps.result_record import HEADLINE, ResultRecord
from zskel.pipeline.steps.results import read_arrays, read_result
from zskel.pipeline.verify.consistency import check_consistency
from zskel.pipeline.verify.files import Files
from zskel.pipeline.verify.work_dir import Parts, read_parts


def describe_result(path: Path) -> dict[str, Any]:
    """A result record and the arrays beside it.

    Raises:
        BadInput: The record or its arrays are damaged or contradict each other.
    """
    record = read_result(path)
    read_arrays(path, record)
    content = record.model_dump(mode="json", by_alias=True)
    content.pop("format"), content.pop("format_version")
    history, per_class = content.pop("history"), content.pop("per_class")
    metrics = content.pop("metrics")
    accuracies = [{"measure": name, "over_clips": content.pop(name),
                   "over_classes": metrics.pop(f"{name}_class_averaged", None)}
                  for name in HEADLINE]
    for entry in per_class:
        entry["role"] = "unseen" if entry.pop("unseen") else "seen"
    return {
        "kind": "result record", "path": str(path), "sha256": digest_file(path),
        **{name: content.pop(name) for name in (
            "experiment", "dataset", "sample_protocol", "method", "variant", "protocol", "split",
            "seed", "created", "duration_seconds", "config_digest")},
        "accuracies": accuracies,
        "epochs": {phase: len(terms) for phase, terms in history.items()},
        **{name: value for name, value in metrics.items() if name not in HEADLINE}, **content,
        "per_class": per_class,
        "checks": [check.row() for check in Files().result(path)[1]],
    }


def describe_work_dir(path: Path) -> dict[str, Any]:
    """What a work directory holds, and whether its parts belong together.

    Broken parts are listed, with what is wrong, among the checks.
    """
    found = read_parts(path, Files(thorough=False, root=path))
    test, store = found.phases[TEST], found.store
    return {
        "kind": "work directory", "path": str(path),
        **_names(test, store),
        "notices": [dict(notice) for notice in test.notices] if test is not None else [],
        "parts": list(_parts(found)),
        "results": [_row(file, record) for file, record in found.results.items()],
        "class_counts": class_table(test.class_names, test.label, test.subset, test.seen_classes,
                                    test.unseen_classes) if test is not None else [],
        "checks": [check.row() for check in (*found.checks, *check_consistency(found))],
    }


def _parts(found: Parts) -> Iterator[dict[str, Any]]:
    """What each part is; results have a table of their own."""
    def part(path: Path, kind: str, holds: str) -> dict[str, Any]:
        return {"part": found.files.name(path), "kind": kind, "holds": holds,
                "bytes": path.stat().st_size}

    store = found.store
    if store is not None:
        yield part(store.path, "sequence store", f"{len(store)} clips, "
                   f"{len(set(store.label.tolist()))} of {len(store.class_names)} classes")
    for path, features in found.skeleton.items():
        yield part(path, "skeleton features", _holds_skeleton(features))
    for path, text in found.text.items():
        speech = "" if path == found.work.text else " of a part of speech"
        yield part(path, f"text features{speech}", _holds_text(text))


def _names(test: SkeletonFeatures | None, store: SequenceStore | None) -> dict[str, Any]:
    if test is None:
        return {"dataset": store.dataset} if store is not None else {}
    config = test.config if isinstance(test.config, dict) else {}
    return {
        "experiment": str(config.get("experiment", "")), "dataset": test.dataset,
        "split": str(config.get("split", "")), "sample_protocol": test.sample_protocol,
        "backbone": test.backbone, "weights_sha256": test.weights_sha256,
    }


def _holds_skeleton(features: SkeletonFeatures) -> str:
    subsets = ", ".join(f"{len(features.rows(subset))} {subset}"
                        for subset in sorted(set(features.subset.tolist()), reverse=True))
    seen, held_out = len(features.seen_classes), len(features.unseen_classes)
    shape = " x ".join(map(str, features.f_x.shape))
    return (f"{shape} ({subsets}), "
            f"{seen} seen and {held_out} held-out classes")


def _holds_text(features: TextFeatures) -> str:
    count, dim = features.f_y.shape
    return f"{count} x {dim}, {features.encoder}, {features.text_source}"


def _row(file: Path, record: ResultRecord) -> dict[str, Any]:
    names = ("method", "variant", "protocol", "split", "seed", *HEADLINE)
    return {"file": file.name, **{name: getattr(record, name) for name in names}}
