"""The cache contract: what is written is read back, and every broken rule is named."""

from __future__ import annotations

from dataclasses import fields, replace

import h5py
import numpy as np
import pytest

from zskel.data.caches import (
    SkeletonFeatures,
    TextFeatures,
    check_same_classes,
    read_skeleton_features,
    read_text_features,
    write_skeleton_features,
    write_text_features,
)
from zskel.data.common.checksums import write_checksum
from zskel.data.common.errors import BadCache
from zskel.data.layouts import NTU_RGBD
from zskel.data.pooled import axes_of

NAMES = ("wave", "clap", "throw a ball", "größe", "sit down")


def skeleton(phase: str = "test", **changes) -> SkeletonFeatures:
    """Classes 0, 1, 3 seen; 4 unseen. The calibration phase has 0, 3 seen; 1 unseen."""
    draw = np.random.default_rng(0)
    label = np.asarray([0, 1, 3, 0, 4, 2]) if phase == "test" else np.asarray([0, 3, 0, 3, 1, 1])
    seen, unseen = ((0, 1, 3), (2, 4)) if phase == "test" else ((0, 3), (1,))
    count = len(label)
    whole = SkeletonFeatures(
        f_x=draw.normal(size=(count, 4)).astype(np.float32),
        logits=draw.normal(size=(count, len(seen))).astype(np.float32),
        label=label,
        sample_id=np.asarray([f"clip-{i}-ü" for i in range(count)]),
        subset=np.asarray(["train"] * 3 + [phase] * 3),
        subject=np.arange(count, dtype=np.int16),
        camera=np.full(count, -1, np.int16), setup=np.full(count, -1, np.int16),
        replication=np.full(count, 2, np.int16),
        dataset="mine", sample_protocol="cross-subject", phase=phase, class_names=NAMES,
        seen_classes=seen, unseen_classes=unseen, backbone="stgcn", weights_sha256="0" * 64,
        preprocessing={"steps": [{"type": "a"}]}, config={"lr": 0.1, "none": None},
        software={"numpy": "2"}, created="2026-01-01T00:00:00+00:00",
    )
    return replace(whole, **changes)


def text(**changes) -> TextFeatures:
    whole = TextFeatures(
        f_y=np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32),
        text=np.asarray([f"a person: {name}" for name in NAMES]),
        class_names=NAMES, encoder="minilm", encoder_revision="1", text_source="label",
        config={"template": "a person: {}"},
    )
    return replace(whole, **changes)


def assert_equal(ours, theirs):
    for field in fields(ours):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        else:
            assert a == b, field.name


# -- round trips and the layout on disk ----------------------------------------


@pytest.mark.parametrize("phase", ["test", "calibration"])
def test_skeleton_features_come_back_as_written(tmp_path, phase):
    path = tmp_path / "features" / f"skeleton_{phase}.h5"
    write_skeleton_features(path, skeleton(phase))
    found = read_skeleton_features(path)
    assert_equal(skeleton(phase), found)
    assert found.rows("train").tolist() == [0, 1, 2]
    assert found.rows(phase).tolist() == [3, 4, 5]


@pytest.mark.parametrize(("pool", "shape"), [
    ("joint_means", (25, 4)), ("frame_means", (7, 4)), ("thirds_joints", (3, 25, 4))])
def test_pooled_views_come_back_in_half_precision(tmp_path, pool, shape):
    f_x = np.random.default_rng(2).normal(size=(6, *shape)).astype(np.float16)
    view = skeleton(f_x=f_x, pooled=axes_of(pool, NTU_RGBD, shape[0]))
    write_skeleton_features(tmp_path / "x.h5", view)
    found = read_skeleton_features(tmp_path / "x.h5")
    assert_equal(found, view)
    assert found.f_x.dtype == np.float16


def test_notices_come_back_and_a_cache_without_any_has_no_attribute(tmp_path):
    notices = ({"code": "millimetres", "text": "bones 171: looks like millimetres"},)
    write_skeleton_features(tmp_path / "x.h5", skeleton(notices=notices))
    assert read_skeleton_features(tmp_path / "x.h5").notices == notices
    write_skeleton_features(tmp_path / "y.h5", skeleton())
    assert read_skeleton_features(tmp_path / "y.h5").notices == ()
    with h5py.File(tmp_path / "y.h5") as file:
        assert "notices" not in file.attrs


