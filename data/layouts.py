"""The joint layouts that ship by name, and where each has Kinect v2's 25 joints.

Joint orders are those of the sensors and tools themselves; docs/layouts.md shows
each. Joints are named alike in all: what two layouts call the same is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class JointLayout:
    """Names and bones of a skeleton.

    Attributes:
        name: The name configs use.
        joints: Joint names, in array order.
        bones: ``(child, parent)`` joint indices; one joint, the root, has none.
        center: Joint that normalization moves to the origin.
        spine, shoulders, hips: Joint indices that orient the body: ``spine`` as
            (lower, upper), the others as (left, right).
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    center: int
    spine: tuple[int, int]
    shoulders: tuple[int, int]
    hips: tuple[int, int]

    def definition(self) -> dict[str, Any]:
        """The layout as ``layout_of`` takes it, for files that must stand alone."""
        return asdict(self)

    @property
    def num_joints(self) -> int:
        """V."""
        return len(self.joints)

    def index(self, joint: str) -> int:
        """The position of a joint, by name."""
        return self.joints.index(joint)


NTU_RGBD = JointLayout(
    name="nturgb+d",
    joints=(
        "spine base", "spine mid", "neck", "head",
        "left shoulder", "left elbow", "left wrist", "left hand",
        "right shoulder", "right elbow", "right wrist", "right hand",
        "left hip", "left knee", "left ankle", "left foot",
        "right hip", "right knee", "right ankle", "right foot",
        "spine shoulder", "left hand tip", "left thumb", "right hand tip", "right thumb",
    ),
    bones=(
        (1, 0), (20, 1), (2, 20), (3, 2),
        (4, 20), (5, 4), (6, 5), (7, 6), (21, 7), (22, 7),
        (8, 20), (9, 8), (10, 9), (11, 10), (23, 11), (24, 11),
        (12, 0), (13, 12), (14, 13), (15, 14),
        (16, 0), (17, 16), (18, 17), (19, 18),
    ),
    center=1,
    spine=(0, 1),
    shoulders=(4, 8),
    hips=(12, 16),
)

UTD_MHAD = JointLayout(
    name="utd-mhad",
    joints=(
        "head", "shoulder center", "spine", "hip center",
        "left shoulder", "left elbow", "left wrist", "left hand",
        "right shoulder", "right elbow", "right wrist", "right hand",
        "left hip", "left knee", "left ankle", "left foot",
        "right hip", "right knee", "right ankle", "right foot",
    ),
    bones=(
        (2, 3), (1, 2), (0, 1),
        (4, 1), (5, 4), (6, 5), (7, 6),
        (8, 1), (9, 8), (10, 9), (11, 10),
        (12, 3), (13, 12), (14, 13), (15, 14),
        (16, 3), (17, 16), (18, 17), (19, 18),
    ),
    center=2,
    spine=(3, 2),
    shoulders=(4, 8),
    hips=(12, 16),
)

# The order of the Kinect SDK 1.x, in which NW-UCLA comes: the joints of UTD-MHAD
# with the trunk counted upwards from the hip centre.
KINECT_V1 = JointLayout(
    name="kinect-v1",
    joints=("hip center", "spine", "shoulder center", "head", *UTD_MHAD.joints[4:]),
    bones=(
        (1, 0), (2, 1), (3, 2),
        (4, 2), (5, 4), (6, 5), (7, 6),
        (8, 2), (9, 8), (10, 9), (11, 10),
        (12, 0), (13, 12), (14, 13), (15, 14),
        (16, 0), (17, 16), (18, 17), (19, 18),
    ),
    center=1,
    spine=(0, 1),
    shoulders=(4, 8),
    hips=(12, 16),
)

def _layout(
    name: str, parents: Mapping[str, str], center: str, spine: tuple[str, str]
) -> JointLayout:
    """A layout from each joint's parent, in array order; the root's is ""."""
    joints = tuple(parents)
    index = {joint: number for number, joint in enumerate(joints)}
    return JointLayout(
        name, joints,
        bones=tuple((index[child], index[up]) for child, up in parents.items() if up),
        center=index[center],
        spine=(index[spine[0]], index[spine[1]]),
        shoulders=(index["left shoulder"], index["right shoulder"]),
        hips=(index["left hip"], index["right hip"]),
    )

# Human3.6M's 17 of 32 joints, the order of 2D-to-3D lifting (VideoPose3D and after).
# "neck" is also called nose or neck/nose: it lies at the chin.
H36M_17 = _layout(
    "h36m-17",
    {
        "hip": "",
        "right hip": "hip", "right knee": "right hip", "right ankle": "right knee",
        "left hip": "hip", "left knee": "left hip", "left ankle": "left knee",
        "spine": "hip", "thorax": "spine", "neck": "thorax", "head": "neck",
        "left shoulder": "thorax", "left elbow": "left shoulder", "left wrist": "left elbow",
        "right shoulder": "thorax", "right elbow": "right shoulder", "right wrist": "right elbow",
    },
    center="spine", spine=("hip", "spine"),
)

