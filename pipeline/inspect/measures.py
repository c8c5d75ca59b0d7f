"""Counts and statistics that descriptions share, all as plain JSON values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from zskel.data.caches import IDENTITY, TEST, TRAIN
from zskel.data.common.errors import BadInput
from zskel.data.protocols import PROTOCOLS, sample_protocol
from zskel.data.skeleton import UNKNOWN, present


def lengths(values: Sequence[int] | np.ndarray, bins: int = 10) -> dict[str, Any]:
    """Minimum, median, maximum, sum and a histogram of whole numbers.

    Each bin is ``[from, to, count]``, both ends included.

    >>> lengths([4, 5, 9], bins=2)["histogram"]
    [[4, 6, 2], [7, 9, 1]]
    """
    values = np.asarray(values, np.int64)
    low, high = int(values.min()), int(values.max())
    width = max(1, -(-(high - low + 1) // bins))
    starts = np.arange(low, high + 1, width)
    counts = np.bincount((values - low) // width, minlength=len(starts))
    return {
        "min": low, "median": float(np.median(values)), "max": high, "total": int(values.sum()),
        "histogram": [[int(start), int(start) + width - 1, int(count)]
                      for start, count in zip(starts, counts, strict=True)],
    }


def count_values(values: Iterable[Any]) -> dict[str, int]:
    """How often each value occurs, in order of the values.

    >>> count_values([2, 1, 2])
    {'1': 1, '2': 2}
    """
    found, counts = np.unique(np.asarray(list(values)), return_counts=True)
    return {str(value): int(count) for value, count in zip(found, counts, strict=True)}


def identity(
    columns: Mapping[str, np.ndarray], names: Mapping[str, Mapping[str, int]] | None = None
) -> dict[str, dict[str, int]]:
    """Clips per subject, camera, setup and replication, where these are known.

    Args:
        columns: Each field's numbers.
        names: Field -> name -> number, where these have names.
    """
    found = {name: count_values(columns[name]) for name in IDENTITY
             if (np.asarray(columns[name]) != UNKNOWN).any()}
    for field, numbers in (names or {}).items():
        shown = {str(number): name for name, number in numbers.items()}
        found[field] = {shown.get(number, number): count
                        for number, count in found.get(field, {}).items()}
    return found


def class_table(
    names: Sequence[str], label: np.ndarray, subset: np.ndarray | None = None,
    seen: Collection[int] | None = None, unseen: Collection[int] = (), held_out: str = "unseen",
) -> list[dict[str, Any]]:
    """Clips per class, and per subset and role where these are given.

    ``held_out`` is what the role of the ``unseen`` classes is called; that of a
    class neither seen nor unseen is "-".
    """
    table = []
    for index, name in enumerate(names):
        here = label == index
        row: dict[str, Any] = {"index": index, "class": name}
        if seen is not None:
            row["role"] = held_out if index in unseen else "seen" if index in seen else "-"
        if subset is not None:
            row.update({part: int((here & (subset == part)).sum())
                        for part in sorted(set(subset.tolist()), reverse=True)})
        else:
            row["clips"] = int(here.sum())
        table.append(row)
    return table


def protocol_table(
    dataset: str, columns: Mapping[str, np.ndarray], label: np.ndarray,
    unseen: Collection[int] | None = None, marked: str = "",
) -> list[dict[str, Any]]:
    """What each sample protocol of the data set makes of the clips.

    With a class split the counts are apart for seen and unseen classes. ``marked``
    is the protocol by which the source has marked its clips itself, if it has.
    """
    table: list[dict[str, Any]] = []
    is_unseen = np.isin(label, sorted(unseen or ()))
    # Protocols that sort clips alike, as the two of PKU-MMD, share a row.
    alike: dict[tuple[str, frozenset[int]], list[str]] = {}
    protocols = dict(PROTOCOLS.get(dataset, {}))
    if marked:
        protocols[marked] = sample_protocol(dataset, "listed")
    for name, protocol in protocols.items():
        alike.setdefault((protocol.field, protocol.train), []).append(name)
    for (field, _), names in alike.items():
        try:
            subset = protocols[names[0]].subsets(columns[field])
        except BadInput:
            continue  # numbers unknown, or a part of the data set that has only one side
        row: dict[str, Any] = {"sample_protocol": " or ".join(names), "by": field}
        for part in (TRAIN, TEST):
            if unseen is None:
                row[part] = int((subset == part).sum())
            else:
                row[f"{part}_seen"] = int(((subset == part) & ~is_unseen).sum())
                row[f"{part}_unseen"] = int(((subset == part) & is_unseen).sum())
        table.append(row)
    return table


class Coordinates:
    """Statistics of clips, gathered one clip at a time."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.bodies: list[int] = []
        self.empty: list[int] = []
        self.zero_joints = 0
        self.non_finite = 0
        self._low = np.full(3, np.inf)
        self._high = np.full(3, -np.inf)

    def add(self, keypoint: np.ndarray) -> None:
        """Takes one clip, ``[M, T, V, 3]``."""
        here = present(keypoint)
        self.frames.append(keypoint.shape[1])
        self.bodies.append(int(here.any(axis=1).sum()))
        self.empty.append(int((~here.any(axis=0)).sum()))
        joints = keypoint[here].reshape(-1, 3)
        zero = (joints == 0).all(axis=1)
        finite = np.isfinite(joints).all(axis=1)
        self.zero_joints += int(zero.sum())
        self.non_finite += int((~finite).sum())
        real = joints[finite & ~zero]
        if len(real):
            self._low = np.minimum(self._low, real.min(axis=0))
            self._high = np.maximum(self._high, real.max(axis=0))

    def describe(self, of: int) -> dict[str, Any]:
        """All but lengths and bodies.

        Args:
            of: How many clips there are; not all need have been read.
        """
        ranges = {axis: [round(float(low), 3), round(float(high), 3)]
                  for axis, low, high in zip("xyz", self._low, self._high, strict=True)
                  if np.isfinite(low)}
        return {
            "clips_read": len(self.frames),
            "clips_in_all": of,
            "empty_frames": sum(self.empty),
            "clips_with_empty_frames": sum(number > 0 for number in self.empty),
            "zero_joints_of_present_bodies": self.zero_joints,
            "non_finite_joints": self.non_finite,
            "range_in_metres": ranges,
        }


def one_clip(keypoint: np.ndarray) -> dict[str, Any]:
    """What one clip's array holds."""
    here = present(keypoint)
    gathered = Coordinates()
    gathered.add(keypoint)
    facts = gathered.describe(1)
    return {
        "frames": keypoint.shape[1],
        "bodies": gathered.bodies[0],
        "frames_with_each_body": [int(frames) for frames in here.sum(axis=1)],
        **{name: facts[name] for name in
           ("empty_frames", "zero_joints_of_present_bodies", "range_in_metres")},
    }
