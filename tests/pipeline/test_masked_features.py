"""f_x of masked clips beside f_x: made where asked for, and used by SMIE."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.caches import read_skeleton_features
from zskel.pipeline.base.config import load_experiment

PHASES = ("test", "calibration")
ASKED = ("--cfg-options", "masked_features=true")


@pytest.fixture(scope="module")
def masked_work(
    tmp_path_factory: pytest.TempPathFactory, tiny_work: Path, tiny_config: Path, commands: Any
) -> tuple[Path, str]:
    """A copy of the tiny work directory to which masked features were added; what was said."""
    work = tmp_path_factory.mktemp("masked") / "work"
    for part in ("store", "backbones", "features"):
        shutil.copytree(tiny_work / part, work / part)
    ended = commands.run("extract", tiny_config, "--work-dir", work, *ASKED)
    assert ended.code == 0, ended.err
    return work, ended.err


@pytest.mark.parametrize("phase", PHASES)
def test_they_have_the_rows_of_f_x_and_other_features(
    masked_work: tuple[Path, str], tiny_work: Path, phase: str
) -> None:
    folder = masked_work[0] / "features"
    whole, masked = (read_skeleton_features(folder / f"skeleton_{phase}{kind}.h5")
                     for kind in ("", "_masked"))
    for name in ("sample_id", "label", "subset", "subject", "camera", "setup", "replication"):
        assert np.array_equal(getattr(whole, name), getattr(masked, name)), name
    for name in ("phase", "class_names", "seen_classes", "unseen_classes", "backbone",
                 "weights_sha256", "dataset", "sample_protocol"):
        assert getattr(whole, name) == getattr(masked, name), name
    assert masked.f_x.shape == whole.f_x.shape and masked.logits.shape == whole.logits.shape
    assert (np.abs(masked.f_x - whole.f_x).max(axis=1) > 1e-6).mean() > 0.5
    masking = {"type": "MaskMotionFrames", "motion_share": 0.3, "random_share": 0.3, "seed": 0}
    assert masked.preprocessing["test_pipeline"] == [
        masking, *whole.preprocessing["test_pipeline"]]
    assert masked.config == {**whole.config, "masking": masking}
    # Nobody touched what was there.
    name = f"features/skeleton_{phase}.h5"
    assert (masked_work[0] / name).read_bytes() == (tiny_work / name).read_bytes()


def test_nothing_is_trained_for_them_and_they_are_kept(
    masked_work: tuple[Path, str], tiny_config: Path, commands: Any
) -> None:
    work, said = masked_work
    assert "training the" not in said and said.count("_masked.h5") == 2
    again = commands.run("extract", tiny_config, "--work-dir", work, *ASKED)
    assert again.code == 0 and "wrote" not in again.err
    assert again.err.count("kept ") == 5
    without = commands.run("extract", tiny_config, "--work-dir", work)
    assert without.code == 0 and "wrote" not in without.err
    assert "_masked" not in without.err


def test_smie_has_its_temporal_term_with_them(
    masked_work: tuple[Path, str], tiny_work: Path, tiny_config: Path, commands: Any,
    copy_of: Callable[..., Path],
) -> None:
    smie = ("--method", "smie", "--seeds", "1")
    for work, temporal in ((masked_work[0], True), (copy_of(tiny_work, ("features",)), False)):
        ended = commands.run("fit", tiny_config, "--work-dir", work, *smie)
        assert ended.code == 0, ended.err
        record = json.loads(next((work / "results").glob("*smie*.json")).read_text())
        for phase in PHASES:
            assert ("temporal" in record["history"][phase][0]) is temporal
        others = record["cache_digests"]["others"]
        assert set(others) == ({f"skeleton_{phase}_masked" for phase in PHASES}
                               if temporal else set())


def test_in_a_bank_they_do_not_stand_in_for_f_x(
    tiny_config: Path, tiny_raw: Path, commands: Any, tmp_path: Path
) -> None:
    shared = ("--raw", tiny_raw, "--bank", tmp_path / "bank")
    fast = ("--cfg-options", "backbone.epochs=1")
    for work, options in (("one", (*fast, *ASKED)), ("two", (*fast, *ASKED)),
                          ("half", (*fast, "--cfg-options", "backbone.extract_autocast=bfloat16"))):
        ended = commands.run("extract", tiny_config, *shared, "--work-dir", tmp_path / work,
                             *options)
        assert ended.code == 0, ended.err
        assert ("training the" in ended.err) is (work == "one")
        assert ended.err.count("features shared") == (4 if work == "two" else 0)

    def f_x(work: str, kind: str) -> np.ndarray:
        return read_skeleton_features(
            tmp_path / work / "features" / f"skeleton_test{kind}.h5").f_x

    for kind in ("", "_masked"):
        assert np.array_equal(f_x("one", kind), f_x("two", kind))
    assert not np.array_equal(f_x("one", ""), f_x("one", "_masked"))
    # The same weights in another precision.
    assert not np.array_equal(f_x("one", ""), f_x("half", ""))
    assert f_x("half", "") == pytest.approx(f_x("one", ""), abs=0.05)
    caches = {work: read_skeleton_features(tmp_path / work / "features" / "skeleton_test.h5")
              for work in ("one", "half")}
    assert caches["one"].weights_sha256 == caches["half"].weights_sha256
    assert caches["half"].preprocessing["autocast"] == "bfloat16"
    assert caches["half"].config["backbone"]["extract_autocast"] == "bfloat16"
    assert "autocast" not in caches["one"].preprocessing


def test_who_does_not_ask_keeps_the_digest() -> None:
    plain = load_experiment("demo")
    assert "masked_features" not in plain.model_dump(mode="json")
    assert "extract_autocast" not in plain.model_dump(mode="json")["backbone"]
    for option in ("masked_features=true", "backbone.extract_autocast=bfloat16"):
        assert load_experiment("demo", [option]).digest() != plain.digest()
    for option in ("masked_features=false", "backbone.extract_autocast=float32"):
        assert load_experiment("demo", [option]).digest() == plain.digest()
