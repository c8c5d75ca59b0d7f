"""Runs a recognizer in eval mode: as it is, or faster with the same numbers.

What makes it faster, all of it exact up to float rounding:

* A body that is zero in every frame is never pushed through the network. Where
  bodies do not meet before the head averages over them, what such a body adds is
  a constant for each clip length; it is computed once and kept.
* The backbone is a folded copy, see ``zskel.extractors.folding``.

``recognizer`` decides what a model allows and proves it on a random batch.
"""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
from mmaction.models.heads import GCNHead
from torch import nn

from zskel.data.common.errors import BadInput
from zskel.data.common.memory import out_of_memory
from zskel.data.pooled import Pool
from zskel.extractors.folding import fold, take_input_norm
from zskel.extractors.heads.text_supervised import TextSupervisedHead
from zskel.extractors.pooling import Pools
from zskel.extractors.sharing import in_threads

TOLERANCE = 1e-4
BODY_WISE = {"STGCN", "AAGCN", "ShiftGCN"}
#: Those that average over a map of joints.
GCN_HEADS = (GCNHead, TextSupervisedHead)

Recognizer = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
"""Maps inputs ``[N, clips, ...]`` to f_x ``[N * clips, D]`` and logits ``[N * clips, S]``,
and to pooled views ``[N * clips, ..., D]`` where there are any."""


def recognizer(
    model: nn.Module, shape: tuple[int, ...], fast: bool = True, chunk: int | None = None,
    pools: Sequence[Pool] = (),
) -> Recognizer:
    """The fastest way to run a model that keeps its numbers.

    Where a backbone treats each body alone (``BODY_WISE``, or a class attribute
    ``body_wise = True``) the fast way is tried against the direct one on random
    clips of one and two bodies. If they differ by more than ``TOLERANCE`` (times
    the largest value, if that is above 1) a warning says so and the direct way is used.

    Args:
        model: An mmaction2 recognizer in eval mode; it is not changed.
        shape: Of one clip's input, ``[clips, M, T, V, C]`` for skeletons.
        fast: False always gives the direct way.
        chunk: See ``BodyWise``.
        pools: Views of the feature map that are wanted beside f_x.

    Raises:
        BadInput: The model is in training mode, its head has no linear layer, or there is
            no feature map to pool.
    """
    if model.training:
        raise BadInput("the recognizer is in training mode; call model.eval() first")
    direct = Direct(model, pools)
    if not (fast and _body_wise(model) and len(shape) == 5):
        return direct
    try:
        quick = BodyWise(model, chunk, pools)
        difference = _difference(direct, quick, shape, next(model.parameters()).device)
    except (RuntimeError, ValueError, AttributeError, TypeError) as error:
        if out_of_memory(error):
            raise  # the direct way needs more still, and has other roundings
        reason = f"it cannot be taken apart ({str(error).splitlines()[0]})"
    else:
        if difference <= TOLERANCE:
            return quick
        if math.isnan(difference):  # of the model itself, an error where it is run
            return direct
        reason = f"features would differ by {difference:.1e}"
    warnings.warn(f"{type(model.backbone).__name__}: every body goes through the network as it "
                  f"is, which is slower: {reason}", RuntimeWarning, stacklevel=2)
    return direct


def last_linear(model: nn.Module) -> nn.Linear:
    """The linear layer that turns f_x into logits: the head's last one.

    Raises:
        BadInput: The model's head has none.
    """
    found = [module for module in model.cls_head.modules() if isinstance(module, nn.Linear)]
    if not found:
        raise BadInput(f"{type(model.cls_head).__name__} has no linear layer to take f_x from")
    return found[-1]


