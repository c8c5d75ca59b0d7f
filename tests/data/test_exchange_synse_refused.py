"""The SynSE lineage's folders: what is refused, and what has to be said by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exchange_caches import NAMES, random_caches
from synse_folder import TEST_DIR, VAL_DIR, read, refused, save

from zskel.data.caches import CALIBRATION, TEST, TRAIN
from zskel.data.common.errors import BadConfig
from zskel.data.exchange.layouts import LAYOUTS, layout_of
from zskel.data.exchange.synse_export import export_synse
from zskel.data.exchange.synse_find import Given, find
from zskel.data.exchange.synse_import import import_synse

ALL_FILES = [f"{TEST_DIR}/{name}.npy" for name in (
    "train", "train_label", "ztest", "z_label", "gtest", "g_label", "gtest_out")] + [
    f"{VAL_DIR}/{name}.npy" for name in (
        "train", "train_label", "ztest", "z_label", "val", "val_label", "ztest_out", "val_out")] + [
    f"label_splits/nine_moves/{name}.npy" for name in ("rs7", "rv2_0", "rs5_0")]


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_missing_file_is_named(exported: Path, name: str) -> None:
    (exported / name).unlink()
    assert refused(exported).startswith(f"{exported / name}: no such file")


@pytest.mark.parametrize("name", [*ALL_FILES, "label_splits/nine_moves/ru2.npy",
                                  "text_feats/nine_moves/org-some-encoder/lb_9.npy"])
@pytest.mark.parametrize("keep", [0, 7, 60, -4])
def test_a_truncated_file_is_named(exported: Path, name: str, keep: int) -> None:
    whole = (exported / name).read_bytes()
    (exported / name).write_bytes(whole[:keep])
    assert refused(exported).startswith(f"{exported / name}: not a whole numpy file")


@pytest.mark.parametrize("name", ALL_FILES)
def test_pickled_objects_are_never_loaded(exported: Path, name: str) -> None:
    np.save(exported / name, np.array([{"a": 1}, print], dtype=object), allow_pickle=True)
    assert f"{exported / name}: holds pickled Python objects" in refused(exported)


def swap(a: Path, b: Path) -> None:
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)


@pytest.mark.parametrize(("folder", "a", "b", "named"), [
    (TEST_DIR, "train", "gtest", "train_label.npy"),
    (TEST_DIR, "ztest", "gtest", "z_label.npy"),
    (TEST_DIR, "train_label", "g_label", "train_label.npy"),
    (TEST_DIR, "gtest", "gtest_out", "gtest"),
    (VAL_DIR, "ztest", "val", "z_label.npy"),
    (VAL_DIR, "ztest_out", "val_out", "ztest_out.npy"),
    ("label_splits/nine_moves", "ru2", "rv2_0", "rs7.npy"),
    ("label_splits/nine_moves", "rs7", "rs5_0", "rs5_0.npy"),
])
def test_swapped_files_are_named(exported: Path, folder: str, a: str, b: str, named: str) -> None:
    swap(exported / folder / f"{a}.npy", exported / folder / f"{b}.npy")
    message = refused(exported)
    assert str(exported / folder) in message and named in message


@pytest.mark.parametrize(("folder", "pairs", "named"), [
    (TEST_DIR, [("train", "ztest"), ("train_label", "z_label")], "train_label.npy"),
    (TEST_DIR, [("train", "gtest"), ("train_label", "g_label")], "gtest_out.npy"),
    (VAL_DIR, [("ztest", "val"), ("z_label", "val_label"), ("ztest_out", "val_out")],
     "z_label.npy"),
    (VAL_DIR, [("train", "ztest"), ("train_label", "z_label")], "ztest_out.npy"),
])
def test_swapped_with_their_labels_they_are_named(
    exported: Path, folder: str, pairs: list[tuple[str, str]], named: str
) -> None:
    for a, b in pairs:
        swap(exported / folder / f"{a}.npy", exported / folder / f"{b}.npy")
    message = refused(exported)
    assert named in message


def test_swapped_directories_are_named(exported: Path) -> None:
    message = refused(exported, test=exported / VAL_DIR, calibration=exported / TEST_DIR)
    assert str(exported / VAL_DIR) in message and "look swapped" in message


def test_swapped_logits_of_as_many_rows_are_found_by_what_they_name(tmp_path: Path) -> None:
    test, calibration, texts = random_caches(3)
    seen = np.array(calibration.seen_classes)
    held = calibration.rows(CALIBRATION)
    is_seen = np.isin(calibration.label[held], seen)
    few = min(is_seen.sum(), (~is_seen).sum())
    rows = np.sort(np.concatenate([
        calibration.rows(TRAIN), held[is_seen][:few], held[~is_seen][:few]]))
    logits = np.zeros_like(calibration.logits)
    for row, other in zip(held[is_seen][:few], held[~is_seen][:few]):
        column = np.flatnonzero(seen == calibration.label[row])[0]
        logits[row, column] = logits[other, (column + 1) % len(seen)] = 5
    cut = replace(calibration, logits=logits[rows], **{
        name: getattr(calibration, name)[rows] for name in (
            "f_x", "label", "sample_id", "subset", "subject", "camera", "setup", "replication")})
    export_synse(tmp_path, test, cut, {"": texts[""]}, layout_of("msf"))
    read(tmp_path)
    folder = tmp_path / "sk_feats/shift_val_2_r"
    swap(folder / "val_out.npy", folder / "ztest_out.npy")
    assert f"{folder / 'val_out.npy'}: gets" in refused(tmp_path)


def change(name: str, edit: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], str]:
    def apply(folder: Path) -> str:
        path = folder / f"{name}.npy"
        save(path, edit(np.load(path)))
        return str(path)

    return apply


def with_nan(array: np.ndarray) -> np.ndarray:
    array[1, 0] = np.nan
    return array


@pytest.mark.parametrize(("apply", "part"), [
    (change(f"{TEST_DIR}/train_label", lambda a: a[:-1]), "labels, train.npy has"),
    (change(f"{TEST_DIR}/train_label", lambda a: a + 5), "expected 0..8"),
    (change(f"{TEST_DIR}/train_label", lambda a: a - 0.5), "expected one class index a row"),
    (change(f"{TEST_DIR}/train", lambda a: a[:, :-1]), "255"),
    (change(f"{TEST_DIR}/train", with_nan), "the first is row 1"),
    (change(f"{TEST_DIR}/gtest_out", with_nan), "not finite"),
    (change(f"{TEST_DIR}/gtest_out", lambda a: a[:-1]), "gtest.npy has"),
    (change(f"{TEST_DIR}/gtest_out", lambda a: a[:, :-1]), "8 columns, expected 9"),
    (change(f"{TEST_DIR}/ztest", lambda a: a + 1), "not those of unseen classes in gtest.npy"),
    (change(f"{VAL_DIR}/val_out", lambda a: a.astype(bool)), "expected logits"),
    (change("label_splits/nine_moves/rv2_0", lambda a: a[:1]), "its name says 2"),
    (change("label_splits/nine_moves/ru2", lambda a: a[[0, 0]]), "holds a class twice"),
    (change("text_feats/nine_moves/org-some-encoder/lb_9", lambda a: a[:-1]), "8 rows, expected 9"),
])
def test_files_that_disagree_are_named(
    exported: Path, apply: Callable[[Path], str], part: str
) -> None:
    path = apply(exported)
    message = refused(exported)
    assert part in message
    assert Path(path).parent.name in message


def test_a_class_without_training_rows_is_named(exported: Path) -> None:
    folder = exported / TEST_DIR
    label = np.load(folder / "train_label.npy")
    gone = label[0]
    save(folder / "train.npy", np.load(folder / "train.npy")[label != gone])
    save(folder / "train_label.npy", label[label != gone])
    assert f"train_label.npy: no row of seen class {gone}" in refused(exported)


def test_training_rows_among_the_test_rows_are_refused(exported: Path) -> None:
    folder = exported / TEST_DIR
    for name in ("", "_label"):
        path = folder / f"train{name}.npy"
        gtest = np.load(folder / ("gtest.npy" if not name else "g_label.npy"))
        seen = ~np.isin(np.load(folder / "g_label.npy"),
                        np.load(exported / "label_splits/nine_moves/ru2.npy"))
        save(path, gtest[seen])
    assert "one of the files is a copy or swapped" in refused(exported)


def test_without_logits_they_are_zero_and_that_is_told(exported: Path) -> None:
    for path in exported.rglob("*_out.npy"):
        path.unlink()
    assert "gtest_out.npy: no such file" in refused(exported)
    found = import_synse(exported, "nine-moves", NAMES, without_logits=True)
    assert not found.test.logits.any() and found.test.logits.shape[1] == 7
    assert sum("taken as zeros" in note for note in found.notes) == 3


def test_of_several_splits_one_is_chosen_by_its_size_or_said_by_hand(tmp_path: Path) -> None:
    for seed, unseen in ((0, 2), (1, 3)):
        test, calibration, texts = random_caches(seed, unseen)
        export_synse(tmp_path, test, calibration, {"": texts[""]}, layout_of("msf"), force=True)
    assert "choose one with --test-folder" in refused(tmp_path)
    assert len(read(tmp_path, unseen=3).test.unseen_classes) == 3
    assert len(read(tmp_path, test=tmp_path / "sk_feats/shift_2_r").test.unseen_classes) == 2
    other = random_caches(1, 3)[2][""]
    save(tmp_path / "text_feats/md_9.npy", other.f_y)
    assert "choose one with --text FILE" in refused(tmp_path, unseen=3)


@pytest.mark.parametrize(("given", "test", "calibration", "splits", "text"), [
    ({"unseen": 5}, "shift_ntu60_5_r", "shift_ntu60_val_5_r", "ntu60", "ntu60/stsb/lb_60"),
    ({"unseen": 12}, "shift_ntu60_12_r", "shift_ntu60_val_12_r", "ntu60", "ntu60/stsb/lb_60"),
    ({"test": "stgcn_ntu60_split2_5_r"}, "stgcn_ntu60_split2_5_r", "stgcn_ntu60_split2_val_5_r",
     "ntu60_split2", "ntu60_split2/clip/lb_60"),
    ({"test": "posec3d_ntu60_5_r"}, "posec3d_ntu60_5_r", "posec3d_ntu60_val_5_r", "ntu60",
     "ntu60/stsb/lb_60"),
])
def test_what_belongs_together_is_found_in_a_folder_of_many(
    tmp_path: Path, given: dict[str, Any], test: str, calibration: str, splits: str, text: str
) -> None:
    names = [f"sk_feats/{ve}_{data}{val}_{unseen}_r/{mark}.npy"
             for ve, data, unseen in (
                 ("shift", "ntu60", 5), ("shift", "ntu60", 12), ("stgcn", "ntu60_split2", 5),
                 ("stgcn", "ntu60_split3", 5), ("shift", "ntu120", 10), ("posec3d", "ntu60", 5))
             for val, mark in (("", "gtest"), ("_val", "val"))
             if (ve, data, val) != ("posec3d", "ntu60", "") or "test" in given]
    names += [f"label_splits/{data}/ru{n}.npy" for data in ("ntu60", "ntu60_split2", "ntu60_split3")
              for n in (5, 12)]
    names += [f"text_feats/{data}/{le}/lb_60.npy" for data, le in (
        ("ntu60", "stsb"), ("ntu60_split2", "clip"), ("ntu60_split3", "clip"))]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    if "test" in given:
        given = {"test": tmp_path / "sk_feats" / given["test"]}
    found = find(tmp_path, "ntu60", 60, Given(**given))
    assert (found.test.name, found.calibration.name, found.splits.name) == (
        test, calibration, splits)
    assert found.texts == {"": tmp_path / f"text_feats/{text}.npy"}


@pytest.mark.parametrize(("gone", "part"), [
    (TEST_DIR, "no test-phase directory"), (VAL_DIR, "no calibration-phase directory"),
    ("label_splits", "no label splits"),
])
def test_a_missing_directory_is_told(exported: Path, gone: str, part: str) -> None:
    shutil.rmtree(exported / gone)
    assert part in refused(exported)


def test_phases_keep_their_names() -> None:
    assert set(LAYOUTS["sa-dvae"].features) == {TEST, CALIBRATION}
    with pytest.raises(BadConfig, match="did you mean 'sa-dvae'"):
        layout_of("sadvae")
