"""D_T in :class:`zskel.zsl.methods.sa_dvae_engine.Engine`: its loss, its gradients, its steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from zskel.zsl.methods.sa_dvae_engine_buffers import Flat
from zskel.zsl.methods.sa_dvae_training import Game
from zskel.zsl.vae import Discriminator


class Discriminators:
    """The D_T of G models.

    Args:
        nets: With their initial weights.
        generators: Draw the permutations.
        learning_rates: One a model.
        z_v_dim: Width of z_v.
        game: Its rules.
    """

    def __init__(
        self,
        nets: Sequence[Discriminator],
        generators: Sequence[torch.Generator],
        learning_rates: Sequence[float],
        z_v_dim: int,
        game: Game,
    ) -> None:
        self._nets, self._generators, self._game, self._v = nets, generators, game, z_v_dim
        first, second = _layers(nets[0])
        self._z = first.in_features
        self._signs: dict[int, Tensor] = {}
        self._flat = Flat({
            "first": (first.in_features + 1, first.out_features),
            "second": (second.in_features + 1, 1),
        }, learning_rates, first.weight.device)
        self._first_transposed = self._flat.value["first"][:, :-1].mT
        for g, net in enumerate(nets):
            for name, layer in zip(("first", "second"), _layers(net)):
                self._flat.value[name][g, :-1] = layer.weight.T
                self._flat.value[name][g, -1] = layer.bias

    def write(self) -> None:
        """Puts the weights into the nets."""
        for g, net in enumerate(self._nets):
            for name, layer in zip(("first", "second"), _layers(net)):
                layer.weight.copy_(self._flat.value[name][g, :-1].T)
                layer.bias.copy_(self._flat.value[name][g, -1])

    def adversary(self, z: Tensor, z_grad: Tensor, weight: Tensor | None, term: Tensor) -> None:
        """What E_x minimizes against D_T, and its gradient.

        Args:
            z: ``[G, B, Z + 1]`` latents of skeletons, each row with a last 1.
            z_grad: ``[G, B, Z]``; the weighted gradient is added.
            weight: ``[G, 1, 1]`` lambda_2; None if it is 0 for all.
            term: ``[G]`` receives the unweighted term, summed over the batch.
        """
        batch = z.shape[1]
        if self._game.adversarial_loss == "mean":
            hidden, logits = self._forward(z)
            probability = _sigmoid(logits)
            torch.sum(probability, dim=(1, 2), out=term)
            if weight is not None:
                slope = probability * (1 - probability) * (weight / batch)
                z_grad += self._backward(hidden, slope)
            return
        pairs, of_v, of_r = self._pairs(z)
        hidden, logits = self._forward(pairs)
        sign = self._sign(batch)
        signed = logits.mul_(sign)
        # log sigmoid, written out for the reason given at _sigmoid.
        log_sigmoid = signed.clamp(max=0).sub_(signed.abs().neg_().exp_().log1p_())
        torch.sum(log_sigmoid, dim=(1, 2), out=term)
        if weight is None:
            return
        slope = _sigmoid(signed.neg_()).mul_(sign).mul_(weight / batch)
        grad, broken = self._backward(hidden, slope).split(batch, dim=1)
        for columns, order in ((slice(0, self._v), of_v), (slice(self._v, None), of_r)):
            if order is None:
                grad[..., columns].add_(broken[..., columns])
            else:
                part = broken[..., columns]
                grad[..., columns].scatter_add_(1, order[:, :, None].expand_as(part), part)
        z_grad += grad

    def climb(self, latents: Iterable[Tensor], weight: Tensor) -> None:
        """One step of D_T up L_T.

        Args:
            latents: ``[G, B, Z + 1]`` of each branch, taken one after the other.
            weight: ``[G, 1, 1]`` lambda_2.
        """
        flat, branches = self._flat, [self._pairs(z)[0] for z in latents]
        pairs = branches[0] if len(branches) == 1 else torch.cat(branches, dim=1)
        hidden, logits = self._forward(pairs)
        size = pairs.shape[1] // 2
        batch = size // len(branches)
        # Down, hence the minus; "lambda_2" is the binary cross-entropy, -L_T / 2.
        scale = -weight / (2 * size) if self._game.scale == "lambda_2" else -1 / size
        sign = self._sign(batch).repeat(len(branches), 1)
        slope = _sigmoid(logits.mul_(sign).neg_()).mul_(sign).mul_(scale)
        second = flat.grad["second"][..., 0]
        torch.sum(hidden * slope, dim=1, out=second[:, :-1])
        torch.sum(slope, dim=1, out=second[:, -1:])
        torch.bmm(pairs.mT, self._into_hidden(hidden, slope), out=flat.grad["first"])
        flat.adam()

    def _pairs(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        # Rows z, then rows z~; and the permutations of z_v and of z_r.
        of_r = self._draw_orders(z) if self._game.permute == "both" else None
        of_v = self._draw_orders(z)
        pairs = torch.cat([z, z], dim=1)
        for columns, order in ((slice(0, self._v), of_v), (slice(self._v, self._z), of_r)):
            if order is not None:
                part = z[..., columns]
                pairs[:, z.shape[1]:, columns] = part.gather(1, order[:, :, None].expand_as(part))
        return pairs, of_v, of_r

    def _sign(self, batch: int) -> Tensor:
        """``[2B, 1]``: 1 for rows z, -1 for rows z~."""
        if batch not in self._signs:
            one = torch.ones(batch, 1, device=self._flat.value["first"].device)
            self._signs[batch] = torch.cat([one, -one])
        return self._signs[batch]

    def _draw_orders(self, z: Tensor) -> Tensor:
        return torch.stack([
            torch.randperm(z.shape[1], generator=generator, device=z.device)
            for generator in self._generators
        ])

    def _forward(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.bmm(pairs, self._flat.value["first"]).relu_()
        second = self._flat.value["second"]
        # No product of matrices: with one column its kernel depends on their number.
        logits = (hidden * second[:, :-1].mT).sum(dim=2, keepdim=True)
        return hidden, logits.add_(second[:, -1:])

    def _into_hidden(self, hidden: Tensor, slope: Tensor) -> Tensor:
        return (slope * self._flat.value["second"][:, :-1].mT).mul_(hidden.sign_())

    def _backward(self, hidden: Tensor, slope: Tensor) -> Tensor:
        return torch.bmm(self._into_hidden(hidden, slope), self._first_transposed)


def _sigmoid(logits: Tensor) -> Tensor:
    """In place. torch's own differs in the last bit between a vector and its tail."""
    return logits.neg_().exp_().add_(1).reciprocal_()


def _layers(net: Discriminator) -> tuple[nn.Linear, nn.Linear]:
    first, _, second = net.layers
    return cast(nn.Linear, first), cast(nn.Linear, second)
