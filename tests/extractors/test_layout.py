"""Backbones of every kind follow the joints of the clips, or say what does not fit."""

from __future__ import annotations

import dataclasses
import warnings
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.files import digest_json
from zskel.data.preprocess import pre_normalize_3d, shift_gcn_normalize
from zskel.data.readers.base import Entry, Reader, Scan
from zskel.data.skeleton import LAYOUTS, NTU_RGBD, JointLayout, layout_of
from zskel.data.store import SequenceStore
from zskel.data.store_building import build_store
from zskel.extractors.layout import follow, mirrored
from zskel.extractors.mm import register
from zskel.pipeline.base.config import BackboneConfig, load_section

FOLDER = Path(str(resources.files("zskel.configs"))) / "_base_" / "backbones"
OWN = layout_of({
    "name": "own", "joints": ["a", "b", "c", "d", "e", "f", "g"], "center": "b",
    "bones": [["b", "a"], ["c", "b"], ["d", "b"], ["e", "c"], ["f", "a"], ["g", "a"]],
    "spine": ["a", "b"], "shoulders": ["c", "d"], "hips": ["f", "g"],
})

# What each config gave, with the joints that it named itself, before it followed the
# clips: weights and caches of NTU's joints go by these.
BEFORE = {
    "aagcn": "3fc4f4dc9683af3e", "aagcn_cpu": "444fa91305db46ae", "agcn": "039319247d697e31",
    "posec3d": "bc74d6f925941a43", "posec3d_cpu": "96be0b76c3d9b966",
    "shift_gcn": "d9fda48a6633a26b", "shift_gcn_cpu": "86a6127e4b966b1c",
    "shift_gcn_text_supervised": "c3056d64bc17f40b",
    "stgcn": "408a81a9f8cfc5ea", "stgcn_cpu": "30e36268763a9bf5",
    "stgcn_tiny": "eeaf639a33832ef0", "stgcnpp": "4981f42ba1566053",
    "stgcnpp_cpu": "90123f9e2c45d36f",
}


def config_of(name: str) -> dict[str, Any]:
    config: BackboneConfig = load_section(FOLDER / f"{name}.py", "backbone", BackboneConfig)
    return config.model_dump()


def shrunk(name: str) -> dict[str, Any]:
    """A config with the narrowest of models, 8 frames and one epoch."""
    config = config_of(name)
    network, width = config["model"]["backbone"], 16
    if network["type"] == "ShiftGCN":
        network.update(channels=[8, width], strides=[1, 2])
    elif network["type"] == "ResNet3dSlowOnly":
        network["base_channels"], width = 2, 32
    else:
        network.update(base_channels=8, num_stages=2, inflate_stages=[2], down_stages=[2])
    config["model"]["cls_head"]["in_channels"] = width
    for pipeline in (config["train_pipeline"], config["test_pipeline"]):
        for step in pipeline:
            if step["type"] == "UniformSampleFrames":
                step["clip_len"] = 8
    return {**config, "epochs": 1, "batch_size": 6}


class Drifting(Reader):
    """Six clips of a pose that drifts, with a joint that is not tracked in one frame."""

    dataset = "drifting"

    def __init__(self, sources: list[Path], layout: JointLayout) -> None:
        super().__init__(sources)
        self.layout = layout

    def scan(self) -> Scan:
        return Scan([Entry(f"clip{i}", i % 2, str(self.sources[0])) for i in range(6)])

    def read(self, entry: Entry) -> np.ndarray:
        return clip(int(entry.sample_id[4:]), self.layout.num_joints)


def clip(seed: int, joints: int, bodies: int = 1, frames: int = 10) -> np.ndarray:
    random = np.random.default_rng(seed)
    pose = random.normal(scale=0.4, size=(bodies, 1, joints, 3)) + (0, 0, 3)
    made = pose + random.normal(scale=0.05, size=(bodies, frames, joints, 3)).cumsum(axis=1)
    made[:, 3, 2] = 0
    return made.astype(np.float32)


def store_of(layout: JointLayout, folder: Path) -> SequenceStore:
    (folder / "raw").touch()
    build_store(Drifting([folder / "raw"], layout), folder / "store.h5", ["drift", "float"])
    return SequenceStore(folder / "store.h5")


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    register()


