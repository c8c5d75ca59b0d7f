"""D_T of SA-DVAE with its gradients written out; letters in shapes as in the engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from zskel.zsl.methods.flat_parameters import FlatParameters
from zskel.zsl.methods.sa_dvae_params import SADVAEParams
from zskel.zsl.vae import Discriminator


class DiscriminatorUpdates:
    """D_T's loss, its gradients and its steps.

    Args:
        net: D_T with its initial weights.
        generator: Draws the permutations.
        params: Of the method.
        z_v_dim: Width of z_v.
    """

    def __init__(
        self, net: Discriminator, generator: torch.Generator, params: SADVAEParams, z_v_dim: int
    ) -> None:
        first, _, second = net.layers
        self._layers = {"first": cast(nn.Linear, first), "second": cast(nn.Linear, second)}
        self._generator, self._params, self._v = generator, params, z_v_dim
        self._signs: dict[int, Tensor] = {}
        self._weights = FlatParameters.of(self._layers, params.learning_rate)
        self._first_transposed = self._weights.value["first"][:-1].T

    def write(self) -> None:
        """Puts the weights into the network."""
        self._weights.write(self._layers)

    def add_gradient(
        self, z: Tensor, z_grad: Tensor, weight: Tensor | None, term: Tensor
    ) -> None:
        """What E_x minimizes against D_T, and its gradient.

        Args:
            z: ``[B, Z + 1]`` latents of skeletons, each row with a last 1.
            z_grad: ``[B, Z]``; the weighted gradient is added.
            weight: lambda_2; None if it is 0.
            term: Receives the unweighted term, summed over the batch.
        """
        batch = len(z)
        if self._params.adversarial_loss == "mean":
            hidden, logits = self._forward(z)
            probability = sigmoid(logits)
            torch.sum(probability, dim=(0, 1), out=term)
            if weight is not None:
                slope = probability * (1 - probability) * (weight / batch)
                z_grad += self._backward(hidden, slope)
            return
        pairs, of_v, of_r = self._pairs(z)
        hidden, logits = self._forward(pairs)
        sign = self._sign(batch)
        signed = logits.mul_(sign)
        # log sigmoid, written out for the reason given at sigmoid.
        log_sigmoid = signed.clamp(max=0).sub_(signed.abs().neg_().exp_().log1p_())
        torch.sum(log_sigmoid, dim=(0, 1), out=term)
        if weight is None:
            return
        slope = sigmoid(signed.neg_()).mul_(sign).mul_(weight / batch)
        grad, broken = self._backward(hidden, slope).split(batch)
        for columns, order in ((slice(0, self._v), of_v), (slice(self._v, None), of_r)):
            part = broken[:, columns]
            if order is None:
                grad[:, columns].add_(part)
            else:
                grad[:, columns].index_add_(0, order, part)
        z_grad += grad

    def step(self, latents: Iterable[Tensor], weight: Tensor) -> None:
        """One step of D_T up L_T.

        Args:
            latents: ``[B, Z + 1]`` of each branch, taken one after the other.
            weight: lambda_2.
        """
        flat, branches = self._weights, [self._pairs(z)[0] for z in latents]
        pairs = branches[0] if len(branches) == 1 else torch.cat(branches)
        hidden, logits = self._forward(pairs)
        size = len(pairs) // 2
        # Down, hence the minus; "lambda_2" is the binary cross-entropy, -L_T / 2.
        of_loss = self._params.discriminator_scale == "lambda_2"
        scale = -weight / (2 * size) if of_loss else -1 / size
        sign = self._sign(size // len(branches)).repeat(len(branches), 1)
        slope = sigmoid(logits.mul_(sign).neg_()).mul_(sign).mul_(scale)
        second = flat.grad["second"][:, 0]
        torch.sum(hidden * slope, dim=0, out=second[:-1])
        torch.sum(slope, dim=0, out=second[-1:])
        torch.mm(pairs.T, self._into_hidden(hidden, slope), out=flat.grad["first"])
        flat.adam_step()

    def _pairs(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        # Rows z, then rows z~; and the permutations of z_v and of z_r.
        of_r = self._draw_order(z) if self._params.permute == "both" else None
        of_v = self._draw_order(z)
        pairs = torch.cat([z, z])
        for columns, order in ((slice(0, self._v), of_v), (slice(self._v, -1), of_r)):
            if order is not None:
                pairs[len(z):, columns] = z[order, columns]
        return pairs, of_v, of_r

    def _draw_order(self, z: Tensor) -> Tensor:
        return torch.randperm(len(z), generator=self._generator)

    def _sign(self, batch: int) -> Tensor:
        """``[2B, 1]``: 1 for rows z, -1 for rows z~."""
        if batch not in self._signs:
            one = torch.ones(batch, 1)
            self._signs[batch] = torch.cat([one, -one])
        return self._signs[batch]

    def _forward(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.mm(pairs, self._weights.value["first"]).relu_()
        second = self._weights.value["second"]
        # No product of matrices: with one column its kernel depends on their number.
        logits = (hidden * second[:-1].T).sum(dim=1, keepdim=True)
        return hidden, logits.add_(second[-1:])

    def _into_hidden(self, hidden: Tensor, slope: Tensor) -> Tensor:
        return (slope * self._weights.value["second"][:-1].T).mul_(hidden.sign_())

    def _backward(self, hidden: Tensor, slope: Tensor) -> Tensor:
        return torch.mm(self._into_hidden(hidden, slope), self._first_transposed)


def sigmoid(logits: Tensor) -> Tensor:
    """In place. torch's own differs in the last bit between a vector and its tail."""
    return logits.neg_().exp_().add_(1).reciprocal_()
