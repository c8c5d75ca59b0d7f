"""Maximum mean discrepancy of a sample and of classes that have a row each."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

# Of so many rows the median of all distances is sought among all. Of more, first in the
# part between two quantiles of every eighth row's distances.
_FEW, _EVERY, _NEAR = 400, 8, 0.06


class _Discrepancy(torch.autograd.Function):
    """Value and both gradients at once: the kernels are all that is large."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, counts: Tensor,
                kappa: float | Literal["median"]) -> Tensor:
        z, n = torch.cat([a, b]), len(a)
        one, norms = z.new_ones(len(z), 1), z.square().sum(dim=1, keepdim=True)
        squared = torch.cat([-2 * z, norms, one], 1) @ torch.cat([z, one, norms], 1).T
        squared.clamp_min_(0).fill_diagonal_(0)
        if kappa == "median":
            kappa = 1 / (median_of_pairs(squared, counts) or 1.0)
        kernel = squared.mul_(-kappa).exp_()
        # Those of b enter with their number, and with the other sign.
        w = torch.cat([counts.new_ones(n, 1), -counts[:, None]])
        sums = kernel @ torch.cat([w * z, w], 1)
        total, pull = sums[:, -1:], sums[:, :-1]
        ctx.save_for_backward((w * (pull - total * z)).mul_(4 * kappa / n**2))
        ctx.rows = n
        return torch.dot(w[:, 0], total[:, 0]) / n**2

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        both = ctx.saved_tensors[0] * grads[0]
        return both[: ctx.rows], both[ctx.rows:], None, None


def mmd(
    a: Tensor, b: Tensor, counts: Tensor, kappa: float | Literal["median"]
) -> Tensor:
    """Squared maximum mean discrepancy of two samples, kernel exp(-kappa d^2).

    Args:
        a: ``[B, H]``.
        b: ``[S, H]``, the different rows of the other sample.
        counts: ``[S]``, how often each of them occurs; B together.
        kappa: A number, or "median" for 1 / the median of d^2 among all pairs of
            different rows of both samples, taken as a constant.

    Returns:
        mean k(a, a') + mean k(b, b') - 2 mean k(a, b), the diagonals included.
    """
    found: Tensor = _Discrepancy.apply(a, b, counts, kappa)
    return found


def median_of_pairs(values: Tensor, counts: Tensor) -> float:
    """The lower median of a symmetric function of all pairs of different rows.

    Args:
        values: ``[B + S, B + S]``, 0 or more, and 0 on the diagonal.
        counts: ``[S]``, how often each of the last rows occurs; the others occur once.

    >>> both = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> median_of_pairs(both, torch.tensor([2.0]))  # of 0, 1 and 1
    1.0
    """
    d, times = values.cpu().numpy(), counts.cpu().double().numpy()
    once = len(d) - len(times)
    pairs = _Pairs(d, times)
    if once > _FEW:
        few = np.r_[0:once:_EVERY, once:len(d)]
        part = _Pairs(d[np.ix_(few, few)], times / _EVERY).sorted()
        low, high = (part.quantile(0.5 + shift) for shift in (-_NEAR, _NEAR))
        found = pairs.median_between(low, high)
        if found is not None:
            return found
    return pairs.sorted().quantile(0.5)


class _Pairs:
    """The values of all ordered pairs, and how often some occur beyond once.

    Args:
        d: ``[B + S, B + S]``.
        times: ``[S]``, how often the last rows occur.
    """

    def __init__(self, d: np.ndarray, times: np.ndarray) -> None:
        n = len(d) - len(times)
        self._once, self._more = d.ravel(), d[n:].ravel()
        weights = np.empty((len(times), len(d)))
        # The first are as often in ``d[:n, n:]``.
        weights[:, :n], weights[:, n:] = 2 * times[:, None] - 2, np.outer(times, times) - 1
        self._weights, self._rows = weights.ravel(), n + times.sum()

    def sorted(self) -> _Pairs:
        """Puts them in order, for ``quantile``."""
        order = np.argsort(self._more)
        self._once, self._more = np.sort(self._once), self._more[order]
        self._weights = self._weights[order].cumsum()
        return self

    def quantile(self, part: float) -> float:
        """The value that this part of all pairs of different rows is not above; sorted."""
        found = self._at(self._place(part))
        assert found is not None
        return found

    def median_between(self, low: float, high: float) -> float | None:
        """The median, if it lies between the two; of pairs that are not sorted."""
        place = self._place(0.5)
        below, above = self._below(low), self._below(high)
        if not below < place <= above:
            return None
        # Most likely it is in a twentieth of the way around where a line would have it.
        middle = low + (high - low) * (place - below) / (above - below)
        low, high = middle - (high - low) / 20, middle + (high - low) / 20
        once, there = self._once, (self._more >= low) & (self._more <= high)
        near = _Pairs.__new__(_Pairs)
        near._once = once[(once >= low) & (once <= high)]
        near._more, near._weights = self._more[there], self._weights[there]
        place -= self._below(low)
        return near.sorted()._at(place) if place > 0 else None

    def _place(self, part: float) -> float:
        """So much of the weight is not above the quantile: each row with itself is at 0."""
        pairs = self._rows * (self._rows - 1) / 2
        return float(self._rows + 2 * (math.floor((pairs - 1) * part) + 1))

    def _below(self, limit: float) -> float:
        return float(np.count_nonzero(self._once < limit)
                     + self._weights @ (self._more < limit))

    def _at(self, place: float) -> float | None:
        """The value up to which the weights, of sorted values, come to so much."""
        once, more, sums = self._once, self._more, self._weights

        def reached(value: float) -> float:
            heavy = np.searchsorted(more, value, "right")
            return np.searchsorted(once, value, "right") + (sums[heavy - 1] if heavy else 0.0)

        found = [values[k] for values in (once, more)
                 if (k := bisect_left(values, place, key=reached)) < len(values)]
        return float(min(found)) if found else None
