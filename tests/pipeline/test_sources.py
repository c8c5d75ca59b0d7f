"""``pipeline extract`` from every kind of source, on small generated recordings."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.caches import read_skeleton_features
from data.classes import class_names
from data.synthetic import Recording, Settings, generate, write_ntu
from data.synthetic.export import write_nw_ucla, write_pku_mmd, write_pose_pickle

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


@pytest.mark.parametrize(("make", "clips", "train_rows"), [
    (from_zip, 160, 3 * 34), (from_pku_mmd, 204, 3 * 46), (from_nw_ucla, 80, 4 * 8),
    (from_pickle, 160, 3 * 37),
], ids=["zip-and-folder", "pku-mmd", "nw-ucla", "pickle"])
def test_extract_reads_it(
    make: Callable[..., Any], clips: int, train_rows: int, recordings: list[Recording],
    tiny_config: Path, commands: Any, tmp_path: Path,
) -> None:
    found, raw = make(recordings, tmp_path)
    config = tmp_path / "own.py"
    split = {"name": found["split"], **({"unseen": found["unseen"]} if "unseen" in found else {})}
    config.write_text(
        f"_base_ = [{str(tiny_config)!r}]\n"
        f"dataset = dict(_delete_=True, **{found['dataset']!r})\n"
        f"split = dict(_delete_=True, **{split!r})\nbackbone = dict(epochs=1)\n"
    )
    work = tmp_path / "work"
    arguments = [part for path in raw for part in ("--raw", path)]
    ended = commands.run("extract", config, *arguments, "--work-dir", work, "--workers", 1)
    assert ended.code == 0, ended.err
    assert f"store: {clips} clips of {clips} files" in ended.err and "0 skipped" in ended.err

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