@pytest.mark.parametrize("strings", [
    np.asarray(["a", "b", "c", "ä", "e"]),
    np.asarray([["a", "A"], ["b", ""], ["c", "C"], ["ä", "Ä"], ["e", "E"]]),
])
def test_text_features_come_back_as_written(tmp_path, strings):
    write_text_features(tmp_path / "text.h5", text(text=strings))
    assert_equal(text(text=strings), read_text_features(tmp_path / "text.h5"))


@pytest.mark.parametrize(("strings", "limit"), [(["a"] * 5, (8,)), ([["a", "b"]] * 5, (8, -1))])
def test_counted_tokens_come_back_as_written(tmp_path, strings, limit):
    strings = np.asarray(strings)
    counted = {"text": strings, "token_limit": limit,
               "tokens": np.arange(strings.size, dtype=np.int32).reshape(strings.shape)}
    write_text_features(tmp_path / "text.h5", text(**counted))
    assert_equal(text(**counted), read_text_features(tmp_path / "text.h5"))
    with pytest.raises(BadCache, match="tokens has shape"):
        write_text_features(tmp_path / "text.h5", text(**counted | {"tokens": np.zeros(3)}))
    with pytest.raises(BadCache, match="token_limit has 0 values"):
        write_text_features(tmp_path / "text.h5", text(**counted | {"token_limit": ()}))


def test_skeleton_layout_is_the_published_one(tmp_path):
    write_skeleton_features(tmp_path / "s.h5", skeleton())
    with h5py.File(tmp_path / "s.h5") as file:
        kinds = {name: file[name].dtype for name in file}
        for name, kind in {"f_x": "f4", "logits": "f4", "label": "i8", "subject": "i2",
                           "camera": "i2", "setup": "i2", "replication": "i2"}.items():
            assert kinds.pop(name) == np.dtype(kind), name
        assert sorted(kinds) == ["sample_id", "subset"]
        assert all(h5py.check_string_dtype(kind).encoding == "utf-8" for kind in kinds.values())
        assert sorted(file.attrs) == sorted([
            "format", "format_version", "dataset", "sample_protocol", "phase", "class_names",
            "seen_classes", "unseen_classes", "backbone", "weights_sha256", "preprocessing",
            "config", "software", "created", "sealed",
        ])
        assert file.attrs["class_names"].tolist() == list(NAMES)


def test_text_layout_is_the_published_one(tmp_path):
    write_text_features(tmp_path / "t.h5", text())
    with h5py.File(tmp_path / "t.h5") as file:
        assert file["f_y"].dtype == np.dtype("f4")
        assert h5py.check_string_dtype(file["text"].dtype).encoding == "utf-8"
        assert {"format", "format_version", "class_names", "encoder", "encoder_revision",
                "text_source"} <= set(file.attrs)


# -- rules, when written -------------------------------------------------------


def swapped(name: str, index, value) -> dict[str, np.ndarray]:
    array = getattr(skeleton(), name).copy()
    array[index] = value
    return {name: array}


