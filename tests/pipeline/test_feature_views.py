"""Feature views beside f_x: made where asked for, and used by methods that name them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.caches import read_skeleton_features, write_skeleton_features
from zskel.data.common.errors import BadConfig
from zskel.data.common.files import digest_file
from zskel.data.layouts import LAYOUTS
from zskel.data.pooled import descriptors
from zskel.pipeline.base.config import load_experiment
from zskel.zsl.methods import METHODS

PHASES = ("test", "calibration")
ASKED = ("--cfg-options", "masked_features=true")  # the key from before there were views
MASKING = {"type": "MaskMotionFrames", "motion_share": 0.3, "random_share": 0.3, "seed": 0}
OWN_CODE = """
from mmcv.transforms import BaseTransform
from zskel.zsl.methods.ridge import Ridge

class FirstFrames(BaseTransform):
    def __init__(self, share):
        self.share = share
    def transform(self, results):
        frames = round(results["total_frames"] * self.share)
        return {**results, "keypoint": results["keypoint"][:, :frames], "total_frames": frames}

class EarlyRidge(Ridge):
    name, extra_features = "early_ridge", ("f_x_early",)
    def fit(self, f_x, y, f_y, *, f_x_early, **others):
        return super().fit(f_x_early, y, f_y, **others)
"""


@pytest.fixture(scope="module")
def own_config(tmp_path_factory: pytest.TempPathFactory, tiny_config: Path) -> Path:
    """The tiny experiment with the view that ships and one of one's own."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.py").write_text(OWN_CODE)
    path = folder / "mine.py"
    path.write_text(f"""
_base_ = [{str(tiny_config)!r}, "_base_/views/f_x_masked.py"]
name = "tiny"
feature_views = dict(f_x_early=[dict(type="{folder}/own.py:FirstFrames", share=0.5)])
fit = dict(method=dict(_delete_=True, name="{folder}/own.py:EarlyRidge"))
""")
    return path


@pytest.fixture(scope="module")
def views_work(
    tmp_path_factory: pytest.TempPathFactory, tiny_work: Path, own_config: Path, commands: Any
) -> tuple[Path, str]:
    """A copy of the tiny work directory to which two views were added; what was said."""
    work = tmp_path_factory.mktemp("views") / "work"
    for part in ("store", "backbones", "features"):
        shutil.copytree(tiny_work / part, work / part)
    ended = commands.run("extract", own_config, "--work-dir", work)
    assert ended.code == 0, ended.err
    return work, ended.err


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("kind", ["masked", "early"])
def test_they_have_the_rows_of_f_x_and_other_features(
    views_work: tuple[Path, str], tiny_work: Path, own_config: Path, phase: str, kind: str
) -> None:
    folder = views_work[0] / "features"
    whole, view = (read_skeleton_features(folder / f"skeleton_{phase}{name}.h5")
                   for name in ("", f"_{kind}"))
    for name in ("sample_id", "label", "subset", "subject", "camera", "setup", "replication"):
        assert np.array_equal(getattr(whole, name), getattr(view, name)), name
    for name in ("phase", "class_names", "seen_classes", "unseen_classes", "backbone",
                 "weights_sha256", "dataset", "sample_protocol"):
        assert getattr(whole, name) == getattr(view, name), name
    assert view.f_x.shape == whole.f_x.shape and view.logits.shape == whole.logits.shape
    assert (np.abs(view.f_x - whole.f_x).max(axis=1) > 1e-6).mean() > 0.5
    own = f"{own_config.parent}/own.py"
    transform = {"masked": MASKING, "early": {"type": f"{own}:FirstFrames", "share": 0.5}}[kind]
    assert view.preprocessing["test_pipeline"] == [
        transform, *whole.preprocessing["test_pipeline"]]
    code = {} if kind == "masked" else {"code": {transform["type"]: digest_file(Path(own))}}
    assert view.config == {**whole.config, "view": {"transforms": [transform], **code}}
    # Nobody touched what was there.
    name = f"features/skeleton_{phase}.h5"
    assert (views_work[0] / name).read_bytes() == (tiny_work / name).read_bytes()


def test_nothing_is_trained_for_them_and_they_are_kept(
    views_work: tuple[Path, str], tiny_config: Path, own_config: Path, commands: Any
) -> None:
    work, said = views_work
    assert "training the" not in said
    assert said.count("_masked.h5") == said.count("_early.h5") == 2
    again = commands.run("extract", own_config, "--work-dir", work)
    assert again.code == 0 and "wrote" not in again.err
    assert again.err.count("kept ") == 7
    without = commands.run("extract", tiny_config, "--work-dir", work)
    assert without.code == 0 and "wrote" not in without.err
    assert "_masked" not in without.err


