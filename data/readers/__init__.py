"""Readers of raw recordings, by name. A new source is one file and one line here."""

from __future__ import annotations

from zskel.data.common.registry import Registry
from zskel.data.readers.base import Entry, Reader, Scan, Skip

READERS = Registry("reader", {
    "ntu": "zskel.data.readers.ntu:NTUReader",
    "nw_ucla": "zskel.data.readers.nw_ucla:NWUCLAReader",
    "pku_mmd": "zskel.data.readers.pku_mmd:PKUMMDReader",
    "pose_pickle": "zskel.data.readers.pose_pickle:PosePickleReader",
    "utd_mhad": "zskel.data.readers.utd_mhad:UTDMHADReader",
}, base="zskel.data.readers.base:Reader")

__all__ = ["READERS", "Entry", "Reader", "Scan", "Skip"]
