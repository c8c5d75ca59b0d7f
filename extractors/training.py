"""Trains a backbone on the seen classes with mmengine's Runner."""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from data.errors import BadConfig, PipelineError
from data.files import atomic_path, digest_file, digest_json, write_json
from data.store import SequenceStore
from extractors.dataset import EpochSampler, StoreClips

EpochProgress = Callable[[int, int, Mapping[str, float]], None]


@dataclass(frozen=True)
class BackboneSpec:
    """Everything that decides a backbone's weights, except the clips.

    Attributes:
        name: "stgcn", ...: goes into the caches.
        model: mmaction2 recognizer config; its head's ``num_classes`` is set to
            the number of seen classes.
        prepare, train_pipeline, test_pipeline: mmaction2 transforms:
            deterministic ones applied once, then those of each phase.
        epochs, batch_size: Of the training.
        optim_wrapper, param_scheduler: mmengine configs.
        seed: Of the initial weights, shuffling and augmentation.
    """

    name: str
    model: Mapping[str, Any]
    prepare: list[dict[str, Any]]
    train_pipeline: list[dict[str, Any]]
    test_pipeline: list[dict[str, Any]]
    epochs: int
    batch_size: int
    optim_wrapper: Mapping[str, Any]
    param_scheduler: list[dict[str, Any]]
    seed: int = 0

    def model_config(self, num_classes: int) -> dict[str, Any]:
        """The recognizer's config for a number of classes."""
        model = copy.deepcopy(dict(self.model))
        model["cls_head"] = {**model["cls_head"], "num_classes": num_classes}
        return model

    def digest(self, store: SequenceStore, rows: np.ndarray, classes: tuple[int, ...]) -> str:
        """Names the weights that training on these rows of this store gives."""
        return digest_json({
            "spec": asdict(self), "store": store.digest,
            "samples": store.sample_id[rows].tolist(), "classes": list(classes),
        })


@dataclass(frozen=True)
class TrainedBackbone:
    """A finished training.

    Attributes:
        weights: File of the model's state dict.
        weights_sha256: Of that file.
        classes: Class index of each output column.
        history: One dict of mean losses and accuracy an epoch.
    """

    weights: Path
    weights_sha256: str
    classes: tuple[int, ...]
    history: list[dict[str, float]]


