"""Every backbone config builds, and the weights of mmaction2's model zoo fit ours."""

from __future__ import annotations

import runpy
import warnings
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import mmaction
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub

from zskel.data.common.errors import BadInput
from zskel.data.skeleton import NTU_RGBD
from zskel.extractors.dataset import build_transforms
from zskel.extractors.features import load_model
from zskel.extractors.layout import follow
from zskel.extractors.mm import register
from zskel.extractors.training import BackboneSpec
from zskel.extractors.weights import head_classes, read_state
from zskel.pipeline.base.config import BackboneConfig, load_section

FOLDER = Path(str(resources.files("zskel.configs"))) / "_base_" / "backbones"
ZOO = Path(mmaction.__file__).parent / ".mim" / "configs" / "skeleton"
PUBLISHED = {
    "stgcn": "stgcn/stgcn_8xb16-joint-u100-80e_ntu60-xsub-keypoint-3d.py",
    "stgcnpp": "stgcnpp/stgcnpp_8xb16-joint-u100-80e_ntu60-xsub-keypoint-3d.py",
    "agcn": "2s-agcn/2s-agcn_8xb16-joint-u100-80e_ntu60-xsub-keypoint-3d.py",
}
DIMENSIONS = {"posec3d": 512, "posec3d_cpu": 512}


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    register()


def spec_of(name: str) -> BackboneSpec:
    config = load_section(FOLDER / f"{name}.py", "backbone", BackboneConfig)
    return BackboneSpec(**follow(config.model_dump(), NTU_RGBD))


