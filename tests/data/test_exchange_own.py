"""Plain .npz files, arrays of one's own by a mapping file, SMIE's layout, tables."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exchange_caches import NAMES, random_caches, same
from hypothesis import given, settings
from hypothesis import strategies as st

from zskel.data.caches import CALIBRATION, TEST, TRAIN
from zskel.data.common.errors import BadCache, BadConfig, BadInput
from zskel.data.exchange.npz import export_npz, import_npz
from zskel.data.exchange.own_arrays import read_own_arrays
from zskel.data.exchange.smie import export_smie
from zskel.data.exchange.table import export_table
from zskel.data.layouts import NTU_RGBD
from zskel.data.pooled import axes_of

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "features"


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), unseen=st.integers(1, 3), width=st.integers(1, 5),
       words=st.lists(st.text(st.characters(blacklist_characters="\0", codec="utf-8"),
                              min_size=1).filter(str.strip), min_size=9, max_size=9))
def test_npz_after_export_gives_the_same_caches_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, seed: int, unseen: int, width: int, words: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("npz")
    test, calibration, texts = random_caches(seed, unseen, width)
    texts["verb"] = replace(texts["verb"], text=np.array(words))
    texts["noun"] = replace(texts["noun"], text=np.array([words, words[::-1]]).T)
    export_npz(folder, test, calibration, texts)
    assert {path.name for path in folder.iterdir()} == {
        "skeleton_test.npz", "skeleton_calibration.npz", "text.npz", "text_verb.npz",
        "text_noun.npz"}
    found = import_npz(folder)
    same(found.test, test)
    same(found.calibration, calibration)
    same(found.text, texts[""])
    same(found.text_parts["verb"], texts["verb"])
    same(found.text_parts["noun"], texts["noun"])


def test_npz_takes_feature_views_along(tmp_path: Path) -> None:
    test, calibration, texts = random_caches(0, 2, 4)
    both = [replace(each, pooled=axes_of("frame_means", NTU_RGBD, 3),
                    f_x=np.repeat(each.f_x[:, None], 3, axis=1).astype(np.float16))
            for each in (test, calibration)]
    export_npz(tmp_path, test, calibration, texts, views={"frame_means": (both[0], both[1])})
    found = import_npz(tmp_path)
    assert set(found.views) == {"frame_means"}
    for ours, theirs in zip(found.views["frame_means"], both):
        same(ours, theirs)
    assert found.test.pooled == {}


def test_an_npz_is_readable_without_us(tmp_path: Path) -> None:
    test, calibration, texts = random_caches()
    export_npz(tmp_path, test, calibration, {"": texts[""]})
    with np.load(tmp_path / "skeleton_test.npz", allow_pickle=False) as file:
        train = file["subset"] == "train"
        assert file["f_x"][train].tobytes() == test.f_x[test.rows(TRAIN)].tobytes()
        attributes = json.loads(str(file["attributes"]))
    assert attributes["class_names"] == list(NAMES)
    assert attributes["unseen_classes"] == list(test.unseen_classes)


@pytest.mark.parametrize("name", ["skeleton_test", "skeleton_calibration", "text"])
def test_missing_damaged_and_swapped_npz_files_are_named(tmp_path: Path, name: str) -> None:
    test, calibration, texts = random_caches()
    export_npz(tmp_path, test, calibration, {"": texts[""]})
    path = tmp_path / f"{name}.npz"
    whole = path.read_bytes()
    for content, part in ((whole[:100], "is it truncated"), (whole[:-30], "is it truncated"),
                          (None, "no such file")):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BadInput, match=part) as caught:
            import_npz(tmp_path)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
        path.write_bytes(whole)
    np.savez(path, f_x=np.zeros(3), f_y=np.zeros(3))
    with pytest.raises(BadInput, match="holds no array 'attributes'"):
        import_npz(tmp_path)
    np.savez(path, attributes=np.array([{}], dtype=object), f_y=np.zeros(3))
    with pytest.raises(BadInput, match="pickled Python objects"):
        import_npz(tmp_path)


def test_swapped_phases_are_named(tmp_path: Path) -> None:
    test, calibration, texts = random_caches()
    export_npz(tmp_path, test, calibration, {"": texts[""]})
    (tmp_path / "skeleton_test.npz").write_bytes(
        (tmp_path / "skeleton_calibration.npz").read_bytes())
    with pytest.raises(BadInput, match="skeleton_test.npz: holds the calibration phase"):
        import_npz(tmp_path)
    with pytest.raises(BadInput, match="is there already"):
        export_npz(tmp_path, test, calibration, {"": texts[""]})


def own(folder: Path, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Six classes, four subjects, two clips of each, as arrays and a mapping."""
    rng = np.random.default_rng(seed)
    label = np.tile(np.repeat(np.arange(6), 2), 4)
    arrays = {
        "x": rng.normal(size=(48, 3)).astype(np.float32), "y": label,
        "who": np.repeat([1, 2, 3, 4], 12), "names": np.array(NAMES[:6]),
        "scores": rng.normal(size=(48, 6)).astype(np.float32),
        "f_y": rng.normal(size=(6, 4)).astype(np.float32),
        "x_calibration": rng.normal(size=(48, 3)).astype(np.float32), **changes,
    }
    np.savez(folder / "mine.npz", **arrays)
    return {
        "dataset": f"own-{folder.name}", "backbone": "mine",
        "source": [{"file": "mine.npz", "f_x": "x", "label": "y", "class_names": "names",
                    "subject": "who", "train_subjects": [1, 2, 3], "logits": "scores"}],
        "split": {"unseen": ["wave"], "validation_unseen": [5]},
        "text": {"file": "mine.npz", "f_y": "f_y", "encoder": "e", "source": "label"},
    }


