"""Verb and noun of a label, as JPoSE and SynSE take them: from a table or a tagger."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from zskel.data.common.errors import MissingModel
from zskel.data.texts import NO_NOUN, PartsOfSpeech, look_up, of_all, parts_of_speech

TAGGER_MODEL = "en_core_web_sm"


def verb(
    class_names: Sequence[str],
    dataset: str | None = None,
    tagger: bool = False,
    model: str = TAGGER_MODEL,
) -> list[list[str]]:
    """The verb of each label; see ``label_parts`` for the options."""
    return [[parts.verb] for parts in label_parts(class_names, dataset, tagger, model)]


def noun(
    class_names: Sequence[str],
    dataset: str | None = None,
    tagger: bool = False,
    model: str = TAGGER_MODEL,
) -> list[list[str]]:
    """The noun of each label, "#" where it has none; options as ``label_parts``."""
    return [[parts.noun] for parts in label_parts(class_names, dataset, tagger, model)]


def label_parts(
    class_names: Sequence[str],
    dataset: str | None = None,
    tagger: bool = False,
    model: str = TAGGER_MODEL,
) -> list[PartsOfSpeech]:
    """Verb and noun of each label.

    Args:
        class_names: ``[C]``.
        dataset: Whose classes they are, where the names alone do not tell.
        tagger: Ask spaCy for all labels, as the paper does for PKU-MMD (tables 6
            and 7). Otherwise only for those that no shipped table has.
        model: spaCy's English model, by name or folder.

    Returns:
        ``[C]`` pairs.

    Raises:
        BadConfig: Two data sets differ over a class.
        MissingModel: The tagger is needed and is not installed.
    """
    tables = {} if tagger else of_all(parts_of_speech)
    found = look_up(class_names, tables, None if tagger else dataset)
    unknown = [name for name, parts in zip(class_names, found, strict=True) if parts is None]
    if not unknown:
        return [parts for parts in found if parts is not None]
    tagged = tag(unknown, _load(model, unknown[0]))
    return [parts or tagged[name] for name, parts in zip(class_names, found, strict=True)]


def tag(labels: Sequence[str], nlp: Callable[[str], Any]) -> dict[str, PartsOfSpeech]:
    """Verb and noun of each label by a spaCy pipeline with tagger, parser and lemmatizer.

    A label is read after the subject "they": on its own, an imperative such as
    "wipe face" is taken for two nouns. What stands in brackets is left out. The
    verb is a lemma with its particle ("put on"); the noun is the first after it,
    with the nouns that it is compounded of.
    """
    return {label: _tag_one(label, nlp) for label in labels}


def _tag_one(label: str, nlp: Callable[[str], Any]) -> PartsOfSpeech:
    plain = re.sub(r"\([^)]*\)", " ", label).strip() or label.strip("() ")
    plain = " ".join(plain.replace("/", " or ").split())
    subject = "they are" if plain.split()[0].endswith("ing") else "they"
    words = list(nlp(f"{subject} {plain}"))[len(subject.split()):]
    action = next((word for word in words if word.pos_ == "VERB"), words[0])
    particles = [word.text for word in words if word.dep_ == "prt" and word.head == action]
    things = [word for word in words if word != action and word.dep_ != "compound"
              and word.pos_ in ("NOUN", "PROPN")]
    things = [word for word in things if word.i > action.i] or things
    if not things:
        return PartsOfSpeech(" ".join([action.lemma_.lower(), *particles]), NO_NOUN)
    compound = [word.text for word in words
                if word.dep_ == "compound" and word.head == things[0] and word != action]
    return PartsOfSpeech(" ".join([action.lemma_.lower(), *particles]),
                         " ".join([*compound, things[0].text]))


@cache
def _load(model: str, label: str) -> Callable[[str], Any]:
    try:
        import spacy

        return spacy.load(model)
    except (ImportError, OSError, ValueError):
        raise MissingModel(
            f"no verb and noun ship for class {label!r}, and spaCy with its model {model!r} is not "
            f"installed; install both (pip install spacy; python -m spacy download {model}), or "
            "give the texts with the source 'file'"
        ) from None
