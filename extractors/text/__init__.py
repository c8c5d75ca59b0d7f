"""Class texts and their embeddings f_y."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from data.caches import TextFeatures
from extractors.text.encoders import ENCODERS, TextEncoder
from extractors.text.sources import class_texts

__all__ = ["ENCODERS", "TextEncoder", "class_texts", "embed_classes"]


def embed_classes(
    encoder: TextEncoder,
    class_names: Sequence[str],
    texts: list[list[str]],
    source: str,
    config: Any = None,
) -> TextFeatures:
    """Embeds the texts of each class; several texts of a class are averaged.

    Args:
        encoder: From ``ENCODERS``.
        class_names: ``[C]``.
        texts: ``[C][K]``, from ``class_texts``.
        source: The texts' source, for the cache.
        config: JSON value for the cache: what encoder and source were made with.

    Returns:
        Features with ``f_y`` of shape ``[C, D]`` and the exact strings.
    """
    flat = [text for own in texts for text in own]
    vectors = encoder.encode(flat)
    vectors = vectors.reshape(len(texts), -1, vectors.shape[1])
    strings = np.asarray(texts)
    return TextFeatures(
        f_y=vectors.mean(axis=1).astype(np.float32),
        text=strings[:, 0] if strings.shape[1] == 1 else strings,
        class_names=tuple(class_names),
        encoder=encoder.name,
        encoder_revision=encoder.revision,
        text_source=source,
        config=config or {},
    )
