"""Where a class's text comes from. A new source is a function and one line here."""

from __future__ import annotations

from collections.abc import Sequence

from data.errors import BadConfig
from data.registry import Registry


def label(class_names: Sequence[str]) -> list[list[str]]:
    """The class name itself, as the paper uses it."""
    return [[name] for name in class_names]


def template(class_names: Sequence[str], templates: Sequence[str] = ("a person doing {}",)) -> list[list[str]]:
    """The class name in one or more sentences; their embeddings are averaged.

    >>> template(["wave"], ["a person who does {}", "{}"])
    [['a person who does wave', 'wave']]
    """
    for text in templates:
        if "{}" not in text:
            raise BadConfig(f"text template {text!r} has no {{}} for the class name")
    return [[text.format(name) for text in templates] for name in class_names]


SOURCES = Registry("text source", {"label": label, "template": template})


def class_texts(name: str, class_names: Sequence[str], **options: object) -> list[list[str]]:
    """The K texts of each class, ``[C][K]``.

    Raises:
        BadConfig: The source or an option is unknown, or a class has no text.
    """
    texts = SOURCES.build(name, class_names, **options)
    for class_name, own in zip(class_names, texts):
        if not own or not all(text.strip() for text in own):
            raise BadConfig(f"text source {name!r}: class {class_name!r} has no text")
    return texts
