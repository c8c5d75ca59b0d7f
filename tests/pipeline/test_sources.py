"""``pipeline extract`` from every kind of source, on small generated recordings."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.ntu_array_files import write_ctr_gcn
from tests.data.other_formats import keypoint, write_nw_ucla, write_pku_mmd, write_pose_pickle
from zskel.data.caches import read_skeleton_features
from zskel.data.classes import class_names
from zskel.data.store import SequenceStore
from zskel.data.synthetic import Recording, Settings, generate, write_ntu
from zskel.pipeline.inspect.inspect import inspect

TRAIN_SUBJECTS = (1, 2, 3)


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return list(generate(Settings(performers=4, cameras=1, frames=(16, 20), empty=0)))


def from_zip(recordings: list[Recording], folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """Half of the clips in an archive, half beside it, as people keep them."""
    half = len(recordings) // 2
    write_ntu(recordings[:half], folder / "loose" / "nested")
    with zipfile.ZipFile(folder / "clips.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in write_ntu(recordings[half:], folder / "packed", newline="\r\n"):
            archive.write(path, f"nturgb+d_skeletons/{path.name}")
    dataset = dict(name="synthetic", reader="ntu",
                   reader_options=dict(dataset="synthetic", num_classes=40),
                   sample_protocol="cross-subject", train=list(TRAIN_SUBJECTS))
    return dict(dataset=dataset, split="default"), [folder / "loose", folder / "clips.zip"]


def from_arrays(recordings: list[Recording], folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """No names and no subjects: calibration holds out clips."""
    write_ctr_gcn(recordings, folder / "NTU60_CS.npz", TRAIN_SUBJECTS, frames=24)
    dataset = dict(name="synthetic", reader="ntu",
                   reader_options=dict(dataset="synthetic", num_classes=40),
                   sample_protocol="cross-subject")
    return dict(dataset=dataset, split="default"), [folder / "NTU60_CS.npz"]


def from_pku_mmd(recordings: list[Recording], folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """PKU-MMD has 51 classes: the last eleven are made of others' movements."""
    more = [replace(r, action=r.action + 40) for r in recordings if r.action <= 11]
    write_pku_mmd([*recordings, *more], folder / "pku", train_subjects=TRAIN_SUBJECTS)
    dataset = dict(name="pku-mmd", reader="pku_mmd", sample_protocol="cross-subject")
    return dict(dataset=dataset, split="random-1"), [folder / "pku"]


def from_nw_ucla(recordings: list[Recording], folder: Path) -> tuple[dict[str, Any], list[Path]]:
    few = [r for r in recordings if r.action <= 10]
    write_nw_ucla([*few, *(replace(r, camera=3) for r in few)], folder / "json")
    return dict(dataset=dict(name="nw-ucla", reader="nw_ucla", sample_protocol="cross-view"),
                split="purls-8-2"), [folder / "json"]


