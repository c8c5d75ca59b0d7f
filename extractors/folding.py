"""mmaction2's graph and temporal units as equal faster ones, for eval mode only.

* A convolution and the batch normalization after it are one convolution.
* The graph convolution, a sum over subsets k of x A_k W_k (Yan et al. 2018,
  equation 10), is two matrix products on channels-last activations, with the
  importance weights and the normalization multiplied in beforehand.
* ST-GCN's convolution along time takes a third of its multiplications on the CPU, and
  its product with the graph leaves out the zeros.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from mmaction.models.backbones.aagcn import AAGCNBlock
from mmaction.models.backbones.stgcn import STGCNBlock
from mmaction.models.utils.gcn_utils import mstcn, unit_aagcn, unit_gcn, unit_tcn
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from zskel.extractors.backbones.minimal_filter import MinimalFilter, is_minimal
from zskel.extractors.backbones.shift_gcn import ShiftGCN
from zskel.extractors.backbones.shift_gcn_folded import FoldedShiftGCN
from zskel.extractors.backbones.sparse_graph import SparseGraph, is_sparse

# Taken at a time in a graph convolution on the CPU: what lies between its two
# products stays in the cache.
_FRAMES = 25


def take_input_norm(backbone: nn.Module) -> torch.Tensor | None:
    """Removes ``data_bn``; returns its mean, scale and shift, ``[3, V C or M V C]``."""
    norm = getattr(backbone, "data_bn", None)
    if norm is None or isinstance(norm, nn.Identity):
        return None
    if not _fixed(norm):
        raise ValueError(f"data_bn is a {type(norm).__name__}")
    backbone.data_bn = nn.Identity()
    parts = (norm.running_mean.double(), _affine(norm)[0], _beta(norm))
    return torch.stack(parts).float()


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
    return network.eval().requires_grad_(False)


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
        self.sparse = SparseGraph(self.graph) if is_sparse(self.graph) else None
        self.register_buffer("weight", product.float().contiguous())  # [K C_in, C_out]
        self.register_buffer("bias", (bias * scale + shift).float())  # [C_out] or [V, C_out]
        self.down = getattr(unit, "down", None) if unit.with_res else None
        self.act = _in_place(unit.act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C_in, T, V]`` to ``[N, C_out, T, V]``, channels last."""
        y = self.product(x).add_(self.bias).permute(0, 3, 1, 2)
        return self.act(y if self.down is None else y.add_(self.down(x)))

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """What bias and activation are yet to come to, ``[N, T, V, C_out]``."""
        n, c, t, v = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(n * t, v, c)
        # [V K, V] on [T, V, C_in] gives rows (t, v) of (k, c): no copy in between.
        if not _plain(x):
            spread = torch.bmm(self.graph.expand(n * t, -1, -1), rows)
            return (spread.view(n * t * v, -1) @ self.weight).view(n, t, v, -1)
        y = x.new_empty(n * t, v, len(self.weight.T))
        room = x.new_empty(min(_FRAMES, n * t), len(self.graph), c)
        for part, out in zip(rows.split(_FRAMES), y.split(_FRAMES)):
            spread = room[: len(part)]
            if self.sparse is not None:
                self.sparse.product(part, spread)
            else:
                torch.bmm(self.graph.expand(len(part), -1, -1), part, out=spread)
            torch.mm(spread.view(len(part) * v, -1), self.weight, out=out.flatten(0, 1))
        return y.view(n, t, v, -1)


def _plain(x: torch.Tensor) -> bool:
    """Whether the processor computes in float32, as what is made for it expects."""
    return (x.device.type == "cpu" and x.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu"))


class _Block(nn.Module):
    """A stage of ST-GCN or AAGCN with its sum and its ReLU in place."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.gcn, self.tcn, self.residual = block.gcn, block.tcn, block.residual
        self.minimal = None
        if (isinstance(self.gcn, FoldedGraphConvolution) and self.gcn.down is None
                and type(self.gcn.act) is nn.ReLU and type(self.tcn) is unit_tcn
                and isinstance(self.tcn.bn, nn.Identity) and is_minimal(self.tcn.conv)
                and self.gcn.bias.device.type == "cpu"):
            joints = self.gcn.graph.shape[1]
            self.minimal = MinimalFilter(self.tcn.conv, self.gcn.bias.expand(joints, -1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual = self.residual(x)
        # Lower precisions have too few digits for it, other devices ways of their own.
        if self.minimal is not None and _plain(x):
            around = residual.permute(0, 2, 3, 1) if isinstance(residual, torch.Tensor) else None
            return self.minimal(self.gcn.product(x), around).permute(0, 3, 1, 2)
        return self.tcn(self.gcn(x)).add_(residual).relu_()


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
