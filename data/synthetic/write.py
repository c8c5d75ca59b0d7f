"""Writes recordings in the text format of NTU RGB+D, ``SsssCccc....skeleton``.

Per frame the number of bodies; per body a line of 10 fields, the number of
joints, and a line of 12 fields for each: x y z (metres), depth x y and colour
x y (pixels), orientation w x y z, tracking state. Seven significant digits.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from zskel.data.common.errors import BadInput
from zskel.data.common.files import atomic_path
from zskel.data.skeleton import NTU_RGBD
from zskel.data.synthetic.recording import Body, Recording
from zskel.data.synthetic.sensor import project

# Body id, clipped edges, confidence and state of the left and the right hand
# (sure, open), restricted, lean x and y, tracking state.
_BODY_LINE = "%d 0 1 2 1 2 0 %.7g %.7g 2"
_JOINT_LINE = " ".join(["%.7g"] * 11) + " %d"
_CHILD, _PARENT = np.array(NTU_RGBD.bones).T


def write_ntu(
    recordings: Iterable[Recording], folder: str | os.PathLike[str], newline: str = "\n"
) -> list[Path]:
    r"""Writes one ``.skeleton`` file per recording, each whole or not at all.

    Args:
        recordings: What to write; may be a generator.
        folder: Where; made if it does not exist. Files of the same name are replaced.
        newline: "\n" or "\r\n".

    Returns:
        The files' paths, in the order of the recordings.

    Raises:
        BadInput: ``newline`` is something else.
    """
    if newline not in ("\n", "\r\n"):
        raise BadInput(f"newline {newline!r}: expected '\\n' or '\\r\\n'")
    paths = []
    for recording in recordings:
        path = Path(folder) / f"{recording.sample_id}.skeleton"
        # Thousands of files that can be made again need not wait for the disk.
        with atomic_path(path, durable=False) as temporary:
            temporary.write_bytes(_text(recording, newline).encode("ascii"))
        paths.append(path)
    return paths


def _text(recording: Recording, newline: str) -> str:
    blocks = [_blocks(body, newline) for body in recording.bodies]
    frames = recording.frames
    parts = [f"{len(frames)}{newline}"]
    for t, listed in enumerate(frames):
        parts.append(f"{len(listed)}{newline}")
        parts.extend(blocks[b][t] for b in listed)
    return "".join(parts)


def _blocks(body: Body, newline: str) -> list[str]:
    """A body's lines in each frame; "" where it is absent."""
    joints = body.joints
    rows = np.concatenate(
        [joints, project(joints), _orientation(joints), body.tracking[..., None]], axis=-1
    )
    # One template for a whole body and frame: a loop over fields would take minutes.
    lines = [_BODY_LINE, str(NTU_RGBD.num_joints), *[_JOINT_LINE] * NTU_RGBD.num_joints, ""]
    template = newline.join(lines)
    values = zip(
        _lean(joints).tolist(), rows.reshape(len(rows), -1).tolist(), body.present, strict=True
    )
    return [
        template % (body.body_id, *lean, *row) if present else ""
        for lean, row, present in values
    ]


def _lean(joints: np.ndarray) -> np.ndarray:
    """``[T, 2]`` in [-1, 1]: how far the trunk leans to the right and forward."""
    trunk = joints[:, NTU_RGBD.index("spine shoulder")] - joints[:, NTU_RGBD.index("spine base")]
    return np.clip(trunk[:, [0, 2]] * (1.0, -1.0) / 0.5, -1.0, 1.0)


def _orientation(joints: np.ndarray) -> np.ndarray:
    """Unit quaternions ``[T, 25, 4]`` (w x y z) that turn y onto each joint's bone.

    The bone is the one that ends in the joint; the root, which ends none, is upright.
    """
    bone = np.zeros_like(joints)
    bone[..., 1] = 1e-9
    bone[:, _CHILD] += joints[:, _CHILD] - joints[:, _PARENT]
    bone /= np.maximum(np.linalg.norm(bone, axis=-1, keepdims=True), 1e-12)
    x, y, z = np.moveaxis(bone, -1, 0)
    quaternion = np.stack([1.0 + y, z, np.zeros_like(x), -x], axis=-1)
    # A bone that points straight down: any half turn about a level axis will do.
    quaternion[1.0 + y < 1e-9] = (0.0, 1.0, 0.0, 0.0)
    # Adding zero turns -0, which would print as such, into 0.
    return quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True) + 0.0
