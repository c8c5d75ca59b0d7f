"""PKU-MMD trees: where instances are cut, which of them train, and what is left out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data.other_formats import keypoint, write_pku_mmd
from zskel.data.common.errors import BadConfig, BadInput, ClipError
from zskel.data.readers import READERS, Entry
from zskel.data.readers.pku_mmd import PKUMMDReader, _sequence
from zskel.data.readers.pku_text import parse_sequence
from zskel.data.store import SequenceStore
from zskel.data.store_building import build_store
from zskel.data.synthetic import Settings, generate

ACTIONS = ("jump up", "squat down", "two people wave at each other")
RECORDINGS = list(generate(Settings(
    performers=2, cameras=3, frames=(16, 20), actions=ACTIONS, empty=0.5,
)))


def printed(values: np.ndarray) -> np.ndarray:
    """What seven significant digits leave of the values."""
    return np.vectorize(lambda x: np.float32(f"{x:.7g}"))(values).astype(np.float32)


def line(value: float, second: float = 0.0) -> str:
    return " ".join([f"{value}"] * 75 + [f"{second}"] * 75)


def tree(root: Path, skeleton: dict[str, str], label: dict[str, str], train="", test="") -> Path:
    files = {f"Data/Skeleton/{name}.txt": text for name, text in skeleton.items()}
    files |= {f"Label/Train_Label_PKU_final/{name}.txt": text for name, text in label.items()}
    files["Split/cross-subject.txt"] = f"Training videos: \n{train}\nTest videos: \n{test}\n"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


TEN = "".join(line(t + 1) + "\n" for t in range(10))


@pytest.mark.parametrize("phase", [1, 2])
@pytest.mark.parametrize("suffixes", [("txt", "txt"), ("skeleton", "label")])
def test_round_trip(tmp_path, phase, suffixes):
    written = write_pku_mmd(RECORDINGS, tmp_path, phase, instances=2, suffixes=suffixes)
    reader = READERS.build("pku_mmd", [tmp_path])
    scan = reader.scan()
    assert not scan.skipped and len(scan.entries) == len(RECORDINGS)
    for name, instances in written.items():
        for number, (index, start, end) in enumerate(instances, start=1):
            recording, sample_id = RECORDINGS[index], f"P{phase}-{name}-{number:03d}"
            entry = next(e for e in scan.entries if e.sample_id == sample_id)
            assert entry.span == (start, end) and entry.label == recording.label
            assert entry.camera == recording.camera and entry.subject == -1
            assert entry.replication == (1 if recording.performer == 1 else 2)
            np.testing.assert_array_equal(reader.read(entry), printed(keypoint(recording)))


def test_cut_by_hand(tmp_path):
    """Frames count from 0, the end is not part of the instance."""
    reader = PKUMMDReader([tree(tmp_path, {"0002-M": TEN}, {"0002-M": "51,3,6,2\n"}, "0002-M")])
    (entry,) = reader.scan().entries
    assert entry == Entry("P1-0002-M-001", 50, entry.path, "", (3, 6), -1, 2, 2, 1)
    clip = reader.read(entry)
    assert clip.shape == (1, 3, 25, 3) and clip[0, :, 7, 1].tolist() == [4.0, 5.0, 6.0]


def test_second_body_enters_within_the_instance(tmp_path):
    text = "\n".join([line(1), line(2, 5), line(3)])
    labels = "1,0,3,1\n1,0,1,1"
    reader = PKUMMDReader([tree(tmp_path, {"0002-L": text}, {"0002-L": labels}, "0002-L")])
    both, one = map(reader.read, reader.scan().entries)
    assert both[:, :, 0, 0].tolist() == [[1, 2, 3], [0, 5, 0]]
    assert one.shape[:2] == (1, 1)


@pytest.mark.parametrize(("label", "span", "reason"), [
    ("5,8,14,2", (8, 10), "frames 8..14 run past the sequence's end; kept are 8..10"),
    ("5,10,12,2", None, "lie outside the sequence of 10 frames"),
    ("5,-1,3,2", None, "are no instance"),
    ("5,4,4,2", None, "are no instance"),
    ("5,6,2,2", None, "are no instance"),
    ("0,1,3,2", None, "class 0 is not in 1..51"),
    ("52,1,3,2", None, "class 52 is not in 1..51"),
    ("5,1,3", None, "is not class,start,end,confidence"),
    ("5,1.5,3,2", None, "is not class,start,end,confidence"),
    ("wave", None, "is not class,start,end,confidence"),
    ("5,1,99999999999999999999,2", None, "is not class,start,end,confidence"),
])
def test_instances_that_are_listed(tmp_path, label, span, reason):
    text = f"1,0,2,2\n\n{label}\n"
    scan = PKUMMDReader([tree(tmp_path, {"0002-L": TEN}, {"0002-L": text}, "0002-L")]).scan()
    (skip,) = scan.skipped
    assert skip.name == "P1-0002-L-003" and reason in skip.reason
    spans = {entry.sample_id: entry.span for entry in scan.entries}
    assert spans == {"P1-0002-L-001": (0, 2)} | ({"P1-0002-L-003": span} if span else {})


def test_both_phases_and_each_alone(tmp_path):
    write_pku_mmd(RECORDINGS, tmp_path / "first", 1)
    write_pku_mmd(RECORDINGS, tmp_path / "second", 2)
    sources = [tmp_path / "first", tmp_path / "second"]
    both = PKUMMDReader(sources).scan().entries
    assert both == PKUMMDReader([tmp_path]).scan().entries  # one folder above them
    setups = [{e.setup for e in both if e.sample_id.startswith(p)} for p in ("P1", "P2")]
    assert len(both) == 2 * len(RECORDINGS) and not setups[0] & setups[1]
    assert max(setups[1]) < 2**15 and min(setups[1]) > 10000
    for phase in (1, 2):
        scan = PKUMMDReader(sources, phase=phase).scan()
        assert [e.sample_id for e in scan.entries] == [
            e.sample_id for e in both if e.sample_id.startswith(f"P{phase}")
        ]
        assert all("which the option 'phase' leaves out" in skip.reason for skip in scan.skipped)


def test_phases_with_the_same_video_names(tmp_path):
    """Numbers in both phases: each folder's own split and label files count."""
    first = tree(tmp_path / "a", {"0002-L": TEN}, {"0002-L": "1,0,2,2"}, "0002-L")
    second = tree(tmp_path / "b", {"0002-L": TEN}, {"0002-L": "2,0,2,2"}, "", "0002-L")
    split = second / "Split/cross-subject.txt"
    split.rename(split.with_name("cross_subject_v2.txt"))
    entries = PKUMMDReader([first, second]).scan().entries
    assert [(e.sample_id, e.label, e.setup, e.replication) for e in entries] == [
        ("P1-0002-L-001", 0, 2, 1), ("P2-0002-L-001", 1, 10002, 2),
    ]
    scan = PKUMMDReader([tmp_path]).scan()
    assert not scan.entries and "of both phases" in scan.skipped[0].reason


