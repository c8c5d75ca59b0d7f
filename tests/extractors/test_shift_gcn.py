"""Shift-GCN: its published weights, its network by plain numpy, its training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_shift_gcn import STRIDES, State, published

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.store import SequenceStore
from zskel.extractors.mm import register


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    register()


def recognizer(classes: int = 60, dim: int = 256, **backbone: Any) -> torch.nn.Module:
    from mmaction.registry import MODELS

    return MODELS.build({
        "type": "RecognizerGCN", "backbone": {"type": "ShiftGCN", **backbone},
        "cls_head": {"type": "GCNHead", "num_classes": classes, "in_channels": dim},
    }).eval()


def load_published(*arguments: Any) -> State:
    from zskel.extractors.backbones.shift_gcn_weights import load_published as load

    return load(*arguments)


@pytest.mark.parametrize("classes", [60, 120])
@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_files_load_strictly(
    tmp_path: Path, classes: int, new_format: bool, prefix: str
) -> None:
    from zskel.extractors.backbones.shift_gcn_weights import is_published
    from zskel.extractors.weights import read_state

    state = {prefix + name: value for name, value in published(classes).items()}
    torch.save(state, tmp_path / "weights.pt", _use_new_zipfile_serialization=new_format)
    assert (tmp_path / "weights.pt").read_bytes().startswith(b"PK") == new_format
    assert is_published(state)
    model = recognizer(classes)
    read = read_state(tmp_path / "weights.pt")
    ours = load_published(read, model)
    model.load_state_dict(ours, strict=True)
    assert not is_published(ours)
    loaded = model.state_dict()
    assert loaded.keys() == ours.keys() == load_published(read).keys()
    for name, value in state.items():
        name = name.removeprefix("module.")
        owner = "cls_head." if name.startswith("fc.") else "backbone."
        assert torch.equal(loaded[owner + name], value), name


def test_the_networks_own_names_are_the_published_ones() -> None:
    ours = recognizer(60).state_dict()
    theirs = published(60)
    assert {name.split(".", 1)[1]: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items()}
    for name, value in theirs.items():
        if name.endswith(("gcn1.shift_in", "gcn1.shift_out")):
            assert torch.equal(ours[f"backbone.{name}"], value)


def test_counts_that_old_pytorch_did_not_save_may_be_missing() -> None:
    state = {name: value for name, value in published(60).items() if "num_batches" not in name}
    recognizer(60).load_state_dict(load_published(state), strict=True)


def changed(**changes: Any) -> State:
    """Published, but: a value replaces, None removes, a function changes."""
    state = published(60)
    for name, change in changes.items():
        if change is None:
            del state[name]
        else:
            state[name] = change(state[name]) if callable(change) else change
    return state


@pytest.mark.parametrize(("changes", "message"), [
    ({"l3.tcn1.bn2.bias": None}, "1 missing, first 'l3.tcn1.bn2.bias'"),
    ({"l3.tcn1.bn3.bias": torch.ones(64), "l3.tcn1.bn2.bias": None},
     "1 unknown, first 'l3.tcn1.bn3.bias' .for 'l3.tcn1.bn2.bias'"),
    ({"l11.gcn1.Linear_bias": torch.ones(1, 1, 256)}, "1 unknown, first 'l11.gcn1.Linear_bias'"),
    ({"l5.gcn1.Linear_weight": lambda w: w.T}, r"Linear_weight has shape \[128, 64\], expected "
                                               r"\[64, 128\]"),
    ({"fc.bias": torch.ones(59)}, r"fc.bias has shape \[59\], expected \[60\]"),
    ({"data_bn.bias": torch.ones(75)}, r"data_bn.bias has shape \[75\], expected \[150\]"),
    ({"l2.gcn1.shift_in": lambda index: index.roll(1)}, "l2.gcn1.shift_in is another permutation"),
    ({"l2.gcn1.shift_out": lambda index: index.flip(0)}, "l2.gcn1.shift_out is another"),
    ({"l4.tcn1.shift_in.xpos": torch.full((64,), 0.3)}, "l4.tcn1.shift_in.xpos shifts along the "
                                                       "joints by 0.3"),
    ({"epoch": 3}, "state dict of tensors only"),
])
def test_other_state_dicts_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        load_published(changed(**changes))
    assert "\n" not in str(caught.value)


def test_a_number_of_classes_that_does_not_fit_is_refused() -> None:
    from zskel.extractors.weights import load_into

    message = r"w.pt: fc.weight has shape \[120, 256\], expected \[60, 256\]"
    with pytest.raises(BadInput, match=message):
        load_into(recognizer(60), published(120), "w.pt", "shift-gcn")


# -- the whole network, by plain numpy ------------------------------------------------


def by_hand(state: State, clip: np.ndarray, strides: tuple[int, ...]) -> np.ndarray:
    """``[M, T, V, 3]`` to the feature ``[C]``, in float64 from a published state dict."""
    p = {name: value.double().numpy() for name, value in state.items()}

    def norm(name: str, x: np.ndarray) -> np.ndarray:  # features in the last axis
        scale = p[f"{name}.weight"] / np.sqrt(p[f"{name}.running_var"] + 1e-5)
        return (x - p[f"{name}.running_mean"]) * scale + p[f"{name}.bias"]

    def pointwise(name: str, x: np.ndarray) -> np.ndarray:
        return x @ p[f"{name}.weight"][:, :, 0, 0].T + p[f"{name}.bias"]

    def in_time(name: str, x: np.ndarray, stride: int) -> np.ndarray:
        start = np.arange(0, len(x), stride) + (0.5 if stride == 2 else 0)
        padded = np.pad(x, ((1, 1), (0, 0), (0, 0)))
        times = np.arange(-1, len(x) + 1)
        shifted = [[np.interp(start + offset, times, padded[:, v, c], left=0, right=0)
                    for c, offset in enumerate(p[f"{name}.ypos"])] for v in range(x.shape[1])]
        return np.array(shifted).transpose(2, 0, 1)

    def across_joints(x: np.ndarray, direction: int) -> np.ndarray:
        return np.stack([np.roll(x[:, :, j], -direction * j, axis=1)
                         for j in range(x.shape[2])], axis=2)

    bodies, frames, joints, axes = clip.shape
    normal = norm("data_bn", clip.transpose(1, 0, 2, 3).reshape(frames, -1).astype(np.float64))
    pooled = []
    for x in normal.reshape(frames, bodies, joints, axes).transpose(1, 0, 2, 3):
        for block, stride in enumerate(strides, 1):
            g, t = f"l{block}.gcn1", f"l{block}.tcn1"
            y = across_joints(x, 1) * (np.tanh(p[f"{g}.Feature_Mask"]) + 1)
            y = across_joints(y @ p[f"{g}.Linear_weight"] + p[f"{g}.Linear_bias"], -1)
            y = norm(f"{g}.bn", y.reshape(len(y), -1)).reshape(y.shape)
            down = f"{g}.down.0.weight" in p
            y = np.maximum(
                y + (norm(f"{g}.down.1", pointwise(f"{g}.down.0", x)) if down else x), 0)
            y = in_time(f"{t}.shift_in", norm(f"{t}.bn", y), 1)
            y = np.maximum(pointwise(f"{t}.temporal_linear", y), 0)
            y = norm(f"{t}.bn2", in_time(f"{t}.shift_out", y, stride))
            if block > 1:
                project = f"l{block}.residual.conv.weight" in p
                r = f"l{block}.residual"
                y = y + (norm(f"{r}.bn", pointwise(f"{r}.conv", x[::stride])) if project else x)
            x = np.maximum(y, 0)
        pooled.append(x.mean(axis=(0, 1)))
    return np.mean(pooled, axis=0)


SMALL = [((5, 7), (1, 2)), ((30, 30), (1, 1)), ((4, 4, 6), (1, 2, 1))]


@pytest.mark.parametrize(("channels", "strides"), SMALL)
@pytest.mark.parametrize("frames", [8, 9])
def test_the_network_by_plain_numpy(
    channels: tuple[int, ...], strides: tuple[int, ...], frames: int
) -> None:
    state = published(11, channels, strides)
    model = recognizer(11, channels[-1], channels=channels, strides=strides)
    model.load_state_dict(load_published(state, model), strict=True)
    clips = np.random.default_rng(frames).normal(size=(3, 2, frames, 25, 3)).astype(np.float32)
    expected = np.stack([by_hand(state, clip, strides) for clip in clips])
    with torch.inference_mode():
        output = model.backbone(torch.from_numpy(clips))
        logits = model.cls_head(output)
    reduced = frames
    for stride in strides:
        reduced = -(-reduced // stride)
    assert output.shape == (3, 2, channels[-1], reduced, 25)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(output.mean(dim=(1, 3, 4)), expected, atol=1e-4)
    by_head = expected @ state["fc.weight"].double().numpy().T + state["fc.bias"].numpy()
    np.testing.assert_allclose(logits, by_head, atol=1e-4)


def test_the_published_network_by_plain_numpy() -> None:
    state = published(60)
    model = recognizer(60)
    model.load_state_dict(load_published(state), strict=True)
    clip = np.random.default_rng(0).normal(size=(2, 12, 25, 3)).astype(np.float32)
    expected = by_hand(state, clip, STRIDES)
    with torch.inference_mode():
        f_x = model.backbone(torch.from_numpy(clip)[None]).mean(dim=(1, 3, 4))[0].numpy()
    assert f_x.shape == (256,)
    np.testing.assert_allclose(f_x, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_one_person_is_the_published_networks_first_person() -> None:
    state = published(60)
    two, one = recognizer(60), recognizer(60, num_person=1)
    two.load_state_dict(load_published(state, two))
    one.load_state_dict(load_published(state, one))
    clips = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 2, 8, 25, 3)))
    with torch.inference_mode():
        both = two.backbone(clips.float())
        first = one.backbone(clips[:, :1].float())
    scale = float(both.abs().max())
    assert torch.allclose(first[:, 0], both[:, 0], atol=1e-5 * scale)
    assert not torch.allclose(first[:, 0], both[:, 1], atol=1e-2 * scale)


def test_impossible_networks_and_clips_are_refused() -> None:
    with pytest.raises(BadConfig, match="2 channels and 10 strides"):
        recognizer(channels=(8, 8))
    with pytest.raises(BadConfig, match="clips have 1 bodies, expected 2"):
        recognizer().backbone(torch.zeros(1, 1, 4, 25, 3))


# -- training and extraction ---------------------------------------------------------


def test_every_parameter_but_the_joint_offsets_gets_a_gradient() -> None:
    model = recognizer(3, 6, channels=(4, 6), strides=(1, 2)).train()
    clips = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 2, 6, 25, 3))).float()
    model.cls_head(model.backbone(clips)).square().sum().backward()
    for name, parameter in model.named_parameters():
        if name.endswith("xpos"):
            assert not parameter.requires_grad
        else:
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@pytest.fixture(scope="module")
def shift_spec(make_spec: Callable[..., Any]) -> Any:
    return make_spec(
        name="shift-tiny", epochs=20, batch_size=12, learning_rate=0.1, param_scheduler=[],
        model={
            "type": "RecognizerGCN",
            "backbone": {"type": "ShiftGCN", "channels": [16, 24], "strides": [1, 2],
                         "num_person": 1},
            "cls_head": {"type": "GCNHead", "in_channels": 24},
        },
        # A dozen clips of random poses are too few to learn from under augmentation.
        train_pipeline=make_spec().test_pipeline,
    )


def test_it_learns_and_gives_features(
    shift_spec: Any, store: SequenceStore, rows: np.ndarray, tmp_path: Path
) -> None:
    from zskel.extractors.features import extract_features, load_model
    from zskel.extractors.training import train_backbone

    trained = train_backbone(shift_spec, store, rows, (0, 2), tmp_path)
    losses = [epoch["loss"] for epoch in trained.history]
    assert losses[-1] < 0.6 * losses[0]
    model = load_model(shift_spec, trained.weights, 2)
    f_x, logits = extract_features(model, shift_spec, store, rows)
    assert f_x.shape == (len(rows), 24) and logits.shape == (len(rows), 2)
    accuracy = (np.array([0, 2])[logits.argmax(axis=1)] == store.label[rows]).mean()
    assert accuracy >= 0.75
    offsets = model.backbone.l2.tcn1.shift_in
    assert offsets.xpos.abs().max() == 0 and (offsets.ypos % 1 != 0).all()


@pytest.mark.parametrize("name", ["shift_gcn", "shift_gcn_cpu"])
def test_the_configs_build_and_give_256_dimensions(name: str) -> None:
    from mmaction.registry import MODELS
    from mmengine.config import Config

    from zskel.extractors.dataset import build_transforms
    from zskel.extractors.training import BackboneSpec

    root = Path(__file__).resolve().parents[2]
    path = root / "configs" / "_base_" / "backbones" / f"{name}.py"
    spec = BackboneSpec(**Config.fromfile(path).to_dict()["backbone"])
    keypoint = np.random.default_rng(0).normal(size=(2, 40, 25, 3)).astype(np.float32)
    sample = {"keypoint": keypoint, "total_frames": 40, "label": 1, "start_index": 0,
              "modality": "Pose"}
    prepared = build_transforms(spec.prepare)(dict(sample))
    model = MODELS.build(spec.model_config(60)).eval()
    for pipeline in (spec.train_pipeline, spec.test_pipeline):
        clip = build_transforms(pipeline)(dict(prepared))["inputs"]
        with torch.inference_mode():
            features = model(clip[None].float(), mode="tensor")
        assert features.shape[2] == 256 == spec.model["cls_head"]["in_channels"]
    if name == "shift_gcn":
        assert clip.shape == (1, 2, 300, 25, 3)
        model.load_state_dict(load_published(published(60), model), strict=True)