# COCO's keypoints, lifted to 3D. No joint lies on the trunk's middle line; the
# left side of the trunk, nearly as upright, stands for the spine. The tree is
# mmaction2's graph "coco".
COCO_17 = _layout(
    "coco-17",
    {
        "nose": "", "left eye": "nose", "right eye": "nose",
        "left ear": "left eye", "right ear": "right eye",
        "left shoulder": "nose", "right shoulder": "nose",
        "left elbow": "left shoulder", "right elbow": "right shoulder",
        "left wrist": "left elbow", "right wrist": "right elbow",
        "left hip": "left shoulder", "right hip": "right shoulder",
        "left knee": "left hip", "right knee": "right hip",
        "left ankle": "left knee", "right ankle": "right knee",
    },
    center="nose", spine=("left hip", "left shoulder"),
)

# OpenNI 1.x with NITE. NiTE 2 and CAD-60 have the same joints in other orders.
OPENNI_15 = _layout(
    "openni-15",
    {
        "head": "neck", "neck": "torso", "torso": "",
        "left shoulder": "neck", "left elbow": "left shoulder", "left hand": "left elbow",
        "right shoulder": "neck", "right elbow": "right shoulder", "right hand": "right elbow",
        "left hip": "torso", "left knee": "left hip", "left foot": "left knee",
        "right hip": "torso", "right knee": "right hip", "right foot": "right knee",
    },
    center="torso", spine=("torso", "neck"),
)

# SMPL's kinematic tree (Loper et al., 2015).
SMPL_24 = _layout(
    "smpl-24",
    {
        "pelvis": "", "left hip": "pelvis", "right hip": "pelvis", "spine 1": "pelvis",
        "left knee": "left hip", "right knee": "right hip", "spine 2": "spine 1",
        "left ankle": "left knee", "right ankle": "right knee", "spine 3": "spine 2",
        "left foot": "left ankle", "right foot": "right ankle", "neck": "spine 3",
        "left collar": "spine 3", "right collar": "spine 3", "head": "neck",
        "left shoulder": "left collar", "right shoulder": "right collar",
        "left elbow": "left shoulder", "right elbow": "right shoulder",
        "left wrist": "left elbow", "right wrist": "right elbow",
        "left hand": "left wrist", "right hand": "right wrist",
    },
    center="spine 2", spine=("pelvis", "spine 2"),
)

# The Azure Kinect Body Tracking SDK's joints and hierarchy.
AZURE_KINECT_32 = _layout(
    "azure-kinect-32",
    {
        "pelvis": "", "spine navel": "pelvis", "spine chest": "spine navel",
        "neck": "spine chest",
        "left clavicle": "spine chest", "left shoulder": "left clavicle",
        "left elbow": "left shoulder", "left wrist": "left elbow", "left hand": "left wrist",
        "left hand tip": "left hand", "left thumb": "left wrist",
        "right clavicle": "spine chest", "right shoulder": "right clavicle",
        "right elbow": "right shoulder", "right wrist": "right elbow", "right hand": "right wrist",
        "right hand tip": "right hand", "right thumb": "right wrist",
        "left hip": "pelvis", "left knee": "left hip", "left ankle": "left knee",
        "left foot": "left ankle",
        "right hip": "pelvis", "right knee": "right hip", "right ankle": "right knee",
        "right foot": "right ankle",
        "head": "neck", "nose": "head",
        "left eye": "head", "left ear": "head", "right eye": "head", "right ear": "head",
    },
    center="spine navel", spine=("pelvis", "spine chest"),
)

# MediaPipe Pose (BlazePose). As with COCO, the trunk's left side stands for the
# spine. Of the triangles that it draws at hands and feet, and of the trunk, the
# bones that make a tree are kept; the mouth hangs on the nose.
MEDIAPIPE_33 = _layout(
    "mediapipe-33",
    {
        "nose": "",
        "left eye inner": "nose", "left eye": "left eye inner", "left eye outer": "left eye",
        "right eye inner": "nose", "right eye": "right eye inner", "right eye outer": "right eye",
        "left ear": "left eye outer", "right ear": "right eye outer",
        "left mouth": "nose", "right mouth": "nose",
        "left shoulder": "nose", "right shoulder": "nose",
        "left elbow": "left shoulder", "right elbow": "right shoulder",
        "left wrist": "left elbow", "right wrist": "right elbow",
        "left pinky": "left wrist", "right pinky": "right wrist",
        "left index": "left wrist", "right index": "right wrist",
        "left thumb": "left wrist", "right thumb": "right wrist",
        "left hip": "left shoulder", "right hip": "right shoulder",
        "left knee": "left hip", "right knee": "right hip",
        "left ankle": "left knee", "right ankle": "right knee",
        "left heel": "left ankle", "right heel": "right ankle",
        "left foot index": "left ankle", "right foot index": "right ankle",
    },
    center="nose", spine=("left hip", "left shoulder"),
)

