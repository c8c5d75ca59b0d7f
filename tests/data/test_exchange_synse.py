"""The SynSE lineage's folders: what is written, and what is read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exchange_caches import NAMES, random_caches
from hypothesis import given, settings
from hypothesis import strategies as st
from synse_folder import TEST_DIR, VAL_DIR, files, read, save

from zskel.data.caches import TRAIN
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.exchange.layouts import FILL, LAYOUTS, layout_of
from zskel.data.exchange.synse_export import Names, export_synse
from zskel.data.exchange.synse_find import Given
from zskel.data.exchange.synse_import import import_synse


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


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), unseen=st.integers(1, 3), width=st.integers(1, 7),
       rows=st.integers(1, 4), layout=st.sampled_from(sorted(LAYOUTS)),
       tiny=st.sampled_from([1.0, 1e-42, 1e30]))
def test_import_after_export_gives_the_same_rows_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, seed: int, unseen: int, width: int, rows: int,
    layout: str, tiny: float,
) -> None:
    folder = tmp_path_factory.mktemp("export")
    test, calibration, texts = random_caches(seed, unseen, width, rows)
    test = replace(test, f_x=(test.f_x * np.float32(tiny)).astype(np.float32))
    export_synse(folder, test, calibration, texts, layout_of(layout))
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
    assert any("one backbone made both directories" in note for note in read(tmp_path).notes)
