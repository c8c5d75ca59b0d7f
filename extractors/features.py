"""Runs a trained backbone over clips: f_x and logits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from mmaction.registry import MODELS
from mmengine.dataset import pseudo_collate
from torch import nn

from data.errors import BadInput
from data.store import SequenceStore
from extractors.dataset import StoreClips
from extractors.inference import Recognizer, exact, recognizer
from extractors.training import BackboneSpec
from extractors.weights import load_into, read_state


def load_model(spec: BackboneSpec, weights: str | os.PathLike[str], num_classes: int) -> nn.Module:
    """Builds the recognizer and loads its weights, in eval mode.

    Args:
        spec: What to build.
        weights: Any file that ``extractors.weights`` reads.
        num_classes: Of the head.

    Raises:
        BadInput: The weights do not fit the model.
    """
    model = MODELS.build(spec.model_config(num_classes))
    load_into(model, read_state(weights), weights, f"{spec.name} with {num_classes} classes")
    return model.eval()


def extract_features(
    model: nn.Module,
    spec: BackboneSpec,
    store: SequenceStore,
    rows: np.ndarray,
    batch_size: int = 32,
    on_progress: Callable[[int, int], None] | None = None,
    fast: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """f_x and logits of the given rows, in their order.

    f_x is what the head's last linear layer reads: the backbone's output,
    averaged over bodies, frames and joints, and over sampled clips where
    ``test_pipeline`` takes several of a recording.

    Args:
        model: From ``load_model``.
        spec: The model's spec; its ``test_pipeline`` samples the frames. If its
            ``extract_autocast`` is not "float32" the features are less precise.
        store: Where the clips are.
        rows: Store rows, ``[N]``.
        batch_size: Sampled clips a forward pass; those of a pass have the same
            length. A recording whose ``test_pipeline`` takes more of it has a pass
            of its own.
        on_progress: Called with (clips done, N).
        fast: Skips absent bodies and folds what can be folded where the model
            allows it, see ``extractors.inference``; features differ from the
            direct ones by less than 1e-4.

    Returns:
        Float32 ``[N, D]`` and ``[N, S]``.

    Raises:
        BadInput: A feature is not finite; the message names the clip.
    """
    dataset = StoreClips(store, rows, np.full(len(rows), -1), spec.prepare, spec.test_pipeline)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)
    autocast = None if spec.extract_autocast == "float32" else getattr(
        torch, spec.extract_autocast)
    features: dict[int, np.ndarray] = {}
    logits: dict[int, np.ndarray] = {}
    run: Recognizer | None = None
    for positions, batch in _batches(dataset, batch_size):
        inputs = model.data_preprocessor(pseudo_collate(batch), training=False)["inputs"]
        inputs = inputs.to(device)
        run = run or recognizer(model, tuple(inputs.shape[1:]), fast)
        with exact(device, autocast):
            outputs = [part.float().cpu() for part in run(inputs)]
        for found, part in zip((features, logits), outputs):
            by_row = part.view(len(positions), -1, part.shape[1]).mean(dim=1).numpy()
            found.update(zip(positions, by_row))
        if on_progress is not None:
            on_progress(len(features), len(rows))
    f_x, scores = (
        np.stack([found[position] for position in range(len(rows))])
        for found in (features, logits)
    )
    bad = np.flatnonzero(~np.isfinite(f_x).all(axis=1))
    if len(bad):
        raise BadInput(f"clip {store.sample_id[rows[bad[0]]]!r} gives non-finite features "
                       f"({len(bad)} clips in all); look at its coordinates in {store.path}")
    return f_x, scores


def _batches(
    dataset: StoreClips, batch_size: int
) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """Positions and clips of one shape, as soon as they fill ``batch_size`` sampled clips."""
    waiting: dict[torch.Size, tuple[list[int], list[dict[str, Any]]]] = {}
    for position in range(len(dataset)):
        clip = dataset[position]
        shape = clip["inputs"].shape
        positions, clips = waiting.setdefault(shape, ([], []))
        positions.append(position)
        clips.append(clip)
        # shape[0] counts what was sampled of a recording: twenty crops for PoseC3D.
        if (len(clips) + 1) * shape[0] > batch_size:
            yield waiting.pop(shape)
    yield from waiting.values()
