"""What a path is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from zskel.data.caches import CALIBRATION, SKELETON_FORMAT, TEST, TEXT_FORMAT
from zskel.data.common.checksums import open_hdf5
from zskel.data.common.errors import BadInput
from zskel.data.common.files import ONLY_ZEROS, only_zeros, read_text
from zskel.data.store import STORE_FORMAT
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.inspect.features import describe_skeleton, describe_text
from zskel.pipeline.inspect.reader_choice import KINDS, open_raw
from zskel.pipeline.inspect.records import describe_result, describe_work_dir
from zskel.pipeline.inspect.sources import ClipSource, Options, StoreSource
from zskel.pipeline.steps.result_record import FORMAT as RESULT_FORMAT
from zskel.pipeline.steps.results import find_results


@dataclass(frozen=True)
class Recognised:
    """A path of a known kind.

    Attributes:
        describe: Makes the description.
        clips: Where its clips can be drawn from; None if it has no coordinates.
    """

    describe: Callable[[], dict[str, Any]]
    clips: ClipSource | None = None


def recognise(path: Path, options: Options) -> Recognised:
    """Finds out what a path is.

    Raises:
        BadInput: It does not exist or is nothing that is known.
    """
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder; {KINDS}")
    if path.is_file() and only_zeros(path):
        raise BadInput(f"{path}: {ONLY_ZEROS}")
    if options.reader is None:
        if path.is_file() and h5py.is_hdf5(path):
            known = _hdf5(path, options)
        else:
            known = _work_dir(path, options) or _result(path)
        if known is not None and options.layout is not None:
            raise BadInput(f"{path}: --layout goes with raw recordings that do not say theirs")
        if known is not None:
            return known
    raw = open_raw(path, options)
    return Recognised(lambda: raw.describe(options), raw)


def _hdf5(path: Path, options: Options) -> Recognised | None:
    with open_hdf5(path) as file:
        found = file.attrs.get("format")
    if found == STORE_FORMAT:
        store = StoreSource(path)
        return Recognised(lambda: store.describe(options), store)
    if found == SKELETON_FORMAT:
        return Recognised(lambda: describe_skeleton(path))
    if found == TEXT_FORMAT:
        return Recognised(lambda: describe_text(path))
    return None


def _result(path: Path) -> Recognised | None:
    if path.suffix != ".json" or not path.is_file():
        return None
    try:
        value = json.loads(read_text(path))
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict) or value.get("format") != RESULT_FORMAT:
        return None
    return Recognised(lambda: describe_result(path))


def _work_dir(path: Path, options: Options) -> Recognised | None:
    if not path.is_dir():
        return None
    work = WorkDir(path)
    files = (work.store, work.skeleton(TEST), work.skeleton(CALIBRATION), work.text)
    if not any(file.is_file() for file in files) and not find_results(path):
        return None
    try:
        clips = StoreSource(work.store) if work.store.is_file() else None
    except BadInput:
        clips = None  # the description says what is wrong with the store
    return Recognised(lambda: describe_work_dir(path), clips)
