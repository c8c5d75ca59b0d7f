"""The two shifts of Shift-GCN: along the joints, fixed, and along time, learnt.

Cheng et al., "Skeleton-Based Action Recognition with Shift Graph Convolutional
Network", CVPR 2020, sections 3.1 (non-local spatial shift) and 3.2 (adaptive
temporal shift). Both are ordinary PyTorch operations, for any device and
precision.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def joint_shift_index(num_joints: int, channels: int, back: bool = False) -> torch.Tensor:
    """Where each entry of a shifted frame comes from.

    A frame is a vector of ``num_joints * channels`` entries, joint by joint. In
    the shifted frame, joint i has channel j of joint i + j, so that every joint
    sees some channels of every other; ``back`` undoes that: channel j of joint
    i - j. Joints count modulo ``num_joints``.

    Returns:
        Int64 ``[num_joints * channels]``: entry k comes from entry ``index[k]``.

    >>> joint_shift_index(3, 2)  # channel 0 stays, channel 1 comes from the next joint
    tensor([0, 3, 2, 5, 4, 1])
    >>> joint_shift_index(3, 2)[joint_shift_index(3, 2, back=True)]
    tensor([0, 1, 2, 3, 4, 5])
    """
    joint = torch.arange(num_joints)[:, None]
    channel = torch.arange(channels)
    step = -channels if back else channels
    return ((joint * channels + channel + channel * step) % (num_joints * channels)).flatten()


class _Permute(torch.autograd.Function):
    # Autograd's own backward of index_select adds up, as if entries could repeat.
    @staticmethod
    def forward(ctx, frames, index, inverse):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(index, inverse)
        return frames.index_select(1, index)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        index, inverse = ctx.saved_tensors
        return _Permute.apply(gradient, inverse, index), None, None


def spatial_shift(
    frames: torch.Tensor, index: torch.Tensor, inverse: torch.Tensor
) -> torch.Tensor:
    """Permutes the entries of each frame.

    Args:
        frames: ``[B, K]``, each row a frame, joint by joint.
        index: Int64 ``[K]``, a permutation; see ``joint_shift_index``.
        inverse: Its inverse; for a shift the shift back, and the other way round.

    Returns:
        ``[B, K]``, ``frames[:, index]``.
    """
    return _Permute.apply(frames, index, inverse)


def temporal_shift(x: torch.Tensor, offset: torch.Tensor, stride: int = 1) -> torch.Tensor:
    """Reads every channel at an offset of its own along time.

    ``y[:, c, t] = x[:, c, t * stride + offset[c] + (stride - 1) / 2]``, linearly
    interpolated between the two neighbouring frames; frames outside the clip are
    zeros. The last term, 0.5 for stride 2, puts the offset 0 in the middle of the
    frames that the stride joins. Differentiable in both arguments; at a whole
    number of frames the offset's derivative is that from above.

    Computed as a depthwise convolution whose kernels have two taps that are not
    zero, which needs neither index tensors nor copies of ``x``. The kernels are
    as long as the largest offset asks for.

    Args:
        x: ``[N, C, T, V]``.
        offset: In frames, ``[C]``.
        stride: Along time.

    Returns:
        ``[N, C, ceil(T / stride), V]``.

    >>> x = torch.tensor([1.0, 2.0, 4.0]).view(1, 1, 3, 1)
    >>> temporal_shift(x, torch.tensor([0.5])).flatten()
    tensor([1.5000, 3.0000, 2.0000])
    >>> temporal_shift(x, torch.tensor([-1.0])).flatten()
    tensor([0., 1., 2.])
    """
    frames = x.shape[2]
    position = offset + (stride - 1) / 2
    below = position.detach().floor()
    # Taps further away than the clip is long meet zeros only.
    far = torch.maximum(-below, below + 1).nan_to_num(0.0).max()
    reach = int(far.clamp(0, frames - 1))
    taps = torch.arange(-reach, reach + 1, device=x.device)
    share = (position - below)[:, None]
    kernel = (taps == below[:, None]) * (1 - share) + (taps == below[:, None] + 1) * share
    return F.conv2d(
        x, kernel[:, None, :, None].to(x.dtype), stride=(stride, 1), padding=(reach, 0),
        groups=x.shape[1],
    )


class TemporalShift(nn.Module):
    """``temporal_shift`` with learnt offsets, uniform in -1..1 frames at first.

    Args:
        channels: C.
        stride: Along time.

    Attributes:
        ypos: Offsets along time in frames, ``[C]``, learnt.
        xpos: Offsets along the joints, ``[C]``: zeros without any effect. The
            published weights have such a parameter, of about 1e-8, so that it
            is kept for the state dict, without a gradient.
    """

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.xpos = nn.Parameter(torch.zeros(channels), requires_grad=False)
        self.ypos = nn.Parameter(torch.empty(channels).uniform_(-1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return temporal_shift(x, self.ypos, self.stride)