def read(folder: Path, mapping: dict[str, Any]):
    path = folder / "mapping.json"
    path.write_text(json.dumps(mapping))
    return read_own_arrays(path)


def test_own_arrays_become_two_phases(tmp_path: Path) -> None:
    mapping = own(tmp_path)
    mapping["source"][0]["f_x_calibration"] = "x_calibration"
    mapping["calibration"] = {"subjects": [3]}
    arrays = read(tmp_path, mapping)
    found = arrays.caches(arrays.own_split())
    raw = np.load(tmp_path / "mine.npz")
    label, who = raw["y"], raw["who"]
    test = ((who < 4) & (label != 2)) | (who == 4)
    assert found.test.f_x.tobytes() == raw["x"][test].tobytes()
    assert found.test.subset.tolist() == np.where(who[test] < 4, "train", "test").tolist()
    assert found.test.seen_classes == (0, 1, 3, 4, 5) and found.test.unseen_classes == (2,)
    assert found.test.logits.tobytes() == raw["scores"][test][:, [0, 1, 3, 4, 5]].tobytes()
    own_rows = ((who < 3) & ~np.isin(label, (2, 5))) | ((who == 3) & (label != 2))
    assert found.calibration.f_x.tobytes() == raw["x_calibration"][own_rows].tobytes()
    assert found.calibration.seen_classes == (0, 1, 3, 4)
    assert found.calibration.unseen_classes == (5,)
    assert set(found.calibration.subject[found.calibration.rows(CALIBRATION)]) == {3}
    assert found.test.sample_id[0] == "mine/000000"
    assert found.text is not None and found.text.f_y.tobytes() == raw["f_y"].tobytes()
    assert found.test.sample_protocol == "cross-subject"
    assert not any("one backbone" in note or "no logits" in note for note in found.notes)


def test_a_random_split_is_repeatable_and_leaves_the_rest_seen(tmp_path: Path) -> None:
    arrays = read(tmp_path, own(tmp_path))
    first, again, other = (arrays.random_split(seed, 2) for seed in (7, 7, 8))
    assert first == again and first.name == "random-2-seed7"
    assert len(first.unseen) == len(first.validation_unseen) == 2
    assert len({first.unseen, other.unseen, arrays.random_split(9, 2).unseen}) > 1
    found = arrays.caches(first)
    assert set(found.test.label[found.test.rows(TRAIN)].tolist()) == set(first.seen)
    assert found.split == "random-2-seed7"
    for count in (0, 6):
        with pytest.raises(BadConfig, match="expected 1..5"):
            arrays.random_split(0, count)


