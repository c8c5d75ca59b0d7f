"""What building a sequence store has read and left out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from zskel.data.readers.base import Scan


@dataclass
class ParseReport:
    """What a build read and what it left out, and why.

    Attributes:
        found: Clips that the source lists, and what it holds besides.
        stored: Clips in the store.
        skipped: Name and reason of each thing left out.
        tracked_bodies: Number of bodies as recorded -> clips.
        bodies_per_clip: Number of bodies after cleaning -> clips.
        frames: "min", "median", "max" and "total" over the stored clips.
        empty_frames: Frames without a body, before cleaning.
        coordinates: Axis -> "min", "mean", "max" in metres where a body is present.
        notices: What looks wrong with the coordinates, of ``zskel.data.plausibility``.
        names, notes: Of the reader's scan.
    """

    found: int = 0
    stored: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    tracked_bodies: dict[str, int] = field(default_factory=dict)
    bodies_per_clip: dict[str, int] = field(default_factory=dict)
    frames: dict[str, float] = field(default_factory=dict)
    empty_frames: int = 0
    coordinates: dict[str, dict[str, float]] = field(default_factory=dict)
    notices: list[dict[str, str]] = field(default_factory=list)
    names: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of_scan(cls, scan: Scan) -> ParseReport:
        """What is known before a clip is read."""
        skipped = [{"name": skip.name, "reason": skip.reason} for skip in scan.skipped]
        return cls(len(scan.entries) + len(skipped), skipped=skipped, names=scan.names,
                   notes=list(scan.notes))

    def count(self, rows: np.ndarray, bodies: np.ndarray, tracked: np.ndarray) -> None:
        """Counts the stored clips.

        Args:
            rows: Bodies times frames of each clip, ``[N]``.
            bodies, tracked: Bodies of each clip after cleaning and as recorded, ``[N]``.
        """
        frames = rows // bodies
        self.stored = len(frames)
        self.tracked_bodies, self.bodies_per_clip = _counts(tracked), _counts(bodies)
        self.frames = {"min": int(frames.min()), "median": float(np.median(frames)),
                       "max": int(frames.max()), "total": int(frames.sum())}

    def nothing_readable(self) -> str:
        """The error where no clip could be stored."""
        first = self.skipped[0] if self.skipped else {"reason": "nothing found"}
        return f"none of {self.found} files could be read; the first: {first['reason']}"


class Extent:
    """Running minimum, mean and maximum of the axes, absent bodies left out.

    Attributes:
        values: Float64 ``[4, 3]``: minimum, maximum, sum and number of the points, by axis.
    """

    def __init__(self) -> None:
        self.values = np.stack([np.full(3, np.inf), np.full(3, -np.inf), np.zeros(3), np.zeros(3)])

    def add(self, rows: np.ndarray) -> None:
        """Takes rows of bodies, ``[R, V, 3]``."""
        points = rows[(rows != 0).any(axis=(1, 2))].reshape(-1, 3)
        if len(points):
            self.join(np.stack([points.min(axis=0), points.max(axis=0),
                                points.sum(axis=0, dtype=np.float64), np.full(3, len(points))]))

    def join(self, values: np.ndarray) -> None:
        """Takes what another one has found."""
        low, high, total, count = self.values
        self.values = np.stack([np.minimum(low, values[0]), np.maximum(high, values[1]),
                                total + values[2], count + values[3]])

    def summary(self) -> dict[str, dict[str, float]]:
        """As ``ParseReport.coordinates``."""
        low, high, total, count = self.values
        if not count.all():
            return {}
        return {
            axis: {"min": round(float(low), 4), "mean": round(float(middle), 4),
                   "max": round(float(high), 4)}
            for axis, low, middle, high in zip("xyz", low, total / count, high)
        }


def _counts(values: np.ndarray) -> dict[str, int]:
    found, number = np.unique(values, return_counts=True)
    return {str(value): int(count) for value, count in zip(found, number)}
