"""Whether what a disturbed command left is, bit for bit, what an undisturbed one leaves."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

CACHES = ("skeleton_test.h5", "skeleton_calibration.h5", "text.h5")
#: Fields that say when something was made, how long it took, and which process did it.
TIMES = {"created", "duration_seconds"}
WHO = {"seconds", "worker"}


def assert_same_cache(one: Path, other: Path) -> None:
    with h5py.File(one) as ours, h5py.File(other) as theirs:
        assert set(ours) == set(theirs) and set(ours.attrs) == set(theirs.attrs)
        for name in ours:
            assert ours[name].dtype == theirs[name].dtype
            assert np.array_equal(ours[name][()], theirs[name][()]), f"{one.name} /{name}"
        for name in set(ours.attrs) - TIMES:
            assert np.array_equal(ours.attrs[name], theirs.attrs[name]), f"{one.name} {name}"


def assert_same_caches(work: Path, undisturbed: Path) -> None:
    for name in CACHES:
        assert_same_cache(work / "features" / name, undisturbed / "features" / name)


def record(path: Path) -> Any:
    return _without(json.loads(path.read_text()), TIMES | WHO)


def _without(content: Any, fields: set[str]) -> Any:
    if isinstance(content, dict):
        return {k: _without(v, fields) for k, v in content.items() if k not in fields}
    return [_without(v, fields) for v in content] if isinstance(content, list) else content


def assert_same_file(one: Path, other: Path) -> None:
    """All of it, except when it was made."""
    if one.suffix == ".h5":
        assert_same_cache(one, other)
    elif one.suffix == ".json":
        assert record(one) == record(other), one
    elif one.suffix == ".npz":
        with np.load(one) as ours, np.load(other) as theirs:
            assert ours.files == theirs.files, one
            for name in ours.files:
                assert ours[name].dtype == theirs[name].dtype, f"{one} {name}"
                assert ours[name].tobytes() == theirs[name].tobytes(), f"{one} {name}"
    else:
        assert one.read_bytes() == other.read_bytes(), one


def files(root: Path, parts: Iterable[str]) -> dict[str, Path]:
    """Those that bear a final name, by their path; no logs, nothing that begins with a dot."""
    found = {}
    for part in parts:
        for path in sorted([root / part, *(root / part).rglob("*")]):
            name = path.relative_to(root)
            hidden = any(each.startswith(".") or each == "logs" for each in name.parts)
            if path.is_file() and not hidden and path.suffix != ".lock":
                found[name.as_posix()] = path
    return found


def assert_same_files(root: Path, undisturbed: Path, parts: Iterable[str]) -> None:
    ours, theirs = files(root, parts), files(undisturbed, parts)
    assert set(ours) == set(theirs) and ours
    for name, path in ours.items():
        assert_same_file(path, theirs[name])


def assert_whole_or_absent(
    work: Path, undisturbed: Path, parts: Iterable[str] = ("store", "backbones", "features",
                                                           "results"),
) -> None:
    """Whatever bears a final name has its final content."""
    theirs = files(undisturbed, parts)
    for name, path in files(work, parts).items():
        if name in theirs:
            assert_same_file(path, theirs[name])