def test_labels_may_be_names_and_subsets_may_be_marked(tmp_path: Path) -> None:
    names = np.array(NAMES[:6])
    subset = np.repeat(["train", "train", "calibration", "test"], 12)
    label = np.tile(np.repeat(np.arange(6), 2), 4)
    mapping = own(tmp_path, y=names[label], subset=subset)
    source = mapping["source"][0]
    del source["train_subjects"], source["subject"]
    source["subset"] = "subset"
    arrays = read(tmp_path, mapping)
    found = arrays.caches(arrays.own_split())
    assert found.test.label[:3].tolist() == [0, 0, 1]
    assert found.test.sample_protocol == "listed"
    assert found.calibration.sample_id[found.calibration.rows(CALIBRATION)].tolist() == [
        f"mine/{row:06d}" for row in range(24, 36) if label[row] != 2]
    assert len(found.test.rows(TRAIN)) == 30  # what calibrates trains the test phase


def test_npy_files_and_several_sources(tmp_path: Path) -> None:
    mapping = own(tmp_path)
    raw = np.load(tmp_path / "mine.npz")
    np.save(tmp_path / "x.npy", raw["x"] + 1)
    np.save(tmp_path / "y.npy", raw["y"])
    np.save(tmp_path / "who.npy", raw["who"])
    np.save(tmp_path / "f_y.npy", np.zeros((8, 4), np.float32) + np.arange(8)[:, None])
    mapping["source"].append({
        "f_x": "x.npy", "label": "y.npy", "subject": "who.npy", "subject_offset": 10,
        "class_names": ["Wave", "run", *NAMES[:4]], "train_subjects": [1, 2, 3]})
    mapping["text"] = {"f_y": "f_y.npy"}
    mapping["split"]["validation_unseen"] = ["run"]
    arrays = read(tmp_path, mapping)
    assert arrays.class_names == (*NAMES[:6], "Wave", "run")
    assert arrays.label[48:].tolist() == np.array([6, 7, 0, 1, 2, 3])[raw["y"]].tolist()
    assert set(arrays.identity["subject"].tolist()) == {1, 2, 3, 4, 11, 12, 13, 14}
    found = arrays.caches(arrays.own_split())
    held = found.calibration.subject[found.calibration.rows(CALIBRATION)]
    assert (held < 10).any() and (held > 10).any()  # some of each source
    notes = "\n".join(found.notes)
    assert "4 class names are in several sources" in notes
    assert "'wave' and 'Wave' differ only" in notes
    assert "logits of some sources only: none are taken" in notes and "no logits" in notes
    assert not found.test.logits.any()


def edit(key: str, value: Any) -> Any:
    def apply(mapping: dict[str, Any]) -> None:
        node: Any = mapping
        *parents, last = key.split(".")
        for part in parents:
            node = node[int(part) if part.isdigit() else part]
        if value is None:
            del node[last]
        else:
            node[last] = value

    return apply