FRAMES, JOINTS = (axes_of(pool, NTU_RGBD, 5) for pool in ("frame_means", "joint_means"))
BROKEN = [
    (swapped("label", 0, 4), "subset 'train' holds class 4 \\('sit down'\\), which is unseen"),
    (swapped("label", 0, 5), r"/label\[0\] is 5, class_names has 5 names"),
    (swapped("label", 1, -1), r"/label\[1\] is -1"),
    (swapped("f_x", (2, 1), np.nan), "/f_x holds 1 non-finite values, the first in row 2"),
    (swapped("logits", 5, np.inf), "/logits holds 3 non-finite values, the first in row 5"),
    (swapped("sample_id", 1, "clip-0-ü"), "/sample_id has duplicates"),
    (swapped("subset", 0, "val"), "/subset holds \\['val'\\], a test-phase file has only"),
    ({"phase": "val"}, "phase is 'val'"),
    ({"f_x": np.zeros((5, 4), np.float32)}, "/f_x has 5 rows, /label has 6"),
    ({"camera": np.zeros(7, np.int16)}, "/camera has 7 rows"),
    ({"f_x": np.zeros((6, 0), np.float32)}, "/f_x has no columns"),
    ({"logits": np.zeros((6, 5), np.float32)}, "/logits has 5 columns, seen_classes has 3"),
    ({"seen_classes": ()}, "seen_classes is empty"),
    ({"unseen_classes": ()}, "unseen_classes is empty"),
    ({"seen_classes": (1, 0, 3)}, "seen_classes is not ascending"),
    ({"unseen_classes": (4, 4)}, "unseen_classes is not ascending and unique"),
    ({"unseen_classes": (2, 5)}, "unseen_classes holds 5"),
    ({"unseen_classes": (1, 4)}, "class 1 is both seen and unseen"),
    ({"class_names": ()}, "class_names is empty"),
    ({"pooled": FRAMES}, "attribute 'pooled': frame_means has 2 dimensions, expected 3"),
    ({"pooled": {"pool": "maxima"}}, "attribute 'pooled': pool is 'maxima', expected one of"),
    ({"pooled": FRAMES, "f_x": np.zeros((6, 4, 3))}, "segments do not lie within 4 frames"),
    ({"pooled": {**JOINTS, "joints": 3}, "f_x": np.zeros((6, 4, 3))}, "'pooled': not what"),
    ({"pooled": JOINTS, "f_x": np.zeros((6, 4, 3))}, "joints has 25 names, the array 4 joints"),
    ({"pooled": {**JOINTS, "parts": {"head": [3]}}, "f_x": np.zeros((6, 25, 3))},
     "parts are not joints of head, hands, torso, legs"),
    ({"pooled": JOINTS, "f_x": np.full((6, 25, 3), 1e9)}, "/f_x holds 450 non-finite values"),
]


@pytest.mark.parametrize(("changes", "message"), BROKEN, ids=[m[:40] for _, m in BROKEN])
def test_broken_skeleton_features_are_not_written(tmp_path, changes, message):
    with pytest.raises(BadCache, match=message) as caught:
        write_skeleton_features(tmp_path / "s.h5", skeleton(**changes))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_calibration_file_holds_no_class_of_the_test_phase_unseen_ones():
    label = np.asarray([0, 3, 0, 3, 1, 4])
    with pytest.raises(BadCache, match="subset 'calibration' holds class 4.*neither seen nor uns"):
        write_skeleton_features("never", skeleton("calibration", label=label))


@pytest.mark.parametrize(("changes", "message"), [
    ({"f_y": np.zeros((4, 3), np.float32)}, "/f_y has 4 rows, class_names has 5 names"),
    ({"f_y": np.zeros((5, 0), np.float32)}, r"/f_y has shape \(5, 0\)"),
    ({"f_y": np.full((5, 3), np.nan, np.float32)}, "/f_y holds 15 non-finite"),
    ({"text": np.asarray(["a"] * 4)}, r"/text has shape \(4,\)"),
    ({"text": np.asarray(["a", "b", " ", "d", "e"])}, "class 'throw a ball' has no text"),
    ({"class_names": ()}, "class_names is empty"),
])
def test_broken_text_features_are_not_written(tmp_path, changes, message):
    with pytest.raises(BadCache, match=message):
        write_text_features(tmp_path / "t.h5", text(**changes))
    assert list(tmp_path.iterdir()) == []


def test_a_refused_write_leaves_the_old_cache(tmp_path):
    path = tmp_path / "s.h5"
    write_skeleton_features(path, skeleton())
    with pytest.raises(BadCache):
        write_skeleton_features(path, skeleton(seen_classes=()))
    assert_equal(skeleton(), read_skeleton_features(path))


# -- rules, when read ----------------------------------------------------------


def change(path, edit):
    """Changes a cache and vouches for it, so that what is wrong with it is found out."""
    with h5py.File(path, "r+") as file:
        edit(file)
    write_checksum(path)


def drop(name):
    def damage(file):
        del (file.attrs if name in file.attrs else file)[name]
    return damage


def put(name, value):
    def damage(file):
        if name in file:
            del file[name]
            file[name] = value
        else:
            file.attrs[name] = value
    return damage


