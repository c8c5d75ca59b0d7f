"""Trains a backbone on the seen classes with mmengine's Runner."""

from __future__ import annotations

import json
import os
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate

from zskel.data.common.errors import BadConfig, PipelineError
from zskel.data.common.files import atomic_path, digest_file, write_json
from zskel.data.common.memory import memory_in_one_line, out_of_memory
from zskel.data.common.os_errors import naming, raise_refusal
from zskel.data.store import SequenceStore
from zskel.extractors.distributed import barrier, is_main, world_size
from zskel.extractors.inference import GCN_HEADS, Direct
from zskel.extractors.mm import software
from zskel.extractors.runner import (
    EpochProgress,
    QuietRunner,
    build_runner,
    newest_whole_checkpoint,
    unwrapped,
    where,
)
from zskel.extractors.spec import BackboneSpec

__all__ = ["BackboneSpec", "TrainedBackbone", "train_backbone", "where"]


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

    Where processes work together (``zskel.extractors.distributed``) each of them calls
    this with the same arguments and gets the same result; one of them writes. How
    many they are is not part of the digest but changes the weights a little, for
    each normalizes its own part of a batch; ``backbone.json`` says how many. A
    stopped training goes on only with as many as it was begun with.

    Args:
        spec: What to train.
        store: Where the clips are.
        rows: Store rows to train on; their labels must all be in ``classes``.
        classes: Class index of each output column.
        folder: Where it works.
        on_epoch: Called after each epoch with (epochs done, in all, its losses).

    Raises:
        BadConfig: The model, a transform or the optimizer cannot be built.
        PipelineError: A loss or a weight is not finite, or a batch does not fit into memory.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    digest = spec.digest(store, rows, classes)
    finished = _finished(folder, digest)
    if finished is not None:
        _clear(folder, digest)  # a kill may have come just before that
        return finished
    together = f"-{world_size()}" if world_size() > 1 else ""
    checkpoints = folder / f"checkpoints-{digest[:16]}{together}"
    try:
        with naming(folder / "logs"):
            runner = build_runner(spec, store, rows, classes, folder, checkpoints, on_epoch)
    except PipelineError:
        raise
    except Exception as error:  # model and optimizer are the config's: any of it can be wrong
        raise_refusal(error, getattr(error, "filename", None) or folder / "logs")
        raise BadConfig(f"backbone: {error.args[0] if error.args else error!r}") from None
    newest = newest_whole_checkpoint(checkpoints)
    if newest is not None:
        runner.load_or_resume = lambda: runner.resume(str(newest))
    with _what_to_set(spec, checkpoints), naming(folder / "logs"):
        _try_a_clip(runner, spec, store)
        runner.train()
    if is_main():
        _write(folder, runner, spec, digest, classes)
        _clear(folder, digest)
    barrier()
    trained = _finished(folder, digest)
    if trained is None:
        raise PipelineError(f"{folder}: the trained weights cannot be read back; all processes "
                            "have to see the same files")
    return trained


def _try_a_clip(runner: QuietRunner, spec: BackboneSpec, store: SequenceStore) -> None:
    """Runs the model on a training clip, for it may ask for another number of joints."""
    model: Any = unwrapped(runner.model)
    maps: list[torch.Tensor] = []
    handle = model.backbone.register_forward_hook(lambda module, read, gives: maps.append(gives))
    try:
        clip = runner.train_dataloader.dataset[0]
        inputs = model.data_preprocessor(pseudo_collate([clip]), training=False)["inputs"]
        with torch.no_grad():
            Direct(model.eval())(inputs)
    except PipelineError:
        raise
    except Exception as error:  # of whatever the config names
        if out_of_memory(error):
            raise
        # A graph network's map is [N, M, C, T, V], that of others [N, C, ...].
        axis = 2 if isinstance(model.cls_head, GCN_HEADS) else 1
        asked = getattr(model.cls_head, "in_channels", None)
        given = next((made.shape[axis] for made in maps if made.dim() > axis), asked)
        if given != asked:
            raise BadConfig(f"backbone.model.cls_head.in_channels: is {asked}, and the backbone of "
                            f"{spec.name} gives {given} channels; set it to {given}") from None
        raise BadConfig(f"backbone: {spec.name} does not take the clips of {store.path} "
                        f"({store.layout.num_joints} joints, layout {store.layout.name!r}): "
                        f"{_problem(error)}") from None
    finally:
        handle.remove()


def _problem(error: Exception) -> str:
    """The first line of an error; of one without words, where it comes from."""
    if str(error).strip():
        return str(error).strip().splitlines()[0]
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}: "
            f"{place.line}")


@contextmanager
def _what_to_set(spec: BackboneSpec, checkpoints: Path) -> Iterator[None]:
    """Says what to do about what a training cannot do here.

    A batch in halves would be another training: each half is normalized by its own
    statistics. So that is for the user to choose.
    """
    kept = f"checkpoints of good epochs are kept in {checkpoints}"
    try:
        with memory_in_one_line(
            f"backbone training: a batch of {spec.batch_size} clips",
            "free some and give the same command again, it goes on; or set backbone.batch_size "
            f"to {max(1, spec.batch_size // 2)} and, for steps over as many clips, "
            "backbone.optim_wrapper.accumulative_counts to 2, which is another training with a "
            f"name of its own. For this one {kept}",
        ):
            yield
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        raise PipelineError(f"--deterministic: {str(error).splitlines()[0]} Train without it, or "
                            f"take another model; {kept}") from None


def _write(
    folder: Path, runner: QuietRunner, spec: BackboneSpec, digest: str, classes: tuple[int, ...]
) -> None:
    weights, summary = folder / "weights.pth", folder / "backbone.json"
    summary.unlink(missing_ok=True)
    with atomic_path(weights) as temporary:
        torch.save({k: v.cpu() for k, v in unwrapped(runner.model).state_dict().items()},
                   temporary)
    write_json(summary, {
        "digest": digest, "name": spec.name, "classes": list(classes),
        "weights_sha256": digest_file(weights), "history": runner.epoch_history,
        "processes": world_size(), "ran_on": where(spec), "software": software(),
    })


def _clear(folder: Path, digest: str) -> None:
    if is_main():
        # Not only checkpoints: a killed run leaves the temporary folder it wrote to.
        for left in folder.glob(f"checkpoints-{digest[:16]}*"):
            shutil.rmtree(left, ignore_errors=True)


def _finished(folder: Path, digest: str) -> TrainedBackbone | None:
    weights, summary = folder / "weights.pth", folder / "backbone.json"
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
        return None  # a damaged summary: train again
