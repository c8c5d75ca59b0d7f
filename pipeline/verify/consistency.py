"""Whether the parts of a work directory belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.caches import CALIBRATION, TEST, SkeletonFeatures, check_same_classes
from zskel.data.common.errors import PipelineError
from zskel.data.common.files import digest_json
from zskel.data.store import SequenceStore
from zskel.pipeline.base.workdir import read_pointer
from zskel.pipeline.verify.checks import BROKEN, STALE, Check, checked
from zskel.pipeline.verify.work_dir import Parts


def check_consistency(parts: Parts) -> list[Check]:
    """What each part was made from, compared with what is there now."""
    return [*_pointers(parts), *_made_from(parts), *_usable_together(parts), *_fitted_on(parts)]


def _pointers(parts: Parts) -> Iterator[Check]:
    """Whether what lies in the model store is what this work directory has used."""
    work, store = parts.work, parts.store
    pointed = [] if work.own_store.is_file() else [
        (work.store_pointer, "store", store.digest if store is not None else None)]
    for phase in (TEST, CALIBRATION):
        facts = parts.weights.get(work.backbone(phase) / "weights.pth")
        if facts is not None:
            pointed.append((work.backbone_pointer(phase), f"{phase}-phase backbone",
                            facts.get("digest")))
    for path, what, digest in pointed:
        content = read_pointer(path)
        if content is not None:
            yield checked(path, f"the shared {what} is the one that was used",
                          content.get("digest") == digest, STALE,
                          f"another one or none lies at {content['path']}",
                          parts.command("extract"))


def _made_from(parts: Parts) -> Iterator[Check]:
    """Store, clips and weights of the skeleton features."""
    again, store = parts.command("extract"), parts.store
    for path, features in parts.skeleton.items():
        kind = path.stem.removeprefix(f"skeleton_{features.phase}").lstrip("_")
        what = f"{kind} {features.phase}-phase features".strip()
        config = features.config if isinstance(features.config, dict) else {}
        if "phase_digest" in config:
            now = digest_json([features.sample_id.tolist(), features.subset.tolist()])
            yield checked(path, f"{what} hold the clips that their digest names",
                          config["phase_digest"] == now, BROKEN, "clips or subsets differ", again)
        if store is not None and "store_digest" in config:
            same = config["store_digest"] == store.digest
            yield checked(path, f"{what} were made from this store", same, STALE,
                          "the store was made anew, from other recordings or otherwise", again)
            if same:
                yield checked(path, f"{what} have the store's labels",
                              _has_labels_of(store, features), BROKEN, "labels differ", again)
        weights = parts.work.backbone(features.phase) / "weights.pth"
        if weights.is_file() and "given_weights" not in config:
            yield checked(path, f"{what} were made with these weights",
                          parts.files.digest(weights) == features.weights_sha256, STALE,
                          f"{parts.files.name(weights)} is another file now", again)


def _has_labels_of(store: SequenceStore, features: SkeletonFeatures) -> bool:
    labels = dict(zip(store.sample_id.tolist(), store.label.tolist(), strict=True))
    return bool(np.array_equal(
        [labels.get(name, -1) for name in features.sample_id.tolist()], features.label))


def _usable_together(parts: Parts) -> Iterator[Check]:
    """What ``pipeline fit`` asks of its caches."""
    from zskel.zsl.cache_checks import check_caches

    test, calibration = parts.phases.values()
    if test is None:
        return

    def check(path: Path, name: str, does_check: Callable[..., None], *args: Any) -> Check:
        try:
            does_check(*args)
            return Check(path, name)
        except PipelineError as error:
            return Check(path, name, BROKEN, str(error), parts.command("extract"))

    if calibration is not None:
        yield check(parts.work.skeleton(CALIBRATION), "the features of both phases go together",
                    check_caches, test, calibration, {})
    for path, text in parts.text.items():
        name = f"{path.stem.removeprefix('text').lstrip('_')} text features".strip()
        yield check(path, f"{name} have the classes of the test-phase ones", check_same_classes,
                    test, text, name)


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
        changed = _changed(then, now)
        yield checked(path, f"{path.name} was made from these caches", not changed, STALE,
                      f"{', '.join(changed)} changed since", parts.command("fit"))


def _changed(then: dict[str, Any], now: dict[str, str]) -> list[str]:
    """Caches that are not what a fit has read, where they are there at all."""
    wanted = {**then.get("others", {}),
              **{name: then.get(name) for name in ("skeleton_test", "skeleton_calibration")}}
    changed = [name for name, digest in wanted.items() if name in now and now[name] != digest]
    # "text" stands for text.h5 or, for methods with parts of speech, for the first part.
    texts = {digest for name, digest in now.items() if name.startswith("text")}
    return [*changed, *(["text"] if texts and then.get("text") not in texts else [])]