DAMAGES = [
    *[(drop(n), f"dataset /{n} is missing") for n in ("f_x", "logits", "label", "sample_id",
                                                      "subset", "subject", "replication")],
    *[(drop(n), f"attribute '{n}' is missing") for n in (
        "format", "dataset", "sample_protocol", "phase", "class_names", "seen_classes",
        "unseen_classes", "backbone", "weights_sha256", "preprocessing", "config", "software",
        "created")],
    (drop("format_version"), "format_version is None, this release reads 1"),
    (put("format_version", 2), "format_version is 2, this release reads 1"),
    (put("format", "zsl-text-features"), "format is 'zsl-text-features', expected"),
    (put("phase", 3), "attribute 'phase' is not a string"),
    (put("config", "{"), "attribute 'config' is not JSON"),
    (put("notices", "["), "attribute 'notices' is not JSON"),
    *[(put("notices", text), "'notices' is not a list of objects")
      for text in ("3", "{}", '["a"]', '[{"code": "a"}]', '[{"code": 1, "text": ""}]')],
    (put("pooled", "{"), "attribute 'pooled' is not JSON"),
    (put("pooled", "[3]"), "attribute 'pooled': not what `pipeline extract` writes"),
    (put("seen_classes", [0.0, 1.0, 3.0]), "'seen_classes' is not a list of integers"),
    (put("f_x", np.zeros(6, np.float32)), "/f_x has 1 dimensions, expected 2"),
    (put("f_x", np.zeros((6, 4), np.int32)), "/f_x is int32, expected float"),
    (put("label", np.zeros(6)), "/label is float64, expected integer"),
    (put("sample_id", np.arange(6)), "/sample_id is int64, expected UTF-8 strings"),
    (put("label", np.asarray([2, 1, 3, 0, 4, 2])), "subset 'train' holds class 2"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=[m[:45] for _, m in DAMAGES])
def test_a_damaged_skeleton_cache_is_refused_in_one_line(tmp_path, damage, message):
    path = tmp_path / "s.h5"
    write_skeleton_features(path, skeleton())
    change(path, damage)
    with pytest.raises(BadCache, match=message) as caught:
        read_skeleton_features(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(("damage", "message"), [
    (drop("f_y"), "dataset /f_y is missing"),
    (drop("text"), "dataset /text is missing"),
    (drop("encoder"), "attribute 'encoder' is missing"),
    (drop("class_names"), "attribute 'class_names' is missing"),
    (put("format", "zsl-skeleton-features"), "expected 'zsl-text-features'"),
    (put("f_y", np.zeros((4, 3), np.float32)), "/f_y has 4 rows"),
])
def test_a_damaged_text_cache_is_refused_in_one_line(tmp_path, damage, message):
    path = tmp_path / "t.h5"
    write_text_features(path, text())
    change(path, damage)
    with pytest.raises(BadCache, match=message):
        read_text_features(path)


def test_a_text_cache_of_another_maker_needs_no_config(tmp_path):
    write_text_features(tmp_path / "t.h5", text())
    change(tmp_path / "t.h5", drop("config"))
    assert read_text_features(tmp_path / "t.h5").config == {}


def test_absent_and_cut_files_are_refused(tmp_path):
    path = tmp_path / "s.h5"
    with pytest.raises(BadCache, match="no such file; `pipeline extract` writes it"):
        read_skeleton_features(path)
    write_skeleton_features(path, skeleton())
    whole = path.read_bytes()
    for length in (0, 10, 600, len(whole) // 2, len(whole) - 100):
        path.write_bytes(whole[:length])
        with pytest.raises(BadCache, match="s.h5: "):
            read_skeleton_features(path)


def test_caches_of_other_classes_are_told_apart():
    check_same_classes(skeleton(), text(), "text.h5")
    with pytest.raises(BadCache, match="text.h5: class 1 is 'Clap', in the skeleton cache 'clap'"):
        check_same_classes(skeleton(), text(class_names=("wave", "Clap", *NAMES[2:])), "text.h5")
    with pytest.raises(BadCache, match="has 4 classes, the skeleton cache has 5"):
        check_same_classes(skeleton(), text(class_names=NAMES[:4]), "text.h5")
