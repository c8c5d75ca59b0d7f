"""The feature caches behind a result, where they still lie beside it."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from zskel.data.caches import CALIBRATION, TEST
from zskel.data.common.checksums import open_hdf5
from zskel.data.common.files import digest_file
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.report.summary import Run
from zskel.pipeline.steps.result_record import changed_caches


def skeleton_cache(run: Run) -> Path | None:
    """The test phase's features in the run's own work directory.

    Returns:
        None unless the file is there and is, byte for byte, the one that was read.
    """
    path = WorkDir(run.path.parent.parent).skeleton("test")
    return path if _digest(path) == run.record.cache_digests.skeleton_test else None


def changed_since(run: Run) -> list[str]:
    """Which caches in the run's own work directory are not those that it was made from.

    Those that are absent, and pooled feature views, which are large, are not looked at.
    """
    record, work = run.record, WorkDir(run.path.parent.parent)
    view = record.config.get("features", "f_x")
    paths = [*(work.skeleton(phase, view) for phase in (TEST, CALIBRATION)),
             *work.text.parent.glob("text*.h5")]
    now = {path.stem: digest for path in paths if (digest := _digest(path))}
    return changed_caches(record.cache_digests.model_dump(), now)


def is_canonicalized(run: Run) -> bool | None:
    """Whether the clips were canonicalized before f_x (Appendix C.1); None if not known."""
    steps = run.record.backbone.preprocessing
    path = skeleton_cache(run)
    if not steps and path is not None:
        with open_hdf5(path) as file:
            steps = json.loads(file.attrs["preprocessing"])
    return "canonicalize" in json.dumps(steps) if steps else None


def skeleton_features(run: Run, sample_id: np.ndarray) -> np.ndarray | None:
    """f_x of test clips.

    Args:
        run: Whose cache.
        sample_id: ``[N]`` names of the clips.

    Returns:
        ``[N, D]``, or None if the cache is not there or lacks a clip.
    """
    path = skeleton_cache(run)
    if path is None:
        return None
    with open_hdf5(path) as file:
        row = {name: at for at, name in enumerate(file["sample_id"].asstr()[:])}
        if not all(name in row for name in sample_id.tolist()):
            return None
        return file["f_x"][:][[row[name] for name in sample_id.tolist()]]


def _digest(path: Path) -> str:
    """SHA-256 of a file, "" if it is not there; computed anew once its size or time changes."""
    if not path.is_file():
        return ""
    stat = path.stat()
    return _digest_as_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest_as_of(path: Path, size: int, changed: int) -> str:
    return digest_file(path)
