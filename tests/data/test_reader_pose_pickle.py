"""The neutral pickle: what it gives, and that opening it executes nothing."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.data.other_formats import keypoint, write_pose_pickle
from zskel.data.classes import class_names, register_dataset
from zskel.data.common.errors import BadConfig, BadInput, ClipError
from zskel.data.readers import READERS
from zskel.data.readers.base import Scan
from zskel.data.readers.pose_pickle import PosePickleReader
from zskel.data.readers.safe_pickle import load
from zskel.data.skeleton import (
    KINECT_V1,
    KINECT_V1_TO_NTU,
    LAYOUTS,
    NTU_RGBD,
    JointMapping,
    layout_of,
    mapping_by_name,
)
from zskel.data.synthetic import Settings, generate
from zskel.data.synthetic.layouts import as_layout

RECORDINGS = list(generate(Settings(
    performers=2, cameras=2, frames=(16, 18), actions=("jump up", "two people wave at each other"),
)))
CLIP = np.arange(2 * 4 * 25 * 3, dtype=np.float32).reshape(2, 4, 25, 3)


def annotation(**changes) -> dict:
    return {"frame_dir": "clip", "label": 1, "total_frames": 4, "keypoint": CLIP, **changes}


def write(folder: Path, *annotations: dict, **split: list[str]) -> Path:
    path = folder / "poses.pkl"
    path.write_bytes(pickle.dumps({"split": split, "annotations": list(annotations)}))
    return path


def reader_of(path: Path, **options) -> PosePickleReader:
    return READERS.build("pose_pickle", [path], **{"dataset": "synthetic", **options})


def read_one(path: Path, **options) -> np.ndarray:
    reader = reader_of(path, **options)
    (entry,) = reader.scan().entries
    return reader.read(entry)


@pytest.mark.parametrize("protocol", range(6))
def test_round_trip(tmp_path, protocol):
    write_pose_pickle(RECORDINGS, tmp_path / "x.pkl", train_subjects=(1,), protocol=protocol)
    reader = reader_of(tmp_path / "x.pkl", train_split="xsub_train")
    scan = reader.scan()
    assert not scan.skipped
    for recording, entry in zip(
        sorted(RECORDINGS, key=lambda r: r.sample_id), scan.entries, strict=True
    ):
        assert (entry.sample_id, entry.label) == (recording.sample_id, recording.label)
        assert (entry.setup, entry.camera) == (recording.setup, recording.camera)
        assert entry.subject == recording.performer
        assert entry.replication == (1 if recording.performer == 1 else 2)
        np.testing.assert_array_equal(reader.read(entry), keypoint(recording).astype(np.float32))


def test_round_trip_of_20_joints(tmp_path):
    write_pose_pickle(RECORDINGS, tmp_path / "x.pkl", layout="kinect-v1")
    reader = reader_of(tmp_path / "x.pkl", layout="kinect-v1")
    mapping = JointMapping(KINECT_V1, NTU_RGBD, KINECT_V1_TO_NTU)
    assert reader.layout is NTU_RGBD
    for entry in reader.scan().entries:
        recording = next(r for r in RECORDINGS if r.sample_id == entry.sample_id)
        expected = mapping(as_layout(keypoint(recording).astype(np.float32), KINECT_V1))
        np.testing.assert_array_equal(reader.read(entry), expected)


@pytest.mark.parametrize("name", LAYOUTS)
def test_shipped_layouts_are_mapped_or_kept(name, tmp_path):
    write_pose_pickle(RECORDINGS[:1], tmp_path / "x.pkl", layout=name)
    for options, layout in (({}, NTU_RGBD), ({"map_to_ntu": False}, LAYOUTS[name])):
        reader = reader_of(tmp_path / "x.pkl", layout=name, **options)
        clip = reader.read(reader.scan().entries[0])
        assert reader.layout is layout and clip.shape[2:] == (layout.num_joints, 3)
    np.testing.assert_array_equal(clip, as_layout(keypoint(RECORDINGS[0]), layout)
                                  .astype(np.float32))


@pytest.mark.parametrize("map_to_ntu", [True, False])
@pytest.mark.parametrize(("name", "joint"), [
    ("h36m-17", "hip"), ("openpose-body25", "mid hip"), ("nturgb+d", "spine mid")])
def test_poses_relative_to_a_joint_keep_it(name, joint, map_to_ntu, tmp_path):
    layout = LAYOUTS[name]
    clip = as_layout(keypoint(RECORDINGS[0])[:1], layout)
    clip -= clip[:, :, [layout.index(joint)]]
    clip[0, :, layout.index("left wrist")] = 0  # not tracked
    path = write(tmp_path, annotation(keypoint=clip.astype(np.float32), total_frames=clip.shape[1]))
    reader = reader_of(path, layout=name, map_to_ntu=map_to_ntu)
    read = reader.read(reader.scan().entries[0])
    expected = clip + (0, 0, 2)
    expected[0, :, layout.index("left wrist")] = 0
    if reader.layout is not layout:
        expected = mapping_by_name(layout)(expected.astype(np.float32))
    np.testing.assert_allclose(read, expected, atol=1e-6)


def test_a_trunk_joint_that_was_never_tracked_stays_untracked(tmp_path):
    layout = LAYOUTS["openpose-body25"]
    clip = as_layout(keypoint(RECORDINGS[0])[:1], layout).astype(np.float32)
    clip[:, :, layout.index("mid hip")] = 0
    path = write(tmp_path, annotation(keypoint=clip, total_frames=clip.shape[1]))
    reader = reader_of(path, layout=layout.name, map_to_ntu=False)
    np.testing.assert_array_equal(reader.read(reader.scan().entries[0]), clip)


def test_layouts_of_the_right_number_of_joints_are_named(tmp_path):
    write_pose_pickle(RECORDINGS[:1], tmp_path / "x.pkl", layout="coco-17")
    reader = reader_of(tmp_path / "x.pkl")
    with pytest.raises(ClipError, match="layouts of 17 joints: coco-17, h36m-17$"):
        reader.read(reader.scan().entries[0])


def test_replication_is_the_names_own_without_a_split(tmp_path):
    path = write(tmp_path, annotation(frame_dir="S001C002P003R004A005"), annotation())
    first, second = reader_of(path).scan().entries
    assert (first.setup, first.camera, first.subject, first.replication) == (1, 2, 3, 4)
    assert (second.setup, second.camera, second.subject, second.replication) == (-1, -1, -1, -1)


# -- who is in a clip --------------------------------------------------------------


def identity(path: Path, **options) -> tuple[list[tuple[int, ...]], Scan]:
    scan = reader_of(path, **options).scan()
    return [(e.subject, e.camera, e.setup, e.replication) for e in scan.entries], scan


def test_identity_comes_from_the_annotation_then_the_pattern_then_the_ntu_name(tmp_path):
    path = write(
        tmp_path, annotation(frame_dir="S001C002P003R004A005", subject=9, camera=None),
        annotation(frame_dir="p07_take3", camera=np.int64(2)), annotation(frame_dir="q", setup=-1))
    pattern = r"^p(?P<subject>\d+)_take(?P<replication>\d+)|S(?P<setup>\d+)C001"
    found, scan = identity(path, name_pattern=pattern)
    assert found == [(9, 2, 1, 4), (7, 2, -1, 3), (-1, -1, -1, -1)]
    assert scan.names == {} and scan.notes == [
        "2 of 3 clip names do not match name_pattern, the first is 'S001C002P003R004A005': it "
        "tells nothing of them"]
    # A list of training clips goes before all.
    path = write(tmp_path, annotation(replication=5), xsub_train=["clip"])
    assert identity(path, train_split="xsub_train")[0] == [(-1, -1, -1, 1)]


def test_names_get_numbers_in_alphabetical_order(tmp_path):
    people = ("dora", "anna", "7", "dora")
    found, scan = identity(write(tmp_path, *(
        annotation(frame_dir=f"c{number}", subject=person, setup=20_231_234 + number % 2, camera=n)
        for number, (person, n) in enumerate(zip(people, ("01", 2, "3", "04"), strict=True)))))
    assert scan.names == {"subject": {"7": 1, "anna": 2, "dora": 3},
                          "setup": {"20231234": 1, "20231235": 2}}
    assert found == [(3, 1, 1, -1), (2, 2, 2, -1), (1, 3, 1, -1), (3, 4, 2, -1)]


@pytest.mark.parametrize("value", ["", "  ", "a\nb", 1.0, -2, True, [1], b"anna"])
def test_an_identity_that_is_none_is_skipped(tmp_path, value):
    scan = reader_of(write(tmp_path, annotation(subject=value), annotation(frame_dir="b"))).scan()
    assert [e.sample_id for e in scan.entries] == ["b"]
    assert scan.skipped[0].reason.startswith("'subject' is ")
    assert scan.skipped[0].reason.endswith("expected a number from 0 or a name")


@pytest.mark.parametrize(("pattern", "reason"), [
    ("p(?P<subject>", "name_pattern 'p.*: is no regular expression: "),
    (7, "is no regular expression"),
    (r"(?P<subjekt>\d)", "unknown group 'subjekt'; did you mean 'subject'"),
    (r"p(\d+)", r"has no named group, such as \(\?P<subject>...\); there are subject, camera"),
    (r"s(?P<subject>\d+)", "matches none of 2 clip names, such as 'clip'"),
])
def test_patterns_that_tell_nothing(tmp_path, pattern, reason):
    path = write(tmp_path, annotation(), annotation(frame_dir="p07"))
    with pytest.raises(BadConfig, match=reason) as caught:
        reader_of(path, name_pattern=pattern).scan()
    assert "\n" not in str(caught.value)


def test_a_list_of_annotations_is_one_split_named_as_its_file(tmp_path):
    paths = []
    for name, members in (("my_train", "ab"), ("my_val", "cd")):
        paths.append(tmp_path / f"{name}.pkl")
        paths[-1].write_bytes(pickle.dumps([annotation(frame_dir=m) for m in members]))
    reader = READERS.build("pose_pickle", paths, dataset="synthetic", train_split="my_train")
    found = reader.scan().entries
    assert [(e.sample_id, e.replication) for e in found] == [("a", 1), ("b", 1), ("c", 2), ("d", 2)]
    np.testing.assert_array_equal(reader.read(found[2]), CLIP)
    with pytest.raises(BadConfig, match="no split 'train'; did you mean 'my_train'"):
        READERS.build("pose_pickle", paths, dataset="synthetic", train_split="train").scan()


def test_labels_that_are_counted_from_another_number(tmp_path):
    names = ["a", "b", "c"]
    options = {"dataset": "abc", "class_names": names}
    clips = [annotation(frame_dir=name, label=label) for label, name in enumerate(names, start=1)]
    path = write(tmp_path, *clips)
    with pytest.raises(BadInput, match="labels run from 1 to 3 and there are 3 classes: labels "
                                       "seem to be counted from 1; say so with "
                                       "reader_options.first_label=1"):
        reader_of(path, **options).scan()
    assert [e.label for e in reader_of(path, first_label=1, **options).scan().entries] == [0, 1, 2]
    path = write(tmp_path, *clips[:2], annotation(frame_dir="z", label=0))
    with pytest.raises(BadInput, match="counted from 0; say so with reader_options.first_label=0"):
        reader_of(path, first_label=1, **options).scan()
    path = write(tmp_path, *clips, annotation(frame_dir="z", label=4))
    skipped = reader_of(path, first_label=1, **options).scan().skipped
    assert [skip.reason for skip in skipped] == ["label 4 is not in 1..3"]
    with pytest.raises(BadConfig, match="first_label is 2, expected 0 or 1"):
        reader_of(path, first_label=2, **options)


def test_of_clips_with_one_name_only_the_first_counts(tmp_path):
    path = write(tmp_path, annotation(label=77), annotation())
    scan = reader_of(path).scan()
    assert not scan.entries
    assert [skip.reason for skip in scan.skipped] == [
        "label 77 is not in 0..39", f"is there twice; only the first, in {path}, counts"]


def test_types_of_numbers(tmp_path):
    for kind in ("float16", "float64", ">f4", "int32", "uint8"):
        values = (CLIP % 200).astype(kind)
        path = write(tmp_path, annotation(keypoint=values, label=np.int64(3)))
        np.testing.assert_array_equal(read_one(path), values.astype(np.float32))
    path = write(tmp_path, annotation(keypoint=np.asfortranarray(CLIP)))
    np.testing.assert_array_equal(read_one(path), CLIP)


def test_bodies_that_never_appear_are_left_out(tmp_path):
    values = CLIP.copy()
    values[0] = 0
    np.testing.assert_array_equal(read_one(write(tmp_path, annotation(keypoint=values))), CLIP[1:])


@pytest.mark.parametrize(("changes", "reason"), [
    ({"keypoint": CLIP[:, :, :20]}, "expected .bodies, frames, 25, 3. as of layout 'nturgb"),
    ({"keypoint": CLIP[0]}, "has shape"),
    ({"keypoint": CLIP[:, :0], "total_frames": 0}, "has shape"),
    ({"keypoint": CLIP.tolist()}, "no array of numbers"),
    ({"keypoint": CLIP.astype("U5")}, "no array of numbers"),
    ({"total_frames": 5}, "'total_frames' is 5, 'keypoint' has 4 frames"),
    ({"total_frames": None}, "'total_frames' is None"),
    ({"keypoint": CLIP * np.float32(np.nan)}, "not finite"),
    ({"keypoint": CLIP.astype(np.float64) * 1e39}, "not finite"),
    ({"keypoint": CLIP * 0}, "no body in any of its 4 frames"),
])
def test_damaged_clips(tmp_path, changes, reason):
    with pytest.raises(ClipError, match=reason):
        read_one(write(tmp_path, annotation(**changes)))


def test_what_is_listed(tmp_path):
    path = write(tmp_path, annotation(), annotation(), annotation(frame_dir="b", label=41),
                 annotation(frame_dir="c", label="1"), annotation(frame_dir=""), "no dict")
    scan = reader_of(path).scan()
    assert [e.sample_id for e in scan.entries] == ["clip"]
    assert [s.reason.split(";")[0] for s in scan.skipped] == [
        "is there twice", "label 41 is not in 0..39", "'label' is '1', expected an integer",
        "'frame_dir' is '', expected a name", "is no dict",
    ]


def test_a_clip_without_a_label_is_for_prediction_only(tmp_path):
    unlabelled = {key: value for key, value in annotation().items() if key != "label"}
    reader = reader_of(write(tmp_path, unlabelled, annotation(frame_dir="b", label=3)))
    scan = reader.scan()
    assert [(e.sample_id, e.label) for e in scan.entries] == [("b", 3)]
    assert [s.reason for s in scan.skipped] == ["has no 'label', the number of its class"]
    reader.unlabelled = True
    assert [(e.sample_id, e.label) for e in reader.scan().entries] == [("b", 3), ("clip", -1)]


def test_refused_as_a_whole(tmp_path):
    with pytest.raises(BadInput, match="holds 2D poses"):
        reader_of(write(tmp_path, annotation(keypoint=CLIP[..., :2]))).scan()
    with pytest.raises(BadConfig, match="no split 'xsub_tran'; did you mean 'xsub_train'"):
        reader_of(write(tmp_path, annotation(), xsub_train=[]), train_split="xsub_tran").scan()
    with pytest.raises(BadInput, match="holds no annotations"):
        reader_of(write(tmp_path)).scan()
    with pytest.raises(BadInput, match="is a folder"):
        reader_of(tmp_path).scan()
    with pytest.raises(BadInput, match="cannot be read"):
        reader_of(tmp_path / "none.pkl").scan()
    for content in (["no", "dicts"], annotation(), {"annotations": {}},
                    {"annotations": [], "split": {"a": [1]}}):
        path = tmp_path / "other.pkl"
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(BadInput, match="other.pkl: (expected|split)"):
            reader_of(path).scan()


# -- data sets and layouts of one's own ------------------------------------------

OWN = {
    "joints": ["hip", "chest", "left arm", "right arm"],
    "bones": [["chest", "hip"], ["left arm", 1], [3, 1]],
    "center": "hip", "spine": ["hip", "chest"],
    "shoulders": ["left arm", "right arm"], "hips": ["left arm", "right arm"],
}


def test_own_classes_and_layout(tmp_path):
    (tmp_path / "names.txt").write_text("sit\nstand\n")
    path = write(tmp_path, annotation(keypoint=CLIP[:, :, :4]))
    reader = reader_of(path, dataset="my own", class_names=str(tmp_path / "names.txt"), layout=OWN)
    assert class_names("my own") == ("sit", "stand")
    assert reader.layout.joints == tuple(OWN["joints"]) and reader.layout.center == 0
    assert reader.layout.bones == ((1, 0), (2, 1), (3, 1))
    np.testing.assert_array_equal(reader.read(reader.scan().entries[0]), CLIP[:, :, :4])
    entry = reader_of(write(tmp_path, annotation(label=2)), dataset="my own").scan().skipped
    assert entry[0].reason == "label 2 is not in 0..1"


def test_own_layout_whose_names_suffice_is_mapped(tmp_path):
    """Kinect v1's joints in reverse, under their names."""
    bones = [[KINECT_V1.joints[c], KINECT_V1.joints[p]] for c, p in KINECT_V1.bones]
    own = {"joints": list(reversed(KINECT_V1.joints)), "bones": bones, "center": "spine",
           "spine": ["hip center", "spine"]}
    forward = read_one(write(tmp_path, annotation(keypoint=CLIP[:, :, :20])), layout="kinect-v1")
    reverse = read_one(write(tmp_path, annotation(keypoint=CLIP[:, :, 19::-1])), layout=own)
    np.testing.assert_array_equal(forward, reverse)


