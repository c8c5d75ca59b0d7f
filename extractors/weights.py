"""Weights from files: ours, mmengine checkpoints, and what authors publish.

Everything is read with ``weights_only=True``: a file that wants to run code is
refused.
"""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from zskel.data.common.errors import BadInput
from zskel.data.common.files import mistaken_for
from zskel.data.common.limits import check_archive, room
from zskel.data.common.os_errors import raise_refusal

#: Rows of the classes' texts, in the weights of a ``TextSupervisedHead``.
SUPERVISING_TEXT = "cls_head.alignment.text"


def read_state(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Reads a state dict, or that of a whole checkpoint.

    A leading ``module.``, which ``DataParallel`` adds, is taken off. Files from
    before PyTorch's zip format load too.

    Raises:
        BadInput: Not such a file, or one that holds more than tensors, plain
            values and mmengine's own log history.
    """
    try:
        _check_size(path)
        # What it warns of is told below, where the file cannot be read.
        with torch.serialization.safe_globals(_mmengine_parts()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except BadInput:
        raise
    except (FileNotFoundError, IsADirectoryError) as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # damage can show in any layer of the unpickler
        raise_refusal(error, path)
        raise BadInput(f"{path}: no weights that load without running code: "
                       f"{_why(error, path)}") from None
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise BadInput(f"{path}: expected a state dict, found {type(content).__name__}")
    state = {str(name).removeprefix("module."): value for name, value in content.items()}
    strange = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if strange:
        raise BadInput(f"{path}: {strange[0]!r} is not a tensor; expected a state dict")
    size = os.path.getsize(path)
    for name, value in state.items():
        # A view of one number can have any shape, and a model would be made to fit it.
        if value.numel() * value.element_size() > room(size):
            raise BadInput(f"{path}: {name!r} has the shape {list(value.shape)}, more than a file "
                           f"of {size} bytes can hold")
    return state


def _why(error: Exception, path: str | os.PathLike[str]) -> str:
    """What is wrong with a file that PyTorch does not load; its own words advise to run code."""
    found = mistaken_for(path)
    if found is not None:
        return f"it is {found}"
    code = re.search(r"(?i)unsupported global:? (?:GLOBAL )?([\w.]+)", str(error))
    if code is not None:
        return (f"it names {code[1]}, which is code; let whoever has the model save its "
                "state dict alone, torch.save(model.state_dict(), FILE)")
    if "TorchScript" in str(error):
        return ("it is a TorchScript program; save the state dict of the model it was made of, "
                "torch.save(model.state_dict(), FILE)")
    return "it is damaged, or no file of PyTorch; copy or download it again"


def _check_size(path: str | os.PathLike[str]) -> None:
    """Refuses an archive that unpacks to more than it can hold; it would be made room for."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            check_archive(archive, path)


def head_classes(state: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> int:
    """How many classes the weights' last linear layer tells apart.

    Raises:
        BadInput: There is no such layer.
    """
    for name in ("cls_head.fc.weight", "cls_head.fc_cls.weight", "fc.weight", SUPERVISING_TEXT):
        if name in state and state[name].dim() >= 2:
            return int(state[name].shape[0])
    raise BadInput(f"{path}: has no head (cls_head.fc.weight or fc.weight); it is needed to know "
                   "the classes")


def load_into(
    model: nn.Module, state: Mapping[str, torch.Tensor], path: str | os.PathLike[str], what: str
) -> None:
    """Loads a state dict strictly, in our names or those of Shift-GCN's authors.

    Args:
        model: Takes the weights.
        state: From ``read_state``.
        path: Where they come from, for messages.
        what: What the model is, for messages.

    Raises:
        BadInput: It does not fit.
    """
    from zskel.extractors.backbones.shift_gcn_weights import is_published, load_published

    _check_joints(model, state, path, what)
    if is_published(state):
        try:
            state = load_published(state, model)
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from None
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        problem = str(error).splitlines()[-1].strip()
        raise BadInput(f"{path}: does not fit {what}: {problem}") from None


def _check_joints(
    model: nn.Module, state: Mapping[str, torch.Tensor], path: str | os.PathLike[str], what: str
) -> None:
    """Says it in words where it is the number of joints that does not fit."""
    found = {name.removeprefix("backbone."): value for name, value in state.items()}
    for name, value in model.state_dict().items():
        other = found.get(name.removeprefix("backbone."))
        # Graphs [K, V, V], Shift-GCN's masks [1, V, C], convolutions over V heatmaps.
        if (other is not None and name.endswith(_OVER_JOINTS) and value.dim() == other.dim() > 2
                and value.shape[1] != other.shape[1]):
            raise BadInput(f"{path}: weights for clips of {other.shape[1]} joints do not fit "
                           f"{what}, which takes {value.shape[1]} as the clips have; leave "
                           "--weights out to train it, or map the clips to the layout of the "
                           "weights")


_OVER_JOINTS = (".A", ".PA", ".Feature_Mask", "backbone.conv1.conv.weight")


class _LogHistory:
    """Stands in for mmengine's log history, which weights have no use for."""

    def __setstate__(self, state: object) -> None:
        pass


def _nothing(*arguments: object) -> None:
    """Stands in for ``getattr``, by which that history names its own methods."""


def _mmengine_parts() -> list[Any]:
    """What a checkpoint of mmengine names beside tensors; none of it is called as such."""
    core = (np._core if hasattr(np, "_core") else np.core).multiarray
    dtypes = [type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32")]
    return [
        (_LogHistory, "mmengine.logging.history_buffer.HistoryBuffer"),
        (_nothing, "builtins.getattr"), (_nothing, "__builtin__.getattr"),
        np.ndarray, np.dtype, *dtypes,
        # What NumPy 2 calls numpy._core was numpy.core when most weights were published.
        *((part, f"numpy.{package}.multiarray.{part.__name__}")
          for part in (core._reconstruct, core.scalar) for package in ("core", "_core")),
    ]
