"""Runs a trained backbone over clips: f_x and logits."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch
from mmaction.registry import MODELS
from mmengine.dataset import pseudo_collate
from torch import nn
from torch.utils.data import DataLoader

from data.errors import BadInput
from data.store import SequenceStore
from extractors.dataset import StoreClips
from extractors.training import BackboneSpec


def load_model(spec: BackboneSpec, weights: str | os.PathLike[str], num_classes: int) -> nn.Module:
    """Builds the recognizer and loads a state dict, in eval mode.

    Raises:
        BadInput: The weights do not fit the model.
    """
    model = MODELS.build(spec.model_config(num_classes))
    state = torch.load(weights, map_location="cpu", weights_only=True)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise BadInput(f"{weights}: does not fit {spec.name} with {num_classes} classes: "
                       f"{str(error).splitlines()[-1].strip()}") from None
    return model.eval()


def extract_features(
    model: nn.Module,
    spec: BackboneSpec,
    store: SequenceStore,
    rows: np.ndarray,
    batch_size: int = 32,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """f_x and logits of the given rows, in their order.

    f_x is what the head's last linear layer reads: the backbone's output,
    averaged over bodies, frames and joints.

    Args:
        model: From ``load_model``.
        spec: The model's spec; its ``test_pipeline`` samples the frames.
        store: Where the clips are.
        rows: Store rows, ``[N]``.
        batch_size: Clips a forward pass.
        on_progress: Called with (clips done, N).

    Returns:
        Float32 ``[N, D]`` and ``[N, S]``.

    Raises:
        BadInput: A feature is not finite; the message names the clip.
    """
    dataset = StoreClips(store, rows, np.full(len(rows), -1), spec.prepare, spec.test_pipeline)
    loader = DataLoader(dataset, batch_size, shuffle=False, collate_fn=pseudo_collate)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)
    features: list[torch.Tensor] = []
    logits: list[torch.Tensor] = []
    last = last_linear(model)
    handle = last.register_forward_hook(
        lambda module, inputs, output: (features.append(inputs[0].cpu()), logits.append(output.cpu()))
        and None
    )
    done = 0
    try:
        with torch.inference_mode():
            for batch in loader:
                inputs = model.data_preprocessor(batch, training=False)["inputs"]
                model(inputs.to(device), mode="tensor", stage="head")
                done += len(batch["inputs"])
                if on_progress is not None:
                    on_progress(done, len(rows))
    finally:
        handle.remove()
    f_x, scores = torch.cat(features).float().numpy(), torch.cat(logits).float().numpy()
    bad = np.flatnonzero(~np.isfinite(f_x).all(axis=1))
    if len(bad):
        raise BadInput(f"clip {store.sample_id[rows[bad[0]]]!r} gives non-finite features "
                       f"({len(bad)} clips in all); look at its coordinates in {store.path}")
    return f_x, scores


def last_linear(model: nn.Module) -> nn.Linear:
    """The linear layer that turns f_x into logits: the head's last one.

    Raises:
        BadInput: The model's head has none.
    """
    found = [module for module in model.cls_head.modules() if isinstance(module, nn.Linear)]
    if not found:
        raise BadInput(f"{type(model.cls_head).__name__} has no linear layer to take f_x from")
    return found[-1]