@pytest.mark.parametrize(("changes", "reason"), [
    ({"bones": OWN["bones"][:2]}, "need 3 bones"),
    ({"bones": [[0, 1], [1, 0], [2, 1]]}, "run in a circle"),
    ({"bones": [[1, 0], [2, 1], ["tail", 1]]}, "'bones' names joint 'tail'"),
    ({"joints": ["hip", "hip", "a", "b"]}, "different names"),
    ({"center": 4}, "'center' names joint 4"),
    ({"spine": ["hip"]}, "'spine' takes 2"),
    ({"hips": None}, "'hips' is missing"),
    ({"centre": 0}, "unknown key 'centre'"),
])
def test_layouts_that_are_none(changes, reason):
    with pytest.raises(BadConfig, match=reason):
        layout_of({**OWN, **changes})
    with pytest.raises(BadConfig, match="did you mean 'kinect-v1'"):
        layout_of("kinect_v1")


def test_registered_data_sets(tmp_path):
    for names, reason in (([], "a list of names"), (["a", ""], "none of them empty"),
                          (["a", "a"], "twice"), (tmp_path / "none.txt", "cannot be read")):
        with pytest.raises(BadConfig, match=reason):
            register_dataset("another", names)
    with pytest.raises(BadConfig, match="ships with other class names"):
        register_dataset("ntu60", ["a"])
    assert register_dataset("ntu60", class_names("ntu60")) == class_names("ntu60")
    assert register_dataset("another", ["a"]) == ("a",)
    assert register_dataset("another", ["b"]) == class_names("another") == ("b",)


