"""mmengine's Runner as a backbone's training needs it: quiet, checked, repeatable."""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from zskel.data.common.errors import BadConfig, PipelineError
from zskel.data.common.files import atomic_path
from zskel.data.common.processes import end_with_parent
from zskel.data.store import SequenceStore
from zskel.extractors.dataset import EpochBatches, EpochSampler, StoreClips
from zskel.extractors.distributed import is_main, joined, rank, world_size
from zskel.extractors.inference import last_linear
from zskel.extractors.spec import BackboneSpec

EpochProgress = Callable[[int, int, Mapping[str, float]], None]

_AMP = "AmpOptimWrapper"
_AMP_OPTIONS = ("type", "dtype", "loss_scale", "use_fsdp")


class QuietRunner(Runner):
    """A Runner that logs to its file and leaves the terminal alone.

    Attributes:
        epoch_history: Mean losses of each epoch so far.
    """

    epoch_history: list[dict[str, float]]

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.setLevel(logging.ERROR)
            elif isinstance(handler, logging.FileHandler):
                # A full disk stops the training where it would lose something, not at a
                # line of its log; logging would print a traceback for each.
                handler.handleError = lambda record: None  # type: ignore[method-assign]
        return logger

    def wrap_model(self, model_wrapper_cfg: Any, model: nn.Module) -> nn.Module:
        with warnings.catch_warnings():
            # The name of the option below changes with torch 2.15.
            warnings.simplefilter("ignore", FutureWarning)
            if self.distributed and get_device() == "cpu":
                # mmengine names a GPU for each process, which a model on the CPU refuses.
                return MMDistributedDataParallel(model, broadcast_buffers=False)
            return super().wrap_model(model_wrapper_cfg, model)


