"""SA-DVAE trained with the gradients written out.

The same steps as :class:`zskel.zsl.methods.sa_dvae_training.Trainer`, which stays the
reference: the same draws in the same order, so that both agree to rounding. What
makes it fast: nets of one linear layer have short closed gradients, and autograd
has nothing to add; a bias is a row of its weight matrix and a 1 at the end of its
input; both reconstructions of a modality are one call of its decoder; all weights
lie in one buffer, which Adam crosses once.

Letters in shapes: B batch, D and K the widths of f_x and of the text coordinates,
V and R of z_v and z_r, Z = V + R.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from zskel.zsl.methods.flat_parameters import FlatParameters
from zskel.zsl.methods.sa_dvae_discriminator import DiscriminatorUpdates
from zskel.zsl.methods.sa_dvae_params import SADVAEParams
from zskel.zsl.methods.sa_dvae_text import TextCoordinates
from zskel.zsl.methods.sa_dvae_training import TERMS
from zskel.zsl.vae import AlignedVAE, Discriminator


class Engine:
    """Trains the VAEs and D_T on one set of clips.

    Args:
        vae, discriminator: With their initial weights, where ``write`` puts the
            trained ones. No discriminator: no total correlation penalty.
        generator: Draws the order of samples, the noise and the permutations.
        params: Of the method.
        f_x: ``[N, D]`` float32.
        y: ``[N]`` rows of the text features.
        text: The text features, in the coordinates to train in.

    Attributes:
        names: Names of the terms that take part.
        vae_steps, discriminator_steps: Taken so far.
    """

    @torch.no_grad()
    def __init__(
        self,
        vae: AlignedVAE,
        discriminator: Discriminator | None,
        generator: torch.Generator,
        params: SADVAEParams,
        *,
        f_x: Tensor,
        y: Tensor,
        text: TextCoordinates,
    ) -> None:
        self._vae, self._generator, self._params, self._text = vae, generator, params, text
        self._y, self._f_x, self._f_y = y, _with_one(f_x), _with_one(text.inputs)
        self._scale_x = self._scale_y = 1.0
        if params.squared_error == "mean":
            self._scale_x = 1 / f_x.shape[1]
            self._scale_y = 1 / vae.decoder_y.out_features
        self._scale_y *= text.gain ** 2
        # Where the text is in a basis, E_y keeps what its first weights do outside.
        self._initial_encoder_y = vae.encoder_y.linear.weight.clone()
        self._weights = FlatParameters({
            "encoder_x": (vae.encoder_x.linear.weight.T, vae.encoder_x.linear.bias),
            "encoder_y": (text.read_encoder(self._initial_encoder_y), vae.encoder_y.linear.bias),
            "decoder_x": (vae.decoder_x.weight.T, vae.decoder_x.bias),
            "decoder_y": text.read_decoder(vae.decoder_y),
        }, params.learning_rate)
        self._decoder_x_transposed, self._decoder_y_transposed = (
            self._weights.value[name][:-1].T for name in ("decoder_x", "decoder_y"))
        self._d_t = discriminator if discriminator is None else DiscriminatorUpdates(
            discriminator, generator, params, vae.z_v_dim)
        self.names = TERMS if discriminator is not None else TERMS[:-1]
        self._workspaces: dict[int, _Workspace] = {}
        self.vae_steps = self.discriminator_steps = 0

    @torch.no_grad()
    def epoch(self, weights: Tensor, on_step: Callable[[], None] | None = None) -> Tensor:
        """Goes through the samples once, in a new random order.

        Args:
            weights: ``[steps, 4]``, float64: beta_x, beta_y, lambda_1 and lambda_2.
            on_step: Called after every step.

        Returns:
            ``[steps, T + 1]``, float64: the terms before their weights, in the
            order of ``names``, and the weighted sum that the VAEs minimized.
        """
        rows = torch.randperm(len(self._y), generator=self._generator).split(
            self._params.batch_size)
        sizes = torch.tensor([len(part) for part in rows])[:, None]
        found = torch.zeros(len(rows), 9)
        for step in self._steps(rows, sizes, weights, found):
            self._step(step)
            if on_step is not None:
                on_step()
        return self._terms(found.double(), weights, sizes)

    @torch.no_grad()
    def write(self) -> None:
        """Puts the weights into the networks."""
        value, vae, text = self._weights.value, self._vae, self._text
        self._weights.write({"encoder_x": vae.encoder_x.linear, "decoder_x": vae.decoder_x})
        text.write_encoder(
            vae.encoder_y.linear, value["encoder_y"][:-1], self._initial_encoder_y)
        vae.encoder_y.linear.bias.copy_(value["encoder_y"][-1])
        text.write_decoder(vae.decoder_y, value["decoder_y"][:-1], value["decoder_y"][-1])
        if self._d_t is not None:
            self._d_t.write()

    def _steps(
        self, rows: tuple[Tensor, ...], sizes: Tensor, weights: Tensor, found: Tensor
    ) -> Iterator[_Step]:
        # All numbers of an epoch at once: a small tensor costs as much as a product.
        beta_x, beta_y, lambda_1, lambda_2 = weights[..., None].unbind(1)
        one = torch.ones_like(lambda_1)
        factors = (
            (2 * self._scale_x / sizes * torch.cat([one, lambda_1], dim=1))[..., None],
            (2 * self._scale_y / sizes * torch.cat([lambda_1, one], dim=1))[..., None],
            lambda_2, beta_x / sizes, beta_x / (2 * sizes), beta_y / sizes, beta_y / (2 * sizes),
        )
        errors_x, errors_y, weight, *of_kl = (factor.float().unbind(0) for factor in factors)
        norms_x, norms_y = found[:, :2].unbind(0), found[:, 2:4].unbind(0)
        *kl, total_correlation = (column.unbind(0) for column in found[:, 4:].unbind(1))
        counted = 0 if self._params.discriminator_turn == "before" else self.vae_steps
        turns = ((counted + k) % self._params.n_d == 0 for k in range(1, len(rows) + 1))
        return map(_Step, rows, turns, weights[:, 3].tolist(), weight,
                   zip(errors_x, norms_x), zip(errors_y, norms_y),
                   zip(*of_kl[:2], *kl[:2]), zip(*of_kl[2:], *kl[2:]), total_correlation)

    def _step(self, s: _Step) -> None:
        value, grad, d_t = self._weights.value, self._weights.grad, self._d_t
        w = self._workspace(len(s.rows))
        labels = self._y[s.rows]
        torch.index_select(self._f_x, 0, s.rows, out=w.x)
        torch.index_select(self._f_y, 0, labels, out=w.y)
        torch.index_select(self._text.targets, 0, labels, out=w.target)

        of_x, of_y = w.posterior_x, w.posterior_y
        torch.mm(w.x, value["encoder_x"], out=of_x.out)
        torch.mm(w.y, value["encoder_y"], out=of_y.out)
        self._draw_x(of_x.noise)
        self._draw(of_y.noise)
        of_x.reparameterize()
        of_y.reparameterize()
        w.z_v_copy.copy_(w.z_v)

        self.vae_steps += 1
        before = self._params.discriminator_turn == "before"
        if d_t is not None and s.discriminator_turn and before:
            d_t.step(self._fresh_branches(w), s.lambda_2)
            self.discriminator_steps += 1

        torch.mm(w.latents, value["decoder_x"], out=w.out_x)
        torch.mm(w.semantic, value["decoder_y"], out=w.out_y)
        self._errors(w.out_x, w.f_x, *s.errors_x)
        self._errors(w.out_y, w.target, *s.errors_y)
        torch.mm(w.latents.T, w.out_x, out=grad["decoder_x"])
        torch.mm(w.semantic.T, w.out_y, out=grad["decoder_y"])
        torch.mm(w.out_x, self._decoder_x_transposed, out=w.latents_grad)
        w.semantic_grad.addmm_(w.out_y, self._decoder_y_transposed)
        w.z_v_grad.add_(w.z_v_copy_grad)
        if d_t is not None:
            d_t.add_gradient(w.z_x_one, w.z_x_grad, s.lambda_2 if s.adversarial else None,
                             s.total_correlation)
        of_x.backward(*s.kl_x)
        of_y.backward(*s.kl_y)
        torch.mm(w.x.T, of_x.grad, out=grad["encoder_x"])
        torch.mm(w.y.T, of_y.grad, out=grad["encoder_y"])
        self._weights.adam_step()
        if d_t is not None and s.discriminator_turn and not before:
            d_t.step(self._branches(w), s.lambda_2)
            self.discriminator_steps += 1

    def _errors(self, out: Tensor, target: Tensor, factor: Tensor, norms: Tensor) -> None:
        """Turns a decoder's output into the gradient with respect to its last layer."""
        active = out.relu_().sign() if self._params.output_activation == "relu" else None
        halves = out.view(2, *target.shape).sub_(target).flatten(1)
        torch.linalg.vector_norm(halves, dim=1, out=norms)
        halves.mul_(factor)
        if active is not None:
            out.mul_(active)

    def _draw_x(self, noise: Tensor) -> None:
        v = self._vae.z_v_dim
        if self._params.noise == "sample" and v:
            # z_r's first, as the reference draws them.
            self._draw(noise[:, v:])
            self._draw(noise[:, :v])
        else:
            self._draw(noise)

    def _draw(self, noise: Tensor) -> None:
        if self._params.noise == "dimension" and noise.is_contiguous():
            noise.normal_(generator=self._generator)
        else:
            columns = 1 if self._params.noise == "sample" else noise.shape[1]
            noise.copy_(torch.randn(len(noise), columns, generator=self._generator))

    def _fresh_branches(self, w: _Workspace) -> Iterator[Tensor]:
        # Each branch is drawn when D_T has permuted the one before.
        v, x, y = self._vae.z_v_dim, w.posterior_x, w.posterior_y
        latents, noise = w.z_x_one.clone(), torch.empty_like(x.noise)
        self._draw_x(noise)
        torch.addcmul(x.mean, noise, x.deviation, out=latents[:, :-1])
        yield latents
        if self._params.discriminator_branches == "skeleton+text":
            noise_y = torch.empty_like(y.noise)
            self._draw(noise_y)
            torch.addcmul(y.mean, noise_y, y.deviation, out=latents[:, v:-1])
            noise_v = noise[:, :v]
            self._draw(noise_v)
            torch.addcmul(x.mean[:, :v], noise_v, x.deviation[:, :v], out=latents[:, :v])
            yield latents

    def _branches(self, w: _Workspace) -> Iterator[Tensor]:
        yield w.z_x_one
        if self._params.discriminator_branches == "skeleton+text":
            yield w.z_text_one

    def _workspace(self, batch: int) -> _Workspace:
        if batch not in self._workspaces:
            self._workspaces[batch] = _Workspace(
                batch, self._f_x.shape[1] - 1, self._text.width,
                self._vae.z_r_dim, self._vae.z_v_dim)
        return self._workspaces[batch]

    def _terms(self, found: Tensor, weights: Tensor, sizes: Tensor) -> Tensor:
        """Terms ``[steps, T + 1]`` from what the steps recorded, ``[steps, 9]``."""
        squares = found[:, :4].square() / sizes
        errors_x, errors_y = squares[:, :2] * self._scale_x, squares[:, 2:] * self._scale_y
        size = sizes[:, 0]
        kl = [(found[:, i].square() + found[:, i + 1]) / (2 * size) for i in (4, 6)]
        terms = torch.stack([
            errors_x[:, 0], errors_y[:, 1], *kl, errors_x[:, 1] + errors_y[:, 0],
            found[:, 8] / size,
        ], dim=1)[:, :len(self.names)]
        one = torch.ones(len(weights), 2, dtype=weights.dtype)
        factors = torch.cat([one, weights], dim=1)[:, :len(self.names)]
        return torch.cat([terms, (terms * factors).sum(dim=1, keepdim=True)], dim=1)