# -- hostile pickles ---------------------------------------------------------------


class Calls:
    """Pickles to a call of a function with some arguments."""

    def __init__(self, function, *arguments) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def attribute(name: str, *arguments) -> bytes:
    """A pickle that calls ``module.name``, whatever it is, with text arguments."""
    module, _, function = name.rpartition(".")
    texts = b"".join(b"V" + text.encode() + b"\n" for text in arguments)
    return f"c{module}\n{function}\n(".encode() + texts + b"tR."


def refused(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(BadInput, match=reason) as caught:
        load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path))
    assert peak < 8 << 20


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_executed(tmp_path, protocol):
    mark = tmp_path / "mark"
    content = pickle.dumps([annotation(), Calls(os.system, f"touch {mark}")], protocol)
    refused(tmp_path / "x.pkl", content, r"asks for (posix|nt)\.system, which is neither")
    assert not mark.exists()
    content = pickle.dumps(Calls(open, str(mark), "w"), protocol)
    refused(tmp_path / "x.pkl", content, r"asks for _?io\.open")
    assert not mark.exists()


@pytest.mark.parametrize("name", [
    "builtins.eval", "builtins.getattr", "__builtin__.getattr", "builtins.list",
    "operator.attrgetter", "numpy.load", "numpy.core.multiarray.fromfile",
    "numpy.ndarray.tofile",
    "collections.OrderedDict", "zskel.data.readers.safe_pickle._ALLOWED", "functools.partial",
    "copyreg._reconstructor",
])
def test_other_names(tmp_path, name):
    refused(tmp_path / "x.pkl", attribute(name, "1"), f"asks for {name}, which is neither")


