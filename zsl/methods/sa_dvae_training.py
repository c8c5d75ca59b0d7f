"""One training step of SA-DVAE: eq. 2-7 put together, and the game with D_T."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zsl.losses import (
    Reduction,
    cross_alignment,
    gaussian_kl,
    squared_error,
    total_correlation,
)
from zsl.vae import AlignedVAE, Discriminator, sample_gaussian


#: The terms of eq. 7 with eq. 2-4 put in, in the order of every vector of them.
#: kl_x is both KL terms of eq. 2.
TERMS = (
    "reconstruction_x", "reconstruction_y", "kl_x", "kl_y", "cross_alignment", "total_correlation",
)


@dataclass(frozen=True)
class Weights:
    """The weights of the loss terms in one step, after their schedules."""

    beta_x: float
    beta_y: float
    lambda_1: float
    lambda_2: float

    def vector(self) -> Tensor:
        """One weight for each of ``TERMS``."""
        return torch.tensor([1.0, 1.0, self.beta_x, self.beta_y, self.lambda_1, self.lambda_2])


class Trainer:
    """Trains the VAEs and D_T in alternation.

    The VAEs minimize eq. 7 (the signs: see :mod:`zsl.losses`); after every
    ``n_d`` such steps D_T maximizes L_T once, on the latents of the step just
    taken, which it cannot change.

    Args:
        vae: The four encoders and decoders.
        discriminator: D_T, or None for no total correlation penalty.
        n_d: VAE steps before each step of D_T, counted across epochs.
        learning_rate: Of both Adam optimizers; beta 0.9 and 0.999 as in Table 2.
        generator: Draws the noise of the latents and the permutations.
        reduction: See :func:`zsl.losses.squared_error`.

    Attributes:
        vae_steps: Taken so far.
        discriminator_steps: Taken so far.
    """

    def __init__(
        self,
        vae: AlignedVAE,
        discriminator: Discriminator | None,
        *,
        n_d: int,
        learning_rate: float,
        generator: torch.Generator,
        reduction: Reduction = "sum",
    ) -> None:
        self.vae, self.discriminator = vae, discriminator
        self.n_d, self.generator, self.reduction = n_d, generator, reduction
        self.vae_steps = self.discriminator_steps = 0
        # Only these receive gradients of eq. 7; D_T's weights are constants there.
        self._parameters = list(vae.parameters())
        self._vae_optimizer = _adam(vae, learning_rate)
        if discriminator is not None:
            self._discriminator_optimizer = _adam(discriminator, learning_rate)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms that take part: all, or all but the last without D_T."""
        return TERMS if self.discriminator is not None else TERMS[:-1]

    def step(self, f_x: Tensor, f_y: Tensor, weights: Weights) -> Tensor:
        """One step of the VAEs and, when its turn has come, one of D_T.

        Args:
            f_x: ``[B, D]`` skeleton features.
            f_y: ``[B, Dt]`` text features of each one's class.
            weights: The terms' weights in this step.

        Returns:
            The terms before their weights, in the order of ``names``, and last
            the weighted sum that the VAEs minimized.
        """
        terms, z_x = self.terms(f_x, f_y)
        loss = torch.dot(terms, weights.vector()[: len(terms)])
        self._vae_optimizer.zero_grad()
        loss.backward(inputs=self._parameters)
        self._vae_optimizer.step()
        self.vae_steps += 1
        if self.discriminator is not None and self.vae_steps % self.n_d == 0:
            self.discriminator_step(z_x.detach())
        return torch.cat([terms.detach(), loss.detach()[None]])

    def terms(self, f_x: Tensor, f_y: Tensor) -> tuple[Tensor, Tensor]:
        """The unweighted terms of one batch, and its latents z_x ``[B, Z]``."""
        vae = self.vae
        mean_x, log_variance_x = vae.encoder_x(f_x)
        mean_y, log_variance_y = vae.encoder_y(f_y)
        z_x = sample_gaussian(mean_x, log_variance_x, self.generator)
        z_y = sample_gaussian(mean_y, log_variance_y, self.generator)
        z_v, z_r = vae.split(z_x)
        terms = [
            squared_error(vae.decoder_x(z_x), f_x, self.reduction),
            squared_error(vae.decoder_y(z_y), f_y, self.reduction),
            gaussian_kl(mean_x, log_variance_x),
            gaussian_kl(mean_y, log_variance_y),
            cross_alignment(
                vae.decoder_x(torch.cat([z_v, z_y], dim=-1)), f_x,
                vae.decoder_y(z_r), f_y, self.reduction,
            ),
        ]
        if self.discriminator is not None:
            terms.append(self.total_correlation(z_x))
        return torch.stack(terms), z_x

    def total_correlation(self, z_x: Tensor) -> Tensor:
        """L_T of a batch: z_v permuted among the rows, z_r in its place."""
        z_v, z_r = self.vae.split(z_x)
        order = torch.randperm(len(z_x), generator=self.generator, device=z_x.device)
        permuted = torch.cat([z_v[order], z_r], dim=-1)
        joint, broken = self.discriminator(torch.cat([z_x, permuted])).chunk(2)
        return total_correlation(joint, broken)

    def discriminator_step(self, z_x: Tensor) -> None:
        """One step of D_T up L_T, on latents without gradient."""
        self._discriminator_optimizer.zero_grad()
        (-self.total_correlation(z_x)).backward()
        self._discriminator_optimizer.step()
        self.discriminator_steps += 1


def _adam(module: torch.nn.Module, learning_rate: float) -> torch.optim.Adam:
    # The fused form is one call for all tensors: half the time of a small step.
    return torch.optim.Adam(module.parameters(), lr=learning_rate, betas=(0.9, 0.999), fused=True)