@pytest.mark.parametrize(("apply", "part"), [
    (edit("source.0.f_x", "xx"), "mine.npz: holds no array 'xx'; did you mean 'x'"),
    (edit("source.0.file", "other.npz"), "other.npz: no such file"),
    (edit("source.0.file", None), "`file` is not given"),
    (edit("source.0.f_x", "who"), "mine.npz: who: holds int64 of shape [48]"),
    (edit("source.0.label", "names"), "mine.npz: names: shape [6], f_x has 48 rows"),
    (edit("source.0.class_names", NAMES[:3]), "row 6 is class 3, expected 0..2"),
    (edit("source.0.class_names", "who"), "expected names"),
    (edit("source.0.class_names", []), "class_names is empty"),
    (edit("source.0.class_names", ["a", "b", "b"]), "class_names holds 'b' more than once"),
    (edit("source.0.train_subjects", [1, 9]), "train_subjects names 9"),
    (edit("source.0.train_subjects", None), "either subset or train_subjects"),
    (edit("source.0.subject", None), "train_subjects needs subject"),
    (edit("source.0.logits", "x"), "expected [48, 6], a column a class"),
    (edit("source.0.sample_id", "y"), "sample_id is not unique over the sources; '0' stands"),
    (edit("source.0.lable", "y"), "unknown key 'source.0.lable'; did you mean 'label'"),
    (edit("source", None), "key 'source' is missing"),
    (edit("dataset", None), "key 'dataset' is missing"),
    (edit("split", None), "has no [split]"),
    (edit("split.unseen", ["wav"]), "no class 'wav'; did you mean 'wave'"),
    (edit("split.unseen", [17]), "class 17 is not in 0..5"),
    (edit("split.validation_unseen", ["wave"]), "validation_unseen holds class 2"),
    (edit("calibration", {"subjects": [4]}), "subjects: subject 4 has no training clips"),
    (edit("text.f_y", "x"), "48 rows, expected 6"),
])
def test_a_wrong_mapping_is_one_line(tmp_path: Path, apply: Any, part: str) -> None:
    mapping = own(tmp_path)
    apply(mapping)
    with pytest.raises(BadInput) as caught:
        arrays = read(tmp_path, mapping)
        arrays.caches(arrays.own_split())
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_names_as_bytes_are_utf8(tmp_path: Path) -> None:
    mapping = own(tmp_path)
    expected = read(tmp_path, mapping)
    with np.load(tmp_path / "mine.npz") as file:
        arrays = dict(file)
    names = np.char.encode(arrays["names"], "utf-8")
    np.savez(tmp_path / "mine.npz", **{**arrays, "names": names, "y": names[arrays["y"]]})
    found = read(tmp_path, mapping)
    assert found.class_names == expected.class_names
    np.testing.assert_array_equal(found.label, expected.label)
    np.save(tmp_path / "names.npy", names)
    mapping["source"][0]["class_names"] = "names.npy"
    assert read(tmp_path, mapping).class_names == expected.class_names
    mapping["source"][0]["class_names"] = "names"
    np.savez(tmp_path / "mine.npz", **{**arrays, "names": np.array([b"\xff"] * len(names))})
    with pytest.raises(BadInput, match="names: holds bytes that are no UTF-8 text"):
        read(tmp_path, mapping)


@pytest.mark.parametrize(("array", "value", "part"), [
    ("x", np.full((48, 3), np.nan), "the first is row 0"),
    ("x", np.zeros((48, 0)), "expected features [N, D]"),
    ("y", np.full(48, -1), "row 0 is class -1"),
    ("y", np.zeros(47, int), "f_x has 48 rows"),
    ("who", np.full(48, -1), "train_subjects names 1"),
    ("who", np.repeat([1, 2, 3, -1], 12), "12 clips have no subject"),
    ("y", np.array([{}] * 48, dtype=object), "pickled Python objects"),
    ("f_y", np.zeros((5, 4), np.float32), "5 rows, expected 6"),
])
def test_wrong_arrays_are_one_line(tmp_path: Path, array: str, value: Any, part: str) -> None:
    mapping = own(tmp_path, **{array: value})
    with pytest.raises(BadInput) as caught:
        read(tmp_path, mapping)
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_texts_that_are_the_class_names_in_another_order_are_refused(tmp_path: Path) -> None:
    mapping = own(tmp_path, words=np.array(NAMES[:6][::-1]))
    mapping["text"]["texts"] = "words"
    with pytest.raises(BadInput, match="mine.npz: words: row 0 is of class .* put it and f_y into"):
        read(tmp_path, mapping)
    own(tmp_path, words=np.array(NAMES[:6]))
    assert read(tmp_path, mapping).text is not None


@pytest.mark.parametrize(("name", "text", "part"), [
    ("m.json", "{", "not JSON"), ("m.toml", "a = ", "not TOML"), ("none.json", None, "none.json"),
    ("m.json", "[]", "m.json"),
])
def test_a_mapping_file_that_is_none_is_one_line(
    tmp_path: Path, name: str, text: str | None, part: str
) -> None:
    if name.endswith("toml") and sys.version_info < (3, 11):
        pytest.skip("TOML is read from Python 3.11 on")
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(BadConfig, match=part):
        read_own_arrays(tmp_path / name)


