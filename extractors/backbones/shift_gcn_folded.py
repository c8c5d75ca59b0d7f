"""Shift-GCN for extraction only: eval mode folded in, the same numbers, fewer passes.

Activations are ``[V, C, T, N]``. A spatial shift then copies whole rows of a joint's
channel; feature mask and batch normalization, which differ by joint, become weights
by joint, one batched matrix product; a temporal shift adds two rows of N for each
one it writes, with the normalization around it in their weights.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from extractors.backbones.shift_gcn import ShiftBlock, ShiftGCN


class FoldedShiftGCN(nn.Module):
    """A ``ShiftGCN`` in eval mode without its input normalization.

    Args:
        network: Is not changed.
    """

    def __init__(self, network: ShiftGCN) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            _FoldedBlock(network.get_submodule(f"l{number}"))
            for number in range(1, network.num_blocks + 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalized ``[N, M, T, V, C]`` to ``[N, M, C', T', V]``."""
        y = x.flatten(0, 1).permute(2, 3, 1, 0).contiguous()
        for block in self.blocks:
            y = block(y)
        return y.permute(3, 1, 2, 0).unflatten(0, x.shape[:2])


class _FoldedBlock(nn.Module):
    def __init__(self, block: ShiftBlock) -> None:
        super().__init__()
        spatial, temporal = block.gcn1, block.tcn1
        self.shortcut = block.shortcut
        self.stride = temporal.shift_out.stride

        # All of it is said before the shift back, where joint v's channel c is later
        # joint v - c's: then the shift back is only another order of reading.
        mask = torch.tanh(_double(spatial.Feature_Mask[0])) + 1  # [V, C]
        joints = len(mask)
        scale, bias = _affine(spatial.bn)
        back = spatial.shift_out.argsort()
        scale, bias = scale[back].view(joints, -1), bias[back].view(joints, -1)  # [V, C']
        weight = mask[:, :, None] * _double(spatial.Linear_weight) * scale[:, None]
        bias = bias + _double(spatial.Linear_bias).flatten() * scale
        if hasattr(spatial, "down"):
            down, down_bias = _pointwise(spatial.down[0], spatial.down[1])
            self._keep("down", down)
            bias = bias + down_bias
        else:  # back undoes shift_in, so that what is added is what comes in
            self.down = None
            weight = weight + torch.eye(weight.shape[1]).to(weight)
        self._keep("weight", weight.transpose(1, 2))  # [V, C', C]
        self._keep("bias", bias[:, :, None])
        self.register_buffer("shift_in", spatial.shift_in.clone())
        self.register_buffer("shift_out", spatial.shift_out.clone())
        self.register_buffer("back", back)

        self._keep("offset_in", _double(temporal.shift_in.ypos))
        self._keep("offset_out", _double(temporal.shift_out.ypos) + (self.stride - 1) / 2)
        scale_in, shift_in = _affine(temporal.bn)
        scale_out, constant = _affine(temporal.bn2)
        self._keep("scale_in", scale_in)
        self._keep("constant_in", shift_in)
        self._keep("scale_out", scale_out)
        linear = temporal.temporal_linear
        self._keep("linear", _double(linear.weight)[:, :, 0, 0])
        self._keep("linear_bias", _double(linear.bias))
        if hasattr(block, "residual"):
            projection, projection_bias = _pointwise(block.residual.conv, block.residual.bn)
            self._keep("projection", projection)
            constant = constant + projection_bias
        else:
            self.projection = None
        self._keep("constant", constant[:, None, None])
        self._plans: dict[int, tuple[torch.Tensor, ...]] = {}

    def _keep(self, name: str, value: torch.Tensor) -> None:
        self.register_buffer(name, value.detach().float().contiguous())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[V, C, T, N]`` to ``[V, C', T', N]``."""
        v, c, t, n = x.shape
        joints = x.view(v, c, t * n)
        y = joints.view(v * c, -1).index_select(0, self.shift_in).view(v, c, -1)
        if x.device.type == "cpu" and x.dtype == y.dtype == torch.float32 and not (
                torch.is_autocast_enabled("cpu")):
            return self._on_cpu(x, y)
        y = torch.baddbmm(self.bias, self.weight, y)
        if self.down is not None:
            down = _product(self.down, joints).view(len(self.back), -1)
            y = y.add_(down.index_select(0, self.back).view(y.shape))
        y = y.relu_()

        if t not in self._plans:
            self._plans[t] = self._plan(v, t)
        rows_in, share_in, bias, rows_out, share_out = self._plans[t]
        y = _weighted_rows(y.view(-1, n), rows_in, share_in)
        y = _product(self.linear, y.view(v, -1, t * n)).view(v, -1, t, n)
        y = y.add_(bias).relu_()
        y = _weighted_rows(y.view(-1, n), rows_out, share_out).view(v, len(self.linear), -1, n)
        y = y.add_(self.constant)
        if self.projection is not None:
            kept = x[:, :, :: self.stride]
            y = y.add_(_product(self.projection, kept.reshape(v, c, -1)).view(y.shape))
        elif self.shortcut:
            y = y.add_(x)
        return y.relu_()

    def _on_cpu(self, x: torch.Tensor, shifted: torch.Tensor) -> torch.Tensor:
        """The rest of ``forward``, each shift in one pass with what surrounds it."""
        v, c, t, n = x.shape
        if t not in self._plans:
            self._plans[t] = self._plan(v, t)
        middle = self._plans[t][2].view(-1, t)
        y = torch.bmm(self.weight, shifted)
        if self.down is not None:
            down = _product(self.down, x.view(v, c, -1)).view(len(self.back), -1)
            y = y.add_(down.index_select(0, self.back).view(y.shape))
        none = torch.zeros(1, 1, 1)
        after = self.bias.flatten()[:, None].expand(-1, t)
        y = _shifted(y.view(-1, t, n), self.shift_out, self.offset_in, self.scale_in, after,
                     torch.zeros_like(self.scale_in), none, 1, False)
        y = _product(self.linear, y.view(v, -1, t * n))
        if self.projection is not None:
            kept = x[:, :, :: self.stride].reshape(v, c, -1)
            around = _product(self.projection, kept).view(v * len(self.linear), -1, n)
        else:
            around = x.view(v * c, t, n) if self.shortcut else none
        same = torch.arange(len(self.shift_out))
        y = _shifted(y.view(-1, t, n), same, self.offset_out, self.scale_out, middle,
                     self.constant.flatten(), around, self.stride, True)
        return y.view(v, len(self.linear), -1, n)

    def _plan(self, joints: int, frames: int) -> tuple[torch.Tensor, ...]:
        """For clips of a length: which rows, how much of each, and the bias in between."""
        rows_in, share_in = _taps(self.offset_in, self.shift_out, frames, 1)
        as_they_are = torch.arange(len(self.shift_out), device=self.shift_out.device)
        rows_out, share_out = _taps(self.offset_out, as_they_are, frames, self.stride)
        # Frames outside the clip are zero after the first normalization, not before.
        inside = share_in.sum(dim=2)[: len(self.linear)]  # [C, T]
        bias = self.linear @ (self.constant_in[:, None] * inside) + self.linear_bias[:, None]
        return (
            rows_in, (share_in * self.scale_in.repeat(joints)[:, None, None]).flatten(0, 1),
            bias[:, :, None],
            rows_out, (share_out * self.scale_out.repeat(joints)[:, None, None]).flatten(0, 1),
        )


def _taps(
    offset: torch.Tensor, source: torch.Tensor, frames: int, stride: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two rows of ``[V C T, N]`` between which each output frame lies.

    Args:
        offset: ``[C]``.
        source: ``[V C]``, which joint's channel to read.
        frames, stride: T, and how many of them an output frame stands for.

    Returns:
        int32 ``[V C T', 2]`` and their shares ``[V C, T', 2]``, zero outside the clip.
    """
    start = torch.arange(0, frames, stride, device=offset.device)
    below = offset.floor()
    frame = start + below.long()[:, None]
    frame = torch.stack((frame, frame + 1), dim=-1)  # [C, T', 2]
    share = (offset - below)[:, None].expand(-1, len(start))
    share = torch.stack((1 - share, share), dim=-1) * ((frame >= 0) & (frame < frames))
    joints = len(source) // len(offset)
    rows = source[:, None, None] * frames + frame.clamp(0, frames - 1).repeat(joints, 1, 1)
    return rows.flatten(0, 1).int(), share.repeat(joints, 1, 1)


