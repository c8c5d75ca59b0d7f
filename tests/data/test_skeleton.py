"""Joint layouts, and the map from Kinect v1 to Kinect v2, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zskel.data.skeleton import (
    KINECT_V1_TO_NTU,
    LAYOUTS,
    NTU_RGBD,
    UTD_MHAD,
    JointLayout,
    JointMapping,
    mapping_by_name,
    present,
)
from zskel.data.synthetic.body import BONES, Pose, joints
from zskel.data.synthetic.layouts import as_layout

TO_NTU = JointMapping(UTD_MHAD, NTU_RGBD, KINECT_V1_TO_NTU)

# From the two sensors' joint tables: for each of Kinect v2's 25 joints, in the
# order of the NTU files, the row of a UTD-MHAD file that it comes from.
V1_ROW_OF_V2 = {
    0: 3, 1: 2, 3: 0, 20: 1,
    4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 9, 10: 10, 11: 11,
    12: 12, 13: 13, 14: 14, 15: 15, 16: 16, 17: 17, 18: 18, 19: 19,
    21: 7, 22: 7, 23: 11, 24: 11,
}
NECK, SHOULDER_CENTER, HEAD = 2, 1, 0


@pytest.mark.parametrize("layout", list(LAYOUTS.values()), ids=list(LAYOUTS))
def test_bones_form_a_tree_over_all_joints(layout):
    assert LAYOUTS[layout.name] is layout
    assert len(set(layout.joints)) == layout.num_joints
    children = [child for child, _ in layout.bones]
    assert len(children) == len(set(children)) == layout.num_joints - 1
    (root,) = set(range(layout.num_joints)) - set(children)
    parent = dict(layout.bones)
    for joint in range(layout.num_joints):
        steps = 0
        while joint != root:
            joint, steps = parent[joint], steps + 1
            assert steps < layout.num_joints, "the bones go round in a circle"


@pytest.mark.parametrize("layout", list(LAYOUTS.values()), ids=list(LAYOUTS))
def test_orientation_joints_are_what_they_say(layout):
    left, right = (layout.joints[joint] for joint in layout.shoulders)
    assert (left, right) == ("left shoulder", "right shoulder")
    left, right = (layout.joints[joint] for joint in layout.hips)
    assert (left, right) == ("left hip", "right hip")
    lower, upper = layout.spine
    assert lower != upper and 0 <= layout.center < layout.num_joints
    limbs = [("elbow", "shoulder"), ("knee", "hip")]
    limbs += [("wrist", "elbow"), ("ankle", "knee")] if "left wrist" in layout.joints else []
    for side in ("left", "right"):
        for joint, parent in limbs:
            bone = (layout.index(f"{side} {joint}"), layout.index(f"{side} {parent}"))
            assert bone in layout.bones


def other_side(name):
    turned = {"left": "right", "right": "left"}
    return " ".join(turned.get(word, word) for word in name.split())


@pytest.mark.parametrize("layout", list(LAYOUTS.values()), ids=list(LAYOUTS))
def test_both_sides_have_the_same_joints_and_bones(layout):
    twin = [layout.index(other_side(joint)) for joint in layout.joints]
    assert {(twin[child], twin[parent]) for child, parent in layout.bones} == set(layout.bones)


@pytest.mark.parametrize("layout", list(LAYOUTS.values()), ids=list(LAYOUTS))
def test_a_mirrored_body_maps_to_a_mirrored_body(layout):
    def mirror(body, of):
        return body[[of.index(other_side(joint)) for joint in of.joints]] * np.float32((-1, 1, 1))

    body = np.random.default_rng(3).normal(size=(layout.num_joints, 3)).astype(np.float32)
    mapping = mapping_by_name(layout)
    np.testing.assert_allclose(mapping(mirror(body, layout)), mirror(mapping(body), NTU_RGBD),
                               atol=1e-6)
    np.testing.assert_allclose(mapping.matrix().sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("layout", list(LAYOUTS.values()), ids=list(LAYOUTS))
def test_mapped_joints_are_near_kinect_v2s(layout):
    body = joints(Pose(1), BONES)[0]
    mapped = mapping_by_name(layout)(as_layout(body, layout).astype(np.float32))
    away = dict(zip(NTU_RGBD.joints, np.linalg.norm(mapped - body, axis=1), strict=True))
    # Thumbs and tips fall onto the last joint of the arm, feet onto the ankle.
    ends = {joint: away.pop(joint) for joint in list(away)
            if joint.split()[-1] in ("hand", "tip", "thumb", "foot", "wrist", "ankle")}
    assert max(away.values()) < 0.07, max(away, key=away.get)
    assert max(ends.values()) < 0.17, max(ends, key=ends.get)


# Of each layout's documentation: the index of some joints.
@pytest.mark.parametrize(("name", "places"), [
    ("h36m-17", {0: "hip", 1: "right hip", 6: "left ankle", 7: "spine", 10: "head",
                 13: "left wrist", 16: "right wrist"}),
    ("coco-17", {0: "nose", 3: "left ear", 5: "left shoulder", 10: "right wrist",
                 11: "left hip", 16: "right ankle"}),
    ("openni-15", {0: "head", 2: "torso", 5: "left hand", 8: "right hand", 11: "left foot",
                   14: "right foot"}),
    ("smpl-24", {0: "pelvis", 1: "left hip", 9: "spine 3", 12: "neck", 15: "head",
                 17: "right shoulder", 23: "right hand"}),
    ("kinect-v1", {0: "hip center", 3: "head", 7: "left hand", 19: "right foot"}),
    ("nturgb+d", {0: "spine base", 11: "right hand", 20: "spine shoulder", 24: "right thumb"}),
    ("azure-kinect-32", {0: "pelvis", 3: "neck", 10: "left thumb", 17: "right thumb",
                         21: "left foot", 26: "head", 29: "left ear", 30: "right eye",
                         31: "right ear"}),
    ("mediapipe-33", {0: "nose", 8: "right ear", 11: "left shoulder", 16: "right wrist",
                      22: "right thumb", 24: "right hip", 29: "left heel",
                      32: "right foot index"}),
    ("openpose-body25", {1: "neck", 4: "right wrist", 7: "left wrist", 8: "mid hip",
                         14: "left ankle", 18: "left ear", 19: "left big toe",
                         24: "right heel"}),
])
def test_joints_are_in_the_documented_order(name, places):
    assert {index: LAYOUTS[name].joints[index] for index in places} == places


def test_what_stands_for_an_untracked_joint_is_untracked():
    layout = LAYOUTS["coco-17"]
    body = np.random.default_rng(4).normal(size=(2, layout.num_joints, 3)).astype(np.float32)
    whole = mapping_by_name(layout)(body)
    body[1, layout.index("left ear")] = 0
    mapped = mapping_by_name(layout)(body)
    np.testing.assert_array_equal(mapped[0], whole[0])
    gone = [NTU_RGBD.joints[joint] for joint in np.flatnonzero(~mapped[1].any(axis=-1))]
    assert gone == ["neck", "head"]


def test_sizes():
    assert (NTU_RGBD.num_joints, UTD_MHAD.num_joints) == (25, 20)
    with pytest.raises(ValueError, match="left thumb|not in"):
        UTD_MHAD.index("left thumb")


def test_kinect_v1_maps_to_v2_as_worked_by_hand():
    v1 = np.arange(60, dtype=np.float32).reshape(20, 3) ** 1.5
    v2 = TO_NTU(v1)
    assert v2.shape == (25, 3) and v2.dtype == np.float32
    for joint, row in V1_ROW_OF_V2.items():
        np.testing.assert_array_equal(v2[joint], v1[row], err_msg=NTU_RGBD.joints[joint])
    np.testing.assert_allclose(v2[NECK], (v1[SHOULDER_CENTER] + v1[HEAD]) / 2, rtol=1e-6)
    assert sorted([*V1_ROW_OF_V2, NECK]) == list(range(25))


def test_mapping_keeps_other_axes_and_absent_bodies():
    clip = np.random.default_rng(0).normal(size=(2, 4, 20, 3)).astype(np.float32)
    clip[1, 2:] = 0
    mapped = TO_NTU(clip)
    assert mapped.shape == (2, 4, 25, 3)
    np.testing.assert_array_equal(mapped[1, 2:], 0)
    np.testing.assert_allclose(mapped[0, 3], TO_NTU(clip[0, 3]), atol=1e-6)
    np.testing.assert_array_equal(present(mapped), [[True] * 4, [True, True, False, False]])


@given(shift=st.tuples(*[st.floats(-5, 5, width=32)] * 3))
def test_a_moved_body_maps_to_a_moved_body(shift):
    body = np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)
    move = np.asarray(shift, np.float32)
    np.testing.assert_allclose(TO_NTU(body + move), TO_NTU(body) + move, atol=2e-6)
    np.testing.assert_allclose(TO_NTU.matrix().sum(axis=1), 1)


def test_a_layout_maps_to_itself_unchanged():
    body = np.random.default_rng(2).normal(size=(3, 25, 3)).astype(np.float32)
    np.testing.assert_array_equal(JointMapping(NTU_RGBD, NTU_RGBD)(body), body)


def test_a_joint_without_a_source_is_named():
    with pytest.raises(ValueError, match="'neck'.*'nturgb\\+d' has no source.*'utd-mhad'"):
        JointMapping(UTD_MHAD, NTU_RGBD, {"spine base": {"hip center": 1.0},
                                          "spine mid": {"spine": 1.0}}).matrix()


def test_a_weighted_mean_of_several_joints():
    two = JointLayout("two", ("a", "b"), ((1, 0),), 0, (0, 1), (0, 1), (0, 1))
    one = JointLayout("one", ("m",), (), 0, (0, 0), (0, 0), (0, 0))
    mapping = JointMapping(two, one, {"m": {"a": 0.25, "b": 0.75}})
    body = np.asarray([[0, 4, 8], [4, 0, 8]], np.float32)
    np.testing.assert_allclose(mapping(body), [[3, 1, 8]])


def test_present_is_any_nonzero_coordinate():
    clip = np.zeros((2, 3, 5, 3), np.float32)
    clip[0, 1, 4, 2] = -0.1
    np.testing.assert_array_equal(present(clip), [[False, True, False], [False] * 3])
