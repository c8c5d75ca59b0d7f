"""Readers of raw recordings, by name. A new source is one file and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.errors import BadConfig
from data.readers.base import Entry, Reader, Scan, Skip

#: Config name -> "module:class". Imported on first use.
READERS = {
    "ntu": "data.readers.ntu:NTUReader",
    "utd_mhad": "data.readers.utd_mhad:UTDMHADReader",
}

__all__ = ["READERS", "Entry", "Reader", "Scan", "Skip", "build_reader"]


def build_reader(name: str, sources: Sequence[str | Path], **options: Any) -> Reader:
    """Makes the reader that a config names.

    Raises:
        BadConfig: The name or an option is unknown.
    """
    if name not in READERS:
        raise BadConfig(f"unknown reader {name!r}; there are {', '.join(sorted(READERS))}")
    module, _, attribute = READERS[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)(sources, **options)
    except TypeError as error:
        raise BadConfig(f"reader {name!r}: {error}") from None
