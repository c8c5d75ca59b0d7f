"""f_x of new clips, made as the test-phase cache's were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.caches import TEST, TRAIN, SkeletonFeatures
from zskel.data.common.errors import BadInput
from zskel.data.common.files import digest_file
from zskel.data.store import SequenceStore
from zskel.pipeline.base.config import BackboneConfig
from zskel.pipeline.base.progress import bar
from zskel.pipeline.base.workdir import WorkDir


def weights_file(work: WorkDir, cache: SkeletonFeatures, given: str | Path | None) -> Path:
    """The weights that made a cache.

    Args:
        work: Where trained ones are.
        cache: The test-phase cache, of f_x or what is taken for it.
        given: A file that somebody names instead.

    Raises:
        BadInput: They are not there, or are others.
    """
    path = Path(given) if given is not None else work.backbone(TEST) / "weights.pth"
    lent = cache.config.get("given_weights", {}).get("file")
    if not path.is_file():
        what = f"; the features were made with given weights {lent!r}: name them with --weights" \
            if lent else "; `pipeline extract` trains them"
        raise BadInput(f"{path}: the test-phase backbone's weights are not there{what}")
    if digest_file(path) != cache.weights_sha256:
        raise BadInput(f"{path}: not the weights that {work.skeleton(TEST)} was made with "
                       f"({lent or 'trained ones'}, sha256 {cache.weights_sha256[:12]}...)")
    return path


def features_of(
    store: SequenceStore, cache: SkeletonFeatures, weights: Path,
    views: Mapping[str, SkeletonFeatures],
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """f_x ``[N, D]`` and logits ``[N, S]`` of all clips of a store, and views side by side.

    Args:
        store: The clips, cleaned as those of the cache.
        cache: Of the test phase; says how features are made.
        weights: From :func:`weights_file`.
        views: The test-phase caches of pooled views that a method takes in place of f_x.

    Raises:
        BadInput: A feature is not finite, the cache does not say how it was made, or a
            view is not pooled from the same pass.
    """
    if "backbone" not in cache.config:
        raise BadInput("the skeleton features do not say which backbone config made them; "
                       "they were imported, or made before that was kept")
    from zskel.extractors.mm import register

    register()
    from zskel.extractors.features import extract_features, load_model
    from zskel.extractors.probe import seen_logits
    from zskel.extractors.spec import BackboneSpec
    from zskel.extractors.weights import head_classes, read_state
    from zskel.zsl.cache_checks import side_by_side

    config = BackboneConfig.model_validate(cache.config["backbone"])
    pools: dict[str, Any] = {name: view.pooled.get("pool") for name, view in views.items()}
    if None in pools.values():
        raise BadInput(f"the method takes {', '.join(pools)}, which are not all pooled views; "
                       "predict makes no others of recordings")
    spec = BackboneSpec(**config.model_dump(), pools=tuple(dict.fromkeys(pools.values())))
    spec = spec.for_view(cache.config.get("view", {}))
    model = load_model(spec, weights, head_classes(read_state(weights), weights))
    with bar("extracting features") as tell:
        f_x, logits, *pooled = extract_features(
            model, spec, store, np.arange(len(store)), on_progress=tell)
    made = dict(zip(spec.pools, pooled))
    # A probe on given weights is fitted on the cache's training rows, so they come along.
    whole = np.concatenate([cache.f_x, f_x])
    logits, _ = seen_logits(whole, logits, cache.label, cache.rows(TRAIN), cache.seen_classes,
                            len(cache.class_names))
    return f_x, logits[-len(f_x):], side_by_side(
        {name: made[pool] for name, pool in pools.items()}) if pools else None