def test_caches_from_before_there_were_views_are_kept(
    views_work: tuple[Path, str], tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(views_work[0], ("store", "backbones", "features"))
    for phase in PHASES:
        path = work / "features" / f"skeleton_{phase}_masked.h5"
        features = read_skeleton_features(path)
        then = {key: value for key, value in features.config.items() if key != "view"}
        write_skeleton_features(
            path, dataclasses.replace(features, config={**then, "masking": MASKING}))
    kept = commands.run("extract", tiny_config, "--work-dir", work, *ASKED)
    assert kept.code == 0 and "wrote" not in kept.err
    other = ("--cfg-options", "feature_views.f_x_masked=[{'type': 'MaskMotionFrames'}]")
    assert "wrote" in commands.run("extract", tiny_config, "--work-dir", work, *other).err


def test_an_unknown_transform_is_refused_before_anything_is_trained(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("store",))
    ended = commands.run("extract", tiny_config, "--work-dir", work, "--cfg-options",
                         "feature_views.f_x_masked=[{'type': 'MaskMotionFrame'}]")
    assert ended.code == 2 and "training the" not in ended.err
    assert ended.err.splitlines()[-1] == (
        "error: feature_views.f_x_masked: transforms: unknown type 'MaskMotionFrame'; did you mean "
        "'MaskMotionFrames'?")


def test_a_method_of_ones_own_takes_a_view_by_its_name(
    views_work: tuple[Path, str], own_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(views_work[0], ("features",))
    ended = commands.run("fit", own_config, "--work-dir", work, "--seeds", "1")
    assert ended.code == 0, ended.err
    record = json.loads(next((work / "results").glob("early_ridge*.json")).read_text())
    assert set(record["cache_digests"]["others"]) == {f"skeleton_{phase}_early" for phase in PHASES}


def test_smie_has_its_temporal_term_with_them(
    views_work: tuple[Path, str], tiny_work: Path, tiny_config: Path, commands: Any,
    copy_of: Callable[..., Path],
) -> None:
    smie = ("--method", "smie", "--seeds", "1")
    for work, temporal in ((views_work[0], True), (copy_of(tiny_work, ("features",)), False)):
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
    assert "feature_views" not in plain.model_dump(mode="json")
    assert "extract_autocast" not in plain.model_dump(mode="json")["backbone"]
    for option in ("masked_features=true", "backbone.extract_autocast=bfloat16"):
        assert load_experiment("demo", [option]).digest() != plain.digest()
    for option in ("masked_features=false", "backbone.extract_autocast=float32"):
        assert load_experiment("demo", [option]).digest() == plain.digest()


def test_the_key_from_before_there_were_views_means_the_masked_one() -> None:
    views = load_experiment("utd-mhad-22-5").feature_views
    assert [view.transforms for view in views.values()] == [[MASKING]]
    assert load_experiment("demo", ["masked_features=true"]).feature_views == views
    assert not load_experiment("utd-mhad-22-5", ["masked_features=false"]).feature_views


@pytest.mark.parametrize(("option", "message"), [
    ("feature_views.masked=[{'type': 'Flip'}]", "feature_views: 'masked': .*'\\^f_x_"),
    ("feature_views.f_x_a={'transform': []}", "unknown key 'feature_views.f_x_a.transform'; did "
                                              "you mean 'transforms'"),
    ("feature_views.f_x_a=[]", "feature_views.f_x_a: a view has either transforms or a pool"),
    ("feature_views.joints={'pool': 'joint_mean'}",
     "feature_views.joints.pool: .*'joint_means', 'frame_means' or 'thirds_joints'"),
    ("feature_views.f_x_a={'pool': 'joint_means'}", "feature_views: 'f_x_a': a pooled view has"),
    ("feature_views={'f_x_a': [{'type': 'Flip'}], 'a': {'pool': 'joint_means'}}",
     "feature_views: 'a' and 'f_x_a' would be one file"),
])
def test_what_a_view_cannot_be(option: str, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        load_experiment("demo", [option])


POOLED = tuple(word for view in (
    "joint_means={'pool': 'joint_means'}", "frame_means={'pool': 'frame_means'}",
    "thirds={'pool': 'thirds_joints'}",
) for word in ("--cfg-options", f"feature_views.{view}"))


@pytest.fixture(scope="module")
def pooled_work(
    tmp_path_factory: pytest.TempPathFactory, tiny_work: Path, tiny_config: Path, commands: Any
) -> tuple[Path, str]:
    """A copy of the tiny work directory to which the pooled views were added; what was said."""
    work = tmp_path_factory.mktemp("pooled") / "work"
    for part in ("store", "backbones", "features"):
        shutil.copytree(tiny_work / part, work / part)
    ended = commands.run("extract", tiny_config, "--work-dir", work, *POOLED)
    assert ended.code == 0, ended.err
    return work, ended.err


@pytest.mark.parametrize("phase", PHASES)
def test_pooled_views_average_to_f_x_and_say_what_their_axes_are(
    pooled_work: tuple[Path, str], phase: str
) -> None:
    folder = pooled_work[0] / "features"
    whole, joints, frames, thirds = (read_skeleton_features(folder / f"skeleton_{phase}{name}.h5")
                                     for name in ("", "_joint_means", "_frame_means", "_thirds"))
    (count, width), layout = whole.f_x.shape, LAYOUTS["nturgb+d"]
    assert joints.f_x.shape == (count, layout.num_joints, width)
    assert thirds.f_x.shape == (count, 3, layout.num_joints, width)
    for view in (joints, frames):
        assert view.f_x.dtype == np.float16
        assert np.array_equal(view.sample_id, whole.sample_id)
        assert view.weights_sha256 == whole.weights_sha256
        np.testing.assert_allclose(view.f_x.astype(np.float64).mean(axis=1), whole.f_x,
                                   rtol=1e-3, atol=1e-3)
        assert np.ptp(view.f_x, axis=1).max() > 0.01
    assert joints.pooled["joints"] == list(layout.joints)
    assert joints.pooled["parts"]["torso"] == [0, 1, 4, 8, 12, 16, 20]
    assert frames.pooled["segments"]["end"][1] == frames.f_x.shape[1]
    assert thirds.pooled["segments"] == ["start", "middle", "end"]
    segments = frames.pooled["segments"].values()
    of_thirds = [frames.f_x[:, begin:end].astype(np.float64).mean(axis=1)
                 for begin, end in segments]
    np.testing.assert_allclose(thirds.f_x.astype(np.float64).mean(axis=2),
                               np.stack(of_thirds, axis=1), rtol=1e-3, atol=2e-3)
    eight = descriptors(joints.f_x, frames.f_x, joints.pooled["parts"])
    np.testing.assert_allclose(eight[:, 7], whole.f_x, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(eight[:, 4:7], thirds.f_x.astype(np.float64).mean(axis=2),
                               rtol=1e-3, atol=2e-3)


def test_pooled_views_come_from_one_pass_and_are_kept(
    pooled_work: tuple[Path, str], tiny_work: Path, tiny_config: Path, commands: Any
) -> None:
    work, said = pooled_work
    assert "training the" not in said and said.count("wrote ") == 6
    assert said.count("extracting ") <= 2  # a pass a phase
    again = commands.run("extract", tiny_config, "--work-dir", work, *POOLED)
    assert again.code == 0 and "wrote" not in again.err
    name = "features/skeleton_test.h5"
    assert (work / name).read_bytes() == (tiny_work / name).read_bytes()
    told = commands.run("inspect", work / "features/skeleton_test_joint_means.h5")
    assert told.code == 0 and "joint_means" in told.out and "spine shoulder" in told.out
    assert commands.run("verify", work, "--experiment", tiny_config).code == 0


def test_a_backbone_without_a_map_of_joints_has_no_pooled_views(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("store",))
    ended = commands.run("extract", tiny_config, "--work-dir", work, *POOLED[:2],
                         "--cfg-options", "backbone.model.cls_head.type=I3DHead")
    assert ended.code == 2 and "training the" not in ended.err
    assert ended.err.splitlines()[-1] == (
        "error: feature_views.joint_means: joint_means is taken from a map with a row for each "
        "joint, which a I3DHead does not average; graph networks with a GCNHead have one")


def test_a_refinement_reads_pooled_views_where_they_are(
    pooled_work: tuple[Path, str], tiny_config: Path, tiny_raw: Path, commands: Any,
    copy_of: Callable[..., Path],
) -> None:
    work = copy_of(pooled_work[0], ("store", "backbones", "features"))
    recording = sorted(tiny_raw.glob("*.skeleton"))[0]
    told = ("--method", "ridge", "--seeds", "1", "--cfg-options", "fit.protocol=transductive",
            "--cfg-options", "fit.refinement=skeleton_cache")
    for taken in (8, 1):
        ended = commands.run("fit", tiny_config, "--work-dir", work, *told)
        assert ended.code == 0, ended.err
        (path,) = (work / "results").glob("ridge-*.json")
        record = json.loads(path.read_text())
        assert len(record["selection"]["refinement"]["descriptors"]) == taken
        assert set(record["cache_digests"]["others"]) == ({
            f"skeleton_{phase}_{view}" for phase in PHASES
            for view in ("joint_means", "frame_means")} if taken == 8 else set())
        again = commands.run("fit", tiny_config, "--work-dir", work, *told)
        assert again.code == 0 and "kept " in again.err and "fitting" not in again.err
        ended = commands.run("predict", work, recording)
        assert ended.code == 0 and "1 clip(s)" in ended.out, ended.err
        for view in (work / "features").glob("*_frame_means.h5"):
            view.unlink()


@pytest.mark.parametrize(("name", "options"), [
    ("purls", ["hidden_dim=16"]), ("neuron", ["prototypes=8"])])
def test_methods_take_pooled_views_in_fit_and_predict(
    pooled_work: tuple[Path, str], tiny_config: Path, tiny_raw: Path, commands: Any,
    copy_of: Callable[..., Path], name: str, options: list[str],
) -> None:
    method = METHODS.get(name)
    work = copy_of(pooled_work[0], ("store", "backbones", "features"))
    features = work / "features"
    for part in method.text_parts:
        shutil.copy(features / "text.h5", features / f"text_{part}.h5")
    for phase in PHASES:
        (features / f"skeleton_{phase}_thirds.h5").rename(
            features / f"skeleton_{phase}_thirds_joints.h5")
    own = [word for option in (f"fit.method={{'name': '{name}'}}", "fit.method.options.epochs=2",
                               *(f"fit.method.options.{each}" for each in options))
           for word in ("--cfg-options", option)]
    fit = ("fit", tiny_config, "--work-dir", work, "--seeds", "1", *own)
    ended = commands.run(*fit)
    assert ended.code == 0, ended.err
    (path,) = (work / "results").glob(f"{name}*.json")
    others = json.loads(path.read_text())["cache_digests"]["others"]
    assert {f"skeleton_test_{view}" for view in method.feature_views} <= set(others)
    clip = next(Path(tiny_raw).rglob("*.skeleton"))
    told = commands.run("predict", work, clip, "--method", name, "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out)["clips"][0]["prediction"]
    released = commands.run(*fit, "--cfg-options", "fit.method.options.recipe=released")
    assert released.code == 2
    assert "looks at the labels of the clips that it names" in released.err.splitlines()[-1]
    (features / f"skeleton_test_{method.feature_views[0]}.h5").unlink()
    lacking = commands.run(*fit)
    assert lacking.code == 2
    config = "thirds_joints" if name == "purls" else "pooled"
    assert f"add _base_/views/{config}.py" in lacking.err.splitlines()[-1]


def test_given_weights_give_all_views_of_all_clips_in_one_pass(
    pooled_work: tuple[Path, str], tiny_config: Path, tiny_raw: Path, commands: Any, tmp_path: Path
) -> None:
    file = pooled_work[0] / "backbones" / "test" / "weights.pth"
    ended = commands.run("extract", tiny_config, "--raw", tiny_raw, "--weights", file,
                         "--work-dir", tmp_path, *POOLED)
    assert ended.code == 0, ended.err
    assert ended.err.count("wrote ") >= 8 and ended.err.count("features shared") == 4
    assert len(list((tmp_path / "store" / "features").glob("*/features.npz"))) == 4
    for name in ("", "_joint_means", "_frame_means", "_thirds"):
        ours, theirs = (read_skeleton_features(folder / "features" / f"skeleton_test{name}.h5")
                        for folder in (tmp_path, pooled_work[0]))
        np.testing.assert_allclose(ours.f_x.astype(np.float64), theirs.f_x, rtol=1e-3, atol=2e-3)
        assert ours.pooled == theirs.pooled
        assert np.array_equal(ours.logits, read_skeleton_features(
            tmp_path / "features" / "skeleton_test.h5").logits) or name