def _shifted(
    table: torch.Tensor, source: torch.Tensor, offset: torch.Tensor, scale: torch.Tensor,
    bias: torch.Tensor, constant: torch.Tensor, around: torch.Tensor, stride: int, relu: bool,
) -> torch.Tensor:
    """A temporal shift of ``relu(table + bias)``, scaled, with what is added after it.

    Args:
        table: ``[V C, T, N]``.
        source: ``[V C]``, which joint's channel to read.
        offset, scale, constant: ``[C]``.
        bias: ``[V C, T]`` or ``[C, T]``.
        around: What is added, ``[V C, T', N]``, or ``[1, 1, 1]`` for nothing.
        stride: Along time.
        relu: Whether one comes last.
    """
    out = torch.empty(len(source), -(-table.shape[1] // stride), table.shape[2])
    below = offset.floor()
    arrays = (table, source, below.long(), scale * (1 - (offset - below)),
              scale * (offset - below), bias, constant, around)
    _shift_kernel(*(array.numpy() for array in arrays), stride, relu, out.numpy())
    return out


# One thread on purpose: numba's parallel loops set the number of OpenMP threads of
# the whole process, and with it the order of sums in a training that comes after.
@numba.njit
def _shift_kernel(  # type: ignore[no-untyped-def]
    table, source, first, low, high, bias, constant, around, stride, relu, out
):
    zero = np.float32(0)
    channels, frames, bodies = len(first), table.shape[1], table.shape[2]
    add = around.shape[0] == out.shape[0]
    for row in range(out.shape[0]):
        c, read = row % channels, source[row]
        shared = read % bias.shape[0]
        for t in range(out.shape[1]):
            for n in range(bodies):
                out[row, t, n] = constant[c]
            if add:
                for n in range(bodies):
                    out[row, t, n] += around[row, t, n]
            for tap in range(2):
                frame = t * stride + first[c] + tap
                if 0 <= frame < frames:
                    share = high[c] if tap else low[c]
                    extra = bias[shared, frame]
                    for n in range(bodies):
                        value = table[read, frame, n] + extra
                        # As torch's: what is not a number stays so.
                        out[row, t, n] += share * (zero if value < zero else value)
            if relu:
                for n in range(bodies):
                    value = out[row, t, n]
                    out[row, t, n] = zero if value < zero else value


def _weighted_rows(
    table: torch.Tensor, rows: torch.Tensor, share: torch.Tensor
) -> torch.Tensor:
    starts = torch.arange(0, rows.numel(), 2, dtype=rows.dtype, device=rows.device)
    return F.embedding_bag(rows.flatten(), table, starts, mode="sum",
                           per_sample_weights=share.flatten().to(table.dtype))


def _product(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """``[C', C]`` with each of ``[V, C, K]``."""
    return torch.bmm(weight.expand(len(x), -1, -1), x)


def _double(value: torch.Tensor) -> torch.Tensor:
    return value.detach().double()


def _affine(norm: _BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    scale = _double(norm.weight) * (_double(norm.running_var) + norm.eps).rsqrt()
    return scale, _double(norm.bias) - _double(norm.running_mean) * scale


def _pointwise(convolution: nn.Conv2d, norm: _BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    scale, shift = _affine(norm)
    weight = _double(convolution.weight)[:, :, 0, 0] * scale[:, None]
    return weight, _double(convolution.bias) * scale + shift
