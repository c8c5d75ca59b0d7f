"""``pipeline verify``: what is damaged, what is stale, and what makes it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from zskel.data.caches import (
    read_skeleton_features,
    read_text_features,
    write_skeleton_features,
    write_text_features,
)
from zskel.data.common.checksums import has_checksum
from zskel.data.common.errors import BadCache, BadInput
from zskel.pipeline.base.changes import differences
from zskel.pipeline.base.config import load_experiment
from zskel.pipeline.steps.model_store import ModelStore
from zskel.pipeline.verify.verify import verify, write_checksums

ALL = ("store", "backbones", "features", "results", "models")
STEM = "sa_dvae-fd-tc-strict-default-seed{}"


def bad(content: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """Check -> status, detail and remedy of what is wrong."""
    return {check["check"]: (check["status"], check["detail"], check["remedy"])
            for check in content["checks"] if check["status"] not in ("ok", "notice")}


def notices(content: dict[str, Any]) -> list[str]:
    return [check["detail"] for check in content["checks"] if check["status"] == "notice"]


def edit_features(path: Path, **changes: Any) -> None:
    write_skeleton_features(path, replace(read_skeleton_features(path), **changes))


def test_a_whole_work_directory_passes(tiny_work: Path, tiny_config: Path) -> None:
    content = verify([tiny_work])
    assert content["ok"] and bad(content) == {} and content["counts"]["ok"] > 20
    (notice,) = notices(content)
    assert notice.startswith("not compared: 'tiny' is not in configs/")
    compared = verify([tiny_work], load_experiment(str(tiny_config)), str(tiny_config))
    assert compared["ok"] and notices(compared) == []
    assert compared["counts"]["ok"] == content["counts"]["ok"] + 8
    assert json.loads(json.dumps(compared)) == compared


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize(("part", "expected"), [
    ("features/skeleton_test.h5", "features/skeleton_test.h5 is whole"),
    ("features/text.h5", "features/text.h5 is whole"),
    (f"models/{STEM.format(0)}.safetensors", f"models/{STEM.format(0)}.safetensors is whole"),
    ("backbones/test/weights.pth", "backbones/test/weights.pth is what was trained"),
    (f"results/{STEM.format(1)}.npz", f"{STEM.format(1)}.json: the accuracies follow from the "
     "arrays"),
])
def test_one_flipped_bit_is_found(
    tiny_work: Path, copy_of: Callable[..., Path], part: str, expected: str
) -> None:
    work = copy_of(tiny_work, ALL)
    flip(work / part, (work / part).stat().st_size // 2)
    assert expected in bad(verify([work]))
    alone = bad(verify([work / part]))  # the file alone tells the same
    assert {check.rpartition("/")[2].rpartition(" ")[0] for check in alone} >= {
        expected.rpartition("/")[2].rpartition(" ")[0]}


def test_a_clip_that_is_damaged_in_the_store_is_named(
    tiny_work: Path, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ALL)
    store = work / "store" / "skeletons.h5"
    with h5py.File(store) as file:
        start, rows = file["keypoint"].id.get_offset(), file["offset"][:]
        row = file["keypoint"][0].nbytes
        name = file["sample_id"].asstr()[17]
    flip(store, start + row * int(rows[17]) + 40)
    for path in (work, store):
        (found,) = bad(verify([path])).values()
        assert found[0] == "broken"
        assert f"1 of 160 clips are not; {store}: clip {name!r}" in found[1]


def test_what_was_made_from_something_else_is_stale(
    tiny_work: Path, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ALL)
    text = work / "features" / "text.h5"
    features = read_text_features(text)
    write_text_features(text, replace(features, f_y=features.f_y + 1))
    torch.save({"a": torch.ones(1)}, work / "backbones" / "calibration" / "weights.pth")
    test = work / "features" / "skeleton_test.h5"
    config = dict(read_skeleton_features(test).config)
    edit_features(test, config={**config, "store_digest": "0" * 64})
    extract, fit = (f"pipeline {verb} tiny --work-dir {work}" for verb in ("extract", "fit"))
    caches = "skeleton_test, text changed since"
    assert bad(verify([work])) == {
        "backbones/calibration/weights.pth is what was trained": (
            "stale", "its SHA-256 is not that of backbone.json beside it", ""),
        "calibration-phase features were made with these weights": (
            "stale", "backbones/calibration/weights.pth is another file now", extract),
        "test-phase features were made from this store": (
            "stale", "the store was made anew, from other recordings or otherwise", extract),
        **{f"{STEM.format(seed)}.{ending} was made from these caches": ("stale", caches, fit)
           for seed in (0, 1) for ending in ("json", "safetensors")},
    }
    assert list(bad(verify([test]))) == ["test-phase features were made from this store"]
    assert list(bad(verify([work / "models" / f"{STEM.format(1)}.safetensors"]))) == [
        f"{STEM.format(1)}.safetensors was made from these caches"]


def test_a_result_that_was_changed_by_hand_is_broken(
    tiny_work: Path, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ALL)
    result = work / "results" / f"{STEM.format(0)}.json"
    record = json.loads(result.read_text())
    record["config"]["method"]["options"]["epochs"] = 99
    result.write_text(json.dumps(record))
    found = bad(verify([work]))
    assert found[f"{result.name}: the config is the one that its digest names"][0] == "broken"


@pytest.mark.parametrize(("option", "expected"), [
    ("backbone.epochs=3", {
        **{f"skeleton_{phase}.h5 is what the config asks for": "backbone.epochs was 2, is 3"
           for phase in ("test", "calibration")}}),
    ("fit.method.options.epochs=7", {
        **{f"{STEM.format(seed)}.json is what the config asks for":
           "method.options.epochs was 2, is 7" for seed in (0, 1)},
        **{f"{STEM.format(seed)}.safetensors is what the config asks for": "epochs was 2, is 7"
           for seed in (0, 1)}}),
    ("class_text.source.name=template", {"text.h5 is what the config asks for":
                                         'source.name was "label", is "template"'}),
    ("split.validation_seed=3", {"skeleton_calibration.h5 is what the config asks for":
                                 "phase_digest"}),
    ("dataset.cleaning.0.bodies=2", {"the store is read as the config says":
                                     "cleaning.0.bodies was 1, is 2"}),
])
def test_a_changed_config_is_named_with_what_changed(
    tiny_work: Path, tiny_config: Path, option: str, expected: dict[str, str]
) -> None:
    found = bad(verify([tiny_work], load_experiment(str(tiny_config), [option]), "my.py"))
    assert found.keys() >= expected.keys()
    for check, detail in expected.items():
        status, why, remedy = found[check]
        assert status == "stale" and detail in why
        verb = "fit" if check.startswith("sa_dvae") else "extract"
        assert remedy.startswith(f"pipeline {verb} my.py --work-dir {tiny_work}")
    other = [check for check in found if check.startswith(("sa_dvae", "text")) and
             check not in expected]
    assert not other


def test_a_command_ends_with_1_and_counts(
    tiny_work: Path, tiny_config: Path, copy_of: Callable[..., Path], commands: Any
) -> None:
    work = copy_of(tiny_work, ("features",))
    ended = commands.run("verify", work, "--experiment", tiny_config)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[-1].endswith("ok, 1 notice, 0 stale, 0 broken") and "\x1b" not in ended.out
    assert "ok      features/text.h5 is whole" in lines
    flip(work / "features" / "text.h5", 3000)
    ended = commands.run("verify", work, "--json")
    content = json.loads(ended.out)
    assert ended.code == 1 and not content["ok"] and content["counts"]["broken"] == 1
    assert content["format"] == "zsl-verification"
    ended = commands.run("verify", work / "nowhere")
    assert ended.code == 2 and "nowhere: no such file or folder" in ended.err


def test_a_change_on_purpose_is_sealed(
    tiny_work: Path, copy_of: Callable[..., Path], commands: Any
) -> None:
    work = copy_of(tiny_work, ("features", "store"))
    path = work / "features" / "text.h5"
    with h5py.File(path, "r+") as file:
        file.attrs["encoder"] = "by hand"
    with pytest.raises(BadCache, match=f"pipeline verify --write-checksums {path}"):
        read_text_features(path)
    ended = commands.run("verify", "--write-checksums", path)
    assert ended.code == 0 and f"wrote the checksum of {path}" in ended.err
    assert read_text_features(path).encoder == "by hand" and has_checksum(path)
    with h5py.File(path, "r+") as file:
        del file["f_y"]
    before = path.read_bytes()
    with pytest.raises(BadCache, match=f"{path}: dataset /f_y is missing"):
        write_checksums([path])
    assert path.read_bytes() == before
    with pytest.raises(BadCache, match="checksums are written for caches alone"):
        write_checksums([work / "store" / "skeletons.h5"])


def test_a_bank_and_a_folder_of_work_directories(
    tiny_work: Path, copy_of: Callable[..., Path], tmp_path: Path
) -> None:
    root = tmp_path / "work_dirs"
    shutil.move(copy_of(tiny_work, ALL), root / "tiny")
    model_store = ModelStore(root / "bank")
    summary = json.loads((tiny_work / "backbones/test/backbone.json").read_text())
    model_store.adopt(tiny_work / "backbones/test", summary["digest"])
    (root / "bank" / "backbones" / "0123456789abcdef").mkdir()
    store = root / "bank" / "stores" / "synthetic-0123456789abcdef"
    store.mkdir(parents=True)
    shutil.copy(tiny_work / "store" / "skeletons.h5", store)
    content = verify([root])
    assert content["ok"] and len(notices(content)) == 3
    assert verify([root / "bank"])["counts"]["notice"] == 2
    assert verify([root / "bank", root / "tiny"])["counts"] == content["counts"]
    entry = model_store.backbone(summary["digest"])
    entry.rename(entry.with_name("f" * 16))
    (store / "source.json").write_text(json.dumps(
        {"reading": {"dataset": "synthetic", "class_names": ["a"]}, "raw": []}))
    assert set(bad(verify([root]))) == {
        "bank/backbones/ffffffffffffffff is the backbone that it is named by",
        f"bank/stores/{store.name}/skeletons.h5 says what it is read from"}


def test_a_config_that_the_features_name_is_not_run(
    tiny_work: Path, copy_of: Callable[..., Path], tmp_path: Path
) -> None:
    """A config is a program; a file from elsewhere must not choose which one runs."""
    work = copy_of(tiny_work, ("features",))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'was here')!r}, 'w')")
    for phase in ("test", "calibration"):
        edit_features(work / "features" / f"skeleton_{phase}.h5",
                      config={"experiment": str(tmp_path / "evil.py")})
    (notice,) = notices(verify([work]))
    assert "evil.py' is not in configs/" in notice and not (tmp_path / "was here").exists()


def test_imported_features_name_no_experiment(
    tiny_work: Path, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("features",))
    for phase in ("test", "calibration"):
        edit_features(work / "features" / f"skeleton_{phase}.h5", config={"imported": "npz"})
    (notice,) = notices(verify([work]))
    assert notice.startswith("not compared: the features name no experiment; name its file")


def test_weights_and_models_from_elsewhere(tmp_path: Path) -> None:
    from zskel.zsl.methods.ridge import Ridge

    torch.save({"fc.weight": torch.ones(2, 2)}, tmp_path / "w.pth")
    assert verify([tmp_path / "w.pth"])["ok"]
    torch.save({"x": print}, tmp_path / "evil.pth")
    (found,) = bad(verify([tmp_path / "evil.pth"])).values()
    assert found[0] == "broken" and "without running code" in found[1]
    rng = np.random.default_rng(0)
    method = Ridge().fit(rng.normal(size=(8, 3)).astype(np.float32), np.arange(8) % 2,
                         rng.normal(size=(3, 2)).astype(np.float32), seen_classes=[0, 1])
    path = method.save(tmp_path / "model.safetensors")
    assert verify([path])["ok"]
    flip(path, -1)
    assert not verify([path])["ok"]


def test_a_method_of_version_1_is_verified(tmp_path: Path) -> None:
    kept = Path(__file__).parents[1] / "zsl" / "resources" / "version_1" / "sa_dvae"
    folder = Path(shutil.copytree(kept, tmp_path / "model"))
    assert verify([folder])["ok"] and verify([folder / "model.safetensors"])["ok"]
    flip(folder / "model.safetensors", -1)
    assert not verify([folder])["ok"]


@pytest.mark.parametrize("name", ["letter.txt", "empty", "other.h5"])
def test_what_is_nothing_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "empty":
        path.mkdir()
    elif name == "other.h5":
        with h5py.File(path, "w") as file:
            file["x"] = 1
    else:
        path.write_text("hello")
    with pytest.raises(BadInput, match="verify knows work directories, model stores"):
        verify([path])


def test_differences_are_told_value_by_value() -> None:
    assert differences([1, {"a": [2]}], [1, {"a": [3]}], "x") == ["x.1.a.0 was 2, is 3"]
    assert differences({"a": None}, {"b": 1}) == ["a is gone, was null", "b is new: 1"]
    assert differences({"a": "x" * 99}, {"a": ""}) == [f'a was "{"x" * 56}..., is ""']
