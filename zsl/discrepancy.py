"""Maximum mean discrepancy of a sample and of classes that have a row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

# So many rows at once are compared with themselves and all that follow.
_BLOCK = 128
# Of so many pairs of clips the median is sought among all. Of more, first between two
# quantiles of every so many of them and of the pairs of a class and a clip, and of all of
# classes, which weigh most.
_FEW, _EVERY, _NEAR = 1 << 15, (61, 7), 0.01


class _Discrepancy(torch.autograd.Function):
    """Value and both gradients at once: the kernels are all that is large.

    Of each pair of rows there is one: in blocks of rows with those that follow.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, counts: Tensor,
                kappa: float | Literal["median"]) -> Tensor:
        z, n, classes = torch.cat([b, a]), len(a), len(b)
        one, norms = z.new_ones(len(z), 1), z.square().sum(dim=1, keepdim=True)
        left, right = torch.cat([-2 * z, norms, one], 1), torch.cat([z, one, norms], 1)
        step = _BLOCK if z.device.type == "cpu" else n
        starts = [0, *range(classes, len(z), step)]
        rows = [slice(*ends) for ends in zip(starts, [*starts[1:], len(z)])]
        sizes = [(of.stop - of.start) * (len(z) - of.start) for of in rows]
        values = z.new_empty(sum(sizes))
        blocks = [(of, part.view(of.stop - of.start, -1))
                  for of, part in zip(rows, values.split(sizes))]
        for of, block in blocks:
            torch.mm(left[of], right[of.start:].T, out=block).clamp_min_(0).triu_(1)
        if kappa == "median":
            kappa = 1 / (median_of_pairs(blocks[0][1], values[sizes[0]:], counts) or 1.0)
        # Those of b enter with their number, and with the other sign.
        w = torch.cat([-counts[:, None], counts.new_ones(n, 1)])
        weighted = torch.cat([w * z, w], 1)
        sums = weighted.clone()  # of each row with itself
        for of, block in blocks:
            sums[of].addmm_(block.mul_(-kappa).exp_().triu_(1), weighted[of.start:])
            sums[of.start:].addmm_(block.T, weighted[of])
        total, pull = sums[:, -1:], sums[:, :-1]
        ctx.save_for_backward((w * (pull - total * z)).mul_(4 * kappa / n**2))
        ctx.classes = classes
        return torch.dot(w[:, 0], total[:, 0]) / n**2

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        both = ctx.saved_tensors[0] * grads[0]
        return both[ctx.classes:], both[:ctx.classes], None, None


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


def median_of_pairs(of_classes: Tensor, of_clips: Tensor, counts: Tensor) -> float:
    """The lower median of a function of all pairs of different rows.

    Args:
        of_classes: ``[S, S + B]``, 0 or more, of pairs of a class with a class, and with
            one of B clips; on the diagonal and below it 0.
        of_clips: All B (B - 1) / 2 of pairs of clips, in any order, among further 0s.
        counts: ``[S]``, how often each class occurs; clips occur once.

    >>> median_of_pairs(torch.tensor([[0.0, 1.0]]), torch.zeros(0), torch.tensor([2.0]))
    1.0
    """
    times = counts.cpu().double().numpy()
    once, more = of_clips.cpu().numpy(), of_classes.cpu().numpy()
    classes, clips = len(times), more.shape[1] - len(times)
    more = np.concatenate([more[:, :classes].ravel(), more[:, classes:].ravel()])
    among_classes = np.triu(np.outer(times, times), 1) + np.diag(times * (times - 1) / 2)
    weights = np.concatenate([among_classes.ravel(), np.repeat(times, clips)])

    # So much of the weight is not above the median: first that of the further 0s.
    pairs = weights.sum() + clips * (clips - 1) / 2
    place = len(once) - clips * (clips - 1) / 2 + (pairs - 1) // 2 + 1
    if len(once) > _FEW:
        of_once, of_mixed = _EVERY
        mixed = slice(classes**2, None, of_mixed)
        sample = (once[::of_once], np.concatenate([more[:classes**2], more[mixed]]),
                  np.concatenate([weights[:classes**2], of_mixed * weights[mixed]]) / of_once)
        share, weight = place / (len(once) + weights.sum()), len(sample[0]) + sample[2].sum()
        low, high = _at([(share - _NEAR) * weight, (share + _NEAR) * weight], *sample)
        once_from, more_from = once >= low, more >= low
        once_near, more_near = once_from & (once <= high), more_from & (more <= high)
        near = once[once_near], more[more_near], weights[more_near]
        rest = place - np.count_nonzero(~once_from) - weights @ ~more_from
        if 0 < rest <= len(near[0]) + near[2].sum():
            return float(_at(rest, *near))
    return float(_at(place, once, more, weights))


def _at(
    places: float | Sequence[float], once: np.ndarray, more: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The values up to which the weights of values in order come to so much.

    Args:
        places: So much: above 0, and no more than all.
        once: ``[N]`` values, each of weight 1.
        more, weights: ``[M]`` further values.
    """
    values = np.concatenate([once, more])
    order = values.argsort()
    sums = np.concatenate([np.ones(len(once)), weights])[order].cumsum()
    found: np.ndarray = values[order[np.searchsorted(sums, places)]]
    return found
