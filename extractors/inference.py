"""Runs a recognizer in eval mode: as it is, or faster with the same numbers.

What makes it faster, all of it exact up to float rounding:

* A body that is zero in every frame is never pushed through the network. Where
  bodies do not meet before the head averages over them, what such a body adds is
  a constant for each clip length; it is computed once and kept.
* A convolution and the batch normalization after it are one convolution.
* The graph convolution, a sum over subsets k of x A_k W_k (Yan et al. 2018,
  equation 10), is two matrix products on channels-last activations, with the
  importance weights and the normalization multiplied in beforehand.

``recognizer`` decides what a model allows and proves it on a random batch.
"""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Callable, Iterator

import torch
from mmaction.models.backbones.aagcn import AAGCNBlock
from mmaction.models.backbones.stgcn import STGCNBlock
from mmaction.models.heads import GCNHead
from mmaction.models.utils.gcn_utils import mstcn, unit_aagcn, unit_gcn, unit_tcn
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from data.errors import BadInput
from extractors.backbones.shift_gcn import ShiftGCN
from extractors.backbones.shift_gcn_folded import FoldedShiftGCN

TOLERANCE = 1e-4
BODY_WISE = {"STGCN", "AAGCN", "ShiftGCN"}

Recognizer = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Maps inputs ``[N, clips, ...]`` to f_x ``[N * clips, D]`` and logits ``[N * clips, S]``."""


def recognizer(
    model: nn.Module, shape: tuple[int, ...], fast: bool = True, chunk: int | None = None
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

    Raises:
        BadInput: The model is in training mode, or its head has no linear layer.
    """
    if model.training:
        raise BadInput("the recognizer is in training mode; call model.eval() first")
    direct = Direct(model)
    if not (fast and _body_wise(model) and len(shape) == 5):
        return direct
    try:
        quick = BodyWise(model, chunk)
        difference = _difference(direct, quick, shape, next(model.parameters()).device)
    except (RuntimeError, ValueError, AttributeError, TypeError) as error:
        reason = f"it cannot be taken apart ({str(error).splitlines()[0]})"
    else:
        if difference <= TOLERANCE:
            return quick
        if math.isnan(difference):  # of the model itself: whoever runs it will tell
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
        stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
        stack.enter_context(
            torch.autocast(device.type, autocast, enabled=autocast is not None))
        yield


