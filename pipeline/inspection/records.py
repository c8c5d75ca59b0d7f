"""Result records and whole work directories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.caches import (
    CALIBRATION,
    TEST,
    SkeletonFeatures,
    TextFeatures,
    check_same_classes,
    read_skeleton_features,
    read_text_features,
)
from data.errors import BadInput
from data.files import digest_file
from data.store import SequenceStore
from pipeline.inspection.measures import class_table
from pipeline.results import ResultRecord, find_results, read_arrays, read_result
from pipeline.workdir import WorkDir

_RATES = ("zsl_accuracy", "gzsl_seen_accuracy", "gzsl_unseen_accuracy", "gzsl_harmonic_mean")


def describe_result(path: Path) -> dict[str, Any]:
    """A result record and the arrays beside it.

    Raises:
        BadInput: The record or its arrays are damaged or contradict each other.
    """
    record = read_result(path)
    arrays = read_arrays(path, record)
    content = record.model_dump(mode="json", by_alias=True)
    content.pop("format"), content.pop("format_version")
    history, per_class = content.pop("history"), content.pop("per_class")
    averaged = {name: content.pop(f"{name}_class_averaged") for name in _RATES}
    rates = {name: content.pop(name) for name in _RATES}
    for entry in per_class:
        entry["role"] = "unseen" if entry.pop("unseen") else "seen"
    return {
        "kind": "result record", "path": str(path), "sha256": digest_file(path),
        **{name: content.pop(name) for name in (
            "experiment", "dataset", "sample_protocol", "method", "variant", "protocol", "split",
            "seed", "created", "duration_seconds", "config_digest")},
        "accuracies": [
            {"measure": name, "over_clips": rates[name], "over_classes": averaged[name]}
            for name in _RATES],
        "epochs": {phase: len(terms) for phase, terms in history.items()},
        **content,
        "per_class": per_class,
        "checks": [
            {"check": "fields are whole and agree with each other", "passed": True},
            {"check": "accuracies follow from the arrays", "passed": arrays is not None,
             **({} if arrays is not None else {"detail": f"{record.arrays or 'no file'} is not "
                                               "beside the record"})},
        ],
    }


def describe_work_dir(path: Path) -> dict[str, Any]:
    """What a work directory holds, and whether its parts belong together.

    Broken parts are listed, with what is wrong, among the checks.
    """
    work, checks = WorkDir(path), []
    parts: list[dict[str, Any]] = []

    def load(part: Path, kind: str, read: Callable[[Path], Any],
             holds: Callable[[Any], str] | None = None) -> Any:
        if not part.is_file():
            return None
        name = _within(part, path)
        try:
            content = read(part)
        except BadInput as error:
            checks.append({"check": f"{name} is whole", "passed": False, "detail": str(error)})
            return None
        checks.append({"check": f"{name} is whole", "passed": True})
        if holds is not None:  # results have a table of their own
            parts.append({"part": name, "kind": kind, "holds": holds(content),
                          "bytes": part.stat().st_size})
        return content

    store = load(work.store, "sequence store", SequenceStore, lambda s: (
        f"{len(s)} clips, {len(set(s.label.tolist()))} of {len(s.class_names)} classes"))
    caches = {phase: load(work.skeleton(phase), "skeleton features", read_skeleton_features,
                          _holds_skeleton) for phase in (TEST, CALIBRATION)}
    text = load(work.text, "text features", read_text_features, _holds_text)
    for part in sorted(path.glob("features/text_*.h5")):
        load(part, "text features of a part of speech", read_text_features, _holds_text)
    records = {file: load(file, "result record", read_result) for file in find_results(path)}
    found = {file: record for file, record in records.items() if record is not None}
    checks += _checks(work, store, caches, text, found)
    test = caches[TEST]
    return {
        "kind": "work directory", "path": str(path),
        **_names(test, store),
        "parts": parts,
        "results": [_row(file, record) for file, record in found.items()],
        "class_counts": class_table(test.class_names, test.label, test.subset, test.seen_classes,
                                    test.unseen_classes) if test is not None else [],
        "checks": checks,
    }


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
    return (f"{features.f_x.shape[0]} x {features.f_x.shape[1]} ({subsets}), "
            f"{seen} seen and {held_out} held-out classes")


def _holds_text(features: TextFeatures) -> str:
    count, dim = features.f_y.shape
    return f"{count} x {dim}, {features.encoder}, {features.text_source}"


def _within(part: Path, root: Path) -> str:
    """A part's path as seen from the work directory, where it lies in it."""
    return str(part.relative_to(root) if part.is_relative_to(root) else part)


def _row(file: Path, record: ResultRecord) -> dict[str, Any]:
    names = ("method", "variant", "protocol", "split", "seed", *_RATES)
    return {"file": file.name, **{name: getattr(record, name) for name in names}}


def _checks(
    work: WorkDir, store: SequenceStore | None, caches: dict[str, SkeletonFeatures | None],
    text: TextFeatures | None, records: dict[Path, ResultRecord],
) -> list[dict[str, Any]]:
    """Whether the parts that are there belong together."""
    checks: list[dict[str, Any]] = []

    def check(what: str, passed: bool, detail: str = "") -> None:
        checks.append({"check": what, "passed": bool(passed),
                       **({"detail": detail} if detail and not passed else {})})

    test, calibration = caches[TEST], caches[CALIBRATION]
    for phase, features in caches.items():
        if features is None:
            continue
        config = features.config if isinstance(features.config, dict) else {}
        if store is not None and "store_digest" in config:
            check(f"{phase}-phase features were made from this store",
                  config["store_digest"] == store.digest, "extract again")
        weights = work.backbone(phase) / "weights.pth"
        if weights.is_file() and "given_weights" not in config:
            check(f"{phase}-phase features were made with these weights",
                  digest_file(weights) == features.weights_sha256, "extract again")
    if test is not None:
        for name, other in (("calibration-phase features", calibration), ("text features", text)):
            if other is not None:
                try:
                    check_same_classes(test, other, name)
                    check(f"{name} have the classes of the test-phase ones", True)
                except BadInput as error:
                    check(f"{name} have the classes of the test-phase ones", False, str(error))
    if test is not None and calibration is not None:
        stray = set(calibration.label.tolist()) & set(test.unseen_classes)
        check("no clip of an unseen class in the calibration phase", not stray,
              f"classes {sorted(stray)}")
        used = set(calibration.sample_id.tolist()) & set(test.sample_id[test.rows(TEST)].tolist())
        check("no test clip in the calibration phase", not used, f"{len(used)} clips")
    if records:
        files = {"skeleton_test": work.skeleton(TEST), "text": work.text,
                 "skeleton_calibration": work.skeleton(CALIBRATION)}
        now = {name: digest_file(file) for name, file in files.items() if file.is_file()}
        for file, record in records.items():
            old = [name for name, digest in now.items()
                   if getattr(record.cache_digests, name) != digest]
            check(f"{file.name} was made from these caches", not old,
                  f"{', '.join(old)} changed since; fit again")
    return checks