def train_backbone(
    spec: BackboneSpec,
    store: SequenceStore,
    rows: np.ndarray,
    classes: tuple[int, ...],
    folder: str | os.PathLike[str],
    on_epoch: EpochProgress | None = None,
) -> TrainedBackbone:
    """Trains on the given rows, or goes on, or returns what is there already.

    ``folder`` holds a checkpoint per epoch while the training runs (the last
    two are kept), then ``weights.pth`` (a state dict) and ``backbone.json``.
    Files of another training (by digest) are started over.

    Args:
        spec: What to train.
        store: Where the clips are.
        rows: Store rows to train on; their labels must all be in ``classes``.
        classes: Class index of each output column.
        folder: Where it works.
        on_epoch: Called after each epoch with (epochs done, in all, its losses).

    Raises:
        BadConfig: The model, a transform or the optimizer cannot be built.
        PipelineError: A loss or a weight is not finite.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    digest = spec.digest(store, rows, classes)
    summary = folder / "backbone.json"
    finished = _finished(folder, summary, digest)
    if finished is not None:
        return finished
    checkpoints = folder / f"checkpoints-{digest[:16]}"
    try:
        runner = _runner(spec, store, rows, classes, folder, checkpoints, on_epoch)
    except PipelineError:
        raise
    except Exception as error:  # model and optimizer are the config's: any of it can be wrong
        raise BadConfig(f"backbone: {error.args[0] if error.args else error!r}") from None
    newest = _newest_whole_checkpoint(checkpoints)
    if newest is not None:
        runner.load_or_resume = lambda: runner.resume(str(newest))  # type: ignore[method-assign]
    runner.train()
    history = runner.epoch_history
    model = runner.model.module if hasattr(runner.model, "module") else runner.model
    weights = folder / "weights.pth"
    summary.unlink(missing_ok=True)
    with atomic_path(weights) as temporary:
        torch.save({k: v.cpu() for k, v in model.state_dict().items()}, temporary)
    trained = TrainedBackbone(weights, digest_file(weights), classes, history)
    write_json(summary, {
        "digest": digest, "name": spec.name, "classes": list(classes),
        "weights_sha256": trained.weights_sha256, "history": history,
    })
    # Not only checkpoints: a killed run leaves the temporary folder it wrote to.
    shutil.rmtree(checkpoints, ignore_errors=True)
    return trained


def _finished(folder: Path, summary: Path, digest: str) -> TrainedBackbone | None:
    weights = folder / "weights.pth"
    if not (summary.is_file() and weights.is_file()):
        return None
    try:
        content = json.loads(summary.read_text(encoding="utf-8"))
        if content["digest"] != digest or content["weights_sha256"] != digest_file(weights):
            return None
        return TrainedBackbone(
            weights, content["weights_sha256"], tuple(content["classes"]), content["history"]
        )
    except (ValueError, KeyError, TypeError):
        return None  # a damaged summary vouches for nothing: train again


class _QuietRunner(Runner):
    """A Runner that logs to its file and leaves the terminal alone."""

    epoch_history: list[dict[str, float]]

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.setLevel(logging.ERROR)
        return logger


def _runner(
    spec: BackboneSpec, store: SequenceStore, rows: np.ndarray, classes: tuple[int, ...],
    folder: Path, checkpoints: Path, on_epoch: EpochProgress | None,
) -> _QuietRunner:
    columns = np.searchsorted(classes, store.label[rows])
    dataset = StoreClips(store, rows, columns, spec.prepare, spec.train_pipeline, spec.seed)
    loader = DataLoader(
        dataset, spec.batch_size, sampler=EpochSampler(len(dataset), spec.seed),
        collate_fn=pseudo_collate,
    )
    runner = _QuietRunner(
        model=spec.model_config(len(classes)),
        work_dir=str(folder / "logs"),
        train_dataloader=loader,
        train_cfg={"by_epoch": True, "max_epochs": spec.epochs},
        optim_wrapper=copy.deepcopy(dict(spec.optim_wrapper)),
        param_scheduler=copy.deepcopy(spec.param_scheduler),
        default_hooks={"checkpoint": None, "logger": {"type": "LoggerHook", "interval": 50}},
        custom_hooks=[_EpochHook(spec.seed, checkpoints, on_epoch)],
        randomness={"seed": spec.seed},
        default_scope="mmaction",
        experiment_name=f"{spec.name}-{folder.name}",
    )
    runner.epoch_history = []
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    return runner


class _EpochHook(Hook):
    """Per epoch: seeds, checks that losses are finite, saves, tells.

    Everything a checkpoint holds is tensors and plain Python values, so it
    loads with ``weights_only=True`` and no exceptions to that.
    """

    priority = "LOWEST"

    def __init__(self, seed: int, folder: Path, on_epoch: EpochProgress | None) -> None:
        self._seed, self._folder, self._on_epoch = seed, folder, on_epoch
        self._sums: dict[str, float] = {}

    def before_train_epoch(self, runner: _QuietRunner) -> None:
        self._sums = {"batches": 0.0}
        # Dropout draws are then those of this epoch, however it was reached.
        torch.manual_seed(self._seed * 1_000_003 + runner.epoch)

    def after_train_iter(
        self, runner: _QuietRunner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        for name, value in (outputs or {}).items():
            value = float(value.detach() if isinstance(value, torch.Tensor) else value)
            if not np.isfinite(value):
                raise PipelineError(self._diverged(
                    f"{name} is {value} in epoch {runner.epoch + 1}, batch {batch_idx + 1}"))
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._sums["batches"] += 1

    def after_train_epoch(self, runner: _QuietRunner) -> None:
        batches = self._sums.pop("batches")
        losses = {name: total / batches for name, total in self._sums.items()}
        runner.epoch_history.append(losses)
        epoch = runner.epoch + 1
        for name, tensor in runner.model.state_dict().items():
            # The last step of an epoch can break what no later loss has shown yet.
            if not torch.isfinite(tensor).all():
                raise PipelineError(self._diverged(
                    f"weight {name} is not finite after epoch {epoch}"))
        with atomic_path(self._folder / f"epoch_{epoch}.pth") as temporary:
            runner.save_checkpoint(str(temporary.parent), temporary.name)
        for old in self._folder.glob("epoch_*.pth"):
            if _epoch_of(old) < epoch - 1:
                old.unlink()
        if self._on_epoch is not None:
            self._on_epoch(epoch, runner.max_epochs, losses)

    def _diverged(self, what: str) -> str:
        return (f"backbone training: {what}; lower the learning rate or clip gradients "
                "(backbone.optim_wrapper.clip_grad). Checkpoints of good epochs are kept in "
                f"{self._folder}")

    def before_save_checkpoint(self, runner: _QuietRunner, checkpoint: dict) -> None:
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
        checkpoint["meta"]["epoch_history"] = copy.deepcopy(runner.epoch_history)

    def after_load_checkpoint(self, runner: _QuietRunner, checkpoint: dict) -> None:
        runner.epoch_history = checkpoint["meta"]["epoch_history"]


def _epoch_of(path: Path) -> int:
    return int(path.stem.split("_")[1])


def _newest_whole_checkpoint(folder: Path) -> Path | None:
    for path in sorted(folder.glob("epoch_*.pth"), key=_epoch_of, reverse=True):
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # a damaged file can fail in any layer of the unpickler
            continue
        return path
    return None
