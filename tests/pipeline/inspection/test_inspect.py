"""`pipeline inspect`: recognising and describing."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from inspected import LABELS, TWO_PEOPLE, texts
from typer.testing import CliRunner

from tests.data.other_formats import (
    write_nw_ucla,
    write_pku_mmd,
    write_pose_pickle,
    write_utd_mhad,
)
from zskel.data.caches import write_text_features
from zskel.data.classes import class_names
from zskel.data.common.checksums import write_checksum
from zskel.data.common.errors import BadInput
from zskel.data.store import SequenceStore
from zskel.pipeline.cli.main import app
from zskel.pipeline.cli.options import answer
from zskel.pipeline.inspect.inspect import inspect, show
from zskel.pipeline.inspect.measures import lengths
from zskel.pipeline.steps.results import write_result

ROOT = Path(__file__).resolve().parents[3]


def test_raw_folder_counts_and_skips(raw, capsys):
    found = inspect(raw, split="default")
    assert (found["kind"], found["reader"], found["dataset"]) == (
        "raw recordings", "ntu", "synthetic")
    assert found["clips"] == 19  # the damaged one is only found out when read
    assert found["identity"]["subject"] == {"1": 6, "2": 6, "3": 6, "9": 1}
    assert found["identity"]["camera"] == {"1": 10, "2": 9}
    roles = {row["index"]: (row["role"], row["clips"]) for row in found["classes"]}
    assert [roles[label] for label in LABELS] == [("seen", 7), ("unseen", 6), ("seen", 6)]
    assert sum(clips for _, clips in roles.values()) == 19
    # Subjects 1, 2 and 9 train: every second of the 3 performers' clips is of camera 2.
    assert found["sample_protocols"] == [{
        "sample_protocol": "cross-subject", "by": "subject", "train_seen": 9, "train_unseen": 4,
        "test_seen": 4, "test_unseen": 2}]
    assert {skip["name"] for skip in found["skipped"]} == {
        "S031C001P009R001A001", str(raw / "notes.skeleton")}
    assert found["coordinates"]["clips_read"] == 18
    show(found)
    text = capsys.readouterr().out
    assert "wave both hands" in text and "unseen" in text and "notes.skeleton" in text


def test_raw_statistics_equal_the_recordings(raw, recordings):
    found = inspect(raw)
    frames = [len(recording.frames) for recording in recordings]
    assert found["frames"]["min"] == min(frames)
    assert found["frames"]["max"] == max(frames)
    assert found["frames"]["median"] == np.median(frames)
    assert sum(count for _, _, count in found["frames"]["histogram"]) == 18
    assert found["bodies_per_clip"] == {"1": 12, "2": 6}
    empty = [sum(not listed for listed in recording.frames) for recording in recordings]
    assert found["coordinates"]["empty_frames"] == sum(empty)
    x = np.concatenate([b.joints[b.present] for r in recordings for b in r.bodies])[..., 0]
    assert found["coordinates"]["range_in_metres"]["x"] == pytest.approx(
        [x.min(), x.max()], abs=1e-3)


def test_read_limits_how_many_clips_are_parsed(raw):
    assert inspect(raw, read=5)["coordinates"]["clips_read"] == 5
    assert inspect(raw, read=5)["coordinates"]["clips_in_all"] == 19


def test_zip_is_read_in_place(raw, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(raw / f"{TWO_PEOPLE}.skeleton", f"sub/{TWO_PEOPLE}.skeleton")
    found = inspect(tmp_path / "all.zip")
    assert (found["clips"], found["bodies_per_clip"]) == (1, {"2": 1})


@pytest.mark.parametrize(("reader", "dataset", "write"), [
    ("utd_mhad", "utd-mhad", write_utd_mhad),
    ("pku_mmd", "pku-mmd", write_pku_mmd),
    ("nw_ucla", "nw-ucla", write_nw_ucla),
])
def test_other_formats_are_recognised(reader, dataset, write, recordings, tmp_path):
    write(recordings, tmp_path)
    found = inspect(tmp_path)
    assert (found["reader"], found["dataset"], found["clips"]) == (reader, dataset, 18)


@pytest.mark.parametrize("layout", ["nturgb+d", "kinect-v1"])
def test_pickle_of_an_unknown_data_set(layout, recordings, tmp_path):
    path = tmp_path / "my moves.pkl"
    write_pose_pickle(recordings, path, layout=layout)
    found = inspect(path)
    assert (found["reader"], found["clips"]) == ("pose_pickle", 18)
    assert found["coordinates"]["clips_read"] == 18 and not found["skipped"]
    assert found["classes"][36] == {"index": 36, "class": "class 36", "clips": 6}
    assert len(found["classes"]) == 37


def test_layout_of_a_pickle_told_and_guessed(recordings, tmp_path, capsys):
    path = tmp_path / "moves.pkl"
    write_pose_pickle(recordings[:3], path, layout="coco-17")
    guessed = inspect(path)
    assert (guessed["layout"], guessed["joints"]) == ("h36m-17", 17)
    assert "which coco-17 has, too; say with --layout" in guessed["about_the_layout"]
    told = inspect(path, layout="coco-17", out=tmp_path / "moves.png")
    assert (told["layout"], told["joints"]) == ("coco-17", 17)
    assert told["about_the_layout"].startswith("extract maps the joints to the 25 of nturgb+d")
    assert (tmp_path / "moves.png").is_file()
    with pytest.raises(BadInput, match="layouts of 17 joints: coco-17, h36m-17"):
        inspect(path, layout="smpl-24")
    with pytest.raises(BadInput, match="did you mean 'coco-17'"):
        inspect(path, layout="coco17")


def test_layouts_are_for_sources_that_do_not_say_theirs(raw, work):
    with pytest.raises(BadInput, match="--layout goes with raw recordings"):
        inspect(work, layout="coco-17")
    with pytest.raises(BadInput, match="reader 'ntu' takes no layout"):
        inspect(raw, reader="ntu", layout="coco-17")


def test_hostile_pickle_is_refused_and_does_nothing(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "done"),)

    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(BadInput, match="bad.pkl"):
        inspect(tmp_path / "bad.pkl")
    assert not (tmp_path / "done").exists()


def test_ntu_data_set_is_told_from_the_numbers(tmp_path, raw):
    source = (raw / f"{TWO_PEOPLE}.skeleton").read_bytes()
    for dataset, name in (("ntu60", "S001C001P001R001A060"), ("ntu120", "S020C001P041R001A061"),
                          ("ntu60", "S017C001P001R001A001")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.skeleton").write_bytes(source)
        assert inspect(folder)["dataset"] == dataset


def test_store(work):
    found = inspect(work / "store/skeletons.h5")
    assert (found["kind"], found["clips"], found["joints"]) == ("sequence store", 18, 25)
    assert found["parse_report"]["found"] == 20 and found["parse_report"]["stored"] == 18
    assert len(found["skipped"]) == 2
    assert all(check["passed"] for check in found["checks"])
    (work / "store/skeletons.h5.report.json").rename(work / "store/away.json")
    try:
        checks = inspect(work / "store/skeletons.h5")["checks"]
    finally:
        (work / "store/away.json").rename(work / "store/skeletons.h5.report.json")
    assert [check["passed"] for check in checks] == [True, True, True, False]


def test_skeleton_features(work):
    found = inspect(work / "features/skeleton_test.h5")
    assert found["subsets"] == [
        {"subset": "train", "clips": 4, "of_seen_classes": 4, "of_unseen_classes": 0,
         "subjects": [1, 2]},
        {"subset": "test", "clips": 3, "of_seen_classes": 2, "of_unseen_classes": 1,
         "subjects": [3]}]
    rows = {row["index"]: row for row in found["class_counts"]}
    assert rows[8]["role"] == "unseen" and (rows[8]["train"], rows[8]["test"]) == (0, 1)
    assert rows[0]["role"] == "seen" and (rows[0]["train"], rows[0]["test"]) == (2, 1)
    assert rows[1]["role"] == "-"
    assert found["seen_test_accuracy"] == 1.0
    assert found["weights_sha256"] == hashlib.sha256(b"test").hexdigest()
    assert found["sha256"] == hashlib.sha256(
        (work / "features/skeleton_test.h5").read_bytes()).hexdigest()
    calibration = inspect(work / "features/skeleton_calibration.h5")
    assert calibration["class_counts"][36]["role"] == "validation-unseen"
    assert "seen_test_accuracy" not in calibration


def test_text_features_name_the_classes_that_are_most_alike(tmp_path):
    f_y = np.asarray([[1, 0], [0, 1], [2, 0.1]], np.float32)
    names = ("sit", "wave", "stand")
    write_text_features(tmp_path / "text.h5", texts(names, f_y=f_y))
    found = inspect(tmp_path / "text.h5")
    assert found["most_alike"][0] == {
        "class": "sit", "and": "stand", "cosine": round(2 / np.hypot(2, 0.1), 4)}
    assert [row["text"] for row in found["texts"]] == list(names)


def test_result_record(make_result, tmp_path, capsys):
    path = write_result(tmp_path, *make_result())
    found = inspect(path)
    written = json.loads(path.read_text(encoding="utf-8"))
    accuracies = {row["measure"]: row["over_clips"] for row in found["accuracies"]}
    assert accuracies["gzsl_harmonic_mean"] == written["gzsl_harmonic_mean"]
    assert [row["role"] for row in found["per_class"]].count("unseen") == len(
        written["unseen_classes"])
    assert all(check["passed"] for check in found["checks"])
    path.with_suffix(".npz").unlink()
    found = inspect(path)
    assert [check["passed"] for check in found["checks"]] == [True, True, False]
    show(found)
    assert f"{written['zsl_accuracy']:.2%}" in capsys.readouterr().out


def test_work_directory(work):
    found = inspect(work)
    assert [part["part"] for part in found["parts"]] == [
        "store/skeletons.h5", "features/skeleton_test.h5", "features/skeleton_calibration.h5",
        "features/text.h5"]
    assert (found["experiment"], found["dataset"]) == ("tiny", "synthetic")
    assert found["checks"] and all(check["passed"] for check in found["checks"])


def test_work_directory_shows_parts_that_do_not_fit(work, tmp_path):
    copy = tmp_path / "features"
    copy.mkdir()
    for name in ("skeleton_test.h5", "skeleton_calibration.h5"):
        (copy / name).write_bytes((work / "features" / name).read_bytes())
    names = list(class_names("synthetic"))
    names[3] = "something else"
    write_text_features(copy / "text.h5", texts(tuple(names)))
    (tmp_path / "backbones/test").mkdir(parents=True)
    (tmp_path / "backbones/test/weights.pth").write_bytes(b"other weights")
    (tmp_path / "backbones/calibration").mkdir(parents=True)
    (tmp_path / "backbones/calibration/weights.pth").write_bytes(b"calibration")
    (tmp_path / "store").mkdir()
    (tmp_path / "store/skeletons.h5").write_bytes(b"half a file")
    failed = {check["check"]: check["detail"] for check in inspect(tmp_path)["checks"]
              if not check["passed"]}
    assert set(failed) == {
        "store/skeletons.h5 is whole", "test-phase features were made with these weights",
        "text features have the classes of the test-phase ones"}
    assert "'something else'" in failed["text features have the classes of the test-phase ones"]


def test_json_is_all_there_is_on_standard_output(work, capsys):
    found = inspect(work / "store/skeletons.h5", clip=TWO_PEOPLE)
    answer(found, True, show)
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads(json.dumps(found))
    assert document["format"] == "zsl-inspection"
    assert document["clip"]["sample_id"] == TWO_PEOPLE and document["clip"]["bodies"] == 2


def test_plain_output_has_no_escape_codes(raw, capsys):
    show(inspect(raw))
    out = capsys.readouterr().out
    assert "\x1b" not in out and "cross-subject" in out


def test_nothing_is_written_unless_asked(raw):
    before = sorted(raw.iterdir())
    inspect(raw)
    assert sorted(raw.iterdir()) == before


@pytest.mark.parametrize(("arguments", "message"), [
    ({"out": "clip.svg"}, r"clip.svg: a drawing is called \.png"),
    ({"clip": "S031C001P001R001A036"}, "did you mean 'S031C001P001R001A03"),
    ({"reader": "utd_mhad"}, r"no file called aA_sS_tT_skeleton.mat"),
    ({"reader": "ntus"}, "did you mean 'ntu'"),
    ({"split": "ru5"}, "has no class split 'ru5'"),
])
def test_wrong_arguments(raw, arguments, message):
    with pytest.raises(BadInput, match=message):
        inspect(raw, **arguments)


def test_what_is_not_recognised(tmp_path, work):
    (tmp_path / "letter.txt").write_text("hello")
    for path in (tmp_path, tmp_path / "letter.txt", tmp_path / "absent"):
        with pytest.raises(BadInput, match="ntu, nw_ucla, .*sequence store.*work directory"):
            inspect(path)
    with pytest.raises(BadInput, match="no coordinates"):
        inspect(work / "features/text.h5", out=tmp_path / "x.png")
    broken = tmp_path / "broken.h5"
    broken.write_bytes((work / "features/text.h5").read_bytes()[:600])
    with pytest.raises(BadInput, match="broken.h5: its checksum does not hold"):
        inspect(broken)


@pytest.mark.parametrize(("file", "words"), [
    ("a1_s1.mat", "; reader 'utd_mhad': no file called aA_sS_tT_skeleton.mat"),
    ("deep/0002-L.skeleton", "; reader 'ntu': finds no clip in it; .*is not named SsssCccc.*"
                             "; reader 'pku_mmd': no cross-subject split file in it"),
    ("moves.pkl", "; reader 'pose_pickle': is a folder; --raw takes the pickle file"),
    ("a1.json", "; reader 'nw_ucla': no file called aXX_sYY_eZZ_vVV.json"),
])
def test_readers_that_came_near_say_what_they_miss(tmp_path, file, words):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("hello")
    with pytest.raises(BadInput, match=f"not recognised{words}.*; inspect shows") as caught:
        inspect(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("; reader '") == words.count("; reader '")


@pytest.mark.parametrize(("write", "ending"), [
    (write_utd_mhad, "mat"), (write_nw_ucla, "json")])
def test_one_recording_is_recognised_as_the_folder_is(write, ending, recordings, tmp_path):
    write(recordings[:1], tmp_path)
    (file,) = tmp_path.rglob(f"*.{ending}")
    one, folder = inspect(file), inspect(tmp_path)
    assert one.pop("path") == str(file) and folder.pop("path") == str(tmp_path)
    assert one == folder and one["clips"] == 1


@pytest.mark.parametrize(("name", "content", "words"), [
    ("texts.json", '{"wave": "a hand swings", "clap": ["palms meet", "hands clap"]}',
     "holds texts by name, such as 'wave'; .*--text-source"),
    ("moves.json", '{"label": 3}', "reader 'nw_ucla': no file called aXX_sYY_eZZ_vVV.json"),
    ("mine.mat", "x", "reader 'utd_mhad': no file called aA_sS_tT_skeleton.mat"),
    ("mine.label", "x", "reader 'pku_mmd': is no folder"),
])
def test_a_file_of_another_name_or_kind_is_not_called_absent(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=f"{name}: .*{words}") as caught:
        inspect(tmp_path / name)
    assert "no such folder" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [
    "a.skeleton", "a.npy", "a.npz", "a.h5", "a.pkl", "a.zip", "a.mat", "a.json", "a.txt"])
def test_a_file_of_zeros_is_called_that(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(3000))
    with pytest.raises(BadInput, match=f"{name}: holds only zero bytes .an interrupted download"):
        inspect(tmp_path / name)


def test_a_folder_names_its_first_clip_that_cannot_be_read(tmp_path):
    for number, content in enumerate((bytes(500), b"2\n1\nnonsense\n", b"0\n"), start=1):
        (tmp_path / f"S001C001P00{number}R001A001.skeleton").write_bytes(content)
    with pytest.raises(BadInput, match="first: .*P001R001A001.skeleton: holds only zero bytes"):
        inspect(tmp_path)
    with pytest.raises(BadInput, match="P001R001A001.skeleton: holds only zero bytes"):
        inspect(tmp_path, out=tmp_path / "clip.png")


def test_exit_code_says_whether_a_check_failed(work, tmp_path):
    copy = tmp_path / "skeletons.h5"
    copy.write_bytes((work / "store/skeletons.h5").read_bytes())
    arguments = ["inspect", str(copy), "--json"]
    failed = CliRunner().invoke(app, arguments)
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["checks"][-1]["passed"] is False
    report = work / "store/skeletons.h5.report.json"
    (tmp_path / report.name).write_bytes(report.read_bytes())
    assert CliRunner().invoke(app, arguments).exit_code == 0


def test_store_with_damaged_coordinates_is_one_line(work, tmp_path):
    copy = tmp_path / "skeletons.h5"
    copy.write_bytes((work / "store/skeletons.h5").read_bytes())
    with h5py.File(copy, "r") as file:
        start = file["keypoint"].id.get_offset()
    with h5py.File(copy, "r+") as file:
        # A value that no clip can have, in the shape that all clips need.
        file["label"][0] = 999
    with pytest.raises(BadInput, match="its checksum does not hold"):
        inspect(copy)
    write_checksum(copy)
    found = inspect(copy, clip=str(SequenceStore(copy).sample_id[0]))
    assert found["clip"]["class"] == "?"
    assert {"check": "labels are within class_names", "passed": False} in found["checks"]
    with open(copy, "r+b") as handle:
        handle.truncate(start)
    with pytest.raises(BadInput, match="skeletons.h5"):
        inspect(copy)


def test_lengths_by_hand():
    found = lengths([10, 10, 12, 29], bins=4)
    assert found == {"min": 10, "median": 11.0, "max": 29, "total": 61,
                     "histogram": [[10, 14, 3], [15, 19, 0], [20, 24, 0], [25, 29, 1]]}
    assert lengths([7, 7])["histogram"] == [[7, 7, 2]]


def test_heavy_imports_are_left_out(work):
    code = ("import sys; from zskel.pipeline.inspect.inspect import inspect; "
            "inspect(sys.argv[1]); inspect(sys.argv[1] + '/store/skeletons.h5'); "
            "inspect(sys.argv[1] + '/features/skeleton_test.h5'); "
            "print([m for m in ('torch', 'mmaction', 'torchvision', 'matplotlib') "
            "if m in sys.modules], file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code, str(work)], cwd=ROOT, capture_output=True,
                          text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"
