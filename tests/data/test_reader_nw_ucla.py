"""NW-UCLA's json files: labels, joints and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.other_formats import keypoint, write_nw_ucla, write_utd_mhad
from zskel.data.common.errors import BadInput, ClipError
from zskel.data.readers import READERS
from zskel.data.readers.nw_ucla import NWUCLAReader
from zskel.data.skeleton import KINECT_V1, KINECT_V1_TO_NTU, NTU_RGBD, UTD_MHAD, JointMapping
from zskel.data.synthetic import Settings, generate
from zskel.data.synthetic.layouts import as_layout

ACTIONS = ("raise left knee", "jump up", "squat down", "wave left hand", "wave right hand",
           "kick forward with left leg", "raise right knee")
RECORDINGS = list(generate(Settings(performers=2, cameras=2, frames=(16, 18), actions=ACTIONS)))
FRAME = [[float(joint), 0.5, -2] for joint in range(20)]


def write(folder: Path, name="a08_s02_e03_v01", label=7, skeletons=(FRAME,), **others) -> Path:
    path = folder / f"{name}.json"
    content = {"file_name": name, "skeletons": skeletons, "label": label, **others}
    path.write_text(json.dumps(content))
    return path


def read_one(folder: Path) -> np.ndarray:
    reader = NWUCLAReader([folder])
    (entry,) = reader.scan().entries
    return reader.read(entry)


def test_round_trip(tmp_path):
    write_nw_ucla(RECORDINGS, tmp_path)
    reader = READERS.build("nw_ucla", [tmp_path])
    scan = reader.scan()
    assert not scan.skipped and len(scan.entries) == len(RECORDINGS)
    assert reader.layout is NTU_RGBD
    actions = sorted({recording.action for recording in RECORDINGS})
    mapping = JointMapping(KINECT_V1, NTU_RGBD, KINECT_V1_TO_NTU)
    found = {(e.label, e.subject, e.camera, e.replication): e for e in scan.entries}
    for r in RECORDINGS:
        entry = found[actions.index(r.action), r.performer, r.camera, r.replication]
        values = as_layout(keypoint(r)[:1], KINECT_V1)
        printed = np.vectorize(lambda x: np.float32(f"{x:.7g}"))(values).astype(np.float32)
        np.testing.assert_array_equal(reader.read(entry), mapping(printed))
    # The seventh action has label 7 and is called a08.
    assert {e.sample_id[:3] for e in scan.entries if e.label == 6} == {"a08"}


def test_utd_mhad_round_trip(tmp_path):
    """The same recordings as MATLAB files; UTD-MHAD's joints in their own order."""
    write_utd_mhad(RECORDINGS[:4], tmp_path / "packed")
    write_utd_mhad(RECORDINGS[:4], tmp_path / "plain", compress=False)
    mapping = JointMapping(UTD_MHAD, NTU_RGBD, KINECT_V1_TO_NTU)
    for folder in ("packed", "plain"):
        reader = READERS.build("utd_mhad", [tmp_path / folder])
        entries = reader.scan().entries
        found = {(e.subject, e.replication): reader.read(e) for e in entries}
        for r in [r for r in RECORDINGS[:4] if r.action == RECORDINGS[0].action]:
            expected = as_layout(keypoint(r)[:1], UTD_MHAD).astype(np.float32)
            trial = 3 * (r.replication - 1) + r.camera
            entry = next(e for e in entries if e.label == 0 and e.replication == trial)
            np.testing.assert_array_equal(reader.read(entry), mapping(expected))
        assert found


def test_joints_by_hand(tmp_path):
    write(tmp_path)
    clip = read_one(tmp_path)
    assert clip.shape == (1, 1, 25, 3) and clip.dtype == np.float32
    x = dict(zip(NTU_RGBD.joints, clip[0, 0, :, 0].tolist(), strict=True))
    assert (x["spine base"], x["spine mid"], x["spine shoulder"], x["head"]) == (0, 1, 2, 3)
    assert x["neck"] == 2.5 and x["left hand tip"] == x["left hand"] == 7 and x["right foot"] == 19


