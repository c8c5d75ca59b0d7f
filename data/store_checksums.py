"""Checksums inside a sequence store: one a clip, and one of everything else."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

import h5py
import numpy as np

from data.files import digest_json
from data.limits import own_dataset

#: Data set of the clips' checksums, attribute of the index's.
CLIPS, INDEX = "crc32", "index_sha256"


def clip_checksums(block: np.ndarray, rows: Sequence[int] | np.ndarray) -> list[int]:
    """CRC-32 of each clip.

    Args:
        block: Float32 ``[R, V, 3]``, clip after clip.
        rows: How many of them each clip has, ``[N]``.
    """
    ends = np.cumsum(rows, dtype=np.int64)
    return [zlib.crc32(block[end - count : end]) for end, count in zip(ends, rows, strict=True)]


def index_digest(file: h5py.File) -> str:
    """SHA-256 of all that a store holds but the coordinates.

    Raises:
        BadCache, KeyError, OSError, ValueError: A part is missing or cannot be read.
    """
    digest = hashlib.sha256()
    for name in sorted(set(file) - {"keypoint", "sample_id"}):
        part = own_dataset(file, name, file.filename)
        if part is None:
            raise ValueError(f"/{name} is no data set")
        values = np.ascontiguousarray(part[()])
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(values.tobytes())
    attributes = {name: np.asarray(value).tolist() for name, value in file.attrs.items()
                  if name != INDEX}
    keypoint = file["keypoint"]
    digest.update(digest_json([
        file["sample_id"].asstr()[()].tolist(), attributes, keypoint.shape, keypoint.dtype.str,
    ]).encode())
    return digest.hexdigest()
