"""Clips of 17 joints, with a layout of one's own, go all the way with every backbone."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.caches import read_skeleton_features

PARENTS = [("hip", ""), ("right hip", "hip"), ("right knee", "right hip"),
           ("right ankle", "right knee"), ("left hip", "hip"), ("left knee", "left hip"),
           ("left ankle", "left knee"), ("spine", "hip"), ("thorax", "spine"),
           ("neck", "thorax"), ("head", "neck"), ("left shoulder", "thorax"),
           ("left elbow", "left shoulder"), ("left wrist", "left elbow"),
           ("right shoulder", "thorax"), ("right elbow", "right shoulder"),
           ("right wrist", "right elbow")]
EXPERIMENT = f"""
_base_ = ["_base_/datasets/pose_pickle.py", "_base_/backbones/stgcn_tiny.py",
          "_base_/text/minilm_label.py", "_base_/methods/sa_dvae.py"]
_layout = dict(
    joints={[joint for joint, _ in PARENTS]}, bones={[pair for pair in PARENTS if pair[1]]},
    center="hip", spine=["hip", "spine"], shoulders=["left shoulder", "right shoulder"],
    hips=["left hip", "right hip"])
dataset = dict(
    name="mine", class_names=["wave", "clap", "jump", "kick", "throw"], reader="pose_pickle",
    reader_options=dict(_delete_=True, dataset="mine", layout=_layout),
    cleaning=[dict(type="keep_most_active", bodies=1)], sample_protocol="cross-subject",
    train=[1, 2, 3, 4])
split = dict(name="own", unseen=[3])
backbone = dict(name="tiny", model=dict(backbone=dict(base_channels=4),
                                        cls_head=dict(in_channels=64)), epochs=1)
fit = dict(method=dict(options=dict(epochs=2)), seeds=1)
"""
# What makes each kind of backbone as small as the experiment's own.
SMALL = {
    "stgcnpp_cpu": dict(base_channels=8, num_stages=2, inflate_stages=[2], down_stages=[2]),
    "aagcn_cpu": dict(base_channels=8, num_stages=2, inflate_stages=[2], down_stages=[2]),
    "agcn": dict(base_channels=8, num_stages=2, inflate_stages=[2], down_stages=[2]),
    "shift_gcn_cpu": dict(channels=[8, 16], strides=[1, 2]),
    "posec3d_cpu": dict(base_channels=2),
}


def twin(folder: Path) -> None:
    random = np.random.default_rng(0)
    annotations = []
    for number in range(60):
        replication, subject, label = number // 30 + 1, number // 5 % 6 + 1, number % 5
        pose = random.normal(scale=0.3, size=(1, 1, 17, 3)) + (0, 0, 3)
        moved = random.normal(scale=0.03, size=(1, 14, 17, 3)).cumsum(axis=1)
        annotations.append({
            "frame_dir": f"S001C001P{subject:03}R{replication:03}A{label + 1:03}", "label": label,
            "total_frames": 14, "keypoint": (pose + moved).astype(np.float32)})
    (folder / "h36m.pkl").write_bytes(pickle.dumps({"split": {}, "annotations": annotations}))
    (folder / "exp.py").write_text(EXPERIMENT)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The twin, with an experiment for each kind of backbone."""
    twin(tmp_path)
    for name, network in SMALL.items():
        width = 32 if name == "posec3d_cpu" else 16
        (tmp_path / f"{name}.py").write_text(f"""
_base_ = ["exp.py"]
backbone = dict(_delete_=True, **{_shrunk(name, network, width)!r})
""")
    return tmp_path


def _shrunk(name: str, network: dict[str, Any], width: int) -> dict[str, Any]:
    from importlib import resources

    from zskel.pipeline.base.config import BackboneConfig, load_section

    path = Path(str(resources.files("zskel.configs"))) / "_base_" / "backbones" / f"{name}.py"
    config: BackboneConfig = load_section(path, "backbone", BackboneConfig)
    model = config.model_dump()["model"]
    model["backbone"].update(network)
    model["cls_head"]["in_channels"] = width
    return {**config.model_dump(), "model": model, "epochs": 1}


def test_the_experiment_goes_from_recordings_to_predictions(
    case: Callable[..., Path], commands: Any
) -> None:
    folder = case("seventeen-joints", twin)
    work = folder / "work"
    for arguments in (("extract", folder / "exp.py", "--raw", folder / "h36m.pkl"),
                      ("fit", folder / "exp.py")):
        ended = commands.run(*arguments, "--work-dir", work)
        assert ended.code == 0, ended.err
    cache = read_skeleton_features(work / "features" / "skeleton_test.h5")
    assert cache.f_x.shape[1] == 64 and np.isfinite(cache.f_x).all()
    graph = cache.config["backbone"]["model"]["backbone"]["graph_cfg"]["layout"]
    assert graph["num_node"] == 17 and [16, 15] in graph["inward"] and graph["center"] == 0
    (step,) = cache.config["backbone"]["prepare"]
    assert (step["step"], step["layout"]["spine"]) == ("pre_normalize_3d", [0, 7])

    ended = commands.run("predict", work, folder / "h36m.pkl", "--gzsl", "--json")
    assert ended.code == 0, ended.err
    assert len(json.loads(ended.out)["clips"]) == 60
    ended = commands.run("verify", work, "--experiment", folder / "exp.py")
    assert ended.code == 0, ended.out


def test_every_kind_of_backbone_takes_them(made: Path, commands: Any) -> None:
    for name in SMALL:
        ended = commands.run("extract", made / f"{name}.py", "--raw", made / "h36m.pkl",
                             "--work-dir", made / "work")
        assert ended.code == 0, f"{name}: {ended.err}"
        cache = read_skeleton_features(made / "work" / "features" / "skeleton_test.h5")
        assert cache.backbone == name.replace("_", "-")
        assert np.isfinite(cache.f_x).all() and "NOTICE: every body" not in ended.err


def test_what_cannot_follow_is_refused_before_anything_is_trained(
    made: Path, commands: Any
) -> None:
    import torch

    from zskel.data.skeleton import NTU_RGBD
    from zskel.extractors.layout import follow
    from zskel.extractors.mm import register

    register()
    from mmaction.registry import MODELS

    from zskel.extractors.spec import BackboneSpec

    spec = BackboneSpec(**follow(_shrunk("shift_gcn_cpu", SMALL["shift_gcn_cpu"], 16), NTU_RGBD))
    # As Shift-GCN's authors name them.
    state = {name.removeprefix("backbone.").removeprefix("cls_head."): value
             for name, value in MODELS.build(spec.model_config(60)).state_dict().items()}
    torch.save(state, made / "published.pt")
    ours = ("--raw", made / "h36m.pkl", "--work-dir", made / "work")
    for arguments, says in (
        (("exp.py", "--cfg-options", "backbone.model.backbone.graph_cfg.layout=nturgb+d"),
         "graph_cfg.layout: 'nturgb+d' has 25 joints, the clips have 17 joints (layout 'custom'); "
         "leave it out, then it follows the clips"),
        (("shift_gcn_cpu.py", "--weights", f"calibration={made / 'published.pt'}"),
         "published.pt: weights for clips of 25 joints do not fit shift-gcn-cpu with 60 classes, "
         "which takes 17 as the clips have; leave --weights out to train it, or map the clips to "
         "the layout of the weights"),
    ):
        ended = commands.run("extract", made / arguments[0], *ours, *arguments[1:])
        assert ended.code == 2 and ended.err.splitlines()[-1].endswith(says), ended.err
        assert not list((made / "work").rglob("*.pth"))