class _Step(NamedTuple):
    """One step: its rows, the factors of its gradients, and where it leaves its terms.

    Attributes:
        rows: ``[B]``.
        discriminator_turn: Whether D_T takes a step, too.
        adversarial: 0 if lambda_2 is.
        lambda_2: Of D_T's term.
        errors_x, errors_y: Factors ``[2, 1]`` of the decoders' errors, for the two kinds
            of rows of ``_Workspace.latents``, and ``[2]`` for their norms.
        kl_x, kl_y: What ``_Posterior.backward`` takes.
        total_correlation: For D_T's term, summed over the batch.
    """

    rows: Tensor
    discriminator_turn: bool
    adversarial: float
    lambda_2: Tensor
    errors_x: tuple[Tensor, Tensor]
    errors_y: tuple[Tensor, Tensor]
    kl_x: tuple[Tensor, Tensor, Tensor, Tensor]
    kl_y: tuple[Tensor, Tensor, Tensor, Tensor]
    total_correlation: Tensor


class _Workspace:
    """Buffers of a step for one batch size, and the views of them that it uses.

    Args:
        batch: B.
        width, text: D and K.
        r, v: Widths of z_r and z_v.

    Attributes:
        x, y: ``[B, D + 1]`` and ``[B, K + 1]`` features, each row with a last 1.
        target: ``[B, K]`` what D_y has to give.
        latents: ``[2B, Z + 1]``: B rows [z_v, z_r, 1], then B rows [z_v, z_y, 1].
            D_x reads all columns, D_y those from z_r or z_y on.
        latents_grad: ``[2B, Z]``.
        out_x, out_y: ``[2B, D]`` and ``[2B, K]`` of the decoders.
        posterior_x, posterior_y: Of the encoders.
    """

    def __init__(self, batch: int, width: int, text: int, r: int, v: int) -> None:
        z = v + r
        self.x, self.y = torch.ones(batch, width + 1), torch.ones(batch, text + 1)
        self.target = torch.ones(batch, text)
        self.f_x = self.x[:, :width]
        self.latents, self.latents_grad = torch.ones(2 * batch, z + 1), torch.ones(2 * batch, z)
        self.semantic, self.semantic_grad = self.latents[:, v:], self.latents_grad[:, v:]
        self.z_x_one, self.z_text_one = self.latents[:batch], self.latents[batch:]
        self.z_x_grad = self.latents_grad[:batch]
        self.z_v, self.z_v_copy = self.z_x_one[:, :v], self.z_text_one[:, :v]
        self.z_v_grad, self.z_v_copy_grad = self.z_x_grad[:, :v], self.latents_grad[batch:, :v]
        self.out_x, self.out_y = torch.ones(2 * batch, width), torch.ones(2 * batch, text)
        self.posterior_x = _Posterior(self.z_x_one[:, :z], self.z_x_grad)
        self.posterior_y = _Posterior(self.z_text_one[:, v:z], self.latents_grad[batch:, v:])


