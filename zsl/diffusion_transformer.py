"""Transformer blocks that know the time of a diffusion or a flow (DiT, Peebles and Xie 2023).

Several streams of tokens, such as skeletons and texts, have weights of their own and attend
to one another in one softmax, as in Stable Diffusion 3; with one stream it is a plain DiT.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

_FREQUENCIES = 128
_EPSILON = 1e-6


class TimeEmbedding(nn.Module):
    """Time ``[B]`` to ``[B, width]``: cosines and sines of it, then two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(skip_init(nn.Linear, 2 * _FREQUENCIES, width), nn.SiLU(),
                                    skip_init(nn.Linear, width, width))

    def forward(self, time: Tensor) -> Tensor:
        """Periods go from 1 to 10,000, in radians."""
        rates = torch.exp(-math.log(1e4) * torch.arange(_FREQUENCIES) / _FREQUENCIES)
        angles = time[:, None].float() * rates
        return self.layers(torch.cat([angles.cos(), angles.sin()], dim=1))


class _Stream(nn.Module):
    """The weights of one stream of a block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.modulation = skip_init(nn.Linear, width, 6 * width)
        self.qkv = skip_init(nn.Linear, width, 3 * width)
        self.out = skip_init(nn.Linear, width, width)
        self.mlp = nn.Sequential(skip_init(nn.Linear, width, 4 * width), nn.GELU("tanh"),
                                 skip_init(nn.Linear, 4 * width, width))


class JointBlock(nn.Module):
    """Attention over the tokens of all streams, then a perceptron for each.

    Args:
        streams: How many.
        width: Of a token.
        heads: Of the attention; divides ``width``.
    """

    def __init__(self, streams: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.streams = nn.ModuleList(_Stream(width) for _ in range(streams))

    def forward(
        self, tokens: Sequence[Tensor], condition: Tensor, mask: Tensor | None = None
    ) -> list[Tensor]:
        """Maps each stream's ``[B, T, width]`` to the same shape.

        Args:
            tokens: Of every stream.
            condition: ``[B, width]``: gives shift, scale and gate of every layer.
            mask: ``[B, sum of T]``, which tokens of all streams may be attended to; at least
                one of each row. None: all.
        """
        streams = cast("list[_Stream]", list(self.streams))
        parts = [stream.modulation(F.silu(condition))[:, None].chunk(6, dim=2)
                 for stream in streams]
        qkv = torch.cat([
            stream.qkv(modulated(x, shift, scale))
            for stream, x, (shift, scale, *_) in zip(streams, tokens, parts)], dim=1)
        batch, length, _ = qkv.shape
        q, k, v = qkv.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        # Tokens are few: written out it is as fast as torch's, and the same on every device.
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None], -torch.inf)
        joint = (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
        after = []
        for stream, x, attended, (_, _, gate, shift, scale, mlp_gate) in zip(
                streams, tokens, joint.split([x.shape[1] for x in tokens], dim=1), parts):
            x = x + gate * stream.out(attended)
            after.append(x + mlp_gate * stream.mlp(modulated(x, shift, scale)))
        return after


class FinalLayer(nn.Module):
    """From tokens to what is predicted; all zeros before training."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.modulation = skip_init(nn.Linear, width, 2 * width)
        self.linear = skip_init(nn.Linear, width, outputs)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """Maps ``[B, T, width]`` to ``[B, T, outputs]``."""
        shift, scale = self.modulation(F.silu(condition))[:, None].chunk(2, dim=2)
        return self.linear(modulated(tokens, shift, scale))


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """(1 + scale) LN(x) + shift, where LN has no weights of its own."""
    return F.layer_norm(x, x.shape[-1:], eps=_EPSILON) * (1 + scale) + shift


@torch.no_grad()
def initialize_transformer(module: nn.Module, generator: torch.Generator) -> None:
    """Xavier-uniform weights and zero biases, as DiT has them.

    The module is taken to the device in use. What leads into the residuals starts at 0, as
    do final layers, so that every block begins as the identity.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            layer.bias.zero_()
    for layer in module.modules():
        if isinstance(layer, _Stream):
            layer.modulation.weight.zero_()
        elif isinstance(layer, FinalLayer):
            layer.modulation.weight.zero_()
            layer.linear.weight.zero_()
        elif isinstance(layer, TimeEmbedding):
            for part in layer.layers:
                if isinstance(part, nn.Linear):
                    part.weight.normal_(0, 0.02, generator=generator)
    module.to(torch.get_default_device())
