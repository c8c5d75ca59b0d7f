"""The SynSE lineage's folders: what is written, what is read back, what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exchange_caches import NAMES, random_caches, same
from hypothesis import given, settings
from hypothesis import strategies as st

from data.caches import CALIBRATION, TEST, TRAIN
from data.errors import BadConfig, BadInput
from data.exchange.layouts import FILL, LAYOUTS, layout_of
from data.exchange.sidecar import read_with_sidecar, sidecars
from data.exchange.synse_export import Names, export_synse
from data.exchange.synse_find import Given, find
from data.exchange.synse_import import import_synse

TEST_DIR = "sk_feats/stgcn_nine_moves_2_r"
VAL_DIR = "sk_feats/stgcn_nine_moves_val_2_r"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    test, calibration, texts = random_caches(width=256)
    export_synse(folder, test, calibration, {"": texts[""]}, layout_of("sa-dvae"))
    shutil.rmtree(folder / "zsl_export")
    return folder


@pytest.fixture
def exported(template: Path, tmp_path: Path) -> Path:
    """What users of SA-DVAE call ``resources``, without our own file beside it."""
    return Path(shutil.copytree(template, tmp_path / "resources"))


def read(folder: Path, **given: object):
    return import_synse(folder, "nine-moves", NAMES, Given(**given))


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_sa_dvae_folder_is_what_its_scripts_read(exported: Path) -> None:
    assert files(exported) == {
        *(f"{TEST_DIR}/{name}.npy" for name in (
            "train", "train_label", "ztest", "z_label", "gtest", "g_label", "gtest_out")),
        *(f"{VAL_DIR}/{name}.npy" for name in (
            "train", "train_label", "ztest", "z_label", "val", "val_label", "ztest_out",
            "val_out")),
        *(f"label_splits/nine_moves/{name}.npy" for name in ("ru2", "rs7", "rv2_0", "rs5_0")),
        "text_feats/nine_moves/org-some-encoder/lb_9.npy",
    }
    test, calibration, texts = random_caches(width=256)

    def load(name: str) -> np.ndarray:
        return np.load(exported / f"{name}.npy", allow_pickle=False)

    for features, folder in ((test, TEST_DIR), (calibration, VAL_DIR)):
        train = features.subset == TRAIN
        held, unseen = ~train, np.isin(features.label, features.unseen_classes)
        last, name = ((held, "g") if features is test else (held & ~unseen, "val"))
        for rows, data, label in ((train, "train", "train_label"),
                                  (held & unseen, "ztest", "z_label"),
                                  (last, "gtest" if name == "g" else "val", f"{name}_label")):
            assert load(f"{folder}/{data}").dtype == np.float32
            assert load(f"{folder}/{label}").dtype == np.int64
            assert load(f"{folder}/{data}").tobytes() == features.f_x[rows].tobytes()
            assert load(f"{folder}/{label}").tolist() == features.label[rows].tolist()
    splits = {"ru2": test.unseen_classes, "rs7": test.seen_classes,
              "rv2_0": calibration.unseen_classes, "rs5_0": calibration.seen_classes}
    for name, classes in splits.items():
        found = load(f"label_splits/nine_moves/{name}")
        assert found.dtype == np.int64 and found.tolist() == sorted(classes)
    text = load("text_feats/nine_moves/org-some-encoder/lb_9")
    assert text.dtype == np.float32 and text.tobytes() == texts[""].f_y.tobytes()


def test_logits_have_a_column_for_every_class(exported: Path) -> None:
    for features, folder, out, chosen in (
        (random_caches(width=256)[0], TEST_DIR, "gtest_out", lambda u: np.ones_like(u)),
        (random_caches(width=256)[1], VAL_DIR, "ztest_out", lambda u: u),
        (random_caches(width=256)[1], VAL_DIR, "val_out", lambda u: ~u),
    ):
        unseen = np.isin(features.label, features.unseen_classes)
        rows = (features.subset != TRAIN) & chosen(unseen)
        found = np.load(exported / folder / f"{out}.npy")
        assert found.dtype == np.float32 and found.shape == (rows.sum(), len(NAMES))
        assert found[:, features.seen_classes].tobytes() == features.logits[rows].tobytes()
        others = [c for c in range(len(NAMES)) if c not in features.seen_classes]
        assert (found[:, others] == np.float32(FILL)).all()


@pytest.mark.parametrize("temperature", range(1, 10))
def test_filled_columns_get_no_probability_at_any_temperature(
    exported: Path, temperature: int
) -> None:
    logits = np.load(exported / TEST_DIR / "gtest_out.npy")
    with np.errstate(all="raise", under="ignore"):
        scaled = np.exp((logits + 1e-12) / temperature)
        p = scaled / scaled.sum(axis=1, keepdims=True)
    test = random_caches(width=256)[0]
    assert np.isfinite(p).all() and (p[:, test.unseen_classes] == 0).all()
    assert set(p.argmax(axis=1)) <= set(test.seen_classes)


def test_a_synse_zsl_folder_has_its_own_names(tmp_path: Path) -> None:
    test, calibration, texts = random_caches()
    export_synse(tmp_path, test, calibration, texts, layout_of("synse-zsl"))
    found = files(tmp_path)
    assert {"ntu_results/shift_2_r/gtest_out.npy", "ntu_results/shift_val_2_r/val_out.npy",
            "resources/label_splits/rs5_0.npy", "resources/ntu9_bert_labels.npy",
            "resources/ntu9_bert_verb.npy", "resources/ntu9_bert_noun.npy",
            "resources/labels.npy", "resources/nouns_vocab.npy", "resources/nouns_ohe.npy",
            "resources/verbs_vocab.npy", "resources/verbs_ohe.npy"} <= found
    words = np.load(tmp_path / "resources/verbs_vocab.npy")
    ohe = np.load(tmp_path / "resources/verbs_ohe.npy")
    assert words[ohe.argmax(axis=-1)].tolist() == [f"verb{name}" for name in NAMES]
    assert (ohe.sum(axis=1) == 1).all()


def test_a_bare_synse_zsl_folder_gives_verbs_and_nouns(tmp_path: Path) -> None:
    test, calibration, texts = random_caches()
    export_synse(tmp_path, test, calibration, texts, layout_of("synse-zsl"))
    shutil.rmtree(tmp_path / "zsl_export")
    path = tmp_path / "resources/ntu9_bert_labels.npy"
    save(path, np.load(path)[:, None])  # Its scripts take [C, 1, D], too.
    found = read(tmp_path)
    assert found.text is not None and found.text.encoder == "bert"
    for part, text in (("", found.text), *found.text_parts.items()):
        assert text.f_y.tobytes() == texts[part].f_y.tobytes()
    assert set(found.text_parts) == {"verb", "noun"}


def test_names_can_be_given_and_must_not_confuse_the_released_loader(tmp_path: Path) -> None:
    test, calibration, texts = random_caches()
    layout = layout_of("sa-dvae")
    export_synse(tmp_path, test, calibration, {"": texts[""]}, layout,
                 Names("ntu60_split2", "shift", "stsb-bert-large", "md"))
    assert "sk_feats/shift_ntu60_split2_val_2_r/val.npy" in files(tmp_path)
    assert "text_feats/ntu60_split2/stsb-bert-large/md_9.npy" in files(tmp_path)
    for names in (Names("my_val"), Names("../x"), Names(mode="lb_ad")):
        with pytest.raises(BadConfig):
            export_synse(tmp_path / "other", test, calibration, {"": texts[""]}, layout, names)
    assert not (tmp_path / "other").exists()


def test_another_split_of_the_same_size_is_not_written_over(tmp_path: Path) -> None:
    layout = layout_of("msf")
    for seed in (0, 0):
        export_synse(tmp_path, *random_caches(seed), layout)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.npy")}
    with pytest.raises(BadInput, match="is there already"):
        export_synse(tmp_path, *random_caches(1), layout)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.npy")} == before
    export_synse(tmp_path, *random_caches(1), layout, force=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.npy")} != before


def test_classes_that_the_file_names_cannot_say_are_refused(tmp_path: Path) -> None:
    test, calibration, texts = random_caches()
    smaller = replace(test, seen_classes=test.seen_classes[1:], logits=test.logits[:, 1:])
    with pytest.raises(BadInput, match="neither seen nor unseen"):
        export_synse(tmp_path, smaller, calibration, texts, layout_of("msf"))


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), unseen=st.integers(1, 3), width=st.integers(1, 7),
       rows=st.integers(1, 4), layout=st.sampled_from(sorted(LAYOUTS)),
       tiny=st.sampled_from([1.0, 1e-42, 1e30]))
def test_import_after_export_gives_the_same_caches_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, seed: int, unseen: int, width: int, rows: int,
    layout: str, tiny: float,
) -> None:
    folder = tmp_path_factory.mktemp("export")
    test, calibration, texts = random_caches(seed, unseen, width, rows)
    test = replace(test, f_x=(test.f_x * np.float32(tiny)).astype(np.float32))
    export_synse(folder, test, calibration, texts, layout_of(layout))
    (sidecar,) = sidecars(folder)
    found = read_with_sidecar(folder, sidecar)
    same(found.test, test)
    same(found.calibration, calibration)
    same(found.text, texts[""])
    for part in ("verb", "noun"):
        same(found.text_parts[part], texts[part])
    assert found.split == "seven-two"
    # A folder as others publish it says less, and that to the bit too.
    shutil.rmtree(folder / "zsl_export")
    given = Given(texts={"": next(folder.rglob(
        "*_labels.npy" if layout == "synse-zsl" else f"*_{len(NAMES)}.npy"))})
    if layout != "synse-zsl":
        given = Given(texts={"": next(folder.rglob("lb_9.npy"))})
    bare = import_synse(folder, "nine-moves", NAMES, given)
    for ours, theirs in ((test, bare.test), (calibration, bare.calibration)):
        assert (theirs.seen_classes, theirs.unseen_classes) == (
            ours.seen_classes, ours.unseen_classes)
        train = ours.rows(TRAIN)
        held = ours.rows(ours.phase)
        if ours is calibration:
            held = held[np.argsort(np.isin(ours.label[held], ours.seen_classes), kind="stable")]
        order = np.concatenate([train, held])
        assert theirs.f_x.tobytes() == ours.f_x[order].tobytes()
        assert theirs.label.tolist() == ours.label[order].tolist()
        assert theirs.subset.tolist() == ours.subset[order].tolist()
        assert theirs.logits[len(train):].tobytes() == ours.logits[held].tobytes()
        assert not theirs.logits[:len(train)].any()
    assert bare.text is not None and bare.text.f_y.tobytes() == texts[""].f_y.tobytes()


def test_what_the_folder_does_not_say_is_made_up_and_told(exported: Path) -> None:
    found = read(exported)
    assert found.test.sample_id[0] == "synse/train/000000"
    assert "synse/gtest/000003" in found.test.sample_id
    assert "synse-val/ztest/000001" in found.calibration.sample_id
    assert (found.test.subject == -1).all()
    assert found.split == "7-2"
    notes = "\n".join(found.notes)
    for part in ("each is kept once", "7 of 9 columns", "5 of 9 columns", "subjects, cameras",
                 "almost certainly test subjects' clips", "the class names stand for them",
                 "(chance 14.3%)"):
        assert part in notes
    assert found.test.config["notes"] == list(found.notes)[:len(found.test.config["notes"])]
    assert len(found.test.config["files"]) == 15


def save(path: Path, array: np.ndarray) -> None:
    np.save(path, array)


def test_a_short_list_of_validation_seen_classes_is_completed_and_told(exported: Path) -> None:
    path = exported / "label_splits/nine_moves/rs5_0.npy"
    whole = np.load(path)
    save(path, whole[:-2])
    found = read(exported)
    assert found.calibration.seen_classes == tuple(whole)
    assert any("rs5_0.npy: holds 3 of 5 classes" in note for note in found.notes)


def test_logits_of_seen_classes_only_follow_the_order_of_the_split(exported: Path) -> None:
    expected = read(exported).test
    order = np.random.default_rng(1).permutation(expected.seen_classes)
    path = exported / TEST_DIR / "gtest_out.npy"
    save(path, np.load(path)[:, order])
    save(exported / "label_splits/nine_moves/rs7.npy", order)
    found = read(exported)
    assert found.test.seen_classes == expected.seen_classes
    assert found.test.logits.tobytes() == expected.logits.tobytes()
    assert any("7 columns, taken in the order" in note for note in found.notes)


def test_other_number_types_are_taken_and_told(exported: Path) -> None:
    expected = read(exported).test
    for name in ("train", "ztest", "gtest"):
        path = exported / TEST_DIR / f"{name}.npy"
        save(path, np.load(path).astype(np.float64))
    path = exported / TEST_DIR / "train_label.npy"
    save(path, np.load(path).astype(np.float32))
    found = read(exported)
    assert found.test.f_x.tobytes() == expected.f_x.tobytes()
    assert found.test.label.dtype == np.int64
    assert any("float64, stored as float32" in note for note in found.notes)


def test_ztest_of_another_run_of_the_backbone_is_told(exported: Path) -> None:
    path = exported / TEST_DIR / "ztest.npy"
    save(path, np.load(path) + np.float32(1e-6))
    assert any("differs from gtest.npy's rows" in note for note in read(exported).notes)


def test_test_clips_in_the_calibration_directory_are_told(exported: Path) -> None:
    gtest, labels = (np.load(exported / TEST_DIR / f"{n}.npy") for n in ("gtest", "g_label"))
    path = exported / VAL_DIR / "val.npy"
    val, own = np.load(path), np.load(exported / VAL_DIR / "val_label.npy")
    val[0] = gtest[labels == own[0]][0]
    save(path, val)
    assert any("1 of" in note and "are test rows (gtest.npy) to the bit" in note
               for note in read(exported).notes)


def test_one_backbone_for_both_phases_is_told(tmp_path: Path) -> None:
    test, calibration, texts = random_caches(rows_a_class=2)
    train = test.rows(TRAIN)
    own = calibration.rows(TRAIN)
    f_x = calibration.f_x.copy()
    for row in own:
        f_x[row] = test.f_x[train[test.label[train] == calibration.label[row]][0]]
    export_synse(tmp_path, test, replace(calibration, f_x=f_x), {"": texts[""]},
                 layout_of("msf"))
    shutil.rmtree(tmp_path / "zsl_export")
    assert any("one backbone made both directories" in note for note in read(tmp_path).notes)


ALL_FILES = [f"{TEST_DIR}/{name}.npy" for name in (
    "train", "train_label", "ztest", "z_label", "gtest", "g_label", "gtest_out")] + [
    f"{VAL_DIR}/{name}.npy" for name in (
        "train", "train_label", "ztest", "z_label", "val", "val_label", "ztest_out", "val_out")] + [
    f"label_splits/nine_moves/{name}.npy" for name in ("rs7", "rv2_0", "rs5_0")]


def refused(folder: Path, **given: object) -> str:
    with pytest.raises(BadInput) as caught:
        read(folder, **given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
    shutil.rmtree(tmp_path / "zsl_export")
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
    shutil.rmtree(tmp_path / "zsl_export")
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


def test_an_exported_file_that_was_changed_is_named(tmp_path: Path) -> None:
    test, calibration, texts = random_caches()
    export_synse(tmp_path, test, calibration, texts, layout_of("msf"))
    (sidecar,) = sidecars(tmp_path)
    path = tmp_path / "sk_feats/shift_2_r/train.npy"
    whole = path.read_bytes()
    for content, part in ((whole[:-3], "not a whole numpy file"), (None, "no such file")):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BadInput, match=part) as caught:
            read_with_sidecar(tmp_path, sidecar)
        assert str(path) in str(caught.value)
        path.write_bytes(whole)
    save(path, np.load(path) + 1)
    with pytest.raises(BadInput, match="not the file that was exported"):
        read_with_sidecar(tmp_path, sidecar)


def test_phases_keep_their_names() -> None:
    assert set(LAYOUTS["sa-dvae"].features) == {TEST, CALIBRATION}
    with pytest.raises(BadConfig, match="did you mean 'sa-dvae'"):
        layout_of("sadvae")