def test_old_ways_to_call(tmp_path):
    for content in (b"(S'true'\nios\nsystem\n.", b"(cos\nsystem\nS'true'\no.",
                    b"\x80\x02cos\nsystem\nU\x04true\x85\x81."):
        refused(tmp_path / "x.pkl", content, r"asks for os\.system")
    refused(tmp_path / "x.pkl", b"Pnumber 7\n.", "outside the file")
    refused(tmp_path / "x.pkl", b"\x80\x02\x82\x01.", "not a whole pickle")


RECONSTRUCT = b"cnumpy._core.multiarray\n_reconstruct\n"
NDARRAY = b"cnumpy\nndarray\n"
EMPTY = RECONSTRUCT + b"(" + NDARRAY + b"(I0\ntVb\ntR"


def dtype(spec: bytes) -> bytes:
    return b"cnumpy\ndtype\n(V" + spec + b"\nI00\nI01\ntR(I3\nV<\nNNNI-1\nI-1\nI0\ntb"


def array(shape: bytes, spec: bytes = b"f4", content: bytes = b"Vabcd\n") -> bytes:
    return EMPTY + b"(I1\n(" + shape + b"t" + dtype(spec) + b"I00\n" + content + b"tb."


def test_an_array_by_hand(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(array(b"I1\n"))
    np.testing.assert_array_equal(load(path), np.frombuffer(b"abcd", "<f4"))


@pytest.mark.parametrize(("content", "reason"), [
    (array(b"I1000000000000\n"), "holds 4 bytes for an array of float32 of shape"),
    (array(b"I-1\nI-1\n"), "holds 4 bytes for an array"),
    (array(b"I2147483648\nI8589934592\n"), "holds 4 bytes for an array"),
    (array(b"I1\n", b"O8", b"(lI1\na"), "array of objects"),
    (array(b"I1\n", b"V4"), "array of type 'V4'"),
    (array(b"I1\n", b"f3"), "array of type 'f3'"),
    (array(b"I1\n", content=b"(l"), "array of objects"),
    (EMPTY + b".", "array without content"),
    (NDARRAY + b".", "holds the function numpy.ndarray"),
    (NDARRAY + b"(I9\ntR.", "calls numpy.ndarray itself"),
    (NDARRAY + b"(N}Vname\nI1\nstb.", "changes numpy.ndarray"),
    (RECONSTRUCT + b"(cbuiltins\nset\n(I0\ntVb\ntR.", "a class of its own"),
    (b"c_codecs\nencode\n(Va\nVrot13\ntR.", "another encoding"),
    (b"cbuiltins\nbytearray\n(I99999999999\ntR.", "something else than a list"),
    (b"\x80\x02N" + b"r\xff\xff\xff\x7f" + b".", "numbers an object 2147483647"),
    (b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.", r"not a whole pickle \(a frame of"),
    (b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.", "not a whole pickle"),
    (b"\x80\x04B" + struct.pack("<I", 2**31) + b"abc.", "not a whole pickle"),
    (b"]" * 10000 + b"a" * 9999 + b".", "nests containers deeper than 16"),
    (b"I" + b"9" * 10000 + b"\n.", "not a whole pickle"),
    (b"", "is empty"),
    (b"PK\x03\x04 not a pickle", "not a whole pickle"),
    (pickle.dumps(annotation())[:-200], "not a whole pickle"),
])
def test_hostile_and_damaged(tmp_path, content, reason):
    refused(tmp_path / "x.pkl", content, reason)


def test_a_small_file_that_stands_for_a_huge_tree(tmp_path):
    tree: list = []
    for _ in range(11):
        tree = [tree] * 1000
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"annotations": [tree], "split": {}}))
    assert reader_of(path).scan().skipped[0].reason == "is no dict"


def test_containers_and_scalars(tmp_path):
    content = {
        "set": {1, 2}, "frozen": frozenset("a"), "bytes": b"\x00\xff", "array": bytearray(b"x"),
        "numbers": (1, 2.5, True, None, 1 << 80), "text": np.str_("abc"), "scalar": np.float32(0.5),
        "nested": [(np.arange(3), {"k": np.bool_(True)})],
    }
    path = tmp_path / "x.pkl"
    for protocol in range(6):
        path.write_bytes(pickle.dumps(content, protocol))
        found = load(path)
        (numbers, flag), = found.pop("nested")
        assert numbers.tolist() == [0, 1, 2] and flag == {"k": True}
        assert found == {key: value for key, value in content.items() if key != "nested"}


def test_the_names_numpy_1_writes(tmp_path):
    path = tmp_path / "x.pkl"
    for protocol in range(6):
        content = pickle.dumps(CLIP, protocol)
        old = content.replace(b"numpy._core", b"numpy.core")
        if protocol >= 4:  # lengths precede the name
            old = old.replace(bytes([len("numpy._core.multiarray")]) + b"numpy.core.multi",
                              bytes([len("numpy.core.multiarray")]) + b"numpy.core.multi")
            old = old.replace(bytes([len("numpy._core.numeric")]) + b"numpy.core.numeric",
                              bytes([len("numpy.core.numeric")]) + b"numpy.core.numeric")
            frame = struct.unpack_from("<Q", old, 3)[0]
            if old[2:3] == b"\x95" and frame == len(content) - 11:
                old = old[:3] + struct.pack("<Q", len(old) - 11) + old[11:]
        assert old != content or b"numpy.core" in content
        path.write_bytes(old)
        np.testing.assert_array_equal(load(path), CLIP)
