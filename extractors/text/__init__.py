"""Class texts and their embeddings f_y."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from zskel.data.caches import TextFeatures
from zskel.data.common.errors import BadConfig, BadInput, PipelineError
from zskel.data.common.machine import machine
from zskel.data.common.memory import out_of_memory
from zskel.data.text_rows import few
from zskel.extractors.text.encoders import (
    ENCODERS,
    TextEncoder,
    import_packages,
    known_revision,
)
from zskel.extractors.text.sources import class_texts

__all__ = [
    "ENCODERS", "JOIN", "TextEncoder", "class_texts", "concatenate", "embed_classes",
    "import_packages", "known_revision",
]

#: Stands between what the parts of concatenated features are called.
JOIN = " + "


def embed_classes(
    encoder: TextEncoder,
    class_names: Sequence[str],
    texts: list[list[str]],
    source: str,
    config: Any = None,
    on_notice: Callable[[str], None] = warnings.warn,
    *,
    keep_tokens: int | None = None,
) -> TextFeatures:
    """Embeds the texts of each class; several texts of a class are averaged.

    Where the encoder counts tokens, they are kept with what it reads of them.
    Texts that do not fit into memory together are embedded in halves, which can change
    f_y by rounding and is noted in ``software``.

    Args:
        encoder: From ``ENCODERS``.
        class_names: ``[C]``.
        texts: ``[C][K]``, from ``class_texts``.
        source: The texts' source, for the cache.
        config: JSON value for the cache: what encoder and source were made with.
        on_notice: Gets a line each time that fewer texts are tried, and one where not all
            tokens are kept.
        keep_tokens: Keep so many token features of each class, those of several texts one
            after the other, padded with zeros; None: f_y alone.

    Returns:
        Features with ``f_y`` of shape ``[C, D]`` and the exact strings.

    Raises:
        BadConfig: The encoder has no token features.
        BadInput: Nothing of a text is left for the encoder to read.
        PipelineError: A single text does not fit into memory.
    """
    flat = [text for own in texts for text in own]
    counted = _tokens(encoder, class_names, texts, source)
    parts = _encoded(encoder, flat, on_notice)
    kept = {} if keep_tokens is None else _token_features(
        encoder, class_names, texts, keep_tokens, on_notice)
    software = {name: version(name) for name in (
        "torch", "sentence-transformers", "open_clip_torch", "numpy")} | machine()
    if len(parts) > 1:
        software["out_of_memory"] = f"{len(flat)} texts were embedded in {len(parts)} parts"
    vectors = np.concatenate(parts)
    vectors = vectors.reshape(len(texts), -1, vectors.shape[1])
    strings = np.asarray(texts)
    tokens, limit = counted or (None, -1)
    shape = strings.shape[:1] if strings.shape[1] == 1 else strings.shape
    return TextFeatures(
        f_y=vectors.mean(axis=1).astype(np.float32),
        text=strings.reshape(shape),
        tokens=None if tokens is None else np.asarray(tokens, np.int32).reshape(shape),
        token_limit=() if tokens is None else (limit,) * strings.shape[1],
        class_names=tuple(class_names),
        encoder=encoder.name,
        encoder_revision=encoder.revision,
        text_source=source,
        config=config or {},
        software=software,
        **kept,
    )


def _token_features(
    encoder: TextEncoder, class_names: Sequence[str], texts: list[list[str]], most: int,
    on_notice: Callable[[str], None],
) -> dict[str, np.ndarray]:
    read = getattr(encoder, "token_features", None)
    if read is None:
        raise BadConfig(f"text encoder {encoder.name} gives no features of tokens; leave out "
                        "class_text.tokens, or take sentence_bert or clip")
    flat = iter(read([text for own in texts for text in own]))
    of_class = [np.concatenate([next(flat) for _ in own]) for own in texts]
    longer = [f"{name!r} ({len(own)})"
              for name, own in zip(class_names, of_class, strict=True) if len(own) > most]
    if longer:
        on_notice(f"{encoder.name}: the first {most} tokens of a class are kept beside f_y "
                  f"(class_text.tokens); {len(longer)} of {len(texts)} classes have more: "
                  + few(longer, 5))
    features = np.zeros((len(texts), most, of_class[0].shape[1]), np.float16)
    mask = np.zeros(features.shape[:2], bool)
    for row, own in enumerate(of_class):
        features[row, :len(own)] = own[:most]
        mask[row, :len(own)] = True
    return {"token_features": features, "token_mask": mask}


def _tokens(
    encoder: TextEncoder, class_names: Sequence[str], texts: list[list[str]], source: str
) -> tuple[list[int], int] | None:
    count = getattr(encoder, "tokens", None)
    flat = [text for own in texts for text in own]
    found: tuple[list[int], int] | None = None if count is None else count(["", *flat])
    if found is None:
        return None
    (empty, *lengths), limit = found
    for index, (text, length) in enumerate(zip(flat, lengths, strict=True)):
        if length <= empty:
            raise BadInput(f"text source {source!r}: of the text of class "
                           f"{class_names[index // len(texts[0])]!r} ({text[:60]!r}) nothing is "
                           f"left that {encoder.name} reads; give it another")
    return lengths, limit


def _encoded(
    encoder: TextEncoder, texts: Sequence[str], on_notice: Callable[[str], None]
) -> list[np.ndarray]:
    try:
        return [encoder.encode(texts)]
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, PipelineError) or not out_of_memory(error):
            raise
    if len(texts) == 1:
        raise PipelineError(f"{encoder.name}: the text {texts[0][:60]!r} alone does not fit into "
                            "memory; free some, or take a smaller encoder (class_text.encoder)")
    half = len(texts) // 2
    on_notice(f"{encoder.name}: {len(texts)} texts do not fit into memory at once; they are "
              "embedded in halves, which can change f_y by rounding and is noted in the cache")
    return [part for own in (texts[:half], texts[half:])
            for part in _encoded(encoder, own, on_notice)]


def concatenate(parts: Sequence[TextFeatures], config: Any = None) -> TextFeatures:
    """Sets the embeddings of several encoders or sources side by side.

    Each row of each part is scaled to unit length first, so that no part counts
    for more than another; so is each token, where all parts have token features.
    Encoders, revisions and sources are named in the order of their columns, with ``JOIN``
    between them.

    Args:
        parts: Features of the same classes, ``[C, D_i]``.
        config: JSON value for the cache.

    Returns:
        Features with ``f_y`` of shape ``[C, sum of D_i]`` and the strings of all parts.

    Raises:
        BadInput: A row of a part is all zeros.
    """
    counts = [part.text.size // len(part.text) for part in parts]
    counted = any(part.tokens is not None for part in parts)
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
        software={name: value for part in parts for name, value in part.software.items()},
        tokens=np.concatenate([
            np.full((len(part.text), count), -1, np.int32) if part.tokens is None else
            part.tokens.reshape(-1, count) for part, count in zip(parts, counts)], axis=1)
        if counted else None,
        token_limit=tuple(limit for part, count in zip(parts, counts)
                          for limit in part.token_limit or (-1,) * count) if counted else (),
        **_tokens_beside(parts),
    )


def _tokens_beside(parts: Sequence[TextFeatures]) -> dict[str, np.ndarray]:
    """Token features side by side, those at the same place; a shorter text has zeros."""
    unit, masks = [], []
    for part in parts:
        values, mask = part.token_features, part.token_mask
        if values is None or mask is None:
            return {}
        norms = np.linalg.norm(values.astype(np.float32), axis=2, keepdims=True)
        unit.append((values / np.where(mask[..., None], norms, 1)).astype(np.float16))
        masks.append(mask)
    return {"token_features": np.concatenate(unit, axis=2),
            "token_mask": np.any(masks, axis=0)}
