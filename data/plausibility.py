"""Whether coordinates can be what the pipeline takes them for: metres, upright, facing the sensor.

Nothing here refuses anything. What looks wrong becomes a notice: one line with
the number that was measured and what to do. It is measured on bodies as they are
stored, before any normalization, and the usual is wide, so that data in order
give no notice: over the 861 clips of UTD-MHAD bodies measure 1.2 to 2.0 m from
end to end, the trunk's unit vector has a y of 0.90 to 1.00, and the direction
that the body faces a z of -1.00 to -0.88; on synthetic clips from three cameras
these are 1.6 to 2.5 m, 0.84 to 1.00, and in 94 % of clips below 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zskel.data.skeleton import JointLayout, present

if TYPE_CHECKING:
    from zskel.data.store import SequenceStore

#: Of a store so many clips are looked at, evenly spread over its order.
MOST_CLIPS = 200
#: Metres from end to end (diagonal of the bounding box) of the median body: smaller
#: or larger ones are not in metres. A child's crouch is larger, no pose smaller.
SMALLEST_BODY, LARGEST_BODY = 0.2, 5.0
#: Units that are recognised, and how many of them make a metre.
_UNITS = {"centimetres": 100, "millimetres": 1000}
#: The bodies that a unit is recognised by, in metres; neighbouring units leave no gap.
_SMALL_PERSON, _LARGE_PERSON = 0.47, 4.7
#: A third coordinate within 0..1 in so many of all joints is taken for a score.
_SCORE_SHARE = 0.99
#: A direction counts as one of the axes if it is within 60 degrees of it.
_ALONG = 0.5
#: From this share of the clips on a direction is one of the data, not of some actions.
_UPRIGHT_SHARE, _FACING_SHARE = 0.5, 0.75
#: Whom a few clips show from behind may just have turned round.
_FEWEST_FACING = 8
_NAMED = 4


@dataclass(frozen=True)
class Notice:
    """Something that looks wrong.

    Attributes:
        code: "pixels", "score", "flat", "millimetres", "centimetres", "not-metres",
            "upside-down", "not-upright", "facing-away", "constant-joints" or "motionless".
        text: One line for a person: what was measured, what it looks like, what to do.
    """

    code: str
    text: str


class Plausibility:
    """Measures clips one at a time.

    Args:
        layout: Of the clips.

    >>> from zskel.data.skeleton import NTU_RGBD
    >>> look = Plausibility(NTU_RGBD)
    >>> look.add(1000 * np.random.default_rng(0).uniform(-1, 1, (1, 9, 25, 3)))
    >>> look.notices()[0].code
    'millimetres'
    """

    def __init__(self, layout: JointLayout) -> None:
        self.layout = layout
        self._bones: list[float] = []
        self._extents: list[float] = []
        self._up: list[np.ndarray] = []
        self._facing: list[np.ndarray] = []
        self._low, self._high = np.full(3, np.inf), np.full(3, -np.inf)
        self._joints = self._scores = 0
        self._seen = np.zeros(layout.num_joints, bool)
        self._moved = np.zeros(layout.num_joints, bool)
        self._in_time = False

    def add(self, keypoint: np.ndarray) -> None:
        """Takes one clip, ``[M, T, V, 3]``; what is zero or not finite counts as absent."""
        keypoint = np.nan_to_num(np.asarray(keypoint, np.float64), posinf=0.0, neginf=0.0)
        here = present(keypoint)
        poses = keypoint[here]
        if not len(poses):
            return
        valid = (poses != 0).any(axis=-1)
        points = poses[valid]
        low, high = points.min(axis=0), points.max(axis=0)
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        self._joints += len(points)
        self._scores += int(((points[:, 2] >= 0) & (points[:, 2] <= 1)).sum())
        self._add_sizes(poses, valid)
        self._add_directions(poses)
        self._seen |= valid.any(axis=0)
        for body, frames in zip(keypoint, here, strict=True):
            track = body[frames]
            if len(track) > 1:
                self._in_time = True
                self._moved |= (track != track[0]).any(axis=(0, 2))

    def _add_sizes(self, poses: np.ndarray, valid: np.ndarray) -> None:
        child, parent = np.asarray(self.layout.bones).T
        length = np.linalg.norm(poses[:, child] - poses[:, parent], axis=-1)
        # Joints that share a place, as mapped ones do, have no bone between them.
        real = valid[:, child] & valid[:, parent] & (length > 0)
        if real.any():
            self._bones.append(float(np.median(length[real])))
        there = valid[..., None]
        size = (np.where(there, poses, -np.inf).max(axis=1)
                - np.where(there, poses, np.inf).min(axis=1))
        self._extents.append(float(np.median(np.linalg.norm(size, axis=-1))))

    def _add_directions(self, poses: np.ndarray) -> None:
        layout = self.layout
        lower, upper = layout.hips, layout.shoulders
        if set(lower) == set(upper):  # a body that has only one pair of the two
            lower, upper = layout.spine[:1], layout.spine[1:]  # type: ignore[assignment]
        up = poses[:, list(upper)].mean(axis=1) - poses[:, list(lower)].mean(axis=1)
        across = poses[:, layout.shoulders[1]] - poses[:, layout.shoulders[0]]
        # In axes of the right hand, as a Kinect's, this is where the chest points.
        for found, each in ((self._up, up), (self._facing, np.cross(up, across))):
            length = np.linalg.norm(each, axis=-1)
            if (length > 0).any():
                unit = each[length > 0] / length[length > 0, None]
                found.append(np.median(unit, axis=0))

    def notices(self) -> list[Notice]:
        """What looks wrong in the clips so far, the gravest first."""
        if not self._joints:
            return []
        units = self._units()
        # Of two dimensions nothing can be said on where a body stands or looks.
        planar = any(notice.code in ("pixels", "score", "flat") for notice in units)
        return [*units, *([] if planar else self._directions()), *self._constant()]

    def _units(self) -> list[Notice]:
        size, bone = float(np.median(self._extents)), float(np.median(self._bones or [0.0]))
        measured = f"bodies measure {_number(size)} from end to end and bones {_number(bone)} " \
                   f"(medians of {len(self._extents)} clips)"
        in_metres = SMALLEST_BODY <= size <= LARGEST_BODY
        lowest, highest = (f"{float(limit[2]):.2f}" for limit in (self._low, self._high))
        flat = [axis for axis, low, high in zip("xyz", self._low, self._high, strict=True)
                if low == high]
        far = "" if in_metres else f"coordinates far from metres: {measured}; "
        if flat:
            return [Notice("flat", f"{far}{' and '.join(flat)} never changes: looks like 2D poses; "
                           "3D skeletons are needed, lift them first")]
        if size >= SMALLEST_BODY and self._scores >= _SCORE_SHARE * self._joints:
            looks = "2D with a score, pixel x, pixel y and confidence" if size > LARGEST_BODY \
                else "2D with a score in place of a depth"
            return [Notice("pixels" if size > LARGEST_BODY else "score",
                           f"{far}third axis within 0..1 ({lowest} to {highest}): looks like "
                           f"{looks}; 3D skeletons in metres are needed, lift the poses first")]
        if in_metres:
            return []
        for unit, factor in _UNITS.items():
            if _SMALL_PERSON <= size / factor < _LARGE_PERSON:
                return [Notice(unit, f"{measured}: looks like {unit}; divide by {factor}, metres "
                               "are expected")]
        return [Notice("not-metres", f"{measured}: no unit of length that fits a person; metres "
                       "are expected, scale the coordinates")]

    def _directions(self) -> list[Notice]:
        up, facing = np.asarray(self._up), np.asarray(self._facing)
        count = len(up)
        down = int((up[:, 1] < -_ALONG).sum()) if count else 0
        away = int((facing[:, 2] > _ALONG).sum()) if len(facing) else 0
        turned = len(facing) >= _FEWEST_FACING and away >= _FACING_SHARE * len(facing)
        if down > _UPRIGHT_SHARE * count:
            # Of a mirrored body the cross product points to its back.
            axes = "y" if turned else "x and y"
            return [Notice("upside-down", (
                f"shoulders lie below the hips along y in {down} of {count} clips: looks as if y "
                "points down, as in images and OpenCV's camera coordinates; y up is expected, "
                f"negate {axes}"))]
        for axis, name in ((2, "z"), (0, "x")) if count else ():
            along = int((np.abs(up[:, axis]) > np.sqrt(1 - _ALONG**2)).sum())
            if along > _UPRIGHT_SHARE * count:
                return [Notice("not-upright", (
                    f"bodies stand or lie along {name}, not y, in {along} of {count} clips: looks "
                    f"as if {name} points up; y up is expected, turn the axes unless the people "
                    "lie"))]
        return [Notice("facing-away", (
            f"bodies face away from the camera in {away} of {len(facing)} clips: looks as if x is "
            "mirrored, left and right joints are swapped, or z points to the camera; x to the left "
            "of a camera that looks along z is expected"))] if turned else []

    def _constant(self) -> list[Notice]:
        layout = self.layout
        roots = set(range(layout.num_joints)) - {child for child, _ in layout.bones}
        # Coordinates may be relative to one of these, which then stays at the origin.
        moving = np.ones(layout.num_joints, bool)
        moving[[*roots, layout.center, *layout.spine]] = False
        if self._in_time and not self._moved.any():
            return [Notice("motionless", "no joint moves in any clip: looks like single poses "
                           "repeated; a skeleton for every frame is needed")]
        zero = np.flatnonzero(moving & ~self._seen)
        still = np.flatnonzero(moving & self._seen & ~self._moved) if self._in_time else ()
        parts = [f"{what}: {self._names(joints)}" for joints, what in (
            (zero, "joints that are always zero"), (still, "joints that never move"))
            if len(joints)]
        return [Notice("constant-joints", (
            f"{', '.join(parts)} (in all of {len(self._extents)} clips); looks as if they were not "
            "recorded, check the layout or leave them out of it"))] if parts else []

    def _names(self, joints: Iterable[int]) -> str:
        names = [self.layout.joints[joint] for joint in joints]
        more = len(names) - _NAMED
        return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def store_notices(store: SequenceStore) -> list[dict[str, str]]:
    """What looks wrong in a store, as JSON values with "code" and "text".

    ``MOST_CLIPS`` clips are looked at, evenly spread, so the answer is always the
    same and takes the same time however many there are.

    Raises:
        BadCache: A clip cannot be read.
    """
    look = Plausibility(store.layout)
    for index in spread(len(store), MOST_CLIPS):
        look.add(store.keypoint(int(index)))
    return as_json(look.notices())


def as_json(notices: Iterable[Notice]) -> list[dict[str, Any]]:
    """Notices as files hold them."""
    return [{"code": notice.code, "text": notice.text} for notice in notices]


def spread(count: int, limit: int) -> np.ndarray:
    """Indices of at most ``limit`` of ``count`` items, evenly spread; 0: all.

    >>> spread(9, 3).tolist(), spread(3, 0).tolist()
    ([0, 4, 8], [0, 1, 2])
    """
    if limit <= 0 or limit >= count:
        return np.arange(count)
    return np.linspace(0, count - 1, limit).round().astype(int)


def _number(value: float) -> str:
    """Three digits, no exponent.

    >>> _number(1648.2), _number(0.19512)
    ('1648', '0.195')
    """
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
