"""Labels in the words of a user: which class each is, or its text features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from zskel.data.caches import TOKEN_ARRAYS, SkeletonFeatures, TextFeatures
from zskel.data.common.errors import BadInput, MissingModel
from zskel.data.common.outside import is_outside
from zskel.data.text_rows import about_cut, check_distinct, is_blank
from zskel.pipeline.base.config import NamedConfig, TextConfig

if TYPE_CHECKING:
    from zskel.extractors.text import TextEncoder
    from zskel.zsl.novel_labels import Labels

Texts = TextFeatures | Mapping[str, TextFeatures]


@dataclass(frozen=True)
class ResolvedLabels:
    """Labels that take the place of the unseen classes.

    Attributes:
        classes: Ids of those that the caches know and that are not seen.
        new: The others; those that are seen classes come last.
        seen: Those that are answers of C_s already.
        notices: What a reader of the answers should know.
    """

    classes: list[int]
    new: list[str]
    seen: list[int]
    notices: list[str] = field(default_factory=list)


def resolve_labels(labels: Sequence[str], cache: SkeletonFeatures, gzsl: bool) -> ResolvedLabels:
    """Tells typed labels that are class names from those that are not.

    Case and surplus spaces do not matter. In GZSL a seen class's name is that
    class; in ZSL, where there are no seen classes, it is a label like any other
    that has its text alone.

    Args:
        labels: As typed; none: the unseen classes.
        cache: The test-phase cache.
        gzsl: Whether seen classes are among the answers.

    Raises:
        BadInput: A label is empty or is there twice, or there are too few.
    """
    if not labels:
        return ResolvedLabels(list(cache.unseen_classes), [], [])
    by_name = {_plain(name): index for index, name in enumerate(cache.class_names)}
    resolved = ResolvedLabels([], [], [])
    met: set[str] = set()
    lent: list[str] = []
    for label in labels:
        plain = _plain(label)
        if is_blank(label):
            raise BadInput(f"label {label!r} is empty")
        if plain in met:
            raise BadInput(f"label {label!r} is given twice")
        met.add(plain)
        index = by_name.get(plain)
        if index is None:
            resolved.new.append(" ".join(label.split()))
        elif index not in cache.seen_classes:
            resolved.classes.append(index)
        elif gzsl:
            resolved.seen.append(index)
        else:
            lent.append(cache.class_names[index])
            resolved.notices.append(
                f"{cache.class_names[index]!r} is a seen class; in ZSL its text alone counts, "
                "`pipeline predict --gzsl` uses what was learned of it")
    resolved.new.extend(lent)
    count = len(resolved.classes) + len(resolved.new)
    if gzsl and count == 0:
        raise BadInput("all labels are seen classes; GZSL needs one that is not")
    if not gzsl and count < 2:
        raise BadInput(f"ZSL among one label ({labels[0]!r}) has only one answer; give more, or "
                       "--gzsl, where the seen classes are answers too")
    return resolved


def with_texts(
    resolved: ResolvedLabels, texts: Texts, sources: Sequence[str] = (),
    reads_tokens: bool = False,
) -> Labels:
    """The labels with text features of those that have none yet.

    Class names have the caches' rows; the others are embedded by the caches'
    own encoder.

    Args:
        resolved: From :func:`resolve_labels`.
        texts: The caches that the method takes.
        sources: Another text source for new labels than the cache's: its name,
            or a file for the source "file"; for a method that takes parts
            ``part=source`` for each part.
        reads_tokens: Whether the method takes those, where there are any.

    Raises:
        BadInput: The encoder is not known or is another one today, the source
            has no text for a label, or two labels get the same row.
        MissingModel: The encoder cannot be had.
    """
    from zskel.zsl.cache_checks import whole_text
    from zskel.zsl.novel_labels import Labels

    if not resolved.new:
        return Labels(resolved.classes)
    if not isinstance(texts, Mapping):
        if len(sources) > 1:
            raise BadInput("--text-source is given twice; this method takes one text a label")
        rows = _rows(resolved, texts, next(iter(sources), None), whole=True)
        _require_distinct(resolved, texts, rows)
        return Labels(resolved.classes, whole_text(rows, reads_tokens))
    given = dict(source.partition("=")[::2] for source in sources)
    wrong = [part for part, source in given.items() if part not in texts or not source]
    if wrong:
        raise BadInput(f"--text-source {wrong[0]!r}: this method takes {' and '.join(texts)} of "
                       f"each label; expected {'=..., '.join(texts)}=...")
    return Labels(resolved.classes, {part: _rows(resolved, features, given.get(part)).f_y
                                  for part, features in texts.items()})


def _rows(
    resolved: ResolvedLabels, cache: TextFeatures, source: str | None, whole: bool = False
) -> TextFeatures:
    """Text features of the new labels; cut texts go to the notices."""
    strangers = [label for label in resolved.new if label not in cache.class_names]
    caches = [cache]
    if strangers:
        made = _embed(strangers, cache, source, resolved.notices)
        if whole:
            check_distinct(made, "labels")
        resolved.notices.extend(filter(None, [about_cut(made)]))
        caches.append(made)
    known = [*cache.class_names, *strangers]
    rows = [known.index(label) for label in resolved.new]
    arrays: dict[str, Any] = {}
    for name in ("f_y", *TOKEN_ARRAYS):
        parts = [getattr(each, name) for each in caches]
        if parts[0] is not None:
            arrays[name] = np.concatenate(parts)[rows]
    return replace(cache, class_names=tuple(resolved.new), text=np.asarray(resolved.new),
                   tokens=None, token_limit=(), **arrays)


def _require_distinct(resolved: ResolvedLabels, cache: TextFeatures, rows: TextFeatures) -> None:
    names = (*(cache.class_names[index] for index in resolved.classes), *rows.class_names)
    check_distinct(replace(
        rows, f_y=np.concatenate([cache.f_y[resolved.classes], rows.f_y]), class_names=names,
        text=np.asarray(names)), "labels")


def _embed(
    labels: list[str], cache: TextFeatures, source: str | None, notices: list[str]
) -> TextFeatures:
    """Features of labels as ``zskel.pipeline.steps.text_cache`` makes those of classes."""
    from zskel.extractors.text import JOIN, class_texts, concatenate, embed_classes

    try:
        config = TextConfig.model_validate(cache.config)
    except ValidationError:
        raise BadInput(f"label {labels[0]!r} is no class of {len(cache.class_names)}, and the text "
                       f"features ({cache.encoder}) do not say how new ones are made: they were "
                       "imported") from None
    if source is not None:
        if config.concat_with:
            raise BadInput("--text-source: the text features are several side by side, which have "
                           "sources of their own")
        config = config.model_copy(update={"source": _source(source)})
    pairs = [(config.encoder, config.source),
             *((part.encoder or config.encoder, part.source) for part in config.concat_with)]
    features = []
    for encoder, own in pairs:
        try:
            texts = class_texts(own.name, labels, **own.options)
        except (BadInput, MissingModel) as error:
            if source is not None:
                raise
            raise type(error)(f"{error}; or with --text-source, which takes a JSON file of texts "
                              "by label, or 'label' for the labels themselves") from None
        features.append(embed_classes(
            _encoder(encoder.model_dump_json()), labels, texts, own.name,
            on_notice=notices.append, keep_tokens=config.tokens))
    whole = features[0] if len(features) == 1 else concatenate(features)
    revision = JOIN.join(part.encoder_revision for part in features)
    if revision != cache.encoder_revision:
        raise BadInput(f"text encoder {cache.encoder}: its revision here is {revision[:40]!r}, the "
                       f"cache was made with {cache.encoder_revision[:40]!r}; extract again, or "
                       "install that one")
    return whole


@lru_cache(maxsize=2)
def _encoder(config: str) -> TextEncoder:
    """An encoder by the JSON of its config; loading one takes seconds."""
    from zskel.extractors.text import ENCODERS

    named = NamedConfig.model_validate_json(config)
    return ENCODERS.build(named.name, **named.options)


def _source(name: str) -> NamedConfig:
    if Path(name).suffix and not is_outside(name):
        return NamedConfig(name="file", options={"path": name})
    return NamedConfig(name=name)


def _plain(label: str) -> str:
    return " ".join(label.casefold().split())