def sample(frames: int = 40) -> dict[str, Any]:
    keypoint = np.random.default_rng(0).normal(size=(2, frames, 25, 3)).astype(np.float32)
    keypoint[1, 10:] = 0
    return {"keypoint": keypoint, "total_frames": frames, "label": 1, "start_index": 0,
            "modality": "Pose"}


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_a_clip_goes_through_each_pipeline_and_the_head_reads_f_x(name: str) -> None:
    from mmaction.registry import MODELS

    from zskel.extractors.inference import Direct

    spec = spec_of(name)
    assert spec.name == name.replace("_", "-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MODELS.build(spec.model_config(7, np.eye(7))).eval()
    prepared = build_transforms(spec.prepare)(sample())
    for pipeline in (spec.train_pipeline, spec.test_pipeline):
        clip = build_transforms(pipeline)(dict(prepared))["inputs"].float()
    with torch.inference_mode():
        f_x, logits = Direct(model)(clip[None, :1])
    assert f_x.shape == (1, DIMENSIONS.get(name, 256)) and logits.shape == (1, 7)
    assert torch.isfinite(f_x).all()


def zoo(name: str) -> Config:
    return Config.fromfile(ZOO / PUBLISHED[name])


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, torch.Tensor]]]:
    """Writes a checkpoint as mmengine does, of a model of the zoo with 60 classes."""
    from mmaction.registry import MODELS

    def write(name: str) -> tuple[Path, dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        config = zoo(name)
        state = MODELS.build(config.model).state_dict()
        state = {key: torch.rand_like(value) if value.is_floating_point() else value
                 for key, value in state.items()}
        hub = MessageHub.get_instance(f"published-{name}")
        for value in (2.0, 1.0):
            hub.update_scalar("train/loss", value)
            hub.update_scalar("val/acc/top1", np.float64(value / 4))
        hub.update_info_dict({"epoch": 15, "iter": 100, "cfg": config.pretty_text,
                              "best_score": np.float64(0.5)})
        path = tmp_path / f"{name}.pth"
        torch.save({
            "meta": {"epoch": 16, "iter": 100, "seed": 1, "cfg": config.pretty_text,
                     "experiment_name": name, "time": "20221129_000000",
                     "mmengine_version": "0.3.1", "dataset_meta": {}, "hook_msgs": {}},
            "state_dict": state, "message_hub": hub.state_dict(),
        }, path, _use_new_zipfile_serialization=False)
        return path, state

    return write


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_weights_of_the_model_zoo_fit(
    publish: Callable[..., tuple[Path, dict[str, torch.Tensor]]], name: str
) -> None:
    path, state = publish(name)
    assert head_classes(read_state(path), path) == 60
    loaded = load_model(spec_of(name), path, 60).state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_weights_of_another_architecture_do_not(
    publish: Callable[..., tuple[Path, dict[str, torch.Tensor]]]
) -> None:
    path, _ = publish("stgcnpp")
    with pytest.raises(BadInput, match="stgcnpp.pth: does not fit stgcn with 60 classes"):
        load_model(spec_of("stgcn"), path, 60)


def test_a_checkpoint_saved_under_numpy_1_loads(
    publish: Callable[..., tuple[Path, dict[str, torch.Tensor]]], tmp_path: Path
) -> None:
    path, state = publish("stgcn")
    content = path.read_bytes().replace(b"numpy._core", b"numpy.core")
    (tmp_path / "old.pth").write_bytes(content)
    assert b"numpy.core.multiarray" in content
    assert read_state(tmp_path / "old.pth").keys() == state.keys()


@pytest.mark.parametrize("name", sorted(PUBLISHED))
@pytest.mark.parametrize("frames", [40, 130, 250])
def test_the_input_is_that_of_the_model_zoo(name: str, frames: int) -> None:
    spec, config = spec_of(name), zoo(name)
    theirs = build_transforms(config.val_pipeline)(sample(frames))["inputs"]
    ours = build_transforms([*spec.prepare, *spec.test_pipeline])(sample(frames))["inputs"]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    states = []
    for pipeline in ([*spec.prepare, *spec.train_pipeline], config.train_pipeline):
        np.random.seed(3)
        states.append(build_transforms(pipeline)(sample(frames))["inputs"])
    np.testing.assert_allclose(*states, atol=1e-5)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_recipe_is_that_of_the_model_zoo(name: str) -> None:
    spec, config = spec_of(name), zoo(name)
    assert dict(spec.optim_wrapper["optimizer"]) == dict(config.optim_wrapper.optimizer)
    assert spec.batch_size == config.train_dataloader.batch_size
    passes = config.train_cfg.max_epochs * config.train_dataloader.dataset.times
    assert spec.epochs == passes


def test_posec3d_is_the_network_of_the_model_zoo_but_for_its_joints() -> None:
    config = Config.fromfile(
        ZOO / "posec3d" / "slowonly_r50_8xb16-u48-240e_ntu60-xsub-keypoint.py")
    spec = spec_of("posec3d")
    theirs, ours = dict(config.model.backbone), dict(spec.model["backbone"])
    assert theirs.pop("in_channels") == 17 and ours.pop("in_channels") == 25
    assert ours == theirs
    assert spec.model["cls_head"]["in_channels"] == config.model.cls_head.in_channels == 512
    steps = [step["type"] for step in spec.train_pipeline]
    assert steps == [step.type for step in config.train_pipeline]
    assert [step["type"] for step in spec.test_pipeline] == [
        step.type for step in config.test_pipeline]


def test_how_clips_are_loaded_and_logged_is_no_part_of_what_digests_hold() -> None:
    config = load_section(FOLDER / "stgcn_tiny.py", "backbone", BackboneConfig)
    aside = {"num_workers": 2, "vis_backends": [{"type": "TensorboardVisBackend"}]}
    watched = BackboneConfig(**{**config.model_dump(), **aside})
    assert watched.model_dump(mode="json") == config.model_dump(mode="json")
    assert not aside.keys() & config.model_dump(mode="json").keys()
    spec = BackboneSpec(**watched.model_dump())
    assert (spec.num_workers, spec.vis_backends) == tuple(aside.values())


@pytest.mark.filterwarnings("ignore:.*has been created:UserWarning")
def test_the_benchmark_says_first_on_what_it_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", "--backbone", "stgcn_tiny", "--clips", "10",
                                     "--amp"])
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "train.py"
    runpy.run_path(str(path), run_name="__main__")
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "runs on the CPU in float32: no GPU was found"
    (row,) = (line for line in rest if "stgcn_tiny" in line)
    assert float(row.split("│")[-2]) > 0
