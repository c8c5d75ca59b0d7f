"""Readers of raw recordings, by name. A new source is one file and one line here."""

from __future__ import annotations

from data.readers.base import Entry, Reader, Scan, Skip
from data.registry import Registry

READERS = Registry("reader", {
    "ntu": "data.readers.ntu:NTUReader",
    "nw_ucla": "data.readers.nw_ucla:NWUCLAReader",
    "pku_mmd": "data.readers.pku_mmd:PKUMMDReader",
    "pose_pickle": "data.readers.pose_pickle:PosePickleReader",
    "utd_mhad": "data.readers.utd_mhad:UTDMHADReader",
})

__all__ = ["READERS", "Entry", "Reader", "Scan", "Skip"]
