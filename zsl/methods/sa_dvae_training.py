"""One training step of SA-DVAE: eq. 2-7 put together, and the adversarial steps of D_T."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zskel.zsl.losses import cross_alignment, gaussian_kl, squared_error, total_correlation
from zskel.zsl.methods.sa_dvae_params import SADVAEParams
from zskel.zsl.schedules import (
    cross_alignment_weight,
    cyclical_annealing,
    late_annealing_x,
    late_annealing_y,
    late_cross_alignment_weight,
)
from zskel.zsl.vae import AlignedVAE, Discriminator, sample_gaussian

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

    def vector(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """One weight for each of ``TERMS``."""
        return torch.tensor(
            [1.0, 1.0, self.beta_x, self.beta_y, self.lambda_1, self.lambda_2], dtype=dtype
        )


def weights_at(params: SADVAEParams, epoch: int, k: int, n: int) -> Weights:
    """The weights in the step that starts at sample ``k`` of ``n`` of an epoch."""
    i, batches = k // params.batch_size, -(-n // params.batch_size)
    if params.kl_schedule == "cyclical":
        of_x = of_y = cyclical_annealing(k, n)
    else:
        of_x, of_y = late_annealing_x(i, batches), late_annealing_y(epoch, i, batches)
    if params.alignment_schedule == "after_first_epoch":
        lambda_1 = cross_alignment_weight(epoch)
    else:
        lambda_1 = late_cross_alignment_weight(i, batches)
    beta_y = of_y * params.beta_y
    lambda_2 = beta_y if params.tie_lambda_2 else of_y * params.lambda_2
    return Weights(of_x * params.beta_x, beta_y, lambda_1, lambda_2)


@dataclass(frozen=True)
class Posteriors:
    """What the encoders say about one batch, z_x as ``[B, z_v_dim + z_r_dim]``."""

    mean_x: Tensor
    log_variance_x: Tensor
    mean_y: Tensor
    log_variance_y: Tensor

    def detach(self) -> Posteriors:
        """The same without gradient."""
        return Posteriors(self.mean_x.detach(), self.log_variance_x.detach(),
                          self.mean_y.detach(), self.log_variance_y.detach())


class Trainer:
    """Trains the VAEs and D_T in alternation.

    The VAEs minimize eq. 7 (the signs: see :mod:`zskel.zsl.losses`); after every
    ``n_d`` such steps D_T maximizes L_T once, on the latents of the step just
    taken, which it cannot change. The switches of ``params`` say what may be otherwise.

    Args:
        vae: The four encoders and decoders.
        discriminator: D_T, or None for no total correlation penalty.
        generator: Draws the noise of the latents and the permutations.
        params: Of the method; both Adam optimizers have beta 0.9 and 0.999 as in Table 2.

    Attributes:
        vae_steps: Taken so far.
        discriminator_steps: Taken so far.
    """

    def __init__(
        self,
        vae: AlignedVAE,
        discriminator: Discriminator | None,
        generator: torch.Generator,
        params: SADVAEParams,
    ) -> None:
        self.vae, self.discriminator = vae, discriminator
        self.generator, self.params = generator, params
        self.vae_steps = self.discriminator_steps = self._steps_in_epoch = 0
        # Only these receive gradients of eq. 7; D_T's weights are constants there.
        self._parameters = list(vae.parameters())
        self._vae_optimizer = _adam(vae, params.learning_rate)
        if discriminator is not None:
            self._discriminator_optimizer = _adam(discriminator, params.learning_rate)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms that take part: all, or all but the last without D_T."""
        return TERMS if self.discriminator is not None else TERMS[:-1]

    def start_epoch(self) -> None:
        """Must be called before the first step of each epoch."""
        self._steps_in_epoch = 0

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
        posteriors = self.encode(f_x, f_y)
        z_x, z_y = self.draw_x(posteriors), self.draw_y(posteriors)
        self.vae_steps += 1
        self._steps_in_epoch += 1
        first = self.params.discriminator_turn == "before"
        count = self._steps_in_epoch if first else self.vae_steps
        turn = self.discriminator is not None and count % self.params.n_d == 0
        if turn and first:
            self._fresh_discriminator_step(posteriors.detach(), weights.lambda_2)
        terms = self._terms(posteriors, z_x, z_y, f_x, f_y)
        loss = torch.dot(terms, weights.vector(terms.dtype)[: len(terms)])
        self._vae_optimizer.zero_grad()
        loss.backward(inputs=self._parameters)
        self._vae_optimizer.step()
        if turn and not first:
            self.discriminator_step(z_x.detach(), z_y.detach(), weights.lambda_2)
        return torch.cat([terms.detach(), loss.detach()[None]])

    def encode(self, f_x: Tensor, f_y: Tensor) -> Posteriors:
        """Means and log variances of one batch."""
        return Posteriors(*self.vae.encoder_x(f_x), *self.vae.encoder_y(f_y))

    def terms(self, f_x: Tensor, f_y: Tensor) -> tuple[Tensor, Tensor]:
        """The unweighted terms of one batch, and its latents z_x ``[B, Z]``."""
        posteriors = self.encode(f_x, f_y)
        z_x, z_y = self.draw_x(posteriors), self.draw_y(posteriors)
        return self._terms(posteriors, z_x, z_y, f_x, f_y), z_x

    def draw_x(self, posteriors: Posteriors) -> Tensor:
        """z_x ``[B, Z]``; noise "sample" draws for z_r first, then for z_v."""
        mean, log_variance = posteriors.mean_x, posteriors.log_variance_x
        if self.params.noise == "dimension":
            return sample_gaussian(mean, log_variance, self.generator)
        _, mean_r = self.vae.split(mean)
        _, log_variance_r = self.vae.split(log_variance)
        z_r = sample_gaussian(mean_r, log_variance_r, self.generator, self.params.noise)
        return torch.cat([self.draw_v(posteriors), z_r], dim=-1) if self.vae.z_v_dim else z_r

    def draw_v(self, posteriors: Posteriors) -> Tensor:
        """z_v alone, ``[B, z_v_dim]``."""
        mean_v, _ = self.vae.split(posteriors.mean_x)
        log_variance_v, _ = self.vae.split(posteriors.log_variance_x)
        return sample_gaussian(mean_v, log_variance_v, self.generator, self.params.noise)

    def draw_y(self, posteriors: Posteriors) -> Tensor:
        """z_y ``[B, z_r_dim]``."""
        return sample_gaussian(
            posteriors.mean_y, posteriors.log_variance_y, self.generator, self.params.noise
        )

    def _terms(
        self, posteriors: Posteriors, z_x: Tensor, z_y: Tensor, f_x: Tensor, f_y: Tensor
    ) -> Tensor:
        vae, reduction = self.vae, self.params.squared_error
        z_v, z_r = vae.split(z_x)
        terms = [
            squared_error(vae.decode_x(z_x), f_x, reduction),
            squared_error(vae.decode_y(z_y), f_y, reduction),
            gaussian_kl(posteriors.mean_x, posteriors.log_variance_x),
            gaussian_kl(posteriors.mean_y, posteriors.log_variance_y),
            cross_alignment(
                vae.decode_x(torch.cat([z_v, z_y], dim=-1)), f_x,
                vae.decode_y(z_r), f_y, reduction,
            ),
        ]
        if self.discriminator is not None:
            terms.append(
                self.total_correlation(z_x) if self.params.adversarial_loss == "log"
                else self.discriminator(z_x).sigmoid().mean()
            )
        return torch.stack(terms)

    def total_correlation(self, z_x: Tensor) -> Tensor:
        """L_T of a batch: z_v, or z_r and z_v apart, permuted among the rows."""
        assert self.discriminator is not None
        z_v, z_r = self.vae.split(z_x)
        if self.params.permute == "both":
            z_r = z_r[self._order(z_x)]
        permuted = torch.cat([z_v[self._order(z_x)], z_r], dim=-1)
        joint, broken = self.discriminator(torch.cat([z_x, permuted])).chunk(2)
        return total_correlation(joint, broken)

    def discriminator_step(
        self, z_x: Tensor, z_y: Tensor | None = None, lambda_2: float = 1.0
    ) -> None:
        """One step of D_T up L_T, on latents without gradient.

        Args:
            z_x: ``[B, Z]``.
            z_y: ``[B, z_r_dim]``, for the text branch.
            lambda_2: Present weight of L_T, for the scale "lambda_2".
        """
        l_t = self.total_correlation(z_x)
        if self.params.discriminator_branches == "skeleton+text":
            assert z_y is not None
            z_v, _ = self.vae.split(z_x)
            l_t = (l_t + self.total_correlation(torch.cat([z_v, z_y], dim=-1))) / 2
        self._update_discriminator(l_t, lambda_2)

    def _fresh_discriminator_step(self, posteriors: Posteriors, lambda_2: float) -> None:
        # As discriminator_step, each branch on draws of its own.
        l_t = self.total_correlation(self.draw_x(posteriors))
        if self.params.discriminator_branches == "skeleton+text":
            z_y = self.draw_y(posteriors)
            text = torch.cat([self.draw_v(posteriors), z_y], dim=-1)
            l_t = (l_t + self.total_correlation(text)) / 2
        self._update_discriminator(l_t, lambda_2)

    def _update_discriminator(self, l_t: Tensor, lambda_2: float) -> None:
        loss = -l_t if self.params.discriminator_scale == "one" else -l_t * (lambda_2 / 2)
        self._discriminator_optimizer.zero_grad()
        loss.backward()
        self._discriminator_optimizer.step()
        self.discriminator_steps += 1

    def _order(self, z_x: Tensor) -> Tensor:
        return torch.randperm(len(z_x), generator=self.generator, device=z_x.device)


def _adam(module: torch.nn.Module, learning_rate: float) -> torch.optim.Adam:
    # The fused form is one call for all tensors: half the time of a small step.
    return torch.optim.Adam(module.parameters(), lr=learning_rate, betas=(0.9, 0.999), fused=True)
