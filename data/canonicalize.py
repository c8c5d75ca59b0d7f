"""Pose canonicalization: turning bodies about the vertical to face one way.

Appendix C.1 of the paper, after Holden et al. (2016): the forward direction is
the cross product of the vertical axis and the mean of the left-to-right shoulder
and hip vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.preprocess import tracked
from zskel.data.skeleton import JointLayout, layout_of, present

# Shoulders and hips whose horizontal part is shorter than this share of their
# length say nothing about where the body faces: it lies on its side.
_LEAST_SHARE = 0.05
_NO_LENGTH = 1e-6
_AXES = "xyz"


def canonicalize(
    keypoint: np.ndarray,
    mode: str = "frame",
    sigma: float = 10.0,
    vertical: str = "y",
    facing: str = "-z",
    layout: str | Mapping[str, Any] | JointLayout = "nturgb+d",
) -> np.ndarray:
    """Turns a clip about the vertical so that the main body faces one way.

    The main body is body 0 (if it never appears, the first that does). In each
    frame all bodies turn together by its angle, about the vertical through its
    root, so distances between bodies are kept within every frame. The root's
    path is put together again from its steps, each turned with its own frame,
    and starts above the origin; heights stay. Someone who walks a curve so
    walks straight on in mode "frame", and the same curve in mode "clip".

    A clip turned about any vertical line by any angle, or moved horizontally,
    gives the same result. Canonicalizing twice changes nothing in mode "clip"
    and in mode "frame" with ``sigma=0``; smoothing leaves quick turns of the
    trunk in, which a second pass would smooth again.

    Where the main body is absent, or its shoulders and hips are missing, cancel
    out or are vertical, the direction (and the root) of the nearest frame that
    has one is taken, the earlier of two. A clip without any direction is only
    moved; one whose root is at the origin in all frames stays there.

    ``PreNormalize3D`` after it: that turns the clip by its first frame's spine and
    shoulders, so it removes most of what mode "clip" does, and none of the turning
    within the clip that mode "frame" removes. The other way round makes no sense,
    for then z is vertical and the tilt of one frame is in all of them. Facing "-z"
    (a Kinect's own direction, as y up is) puts the right shoulder on the +x side,
    where PreNormalize3D wants it. Of a body seen from behind it would ask a turn
    of about 180 degrees, whose axis is then decided by noise: it may end upside
    down.

    Args:
        keypoint: ``[M, T, V, 3]``, metres.
        mode: "frame", an angle a frame, or "clip", one angle from the mean
            forward direction of the clip.
        sigma: Of the Gaussian that smooths the forward direction in mode "frame",
            in frames; 0 for none. The default is a third of a second of Kinect.
        vertical: The axis that points up: "y", "-y", "z", ...
        facing: The axis to face; not along ``vertical``.
        layout: Of the joints, or what ``layout_of`` makes one of.

    Returns:
        ``[M, T, V, 3]``, the precision of the input; absent joints stay zeros.

    Raises:
        BadInput: The clip does not have this layout's joints.
        BadConfig: An option is out of range.
    """
    if not isinstance(layout, JointLayout):
        layout = layout_of(layout)
    up, up_sign = _axis("vertical", vertical)
    first, second = (up + 1) % 3, (up + 2) % 3  # first x second = up
    toward, sign = _axis("facing", facing)
    if toward == up:
        raise BadConfig(f"canonicalize: facing {facing!r} is along vertical {vertical!r}")
    if mode not in ("frame", "clip"):
        raise BadConfig(f"canonicalize: mode is {mode!r}, expected 'frame' or 'clip'")
    if not 0 <= sigma < np.inf:
        raise BadConfig(f"canonicalize: sigma is {sigma}, expected 0 or more frames")
    clip = np.asarray(keypoint)
    if clip.ndim != 4 or clip.shape[2:] != (layout.num_joints, 3) or clip.dtype.kind != "f":
        raise BadInput(f"clip: layout {layout.name!r} has floats [bodies, frames, "
                       f"{layout.num_joints}, 3], found {clip.dtype} {list(clip.shape)}")
    appears = present(clip).any(axis=1)
    if not appears.any():
        return clip.copy()
    main = int(appears.argmax())
    # The horizontal plane as complex numbers: turning is multiplying.
    plane = np.empty(clip.shape[:3], np.complex128)
    plane.real, plane.imag = clip[..., first], clip[..., second]
    joints = tracked(clip)

    forward = _forward(clip[main], plane[main], joints[main], layout) * up_sign
    target = sign * (1.0 if toward == first else 1j)
    turn = np.ones_like(forward)
    if forward.any():
        turn = target * np.conj(_direction(forward, mode, sigma))
    root = _carried(plane[main, :, _root(layout)], joints[main, :, _root(layout)])
    path = np.zeros_like(root)
    np.cumsum(turn[:-1] * np.diff(root), out=path[1:])

    plane -= root[:, None]
    plane *= turn[:, None]
    plane += path[:, None]
    plane[~joints] = 0
    result = clip.copy()
    result[..., first], result[..., second] = plane.real, plane.imag
    return result


def _forward(
    body: np.ndarray, plane: np.ndarray, joints: np.ndarray, layout: JointLayout
) -> np.ndarray:
    """Complex ``[T]``: unit forward directions for an upward third axis, or 0 for none."""
    across = np.zeros((len(body), 3))
    flat = np.zeros(len(body), np.complex128)
    for left, right in (layout.shoulders, layout.hips):
        both = joints[:, left] & joints[:, right]
        across += np.where(both[:, None], body[:, right] - body[:, left], 0)
        flat += np.where(both, plane[:, right] - plane[:, left], 0)
    length, width = np.linalg.norm(across, axis=1), np.abs(flat)
    clear = (length > _NO_LENGTH) & (width > _LEAST_SHARE * length)
    # vertical x across, with the vertical out of the plane: a quarter turn.
    return np.where(clear, 1j * flat / np.where(clear, width, 1.0), 0)


def _direction(forward: np.ndarray, mode: str, sigma: float) -> np.ndarray:
    """Complex ``[T]``: the unit direction by which each frame is turned."""
    known = forward != 0
    if mode == "clip":
        mean = forward[known].mean()
        if abs(mean) < _NO_LENGTH:  # as much one way as the other
            mean = forward[known.argmax()]
        return np.full_like(forward, mean / abs(mean))
    carried = _carried(forward, known)
    if sigma == 0:
        return carried
    smooth = gaussian_filter1d(carried, sigma, mode="nearest")
    length = np.abs(smooth)
    clear = length > _NO_LENGTH
    return np.where(clear, smooth / np.where(clear, length, 1.0), carried)


def _carried(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Each frame's value, or the nearest known one; zeros if none is known."""
    frames = np.flatnonzero(known)
    if len(frames) in (0, len(known)):
        return values if len(frames) else np.zeros_like(values)
    # Halfway between two known frames the earlier wins.
    border = (frames[:-1] + frames[1:]) // 2
    return values[frames[np.searchsorted(border, np.arange(len(known)), side="left")]]


def _root(layout: JointLayout) -> int:
    children = {child for child, _ in layout.bones}
    return next(joint for joint in range(layout.num_joints) if joint not in children)


def _axis(option: str, name: str) -> tuple[int, int]:
    letter = name.removeprefix("-") if isinstance(name, str) else ""
    if len(letter) != 1 or letter not in _AXES:
        raise BadConfig(f"canonicalize: {option} is {name!r}, expected x, y or z, or -x, -y or -z")
    return _AXES.index(letter), -1 if name.startswith("-") else 1
