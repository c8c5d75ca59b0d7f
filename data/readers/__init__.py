"""Readers of raw recordings, by name. A new source is one file and one line here."""

from __future__ import annotations

from data.readers.base import Entry, Reader, Scan, Skip
from data.registry import Registry

READERS = Registry("reader", {
    "ntu": "data.readers.ntu:NTUReader",
    "utd_mhad": "data.readers.utd_mhad:UTDMHADReader",
})

__all__ = ["READERS", "Entry", "Reader", "Scan", "Skip"]
