"""Features that people have computed elsewhere, as files of several kinds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from zskel.data.caches import CALIBRATION, TEST, TRAIN, read_skeleton_features
from zskel.data.common.errors import BadInput
from zskel.data.exchange.own_arrays import read_own_arrays
from zskel.pipeline.import_.import_ import import_features
from zskel.pipeline.inspect.inspect import inspect

CLASSES = ["drink water", "clap", "jump up", "kick", "throw", "wave", "sit down", "stand up"]


def twin(folder: Path) -> None:
    """Training, validation and test features that separate well, and mapping files of them."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(len(CLASSES), 32))

    def features(name: str, classes: list[int], each: int) -> np.ndarray:
        label = np.repeat(classes, each)
        clips = centres[label] + rng.normal(size=(len(label), 32)) / 10
        np.save(folder / f"{name}_feat.npy", clips.astype(np.float32))
        np.save(folder / f"{name}_label.npy", label)
        np.save(folder / f"{name}_subset.npy",
                np.full(len(label), "train" if name == "train" else "test"))
        return label

    seen = list(range(6))
    label = features("train", seen, 30)
    features("val", seen, 8)
    features("test", [6, 7], 10)
    np.save(folder / "train_subset_cal.npy",
            np.where(np.arange(len(label)) % 4 == 0, "calibration", "train"))
    with h5py.File(folder / "feat.h5", "w") as file:
        file["x"], file["y"] = np.load(folder / "train_feat.npy"), label
    one_hot = np.eye(60)[:6]
    np.savez(folder / "NTU60_CS.npz", x_train=np.zeros((6, 20, 150), np.float32), y_train=one_hot,
             x_test=np.zeros((6, 20, 150), np.float32), y_test=one_hot)

    def mapping(name: str, *sources: dict[str, Any]) -> None:
        content = {"dataset": "mine", "backbone": "shift-gcn",
                   "split": {"name": "own", "unseen": ["sit down", "stand up"]},
                   "source": [{"class_names": CLASSES} | source for source in sources]}
        (folder / f"{name}.json").write_text(json.dumps(content))

    def source(name: str, subset: str, **more: str) -> dict[str, Any]:
        return {"f_x": f"{name}_feat.npy", "label": f"{name}_label.npy", "subset": subset} | more

    arrays = [source(name, f"{name}_subset.npy") for name in ("train", "val", "test")]
    mapping("a-three-files", source("train", "train", file="train_feat.npy"),
            source("val", "test"), source("test", "test"))
    mapping("e-h5", {"file": "feat.h5", "f_x": "x", "label": "y"})
    mapping("f-three-files-subset-arrays", *arrays)
    mapping("h-constant-subset-no-file", source("train", "train"))
    mapping("i-file-is-npy", {**arrays[0], "file": "train_feat.npy", "f_x": "features"})
    mapping("j-calibration-marked", source("train", "train_subset_cal.npy"), *arrays[1:])


@pytest.fixture(params=["folder", "twin"])
def files(request: pytest.FixtureRequest, tmp_path: Path, case: Callable[..., Path]) -> Path:
    if request.param == "folder":
        return case("feature-files", twin)
    twin(tmp_path)
    return tmp_path


def change(path: Path, apply: Callable[[dict[str, Any]], object]) -> Path:
    content = json.loads(path.read_text())
    apply(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(("name", "words"), [
    ("a-three-files", ["no known subject", 'subset = "calibration"', "`subject`"]),
    ("e-h5", ["feat.h5: give either subset or train_subjects", 'subset = "train"']),
    ("f-three-files-subset-arrays", ["no known subject", 'mark some of every seen class']),
    ("h-constant-subset-no-file", ["no clip is a test clip", 'subset = "test"']),
    ("i-file-is-npy", ["train_feat.npy: is an .npy file", 'write "train_feat.npy" where '
                       "'features' stands"]),
])
def test_what_is_missing_is_one_line_with_the_way_out(
    files: Path, name: str, words: list[str]
) -> None:
    with pytest.raises(BadInput) as caught:
        import_features("npz", files / f"{name}.json", files / "work")
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)
    assert not (files / "work" / "experiment.py").exists()


def test_three_files_of_which_one_calibrates(files: Path) -> None:
    def apply(content: dict[str, Any]) -> None:
        train, val, test = content["source"]
        train["file"], val["subset"] = "train_feat.npy", "calibration"
        content["source"] = [train, val, test, val | {"subset": "test"}]

    arrays = read_own_arrays(change(files / "a-three-files.json", apply))
    found = arrays.caches(arrays.own_split())
    val = np.load(files / "val_feat.npy")
    calibration = found.calibration
    assert calibration.f_x[calibration.rows(CALIBRATION)].tobytes() == val.tobytes()
    assert found.test.f_x[found.test.rows(TEST)].tobytes() == np.concatenate(
        [np.load(files / "test_feat.npy"), val]).tobytes()
    assert "8 class names are in several sources and taken as one class each" in found.notes