class Direct:
    """The model's own forward; f_x is what its last linear layer reads."""

    def __init__(self, model: nn.Module) -> None:
        self._model, self._last = model, last_linear(model)

    def __call__(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen: list[torch.Tensor] = []
        handle = self._last.register_forward_hook(
            lambda module, read, written: seen.extend((read[0], written)))
        try:
            self._model(inputs, mode="tensor", stage="head")
        finally:
            handle.remove()
        return seen[0], seen[1]


class BodyWise:
    """Pushes only the bodies that are there, through a folded copy of the backbone.

    The normalization of the input comes first, on all bodies: it may tell the
    first body from the second (mmaction2's ``data_bn_type`` "MVC").

    Args:
        model: An mmaction2 recognizer with a ``GCNHead``, in eval mode.
        chunk: Bodies pushed through at a time; of no influence on the result. The
            default keeps what a stage reads and writes in the processor's cache.
    """

    def __init__(self, model: nn.Module, chunk: int | None = None) -> None:
        backbone = copy.deepcopy(model.backbone)
        backbone.num_person = 1  # which Shift-GCN checks its input for
        self._norm = _take_input_norm(backbone)
        self._backbone, self._fc = fold(backbone), last_linear(model)
        if self._fc.weight.device.type != "cpu":
            self._chunk = chunk or 64
        else:  # folded Shift-GCN works on rows of one number a body
            few = 16 if isinstance(self._backbone, FoldedShiftGCN) else 4
            self._chunk = chunk or few * torch.get_num_threads()
        self._absent: dict[tuple[int, ...], torch.Tensor] = {}

    def __call__(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        clips = inputs.flatten(0, 1)  # [N, M, T, V, C]
        there = (clips != 0).flatten(2).any(dim=2)
        pooled = self._of_absent(clips).repeat(len(clips), 1, 1)  # [N, M, D]
        for clip, body in zip(*(i.split(self._chunk) for i in there.nonzero(as_tuple=True))):
            pooled[clip, body] = self._pooled(clips[clip, body], body)
        f_x = pooled.mean(dim=1)
        return f_x, self._fc(f_x)

    def _of_absent(self, clips: torch.Tensor) -> torch.Tensor:
        """What bodies that are not there give, ``[M, D]``."""
        bodies, *shape = key = tuple(clips.shape[1:])
        if key not in self._absent:
            alike = self._norm is None or self._norm[0].numel() == clips[0, 0, 0].numel()
            body = torch.arange(1 if alike else bodies, device=clips.device)
            pooled = self._pooled(clips.new_zeros(len(body), *shape), body)
            self._absent[key] = pooled.expand(bodies, -1)
        return self._absent[key]

    def _pooled(self, clips: torch.Tensor, body: torch.Tensor) -> torch.Tensor:
        """``[B, T, V, C]``, each with its place in its clip, to ``[B, D]``."""
        if self._norm is not None:
            parts = self._norm.view(3, -1, 1, *clips.shape[2:])  # [3, 1 or M, 1, V, C]
            mean, scale, shift = parts if parts.shape[1] == 1 else parts[:, body]
            clips = (clips - mean) * scale + shift
        return self._backbone(clips.unsqueeze(1)).mean(dim=(1, 3, 4)).float()


def _body_wise(model: nn.Module) -> bool:
    backbone = getattr(model, "backbone", None)
    declared = type(backbone).__name__ in BODY_WISE or getattr(backbone, "body_wise", False)
    return declared and type(getattr(model, "cls_head", None)) is GCNHead


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


def _take_input_norm(backbone: nn.Module) -> torch.Tensor | None:
    """Removes ``data_bn``; returns its mean, scale and shift, ``[3, V C or M V C]``."""
    norm = getattr(backbone, "data_bn", None)
    if norm is None or isinstance(norm, nn.Identity):
        return None
    if not _fixed(norm):
        raise ValueError(f"data_bn is a {type(norm).__name__}")
    backbone.data_bn = nn.Identity()
    parts = (norm.running_mean.double(), _affine(norm)[0], _beta(norm))
    return torch.stack(parts).float()


# -- folding -------------------------------------------------------------------


def fold(network: nn.Module) -> nn.Module:
    """Replaces, in place, mmaction2's graph and temporal units by equal faster ones.

    A unit whose normalization is not a batch normalization with running
    statistics stays as it is. For eval mode only.

    Returns:
        The network; for Shift-GCN without input normalization, another one.
    """
    if isinstance(network, ShiftGCN) and isinstance(network.data_bn, nn.Identity):
        return FoldedShiftGCN(network)
    # unit_aagcn views its input as if it were contiguous.
    channels_last = not any(isinstance(module, unit_aagcn) for module in network.modules())
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            for index in range(len(module) - 1):
                if isinstance(module[index], nn.Conv2d) and _fixed(module[index + 1]):
                    module[index] = _folded([module[index]], module[index + 1])[0]
                    module[index + 1] = nn.Identity()
        elif isinstance(module, unit_tcn) and _fixed(module.bn):
            module.conv, module.bn = _folded([module.conv], module.bn)[0], nn.Identity()
        elif isinstance(module, mstcn) and isinstance(module.transform[-1], nn.Conv2d):
            module.transform[-1] = _folded([module.transform[-1]], module.bn)[0]
            module.bn = nn.Identity()
        elif isinstance(module, unit_aagcn):
            module.conv_d = nn.ModuleList(_folded(list(module.conv_d), module.bn))
            module.bn = nn.Identity()
    _replace(network, lambda module: isinstance(module, unit_gcn) and _fixed(module.bn),
             FoldedGraphConvolution)
    _replace(network, lambda module: type(module) in (STGCNBlock, AAGCNBlock), _Block)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    return network.eval()


def _replace(
    network: nn.Module, which: Callable[[nn.Module], bool], by: Callable[[nn.Module], nn.Module]
) -> None:
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if which(child):
                setattr(parent, name, by(child))


class FoldedGraphConvolution(nn.Module):
    """mmaction2's ``unit_gcn`` as two matrix products, for eval mode.

    Args:
        unit: With its convolution before or after the graph, whichever.
    """

    def __init__(self, unit: unit_gcn) -> None:
        super().__init__()
        graph = unit.A.detach().double()
        if unit.adaptive == "offset":
            graph = graph + unit.PA.detach().double()
        elif unit.adaptive == "importance":
            graph = graph * unit.PA.detach().double()
        subsets, joints, _ = graph.shape
        scale, shift = _affine(unit.bn)
        weight, bias = unit.conv.weight.detach().double()[:, :, 0, 0], unit.conv.bias
        bias = torch.zeros(len(weight)).to(weight) if bias is None else bias.detach().double()
        if unit.conv_pos == "pre":  # weight [K C_out, C_in]; its bias is spread by the graph
            by_subset = weight.view(subsets, -1, weight.shape[1])
            bias = graph.sum(dim=1).T @ bias.view(subsets, -1)  # [V, C_out]
        else:  # weight [C_out, K C_in]
            by_subset = weight.view(len(weight), subsets, -1).transpose(0, 1)
        product = by_subset.transpose(1, 2).reshape(-1, by_subset.shape[1]) * scale
        self.register_buffer("graph", graph.permute(2, 0, 1).reshape(-1, joints).float())
        self.register_buffer("weight", product.float().contiguous())  # [K C_in, C_out]
        self.register_buffer("bias", (bias * scale + shift).float())  # [C_out] or [V, C_out]
        self.down = getattr(unit, "down", None) if unit.with_res else None
        self.act = _in_place(unit.act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C_in, T, V]`` to ``[N, C_out, T, V]``, channels last."""
        n, c, t, v = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(n * t, v, c)
        # [V K, V] on [N T, V, C_in] gives rows (n, t, v) of (k, c): no copy in between.
        spread = torch.bmm(self.graph.expand(n * t, -1, -1), rows)
        y = spread.view(n * t * v, -1) @ self.weight
        y = y.view(n, t, v, -1).add_(self.bias).permute(0, 3, 1, 2)
        return self.act(y if self.down is None else y.add_(self.down(x)))


class _Block(nn.Module):
    """A stage of ST-GCN or AAGCN with its sum and its ReLU in place."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.gcn, self.tcn, self.residual = block.gcn, block.tcn, block.residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tcn(self.gcn(x)).add_(self.residual(x)).relu_()


def _in_place(act: nn.Module) -> nn.Module:
    return nn.ReLU(inplace=True) if type(act) is nn.ReLU else act


def _fixed(norm: nn.Module) -> bool:
    """Whether it is a batch normalization that eval mode makes an affine map."""
    return isinstance(norm, _BatchNorm) and norm.running_mean is not None


def _beta(norm: _BatchNorm) -> torch.Tensor:
    beta = torch.zeros_like(norm.running_mean) if norm.bias is None else norm.bias
    return beta.detach().double()


def _affine(norm: _BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    """Float64 scale and shift by channel."""
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    return scale, _beta(norm) - norm.running_mean.double() * scale


def _folded(convolutions: list[nn.Conv2d], norm: _BatchNorm) -> list[nn.Conv2d]:
    """Convolutions whose sum is that of the given ones, normalized."""
    scale, shift = _affine(norm)
    made = [copy.deepcopy(convolution) for convolution in convolutions]
    for number, convolution in enumerate(made):
        weight = convolution.weight.detach().double() * scale.view(-1, 1, 1, 1)
        bias = convolution.bias.detach().double() * scale if convolution.bias is not None else 0
        convolution.weight = nn.Parameter(weight.float(), requires_grad=False)
        convolution.bias = nn.Parameter(
            (bias + (shift if number == 0 else 0 * shift)).float(), requires_grad=False)
    return made
