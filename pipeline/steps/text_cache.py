"""The text caches of an experiment: made, or kept where they are current."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.caches import TextFeatures, read_text_features, write_text_features
from zskel.data.classes import class_names
from zskel.data.common.errors import BadCache
from zskel.data.text_rows import about_cut, check_distinct
from zskel.pipeline.base.changes import differences
from zskel.pipeline.base.config import Experiment, NamedConfig, TextConfig
from zskel.pipeline.base.progress import say
from zskel.pipeline.base.workdir import WorkDir


def text_caches(experiment: Experiment, work: WorkDir) -> tuple[Path, dict[str, Path]]:
    """Writes or keeps ``text.h5`` and the caches of the parts of speech.

    Returns:
        The text cache, and part -> cache.

    Raises:
        PipelineError: A source or an encoder is not what the config says.
    """
    names = class_names(experiment.dataset.name)
    parts = {name: text_cache(names, config, work, name)
             for name, config in experiment.class_text_parts.items()}
    assert experiment.class_text is not None
    return text_cache(names, experiment.class_text, work), parts


def import_encoders(experiment: Experiment) -> None:
    """Imports the packages that embed the texts of an experiment."""
    from zskel.extractors.text import import_packages

    configs = [experiment.class_text, *experiment.class_text_parts.values()]
    import_packages({encoder.name for config in configs if config is not None
                     for encoder, _ in _pairs(config)})


def supervising_text(experiment: Experiment, work: WorkDir) -> np.ndarray | None:
    """f_y of all classes, ``[C, Dt]``, if it trains the backbone; None if it is not current."""
    if experiment.needed_backbone.text_supervision is None or text_changes(
            experiment, work)[work.text]:
        return None
    return read_text_features(work.text).f_y


def current_texts(experiment: Experiment, work: WorkDir) -> dict[str, bool]:
    """Which text caches an experiment needs, by file name, and whether each is current."""
    return {path.name: not changes for path, changes in text_changes(experiment, work).items()}


def text_changes(experiment: Experiment, work: WorkDir) -> dict[Path, list[str]]:
    """The text caches that an experiment needs, and why each is not current; [] where it is."""
    from zskel.extractors.text.sources import class_texts

    names = class_names(experiment.dataset.name)
    wanted = {work.text: experiment.class_text,
              **{work.text_part(name): own for name, own in experiment.class_text_parts.items()}}
    return {path: _changes(path, _pairs(config), _provenance(config), [
        class_texts(source.name, names, **source.options) for _, source in _pairs(config)])
        for path, config in wanted.items() if config is not None}


def text_cache(
    names: Sequence[str], config: TextConfig, work: WorkDir, part: str = ""
) -> Path:
    """Writes or keeps one text cache.

    It is current if it was made by the same config from the same strings and,
    as far as can be told without loading a model, by the same weights. Classes
    whose texts are cut are told.

    Args:
        names: Of the classes, ``[C]``.
        config: Its section.
        work: Where it goes.
        part: Of speech; "": whole classes, whose rows have to differ.

    Raises:
        PipelineError: A source or an encoder is not what the config says.
        BadCache: Two classes have the same row.
    """
    # Imports of stage one are inside functions: sentence-transformers, open_clip
    # and mmaction2 take seconds each, also when everything is there already.
    from zskel.extractors.text.sources import class_texts, source_name

    path = work.text_part(part) if part else work.text
    pairs = _pairs(config)
    texts = [class_texts(source.name, names, **source.options) for _, source in pairs]
    provenance = _provenance(config)
    if not _changes(path, pairs, provenance, texts):
        say(f"kept {path}")
        _look_at(read_text_features(path), path, part)
        return path
    from zskel.extractors.text import ENCODERS, concatenate, embed_classes

    made: dict[str, Any] = {}
    features = []
    for (encoder, source), own in zip(pairs, texts, strict=True):
        key = encoder.model_dump_json()
        if key not in made:
            made[key] = ENCODERS.build(encoder.name, **encoder.options)
        features.append(embed_classes(made[key], names, own,
                                      source_name(source.name, source.options), provenance,
                                      say, keep_tokens=config.tokens))
    whole = features[0] if len(features) == 1 else concatenate(features, provenance)
    _look_at(whole, path, part)
    write_text_features(path, whole)
    say(f"wrote {path}: {whole.f_y.shape[0]} x {whole.f_y.shape[1]}, {whole.encoder}"
        + (f", {config.tokens} tokens a class" if config.tokens else ""))
    return path


def _look_at(features: TextFeatures, path: Path, part: str) -> None:
    cut = about_cut(features)
    if not part:
        check_distinct(features, str(path))
    if cut:
        say(f"note: {path.name}: {cut}")


def _pairs(config: TextConfig) -> list[tuple[NamedConfig, NamedConfig]]:
    """Encoder and source of each part of f_y."""
    return [(config.encoder, config.source),
            *((part.encoder or config.encoder, part.source) for part in config.concat_with)]


def _provenance(config: TextConfig) -> dict[str, Any]:
    content = config.model_dump(mode="json")
    if not content["concat_with"]:
        del content["concat_with"]  # so that caches from before it are current
    return content


def _changes(
    path: Path, pairs: Sequence[tuple[NamedConfig, NamedConfig]], provenance: dict[str, Any],
    texts: Sequence[list[list[str]]],
) -> list[str]:
    try:
        found = read_text_features(path)
    except BadCache as error:
        return [str(error)]
    changes = differences(found.config, provenance)
    flat = [[text for part in own for text in part] for own in zip(*texts, strict=True)]
    then = found.text.reshape(len(found.text), -1).tolist()
    if len(flat) != len(then):
        changes.append(f"there were {len(then)} classes, there are {len(flat)}")
    elif flat != then:
        first = next(index for index, own in enumerate(flat) if own != then[index])
        changes += differences(then[first], flat[first], f"text of class {first}")
    if changes:
        return changes
    from zskel.extractors.text import JOIN, known_revision

    now = [known_revision(encoder.name, encoder.options) for encoder, _ in pairs]
    before = found.encoder_revision.split(JOIN)
    if len(now) == len(before) and all(n is None or n == b for n, b in zip(now, before)):
        return []
    return differences(before, [n or b for n, b in zip(now, before)], "encoder_revision") or [
        f"encoder_revision {found.encoder_revision!r} is not of {len(now)} encoders"]