@pytest.mark.parametrize("by_file", [True, False])
def test_hdf5_is_read_by_the_path_behind_a_colon_or_from_file(files: Path, by_file: bool) -> None:
    plain = read_own_arrays(files / "j-calibration-marked.json")
    with h5py.File(files / "deep.h5", "w") as file:
        group = file.create_group("train").create_group("joint")
        group["features"] = np.load(files / "train_feat.npy")
        group["marks"] = np.load(files / "train_subset_cal.npy").astype(object)
        group["names"] = np.array(CLASSES, object)
        file["label"] = np.array(CLASSES, object)[np.load(files / "train_label.npy")]
    before = "" if by_file else "deep.h5:"
    keys = {"f_x": "train/joint/features", "subset": "train/joint/marks", "label": "/label",
            "class_names": "train/joint/names"}

    def apply(content: dict[str, Any]) -> None:
        content["source"][0] = {key: before + value for key, value in keys.items()} | (
            {"file": "deep.h5"} if by_file else {})

    found = read_own_arrays(change(files / "j-calibration-marked.json", apply))
    assert found.f_x[TEST].tobytes() == plain.f_x[TEST].tobytes()
    assert found.label.tolist() == plain.label.tolist()
    assert found.subset.tolist() == plain.subset.tolist()
    assert "deep.h5" in found.files and found.class_names == tuple(CLASSES)


@pytest.mark.parametrize(("key", "words"), [
    ("feat.h5:z", "holds no data set 'z'; there are x, y"),
    ("feat.h5", 'is an HDF5 file, whose arrays have names: write "feat.h5:NAME"'),
    ("link.h5:x", "/x is a link to something else"),
    ("group.h5:inner", "holds no data set 'inner'; did you mean 'inner/x'"),
    ("damaged.h5:x", "damaged.h5"),
    ("train_feat.npy:x", 'write "train_feat.npy"'),
    ("NTU60_CS.npz:x_train", "recordings go to `pipeline extract --raw`"),
    ("features", '"features.npy", "FILE.npz:features" or "FILE.h5:features"'),
])
def test_a_wrong_array_is_one_line(tmp_path: Path, key: str, words: str) -> None:
    twin(tmp_path)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["x"] = h5py.ExternalLink("feat.h5", "x")
    with h5py.File(tmp_path / "group.h5", "w") as file:
        file["inner/x"] = [1.0]
    whole = (tmp_path / "feat.h5").read_bytes()
    (tmp_path / "damaged.h5").write_bytes(whole[:len(whole) // 2])

    def apply(content: dict[str, Any]) -> None:
        content["source"][0]["f_x"] = key

    with pytest.raises(BadInput) as caught:
        read_own_arrays(change(tmp_path / "j-calibration-marked.json", apply))
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert "extract again" not in str(caught.value)


def test_an_array_called_as_a_subset_is_still_that_array(tmp_path: Path) -> None:
    twin(tmp_path)
    marks = np.arange(180) % 2 == 0
    np.savez(tmp_path / "own.npz", train=marks, x=np.load(tmp_path / "train_feat.npy"),
             y=np.load(tmp_path / "train_label.npy"))

    def apply(content: dict[str, Any]) -> None:
        content["source"][0] |= {"file": "own.npz", "f_x": "x", "label": "y"}

    found = read_own_arrays(change(tmp_path / "h-constant-subset-no-file.json", apply))
    assert found.subset.tolist() == np.where(marks, TRAIN, TEST).tolist()


@pytest.mark.parametrize(("name", "words"), [
    ("NTU60_CS.npz", "holds recordings (x_train ["),
    ("feat.h5", "holds the arrays x, y; which of one's arrays is what, a mapping file says"),
    ("train_feat.npy", "is one array"),
])
def test_arrays_in_place_of_a_mapping_file(files: Path, name: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        import_features("npz", files / name, files / "work")
    assert f"{name}: " in str(caught.value) and words in str(caught.value)


@pytest.mark.parametrize(("name", "arrays"), [
    ("many.npz", "holds " + ", ".join(f"a{index} [3]" for index in range(8)) + " and 2 more;"),
    ("feat.h5", "holds x [180, 32], y [180];"),
    ("train_feat.npy", "holds one array [180, 32];"),
])
def test_inspect_says_what_takes_features(files: Path, name: str, arrays: str) -> None:
    np.savez(files / "many.npz", **{f"a{index}": np.zeros(3) for index in range(10)})
    with pytest.raises(BadInput) as caught:
        inspect(files / name)
    message = str(caught.value)
    assert f"{name}: {arrays}" in message and "`pipeline import npz MAPPING`" in message
    assert "\n" not in message


def test_labels_counted_from_one_are_called_that(tmp_path: Path) -> None:
    twin(tmp_path)
    np.save(tmp_path / "train_label.npy", np.repeat(np.arange(1, 9), 23)[:180])
    with pytest.raises(BadInput, match="expected 0..7; they are counted from 1"):
        read_own_arrays(tmp_path / "j-calibration-marked.json")


def test_features_that_separate_well_give_a_result(files: Path, commands: Any) -> None:
    work, mapping = files / "work", files / "j-calibration-marked.json"
    ended = commands.run("import", "npz", mapping, "--work-dir", work)
    assert ended.code == 2 and "--class-text NAME" in ended.err
    np.save(files / "f_y.npy", np.eye(len(CLASSES), dtype=np.float32))
    change(mapping, lambda content: content.update(text={"f_y": "f_y.npy"}))
    ended = commands.run("import", "npz", mapping, "--work-dir", work, "--method", "eszsl")
    assert ended.code == 0, ended.err
    marked = (np.load(files / "train_subset_cal.npy") == "calibration").sum()
    cache = read_skeleton_features(work / "features" / f"skeleton_{CALIBRATION}.h5")
    assert len(cache.rows(CALIBRATION)) == marked
    ended = commands.run("fit", work / "experiment.py", "--work-dir", work, "--seeds", 1)
    assert ended.code == 0, ended.err
    assert list((work / "results").glob("*.json"))
