"""``pipeline extract`` from raw files to caches, read back with nothing but h5py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from zskel.data.synthetic import UNSEEN, class_names

IDENTITY = ("subject", "camera", "setup", "replication")


def open_cache(work: Path, name: str) -> h5py.File:
    return h5py.File(work / "features" / name, "r")


def strings(dataset: h5py.Dataset) -> list[str]:
    return list(dataset.asstr()[()])


@pytest.mark.parametrize(("phase", "subsets", "subjects"), [
    ("test", ("train", "test"), {"train": {1, 2, 4}, "test": {3}}),
    ("calibration", ("train", "calibration"), None),
])
def test_skeleton_cache_keeps_the_contract_to_the_letter(
    tiny_work: Path, phase: str, subsets: tuple[str, str], subjects: Any
) -> None:
    with open_cache(tiny_work, f"skeleton_{phase}.h5") as file:
        assert set(file) == {"f_x", "logits", "label", "sample_id", "subset", *IDENTITY}
        assert set(file.attrs) == {
            "format", "format_version", "dataset", "sample_protocol", "phase", "class_names",
            "seen_classes", "unseen_classes", "backbone", "weights_sha256", "preprocessing",
            "config", "software", "created", "sealed",
        }
        count, seen = len(file["label"]), file.attrs["seen_classes"]
        assert file["f_x"].dtype == np.float32 and file["f_x"].shape == (count, 8)
        assert file["logits"].dtype == np.float32 and file["logits"].shape == (count, len(seen))
        assert file["label"].dtype == np.int64
        for name in IDENTITY:
            assert file[name].dtype == np.int16 and file[name].shape == (count,)
        for name in ("sample_id", "subset"):
            assert h5py.check_string_dtype(file[name].dtype).encoding == "utf-8"
        attributes = dict(file.attrs)
        subset, label = np.array(strings(file["subset"])), file["label"][()]
        subject, sample = file["subject"][()], strings(file["sample_id"])

    assert (attributes["dataset"], attributes["sample_protocol"]) == ("synthetic", "cross-subject")
    assert attributes["phase"] == phase and attributes["backbone"] == "stgcn-test"
    assert int(attributes["format_version"]) == 1
    assert tuple(attributes["class_names"]) == class_names()
    assert set(subset) == set(subsets) and len(set(sample)) == count
    unseen = set(attributes["unseen_classes"].tolist())
    assert not unseen & set(seen.tolist()) and len(unseen) == len(UNSEEN)
    if phase == "test":
        assert unseen == set(UNSEEN)
        assert set(seen.tolist()) | unseen == set(range(40))
    assert set(label[subset == "train"].tolist()) == set(seen.tolist())
    assert unseen <= set(label[subset == subsets[1]].tolist())
    # The identity of each row, from its NTU name SsssCcccPpppRrrrAaaa.
    assert [int(name[17:]) - 1 for name in sample] == label.tolist()
    assert [int(name[9:12]) for name in sample] == subject.tolist()
    if subjects is not None:
        assert {name: set(subject[subset == name].tolist()) for name in subsets} == subjects

    weights = (tiny_work / "backbones" / phase / "weights.pth").read_bytes()
    assert attributes["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert json.loads(attributes["preprocessing"])["prepare"] == [{"type": "PreNormalize3D"}]
    assert json.loads(attributes["config"])["backbone"]["epochs"] == 2
    assert {"torch", "mmaction2"} <= set(json.loads(attributes["software"]))
    assert datetime.fromisoformat(attributes["created"]).tzinfo is not None


def test_calibration_never_touches_a_test_clip_or_subject(tiny_work: Path) -> None:
    with open_cache(tiny_work, "skeleton_test.h5") as test, \
            open_cache(tiny_work, "skeleton_calibration.h5") as calibration:
        part, subject = np.array(strings(calibration["subset"])), calibration["subject"][()]
        ours, theirs = set(subject[part == "train"]), set(subject[part == "calibration"])
        assert ours and theirs and not ours & theirs and 3 not in ours | theirs
        tested = np.array(strings(test["sample_id"]))[np.array(strings(test["subset"])) == "test"]
        assert not set(tested) & set(strings(calibration["sample_id"]))
        unseen = set(calibration.attrs["unseen_classes"].tolist())
        assert unseen <= set(test.attrs["seen_classes"].tolist())
        assert not set(UNSEEN) & set(calibration["label"][()].tolist())
        assert test.attrs["weights_sha256"] != calibration.attrs["weights_sha256"]


def test_logits_are_the_weights_own_linear_layer_on_f_x(tiny_work: Path) -> None:
    import torch

    for phase in ("test", "calibration"):
        state = torch.load(tiny_work / "backbones" / phase / "weights.pth", weights_only=True)
        weight = state["cls_head.fc.weight"].double().numpy()
        bias = state["cls_head.fc.bias"].double().numpy()
        with open_cache(tiny_work, f"skeleton_{phase}.h5") as file:
            assert file["logits"][()] == pytest.approx(file["f_x"][()] @ weight.T + bias, abs=1e-4)


def test_text_cache_keeps_the_contract_to_the_letter(tiny_work: Path) -> None:
    from zskel.extractors.text.encoders import SentenceBERT

    with open_cache(tiny_work, "text.h5") as file:
        assert set(file) == {"f_y", "text"}
        assert {"format", "format_version", "class_names", "encoder", "encoder_revision",
                "text_source"} <= set(file.attrs)
        assert file["f_y"].dtype == np.float32 and file["f_y"].shape == (40, 384)
        assert h5py.check_string_dtype(file["text"].dtype).encoding == "utf-8"
        assert tuple(strings(file["text"])) == tuple(file.attrs["class_names"]) == class_names()
        assert file.attrs["encoder"] == "sentence-bert:all-MiniLM-L6-v2"
        assert file.attrs["text_source"] == "label"
        f_y = file["f_y"][()]
    encoder = SentenceBERT("all-MiniLM-L6-v2")
    assert f_y == pytest.approx(encoder.encode(class_names()), abs=1e-5)


def test_a_work_directory_holds_what_it_should(tiny_work: Path) -> None:
    assert {path.name for path in (tiny_work / "features").iterdir()} == {
        "skeleton_test.h5", "skeleton_calibration.h5", "text.h5"}
    assert {path.name for path in tiny_work.iterdir()} - {".work.lock"} == {
        "store", "backbones", "features", "results", "models", "report"}
    parsed = json.loads((tiny_work / "store" / "skeletons.h5.report.json").read_text())
    assert (parsed["found"], parsed["stored"], parsed["skipped"]) == (160, 160, [])


def stamps(work: Path) -> dict[str, int]:
    return {str(path.relative_to(work)): path.stat().st_mtime_ns
            for path in sorted(work.rglob("*"))
            if path.is_file() and path.name != ".work.lock"}


@pytest.mark.parametrize("with_raw", [True, False])
def test_running_again_keeps_everything(
    tiny_work: Path, tiny_config: Path, tiny_raw: Path, commands: Any,
    copy_of: Callable[..., Path], with_raw: bool,
) -> None:
    work = copy_of(tiny_work)
    before = stamps(work)
    raw = ("--raw", tiny_raw) if with_raw else ()
    ended = commands.run("extract", tiny_config, *raw, "--work-dir", work)
    assert ended.code == 0, ended.err
    assert stamps(work) == before
    assert ended.err.count("kept ") >= 3 and "wrote" not in ended.err


def rewritten(work: Path, before: dict[str, int]) -> set[str]:
    return {name for name, time in stamps(work).items()
            if before.get(name) != time and "/logs/" not in name}


@pytest.mark.parametrize(("option", "expected"), [
    ("class_text.source={'name': 'template', 'options': {'templates': ['a {}', '{}']}}",
     {"features/text.h5"}),
    ("fit.seeds=1", set()),
    ("split.validation_seed=5", {"features/skeleton_calibration.h5",
                                 "backbones/calibration/weights.pth",
                                 "backbones/calibration/backbone.json"}),
    ("backbone.epochs=1", {f"{folder}/{name}" for folder, name in (
        ("features", "skeleton_test.h5"), ("features", "skeleton_calibration.h5"),
        ("backbones/test", "weights.pth"), ("backbones/test", "backbone.json"),
        ("backbones/calibration", "weights.pth"), ("backbones/calibration", "backbone.json"))}),
])
def test_a_changed_option_redoes_what_depends_on_it(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path],
    option: str, expected: set[str],
) -> None:
    work = copy_of(tiny_work)
    before = stamps(work)
    ended = commands.run("extract", tiny_config, "--work-dir", work, "--cfg-options", option)
    assert ended.code == 0, ended.err
    found = rewritten(work, before)
    if option.startswith("split"):
        # The choice of validation-unseen classes is part of both caches' provenance.
        found.discard("features/skeleton_test.h5")
    assert found == expected
    again = stamps(work)
    assert commands.run(
        "extract", tiny_config, "--work-dir", work, "--cfg-options", option).code == 0
    assert stamps(work) == again


def test_a_template_text_cache_holds_every_string(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work)
    option = "class_text.source={'name':'template','options':{'templates':['a {}','{}','the {}']}}"
    assert commands.run(
        "extract", tiny_config, "--work-dir", work, "--cfg-options", option).code == 0
    with open_cache(work, "text.h5") as file:
        assert file["text"].shape == (40, 3)
        assert file["text"].asstr()[7].tolist() == [
            "a wave right hand", "wave right hand", "the wave right hand"]
        assert file["f_y"].shape == (40, 384)


def test_a_damaged_cache_is_made_again(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work)
    cache = work / "features" / "skeleton_test.h5"
    cache.write_bytes(cache.read_bytes()[:5000])
    ended = commands.run("extract", tiny_config, "--work-dir", work)
    assert ended.code == 0, ended.err
    with open_cache(work, "skeleton_test.h5") as one, \
            open_cache(tiny_work, "skeleton_test.h5") as other:
        for name in one:
            assert np.array_equal(one[name][()], other[name][()])


@pytest.mark.parametrize(("arguments", "message"), [
    (("--raw", "/no/such/folder"), "/no/such/folder"),
    ((), "--raw"),
])
def test_raw_files_that_are_not_there_are_one_line(
    tiny_config: Path, commands: Any, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    ended = commands.run("extract", tiny_config, *arguments, "--work-dir", tmp_path)
    assert ended.code == 2
    assert message in ended.err and len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(("option", "message"), [
    ("backbone.model.backbone.channels=3", "backbone: "),
    ("backbone.train_pipeline.0.shortst=1", "shortst"),
    ("calibration.subjects=[3]", "calibration.subjects: subject 3 has no training clips"),
    ("split.unseen=[1,40]", "not in 0..39"),
    ("split.name=nosuch", "no class split 'nosuch'"),
    ("dataset.train=[99]", "no train clips"),
    ("class_text.encoder.options.model=no-such-model", "no-such-model"),
])
def test_a_wrong_option_is_one_line_and_leaves_no_cache(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path],
    option: str, message: str,
) -> None:
    work = copy_of(tiny_work, ("store",))
    ended = commands.run("extract", tiny_config, "--work-dir", work, "--cfg-options", option)
    assert ended.code in (2, 3)
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0]
    assert ended.err.splitlines()[-1] == errors[0] and "Traceback" not in ended.err
    assert not list(work.glob("features/skeleton_*"))