def test_identity(tmp_path):
    write(tmp_path)
    (entry,) = NWUCLAReader([tmp_path]).scan().entries
    assert (entry.sample_id, entry.label) == ("a08_s02_e03_v01", 6)
    assert (entry.subject, entry.replication, entry.camera, entry.setup) == (2, 3, 1, -1)


def test_short_clips_are_clips(tmp_path):
    write(tmp_path, skeletons=[FRAME] * 3)
    assert read_one(tmp_path).shape == (1, 3, 25, 3)


def test_label_that_other_files_of_the_action_contradict(tmp_path):
    for number, label in enumerate((7, 7, 3), start=1):
        write(tmp_path, f"a08_s0{number}_e01_v01", label)
    write(tmp_path, "a03_s01_e01_v01", 3)
    scan = NWUCLAReader([tmp_path]).scan()
    assert [e.label for e in scan.entries] == [2, 6, 6]
    assert [(s.name, s.reason) for s in scan.skipped] == [
        ("a08_s03_e01_v01", "its label is 3, that of most files of a08 is 7")
    ]


@pytest.mark.parametrize("label", [0, 11, -1, "7", 7.5, None, True, [7]])
def test_wrong_labels(tmp_path, label):
    write(tmp_path, label=label)
    scan = NWUCLAReader([tmp_path]).scan()
    assert not scan.entries and "label" in scan.skipped[0].reason


def test_two_labels(tmp_path):
    path = write(tmp_path)
    path.write_text(path.read_text().replace('"label": 7', '"label": 7, "label": 8'))
    assert "expected one 'label'" in NWUCLAReader([tmp_path]).scan().skipped[0].reason


@pytest.mark.parametrize(("skeletons", "reason"), [
    ([], "it is empty"),
    ("frames", "it is no list"),
    ({"0": FRAME}, "it is no list"),
    ([FRAME, FRAME[:19]], "frame 2 is not"),
    ([FRAME, [[0.0, 1.0]] * 20], "frame 2 is not"),
    ([[["1", "2", "3"]] * 20], "frame 1 is not"),
    ([[[True, 0.0, 0.0]] * 20], "frame 1 is not"),
    ([[[None, 0.0, 0.0]] * 20], "frame 1 is not"),
    ([[[float("nan"), 0.0, 0.0]] * 20], "holds NaN"),
    ([[[float("inf"), 0.0, 0.0]] * 20], "holds Infinity"),
    ([[[1e39, 0.0, 0.0]] * 20], "not finite as float32"),
    ([[[10**400, 0.0, 0.0]] * 20], "not finite as float32"),
    ([[[0.0, 0.0, 0.0]] * 20], "no body in any of its 1 frames"),
])
def test_wrong_skeletons(tmp_path, skeletons, reason):
    write(tmp_path, skeletons=skeletons)
    with pytest.raises(ClipError, match=reason) as caught:
        read_one(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", [
    '{"label": 7, "skeletons": ' + "[" * 100000, '{"label": 7} x', '[{"label": 7}]',
    '{"label": 7, "skeletons": [[' + "1" * 5000 + "]]}",
])
def test_no_json_of_a_clip(tmp_path, text):
    (tmp_path / "a08_s02_e03_v01.json").write_text(text)
    with pytest.raises(ClipError):
        read_one(tmp_path)


def test_infinite_in_other_words(tmp_path):
    path = write(tmp_path)
    path.write_text(path.read_text().replace("19.0", "1e999"))
    with pytest.raises(ClipError, match="not finite"):
        read_one(tmp_path)


def test_sources(tmp_path):
    with pytest.raises(BadInput, match="no such file or folder"):
        NWUCLAReader([tmp_path / "none"]).scan()
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(BadInput, match="no file called aXX_sYY_eZZ_vVV.json"):
        NWUCLAReader([tmp_path]).scan()
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep")
    write(tmp_path)
    scan = NWUCLAReader([tmp_path]).scan()
    assert len(scan.entries) == 1
    assert {s.reason.split(" ")[0] for s in scan.skipped} == {"is", "same"}