def from_pickle(recordings: list[Recording], folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """A data set of one's own: own class names, 20 joints, the pickle's own split."""
    write_pose_pickle(recordings, folder / "mine.pkl", TRAIN_SUBJECTS, layout="kinect-v1")
    names = folder / "names.txt"
    names.write_text("\n".join(f"move {number}" for number in range(40)))
    dataset = dict(name="mine", class_names=str(names), reader="pose_pickle",
                   reader_options=dict(dataset="mine", layout="kinect-v1",
                                       train_split="xsub_train"),
                   sample_protocol="listed")
    return (dict(dataset=dataset, split="mine", unseen=[3, 7, 20]), [folder / "mine.pkl"])


def write_own(recordings: list[Recording], path: Path, **told: Callable[[Recording], Any]) -> None:
    """A list of annotations whose names say nothing, with further keys."""
    annotations = []
    for number, recording in enumerate(recordings):
        joints = keypoint(recording).astype(np.float32)
        annotations.append({
            "frame_dir": f"take {number}", "label": recording.label, "keypoint": joints,
            **{key: tell(recording) for key, tell in told.items()}})
    path.write_bytes(pickle.dumps(annotations))


OWN = dict(name="mine", class_names=[f"move {number}" for number in range(40)],
           reader="pose_pickle", reader_options=dict(dataset="mine"))
PEOPLE = ("dora", "anna", "carl", "ben")


def from_people(recordings: list[Recording], folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """Annotations name the people."""
    write_own(recordings, folder / "x.pkl", subject=lambda r: PEOPLE[r.performer - 1])
    dataset = dict(OWN, sample_protocol="cross-subject", train=["dora", "anna", "carl"])
    return dict(dataset=dataset, split="mine", unseen=[3, 7, 20]), [folder / "x.pkl"]


def from_nobody(recordings: list[Recording], folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """Nothing is known but the labels."""
    write_own(recordings, folder / "x.pkl")
    dataset = dict(OWN, sample_protocol="random-clips")
    return dict(dataset=dataset, split="mine", unseen=[3, 7, 20]), [folder / "x.pkl"]


@pytest.mark.parametrize(("make", "clips", "train_rows"), [
    (from_zip, 160, 3 * 34), (from_arrays, 160, 3 * 34), (from_pku_mmd, 204, 3 * 46),
    (from_nw_ucla, 80, 4 * 8), (from_pickle, 160, 3 * 37),
], ids=["zip-and-folder", "ctr-gcn", "pku-mmd", "nw-ucla", "pickle"])
def test_extract_reads_it(
    make: Callable[..., Any], clips: int, train_rows: int, recordings: list[Recording],
    tiny_config: Path, commands: Any, tmp_path: Path,
) -> None:
    found, raw = make(recordings, tmp_path)
    config = write_config(found, tiny_config, tmp_path)
    work = tmp_path / "work"
    arguments = [part for path in raw for part in ("--raw", path)]
    ended = commands.run("extract", config, *arguments, "--work-dir", work, "--workers", 1)
    assert ended.code == 0, ended.err
    assert f"store: {clips} clips of {clips} files" in ended.err and "0 skipped" in ended.err
    assert ("holds no sample names" in ended.err) is (make is from_arrays)

    test = read_skeleton_features(work / "features" / "skeleton_test.h5")
    calibration = read_skeleton_features(work / "features" / "skeleton_calibration.h5")
    name = found["dataset"]["name"]
    assert test.dataset == name and len(test.rows("train")) == train_rows
    if name == "mine":
        assert test.class_names[7] == "move 7" and test.unseen_classes == (3, 7, 20)
    else:
        assert test.class_names == class_names(name)
    test_ids = set(test.sample_id[test.rows("test")])
    assert test_ids and not test_ids & set(calibration.sample_id)


def write_config(found: dict[str, Any], tiny_config: Path, folder: Path) -> Path:
    config = folder / "own.py"
    split = {"name": found["split"], **({"unseen": found["unseen"]} if "unseen" in found else {})}
    config.write_text(
        f"_base_ = [{str(tiny_config)!r}]\n"
        f"dataset = dict(_delete_=True, **{found['dataset']!r})\n"
        f"split = dict(_delete_=True, **{split!r})\nbackbone = dict(epochs=1)\n"
        "fit = dict(method=dict(options=dict(epochs=1)), seeds=1)\n"
    )
    return config


def test_people_have_names_from_the_pickle_to_the_cache(
    recordings: list[Recording], tiny_config: Path, commands: Any, tmp_path: Path
) -> None:
    found, raw = from_people(recordings, tmp_path)
    config, work = write_config(found, tiny_config, tmp_path), tmp_path / "work"
    options = ("--cfg-options", "calibration.subjects=['anna']", "--work-dir", work)
    ended = commands.run("extract", config, "--raw", raw[0], *options)
    assert ended.code == 0, ended.err
    assert "4, numbered by name: anna, ben, carl, dora" in ended.err
    assert "clips of subjects anna," in ended.err
    calibration = read_skeleton_features(work / "features" / "skeleton_calibration.h5")
    assert set(calibration.subject[calibration.rows("calibration")]) == {1}
    assert set(calibration.subject[calibration.rows("train")]) == {3, 4}
    assert calibration.config["calibration_subjects"] == ["anna"] and calibration.notices == ()
    store = SequenceStore(work / "store" / "skeletons.h5")
    assert store.names == {"subject": {"anna": 1, "ben": 2, "carl": 3, "dora": 4}}
    assert inspect(store.path)["identity"] == {"subject": dict.fromkeys(sorted(PEOPLE), 40)}
    assert commands.run("fit", config, *options).code == 0
    for option, message in (
        ("dataset.train=['doro']", "error: dataset.train: no subject is called 'doro'; did you "
                                   "mean 'dora'?"),
        ("calibration.subjects=['ben']", "error: calibration.subjects: subject 'ben' has no "
                                         "training clips of seen classes"),
    ):
        ended = commands.run("extract", config, "--cfg-options", option, "--work-dir", work)
        assert (ended.code, ended.err.splitlines()[-1]) == (2, message)


def test_recordings_of_nobody_go_all_the_way(
    recordings: list[Recording], tiny_config: Path, commands: Any, tmp_path: Path
) -> None:
    found, raw = from_nobody(recordings, tmp_path)
    config, work = write_config(found, tiny_config, tmp_path), tmp_path / "work"
    ended = commands.run("extract", config, "--raw", raw[0], "--work-dir", work)
    assert ended.code == 0, ended.err
    told = [line for line in ended.err.splitlines() if line.startswith("NOTICE: ")]
    assert "test clips were drawn at random" in told[0]
    assert "calibration holds out clips, not subjects" in told[1]
    calibration = read_skeleton_features(work / "features" / "skeleton_calibration.h5")
    held_out, train = (calibration.label[calibration.rows(subset)]
                       for subset in ("calibration", "train"))
    # Of the three training clips that each class has, one is held out.
    assert sorted(held_out) == sorted(set(range(40)) - {3, 7, 20})
    assert np.bincount(train, minlength=40)[list(calibration.seen_classes)].tolist() == [2] * 34
    assert [notice["code"] for notice in calibration.notices][:2] == [
        "random-test-clips", "calibration-by-clip"]
    assert calibration.config["calibration_clips"] == {"share": 0.25, "seed": 0}
    assert calibration.config["test_clips"] == {"share": 0.25, "seed": 0}
    assert commands.run("fit", config, "--work-dir", work).code == 0
    assert commands.run("report", "--work-dir", work).code == 0
    answered = commands.run("predict", work, raw[0])
    assert answered.code == 0, answered.err


@pytest.mark.parametrize(("options", "message"), [
    (["dataset.sample_protocol=cross-subject", "dataset.train=[1]"],
     "protocol 'cross-subject' needs the subject of every clip, 80 of 80 have none"),
    (["dataset.sample_protocol=listed"], "protocol 'listed' needs to know which clips train"),
    (["dataset.group=subject"], "54 of 54 training clips have no known subject, the first is "),
    (["calibration.subjects=[1]"], "calibration.subjects: clips are held out, not subjects"),
    (["dataset.reader_options.train_split=train"], "has no split 'train'; there are x"),
    (["dataset.reader_options.name_pattern='p(?P<subject>[0-9]+)'"],
     "matches none of 80 clip names, such as 'take 0'"),
])
def test_what_nobody_knows_is_one_line(
    options: list[str], message: str, recordings: list[Recording], tiny_config: Path,
    commands: Any, tmp_path: Path,
) -> None:
    few = [r for r in recordings if r.action <= 20]
    found, _ = from_nobody(few, tmp_path)
    found["dataset"]["class_names"] = found["dataset"]["class_names"][:20]
    found["unseen"] = [3, 7]
    config = write_config(found, tiny_config, tmp_path)
    arguments = [part for option in options for part in ("--cfg-options", option)]
    ended = commands.run("extract", config, "--raw", tmp_path / "x.pkl", *arguments,
                         "--work-dir", tmp_path / "work", "--workers", 1)
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert ended.code == 2 and len(errors) == 1, ended.err
    assert message in errors[0]


def test_a_pku_store_of_another_protocol_is_refused(
    recordings: list[Recording], tiny_config: Path, commands: Any, tmp_path: Path
) -> None:
    found, raw = from_pku_mmd(recordings, tmp_path)
    found["dataset"]["sample_protocol"] = "cross-view"
    config = tmp_path / "own.py"
    config.write_text(
        f"_base_ = [{str(tiny_config)!r}]\n"
        f"dataset = dict(_delete_=True, **{found['dataset']!r})\nsplit = dict(name='random-1')\n"
    )
    ended = commands.run("extract", config, "--raw", raw[0], "--work-dir", tmp_path / "work")
    assert ended.code == 2
    assert ("marked for 'cross-subject', the experiment's sample protocol is 'cross-view'"
            in ended.err)
