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

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from zskel.zsl.methods.sa_dvae_params import SADVAEParams
from zskel.zsl.methods.sa_dvae_text import TextCoordinates
from zskel.zsl.methods.sa_dvae_training import TERMS
from zskel.zsl.vae import AlignedVAE, Discriminator

_ALIGNMENT = 64


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
        for name, layer in (("encoder_x", vae.encoder_x.linear), ("decoder_x", vae.decoder_x)):
            layer.weight.copy_(value[name][:-1].T)
            layer.bias.copy_(value[name][-1])
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
        self._weights = FlatParameters(
            {name: (layer.weight.T, layer.bias) for name, layer in self._layers.items()},
            params.learning_rate)
        self._first_transposed = self._weights.value["first"][:-1].T

    def write(self) -> None:
        """Puts the weights into the network."""
        for name, layer in self._layers.items():
            layer.weight.copy_(self._weights.value[name][:-1].T)
            layer.bias.copy_(self._weights.value[name][-1])

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
            probability = _sigmoid(logits)
            torch.sum(probability, dim=(0, 1), out=term)
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
        torch.sum(log_sigmoid, dim=(0, 1), out=term)
        if weight is None:
            return
        slope = _sigmoid(signed.neg_()).mul_(sign).mul_(weight / batch)
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
        slope = _sigmoid(logits.mul_(sign).neg_()).mul_(sign).mul_(scale)
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


class FlatParameters:
    """The weights of several layers in one buffer, with their Adam.

    Args:
        layers: Transpose ``[inputs, outputs]`` of the weight, and bias, by name.
        learning_rate: Of Adam.

    Attributes:
        value, grad: ``[inputs + 1, outputs]`` by name, the bias as the last row.
    """

    def __init__(
        self, layers: Mapping[str, tuple[Tensor, Tensor]], learning_rate: float
    ) -> None:
        self._rate, self._steps = learning_rate, torch.zeros(())
        # Full vectors only: Adam then treats a weight the same wherever it lies.
        sizes = [-(-(weight.numel() + len(bias)) // _ALIGNMENT) * _ALIGNMENT
                 for weight, bias in layers.values()]
        self._buffers = [torch.zeros(sum(sizes)) for _ in range(4)]
        self.value, self.grad = (
            {name: part[:weight.numel() + len(bias)].view(-1, len(bias))
             for part, (name, (weight, bias)) in zip(buffer.split(sizes), layers.items())}
            for buffer in self._buffers[:2]
        )
        for name, (weight, bias) in layers.items():
            self.value[name][:-1], self.value[name][-1] = weight, bias

    def adam_step(self) -> None:
        """One step down the gradients, as ``torch.optim.Adam`` takes it by default."""
        values, grads, means, squares = self._buffers
        adam([values], [grads], [means], [squares], [], [self._steps], fused=True, amsgrad=False,
             beta1=0.9, beta2=0.999, lr=self._rate, weight_decay=0.0, eps=1e-8, maximize=False)


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


def _sigmoid(logits: Tensor) -> Tensor:
    """In place. torch's own differs in the last bit between a vector and its tail."""
    return logits.neg_().exp_().add_(1).reciprocal_()
