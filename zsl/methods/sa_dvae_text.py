"""Coordinates in which the fast engine of SA-DVAE sees the text features."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_RANK_TOLERANCE = 1e-5
# How much of the length of a normal vector's signs lies along that vector.
_ALONG = math.sqrt(2 / math.pi)


class TextCoordinates:
    """The text features of the classes, as they are or in a basis of their span.

    S seen classes span at most S of the Dt dimensions. E_y reads, and D_y has to
    reach, nothing outside that span, so that an orthonormal basis Q of it
    replaces Dt by K <= S numbers and keeps every distance and inner product:
    forward passes and gradients are those of the full width. What changes is
    Adam, which normalizes by coordinate: results agree in distribution, not
    number by number. Unseen classes take no part in the choice of Q.

    Adam steps by about the same length in every weight, along the signs of the
    gradient: with fewer coordinates the text layers would move less. Their inputs
    are therefore multiplied, and their targets divided, by a gain that makes up for
    it: sqrt(Dt / K) for the number of coordinates, times sqrt(2 / pi), the part of
    a full-width step of signs that lies along the gradient and so in the span.
    Q is rotated at random (from a fixed seed) within the span, lest one coordinate,
    the mean of all classes, be special.

    Args:
        f_y: ``[C, Dt]`` text features of all classes.
        seen: ``[S]`` the seen classes; None for the coordinates as they are.

    Attributes:
        inputs: ``[C, K]`` what E_y is given.
        targets: ``[C, K]`` what D_y has to give.
        width: K.
        gain: 1 without a basis.
    """

    def __init__(self, f_y: Tensor, seen: Tensor | None = None) -> None:
        self.gain, self._basis = 1.0, None
        self.inputs = self.targets = f_y
        self.width = f_y.shape[1]
        if seen is None:
            return
        _, singular, directions = torch.linalg.svd(f_y[seen].double(), full_matrices=False)
        span = directions[singular > _RANK_TOLERANCE * singular[0]]
        mixed = torch.randn(len(span), len(span), dtype=torch.float64,
                            generator=torch.Generator().manual_seed(0))
        self._basis = (torch.linalg.qr(mixed.to(span.device)).Q @ span).T
        self.width = len(span)
        self.gain = _ALONG * math.sqrt(f_y.shape[1] / self.width)
        coordinates = f_y.double() @ self._basis
        self.inputs = (coordinates * self.gain).float()
        self.targets = (coordinates / self.gain).float()

    def read_encoder(self, weight: Tensor) -> Tensor:
        """E_y's ``nn.Linear`` weight as ``[K, outputs]`` in these coordinates."""
        if self._basis is None:
            return weight.T
        return (self._basis.T @ weight.double().T / self.gain).float()

    def write_encoder(self, layer: nn.Linear, weight: Tensor, initial: Tensor) -> None:
        """Puts it back; outside the span the layer keeps its initial weight."""
        if self._basis is not None:
            change = weight.double() - self.read_encoder(initial).double()
            weight = initial.T.double() + self._basis @ change * self.gain
        layer.weight.copy_(weight.T)

    def read_decoder(self, layer: nn.Linear) -> tuple[Tensor, Tensor]:
        """D_y's weight ``[inputs, K]`` and bias ``[K]`` in these coordinates."""
        if self._basis is None:
            return layer.weight.T, layer.bias
        weight, bias = layer.weight.double().T @ self._basis, layer.bias.double() @ self._basis
        return (weight / self.gain).float(), (bias / self.gain).float()

    def write_decoder(self, layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
        """Puts them back; outside the span the layer gives zero, as the targets are there."""
        if self._basis is not None:
            weight, bias = (part.double() @ self._basis.T * self.gain for part in (weight, bias))
        layer.weight.copy_(weight.T)
        layer.bias.copy_(bias)