def test_the_real_features_of_37_classes(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip("the real features are not here")
    files = [REAL / f"{name}_shift_gcn_ntu60.npz" for name in ("utd_mhad", "nw_ucla")]
    mapping = {"dataset": "kinect-37", "source": [
        {"file": str(files[0]), "subject": "subject", "train_subjects": [1, 3, 5, 7]},
        {"file": str(files[1]), "subject": "subject", "subject_offset": 100,
         "train_subjects": [1, 2, 3, 4, 5]}]}
    arrays = read(tmp_path, mapping)
    assert len(arrays.class_names) == 37 and len(arrays.label) == 2341
    with np.load(files[1]) as second:
        assert arrays.f_x[TEST][861:].tobytes() == second["f_x"].tobytes()
        assert [arrays.class_names[c] for c in arrays.label[861:864]] == \
            second["class_names"][second["label"][:3]].tolist()
    for seed in range(20):
        found = arrays.caches(arrays.random_split(seed, 8))
        assert len(found.test.unseen_classes) == len(found.calibration.unseen_classes) == 8
    assert found.text is None


def test_smie_reads_its_comparison_track(tmp_path: Path) -> None:
    test, calibration, texts = random_caches()
    paths, notes = export_smie(tmp_path, test, calibration, texts[""])
    assert {path.relative_to(tmp_path).as_posix() for path in paths} == {
        "data/language/nine-moves_embeddings.npy",
        *(f"sota/split_2{suffix}/{name}.npy" for suffix in ("", "_calibration")
          for name in ("train", "train_label", "test", "test_label"))}
    for features, suffix in ((test, ""), (calibration, "_calibration")):
        unseen = np.isin(features.label, features.unseen_classes)
        for name, rows in (("train", features.subset == TRAIN),
                           ("test", (features.subset != TRAIN) & unseen)):
            folder = tmp_path / f"sota/split_2{suffix}"
            assert np.load(folder / f"{name}.npy").tobytes() == features.f_x[rows].tobytes()
            assert np.load(folder / f"{name}_label.npy").tolist() == features.label[rows].tolist()
    assert np.load(tmp_path / "data/language/nine-moves_embeddings.npy").shape == (9, 4)
    assert f"set sota_unseen to {list(test.unseen_classes)} in SMIE's config" in notes
    assert any("language_size to 4" in note for note in notes)


def test_a_table_needs_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test, calibration, texts = random_caches()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BadInput, match=r"pip install 'zero-shot-skeleton\[tables\]'") as caught:
        export_table(tmp_path, test, calibration, texts)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_table_holds_every_value(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed (extra tables)")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra tables)")
    test, calibration, texts = random_caches(width=12)
    export_table(tmp_path, test, calibration, texts)
    for features in (test, calibration):
        frame = pandas.read_parquet(tmp_path / f"skeleton_{features.phase}.parquet")
        assert frame["sample_id"].tolist() == features.sample_id.tolist()
        f_x = frame[[f"f_x_{k:02d}" for k in range(12)]].to_numpy()
        assert f_x.dtype == np.float32 and f_x.tobytes() == features.f_x.tobytes()
        logits = frame[[f"logit_{c:03d}" for c in features.seen_classes]].to_numpy()
        assert logits.tobytes() == features.logits.tobytes()
        assert frame["class_name"].tolist() == [NAMES[c] for c in features.label]
        assert frame["unseen"].tolist() == [c in features.unseen_classes for c in features.label]
        assert frame.attrs["seen_classes"] == list(features.seen_classes)
    verbs = pandas.read_parquet(tmp_path / "text_verb.parquet")
    assert verbs["text"].tolist() == texts["verb"].text.tolist()
    assert verbs[[f"f_y_{k}" for k in range(4)]].to_numpy().tobytes() == \
        texts["verb"].f_y.tobytes()


def test_broken_caches_are_refused(tmp_path: Path) -> None:
    test, calibration, texts = random_caches()
    leaked = replace(test, label=np.full_like(test.label, test.unseen_classes[0]))
    export_npz(tmp_path, leaked, calibration, {"": texts[""]})
    with pytest.raises(BadCache, match="skeleton_test.npz: subset 'train' holds class"):
        import_npz(tmp_path)
