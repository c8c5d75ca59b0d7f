"""Training a backbone: it learns, and stopping it changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.common.errors import BadConfig, PipelineError
from zskel.data.store import SequenceStore

SEEN = (0, 2)

# mmengine names what it makes by the second, and warns when two trainings share one.
pytestmark = pytest.mark.filterwarnings("ignore:.*has been created:UserWarning")


class Stopped(Exception):
    pass


@pytest.fixture
def train(make_spec: Callable[..., Any], store: SequenceStore, rows: np.ndarray, tmp_path: Path
          ) -> Callable[..., Any]:
    """Trains in ``tmp_path``; stops after an epoch if asked to."""
    from zskel.extractors.training import train_backbone

    def run(stop_after: int | None = None, **changes: Any) -> Any:
        epochs = []

        def on_epoch(done: int, total: int, losses: Any) -> None:
            epochs.append(done)
            assert np.isfinite(losses["loss"])
            if done == stop_after:
                raise Stopped

        trained = train_backbone(make_spec(**changes), store, rows, SEEN, tmp_path, on_epoch)
        return trained, epochs

    return run


def weights(trained: Any) -> dict[str, np.ndarray]:
    import torch

    return {name: value.numpy() for name, value in
            torch.load(trained.weights, weights_only=True).items()}


def same(one: Any, other: Any) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(
        np.array_equal(ours[name], theirs[name]) for name in ours)


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoints-*/epoch_*.pth"))


def test_the_loss_falls(train: Callable[..., Any]) -> None:
    trained, epochs = train(epochs=24, param_scheduler=[])
    losses = [epoch["loss"] for epoch in trained.history]
    assert epochs == list(range(1, 25)) and len(losses) == 24
    assert np.mean(losses[-4:]) < 0.6 * losses[0]


def test_what_a_finished_training_leaves(trained: Any) -> None:
    folder = trained.weights.parent
    assert {path.name for path in folder.iterdir()} == {"weights.pth", "backbone.json", "logs"}
    summary = json.loads((folder / "backbone.json").read_text())
    assert summary["classes"] == [0, 2]
    assert summary["history"] == trained.history
    state = weights(trained)  # torch.load with weights_only=True
    assert state["cls_head.fc.weight"].shape == (2, 8)


@pytest.mark.parametrize("stop_after", [1, 2, 4])
def test_a_stopped_training_ends_bit_for_bit_like_an_undisturbed_one(
    train: Callable[..., Any], trained: Any, tmp_path: Path, stop_after: int
) -> None:
    with pytest.raises(Stopped):
        train(stop_after)
    names = [path.name for path in checkpoints(tmp_path)]
    assert names == [f"epoch_{e}.pth" for e in (stop_after - 1, stop_after) if e]
    again, epochs = train()
    assert epochs == list(range(stop_after + 1, 5))
    assert same(again, trained)
    assert again.history == trained.history
    assert not checkpoints(tmp_path)


def test_a_batch_that_does_not_fit_is_one_line_and_the_training_goes_on_later(
    train: Callable[..., Any], trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from mmaction.models.heads import GCNHead

    loss, calls = GCNHead.loss, []

    def runs_out(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:  # in the second of four epochs, of three batches each
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore")
        return loss(self, *arguments, **options)

    monkeypatch.setattr(GCNHead, "loss", runs_out)
    with pytest.raises(PipelineError, match=(
            r"a batch of 4 clips does not fit into memory \(CUDA out of memory.*batch_size to 2 "
            r".*accumulative_counts to 2.*kept in .*checkpoints-")) as caught:
        train()
    assert "\n" not in str(caught.value)
    assert [path.name for path in checkpoints(tmp_path)] == ["epoch_1.pth"]
    again, epochs = train()
    assert epochs == [2, 3, 4] and same(again, trained)


def test_an_operation_that_cannot_repeat_itself_is_one_line(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmaction.models.heads import GCNHead

    def refused(self: Any, *arguments: Any, **options: Any) -> Any:
        raise RuntimeError("grid_sampler_2d_backward_cuda does not have a deterministic "
                           "implementation, but you set ...")

    monkeypatch.setattr(GCNHead, "loss", refused)
    with pytest.raises(PipelineError, match="^--deterministic: grid_sampler_2d_backward_cuda"):
        train()


def heatmap_steps(**sampling: Any) -> list[dict[str, Any]]:
    return [
        {"type": "OrthographicView"}, {"type": "UniformSampleFrames", "clip_len": 4, **sampling},
        {"type": "PoseDecode"}, {"type": "PoseCompact", "hw_ratio": 1.0},
        {"type": "Resize", "scale": (12, 12), "keep_ratio": False}, {"type": "GeneratePoseTarget"},
        {"type": "FormatShape", "input_format": "NCTHW_Heatmap"}, {"type": "PackActionInputs"},
    ]


OTHERS: dict[str, dict[str, Any]] = {
    "shift-gcn": {
        "model": {
            "type": "RecognizerGCN",
            "backbone": {"type": "ShiftGCN", "channels": [6, 8], "strides": [1, 2],
                         "num_person": 1},
            "cls_head": {"type": "GCNHead", "in_channels": 8, "dropout": 0.2},
        },
    },
    "aagcn": {
        "model": {
            "type": "RecognizerGCN",
            "backbone": {"type": "AAGCN", "graph_cfg": {"layout": "nturgb+d", "mode": "spatial"},
                         "base_channels": 4, "num_stages": 2, "inflate_stages": [2],
                         "down_stages": [2], "num_person": 1},
            "cls_head": {"type": "GCNHead", "in_channels": 8},
        },
    },
    "posec3d": {
        "model": {
            "type": "Recognizer3D",
            "backbone": {"type": "ResNet3dSlowOnly", "depth": 50, "pretrained": None,
                         "in_channels": 25, "base_channels": 2, "num_stages": 2,
                         "out_indices": (1,), "stage_blocks": (1, 1), "conv1_stride_s": 1,
                         "pool1_stride_s": 1, "inflate": (0, 1), "spatial_strides": (2, 2),
                         "temporal_strides": (1, 1), "dilations": (1, 1)},
            "cls_head": {"type": "I3DHead", "in_channels": 16, "dropout_ratio": 0.5},
        },
        "prepare": [],
        "train_pipeline": [{"type": "RandomRotation3D"}, *heatmap_steps()],
        "test_pipeline": heatmap_steps(num_clips=2, test_mode=True),
    },
}


@pytest.mark.parametrize("backbone", sorted(OTHERS))
def test_so_do_the_other_backbones(
    make_spec: Callable[..., Any], train: Callable[..., Any], store: SequenceStore,
    rows: np.ndarray, tmp_path: Path, backbone: str,
) -> None:
    from zskel.extractors.training import train_backbone

    options = {**OTHERS[backbone], "epochs": 2, "learning_rate": 0.02}
    undisturbed = train_backbone(
        make_spec(**options), store, rows, SEEN, tmp_path / "undisturbed")
    with pytest.raises(Stopped):
        train(1, **options)
    again, epochs = train(**options)
    assert epochs == [2]
    assert same(again, undisturbed)
    assert again.history == undisturbed.history


def test_the_seed_decides_the_weights(train: Callable[..., Any], trained: Any) -> None:
    again, _ = train(seed=1)
    assert not same(again, trained)


@pytest.mark.parametrize("size", [0, 1000, -1])
def test_a_damaged_checkpoint_is_passed_over(
    train: Callable[..., Any], trained: Any, tmp_path: Path, size: int
) -> None:
    with pytest.raises(Stopped):
        train(3)
    newest = checkpoints(tmp_path)[-1]
    assert newest.name == "epoch_3.pth"
    newest.write_bytes(newest.read_bytes()[:size])
    again, epochs = train()
    assert epochs == [3, 4]
    assert same(again, trained)


def test_with_no_whole_checkpoint_it_starts_over(
    train: Callable[..., Any], trained: Any, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        train(2)
    for path in checkpoints(tmp_path):
        path.write_bytes(b"not a checkpoint")
    # What a process that is killed while it writes leaves behind.
    left = checkpoints(tmp_path)[0].parent / ".epoch_3.pth.abc.tmp"
    left.mkdir()
    (left / "epoch_3.pth").write_bytes(b"half of one")
    again, epochs = train()
    assert epochs == [1, 2, 3, 4]
    assert same(again, trained)
    assert not left.exists()


def test_a_loss_that_is_not_finite_is_one_line_and_keeps_good_checkpoints(
    train: Callable[..., Any], tmp_path: Path
) -> None:
    import torch

    # A good first epoch, then an absurd learning rate.
    steps = [{"type": "StepLR", "step_size": 1, "gamma": 1e32, "by_epoch": True}]
    with pytest.raises(PipelineError) as caught:
        train(learning_rate=0.01, param_scheduler=steps)
    message = str(caught.value)
    assert "\n" not in message and "epoch 2" in message and "learning rate" in message
    assert not (tmp_path / "weights.pth").exists() and not (tmp_path / "backbone.json").exists()
    assert [path.name for path in checkpoints(tmp_path)] == ["epoch_1.pth"]
    state = torch.load(checkpoints(tmp_path)[0], weights_only=True)["state_dict"]
    assert all(torch.isfinite(value).all() for value in state.values())


def test_weights_that_break_in_the_last_step_of_an_epoch_are_not_kept(
    train: Callable[..., Any], tmp_path: Path
) -> None:
    # One batch an epoch: its loss is computed before the step that ruins the weights.
    absurd = {"optimizer": {"type": "SGD", "lr": 1e38, "weight_decay": 1e6}}
    with pytest.raises(PipelineError, match="weight .* is not finite after epoch 1"):
        train(optim_wrapper=absurd, batch_size=64, epochs=1, param_scheduler=[])
    assert not checkpoints(tmp_path) and not (tmp_path / "weights.pth").exists()


def finished_copy(trained: Any, folder: Path) -> None:
    for name in ("weights.pth", "backbone.json"):
        shutil.copy2(trained.weights.parent / name, folder / name)


def test_a_finished_training_is_returned_as_it_is(
    train: Callable[..., Any], trained: Any, tmp_path: Path
) -> None:
    finished_copy(trained, tmp_path)
    again, epochs = train()
    assert epochs == []
    assert again.weights_sha256 == trained.weights_sha256 and again.history == trained.history


@pytest.mark.parametrize("change", ["spec", "weights", "summary"])
def test_files_of_another_training_are_not_taken_over(
    train: Callable[..., Any], trained: Any, tmp_path: Path, change: str
) -> None:
    finished_copy(trained, tmp_path)
    options = {}
    if change == "spec":
        options = {"batch_size": 5}
    elif change == "weights":
        (tmp_path / "weights.pth").write_bytes(b"others")
    else:
        (tmp_path / "backbone.json").write_text('{"digest": ')
    again, epochs = train(**options)
    assert epochs == [1, 2, 3, 4]
    assert same(again, trained) == (change != "spec")


def test_digest_depends_on_spec_clips_and_classes(
    make_spec: Callable[..., Any], store: SequenceStore, rows: np.ndarray
) -> None:
    spec = make_spec()
    digests = {
        spec.digest(store, rows, SEEN),
        spec.digest(store, rows[:-1], SEEN),
        spec.digest(store, rows, (0, 1, 2)),
        make_spec(learning_rate=0.2).digest(store, rows, SEEN),
        make_spec(seed=1).digest(store, rows, SEEN),
    }
    assert len(digests) == 5
    assert make_spec().digest(store, rows, SEEN) in digests


def test_clipped_gradients_move_the_weights_no_further_than_they_may(
    make_spec: Callable[..., Any], store: SequenceStore, rows: np.ndarray, tmp_path: Path
) -> None:
    from zskel.extractors.training import train_backbone

    def moved(**clipping: Any) -> float:
        states = []
        for rate in (0.0, 0.5):  # without a step, and with one
            wrapper = {"optimizer": {"type": "SGD", "lr": rate}, **clipping}
            spec = make_spec(optim_wrapper=wrapper, epochs=1, batch_size=64, param_scheduler=[])
            state = weights(train_backbone(spec, store, rows, SEEN, tmp_path / f"{rate}{clipping}"))
            states.append({n: v for n, v in state.items() if "running" not in n})
        return float(np.sqrt(sum(
            np.square(states[1][name].astype(np.float64) - value).sum()
            for name, value in states[0].items())))

    # One step of plain SGD goes learning rate times the norm of the gradient.
    assert moved() > 2 * 0.5 * 0.01
    assert moved(clip_grad={"max_norm": 0.01}) == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_mixed_precision_without_a_gpu_says_so_and_runs_in_float32(
    make_spec: Callable[..., Any], train: Callable[..., Any], trained: Any, tmp_path: Path
) -> None:
    from zskel.extractors.training import where

    amp = {**make_spec().optim_wrapper, "type": "AmpOptimWrapper", "dtype": "bfloat16",
           "loss_scale": "dynamic"}
    with pytest.warns(RuntimeWarning, match="AmpOptimWrapper needs a GPU.* CPU in float32"):
        again, _ = train(optim_wrapper=amp)
    assert same(again, trained)
    assert where(make_spec(optim_wrapper=amp)) == "runs on the CPU in float32: no GPU was found"
    summary = json.loads((tmp_path / "backbone.json").read_text())
    assert summary["ran_on"] == "runs on the CPU in float32: no GPU was found"


def test_how_clips_are_loaded_and_logged_changes_neither_weights_nor_digest(
    make_spec: Callable[..., Any], train: Callable[..., Any], trained: Any, store: SequenceStore,
    rows: np.ndarray, tmp_path: Path,
) -> None:
    backend = {"type": "LocalVisBackend", "scalar_save_file": "own.json"}
    options = {"num_workers": 1, "vis_backends": [backend]}
    again, _ = train(**options)
    assert same(again, trained)
    assert make_spec(**options).digest(store, rows, SEEN) == make_spec().digest(store, rows, SEEN)
    assert list((tmp_path / "logs").rglob("own.json"))


def test_tensorboard_that_is_not_installed_is_one_line(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadConfig, match="needs the package tensorboard") as caught:
        train(vis_backends=[{"type": "TensorboardVisBackend"}])
    assert "\n" not in str(caught.value)


def test_tensorboard_gets_the_losses(train: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")
    train(vis_backends=[{"type": "TensorboardVisBackend"}], epochs=1)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = (tmp_path / "logs").rglob("events.out.tfevents*")
    told = EventAccumulator(str(events.parent))
    told.Reload()
    assert any("loss" in tag for tag in told.Tags()["scalars"]), told.Tags()


@pytest.mark.parametrize("changes", [
    {"model": {"type": "RecognizerGCN", "backbone": {"type": "STGCN"}}},
    {"model": {"type": "RecognizerGCN",
               "backbone": {"type": "STGCN",
                            "graph_cfg": {"layout": "nturgb+d", "mode": "stgcn_spatial"}},
               "cls_head": {"type": "FeatureHead"}}},
    {"model": {"type": "NoSuchModel", "cls_head": {"type": "GCNHead", "in_channels": 8}}},
    {"model": {"type": "RecognizerGCN", "backbone": {"type": "STGCN", "channels": 3},
               "cls_head": {"type": "GCNHead", "in_channels": 8}}},
    {"optim_wrapper": {"optimizer": {"type": "NoSuchOptimizer"}}},
])
def test_a_wrong_model_config_is_one_line(
    train: Callable[..., Any], changes: dict[str, Any]
) -> None:
    with pytest.raises(BadConfig, match="^backbone: "):
        train(**changes)