def build_runner(
    spec: BackboneSpec, store: SequenceStore, rows: np.ndarray, classes: tuple[int, ...],
    folder: Path, checkpoints: Path, on_epoch: EpochProgress | None,
) -> QuietRunner:
    """A Runner for one training; arguments as in ``zskel.extractors.training.train_backbone``.

    Args:
        checkpoints: Folder of one checkpoint an epoch; the last two are kept.

    Raises:
        PipelineError: Something in the spec is impossible; other errors are those of
            whatever the spec names.
    """
    columns = np.searchsorted(classes, store.label[rows])
    dataset = StoreClips(store, rows, columns, spec.prepare, spec.train_pipeline, spec.seed)
    batches = EpochBatches(
        EpochSampler(len(dataset), spec.seed), spec.batch_size, rank(), world_size())
    runner = QuietRunner(
        model=spec.model_config(len(classes), spec.text_of(classes)),
        work_dir=str(folder / "logs"),
        train_dataloader=DataLoader(
            dataset, batch_sampler=batches, collate_fn=pseudo_collate,
            num_workers=spec.num_workers, worker_init_fn=end_with_parent),
        train_cfg={"by_epoch": True, "max_epochs": spec.epochs},
        optim_wrapper=_optim_wrapper(spec),
        param_scheduler=copy.deepcopy(spec.param_scheduler),
        default_hooks={"checkpoint": None, "logger": {"type": "LoggerHook", "interval": 50}},
        custom_hooks=[EpochHook(spec.seed, checkpoints, on_epoch)],
        visualizer=_visualizer(spec.vis_backends),
        randomness={"seed": spec.seed,
                    "deterministic": torch.are_deterministic_algorithms_enabled()},
        launcher="pytorch" if joined() else "none",  # whichever it was, it is done
        default_scope="mmaction",
        experiment_name=f"{spec.name}-{folder.name}",
    )
    last_linear(unwrapped(runner.model))  # or f_x could not be taken when all is done
    runner.epoch_history = []
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    return runner


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, not what shares it between processes."""
    return model.module if isinstance(model, MMDistributedDataParallel) else model


def where(spec: BackboneSpec) -> str:
    """On what a training runs here, and how precisely it computes: one line to show."""
    together = f", {world_size()} processes" if joined() else ""
    if not torch.cuda.is_available():
        return f"runs on the CPU in float32: no GPU was found{together}"
    precision = "float32"
    if spec.optim_wrapper.get("type") == _AMP:
        precision = f"mixed precision ({spec.optim_wrapper.get('dtype') or 'float16'})"
    return f"runs on the GPU ({torch.cuda.get_device_name()}) in {precision}{together}"


def _optim_wrapper(spec: BackboneSpec) -> dict[str, Any]:
    config = copy.deepcopy(dict(spec.optim_wrapper))
    if config.get("type") == _AMP and not torch.cuda.is_available():
        warnings.warn(f"backbone.optim_wrapper: {_AMP} needs a GPU; there is none here, so the "
                      "training runs on the CPU in float32", RuntimeWarning, stacklevel=4)
        config = {key: value for key, value in config.items() if key not in _AMP_OPTIONS}
    return config


def _visualizer(backends: list[dict[str, Any]]) -> dict[str, Any] | None:
    if not backends:
        return None  # mmengine's own: a JSON file in the log folder
    for backend in backends:
        name = str(backend.get("type"))
        if name.startswith("Tensorboard") and importlib.util.find_spec("tensorboard") is None:
            raise BadConfig(f"backbone.vis_backends: {name} needs the package tensorboard; "
                            "install zero-shot-skeleton[tensorboard]")
    own = [] if any(b.get("type") == "LocalVisBackend" for b in backends) else [
        {"type": "LocalVisBackend"}]
    return {"type": "Visualizer", "vis_backends": [*own, *copy.deepcopy(backends)]}


class EpochHook(Hook):
    """Per epoch: seeds, checks that losses are finite, saves, tells.

    Everything a checkpoint holds is tensors and plain Python values, so it
    loads with ``weights_only=True`` and no exceptions to that.
    """

    priority = "LOWEST"

    def __init__(self, seed: int, folder: Path, on_epoch: EpochProgress | None) -> None:
        self._seed, self._folder, self._on_epoch = seed, folder, on_epoch
        self._sums: dict[str, float] = {}

    def before_train_epoch(self, runner: QuietRunner) -> None:
        self._sums = {"batches": 0.0}
        # Dropout draws are then those of this epoch, however it was reached.
        torch.manual_seed(self._seed * 1_000_003 + runner.epoch + 1_000_000_007 * rank())

    def after_train_iter(
        self, runner: QuietRunner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        for name, value in (outputs or {}).items():
            value = float(value.detach() if isinstance(value, torch.Tensor) else value)
            if not np.isfinite(value):
                raise PipelineError(self._diverged(
                    f"{name} is {value} in epoch {runner.epoch + 1}, batch {batch_idx + 1}"))
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._sums["batches"] += 1

    def after_train_epoch(self, runner: QuietRunner) -> None:
        batches = self._sums.pop("batches")
        losses = {name: total / batches for name, total in self._sums.items()}
        if joined():
            losses = _mean_over_processes(losses)
            _share_statistics(runner.model)
        runner.epoch_history.append(losses)
        epoch = runner.epoch + 1
        for name, tensor in unwrapped(runner.model).state_dict().items():
            # The last step of an epoch can break what no later loss has shown yet.
            if not torch.isfinite(tensor).all():
                raise PipelineError(self._diverged(
                    f"weight {name} is not finite after epoch {epoch}"))
        if is_main():
            self._save(runner, epoch)
            if self._on_epoch is not None:
                self._on_epoch(epoch, runner.max_epochs, losses)

    def _save(self, runner: QuietRunner, epoch: int) -> None:
        with atomic_path(self._folder / f"epoch_{epoch}.pth") as temporary:
            runner.save_checkpoint(str(temporary.parent), temporary.name)
        for old in self._folder.glob("epoch_*.pth"):
            if _epoch_of(old) < epoch - 1:
                old.unlink()

    def _diverged(self, what: str) -> str:
        return (f"backbone training: {what}; lower the learning rate or clip gradients "
                "(backbone.optim_wrapper.clip_grad). Checkpoints of good epochs are kept in "
                f"{self._folder}")

    def before_save_checkpoint(self, runner: QuietRunner, checkpoint: dict[str, Any]) -> None:
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
        checkpoint["meta"]["epoch_history"] = copy.deepcopy(runner.epoch_history)

    def after_load_checkpoint(self, runner: QuietRunner, checkpoint: dict[str, Any]) -> None:
        runner.epoch_history = checkpoint["meta"]["epoch_history"]


def _mean_over_processes(losses: dict[str, float]) -> dict[str, float]:
    values = torch.tensor(list(losses.values()), dtype=torch.float64)
    all_reduce(values, "mean")
    return dict(zip(losses, values.tolist()))


def _share_statistics(model: nn.Module) -> None:
    """Makes batch normalization's running statistics the mean of the processes'."""
    for buffer in model.buffers():
        if buffer.is_floating_point():
            all_reduce(buffer, "mean")


def newest_whole_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the latest epoch that can be read."""
    for path in sorted(folder.glob("epoch_*.pth"), key=_epoch_of, reverse=True):
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # a damaged file can fail in any layer of the unpickler
            continue
        return path
    return None


def _epoch_of(path: Path) -> int:
    return int(path.stem.split("_")[1])
