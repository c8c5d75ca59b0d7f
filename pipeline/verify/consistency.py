"""Whether the parts of a work directory belong together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.caches import TEST, TRAIN, SkeletonFeatures, check_same_classes
from zskel.data.common.errors import BadInput
from zskel.data.common.files import digest_json
from zskel.data.store import SequenceStore
from zskel.pipeline.base.workdir import read_pointer
from zskel.pipeline.verify.checks import BROKEN, NOTICE, STALE, Check, checked
from zskel.pipeline.verify.work_dir import Parts


def check_together(parts: Parts) -> list[Check]:
    """What each part was made from, compared with what is there now."""
    return [*_pointers(parts), *_made_from(parts), *_same_classes(parts), *_phases_apart(parts),
            *_fitted_on(parts)]


def _pointers(parts: Parts) -> Iterator[Check]:
    work, store = parts.work, parts.store
    pointer = read_pointer(work.store_pointer)
    if pointer is not None and not work.own_store.is_file():
        there = store.digest if store is not None else None
        yield checked(work.store_pointer, "the shared store is the one that was used",
                      pointer.get("digest") == there, STALE,
                      "another one lies there" if store is not None else
                      f"{work.store} is not there or cannot be read", parts.command("extract"))
    for phase, summary in parts.backbones.items():
        path = work.backbone_pointer(phase)
        content = read_pointer(path)
        if content is not None:
            yield checked(path, f"the shared {phase}-phase backbone is the one that was used",
                          content.get("digest") == summary["digest"], STALE,
                          "another one lies there", parts.command("extract"))


def _made_from(parts: Parts) -> Iterator[Check]:
    """Store, clips and weights of the skeleton features."""
    again = parts.command("extract")
    for path, features in parts.skeleton.items():
        what = _called(path, features)
        config = features.config if isinstance(features.config, dict) else {}
        if "phase_digest" in config:
            now = digest_json([features.sample_id.tolist(), features.subset.tolist()])
            yield checked(path, f"{what} hold the clips that their digest names",
                          config["phase_digest"] == now, BROKEN, "clips or subsets differ", again)
        if parts.store is not None and "store_digest" in config:
            same = config["store_digest"] == parts.store.digest
            yield checked(path, f"{what} were made from this store", same, STALE,
                          "the store was made anew, from other recordings or otherwise", again)
            if same:
                yield _labels(path, what, features, parts.store, again)
        weights = parts.work.backbone(features.phase) / "weights.pth"
        if weights.is_file() and "given_weights" not in config:
            yield checked(path, f"{what} were made with these weights",
                          parts.files.digest(weights) == features.weights_sha256, STALE,
                          f"{parts.files.name(weights)} is another file now", again)
        elif "given_weights" in config:
            yield checked(path, f"{what} name the weights that were given",
                          config["given_weights"].get("sha256") == features.weights_sha256,
                          BROKEN, "config and weights_sha256 differ", again)
    for phase, summary in parts.backbones.items():
        own = parts.phases[phase]
        if own is not None and parts.store is not None:
            yield from _trained(parts, phase, summary, own, parts.store)


def _labels(
    path: Path, what: str, features: SkeletonFeatures, store: SequenceStore, again: str
) -> Check:
    name = f"{what} have the store's labels"
    rows = _rows(features, store)
    if rows is None:
        return Check(path, name, STALE, "they hold clips that the store lacks", again)
    return checked(path, name, bool((store.label[rows] == features.label).all()), BROKEN,
                   "labels differ", again)


def _trained(
    parts: Parts, phase: str, summary: dict[str, Any], features: SkeletonFeatures,
    store: SequenceStore,
) -> Iterator[Check]:
    """Whether the backbone's own digest is that of these clips and this config."""
    config = features.config if isinstance(features.config, dict) else {}
    rows = _rows(features, store)
    if "backbone" not in config or "given_weights" in config or rows is None \
            or config.get("store_digest") != store.digest:
        return
    from zskel.extractors.spec import BackboneSpec
    from zskel.pipeline.base.config import BackboneConfig

    path = parts.work.backbone(phase) / "backbone.json"
    name = f"the {phase}-phase backbone was trained on these clips as the features say"
    try:
        spec = BackboneSpec(**BackboneConfig.model_validate(config["backbone"]).model_dump())
    except ValueError as error:
        yield Check(path, name, NOTICE, f"this release has another form of config ({error})")
        return
    digest = spec.digest(store, rows[features.subset == TRAIN], features.seen_classes)
    yield checked(path, name, digest == summary["digest"], STALE,
                  "its digest names other clips or another config", parts.command("extract"))


