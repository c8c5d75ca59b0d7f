"""Whether the parts of a work directory belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zskel.data.caches import CALIBRATION, check_same_classes
from zskel.data.common.errors import PipelineError
from zskel.pipeline.steps.result_record import changed_caches
from zskel.pipeline.verify.checks import BROKEN, STALE, Check, checked
from zskel.pipeline.verify.work_dir import Parts


def check_consistency(parts: Parts) -> list[Check]:
    """What each part was made from, compared with what is there now."""
    return [*_made_from(parts), *_usable_together(parts), *_fitted_on(parts)]


def _made_from(parts: Parts) -> Iterator[Check]:
    """Store, clips and weights of the skeleton features."""
    again, store = parts.command("extract"), parts.store
    for path, features in parts.skeleton.items():
        kind = path.stem.removeprefix(f"skeleton_{features.phase}").lstrip("_")
        what = f"{kind} {features.phase}-phase features".strip()
        config = features.config if isinstance(features.config, dict) else {}
        if store is not None and "store_digest" in config:
            yield checked(path, f"{what} were made from this store",
                          config["store_digest"] == store.digest, STALE,
                          "the store was made anew, from other recordings or otherwise", again)
        weights = parts.work.backbone(features.phase) / "weights.pth"
        if weights.is_file() and "given_weights" not in config:
            yield checked(path, f"{what} were made with these weights",
                          parts.files.digest(weights) == features.weights_sha256, STALE,
                          f"{parts.files.name(weights)} is another file now", again)


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
        changed = changed_caches(then, now)
        yield checked(path, f"{path.name} was made from these caches", not changed, STALE,
                      f"{', '.join(changed)} changed since", parts.command("fit"))
