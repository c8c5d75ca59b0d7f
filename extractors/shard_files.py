"""The files of finished parts of an extraction, beside the cache that they become."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zskel.data.common.files import atomic_path


@dataclass(frozen=True)
class Shard:
    """Features of some clips.

    Attributes:
        positions: Int64 ``[n]``, among the rows of the extraction.
        f_x, logits: Float32 ``[n, D]`` and ``[n, S]``. Of a pooled view that has a file
            of its own, f_x is float16 ``[n, ..., D]``.
        cut: How many passes were run in parts.
        machine: What made them, as JSON.
        pooled: Views of the same passes by name, float16 ``[n, ..., D]``.
    """

    positions: np.ndarray
    f_x: np.ndarray
    logits: np.ndarray
    cut: int
    machine: str
    pooled: Mapping[str, np.ndarray] = field(default_factory=dict)


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
        arrays = {**vars(shard), **shard.pooled}
        del arrays["pooled"]
        np.savez(handle, **arrays)


def read_shard(path: Path, positions: np.ndarray, pools: Sequence[str] = ()) -> Shard | None:
    """The shard of these positions, or None if there is no whole one with all these views."""
    try:
        with np.load(path) as content:
            shard = Shard(content["positions"], content["f_x"], content["logits"],
                          int(content["cut"]), str(content["machine"]),
                          {name: content[name] for name in pools})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    views = [*shard.pooled.values(), *([shard.f_x] if shard.f_x.ndim > 2 else [])]
    plain = [shard.logits, *([shard.f_x] if shard.f_x.ndim <= 2 else [])]
    whole = np.array_equal(shard.positions, positions) and all(
        part.dtype == kind and part.ndim >= dims and len(part) == len(positions)
        for parts, kind, dims in ((plain, np.float32, 2), (views, np.float16, 3))
        for part in parts)
    return shard if whole else None
