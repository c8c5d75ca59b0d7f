"""State dicts as Shift-GCN's authors publish them, for our recognizer.

``zskel.extractors.weights`` reads the files.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import torch
from mmaction.registry import MODELS
from torch import nn

from zskel.data.common.errors import BadInput

# What an offset along the joints may be and still count as none. The published
# ones are about 1e-8, of which nothing is left in float32.
_NO_OFFSET = 1e-5


def is_published(state: Mapping[str, object]) -> bool:
    """Whether a state dict has the published names rather than our recognizer's."""
    return any(str(name).removeprefix("module.").startswith("l1.gcn1.") for name in state)


def load_published(
    state: Mapping[str, torch.Tensor], model: nn.Module | None = None
) -> dict[str, torch.Tensor]:
    """Maps a published state dict onto our recognizer's, strictly.

    ``fc`` becomes the head's, everything else the backbone's. A leading
    ``module.``, which ``DataParallel`` adds, is taken off. ``num_batches_tracked``,
    which old versions of PyTorch do not save and nothing here depends on, may be
    missing. A recognizer for one person takes the first person's part of the
    published ``data_bn``, so that it computes what the published network computes
    for its first person.

    Args:
        state: Name -> tensor.
        model: The ``RecognizerGCN`` it is for; None for the published network,
            two persons, with as many classes as ``fc`` has.

    Returns:
        What ``model.load_state_dict`` takes.

    Raises:
        BadInput: A name is missing, unknown or of another shape, an index of the
            spatial shift is not ours, or there is an offset along the joints.
    """
    found = {str(name).removeprefix("module."): value for name, value in state.items()}
    if not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise BadInput("expected a state dict of tensors only; if the file is a whole "
                       "checkpoint, save its 'state_dict' or 'model_state_dict' alone")
    expected = _layout(model if model is not None else _published_model(found))
    for name, value in expected.items():
        if name.endswith("num_batches_tracked"):
            found.setdefault(name, torch.zeros_like(value, device="cpu"))
    missing, unknown = expected.keys() - found.keys(), found.keys() - expected.keys()
    if missing or unknown:
        raise BadInput(_names_message(missing, unknown))
    if model is not None and model.backbone.num_person == 1:
        _take_first_person(found, len(expected["data_bn.weight"]))
    for name, value in expected.items():
        if found[name].shape != value.shape:
            raise BadInput(f"{name} has shape {list(found[name].shape)}, expected "
                           f"{list(value.shape)}")
        if name.endswith((".gcn1.shift_in", ".gcn1.shift_out")):
            if not torch.equal(found[name].cpu().to(value.dtype), value.cpu()):
                raise BadInput(f"{name} is another permutation than the non-local shift "
                               "that this network computes")
        elif name.endswith(".xpos") and float(found[name].abs().max()) > _NO_OFFSET:
            raise BadInput(f"{name} shifts along the joints by "
                           f"{float(found[name].abs().max()):g}; only offsets along time (ypos) "
                           "are supported")
    return {_our_name(name): found[name] for name in expected}


def _published_model(found: Mapping[str, torch.Tensor]) -> nn.Module:
    classes = len(found["fc.weight"]) if "fc.weight" in found and found["fc.weight"].dim() else 60
    with torch.random.fork_rng(devices=[]):  # reading a file must not change later draws
        return MODELS.build({
            "type": "RecognizerGCN",
            "backbone": {"type": "ShiftGCN"},
            "cls_head": {"type": "GCNHead", "num_classes": classes, "in_channels": 256},
        })


def _layout(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name.removeprefix("backbone.").removeprefix("cls_head."): value
            for name, value in model.state_dict().items()}


def _our_name(name: str) -> str:
    return f"cls_head.{name}" if name.startswith("fc.") else f"backbone.{name}"


def _take_first_person(found: dict[str, torch.Tensor], width: int) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        value = found[f"data_bn.{name}"]
        if value.shape == (2 * width,):
            found[f"data_bn.{name}"] = value[:width].clone()


def _names_message(missing: set[str], unknown: set[str]) -> str:
    parts = []
    if missing:
        parts.append(f"{len(missing)} missing, first {min(missing)!r}")
    if unknown:
        first = min(unknown)
        close = difflib.get_close_matches(first, missing, n=1)
        parts.append(f"{len(unknown)} unknown, first {first!r}"
                     + (f" (for {close[0]!r}?)" if close else ""))
    return (f"not the names of a Shift-GCN state dict: {'; '.join(parts)}; is it of "
            "another network, or of another number of blocks?")
