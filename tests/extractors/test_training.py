"""Training a backbone: it learns, and stopping it changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import BadConfig, PipelineError
from data.store import SequenceStore

SEEN = (0, 2)

# mmengine names what it makes by the second, and warns when two trainings share one.
pytestmark = pytest.mark.filterwarnings("ignore:.*has been created:UserWarning")


class Stopped(Exception):
    pass


@pytest.fixture
def train(make_spec: Callable[..., Any], store: SequenceStore, rows: np.ndarray, tmp_path: Path
          ) -> Callable[..., Any]:
    """Trains in ``tmp_path``; stops after an epoch if asked to."""
    from extractors.training import train_backbone

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


@pytest.mark.parametrize("changes", [
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