def test_cross_view_and_a_split_file_of_ones_own(tmp_path):
    write_pku_mmd(RECORDINGS, tmp_path)
    entries = PKUMMDReader([tmp_path], protocol="cross-view").scan().entries
    assert {(e.camera, e.replication) for e in entries} == {(1, 2), (2, 1), (3, 1)}
    own = tmp_path / "mine.txt"
    own.write_text("train\n0001-L\ntest\n0001-M,\n")
    scan = PKUMMDReader([tmp_path], split_file=str(own)).scan()
    assert {(e.camera, e.replication) for e in scan.entries} == {(1, 1), (2, 2)}
    assert len(scan.skipped) == 4 and "is in no line of mine.txt" in scan.skipped[0].reason


def test_parts_of_a_tree_as_sources(tmp_path):
    write_pku_mmd(RECORDINGS, tmp_path)
    whole = PKUMMDReader([tmp_path]).scan().entries
    parts = [tmp_path / part for part in ("Data", "Label", "Split")]
    assert PKUMMDReader(parts).scan().entries == whole


def test_folders_of_other_names(tmp_path):
    write_pku_mmd(RECORDINGS, tmp_path / "tree")
    shutil.move(tmp_path / "tree/Data/Skeleton", tmp_path / "tree/x/PKU_Skeleton_Renew")
    shutil.move(tmp_path / "tree/Label/Train_Label_PKU_final", tmp_path / "tree/x/y")
    assert len(PKUMMDReader([tmp_path / "tree"]).scan().entries) == len(RECORDINGS)


def test_unlabelled_and_contradictory_videos(tmp_path):
    root = tree(tmp_path, {"0002-L": TEN, "0003-L": TEN}, {"0003-L": "1,0,2,2"},
                "0002-L, 0003-L", "0003-L")
    reasons = [skip.reason for skip in PKUMMDReader([root]).scan().skipped]
    assert reasons[0] == "has no label file" and "a training and a test video" in reasons[1]