@pytest.fixture(scope="module", params=[*LAYOUTS.values(), OWN], ids=[*LAYOUTS, "own"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> SequenceStore:
    return store_of(request.param, tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize(
    "name", ["stgcn_cpu", "stgcnpp_cpu", "aagcn_cpu", "agcn", "shift_gcn_cpu", "posec3d_cpu"])
def test_each_backbone_trains_and_extracts_with_each_layout(
    name: str, store: SequenceStore, tmp_path: Path
) -> None:
    from zskel.extractors.features import extract_features, load_model
    from zskel.extractors.training import BackboneSpec, train_backbone

    spec = BackboneSpec(**follow(shrunk(name), store.layout))
    rows = np.arange(len(store))
    trained = train_backbone(spec, store, rows, (0, 1), tmp_path)
    assert np.isfinite(trained.history[0]["loss"])
    model = load_model(spec, trained.weights, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # says that the fast way was not taken
        fast = extract_features(model, spec, store, rows)
    assert np.isfinite(fast[0]).all() and fast[0].std(axis=0).max() > 0
    for ours, theirs in zip(fast, extract_features(model, spec, store, rows, fast=False)):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


# -- what NTU's joints give --------------------------------------------------------


@pytest.mark.parametrize("name", sorted(BEFORE))
def test_with_ntus_joints_a_config_is_the_one_that_named_them(name: str) -> None:
    config = follow(config_of(name), NTU_RGBD)
    found = digest_json(BackboneConfig(**config).model_dump(mode="json"))
    assert found[:16] == BEFORE[name]
    assert follow(config, NTU_RGBD) == config
    renamed = dataclasses.replace(
        NTU_RGBD, name="mine", joints=tuple(f"joint {i}" for i in range(25)))
    assert follow(config_of(name), renamed) == config


@pytest.mark.parametrize("name", ["stgcn", "aagcn"])
def test_the_graph_of_ntus_joints_is_mmaction2s_to_the_bit(name: str) -> None:
    from mmaction.models.utils import Graph
    from mmaction.registry import MODELS

    network = follow(config_of(name), NTU_RGBD)["model"]["backbone"]
    theirs = Graph(layout="nturgb+d", mode=network["graph_cfg"]["mode"]).A
    assert np.array_equal(MODELS.build(network).graph.A, theirs)


def test_every_config_is_held() -> None:
    assert sorted(BEFORE) == sorted(path.stem for path in FOLDER.glob("*.py"))


# -- joints in another order -------------------------------------------------------


@pytest.fixture
def shuffled() -> tuple[np.ndarray, JointLayout]:
    """A permutation of NTU's joints, and the layout that they have then."""
    order = np.random.default_rng(5).permutation(25)
    place = order.argsort()
    return order, JointLayout(
        "shuffled", tuple(NTU_RGBD.joints[i] for i in order),
        tuple((int(place[a]), int(place[b])) for a, b in NTU_RGBD.bones),
        int(place[NTU_RGBD.center]),
        *(tuple(int(place[i]) for i in pair)
          for pair in (NTU_RGBD.spine, NTU_RGBD.shoulders, NTU_RGBD.hips)),
    )


@pytest.mark.parametrize("step", [pre_normalize_3d, shift_gcn_normalize])
def test_normalizations_do_not_depend_on_the_order_of_the_joints(
    step: Any, shuffled: tuple[np.ndarray, JointLayout]
) -> None:
    order, layout = shuffled
    made = clip(1, 25, bodies=2)
    np.testing.assert_array_equal(step(made[:, :, order], layout=layout), step(made)[:, :, order])
    with pytest.raises(BadInput, match="clip: 25 joints, layout 'h36m-17' has 17"):
        step(made, layout="h36m-17")


def test_the_graph_does_not_depend_on_the_order_of_the_joints(
    shuffled: tuple[np.ndarray, JointLayout]
) -> None:
    from mmaction.models.utils import Graph

    def graph(layout: JointLayout, mode: str) -> np.ndarray:
        model = {"backbone": {"type": "STGCN", "graph_cfg": {"mode": mode}}}
        return Graph(**follow({"model": model}, layout)["model"]["backbone"]["graph_cfg"]).A

    order, layout = shuffled
    turned = dataclasses.replace(NTU_RGBD, center=0)  # so that mmaction2's own is not taken
    same = dataclasses.replace(layout, center=int(order.argsort()[0]))
    for mode in ("stgcn_spatial", "spatial"):
        np.testing.assert_array_equal(
            graph(same, mode), graph(turned, mode)[:, order][:, :, order])


# -- left and right, bones ---------------------------------------------------------


@pytest.mark.parametrize("layout", list(LAYOUTS.values()), ids=list(LAYOUTS))
def test_a_mirror_turns_each_left_joint_into_the_right_one_of_that_name(
    layout: JointLayout
) -> None:
    left, right = mirrored(layout)
    assert [layout.joints[i].replace("left", "right") for i in left] == [
        layout.joints[i] for i in right]
    assert {*left, *right} == {i for i, name in enumerate(layout.joints)
                               if "left" in name or "right" in name}
    nameless = dataclasses.replace(
        layout, joints=tuple(f"joint {i}" for i in range(layout.num_joints)))
    pairs = dict(zip(left, right))
    assert dict(zip(*mirrored(nameless))).items() <= pairs.items()
    assert {layout.shoulders, layout.hips} <= {*zip(*mirrored(nameless))}


def test_other_ways_to_name_sides() -> None:
    joints = ["Pelvis", "LHip", "RHip", "lumbar", "L_Shoulder", "R_Shoulder"]
    layout = layout_of({
        "joints": joints, "bones": [[1, 0], [2, 0], [3, 0], [4, 3], [5, 3]], "center": 3,
        "spine": [0, 3], "shoulders": [4, 5], "hips": [1, 2]})
    assert mirrored(layout) == ([1, 4], [2, 5])


def test_heatmaps_of_limbs_follow_too() -> None:
    target = {"type": "GeneratePoseTarget", "with_kp": False, "with_limb": True, "double": True}
    config = follow({"model": {"backbone": {"type": "X"}}, "test_pipeline": [target]}, OWN)
    (step,) = config["test_pipeline"]
    assert config["model"]["backbone"]["in_channels"] == len(step["skeletons"]) == 6
    sides = [[step["skeletons"][i] for i in step[name]] for name in ("left_limb", "right_limb")]
    assert sides == [[[2, 1], [5, 0]], [[3, 1], [6, 0]]]


def test_bone_features_follow_too() -> None:
    from zskel.extractors.dataset import build_transforms

    step = {"type": "GenSkeFeat", "feats": ["j", "b", "bm"]}
    config = follow({"model": {}, "train_pipeline": [step]}, OWN)
    made = clip(2, 7)
    found = build_transforms(config["train_pipeline"])({"keypoint": made.copy()})["keypoint"]
    bones = np.zeros_like(made)
    for child, parent in OWN.bones:
        bones[:, :, child] = made[:, :, child] - made[:, :, parent]
    motion = np.zeros_like(made)
    motion[:, :-1] = bones[:, 1:] - bones[:, :-1]
    np.testing.assert_array_equal(found, np.concatenate([made, bones, motion], axis=-1))


# -- what does not fit -------------------------------------------------------------

STEP = "step 'canonicalize'"


@pytest.mark.parametrize(("config", "says"), [
    ({"graph_cfg": {"layout": "nturgb+d"}},
     "graph_cfg.layout: 'nturgb+d' has 25 joints, the clips have 7 joints (layout 'own'); leave "),
    ({"graph_cfg": {"layout": "coco"}}, "graph_cfg.layout: 17 joints, the clips have 7 "),
    ({"graph_cfg": {"layout": {"num_node": 8}}}, "graph_cfg.layout: 8 joints, the clips have 7 "),
    ({"graph_cfg": {"layout": "ntu"}}, "layout 'ntu': "),
    ({"type": "ShiftGCN", "num_joints": 25}, "num_joints: 25 joints, the clips have 7 "),
    ({"in_channels": 17, "then": {"type": "GeneratePoseTarget"}},
     "in_channels: 17 channels for 7 heatmaps, the clips have 7 "),
    ({"then": {"type": "Flip", "left_kp": [1], "right_kp": [7]}}, "of Flip: joint 7, the clips "),
    ({"then": {"type": "GenSkeFeat", "dataset": "nturgb+d", "feats": ["b"]}},
     "dataset of GenSkeFeat: 'nturgb+d' has 25 joints, "),
    ({"then": {"type": "DataStep", "step": "canonicalize", "layout": "kinect-v1"}},
     f"layout of {STEP}: 'kinect-v1' has 20 joints, the clips have 7 "),
])
def test_what_does_not_fit_is_said_with_both_sizes(config: dict[str, Any], says: str) -> None:
    steps = [config.pop("then")] if "then" in config else []
    with pytest.raises(BadConfig) as raised:
        follow({"model": {"backbone": config}, "test_pipeline": steps}, OWN)
    assert says in str(raised.value)


def test_as_many_joints_with_other_bones_do_not_fit_either() -> None:
    def model(layout: Any) -> dict[str, Any]:
        return {"model": {"backbone": {"type": "STGCN", "graph_cfg": {"layout": layout}}}}

    with pytest.raises(BadConfig, match="'nturgb.d' has 25 joints with other bones, the clips hav"):
        follow(model("nturgb+d"), LAYOUTS["openpose-body25"])
    named = follow(model("kinect-v1"), LAYOUTS["kinect-v1"])["model"]["backbone"]["graph_cfg"]
    assert named["layout"]["num_node"] == 20


def test_a_network_of_ones_own_that_takes_other_joints_is_refused_before_training(
    tmp_path: Path
) -> None:
    from zskel.extractors.training import BackboneSpec, train_backbone

    store = store_of(LAYOUTS["h36m-17"], tmp_path)
    spec = BackboneSpec(**{**follow(shrunk("stgcn_tiny"), OWN), "prepare": []})
    says = "tiny does not take the clips of .*store.h5 .17 joints, layout 'h36m-17'.*51.*21"
    with pytest.raises(BadConfig, match=says):
        train_backbone(spec, store, np.arange(len(store)), (0, 1), tmp_path)
    assert not list(tmp_path.rglob("*.pth"))


@pytest.mark.parametrize("name", ["stgcn_tiny", "posec3d_cpu"])
def test_a_head_of_another_width_is_told_what_the_backbone_gives(
    name: str, tmp_path: Path
) -> None:
    from zskel.extractors.training import BackboneSpec, train_backbone

    store = store_of(NTU_RGBD, tmp_path)
    config = follow(shrunk(name), NTU_RGBD)
    model = config["model"]
    right = model["cls_head"]["in_channels"]
    wrong = {**config, "model": {**model, "cls_head": {**model["cls_head"], "in_channels": 999}}}
    says = (f"backbone.model.cls_head.in_channels: is 999, and the backbone of .* gives {right} "
            f"channels; set it to {right}")
    with pytest.raises(BadConfig, match=says):
        train_backbone(BackboneSpec(**wrong), store, np.arange(len(store)), (0, 1), tmp_path)


def test_an_error_without_words_is_told_by_its_place(tmp_path: Path) -> None:
    from zskel.extractors.training import BackboneSpec, train_backbone

    class Wordless(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ArithmeticError

    from mmaction.registry import MODELS

    MODELS.register_module(name="Wordless", module=Wordless, force=True)
    store = store_of(NTU_RGBD, tmp_path)
    config = follow(shrunk("stgcn_tiny"), NTU_RGBD)
    own = {**config, "model": {**config["model"], "backbone": {"type": "Wordless"}}}
    with pytest.raises(BadConfig, match=(
            r"ArithmeticError in test_layout.py, line \d+: raise ArithmeticError")):
        train_backbone(BackboneSpec(**own), store, np.arange(len(store)), (0, 1), tmp_path)


@pytest.mark.parametrize("name", ["stgcn_cpu", "aagcn_cpu", "shift_gcn_cpu", "posec3d_cpu"])
def test_weights_for_other_joints_are_refused_in_words(name: str, tmp_path: Path) -> None:
    from mmaction.registry import MODELS

    from zskel.extractors.features import load_model
    from zskel.extractors.training import BackboneSpec

    theirs, ours = (BackboneSpec(**follow(shrunk(name), layout)) for layout in (NTU_RGBD, OWN))
    path = tmp_path / "given.pth"
    torch.save(MODELS.build(theirs.model_config(3)).state_dict(), path)
    with pytest.raises(BadInput) as raised:
        load_model(ours, path, 3)
    assert str(raised.value) == (
        f"{path}: weights for clips of 25 joints do not fit {name.replace('_', '-')} with 3 "
        "classes, which takes 7 as the clips have; leave --weights out to train it, or map the "
        "clips to the layout of the weights")
