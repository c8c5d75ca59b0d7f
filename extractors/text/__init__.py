"""Class texts and their embeddings f_y."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from data.caches import TextFeatures
from data.errors import BadInput
from extractors.text.encoders import ENCODERS, TextEncoder, known_revision
from extractors.text.sources import class_texts

__all__ = [
    "ENCODERS", "JOIN", "TextEncoder", "class_texts", "concatenate", "embed_classes",
    "known_revision",
]

#: Stands between what the parts of concatenated features are called.
JOIN = " + "


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


def concatenate(parts: Sequence[TextFeatures], config: Any = None) -> TextFeatures:
    """Sets the embeddings of several encoders or sources side by side.

    Each row of each part is scaled to unit length first, so that no part counts
    for more than another. Encoders, revisions and sources are named in the
    order of their columns, with ``JOIN`` between them.

    Args:
        parts: Features of the same classes, ``[C, D_i]``.
        config: JSON value for the cache.

    Returns:
        Features with ``f_y`` of shape ``[C, sum of D_i]`` and the strings of all parts.

    Raises:
        BadInput: A row of a part is all zeros.
    """
    unit = []
    for part in parts:
        norms = np.linalg.norm(part.f_y, axis=1, keepdims=True)
        if not norms.all():
            name = part.class_names[int(norms.argmin())]
            raise BadInput(f"{part.encoder}, text source {part.text_source!r}: the embedding of "
                           f"class {name!r} is all zeros and has no direction")
        unit.append(part.f_y / norms)
    return TextFeatures(
        f_y=np.concatenate(unit, axis=1),
        text=np.concatenate([part.text.reshape(len(part.text), -1) for part in parts], axis=1),
        class_names=parts[0].class_names,
        encoder=JOIN.join(part.encoder for part in parts),
        encoder_revision=JOIN.join(part.encoder_revision for part in parts),
        text_source=JOIN.join(part.text_source for part in parts),
        config=config or {},
    )
