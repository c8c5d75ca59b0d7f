"""Many SA-DVAEs trained at once, with the gradients written out.

The same steps as :class:`zskel.zsl.methods.sa_dvae_training.Trainer`, which stays the
reference: the same draws in the same order, so that both agree to rounding. What
makes it fast: nets of one linear layer have short closed gradients, and autograd
has nothing to add; a batch of each of G models goes through one batched product;
a bias is a row of its weight matrix and a 1 at the end of its input; both
reconstructions of a modality are one call of its decoder; all weights of a model
lie in one buffer, which Adam crosses once.

Letters in shapes: G models, B batch, D and K the widths of f_x and of the text
coordinates, V and R of z_v and z_r, Z = V + R.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zskel.zsl.losses import Reduction
from zskel.zsl.methods.sa_dvae_engine_buffers import Coefficients, Flat, Record, Workspace
from zskel.zsl.methods.sa_dvae_engine_game import Discriminators
from zskel.zsl.methods.sa_dvae_engine_text import TextCoordinates
from zskel.zsl.methods.sa_dvae_training import TERMS, Game
from zskel.zsl.vae import AlignedVAE, Discriminator, Noise


@dataclass(frozen=True)
class Member:
    """One model of a stack, and what it learns from.

    Attributes:
        vae, discriminator: Its nets with their initial weights, where
            ``Engine.write`` puts the trained ones. No discriminator: no total
            correlation penalty.
        generator: Draws the order of samples, the noise and the permutations.
        learning_rate: Of both Adams.
        f_x: ``[N, D]`` float32.
        y: ``[N]`` rows of the text features.
        text: The text features, in the coordinates to train in.
    """

    vae: AlignedVAE
    discriminator: Discriminator | None
    generator: torch.Generator
    learning_rate: float
    f_x: Tensor
    y: Tensor
    text: TextCoordinates


class Engine:
    """Trains G models of equal shape side by side, each as if it were alone.

    Every number of a model is the same to the bit whatever else is in the stack.

    Args:
        members: Equal in all widths, in rows, in the decoders' activation and in
            whether they have a D_T.
        n_d: VAE steps before each step of D_T.
        reduction: See :func:`zskel.zsl.losses.squared_error`.
        noise: See :func:`zskel.zsl.vae.sample_gaussian`.
        game: How the VAEs and D_T play.

    Attributes:
        names: Names of the terms that take part.
        vae_steps, discriminator_steps: Taken so far, by each model.
    """

    @torch.no_grad()
    def __init__(
        self,
        members: Sequence[Member],
        *,
        n_d: int,
        reduction: Reduction = "sum",
        noise: Noise = "dimension",
        game: Game | None = None,
    ) -> None:
        self._members, self._n_d, self._noise = list(members), n_d, noise
        self._game = game or Game()
        self._generators = [member.generator for member in members]
        first = members[0]
        device, rates = first.f_x.device, [member.learning_rate for member in members]
        self.samples, width = first.f_x.shape
        r, v, text = first.vae.z_r_dim, first.vae.z_v_dim, first.text.width
        self._widths = width, text, r, v
        self._relu = first.vae.output == "relu"
        self._scale_x, self._scale_y = 1.0, 1.0
        if reduction == "mean":
            full = first.vae.decoder_y.out_features
            self._scale_x, self._scale_y = 1 / width, 1 / full
        self._scale_y *= first.text.gain ** 2
        self._flat = Flat({
            "encoder_x": (width + 1, 2 * (v + r)), "encoder_y": (text + 1, 2 * r),
            "decoder_x": (v + r + 1, width), "decoder_y": (r + 1, text),
        }, rates, device)
        self._read()
        self._decoder_x_transposed, self._decoder_y_transposed = (
            self._flat.value[name][:, :-1].mT for name in ("decoder_x", "decoder_y"))
        self.names: tuple[str, ...] = TERMS[:-1]
        self._d_t: Discriminators | None = None
        if first.discriminator is not None:
            self.names = TERMS
            nets = [member.discriminator for member in members]
            self._d_t = Discriminators([net for net in nets if net is not None],
                                       self._generators, rates, v, self._game)
        texts = [member.text for member in members]
        self._f_x, self._row = _joined(_with_one, [member.f_x for member in members])
        self._y, self._label = _joined(lambda y: y, [member.y for member in members])
        self._f_y, self._class = _joined(lambda text: _with_one(text.inputs), texts)
        self._target, _ = _joined(lambda text: text.targets, texts)
        self._workspaces: dict[int, Workspace] = {}
        self.vae_steps = self.discriminator_steps = 0

    @torch.no_grad()
    def epoch(
        self, weights: Tensor, batch: int, on_step: Callable[[], None] | None = None
    ) -> Tensor:
        """Every model goes through its samples once, in a new random order.

        Args:
            weights: ``[steps, G, 4]`` beta_x, beta_y, lambda_1 and lambda_2.
            batch: Rows of a batch; the last one may be short.
            on_step: Called after every step.

        Returns:
            ``[steps, G, T + 1]``, float64: the terms before their weights, in the
            order of ``names``, and the weighted sum that the VAEs minimized.
        """
        order = torch.stack([
            torch.randperm(self.samples, generator=generator, device=self._y.device)
            for generator in self._generators
        ])
        labels = self._y[order + self._label] + self._class
        rows = order + self._row
        sizes = torch.tensor([len(part) for part in order[0].split(batch)])
        found = torch.zeros(len(sizes), 9, len(self._members), device=rows.device)
        for k, (step_rows, step_labels, coefficients, record) in enumerate(zip(
            rows.split(batch, dim=1), labels.split(batch, dim=1),
            Coefficients.of_steps(weights, sizes, self._scale_x, self._scale_y, rows.device),
            Record.of_steps(found),
        )):
            self._step(k + 1, step_rows, step_labels, coefficients, record)
            if on_step is not None:
                on_step()
        return self._terms(found.double().cpu(), weights.double(), sizes)

    @torch.no_grad()
    def write(self) -> None:
        """Puts the weights into the members' nets."""
        value = self._flat.value
        for g, member in enumerate(self._members):
            vae = member.vae
            for name, layer in (("encoder_x", vae.encoder_x.linear), ("decoder_x", vae.decoder_x)):
                layer.weight.copy_(value[name][g, :-1].T)
                layer.bias.copy_(value[name][g, -1])
            layer, of_layer = vae.encoder_y.linear, value["encoder_y"][g]
            member.text.write_encoder(layer, of_layer[:-1], self._initial_encoder_y[g])
            layer.bias.copy_(of_layer[-1])
            of_layer = value["decoder_y"][g]
            member.text.write_decoder(vae.decoder_y, of_layer[:-1], of_layer[-1])
        if self._d_t is not None:
            self._d_t.write()

    def _read(self) -> None:
        value = self._flat.value
        # Where the text is in a basis, E_y keeps what its first weights do outside.
        self._initial_encoder_y = [m.vae.encoder_y.linear.weight.clone() for m in self._members]
        for g, member in enumerate(self._members):
            vae = member.vae
            for name, layer in (("encoder_x", vae.encoder_x.linear), ("decoder_x", vae.decoder_x)):
                value[name][g, :-1], value[name][g, -1] = layer.weight.T, layer.bias
            layer, of_layer = vae.encoder_y.linear, value["encoder_y"][g]
            of_layer[:-1], of_layer[-1] = member.text.read_encoder(layer.weight), layer.bias
            of_layer = value["decoder_y"][g]
            of_layer[:-1], of_layer[-1] = member.text.read_decoder(vae.decoder_y)

    def _step(
        self, count: int, rows: Tensor, labels: Tensor, by: Coefficients, record: Record
    ) -> None:
        value, grad = self._flat.value, self._flat.grad
        w = self._workspace(rows.shape[1])
        for source, index, parts in zip((self._f_x, self._f_y, self._target),
                                        (rows, labels, labels), w.gathered):
            for of_model, out in zip(index, parts):
                torch.index_select(source, 0, of_model, out=out)

        of_x, of_y = w.posterior_x, w.posterior_y
        torch.bmm(w.x, value["encoder_x"], out=of_x.out)
        torch.bmm(w.y, value["encoder_y"], out=of_y.out)
        self._draw_x(of_x.noise)
        self._draw(of_y.noise)
        of_x.reparameterize()
        of_y.reparameterize()
        w.z_v_copy.copy_(w.z_v)

        self.vae_steps += 1
        before = self._game.turn == "before"
        d_t = self._d_t
        turn = d_t is not None and (count if before else self.vae_steps) % self._n_d == 0
        if d_t is not None and turn and before:
            d_t.climb(self._fresh(w), by.lambda_2)
            self.discriminator_steps += 1

        torch.bmm(w.latents, value["decoder_x"], out=w.out_x)
        torch.bmm(w.semantic, value["decoder_y"], out=w.out_y)
        self._errors(w.out_x, w.f_x, by.errors_x, record.errors_x)
        self._errors(w.out_y, w.target, by.errors_y, record.errors_y)
        torch.bmm(w.latents_transposed, w.out_x, out=grad["decoder_x"])
        torch.bmm(w.semantic_transposed, w.out_y, out=grad["decoder_y"])
        torch.bmm(w.out_x, self._decoder_x_transposed, out=w.latents_grad)
        w.semantic_grad.baddbmm_(w.out_y, self._decoder_y_transposed)
        w.z_v_grad.add_(w.z_v_copy_grad)
        if d_t is not None:
            weight = by.lambda_2 if by.adversarial else None
            d_t.adversary(w.z_x_one, w.z_x_grad, weight, record.total_correlation)
        of_x.backward(by.beta_x, by.half_beta_x, *record.kl_x)
        of_y.backward(by.beta_y, by.half_beta_y, *record.kl_y)
        torch.bmm(w.x_transposed, of_x.grad, out=grad["encoder_x"])
        torch.bmm(w.y_transposed, of_y.grad, out=grad["encoder_y"])
        self._flat.adam()
        if d_t is not None and turn and not before:
            d_t.climb(self._branches(w), by.lambda_2)
            self.discriminator_steps += 1

    def _errors(self, out: Tensor, target: Tensor, scale: Tensor, norms: Tensor) -> None:
        """Turns a decoder's output into the gradient with respect to its last layer."""
        active = out.relu_().sign() if self._relu else None
        halves = out.unflatten(1, (2, -1))
        halves.sub_(target[:, None])
        halves = halves.flatten(2)
        torch.linalg.vector_norm(halves, dim=2, out=norms)
        halves.mul_(scale)
        if active is not None:
            out.mul_(active)

    def _draw_x(self, noise: Tensor) -> None:
        v = self._widths[3]
        if self._noise == "sample" and v:
            # z_r's first, as the reference draws them.
            self._draw(noise[..., v:])
            self._draw(noise[..., :v])
        else:
            self._draw(noise)

    def _draw(self, noise: Tensor) -> None:
        for of_model, generator in zip(noise, self._generators):
            if self._noise == "sample":
                of_model.copy_(torch.randn(len(of_model), 1, generator=generator,
                                           device=noise.device))
            elif of_model.is_contiguous():
                of_model.normal_(generator=generator)
            else:
                of_model.copy_(torch.randn(of_model.shape, generator=generator,
                                           device=noise.device))

    def _fresh(self, w: Workspace) -> Iterator[Tensor]:
        # Each branch is drawn when D_T has permuted the one before.
        v, x, y = self._widths[3], w.posterior_x, w.posterior_y
        latents, noise = w.z_x_one.clone(), torch.empty_like(x.noise)
        self._draw_x(noise)
        torch.addcmul(x.mean, noise, x.deviation, out=latents[..., :-1])
        yield latents
        if self._game.branches == "skeleton+text":
            noise_y = torch.empty_like(y.noise)
            self._draw(noise_y)
            torch.addcmul(y.mean, noise_y, y.deviation, out=latents[..., v:-1])
            noise_v = noise[..., :v]
            self._draw(noise_v)
            torch.addcmul(x.mean[..., :v], noise_v, x.deviation[..., :v], out=latents[..., :v])
            yield latents

    def _branches(self, w: Workspace) -> Iterator[Tensor]:
        yield w.z_x_one
        if self._game.branches == "skeleton+text":
            yield w.z_text_one

    def _workspace(self, batch: int) -> Workspace:
        if batch not in self._workspaces:
            self._workspaces[batch] = Workspace(
                len(self._members), batch, *self._widths, self._f_x.device)
        return self._workspaces[batch]

    def _terms(self, found: Tensor, weights: Tensor, sizes: Tensor) -> Tensor:
        """Terms ``[steps, G, T + 1]`` from what the steps recorded ``[steps, 9, G]``."""
        size = sizes[:, None]
        squares = found[:, :4].square() / size[:, None]
        errors_x, errors_y = squares[:, :2] * self._scale_x, squares[:, 2:] * self._scale_y
        kl = [(found[:, i].square() + found[:, i + 1]) / (2 * size) for i in (4, 6)]
        terms = torch.stack([
            errors_x[:, 0], errors_y[:, 1], *kl, errors_x[:, 1] + errors_y[:, 0],
            found[:, 8] / size,
        ], dim=2)[..., :len(self.names)]
        beta_x, beta_y, lambda_1, lambda_2 = weights.unbind(2)
        one = torch.ones_like(beta_x)
        factors = torch.stack([one, one, beta_x, beta_y, lambda_1, lambda_2], dim=2)
        loss = (terms * factors[..., :len(self.names)]).sum(dim=2, keepdim=True)
        return torch.cat([terms, loss], dim=2)


def _with_one(f: Tensor) -> Tensor:
    return torch.cat([f, f.new_ones(len(f), 1)], dim=1)


def _joined(make: Callable[[Any], Tensor], sources: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Tables one below the other, equal sources once; and ``[G, 1]`` where each starts."""
    starts: dict[int, int] = {}
    tables: list[Tensor] = []
    for source in sources:
        if id(source) not in starts:
            starts[id(source)] = sum(len(table) for table in tables)
            tables.append(make(source))
    first = torch.tensor([starts[id(source)] for source in sources], device=tables[0].device)
    return tables[0] if len(tables) == 1 else torch.cat(tables), first[:, None]