class _Posterior:
    """Buffers of one encoder, and the arithmetic between it and the latents.

    Args:
        z, z_grad: ``[B, W]`` the latents and their gradients, views of the
            decoders' input.

    Attributes:
        out, grad: ``[B, 2W]``, mean and log variance, and their gradients.
        noise: ``[B, W]``, standard normal when drawn, then times the deviation.
        deviation: ``[B, W]``, between ``reparameterize`` and ``backward``.
    """

    def __init__(self, z: Tensor, z_grad: Tensor) -> None:
        batch, width = z.shape
        self.out, self.grad = torch.ones(batch, 2 * width), torch.ones(batch, 2 * width)
        self.mean, self.log_variance = self.out.split(width, dim=1)
        self._mean_grad, self._log_variance_grad = self.grad.split(width, dim=1)
        self.noise, self.deviation, self._scratch = (torch.empty(batch, width) for _ in range(3))
        self._z, self._z_grad = z, z_grad

    def reparameterize(self) -> None:
        """z from the mean, the log variance and the noise drawn."""
        torch.mul(self.log_variance, 0.5, out=self.deviation).exp_()
        self.noise.mul_(self.deviation)
        torch.add(self.mean, self.noise, out=self._z)

    def backward(self, beta: Tensor, half_beta: Tensor, norm: Tensor, rest: Tensor) -> None:
        """Gradients of mean and log variance from those of z and the KL term's.

        Args:
            beta, half_beta: The KL term's weight over B, and half of it.
            norm, rest: Receive the square root of the sum of mean^2, and the sum of
                variance - log variance - 1.
        """
        torch.linalg.vector_norm(self.mean, dim=(0, 1), out=norm)
        excess = self.deviation.mul_(self.deviation).sub_(1)
        torch.sub(excess, self.log_variance, out=self._scratch)
        torch.sum(self._scratch, dim=(0, 1), out=rest)
        torch.addcmul(self._z_grad, self.mean, beta, out=self._mean_grad)
        torch.addcmul(excess.mul_(half_beta), self._z_grad, self.noise, value=0.5,
                      out=self._log_variance_grad)


def _with_one(f: Tensor) -> Tensor:
    return torch.cat([f, f.new_ones(len(f), 1)], dim=1)
