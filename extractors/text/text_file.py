"""Class texts of one's own, from a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from zskel.data.common.errors import BadInput
from zskel.data.common.files import read_text
from zskel.data.text_rows import is_blank


def text_file(class_names: Sequence[str], path: str) -> list[list[str]]:
    """Texts from a UTF-8 file.

    Args:
        class_names: ``[C]``.
        path: Either text with one line a class in label order, or, ending in
            ``.json``, ``{class name: text or [texts]}`` in any order. Classes
            beyond ``class_names`` are of no account in JSON.

    Returns:
        ``[C][K]``; K is 1 for a text file.

    Raises:
        BadInput: The file cannot be read, or has no text for a class.
    """
    try:
        content = read_text(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise BadInput(f"{path}: cannot be read as class texts ({reason})") from None
    if Path(path).suffix.lower() == ".json":
        texts = _from_json(path, content, class_names)
    else:
        lines = content.rstrip().split("\n")
        if len(lines) != len(class_names):
            raise BadInput(f"{path}: {len(lines)} lines for {len(class_names)} classes; "
                           "one line a class in label order is expected")
        texts = [[line.strip()] for line in lines]
    for name, own in zip(class_names, texts, strict=True):
        if not own or any(map(is_blank, own)):
            raise BadInput(f"{path}: no text for class {name!r}")
    return texts


def _from_json(path: str, content: str, class_names: Sequence[str]) -> list[list[str]]:
    try:
        table = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: no valid JSON ({error})") from None
    if not isinstance(table, dict):
        raise BadInput(f"{path}: expected an object {{class name: text or [texts]}}")
    texts = []
    for name in class_names:
        if name not in table:
            close = get_close_matches(name, table, n=1)
            raise BadInput(f"{path}: no text for class {name!r}"
                           + (f"; is {close[0]!r} meant?" if close else ""))
        own = [table[name]] if isinstance(table[name], str) else table[name]
        if not isinstance(own, list) or not all(isinstance(text, str) for text in own):
            raise BadInput(f"{path}: class {name!r}: expected a string or a list of strings")
        texts.append([text.strip() for text in own])
    return texts
