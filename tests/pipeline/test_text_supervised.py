"""Backbones that class texts train, from config to prediction."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zskel.data.caches import SkeletonFeatures, read_skeleton_features
from zskel.data.common.errors import BadConfig
from zskel.pipeline.base.config import load_experiment

POOLED = ("--cfg-options", "backbone.epochs=1", "--cfg-options", "backbone.text_supervision={}")
ALIGNED = (*POOLED, "--cfg-options", "backbone.text_supervision.features=aligned")
BOTH = (*POOLED, "--cfg-options", "feature_views.f_x_aligned={'features': 'aligned'}")


def features(work: Path, phase: str = "test") -> SkeletonFeatures:
    return read_skeleton_features(work / "features" / f"skeleton_{phase}.h5")


def weights_of(work: Path, made: SkeletonFeatures) -> Path:
    return next(path for path in (work.parent / "bank" / "backbones").glob("*/weights.pth")
                if made.weights_sha256 in (path.parent / "backbone.json").read_text())


@pytest.fixture(scope="module")
def model_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text-supervised") / "bank"


@pytest.fixture(scope="module")
def pooled(
    tiny_work: Path, tiny_config: Path, commands: Any, model_store: Path
) -> Path:
    """A work directory with f_x that the classifier reads. Not to be changed."""
    work = model_store.parent / "pooled"
    shutil.copytree(tiny_work / "store", work / "store")
    ended = commands.run("extract", tiny_config, "--work-dir", work, "--bank", model_store, *POOLED)
    assert ended.code == 0, ended.err
    lines = ended.err.splitlines()
    order = [next(i for i, line in enumerate(lines) if text in line)
             for text in ("text.h5", "training the test-phase", "skeleton_test.h5")]
    assert order == sorted(order)
    return work


@pytest.fixture(scope="module")
def aligned(
    tiny_work: Path, tiny_config: Path, commands: Any, model_store: Path, pooled: Path
) -> Path:
    """One with h of the same weights. Not to be changed."""
    work = model_store.parent / "aligned"
    shutil.copytree(tiny_work / "store", work / "store")
    for times in range(2):
        ended = commands.run(
            "extract", tiny_config, "--work-dir", work, "--bank", model_store, *ALIGNED)
        assert ended.code == 0 and "training the" not in ended.err, ended.err
        assert ended.err.count("kept ") == 3 * times
    return work


@pytest.mark.parametrize("phase", ["test", "calibration"])
def test_h_follows_from_f_x_and_the_weights(pooled: Path, aligned: Path, phase: str) -> None:
    ours, theirs = features(aligned, phase), features(pooled, phase)
    assert ours.weights_sha256 == theirs.weights_sha256
    assert ours.config["backbone"]["text_supervision"]["features"] == "aligned"
    state = torch.load(weights_of(aligned, ours), weights_only=True)
    weight, bias = (state[f"cls_head.alignment.{name}"].numpy() for name in ("weight", "bias"))
    assert ours.f_x.shape[1] == len(bias) != theirs.f_x.shape[1]
    np.testing.assert_allclose(ours.f_x, theirs.f_x @ weight.T + bias, atol=1e-5)
    np.testing.assert_array_equal(ours.logits, theirs.logits)
    assert ours.logits.shape[1] == len(ours.seen_classes)


def test_methods_stand_on_both_and_predict_takes_recordings(
    pooled: Path, aligned: Path, tiny_config: Path, tiny_raw: Path, commands: Any
) -> None:
    for work, options in ((pooled, POOLED), (aligned, ALIGNED)):
        ended = commands.run("fit", tiny_config, "--work-dir", work, "--method", "ridge",
                             "--seeds", "1", *options)
        assert ended.code == 0 and "ZSL" in ended.err, ended.err
    recording = sorted(tiny_raw.glob("*.skeleton"))[0]
    ended = commands.run("predict", aligned, recording)
    assert ended.code == 0 and "1 clip(s)" in ended.out, ended.err


def test_methods_stand_on_h_as_a_view_beside_f_x(
    pooled: Path, aligned: Path, tiny_config: Path, tiny_raw: Path, commands: Any,
    model_store: Path,
) -> None:
    work = model_store.parent / "both"
    shutil.copytree(pooled / "store", work / "store")
    ended = commands.run("extract", tiny_config, "--work-dir", work, "--bank", model_store, *BOTH)
    assert ended.code == 0 and "training the" not in ended.err, ended.err
    both, told = ("--method", "ridge", "--method", "infonce"), ("fit", tiny_config, "--seeds", "1")
    on_h = ("--cfg-options", "fit.features=f_x_aligned")
    for options in ((), on_h):
        ended = commands.run(*told, "--work-dir", work, *both, *BOTH, *options)
        assert ended.code == 0, ended.err
    ended = commands.run(*told, "--work-dir", aligned, *both, *ALIGNED)
    assert ended.code == 0, ended.err
    for name in ("ridge", "infonce"):
        plain, view, alone = (next((of / "results").glob(f"{name}-{variant}-*.json"))
                              for of, variant in ((work, "default"), (work, "aligned"),
                                                  (aligned, "default")))
        plain, view, alone = (json.loads(path.read_text()) for path in (plain, view, alone))
        assert "features" not in plain["config"] and view["config"]["features"] == "f_x_aligned"
        assert view["variant"] == "aligned" and view["metrics"] == alone["metrics"]
        assert view["metrics"] != plain["metrics"]
    recording = sorted(tiny_raw.glob("*.skeleton"))[0]
    answers = [commands.run("predict", folder, recording, "--json", "--method", method)
               for folder, method in ((work, "ridge aligned"), (aligned, "ridge default"))]
    assert all(answer.code == 0 for answer in answers), answers
    one, two = (json.loads(answer.out)["clips"] for answer in answers)
    assert one == two


def test_given_weights_give_the_same_features(
    aligned: Path, tiny_work: Path, tiny_config: Path, commands: Any, tmp_path: Path
) -> None:
    work = tmp_path / "given"
    shutil.copytree(tiny_work / "store", work / "store")
    weights = weights_of(aligned, features(aligned))
    ended = commands.run("extract", tiny_config, "--work-dir", work, "--weights", weights, *ALIGNED)
    assert ended.code == 0 and "training the" not in ended.err, ended.err
    np.testing.assert_allclose(features(work).f_x, features(aligned).f_x, atol=1e-5)
    ended = commands.run("extract", tiny_config, "--work-dir", work, "--weights",
                         tiny_work / "backbones" / "test" / "weights.pth", *ALIGNED)
    assert ended.code == 2 and "were not trained with the classes' texts" in ended.err


def test_with_other_texts_it_is_trained_anew(
    pooled: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(pooled, ("store", "features"))
    own, told = work.parent / "bank", ("--cfg-options", "class_text.source.name=description")
    ended = commands.run("extract", tiny_config, "--work-dir", work, "--bank", own, *POOLED, *told)
    assert ended.code == 0 and ended.err.count("training the") == 2, ended.err
    again = commands.run("extract", tiny_config, "--work-dir", work, "--bank", own, *POOLED, *told)
    assert again.code == 0 and "wrote" not in again.err


def test_a_queue_makes_the_texts_before_it_trains(
    tiny_config: Path, tiny_raw: Path, commands: Any, tmp_path: Path
) -> None:
    config = tmp_path / "mine.py"
    config.write_text(f"_base_ = [{str(tiny_config)!r}]\n"
                      "backbone = dict(epochs=1, text_supervision=dict(cross_entropy=0.0))\n")
    told = (config, "--raw", f"synthetic={tiny_raw}", "--work-dirs", tmp_path / "work_dirs")
    ended = commands.run("queue", *told)
    assert ended.code == 0, ended.err
    assert ended.err.index("text.h5") < ended.err.index("training the test-phase")
    ended = commands.run("queue", "--list", *told)
    assert ended.code == 0 and "2 features there" in ended.err


def test_who_does_not_ask_keeps_the_digest() -> None:
    plain = load_experiment("demo")
    assert "text_supervision" not in plain.model_dump(mode="json")["backbone"]
    assert load_experiment("demo", ["backbone.text_supervision=None"]).digest() == plain.digest()
    assert load_experiment("demo", ["backbone.text_supervision={}"]).digest() != plain.digest()


@pytest.mark.parametrize(("option", "message"), [
    ("weigth=2", "unknown key 'backbone.text_supervision.weigth'; did you mean 'weight'?"),
    ("features=h", "backbone.text_supervision.features: input should be 'pooled' or 'aligned'"),
    ("weight=0", "backbone.text_supervision.weight: input should be greater than 0"),
])
def test_what_it_cannot_be(option: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load_experiment("demo", [f"backbone.text_supervision.{option}"])
    assert message in str(caught.value)


@pytest.mark.parametrize(("options", "message"), [
    (["feature_views.f_x_h={'features': 'aligned'}"],
     "feature_views.f_x_h: features='aligned' are made by the head of "
     "backbone.text_supervision, which is not there"),
    (["backbone.text_supervision={}", "fit.features=f_x_aligned"],
     "fit.features: feature_views has no 'f_x_aligned'; there are f_x"),
    (["fit.features=aligned"], "fit.features: string should match pattern '^f_x"),
])
def test_features_that_nothing_makes(options: list[str], message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load_experiment("demo", options)
    assert message in str(caught.value)
