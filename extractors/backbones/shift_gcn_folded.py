"""Shift-GCN for extraction only: eval mode folded in, the same numbers, fewer passes.

Activations are ``[V, C, T, N]``. A spatial shift then copies whole rows of a joint's
channel; feature mask and batch normalization, which differ by joint, become weights
by joint, one batched matrix product; a temporal shift adds two rows of N for each
one it writes, with the normalization around it in their weights. In float32 on the
CPU ``shift_gcn_kernel`` does the same without the copies.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from zskel.extractors.backbones.shift_gcn import ShiftBlock, ShiftGCN
from zskel.extractors.backbones.shift_gcn_kernel import Frames, Weights, run_block, tap_table


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
        if y.device.type == "cpu" and y.dtype == torch.float32 and not (
                torch.is_autocast_enabled("cpu")):
            y = self._on_cpu(y)
        else:
            for block in self.blocks:
                y = block(y)
        return y.permute(3, 1, 2, 0).unflatten(0, x.shape[:2])

    def _on_cpu(self, x: torch.Tensor) -> torch.Tensor:
        joints, bodies = len(x), x.shape[3]
        # Each block writes its rows where the next one's spatial shift wants them.
        y = x.flatten(0, 1).flatten(1)[self.blocks[0].shift_in]
        for block, following in zip(self.blocks, [*self.blocks[1:], None]):
            write = block.same if following is None else following.undo_in
            y = block.on_cpu(y, bodies, block.undo_in, write)
        return y.view(joints, -1, y.shape[1] // bodies, bodies)


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
        self.register_buffer("undo_in", spatial.shift_in.argsort())
        self.register_buffer("shift_out", spatial.shift_out.clone())
        self.register_buffer("back", back)
        self.register_buffer("same", torch.arange(len(back), device=back.device))

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

    def on_cpu(
        self, x: torch.Tensor, bodies: int, place: torch.Tensor, write: torch.Tensor
    ) -> torch.Tensor:
        """``forward`` in as few passes as there can be between the matrix products.

        Args:
            x: ``[V C, T N]``, row ``place[k]`` of which is row k of the input.
            bodies: N.
            place: ``[V C]``.
            write: ``[V C']``, where each row of the output goes.

        Returns:
            ``[V C', T' N]``.
        """
        v, c_out, c = self.weight.shape
        frames = x.shape[1] // bodies
        out = x.new_empty(v * c_out, -(-frames // self.stride) * bodies)
        none, empty = np.zeros(c_out), np.empty((0, c), np.float32)
        down, projection = (empty if matrix is None else matrix.numpy()
                            for matrix in (self.down, self.projection))
        taps_in = tap_table(self.offset_in.numpy(), self.scale_in.numpy(),
                            self.constant_in.numpy(), none, frames)
        taps_out = tap_table(self.offset_out.numpy(), self.scale_out.numpy(), none,
                             self.constant.flatten().numpy(), frames)
        weights = Weights(
            self.shift_out.view(v, c_out).numpy(),
            self.bias[:, :, 0].contiguous().numpy(), down, taps_in, self.linear.numpy(),
            self.linear_bias.numpy(), taps_out, projection, self.shortcut)
        joints = x.view(v, c, -1)
        spread = torch.bmm(self.weight, joints).flatten(0, 1)
        run_block()(joints.numpy(), spread.numpy(), place.view(v, c).numpy(), weights,
                    write.view(v, c_out).numpy(), Frames(bodies, self.stride), out.numpy())
        return out

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
