"""Named normalizations, each a pure function from clip to clip.

A step takes ``[M, T, V, 3]`` in metres and returns an array of the same kind and
precision; bodies and joints that are absent (zeros) stay absent. ``STEPS`` holds
the names that experiment configs use in ``prepare``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.registry import Registry
from zskel.data.skeleton import NTU_RGBD, JointLayout, layout_of, present

X_AXIS = np.array([1.0, 0.0, 0.0])
Z_AXIS = np.array([0.0, 0.0, 1.0])

# Below these lengths (metres, sum of magnitudes) and angles (radians) mmaction2
# takes a bone or a turn for none.
_NO_LENGTH = 1e-6
_NO_ANGLE = 1e-6

Layout = str | Mapping[str, Any] | JointLayout


def pre_normalize_3d(
    keypoint: np.ndarray,
    zaxis: Sequence[int] | None = None,
    xaxis: Sequence[int] | None = None,
    align_spine: bool = True,
    align_shoulder: bool = True,
    align_center: bool = True,
    layout: Layout | None = None,
) -> np.ndarray:
    """What mmaction2's ``PreNormalize3D`` computes, at the precision of the input.

    The main body is the one that is present in more frames, the first if both
    are present equally often; it comes first in the result. Frames without it
    are dropped, other bodies' poses in them too. Its centre in the first frame
    becomes the origin of the whole clip; then one turn lays its first frame's bone
    ``zaxis`` on the z axis and a second one the line from ``xaxis[1]`` to ``xaxis[0]``
    on the x axis. Each turn is the smallest that does so; a line that already points
    the opposite way is left as it is, as is one without length.

    Args:
        keypoint: ``[M, T, V, 3]``, M 1 or 2.
        zaxis: Joints (lower, upper) of the bone that becomes vertical; the layout's
            spine, if None.
        xaxis: Joints (right, left) of the shoulders; the layout's, if None.
        align_spine, align_shoulder, align_center: Leave a part out.
        layout: Of the joints, or what ``layout_of`` makes one of. None is mmaction2:
            spine and shoulders of "nturgb+d", centred on its joint 1, or on the last
            joint where there are not 25.

    Returns:
        ``[M, T', V, 3]`` with T' <= T; a clip without any body as it is.

    Raises:
        BadInput: Not such an array, or more than two bodies.
    """
    joints = _layout(layout)
    zaxis = joints.spine if zaxis is None else zaxis
    xaxis = joints.shoulders[::-1] if xaxis is None else xaxis
    clip = _checked(keypoint, max(*zaxis, *xaxis) + 1, joints if layout is not None else None)
    if len(clip) > 2:
        raise BadInput(f"pre_normalize_3d takes 1 or 2 bodies, found {len(clip)}; "
                       "clean the clips with keep_most_active first")
    # The tolerance is PreNormalize3D's; NaN counts as present there too.
    there = ~(np.abs(clip) <= 1e-8).all(axis=(2, 3))
    count = there.sum(axis=1)
    if not count.any():
        return clip.copy()
    main = int(len(clip) == 2 and count[0] < count[1])
    clip = clip[:, there[main]]
    if main:
        clip = clip[::-1]
    if align_center:
        known = layout is not None or clip.shape[2] == joints.num_joints
        center = clip[0, 0, joints.center if known else -1]
        clip = (clip - center) * tracked(clip)[..., None]
    first = clip[0, 0]
    turn = np.eye(3)
    if align_spine:
        bone = first[zaxis[1]] - first[zaxis[0]]
        turn = rotation_between(bone, Z_AXIS, half_turn=False)
    if align_shoulder:
        shoulders = turn @ first[xaxis[0]] - turn @ first[xaxis[1]]
        turn = rotation_between(shoulders, X_AXIS, half_turn=False) @ turn
    return _turned(clip, turn)


def shift_gcn_normalize(
    keypoint: np.ndarray, frames: int | None = 300, repeat: str = "clip",
    layout: Layout = NTU_RGBD,
) -> np.ndarray:
    """What the weights that Shift-GCN's authors publish expect of an NTU clip.

    Leading empty frames are dropped and the rest is repeated to fill ``frames``;
    a longer clip loses its end. Every frame is centred on body 0's central joint (1,
    the spine's middle) in the same frame. Then one turn for the clip lays the spine
    (the bone 0 -> 1) of body 0's first frame on the z axis, and one lays its
    shoulders, joint 8 minus joint 4, on the x axis. A bone without length turns
    nothing; one that points the opposite way takes a half turn (about y for the
    spine, about z for the shoulders, so that the body stays upright).

    Where body 0 is absent there is nothing to centre on, and no reason to guess:
    other bodies keep the sensor's origin in those frames, as in the authors'
    scripts. "First frame" means the first one with body 0 in it, so that the
    clip is turned even if another body comes first. If body 0 never appears,
    nothing is centred or turned; ``keep_most_active`` sees to it that it does.

    Args:
        keypoint: ``[M, T, V, 3]``, the most active body first.
        frames: Length of the result; None for what is left of the clip, in mode
            "body" of the body of which most is left.
        repeat: "clip" keeps the bodies in step: only frames without any body
            count as empty, and all bodies repeat together. "body" does to each
            body alone what the authors' scripts do: it repeats up to its last
            frame, and if it is absent in the first frame, all its absences are
            cut out. The two differ only where bodies come or go.
        layout: Of the joints, or what ``layout_of`` makes one of.

    Returns:
        ``[M, frames, V, 3]``; zeros for a clip without any body.

    Raises:
        BadInput: Not such an array.
        BadConfig: An option is out of range.
    """
    joints = _layout(layout)
    clip = _checked(keypoint, joints.num_joints, joints)
    if frames is not None and frames < 1:
        raise BadConfig(f"shift_gcn_normalize: frames is {frames}, expected 1 or more, or None")
    if repeat not in ("clip", "body"):
        raise BadConfig(f"shift_gcn_normalize: repeat is {repeat!r}, expected 'clip' or 'body'")
    there = present(clip)
    if repeat == "clip":  # from the first frame that is not empty
        there[:] = np.logical_or.accumulate(there.any(axis=0))
    sources = [_own_frames(body) for body in there]
    lengths = {len(source) for source in sources} - {0}
    if not lengths:
        return np.zeros((len(clip), frames or clip.shape[1], *clip.shape[2:]), clip.dtype)
    total = frames or max(lengths)
    # Bodies that repeat in step may as well be repeated last, which is less work.
    once = total if len(lengths) > 1 else max(lengths)
    clip = _upright(_filled(clip, sources, once), joints)
    return clip if once == total else clip[:, np.arange(total) % once]


def _upright(clip: np.ndarray, layout: JointLayout) -> np.ndarray:
    """Centres each frame on body 0's centre and turns the clip by its first frame."""
    clip = (clip - clip[0, :, None, layout.center]) * tracked(clip)[..., None]
    appears = present(clip[:1])[0]
    if not appears.any():
        return clip
    first = clip[0, appears.argmax()].astype(np.float64)
    (lower, upper), (left, right) = layout.spine, layout.shoulders
    turn = rotation_between(first[upper] - first[lower], Z_AXIS)
    turn = rotation_between(turn @ (first[right] - first[left]), X_AXIS) @ turn
    return _turned(clip, turn)


def _own_frames(there: np.ndarray) -> np.ndarray:
    """The frames up to the last one marked, or only those marked if the first is not."""
    marked = np.flatnonzero(there)
    return np.arange(marked[-1] + 1) if there[0] else marked


def _filled(clip: np.ndarray, sources: Sequence[np.ndarray], frames: int) -> np.ndarray:
    """Repeats each body's source frames to a length."""
    filled = np.zeros((len(clip), frames, *clip.shape[2:]), clip.dtype)
    for body, source in enumerate(sources):
        if len(source):
            filled[body] = clip[body, source[np.arange(frames) % len(source)]]
    return filled


def rotation_between(
    vector: np.ndarray, axis: np.ndarray, half_turn: bool = True
) -> np.ndarray:
    """The smallest rotation that lays a vector on a coordinate axis.

    Args:
        vector: ``[3]``, of any length. Its precision is that of the angle, as in
            mmaction2: to float32, angles below about 3e-4 are not told apart.
        axis: Unit vector ``[3]`` along x, y or z.
        half_turn: What to do with the opposite direction, where many rotations
            are the smallest: turn by 180 degrees about the coordinate axis
            before ``axis`` (x: z, y: x, z: y), or nothing, as mmaction2.

    Returns:
        Float64 ``[3, 3]``; the identity for a vector without length.

    >>> rotation_between(np.array([0.0, 2.0, 0.0]), Z_AXIS).round(6) @ [0, 1, 0]
    array([0., 0., 1.])
    """
    # Plain floats: on three numbers numpy's calls cost more than the arithmetic.
    x, y, z = vector.tolist()
    if abs(x) + abs(y) + abs(z) < _NO_LENGTH:
        return np.eye(3)
    cosine = min(max(float((vector / np.linalg.norm(vector)) @ axis), -1.0), 1.0)
    angle = math.acos(cosine)
    a, b, c = axis.tolist()
    x, y, z = y * c - z * b, z * a - x * c, x * b - y * a
    if abs(x) + abs(y) + abs(z) < _NO_LENGTH or angle < _NO_ANGLE:
        if cosine > 0 or not half_turn:
            return np.eye(3)
        pole = np.roll(axis, -1)
        return 2.0 * np.outer(pole, pole) - np.eye(3)
    scale = math.sin(angle) / math.sqrt(x * x + y * y + z * z)
    x, y, z = x * scale, y * scale, z * scale
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    # Rodrigues' formula with the sine inside ``cross``.
    return np.eye(3) + cross + (cross @ cross) * ((1.0 - cosine) / math.sin(angle) ** 2)


def tracked(keypoint: np.ndarray) -> np.ndarray:
    """Bool ``[M, T, V]``: joints with any non-zero coordinate."""
    nonzero = keypoint != 0
    return nonzero[..., 0] | nonzero[..., 1] | nonzero[..., 2]


def _turned(clip: np.ndarray, turn: np.ndarray) -> np.ndarray:
    # One matrix product over all joints; numpy is many times slower on four axes.
    flat = np.ascontiguousarray(clip).reshape(-1, 3)
    return (flat @ np.ascontiguousarray(turn.T, clip.dtype)).reshape(clip.shape)


def _layout(given: Layout | None) -> JointLayout:
    if given is None:
        return NTU_RGBD
    return given if isinstance(given, JointLayout) else layout_of(given)


def _checked(keypoint: np.ndarray, joints: int, layout: JointLayout | None) -> np.ndarray:
    clip = np.asarray(keypoint)
    if clip.ndim != 4 or clip.shape[-1] != 3 or clip.dtype.kind != "f":
        raise BadInput(f"clip: expected floats [bodies, frames, joints, 3], found {clip.dtype} "
                       f"{list(clip.shape)}")
    if 0 in clip.shape:
        raise BadInput(f"clip: {len(clip)} bodies, {clip.shape[1]} frames: nothing to normalize")
    if layout is not None and clip.shape[2] != layout.num_joints:
        raise BadInput(f"clip: {clip.shape[2]} joints, layout {layout.name!r} has "
                       f"{layout.num_joints}")
    if clip.shape[2] < joints:
        raise BadInput(f"clip: joint {joints - 1} is needed, found {clip.shape[2]} joints; "
                       "map it to the layout nturgb+d or name other joints")
    return clip


#: What ``prepare`` in a config may name with ``dict(type="DataStep", step=...)``.
STEPS = Registry(
    "preprocessing step",
    {
        "pre_normalize_3d": pre_normalize_3d,
        "shift_gcn_normalize": shift_gcn_normalize,
        "canonicalize": "zskel.data.canonicalize:canonicalize",
    },
)
