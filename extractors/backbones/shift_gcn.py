"""Shift-GCN in plain PyTorch, with the parameter names of its authors' weights.

Cheng et al., "Skeleton-Based Action Recognition with Shift Graph Convolutional
Network", CVPR 2020: the non-local spatial shift and the adaptive temporal shift.
Tensors between layers are ``[N, C, T, V]`` in the channels-last memory format,
in which a frame lies in memory joint by joint, as the spatial shift wants it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import nn

from zskel.data.common.errors import BadConfig
from zskel.extractors.backbones.shift import (
    TemporalShift,
    joint_shift_index,
    spatial_shift,
)

PUBLISHED_CHANNELS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
PUBLISHED_STRIDES = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)


@MODELS.register_module()
class ShiftGCN(BaseModule):
    """Shift-GCN's blocks, for mmaction2's ``RecognizerGCN`` with ``GCNHead``.

    The defaults are the published network. ``shift_gcn_weights.load_published``
    takes its authors' weights.

    Args:
        channels: Output channels of each block; the last is the size of f_x.
        strides: Of each block along time.
        in_channels: Coordinates of a joint.
        num_joints: V.
        num_person: M, bodies that a clip has; the input's normalization has
            statistics of its own for each.

    Raises:
        BadConfig: No blocks, or not as many strides as blocks.
    """

    def __init__(
        self,
        channels: Sequence[int] = PUBLISHED_CHANNELS,
        strides: Sequence[int] = PUBLISHED_STRIDES,
        in_channels: int = 3,
        num_joints: int = 25,
        num_person: int = 2,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if not channels or len(channels) != len(strides):
            raise BadConfig(f"ShiftGCN: {len(channels)} channels and {len(strides)} strides, "
                            "expected one of each for every block")
        self.num_blocks = len(channels)
        self.num_person = num_person
        self.data_bn = nn.BatchNorm1d(num_person * num_joints * in_channels)
        inputs = [in_channels, *channels]
        for number, (c_in, c_out, stride) in enumerate(zip(inputs, channels, strides), 1):
            block = ShiftBlock(c_in, c_out, num_joints, stride, residual=number > 1)
            self.add_module(f"l{number}", block)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Runs the network.

        Args:
            x: ``[N, M, T, V, C]``, as ``FormatGCNInput`` makes it.

        Returns:
            ``[N, M, C', T', V]``.
        """
        n, m, t, v, c = x.shape
        if m != self.num_person:
            raise BadConfig(f"ShiftGCN: clips have {m} bodies, expected {self.num_person}; let "
                            "FormatGCNInput's num_person and the backbone's be the same")
        x = self.data_bn(x.permute(0, 1, 3, 4, 2).reshape(n, m * v * c, t))
        x = x.view(n, m, v, c, t).permute(0, 1, 4, 2, 3).reshape(n * m, t, v, c)
        x = x.permute(0, 3, 1, 2)
        for number in range(1, self.num_blocks + 1):
            x = self.get_submodule(f"l{number}")(x)
        return x.unflatten(0, (n, m))


class ShiftBlock(nn.Module):
    """A spatial and a temporal shift convolution with a shortcut around both.

    Args:
        c_in, c_out: Channels.
        num_joints: V.
        stride: Along time.
        residual: Whether it has the shortcut; the published first block has none.
    """

    def __init__(
        self, c_in: int, c_out: int, num_joints: int, stride: int, residual: bool
    ) -> None:
        super().__init__()
        self.gcn1 = SpatialShiftConv(c_in, c_out, num_joints)
        self.tcn1 = TemporalShiftConv(c_out, stride)
        self.shortcut = residual
        if residual and (c_in != c_out or stride != 1):
            self.residual = Projection(c_in, c_out, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, T, V]`` to ``[N, C', T', V]``."""
        y = self.tcn1(self.gcn1(x))
        if self.shortcut:
            y = y + (self.residual(x) if hasattr(self, "residual") else x)
        return F.relu(y, inplace=True)


class SpatialShiftConv(nn.Module):
    """Shift along the joints, linear map of each joint, shift back (section 3.1).

    Args:
        c_in, c_out: Channels.
        num_joints: V.
    """

    shift_in: torch.Tensor
    shift_out: torch.Tensor
    _undo_in: torch.Tensor
    _undo_out: torch.Tensor

    def __init__(self, c_in: int, c_out: int, num_joints: int) -> None:
        super().__init__()
        self.Linear_weight = nn.Parameter(torch.randn(c_in, c_out) / c_out**0.5)
        self.Linear_bias = nn.Parameter(torch.zeros(1, 1, c_out))
        self.Feature_Mask = nn.Parameter(torch.zeros(1, num_joints, c_in))
        self.register_buffer("shift_in", joint_shift_index(num_joints, c_in))
        self.register_buffer("shift_out", joint_shift_index(num_joints, c_out, back=True))
        undo_in = joint_shift_index(num_joints, c_in, back=True)
        self.register_buffer("_undo_in", undo_in, persistent=False)
        undo_out = joint_shift_index(num_joints, c_out)
        self.register_buffer("_undo_out", undo_out, persistent=False)
        self.bn = nn.BatchNorm1d(num_joints * c_out)
        if c_in != c_out:
            self.down = nn.Sequential(_pointwise(c_in, c_out), nn.BatchNorm2d(c_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, T, V]`` to ``[N, C', T, V]``."""
        n, c, t, v = x.shape
        frames = x.permute(0, 2, 3, 1).reshape(n * t, v * c)
        y = spatial_shift(frames, self.shift_in, self._undo_in).view(n * t, v, c)
        y = y * (torch.tanh(self.Feature_Mask) + 1)
        y = y @ self.Linear_weight + self.Linear_bias
        y = self.bn(spatial_shift(y.flatten(1), self.shift_out, self._undo_out))
        y = y.view(n, t, v, -1).permute(0, 3, 1, 2)
        return F.relu(y + (self.down(x) if hasattr(self, "down") else x), inplace=True)


class TemporalShiftConv(nn.Module):
    """Shift along time, linear map of each joint, shift again (section 3.2).

    Args:
        channels: C, in and out.
        stride: Of the second shift.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.shift_in = TemporalShift(channels)
        self.temporal_linear = _pointwise(channels, channels)
        self.shift_out = TemporalShift(channels, stride)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, T, V]`` to ``[N, C, T', V]``."""
        y = F.relu(self.temporal_linear(self.shift_in(self.bn(x))), inplace=True)
        return self.bn2(self.shift_out(y))


class Projection(nn.Module):
    """The shortcut where the shape changes."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv = _pointwise(c_in, c_out, stride)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, T, V]`` to ``[N, C', T', V]``."""
        return self.bn(self.conv(x))


def _pointwise(c_in: int, c_out: int, stride: int = 1) -> nn.Conv2d:
    convolution = nn.Conv2d(c_in, c_out, 1, stride=(stride, 1))
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out")
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    return convolution
