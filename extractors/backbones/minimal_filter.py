"""ST-GCN's convolution along time with a third of its multiplications, on the CPU.

Three outputs of a three-tap filter take five products instead of nine (Winograd 1980;
Lavin and Gray 2016, F(3, 3)): filter and frames are evaluated as polynomials at the
points 0, 1, -1, 2 and infinity, multiplied there and interpolated. Nine taps are three
such filters, three frames apart, which is a three-tap filter again: done in both levels,
nine outputs take 25 products instead of 81. With a stride of two, even and odd frames are
filtered alone, by five and four taps: two filters of three each, three outputs of which
take four products (points 0, 1, -1 and infinity), so that nine outputs take 20 for either.
Each of the 25 or 20 is one matrix product over the channels of all joints and tiles of nine
frames. What stands before and after the convolution (bias, ReLU, shortcut) is done on the
way in and out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numba
import numpy as np
import torch
import torch.nn.functional as F
from numba import boolean, float32, int64, void
from torch import nn

from zskel.data.common.compiled import OPTIONS, jit

TAPS, TILE, POINTS = 9, 9, 5
# Of filters of so many taps. Rows: the points; the last is infinity. Each row but the last
# is divided by the product of the point's distances from the other finite ones.
_FILTER_AT = {
    3: [[1 / 2, 0, 0], [-1 / 2, -1 / 2, -1 / 2], [-1 / 6, 1 / 6, -1 / 6],
        [1 / 6, 2 / 6, 4 / 6], [0, 0, 1]],
    2: [[-1, 0], [1 / 2, 1 / 2], [1 / 2, -1 / 2], [0, 1]],
}
# Of a matrix product, at least where there are bodies enough: fewer are slower, and with
# many more what lies between the three steps does not stay in the processor's cache.
_ROWS = 150
# Values that are taken through both levels at once; the sizes of NTU's 25 joints are
# multiples of it, and its rows do not lie at the same places of the cache.
_BLOCK = 160
# Memory that is used again, for new pages cost as much time as what is done in them.
# Each thread that is in ``forward`` has one of its own.
_rooms: list[np.ndarray] = []
_ROW, _FRAMES = float32[::1], float32[:, :, ::1]
_PRODUCTS = float32[:, :, :, :, ::1]


def is_minimal(convolution: nn.Module) -> bool:
    """Whether it is one that ``MinimalFilter`` computes."""
    return (
        isinstance(convolution, nn.Conv2d) and convolution.kernel_size == (TAPS, 1)
        and convolution.stride in ((1, 1), (2, 1)) and convolution.dilation == (1, 1)
        and convolution.groups == 1
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
        self._stride = convolution.stride[0]
        filters = 3 if self._stride == 1 else 2
        weight = convolution.weight.detach().double()[..., 0]
        weight = F.pad(weight, (0, 3 * filters * self._stride - TAPS))
        taps = weight.unflatten(2, (filters, 3, self._stride))  # [C', C, filter, tap, phase]
        over, within = (torch.tensor(_FILTER_AT[count]).to(taps) for count in (filters, 3))
        points = torch.einsum("qf,pk,ocfks->sqpco", over, within, taps)
        self.weight = points.flatten(1, 2).float().contiguous()  # [phase, 25 or 20, C, C']
        self.before = before.detach().float().flatten().contiguous()
        self.after = convolution.bias.detach().float().repeat(len(before))

    def forward(self, x: torch.Tensor, shortcut: torch.Tensor | None) -> torch.Tensor:
        """``[N, T, V, C]`` and ``[N, T, V, C']`` or None, to the latter."""
        (n, t, v, c), (_, points, _, made) = x.shape, self.weight.shape
        frames = -(-t // self._stride)
        out = x.new_empty(n, frames, v, made)
        around = out if shortcut is None else shortcut.contiguous()
        tiles = -(-frames // TILE)
        bodies = max(1, _ROWS // (tiles * v))
        into, out_of = _kernels()
        try:
            room = _rooms.pop()
        except IndexError:
            room = np.empty(0, np.float32)
        for first in range(0, n, bodies):
            some = slice(first, min(first + bodies, n))
            lie = (points // POINTS, POINTS, some.stop - first, tiles)
            size = points * (some.stop - first) * tiles * v
            if len(room) < size * (c + made):
                room = np.empty(size * (c + made), np.float32)
            evaluated, products = room[: size * c], room[size * c : size * (c + made)]
            factor = torch.from_numpy(evaluated).view(points, -1, c)
            product = torch.from_numpy(products).view(points, -1, made)
            for phase, weight in enumerate(self.weight):
                into(x[some].flatten(2).numpy(), self.before.numpy(), self._stride, phase,
                     evaluated.reshape(*lie, v * c))
                if phase == 0:
                    torch.bmm(factor, weight, out=product)
                else:
                    product.baddbmm_(factor, weight)
            out_of(products.reshape(*lie, v * made), self.after.numpy(),
                   around[some].flatten(2).numpy(), shortcut is not None,
                   out[some].flatten(2).numpy())
        _rooms.append(room)
        return out


@functools.cache
def _kernels() -> tuple[Callable[..., None], Callable[..., None]]:
    """Compiled when first asked for."""
    into = void(_FRAMES, _ROW, int64, int64, _PRODUCTS)
    out_of = void(_PRODUCTS, _ROW, _FRAMES, boolean, _FRAMES)
    return jit(into)(_evaluate), jit(out_of)(_interpolate)


# Rows of _BLOCK values in one array each for what is read and what is written: their
# distances are constants, so that the compiler sees that a loop can be vectorized.
@numba.njit(**OPTIONS)
def _at_points(read, written):  # type: ignore[no-untyped-def]
    """Evaluates five consecutive rows; of those written, every fifth."""
    two, three = np.float32(2), np.float32(3)
    for i in range(_BLOCK):
        d0, d1, d2 = read[i], read[i + _BLOCK], read[i + 2 * _BLOCK]
        d3, d4 = read[i + 3 * _BLOCK], read[i + 4 * _BLOCK]
        written[i] = two * (d0 - d2) - d1 + d3
        written[i + 5 * _BLOCK] = d3 - d2 - two * d1
        written[i + 10 * _BLOCK] = d3 - three * d2 + two * d1
        written[i + 15 * _BLOCK] = d3 - d1
        written[i + 20 * _BLOCK] = two * (d1 - d3) - d2 + d4


@numba.njit(**OPTIONS)
def _at_four(read, written):  # type: ignore[no-untyped-def]
    """``_at_points`` of four consecutive rows, at four points."""
    for i in range(_BLOCK):
        d0, d1, d2, d3 = read[i], read[i + _BLOCK], read[i + 2 * _BLOCK], read[i + 3 * _BLOCK]
        written[i] = d2 - d0
        written[i + 5 * _BLOCK] = d2 + d1
        written[i + 10 * _BLOCK] = d2 - d1
        written[i + 15 * _BLOCK] = d3 - d1


@numba.njit(**OPTIONS)
def _from_points(read, written):  # type: ignore[no-untyped-def]
    """Interpolates from five consecutive rows; of those written, every fifth."""
    two, four = np.float32(2), np.float32(4)
    for i in range(_BLOCK):
        p0, p1, p2 = read[i], read[i + _BLOCK], read[i + 2 * _BLOCK]
        p3, p4 = read[i + 3 * _BLOCK], read[i + 4 * _BLOCK]
        written[i] = p0 + p1 + p2 + p3
        written[i + 5 * _BLOCK] = p1 - p2 + two * p3
        written[i + 10 * _BLOCK] = p1 + p2 + four * p3 + p4


@numba.njit(**OPTIONS)
def _from_four(read, written):  # type: ignore[no-untyped-def]
    """``_from_points`` of four consecutive rows."""
    for i in range(_BLOCK):
        p0, p1, p2, p3 = read[i], read[i + _BLOCK], read[i + 2 * _BLOCK], read[i + 3 * _BLOCK]
        written[i] = p0 + p1 + p2
        written[i + 5 * _BLOCK] = p1 - p2
        written[i + 10 * _BLOCK] = p1 + p2 + p3


def _evaluate(x, before, stride, phase, out):  # type: ignore[no-untyped-def]
    """``[N, T, V C]``, every how many frames from the first on, to
    ``[5 or 4, 5, N, tiles, V C]``."""
    zero = np.float32(0)
    clips, frames, size = x.shape
    over = len(out)
    entered = np.zeros(17 * _BLOCK, np.float32)
    near, far = np.zeros(25 * _BLOCK, np.float32), np.zeros(25 * _BLOCK, np.float32)
    for n in range(clips):
        for tile in range(out.shape[3]):
            for begin in range(0, size, _BLOCK):
                end = min(begin + _BLOCK, size)
                width = end - begin
                bias = before[begin:end]
                for k in range(3 * over + 2):
                    t = stride * (TILE * tile + k) - TAPS // 2 + phase
                    row = entered[k * _BLOCK : k * _BLOCK + width]
                    if 0 <= t < frames:
                        frame = x[n, t, begin:end]
                        for i in range(width):
                            value = frame[i] + bias[i]
                            # As torch's ReLU: what is not a number stays so.
                            row[i] = zero if value < zero else value
                    else:
                        for i in range(width):
                            row[i] = zero
                for a in range(over):
                    _at_points(entered[3 * a * _BLOCK :], near[a * _BLOCK :])
                for p in range(5):
                    if over == 5:
                        _at_points(near[5 * p * _BLOCK :], far[p * _BLOCK :])
                    else:
                        _at_four(near[5 * p * _BLOCK :], far[p * _BLOCK :])
                for q in range(over):
                    for p in range(5):
                        found = far[(5 * q + p) * _BLOCK :]
                        row = out[q, p, n, tile, begin:end]
                        for i in range(width):
                            row[i] = found[i]


def _interpolate(products, after, around, add, out):  # type: ignore[no-untyped-def]
    """``[5 or 4, 5, N, tiles, V C']`` to ``[N, T, V C']``."""
    zero = np.float32(0)
    clips, frames, size = out.shape
    over = len(products)
    entered, far = np.zeros(25 * _BLOCK, np.float32), np.zeros(15 * _BLOCK, np.float32)
    near = np.zeros(15 * _BLOCK, np.float32)
    for n in range(clips):
        for tile in range(products.shape[3]):
            for begin in range(0, size, _BLOCK):
                end = min(begin + _BLOCK, size)
                width = end - begin
                bias = after[begin:end]
                for q in range(over):
                    for p in range(5):
                        row = entered[(5 * p + q) * _BLOCK :]
                        found = products[q, p, n, tile, begin:end]
                        for i in range(width):
                            row[i] = found[i]
                for p in range(5):
                    if over == 5:
                        _from_points(entered[5 * p * _BLOCK :], far[p * _BLOCK :])
                    else:
                        _from_four(entered[5 * p * _BLOCK :], far[p * _BLOCK :])
                for j in range(3):
                    _from_points(far[5 * j * _BLOCK :], near[j * _BLOCK :])
                for k in range(min(TILE, frames - TILE * tile)):
                    at = (5 * (k % 3) + k // 3) * _BLOCK
                    found, made = near[at : at + width], out[n, TILE * tile + k, begin:end]
                    if add:
                        row = around[n, TILE * tile + k, begin:end]
                        for i in range(width):
                            value = found[i] + bias[i] + row[i]
                            made[i] = zero if value < zero else value
                    else:
                        for i in range(width):
                            value = found[i] + bias[i]
                            made[i] = zero if value < zero else value
