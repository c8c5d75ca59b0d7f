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
from zskel.zsl.methods.flat_parameters import FlatParameters
from zskel.zsl.ranking import draw_one

if TYPE_CHECKING:
    from zskel.zsl.methods.smie import SMIENetwork, SMIEParams


class SMIEEngine:
    """The loss of a batch and its gradients.

    Args:
        net: With its initial weights, where ``write`` puts the trained ones.
        params: Of the method.
        text: ``[S, Dt]`` of the seen classes.
        generator: Draws the negatives.
    """

    @torch.no_grad()
    def __init__(
        self, net: SMIENetwork, params: SMIEParams, text: Tensor, generator: torch.Generator
    ) -> None:
        self._params, self._generator, self._buffers = params, generator, Buffers()
        self._text = torch.cat([text, text.new_ones(len(text), 1)], dim=1)
        self._layers = {"first": net.first, "second": cast(nn.Linear, net.rest[1]),
                        "third": cast(nn.Linear, net.rest[3])}
        self._weights = FlatParameters.of(self._layers, params.learning_rate)

    @torch.no_grad()
    def write(self) -> None:
        """Puts the weights into the network."""
        self._weights.write(self._layers)

    @torch.no_grad()
    def step(
        self, x: Tensor, columns: Tensor, x_masked: Tensor | None = None,
        rate: float | None = None,
    ) -> Tensor:
        """One step; gives the bounds and the loss, in the order of the history.

        Args:
            x: ``[B, D]``, LN(f_x).
            columns: ``[B]``, rows of the texts.
            x_masked: LN(f_x_masked) ``[B, D]`` or None.
            rate: In place of the parameters' learning rate.
        """
        batch, parts = len(x), 1
        negative, there = self._negatives(columns)
        count = max(1, len(negative))
        if x_masked is not None:
            x, columns, there = torch.cat([x, x_masked]), columns.repeat(2), there.repeat(2)
            negative, parts = torch.cat([negative, negative + batch]), 2
        of = torch.cat([columns, there])
        hidden, top, scores = self._forward(x, negative, of)
        matching, other = scores[:len(x)], scores[len(x):]
        bounds = [jensen_shannon_bound(*of_part) for of_part in zip(
            matching.chunk(parts), other.chunk(parts), strict=True)]
        # Of the negative bounds.
        slopes = matching.neg().sigmoid_().div_(-batch), other.sigmoid().div_(count)
        if x_masked is None:
            terms = torch.stack([bounds[0], -bounds[0]])
        else:
            whole, part = bounds
            temporal = (self._params.temporal_margin - (whole - part)).clamp_min(0)
            weight = self._params.temporal_weight
            terms = torch.stack([whole, part, temporal, weight * temporal - whole])
            pull = weight * (temporal > 0)
            for of_both in slopes:
                of_whole, of_part = of_both.chunk(2)
                of_whole.mul_(1 + pull)
                of_part.mul_(-pull)
        slope = torch.cat(slopes)
        self._backward(x, negative, of, hidden, top, slope[:, None])
        self._weights.adam_step(rate)
        return terms

    def _negatives(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of clips ``[Q]`` that do not match, and the classes they are paired with."""
        if self._params.negatives == "roll":
            return torch.arange(len(columns)).roll(1), columns
        negative, there = draw_one(columns[:, None] != columns, self._generator)
        return negative[there], columns[there]

    def _forward(
        self, x: Tensor, negative: Tensor, of: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of each clip with its text, then of negatives: hidden layers and T.

        Args:
            x: ``[B, D]``.
            negative: ``[Q]`` rows of it.
            of: ``[B + Q]`` rows of the texts.

        Returns:
            ``[B + Q, H]``, ``[B + Q, K]`` and ``[B + Q]``.
        """
        first, second, third = (self._weights.value[name] for name in self._layers)
        of_y, hidden, back, top = self._memory(len(of))
        of_x = torch.mm(x, first[:x.shape[1]])
        torch.mm(self._text, first[x.shape[1]:], out=of_y)
        torch.index_select(of_y, 0, of, out=back)
        torch.add(of_x, back[:len(x)], out=hidden[:len(x)])
        torch.index_select(of_x, 0, negative, out=hidden[len(x):]).add_(back[len(x):])
        torch.addmm(second[-1], hidden.relu_(), second[:-1], out=top)
        return hidden, top, torch.mv(top.relu_(), third[:-1, 0]).add_(third[-1])

    def _backward(self, x: Tensor, negative: Tensor, of: Tensor, hidden: Tensor, top: Tensor,
                  slope: Tensor) -> None:
        """Gradients from those of T ``[P, 1]``; what ``_forward`` gave is overwritten."""
        first, second, third = (self._weights.grad[name] for name in self._layers)
        _, of_second, of_third = (self._weights.value[name] for name in self._layers)
        of_y, _, back, _ = self._memory(len(of))
        torch.mm(top.T, slope, out=third[:-1])
        torch.sum(slope, dim=0, out=third[-1])
        top.sign_().mul_(slope).mul_(of_third[:-1, 0])
        torch.mm(hidden.T, top, out=second[:-1])
        torch.sum(top, dim=0, out=second[-1])
        torch.mm(top, of_second[:-1].T, out=back).mul_(hidden.sign_())
        of_y.zero_().index_add_(0, of, back)
        of_x = back[:len(x)].index_add_(0, negative, back[len(x):])
        torch.mm(x.T, of_x, out=first[:x.shape[1]])
        torch.mm(self._text.T, of_y, out=first[x.shape[1]:])

    def _memory(self, pairs: int) -> tuple[Tensor, ...]:
        """For the first layer of texts and of pairs: two, and one of the second."""
        hidden, top = self._layers["second"].in_features, self._layers["second"].out_features
        return (
            self._buffers("of_y", len(self._text), hidden),
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