def test_a_sequence_is_parsed_once(tmp_path):
    labels = "".join(f"1,{t},{t + 1},2\n" for t in range(10))
    reader = PKUMMDReader([tree(tmp_path, {"0002-L": TEN}, {"0002-L": labels}, "0002-L")])
    _sequence.cache_clear()
    for entry in reader.scan().entries:
        reader.read(entry)[:] = 0  # a clip is one's own to change
    assert _sequence.cache_info().misses == 1 and _sequence.cache_info().hits == 9


@pytest.mark.parametrize(("text", "reason"), [
    (line(1) + " 7", "line 1: expected 150 finite numbers, found 151 fields"),
    (line(1)[:-4], "line 1: expected 150 finite numbers, found 149 fields"),
    (line(1) + "\n\n" + line(1), "line 2: expected 150 finite numbers, found 0 fields"),
    (line(1) + "\n" + line("nan"), "line 2: expected 150 finite numbers, found 'nan' as number 1"),
    (line(1, "x"), "found 'x' as number 76"),
    (line("1e39"), "found one beyond float32"),
    (line("1" * 30 + "e30"), "found one beyond float32"),
    (line(1) + " \0", "no plain text after 150 fields"),
    (line(1) + "\r" + line(1), "no plain text after 150 fields"),
    ("", "has no frames"),
])
def test_damaged_sequences(text, reason):
    with pytest.raises(ClipError, match="^video: "+f".*({reason})") as caught:
        parse_sequence(text.encode(), "video")
    assert str(caught.value).isprintable()


def test_unusual_numbers_and_line_ends():
    fields = ["1.5", "-2", "+3", ".5", "1e-3", "0.12345678901234567890", "1e22", "3.4e38", "-0"]
    fields.append("7.")
    text = (" \t".join(fields * 15) + "\r\n").encode() * 2 + b" \r\n\n"
    expected = np.array([float(f) for f in fields * 15], np.float32).reshape(2, 1, 25, 3)
    found = parse_sequence(text, "video")
    np.testing.assert_array_equal(found, np.repeat(expected, 2, axis=1))


def test_damage_is_told_for_each_instance(tmp_path):
    text = TEN + "1 2 3\n"
    labels = "1,0,2,2\n2,4,6,2"
    reader = PKUMMDReader([tree(tmp_path, {"0002-L": text}, {"0002-L": labels}, "0002-L")])
    for entry in reader.scan().entries:
        with pytest.raises(ClipError, match="line 11: expected 150 finite numbers, found 3"):
            reader.read(entry)


def test_an_instance_without_a_body(tmp_path):
    text = line(0) + "\n" + line(1)
    reader = PKUMMDReader([tree(tmp_path, {"0002-L": text}, {"0002-L": "1,0,1,2"}, "0002-L")])
    with pytest.raises(ClipError, match="no body in frames 0..1"):
        reader.read(reader.scan().entries[0])


def test_wrong_sources_and_options(tmp_path):
    with pytest.raises(BadInput, match="no such folder"):
        PKUMMDReader([tmp_path / "none"]).scan()
    with pytest.raises(BadInput, match="no cross-subject split file"):
        PKUMMDReader([tmp_path]).scan()
    tree(tmp_path, {}, {}, "0002-L")
    with pytest.raises(BadInput, match="no skeleton file"):
        PKUMMDReader([tmp_path]).scan()
    with pytest.raises(BadConfig, match="protocol"):
        PKUMMDReader([tmp_path], protocol="xsub")
    with pytest.raises(BadConfig, match="phase 3"):
        PKUMMDReader([tmp_path], phase=3)
    for text in ("one line", "train\n0002-L\ntest\nwhatever"):
        (tmp_path / "Split/cross-subject.txt").write_text(text)
        with pytest.raises(BadInput, match="cross-subject.txt: "):
            PKUMMDReader([tmp_path]).scan()


def test_into_a_store(tmp_path):
    write_pku_mmd(RECORDINGS, tmp_path / "raw")
    reader = PKUMMDReader([tmp_path / "raw"])
    build_store(reader, tmp_path / "clips.h5", ["a"] * 51)
    store = SequenceStore(tmp_path / "clips.h5")
    assert len(store) == len(RECORDINGS) and set(store.replication) == {1, 2}
