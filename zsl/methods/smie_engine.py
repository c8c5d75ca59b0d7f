"""SMIE's step with the gradients written out.

The first layer of T reads each skeleton and each text of a class once, and what it makes
of both is added for each pair. All pairs of a step, also those with masked clips, go
through the other layers together.

Letters in shapes: B batch, D width of f_x, P pairs, H and K the hidden layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zskel.zsl.buffers import Buffers
from zskel.zsl.ranking import draw_one

if TYPE_CHECKING:
    from zskel.zsl.methods.smie import SMIENetwork, SMIEParams


class SMIEEngine:
    """The loss of a batch and its gradients.

    Args:
        net: Its parameters' ``grad`` receive the gradients.
        params: Of the method.
        text: ``[S, Dt]`` of the seen classes.
        generator: Draws the negatives.
    """

    def __init__(
        self, net: SMIENetwork, params: SMIEParams, text: Tensor, generator: torch.Generator
    ) -> None:
        self._net, self._params, self._text, self._generator = net, params, text, generator
        self._second, self._third = (cast(nn.Linear, net.rest[k]) for k in (1, 3))
        self._buffers = Buffers()
        for parameter in net.parameters():
            parameter.grad = torch.zeros_like(parameter)

    @torch.no_grad()
    def terms(self, x: Tensor, columns: Tensor, x_masked: Tensor | None = None) -> Tensor:
        """The bounds and the loss of one batch, in the order of the history.

        Args:
            x: ``[B, D]``, LN(f_x).
            columns: ``[B]``, rows of the texts.
            x_masked: LN(f_x_masked) ``[B, D]`` or None.
        """
        count = len(x)
        negative, there = self._negatives(columns)
        rows, of = torch.cat([torch.arange(count), negative]), torch.cat([columns, there])
        if x_masked is not None:
            x = torch.cat([x, x_masked])
            rows, of = torch.cat([rows, rows + count]), of.repeat(2)
        hidden, top, scores = self._forward(x, rows, of)
        bounds, slopes = [], []
        for part in scores.split(count + len(negative)):
            matching, other = part[:count], part[count:]
            bounds.append(jensen_shannon_bound(matching, other))
            slopes.append(torch.cat([
                matching.neg().sigmoid_().div_(count),
                other.sigmoid().div_(-max(1, len(other)))]))
        if x_masked is None:
            terms = torch.stack([bounds[0], -bounds[0]])
            slope = slopes[0].neg_()
        else:
            whole, part = bounds
            temporal = (self._params.temporal_margin - (whole - part)).clamp_min(0)
            weight = self._params.temporal_weight
            terms = torch.stack([whole, part, temporal, weight * temporal - whole])
            pull = weight * (temporal > 0)
            slope = torch.cat([slopes[0] * -(1 + pull), slopes[1] * pull])
        self._backward(x, rows, of, hidden, top, slope[:, None])
        return terms

    def _negatives(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of clips ``[Q]`` that do not match, and the classes they are paired with."""
        if self._params.negatives == "roll":
            return torch.arange(len(columns)).roll(1), columns
        negative, there = draw_one(columns[:, None] != columns, self._generator)
        return negative[there], columns[there]

    def _forward(self, x: Tensor, rows: Tensor, of: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden layers ``[P, H]`` and ``[P, K]``, and T ``[P]``."""
        first, second, third = self._net.first, self._second, self._third
        of_x, of_y, hidden, back, top = self._memory(len(x), len(rows))
        torch.mm(x, first.weight[:, :x.shape[1]].T, out=of_x)
        torch.addmm(first.bias, self._text, first.weight[:, x.shape[1]:].T, out=of_y)
        torch.index_select(of_x, 0, rows, out=hidden)
        torch.index_select(of_y, 0, of, out=back)
        hidden.add_(back).relu_()
        torch.mm(hidden, second.weight.T, out=top).add_(second.bias).relu_()
        return hidden, top, torch.mv(top, third.weight[0]).add_(third.bias)

    def _backward(self, x: Tensor, rows: Tensor, of: Tensor, hidden: Tensor, top: Tensor,
                  slope: Tensor) -> None:
        """Gradients from those of T ``[P, 1]``; what ``_forward`` gave is overwritten."""
        grads = {name: cast(Tensor, p.grad) for name, p in self._net.named_parameters()}
        of_x, of_y, _, back, _ = self._memory(len(x), len(rows))
        torch.mm(slope.T, top, out=grads["rest.3.weight"])
        torch.sum(slope, dim=0, out=grads["rest.3.bias"])
        top.sign_().mul_(slope).mul_(self._third.weight)
        torch.mm(top.T, hidden, out=grads["rest.1.weight"])
        torch.sum(top, dim=0, out=grads["rest.1.bias"])
        torch.mm(top, self._second.weight, out=back).mul_(hidden.sign_())
        of_x.zero_().index_add_(0, rows, back)
        of_y.zero_().index_add_(0, of, back)
        torch.mm(of_x.T, x, out=grads["first.weight"][:, :x.shape[1]])
        torch.mm(of_y.T, self._text, out=grads["first.weight"][:, x.shape[1]:])
        torch.sum(of_y, dim=0, out=grads["first.bias"])

    def _memory(self, rows: int, pairs: int) -> tuple[Tensor, ...]:
        """For the first layer of skeletons and texts, and of pairs: two, and one of the second."""
        hidden, top = self._second.in_features, self._second.out_features
        return (
            self._buffers("of_x", rows, hidden), self._buffers("of_y", len(self._text), hidden),
            self._buffers("hidden", pairs, hidden), self._buffers("back", pairs, hidden),
            self._buffers("top", pairs, top))


def jensen_shannon_bound(matching: Tensor, other: Tensor) -> Tensor:
    """mean(-softplus(-T)) of pairs that belong together - mean(softplus(T)) of others.

    It is at most 0, and -2 log 2 for a T that is 0 everywhere. No other pairs
    count as 0.

    Args:
        matching: T of ``[P]`` pairs.
        other: T of ``[Q]`` pairs.
    """
    negative = F.softplus(other).mean() if len(other) else other.new_zeros(())
    return -F.softplus(-matching).mean() - negative
