"""Pooled views of a backbone's feature map, and what is read off them.

A graph network's map has a row for every joint and every frame that its strides leave.
f_x is the mean over all of them; a pooled view averages over less and so tells where on
the body and when. All are means over the bodies, an absent one too, as f_x is.

``joint_means`` and ``frame_means`` together give the eight descriptors of PURLS
(Zhu et al., CVPR 2024) and Skeleton-Cache (arXiv 2512.11458) exactly: four parts of the
body, three thirds of the time, and the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from zskel.data.layouts import JointLayout

Pool = Literal["joint_means", "frame_means", "thirds_joints"]
#: joint_means ``[V, D]`` over all frames, frame_means ``[T', D]`` over all joints, and
#: thirds_joints ``[3, V, D]`` over the frames of each third.
POOLS: tuple[Pool, ...] = get_args(Pool)
#: Dimensions of an array of each with a row a clip.
DIMS: Mapping[str, int] = {"joint_means": 3, "frame_means": 3, "thirds_joints": 4}
BODY_PARTS = ("head", "hands", "torso", "legs")
SEGMENTS = ("start", "middle", "end")
#: The eight descriptors in their order.
DESCRIPTORS = (*BODY_PARTS, *SEGMENTS, "global")

_FACE = ("head", "nose")


def thirds(frames: int) -> tuple[tuple[int, int], ...]:
    """Where the three thirds of the time begin and end; each has a frame at least.

    >>> thirds(16), thirds(2)
    (((0, 5), (5, 11), (11, 16)), ((0, 1), (1, 2), (1, 2)))
    """
    edges = [round(frames * third / 3) for third in range(4)]
    begins = [min(edge, frames - 1) for edge in edges[:3]]
    return tuple((begin, max(end, begin + 1)) for begin, end in zip(begins, edges[1:]))


def body_parts(layout: JointLayout) -> dict[str, list[int]]:
    """The joints of head, hands, torso and legs of any layout, ascending.

    Parts overlap as PURLS' do: shoulders belong to the head, the arms and the torso, hips
    to the torso and the legs. What hangs on a shoulder is an arm ("hands"), what hangs on
    a hip a leg, and what hangs on the rest of the trunk the head, with the joint that it
    hangs on. For NTU's joints these are PURLS' own lists.

    >>> from zskel.data.layouts import NTU_RGBD
    >>> body_parts(NTU_RGBD)["head"], body_parts(NTU_RGBD)["torso"]
    ([2, 3, 4, 8, 20], [0, 1, 4, 8, 12, 16, 20])
    """
    shoulders, hips = {*layout.shoulders}, {*layout.hips}
    # Layouts without a joint in the middle of the trunk meet at the nose.
    face = {joint for joint, name in enumerate(layout.joints) if name.lower() in _FACE}
    between_hips = _path(layout, *layout.hips) - shoulders - face
    trunk = between_hips | _path(layout, *layout.spine) | _path(layout, *layout.shoulders)
    for shoulder, hip in zip(layout.shoulders, layout.hips):
        trunk |= _path(layout, shoulder, hip)
    found = {"head": face | shoulders, "hands": shoulders, "torso": trunk - face,
             "legs": between_hips}
    for joint in trunk:
        branch = _branch(layout, joint, trunk)
        if joint in shoulders:
            found["hands"] = found["hands"] | branch
        elif joint in hips:
            found["legs"] = found["legs"] | branch
        elif branch:
            found["head"] = found["head"] | branch | {joint}
    return {part: sorted(found[part]) for part in BODY_PARTS}


def axes_of(pool: Pool, layout: JointLayout, frames: int) -> dict[str, Any]:
    """What the axes of a pooled view are, as its cache says it.

    Args:
        pool: Which view.
        layout: Of the clips.
        frames: T', how many frames frame_means has; of no account for others.

    >>> from zskel.data.layouts import NTU_RGBD
    >>> axes_of("frame_means", NTU_RGBD, 4)
    {'pool': 'frame_means', 'segments': {'start': [0, 1], 'middle': [1, 3], 'end': [3, 4]}}
    """
    joints = {"joints": list(layout.joints), "parts": body_parts(layout)}
    if pool == "frame_means":
        return {"pool": pool, "segments": {
            name: list(ends) for name, ends in zip(SEGMENTS, thirds(frames))}}
    return {"pool": pool, **joints,
            **({"segments": list(SEGMENTS)} if pool == "thirds_joints" else {})}


def wrong_axes(shape: tuple[int, ...], axes: Mapping[str, Any]) -> str:
    """What of a pooled view's axes does not fit its array; empty if all does.

    Args:
        shape: Of the array, a row a clip.
        axes: As ``axes_of`` gives them.
    """
    pool = axes.get("pool")
    if pool not in POOLS:
        return f"pool is {pool!r}, expected one of {', '.join(POOLS)}"
    if len(shape) != DIMS[pool]:
        return f"{pool} has {len(shape)} dimensions, expected {DIMS[pool]}"
    segments = axes.get("segments", {})
    if pool == "frame_means":
        fit = isinstance(segments, Mapping) and {*segments} == {*SEGMENTS} and all(
            0 <= begin < end <= shape[1] for begin, end in segments.values())
        return "" if fit else f"segments do not lie within {shape[1]} frames"
    if pool == "thirds_joints" and (list(segments) != list(SEGMENTS) or shape[1] != len(SEGMENTS)):
        return f"segments are {list(segments)} for {shape[1]} rows, expected {list(SEGMENTS)}"
    joints, parts = axes.get("joints", ()), axes.get("parts", {})
    if len(joints) != shape[-2]:
        return f"joints has {len(joints)} names, the array {shape[-2]} joints"
    fit = isinstance(parts, Mapping) and {*parts} == {*BODY_PARTS} and all(
        0 <= joint < shape[-2] for part in parts.values() for joint in part)
    return "" if fit else f"parts are not joints of {', '.join(BODY_PARTS)}"


def descriptors(
    joint_means: np.ndarray, frame_means: np.ndarray, parts: Mapping[str, list[int]],
) -> np.ndarray:
    """The eight descriptors of PURLS and Skeleton-Cache, float32 ``[N, 8, D]``.

    Args:
        joint_means: ``[N, V, D]``.
        frame_means: ``[N, T', D]`` of the same clips.
        parts: The joints of each part; one without joints is described by all.

    >>> parts = {"head": [0], "hands": [1], "torso": [0, 1], "legs": []}
    >>> descriptors(np.array([[[0.0], [4.0]]]), np.array([[[1.0], [2.0], [3.0]]]), parts)[0, :, 0]
    array([0., 4., 2., 2., 1., 2., 3., 2.], dtype=float32)
    """
    joints, frames = joint_means.astype(np.float32), frame_means.astype(np.float32)
    of_parts = [joints[:, parts[part] or slice(None)].mean(axis=1) for part in BODY_PARTS]
    of_thirds = [frames[:, begin:end].mean(axis=1) for begin, end in thirds(frames.shape[1])]
    return np.stack([*of_parts, *of_thirds, joints.mean(axis=1)], axis=1)


def _neighbours(layout: JointLayout) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {joint: [] for joint in range(layout.num_joints)}
    for child, parent in layout.bones:
        found[child].append(parent)
        found[parent].append(child)
    return found


def _path(layout: JointLayout, start: int, end: int) -> set[int]:
    """The joints from one to another, both included."""
    neighbours, came, queue = _neighbours(layout), {start: start}, [start]
    for joint in queue:
        for other in neighbours[joint]:
            if other not in came:
                came[other] = joint
                queue.append(other)
    path = [end]
    while path[-1] != start:
        path.append(came[path[-1]])
    return set(path)


def _branch(layout: JointLayout, joint: int, trunk: set[int]) -> set[int]:
    """What hangs on a joint of the trunk."""
    neighbours, queue = _neighbours(layout), [joint]
    for at in queue:
        queue += [other for other in neighbours[at] if other not in trunk and other not in queue]
    return set(queue[1:])
