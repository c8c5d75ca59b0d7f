"""The product with a skeleton's graph that leaves out its zeros, for float32 on the CPU.

A joint has few neighbours: of the 3 x 25 x 25 entries of ST-GCN's graph on NTU's joints
73 are not zero, so that what a matrix product would spend on it is saved.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from numba import float32, int64, void

from zskel.data.common.compiled import jit

# Of its entries, a graph in which more are not zero is better taken as a matrix.
_DENSE = 1 / 8


class SparseGraph:
    """A graph ``[R, V]`` by its entries that are not zero.

    Args:
        graph: Its matrix; ``is_sparse``.
    """

    def __init__(self, graph: torch.Tensor) -> None:
        matrix = graph.numpy()
        self._row, self._column = (part.astype(np.int64) for part in matrix.nonzero())
        self._value = np.ascontiguousarray(matrix[self._row, self._column])

    def product(self, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Of the graph and each of ``[F, V, C]``, into ``[F, R, C]``, which is returned."""
        _kernel()(x.contiguous().numpy(), self._row, self._column, self._value, out.numpy())
        return out


def is_sparse(graph: torch.Tensor) -> bool:
    """Whether a graph has so many zeros that ``SparseGraph`` is of use."""
    return graph.device.type == "cpu" and int((graph != 0).sum()) <= _DENSE * graph.numel()


@functools.cache
def _kernel() -> Callable[..., None]:
    """Compiled when first asked for."""
    rows, index = float32[:, :, ::1], int64[::1]
    return jit(void(rows, index, index, float32[::1], rows))(_spread)


def _spread(x, row, column, value, out):  # type: ignore[no-untyped-def]
    zero = np.float32(0)
    for frame in range(len(x)):
        filled = 0
        for k in range(len(value)):
            source, weight, target = x[frame, column[k]], value[k], out[frame, row[k]]
            if row[k] >= filled:
                for between in range(filled, row[k]):
                    out[frame, between] = zero
                for c in range(len(source)):
                    target[c] = weight * source[c]
                filled = row[k] + 1
            else:
                for c in range(len(source)):
                    target[c] += weight * source[c]
        for between in range(filled, out.shape[1]):
            out[frame, between] = zero