@contextlib.contextmanager
def exact(device: torch.device, autocast: torch.dtype | None = None) -> Iterator[None]:
    """No gradients and full float32 products, unless ``autocast`` asks for less."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        # cuDNN would otherwise round float32 convolutions to TF32.
        stack.enter_context(torch.backends.cudnn.flags(
            enabled=True, allow_tf32=False, deterministic=torch.backends.cudnn.deterministic))
        stack.enter_context(
            torch.autocast(device.type, autocast, enabled=autocast is not None))
        yield


class Direct:
    """The model's own forward; f_x is what its last linear layer reads.

    Args:
        model: In eval mode.
        pools: Views of what its backbone gives.

    Raises:
        BadInput: Its head does not average over a map of joints, and views are wanted.
    """

    def __init__(self, model: nn.Module, pools: Sequence[Pool] = ()) -> None:
        self._model, self._last, self._pools = model, last_linear(model), Pools(pools)
        if pools and type(model.cls_head) not in GCN_HEADS:
            raise BadInput(f"feature views: {pools[0]} is taken from a map with a row for each "
                           f"joint, which a {type(model.cls_head).__name__} does not average; "
                           "graph networks with a GCNHead have one")

    def __call__(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen: list[torch.Tensor] = []
        maps: list[torch.Tensor] = []
        handles = [self._last.register_forward_hook(
            lambda module, read, written: seen.extend((read[0], written)))]
        if self._pools.names:
            handles.append(self._model.backbone.register_forward_hook(
                lambda module, read, written: maps.append(written)))
        try:
            self._model(inputs, mode="tensor", stage="head")
        finally:
            for handle in handles:
                handle.remove()
        if not maps:
            return seen[0], seen[1]
        joints = inputs.shape[-2]
        rows = self._pools.rows(maps[0], joints)
        return (*seen, *self._pools.split(rows, maps[0].shape[2], joints)[1:])


class BodyWise:
    """Pushes only the bodies that are there, through a folded copy of the backbone.

    The normalization of the input comes first, on all bodies: it may tell the
    first body from the second (mmaction2's ``data_bn_type`` "MVC").

    Args:
        model: An mmaction2 recognizer with a ``GCNHead`` or ours, in eval mode.
        chunk: Bodies pushed through at a time; of no influence on the result. The
            default keeps what a stage reads and writes in the processor's cache.
        pools: Views of the feature map that are wanted beside f_x.
    """

    def __init__(
        self, model: nn.Module, chunk: int | None = None, pools: Sequence[Pool] = ()
    ) -> None:
        backbone = copy.deepcopy(model.backbone)
        backbone.num_person = 1  # which Shift-GCN checks its input for
        self._norm = take_input_norm(backbone)
        self._backbone, self._fc = fold(backbone), last_linear(model)
        self._pools = Pools(pools)
        on_cpu = self._fc.weight.device.type == "cpu"
        self._chunk = chunk or (12 if on_cpu else 64)
        self._absent: dict[tuple[int, ...], torch.Tensor] = {}

    def __call__(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        clips = inputs.flatten(0, 1)  # [N, M, T, V, C]
        there = (clips != 0).flatten(2).any(dim=2)
        pooled = self._of_absent(clips).repeat(len(clips), 1, 1)  # [N, M, K]
        clip, body = there.nonzero(as_tuple=True)

        def push(begin: int, end: int) -> None:
            for at in range(begin, end, self._chunk):
                part = slice(at, min(at + self._chunk, end))
                pooled[clip[part], body[part]] = self._pooled(clips[clip[part], body[part]],
                                                              body[part])

        shared = clips.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        in_threads(len(clip), push, torch.get_num_threads() if shared else 1)
        f_x, *views = self._pools.split(
            pooled.mean(dim=1), self._fc.in_features, clips.shape[3])
        return (f_x, self._fc(f_x), *views)

    def _of_absent(self, clips: torch.Tensor) -> torch.Tensor:
        """What bodies that are not there give, ``[M, K]``."""
        bodies, *shape = key = tuple(clips.shape[1:])
        if key not in self._absent:
            alike = self._norm is None or self._norm[0].numel() == clips[0, 0, 0].numel()
            body = torch.arange(1 if alike else bodies, device=clips.device)
            pooled = self._pooled(clips.new_zeros(len(body), *shape), body)
            self._absent[key] = pooled.expand(bodies, -1)
        return self._absent[key]

    def _pooled(self, clips: torch.Tensor, body: torch.Tensor) -> torch.Tensor:
        """``[B, T, V, C]``, each with its place in its clip, to ``[B, K]``."""
        if self._norm is not None:
            parts = self._norm.view(3, -1, 1, *clips.shape[2:])  # [3, 1 or M, 1, V, C]
            mean, scale, shift = parts if parts.shape[1] == 1 else parts[:, body]
            clips = (clips - mean) * scale + shift
        return self._pools.rows(self._backbone(clips.unsqueeze(1)), clips.shape[2])


def _body_wise(model: nn.Module) -> bool:
    backbone = getattr(model, "backbone", None)
    declared = type(backbone).__name__ in BODY_WISE or getattr(backbone, "body_wise", False)
    return declared and type(getattr(model, "cls_head", None)) in GCN_HEADS


def _difference(
    direct: Recognizer, quick: Recognizer, shape: tuple[int, ...], device: torch.device
) -> float:
    """Between both ways, for clips with all bodies, the first, the last, and none."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn((4, *shape), generator=generator)
    inputs[1, :, 1:], inputs[2, :, :-1], inputs[3] = 0, 0, 0
    inputs = inputs.to(device)
    with exact(device):
        return max(
            float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1))
            for ours, theirs in zip(quick(inputs), direct(inputs))
        )
