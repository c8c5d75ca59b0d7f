"""The compiled part of folded Shift-GCN: a whole block, joint by joint.

After the spatial products, which PyTorch takes faster than numba's OpenBLAS, a block goes
through one joint at a time, so that all of it up to the block's output stays in the
processor's cache. Bias, ReLU, normalization, the shift along time, the sum with the
shortcut and the last ReLU are one pass, and both spatial shifts are only the order in
which rows are read and written.

One thread on purpose: numba's parallel loops set the number of OpenMP threads of the
whole process, and with it the order of sums in a training that comes after. All of it
lies in one file because the compiled code that numba keeps on disk is renewed when
the file of the calling function changes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import boolean, float32, int64, types, void

from zskel.data.common.compiled import OPTIONS, jit

# OpenBLAS takes products of at most this many multiplications as they lie in memory;
# for larger ones it first copies the factors, which costs matrices of few rows more.
_SMALL = 1_000_000
_FLOATS, _ROWS, _CUBE = float32[::1], float32[:, ::1], float32[:, :, ::1]
_INDEX, _INDICES = int64[::1], int64[:, ::1]


class Weights(NamedTuple):
    """What a folded block computes with; empty matrices for what it does not have.

    Attributes:
        bias: Of the spatial product, joint by joint, ``[V, C']``.
        source: Which row of it the shift back reads for each joint's channel, ``[V, C']``.
        down: Of the spatial shortcut, ``[C', C]``.
        taps_in, taps_out: ``tap_table`` of the two temporal shifts, ``[C', 6]``.
        linear, linear_bias: Between these, ``[C', C']`` and ``[C']``.
        projection: Of the shortcut, ``[C', C]``.
        shortcut: Whether the input is added as it is.
    """

    source: Any
    bias: Any
    down: Any
    taps_in: Any
    linear: Any
    linear_bias: Any
    taps_out: Any
    projection: Any
    shortcut: Any


class Frames(NamedTuple):
    """How frames lie in a row, ``bodies`` values each, and every how many are wanted."""

    bodies: Any
    stride: Any


_SIGNATURE = void(
    _CUBE, _ROWS, _INDICES,
    types.NamedTuple((_INDICES, _ROWS, _ROWS, _ROWS, _ROWS, _FLOATS, _ROWS, _ROWS, boolean),
                     Weights),
    _INDICES, types.NamedUniTuple(int64, 2, Frames), _ROWS,
)


@functools.cache
def run_block() -> Callable[..., None]:
    """``_block``, compiled when first asked for."""
    return jit(_SIGNATURE)(_block)


def tap_table(
    offset: np.ndarray, scale: np.ndarray, shift: np.ndarray, constant: np.ndarray, frames: int
) -> np.ndarray:
    """What a temporal shift does to each channel, for clips of a length.

    Args:
        offset: In frames, ``[C]``.
        scale, shift: Of the normalization before, ``[C]``.
        constant: Added after, ``[C]``.
        frames: T.

    Returns:
        Float32 ``[C, 6]``: the first frame, its share and that of the one after
        it, scale, shift, constant.
    """
    below = np.floor(offset)
    above = offset - below
    # Further away than the clip is long there are zeros only.
    first = np.clip(np.nan_to_num(below), -frames - 1, frames)
    table = np.stack((first, 1 - above, above, scale, shift, constant), axis=1)
    return np.ascontiguousarray(table, dtype=np.float32)


@numba.njit(**OPTIONS)
def _shift_row(  # type: ignore[no-untyped-def]
    entering, bias, tap, around, lie, relu, padded, target
):
    """A temporal shift of ``scale * relu(source + bias + beside) + shift``, and what is added.

    ``entering`` is source and beside. ``padded`` is as long as three rows and some, zero
    but for the middle.
    """
    zero = np.float32(0)
    source, beside = entering
    bodies, stride = lie.bodies, lie.stride
    size, made = len(source), len(target)
    low, high, scale, shift, constant = tap[1], tap[2], tap[3], tap[4], tap[5]
    inside = padded[size + bodies : 2 * size + bodies]
    # As torch's ReLU: what is not a number stays so.
    if len(beside):
        for i in range(size):
            value = source[i] + bias + beside[i]
            inside[i] = (zero if value < zero else value) * scale + shift
    else:
        for i in range(size):
            value = source[i] + bias
            inside[i] = (zero if value < zero else value) * scale + shift
    at = size + bodies + int64(tap[0]) * bodies
    # Without a stride the frames lie in memory as they are wanted, all in one stretch.
    stretch = made if stride == 1 else bodies
    for begin in range(0, made, stretch):
        near = padded[at : at + stretch]
        far = padded[at + bodies : at + bodies + stretch]
        part = target[begin : begin + stretch]
        for i in range(stretch):
            part[i] = constant + low * near[i] + high * far[i]
        at += stride * bodies
    if len(around):
        for i in range(made):
            value = target[i] + around[i]
            target[i] = zero if relu and value < zero else value
    elif relu:
        for i in range(made):
            value = target[i]
            target[i] = zero if value < zero else value


@numba.njit(**OPTIONS)
def _product(weight, x, out):  # type: ignore[no-untyped-def]
    """``weight @ x`` into ``out``, a few rows at a time where that is worth it."""
    rows = _SMALL // max(x.size, 1) // 4 * 4
    if rows == 0:
        rows = len(weight)
    for first in range(0, len(weight), rows):
        np.dot(weight[first : first + rows], x, out[first : first + rows])


def _block(  # type: ignore[no-untyped-def]
    x, spread, place, weights, write, lie, out
):
    """See ``_FoldedBlock.on_cpu``; ``spread`` is the spatial product ``[V C', T N]``."""
    source, bias, down = weights.source, weights.bias, weights.down
    taps_in, taps_out = weights.taps_in, weights.taps_out
    linear, linear_bias = weights.linear, weights.linear_bias
    projection, bodies, stride = weights.projection, lie.bodies, lie.stride
    joints, c_in, size = x.shape
    channels, made = len(linear), out.shape[1]
    rows = x.reshape(joints * c_in, size)
    plain, kept = np.empty((c_in, size), np.float32), np.empty((c_in, made), np.float32)
    beside = np.empty((len(down), size), np.float32)
    around = np.empty((len(projection), made), np.float32)
    before, after = np.empty((channels, size), np.float32), np.empty((channels, size), np.float32)
    padded = np.zeros(3 * size + (stride + 3) * bodies, np.float32)
    nothing = np.empty(0, np.float32)
    for v in range(joints):
        if len(down):
            for c in range(c_in):
                plain[c] = rows[place[v, c]]
            _product(down, plain, beside)
        if len(projection):
            for c in range(c_in):
                read = rows[place[v, c]]
                for t in range(made // bodies):
                    first = t * stride * bodies
                    kept[c, t * bodies : (t + 1) * bodies] = read[first : first + bodies]
            _product(projection, kept, around)
        for c in range(channels):
            read_at = source[v, c]
            _shift_row((spread[read_at], beside[c] if len(down) else nothing),
                       bias[read_at // channels, read_at % channels], taps_in[c], nothing,
                       Frames(bodies, 1), False, padded, before[c])
        _product(linear, before, after)
        for c in range(channels):
            added = nothing
            if len(projection):
                added = around[c]
            elif weights.shortcut:
                added = rows[place[v, c]]
            _shift_row((after[c], nothing), linear_bias[c], taps_out[c], added,
                       lie, True, padded, out[write[v, c]])
