"""The files of finished parts of an extraction, beside the cache that they become."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zskel.data.common.files import atomic_path


@dataclass(frozen=True)
class Shard:
    """Features of some clips.

    Attributes:
        positions: Int64 ``[n]``, among the rows of the extraction.
        f_x, logits: Float32 ``[n, D]`` and ``[n, S]``.
        cut: How many passes were run in parts.
        machine: What made them, as JSON.
    """

    positions: np.ndarray
    f_x: np.ndarray
    logits: np.ndarray
    cut: int
    machine: str


def shard_folder(cache: Path, digest: str) -> Path:
    """The folder for the shards of a cache.

    Args:
        cache: The file that they will become.
        digest: Of everything that decides its content.
    """
    return cache.with_name(f".{cache.name}.{digest[:16]}.shards")


def drop_shards(cache: Path) -> None:
    """Removes what extractions of a cache, stopped ones too, have left beside it."""
    for left in cache.parent.glob(f".{cache.name}.*.shards"):
        shutil.rmtree(left, ignore_errors=True)


def write_shard(path: Path, shard: Shard) -> None:
    """Writes a shard atomically."""
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, **vars(shard))


def read_shard(path: Path, positions: np.ndarray) -> Shard | None:
    """The shard of these positions, or None if there is no whole one."""
    try:
        with np.load(path) as content:
            shard = Shard(content["positions"], content["f_x"], content["logits"],
                          int(content["cut"]), str(content["machine"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    whole = np.array_equal(shard.positions, positions) and all(
        part.dtype == np.float32 and part.ndim == 2 and len(part) == len(positions)
        for part in (shard.f_x, shard.logits))
    return shard if whole else None
