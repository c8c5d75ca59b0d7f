"""Where a class's text comes from. A new source is a function and one line here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from inspect import signature
from typing import Any, TypeVar

from zskel.data.common.errors import BadConfig
from zskel.data.common.registry import Registry, nearest
from zskel.data.text_rows import is_blank
from zskel.data.texts import NO_NOUN, PartTexts, descriptions, look_up, of_all, part_texts, plain

_T = TypeVar("_T")


def label(class_names: Sequence[str]) -> list[list[str]]:
    """The class name itself, as the paper uses it."""
    return [[name] for name in class_names]


def template(
    class_names: Sequence[str], templates: Sequence[str] = ("a person doing {}",)
) -> list[list[str]]:
    """The class name in one or more sentences; their embeddings are averaged.

    >>> template(["wave"], ["a person who does {}", "{}"])
    [['a person who does wave', 'wave']]
    """
    if isinstance(templates, str) or not templates:
        raise BadConfig("text source 'template': templates has to be a list of strings with a {}")
    for text in templates:
        if not isinstance(text, str) or "{}" not in text:
            raise BadConfig(f"text template {text!r} has no {{}} for the class name")
    return [[text.replace("{}", name) for text in templates] for name in class_names]


def description(class_names: Sequence[str], dataset: str | None = None) -> list[list[str]]:
    """The description that ships with the class (compare appendix C.2 of the paper).

    Args:
        class_names: ``[C]``, as the data set writes them.
        dataset: Whose classes they are, where the names alone do not tell.

    Raises:
        BadConfig: A class has none, or two data sets describe it differently.
    """
    return [[text] for text in _shipped("description", class_names, of_all(descriptions), dataset)]


def parts(
    class_names: Sequence[str],
    of: Sequence[str] = ("head", "hands", "torso", "legs", "start", "middle", "end"),
    dataset: str | None = None,
) -> list[list[str]]:
    """What parts of the body do and what happens in each third, a text each.

    The embeddings of the texts are averaged. For a cache of each part of its own,
    name one part a time, as ``class_text_parts`` of a config does.

    Args:
        class_names: ``[C]``, as the data set writes them.
        of: Fields of ``zskel.data.texts.PartTexts``.
        dataset: Whose classes they are, where the names alone do not tell.

    Raises:
        BadConfig: No such part, or a class has no texts.

    >>> parts(["clapping"], of=["hands", "legs"])
    [['both palms meet and part in a quick beat', 'the legs stand still']]
    """
    if isinstance(of, str) or not of:
        raise BadConfig("text source 'parts': of has to be a list of parts, such as ['hands']")
    for part in of:
        if part not in PartTexts._fields:
            raise BadConfig(f"text source 'parts': no part {part!r}; "
                            f"{nearest(part, PartTexts._fields)}")
    found = _shipped("part text", class_names, of_all(part_texts), dataset)
    return [[getattr(own, part) for part in of] for own in found]


def motion(class_names: Sequence[str], dataset: str | None = None) -> list[list[str]]:
    """How the body moves, without objects and purposes, which a skeleton does not show.

    Args:
        class_names: ``[C]``, as the data set writes them.
        dataset: Whose classes they are, where the names alone do not tell.

    Raises:
        BadConfig: A class has no text.
    """
    found = _shipped("motion text", class_names, of_all(part_texts), dataset)
    return [[own.motion] for own in found]


def concat(
    class_names: Sequence[str],
    sources: Sequence[str | Mapping[str, Any]],
    separator: str = ". ",
) -> list[list[str]]:
    """The texts of several sources joined into one, such as "label. description".

    The k-th texts are joined; a source of one text a class gives it to each.
    A missing noun ("#") is left out.

    Args:
        class_names: ``[C]``.
        sources: Each a name, or ``dict(name=..., options=dict(...))``.
        separator: What stands between two texts. A full stop is not doubled.

    >>> concat(["wave"], ["label", {"name": "template", "options": {"templates": ["wow, {}!"]}}])
    [['wave. wow, wave!']]
    """
    parts = _parts("concat", class_names, sources)
    sizes = {len(part[0]) for part in parts if part} - {1}
    if len(sizes) > 1:
        raise BadConfig("text source 'concat': its sources give "
                        f"{' and '.join(map(str, sorted(sizes)))} texts a class; "
                        "they have to be as many, or one")
    count = max(sizes, default=1)
    return [
        [_join([own[k if len(own) > 1 else 0] for own in owns], separator) for k in range(count)]
        for owns in zip(*parts, strict=True)
    ]


def ensemble(
    class_names: Sequence[str], sources: Sequence[str | Mapping[str, Any]]
) -> list[list[str]]:
    """All texts of several sources; their embeddings are averaged, each text alike.

    Args:
        class_names: ``[C]``.
        sources: Each a name, or ``dict(name=..., options=dict(...))``.

    >>> ensemble(["wave"], ["label", "template"])
    [['wave', 'a person doing wave']]
    """
    parts = _parts("ensemble", class_names, sources)
    return [[text for own in owns for text in own] for owns in zip(*parts, strict=True)]


SOURCES = Registry("text source", {
    "label": label,
    "template": template,
    "description": description,
    "motion": motion,
    "parts": parts,
    "verb": "zskel.extractors.text.parts_of_speech:verb",
    "noun": "zskel.extractors.text.parts_of_speech:noun",
    "file": "zskel.extractors.text.text_file:text_file",
    "concat": concat,
    "ensemble": ensemble,
})


def source_name(name: str, options: Mapping[str, Any]) -> str:
    """What a cache calls a source: its name, and its parts where it has some.

    >>> source_name("concat", {"sources": ["label", {"name": "description"}]})
    'concat(label, description)'
    """
    parts = options.get("sources")
    if not parts:
        return name
    names = [part if isinstance(part, str) else
             source_name(part["name"], part.get("options", {})) for part in parts]
    return f"{name}({', '.join(names)})"


def of_dataset(name: str, options: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """A source's options with ``dataset`` wherever it, or one that it joins, takes one.

    >>> of_dataset("concat", {"sources": ["label", "motion"]}, "ntu60")["sources"][1]
    {'name': 'motion', 'options': {'dataset': 'ntu60'}}
    """
    own = dict(options)
    if "dataset" in signature(SOURCES.get(name)).parameters:
        own["dataset"] = dataset
    if "sources" in own:
        own["sources"] = [{"name": part, "options": of_dataset(part, rest, dataset)}
                          for part, rest in (_named(name, each) for each in own["sources"])]
    return own


def class_texts(name: str, class_names: Sequence[str], **options: object) -> list[list[str]]:
    """The K texts of each class, ``[C][K]``.

    Raises:
        BadConfig: The source or an option is unknown, or a class has no text or
            not as many as the others.
    """
    texts = SOURCES.build(name, class_names, **options)
    for class_name, own in zip(class_names, texts, strict=True):
        if not own or any(map(is_blank, own)):
            raise BadConfig(f"text source {name!r}: class {class_name!r} has no text")
        if len(own) != len(texts[0]):
            raise BadConfig(f"text source {name!r}: class {class_name!r} has {len(own)} texts and "
                            f"class {class_names[0]!r} has {len(texts[0])}; all need as many")
    return texts


def _shipped(
    what: str,
    class_names: Sequence[str],
    tables: Mapping[str, Mapping[str, _T]],
    dataset: str | None,
) -> list[_T]:
    found = look_up(class_names, tables, dataset)
    for name, text in zip(class_names, found, strict=True):
        if text is None:
            where = f"data set {dataset!r}" if dataset else "any shipped data set"
            tables = tables if dataset is None else {dataset: tables[dataset]}
            known = {plain(other): other for table in tables.values() for other in table}
            near = get_close_matches(plain(name), known, n=1)
            raise BadConfig(f"class {name!r} has no {what} in {where}"
                            + (f", the nearest class is {known[near[0]]!r}" if near else "")
                            + "; give your own with the source 'file'")
    return [text for text in found if text is not None]


def _parts(
    kind: str, class_names: Sequence[str], sources: Sequence[str | Mapping[str, Any]]
) -> list[list[list[str]]]:
    if isinstance(sources, (str, Mapping)) or not sources:
        raise BadConfig(f"text source {kind!r}: sources has to be a list of source names, "
                        "or of dict(name=..., options=...)")
    return [class_texts(name, class_names, **options)
            for name, options in (_named(kind, source) for source in sources)]


def _named(kind: str, source: str | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if isinstance(source, str):
        return source, {}
    if isinstance(source, Mapping) and "name" in source and set(source) <= {"name", "options"}:
        return str(source["name"]), source.get("options") or {}
    raise BadConfig(f"text source {kind!r}: {source!r} is no source name and no "
                    "dict(name=..., options=...)")


def _join(texts: Sequence[str], separator: str) -> str:
    *firsts, last = [text for text in texts if text != NO_NOUN] or [NO_NOUN]
    if separator.startswith("."):
        firsts = [text.removesuffix(".") for text in firsts]
    return separator.join([*firsts, last])
