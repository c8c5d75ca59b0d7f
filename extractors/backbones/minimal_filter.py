"""The nine-tap convolution along time with 5/9 of its multiplications, on the CPU.

Three outputs of a three-tap filter take five products instead of nine (Winograd 1980;
Lavin and Gray 2016, F(3, 3)): filter and frames are evaluated as polynomials at the
points 0, 1, -1, 2 and infinity, multiplied there and interpolated. Nine taps are three
such filters, three frames apart, so that the evaluated frames, taken every three, serve
all of them, and each point's product is a three-tap convolution over these. What stands
before and after the convolution (bias, ReLU, shortcut) is done on the way in and out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numba import boolean, float32, void
from numba.types import UniTuple
from torch import nn

from zskel.data.common.compiled import jit

TAPS, TILE = 9, 3
# Rows: the points; the last is infinity. Each row but the last is divided by the
# product of the point's distances from the other finite ones.
_FILTER_AT = np.array([
    [1 / 2, 0, 0], [-1 / 2, -1 / 2, -1 / 2], [-1 / 6, 1 / 6, -1 / 6], [1 / 6, 2 / 6, 4 / 6],
    [0, 0, 1],
])
_FRAMES, _ROW = float32[:, :, ::1], float32[::1]


def is_minimal(convolution: nn.Module) -> bool:
    """Whether it is one that ``MinimalFilter`` computes."""
    return (
        isinstance(convolution, nn.Conv2d) and convolution.kernel_size == (TAPS, 1)
        and convolution.stride == convolution.dilation == (1, 1) and convolution.groups == 1
        and convolution.padding == (TAPS // 2, 0) and convolution.bias is not None
    )


class MinimalFilter(nn.Module):
    """``relu(convolution(relu(x + before)) + shortcut)`` for float32 on the CPU, forward only.

    Args:
        convolution: ``is_minimal``; is not changed.
        before: Added to the input, by joint and channel, ``[V, C]``.
    """

    def __init__(self, convolution: nn.Conv2d, before: torch.Tensor) -> None:
        super().__init__()
        assert convolution.bias is not None
        weight = convolution.weight.detach().double()
        taps = weight[:, :, :, 0].unflatten(2, (3, TILE))  # [C', C, filter, tap]
        points = torch.einsum("pk,ocfk->pocf", torch.from_numpy(_FILTER_AT).to(taps), taps)
        self.weights = [
            point[..., None].float().contiguous(memory_format=torch.channels_last)
            for point in points
        ]
        self.before = before.detach().float().flatten().contiguous()
        self.after = convolution.bias.detach().float().repeat(len(before))

    def forward(self, x: torch.Tensor, shortcut: torch.Tensor | None) -> torch.Tensor:
        """``[N, T, V, C]``, which is overwritten, and ``[N, T, V, C']`` or None, to the latter."""
        n, t, v, c = x.shape
        into, out_of = _kernels()
        evaluated = x.new_empty(len(self.weights), n, -(-t // TILE) + 2, v, c)
        into(x.view(n, t, -1).numpy(), self.before.numpy(), evaluated.flatten(3).numpy())
        products = [
            F.conv2d(frames.permute(0, 3, 1, 2), weight).permute(0, 2, 3, 1).contiguous()
            for frames, weight in zip(evaluated, self.weights)
        ]
        out = x.new_empty(n, t, v, products[0].shape[3])
        around = out if shortcut is None else shortcut.contiguous()
        out_of(tuple(part.flatten(2).numpy() for part in products), self.after.numpy(),
               around.flatten(2).numpy(), shortcut is not None, out.flatten(2).numpy())
        return out


@functools.cache
def _kernels() -> tuple[Callable[..., None], Callable[..., None]]:
    """Compiled when first asked for."""
    into = void(_FRAMES, _ROW, float32[:, :, :, ::1])
    out_of = void(UniTuple(_FRAMES, 5), _ROW, _FRAMES, boolean, _FRAMES)

    return jit(into)(_evaluate), jit(out_of)(_interpolate)


# One loop for each row written: with more the compiler cannot tell whether rows
# overlap, and leaves them unvectorized.
def _evaluate(x, before, out):  # type: ignore[no-untyped-def]
    zero = np.float32(0)
    two, three = np.float32(2), np.float32(3)
    clips, frames, size = x.shape
    zeros = np.zeros(size, np.float32)
    for n in range(clips):
        ready = 0
        for tile in range(out.shape[2]):
            first = TILE * tile - TAPS // 2
            while ready < min(first + 5, frames):
                row = x[n, ready]
                for i in range(size):
                    value = row[i] + before[i]
                    # As torch's ReLU: what is not a number stays so.
                    row[i] = zero if value < zero else value
                ready += 1
            d0 = x[n, first] if 0 <= first < frames else zeros
            d1 = x[n, first + 1] if 0 <= first + 1 < frames else zeros
            d2 = x[n, first + 2] if 0 <= first + 2 < frames else zeros
            d3 = x[n, first + 3] if 0 <= first + 3 < frames else zeros
            d4 = x[n, first + 4] if 0 <= first + 4 < frames else zeros
            y = out[0, n, tile]
            for i in range(size):
                y[i] = two * (d0[i] - d2[i]) - d1[i] + d3[i]
            y = out[1, n, tile]
            for i in range(size):
                y[i] = d3[i] - d2[i] - two * d1[i]
            y = out[2, n, tile]
            for i in range(size):
                y[i] = d3[i] - three * d2[i] + two * d1[i]
            y = out[3, n, tile]
            for i in range(size):
                y[i] = d3[i] - d1[i]
            y = out[4, n, tile]
            for i in range(size):
                y[i] = two * (d1[i] - d3[i]) - d2[i] + d4[i]


def _interpolate(products, after, around, add, out):  # type: ignore[no-untyped-def]
    m0, m1, m2, m3, m4 = products
    zero, two, four = np.float32(0), np.float32(2), np.float32(4)
    clips, frames, size = out.shape
    for n in range(clips):
        for t in range(frames):
            tile, place = divmod(t, TILE)
            y, bias = out[n, t], after
            p0, p1, p2, p3, p4 = m0[n, tile], m1[n, tile], m2[n, tile], m3[n, tile], m4[n, tile]
            if place == 0:
                for i in range(size):
                    y[i] = p0[i] + p1[i] + p2[i] + p3[i] + bias[i]
            elif place == 1:
                for i in range(size):
                    y[i] = p1[i] - p2[i] + two * p3[i] + bias[i]
            else:
                for i in range(size):
                    y[i] = p1[i] + p2[i] + four * p3[i] + p4[i] + bias[i]
            if add:
                row = around[n, t]
                for i in range(size):
                    value = y[i] + row[i]
                    y[i] = zero if value < zero else value
            else:
                for i in range(size):
                    value = y[i]
                    y[i] = zero if value < zero else value