# OpenPose's BODY_25, in 3D (from several views, or lifted).
OPENPOSE_BODY25 = _layout(
    "openpose-body25",
    {
        "nose": "neck", "neck": "mid hip",
        "right shoulder": "neck", "right elbow": "right shoulder", "right wrist": "right elbow",
        "left shoulder": "neck", "left elbow": "left shoulder", "left wrist": "left elbow",
        "mid hip": "",
        "right hip": "mid hip", "right knee": "right hip", "right ankle": "right knee",
        "left hip": "mid hip", "left knee": "left hip", "left ankle": "left knee",
        "right eye": "nose", "left eye": "nose", "right ear": "right eye", "left ear": "left eye",
        "left big toe": "left ankle", "left small toe": "left big toe", "left heel": "left ankle",
        "right big toe": "right ankle", "right small toe": "right big toe",
        "right heel": "right ankle",
    },
    center="mid hip", spine=("mid hip", "neck"),
)

LAYOUTS: dict[str, JointLayout] = {
    layout.name: layout for layout in (
        NTU_RGBD, UTD_MHAD, KINECT_V1, H36M_17, COCO_17, OPENNI_15, SMPL_24, AZURE_KINECT_32,
        MEDIAPIPE_33, OPENPOSE_BODY25)
}

# Kinect v1 has no neck, hand tips or thumbs. Its shoulder centre is Kinect v2's
# spine shoulder; the neck of v2 lies midway from there to the head; tips and
# thumbs fall onto the hand, so their bones have length zero rather than an
# invented direction.
KINECT_V1_TO_NTU: Mapping[str, Mapping[str, float]] = {
    "spine base": {"hip center": 1.0},
    "spine mid": {"spine": 1.0},
    "neck": {"shoulder center": 0.5, "head": 0.5},
    "spine shoulder": {"shoulder center": 1.0},
    "left hand tip": {"left hand": 1.0},
    "left thumb": {"left hand": 1.0},
    "right hand tip": {"right hand": 1.0},
    "right thumb": {"right hand": 1.0},
}

def _both(named: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Joints of both sides by what stands for them on the same side."""
    return {
        f"{side} {joint}": {f"{side} {source}": 1.0}
        for side in ("left", "right") for joint, source in named.items()
    }

def _between(*joints: str) -> dict[str, float]:
    return {joint: 1 / len(joints) for joint in joints}

_HIPS = _between("left hip", "right hip")
_SHOULDERS = _between("left shoulder", "right shoulder")
_EARS = _between("left ear", "right ear")
_HANDS = {"hand": "wrist", "hand tip": "wrist", "thumb": "wrist"}
# Where a layout has neither spine nor neck: the trunk's middle line from midpoints.
_TRUNK = {
    "spine base": _HIPS,
    "spine mid": _between("left hip", "right hip", "left shoulder", "right shoulder"),
    "spine shoulder": _SHOULDERS,
    "head": _EARS,
    "neck": {joint: share / 2 for joint, share in {**_SHOULDERS, **_EARS}.items()},
}

# For the shipped layouts, what stands for each of the 25 joints that they do not
# have by name. A joint at the end of a limb that is not there falls onto the last
# one that is. The spine's middle is half way up the trunk, and the shoulders'
# midpoint stands for the spine between them.
TO_NTU: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    # "neck" and "head" (its top) are as far above the thorax as Kinect v2's
    # neck and head are above the spine between the shoulders.
    "h36m-17": {
        "spine base": {"hip": 1.0}, "spine mid": {"spine": 1.0}, "spine shoulder": {"thorax": 1.0},
        **_both({**_HANDS, "foot": "ankle"}),
    },
    "coco-17": {**_TRUNK, **_both({**_HANDS, "foot": "ankle"})},
    # OpenNI's neck lies between the shoulders.
    "openni-15": {
        "spine base": _HIPS, "spine mid": {"torso": 1.0}, "spine shoulder": {"neck": 1.0},
        "neck": _between("neck", "head"),
        **_both({"wrist": "hand", "hand tip": "hand", "thumb": "hand", "ankle": "foot"}),
    },
    "smpl-24": {
        "spine base": {"pelvis": 1.0}, "spine mid": {"spine 2": 1.0}, "spine shoulder": _SHOULDERS,
        **_both({"hand tip": "hand", "thumb": "hand"}),
    },
    "azure-kinect-32": {
        "spine base": {"pelvis": 1.0}, "spine mid": _between("spine navel", "spine chest"),
        "spine shoulder": _SHOULDERS,
    },
    "mediapipe-33": {
        **_TRUNK,
        **{f"{side} {joint}": _between(f"{side} pinky", f"{side} index")
           for side in ("left", "right") for joint in ("hand", "hand tip")},
        **_both({"foot": "foot index"}),
    },
    "openpose-body25": {
        **_TRUNK, "spine base": {"mid hip": 1.0}, "spine mid": _between("mid hip", "neck"),
        "spine shoulder": {"neck": 1.0}, "neck": {"neck": 0.5, "left ear": 0.25, "right ear": 0.25},
        **_both({**_HANDS, "foot": "big toe"}),
    },
}