def _same_classes(parts: Parts) -> Iterator[Check]:
    test, calibration = parts.phases.values()
    if test is None:
        return
    others: list[tuple[str, Path, Any]] = [
        ("calibration-phase features", parts.work.skeleton("calibration"), calibration)]
    for path, text in parts.text.items():
        part = path.stem.removeprefix("text").lstrip("_")
        others.append((f"{part} text features".strip(), path, text))
    for name, path, other in others:
        if other is None:
            continue
        try:
            check_same_classes(test, other, name)
            yield Check(path, f"{name} have the classes of the test-phase ones")
        except BadInput as error:
            yield Check(path, f"{name} have the classes of the test-phase ones", BROKEN,
                        str(error), parts.command("extract"))


def _phases_apart(parts: Parts) -> Iterator[Check]:
    test, calibration = parts.phases.values()
    if test is None or calibration is None:
        return
    path, again = parts.work.skeleton("calibration"), parts.command("extract")
    stray = set(calibration.label.tolist()) & set(test.unseen_classes)
    yield checked(path, "no clip of an unseen class in the calibration phase", not stray, BROKEN,
                  f"classes {sorted(stray)}", again)
    used = set(calibration.sample_id.tolist()) & set(test.sample_id[test.rows(TEST)].tolist())
    yield checked(path, "no test clip in the calibration phase", not used, BROKEN,
                  f"{len(used)} clips", again)


def _fitted_on(parts: Parts) -> Iterator[Check]:
    """Caches of results and of fitted models."""
    digests = {path: record.cache_digests.model_dump() for path, record in parts.results.items()}
    for path, card in parts.models.items():
        found = card["origin"].get("cache_digests")
        digests[path] = found if isinstance(found, dict) else {}
    if not digests:
        return
    features = parts.work.text.parent
    now = {path.stem: parts.files.digest(path) for path in sorted(features.glob("*.h5"))}
    for path, then in digests.items():
        old = _changed(then, now)
        yield checked(path, f"{path.name} was made from these caches", not old, STALE,
                      f"{', '.join(old)} changed since", parts.command("fit"))


def _changed(then: dict[str, Any], now: dict[str, str]) -> list[str]:
    """Caches that are not what a fit has read, where they are there at all."""
    wanted = {**then.get("others", {}),
              **{name: then.get(name) for name in ("skeleton_test", "skeleton_calibration")}}
    old = [name for name, digest in wanted.items() if name in now and now[name] != digest]
    # "text" stands for text.h5 or, for methods with parts of speech, for the first part.
    texts = {digest for name, digest in now.items() if name.startswith("text")}
    return [*old, *(["text"] if texts and then.get("text") not in texts else [])]


def _called(path: Path, features: SkeletonFeatures) -> str:
    kind = path.stem.removeprefix(f"skeleton_{features.phase}").lstrip("_")
    return f"{kind} {features.phase}-phase features".strip()


def _rows(features: SkeletonFeatures, store: SequenceStore) -> np.ndarray | None:
    """The store's rows of the features' clips; None if one is missing."""
    at = {name: row for row, name in enumerate(store.sample_id.tolist())}
    rows = [at.get(name) for name in features.sample_id.tolist()]
    return None if None in rows else np.asarray(rows, np.int64)
