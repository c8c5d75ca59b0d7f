"""VAEs without hidden layers trained with the gradients written out.

The same steps as autograd's on :class:`zskel.zsl.methods.text_vae.TextVAEs`, and the same
draws. What makes them fast: each class is encoded once, and its clips draw for
themselves; both reconstructions of a modality are one product; in steps in which the
cross-modal ones weigh nothing they have no gradients; a bias is a row of its weight
matrix and a 1 at the end of its input; all weights lie in one buffer, which Adam
crosses once.

Letters in shapes: B batch, Z the width of the latents, of all parts of the text together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zskel.zsl.methods.flat_parameters import FlatParameters
from zskel.zsl.vae import gaussian_noise

if TYPE_CHECKING:
    from zskel.zsl.methods.text_vae import TextVAEParams, TextVAEs


class TextVAEEngine:
    """Trains on one set of clips.

    Args:
        vaes: With their initial weights, where ``write`` puts the trained ones; without
            hidden layers.
        generator: Draws the noise.
        params: Of the method.
        f_x: ``[N, D]``.
        y: ``[N]`` class ids.
        texts: Part -> ``[C, Dt]``.
    """

    @torch.no_grad()
    def __init__(
        self, vaes: TextVAEs, generator: torch.Generator, params: TextVAEParams, *,
        f_x: Tensor, y: Tensor, texts: Mapping[str, Tensor],
    ) -> None:
        self._generator, self._params = generator, params
        self._y, self._f_x = y, _with_one(f_x)
        self._targets = texts
        self._texts = {name: _with_one(texts[name]) for name, _ in vaes.named_texts()}
        self._layers: dict[str, nn.Linear] = {}
        self._columns: dict[str, slice] = {}  # of the latents, by part of the text
        for name, vae in (("x", vaes.skeleton), *vaes.named_texts()):
            self._layers |= {f"encoder {name}": vae.head.linear, f"decoder {name}": vae.last}
            if name in self._texts:
                start = sum(of.stop - of.start for of in self._columns.values())
                self._columns[name] = slice(start, start + vae.latent)
        self._weights = FlatParameters.of(self._layers, params.learning_rate)

    @torch.no_grad()
    def write(self) -> None:
        """Puts the weights into the networks."""
        self._weights.write(self._layers)

    @torch.no_grad()
    def step(self, rows: Tensor, weights: Sequence[float]) -> Tensor:
        """One step.

        Args:
            rows: ``[B]`` of f_x.
            weights: Of the first of :data:`zskel.zsl.methods.text_vae.TERMS`.

        Returns:
            The unweighted terms, then their weighted sum.
        """
        value, grad, batch = self._weights.value, self._weights.grad, len(rows)
        of_x, of_y, beta_x, beta_y, crossed, *of_distance = weights
        columns = self._y.index_select(0, rows)
        classes, of_row = columns.unique(return_inverse=True)
        x = self._f_x.index_select(0, rows)
        texts = {name: text.index_select(0, classes) for name, text in self._texts.items()}

        # Rows of skeletons, then rows of texts, each with a last 1.
        latents = torch.ones(2 * batch, self._params.latent_dim + 1)
        skeletons = self._draw(x @ value["encoder x"], latents[:batch, :-1])
        parts = {name: self._draw((text @ value[f"encoder {name}"]).index_select(0, of_row),
                                  latents[batch:, self._columns[name]])
                 for name, text in texts.items()}

        from_x, from_y = slice(batch), slice(batch, None)
        x_error, x_crossed, z_grad = self._decode(
            "x", latents, x[:, :-1], from_x, (of_x, crossed))
        y_errors = []
        for name, of in self._columns.items():
            z = torch.cat([latents[:, of], latents[:, -1:]], dim=1)
            target = self._targets[name].index_select(0, columns)
            *errors, part_grad = self._decode(name, z, target, from_y, (of_y, crossed))
            y_errors.append(errors)
            z_grad[:, of].add_(part_grad)
        terms = [x_error, _sum(own for own, _ in y_errors), skeletons.divergence(),
                 _sum(part.divergence() for part in parts.values()),
                 x_crossed + _sum(other for _, other in y_errors)]
        if of_distance:
            terms.append(_distance(skeletons, list(parts.values()), of_distance[0]))

        torch.mm(x.T, skeletons.backward(z_grad[from_x], beta_x), out=grad["encoder x"])
        for name, part in parts.items():
            of_rows = part.backward(z_grad[from_y, self._columns[name]], beta_y)
            of_classes = torch.zeros(len(classes), of_rows.shape[1]).index_add_(
                0, of_row, of_rows)
            torch.mm(texts[name].T, of_classes, out=grad[f"encoder {name}"])
        self._weights.adam_step()
        found = torch.stack(terms)
        return torch.cat([found, torch.dot(found, torch.tensor(weights))[None]])

    def _draw(self, encoded: Tensor, z: Tensor) -> _Gaussians:
        noise = gaussian_noise(z, self._generator, self._params.noise)
        return _Gaussians(encoded, noise, z)

    def _decode(
        self, name: str, z: Tensor, target: Tensor, own: slice, weights: tuple[float, float]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Errors, and the gradients of a decoder's weights.

        Args:
            name: Of the modality.
            z: ``[2B, Z + 1]``: from skeletons, then from texts, with a last 1.
            target: ``[B, D]``.
            own: The rows of the modality's own latents.
            weights: Of the errors from its own and from the other latents.

        Returns:
            The errors from its own and from the other latents; gradients ``[2B, Z]``
            of all latents.
        """
        weight = self._weights.value[f"decoder {name}"]
        out = z @ weight
        active = out.relu_().sign() if self._params.output_activation == "relu" else None
        kind, batch = self._params.reconstruction, len(target)
        halves = out.view(2, *target.shape).sub_(target).flatten(1)
        count = target.numel() if kind == "mean" else batch
        norms = torch.linalg.vector_norm(halves, ord=1 if kind == "l1" else 2, dim=1)
        errors = (norms if kind == "l1" else norms.square()) / count
        used = slice(None) if weights[1] else own
        if kind == "l1":
            out.sign_()
        if active is not None:
            out.mul_(active)
        first = int(own.start is not None)
        for half, factor in ((first, weights[0]), (1 - first, weights[1])):
            if factor:
                halves[half].mul_(factor * (1 if kind == "l1" else 2) / count)
        torch.mm(z[used].T, out[used], out=self._weights.grad[f"decoder {name}"])
        z_grad = torch.zeros(len(z), z.shape[1] - 1)
        torch.mm(out[used], weight[:-1].T, out=z_grad[used])
        return errors[first], errors[1 - first], z_grad


class _Gaussians:
    """The latents of a batch: what was encoded and drawn, and the way back.

    Args:
        encoded: ``[B, 2 Z]``, means and log variances.
        noise: ``[B, Z]`` or ``[B, 1]``.
        z: ``[B, Z]``, receives the draws.

    Attributes:
        mean, deviation: ``[B, Z]``.
        pull: Gradients of both beside those of the draws and the divergence.
    """

    def __init__(self, encoded: Tensor, noise: Tensor, z: Tensor) -> None:
        self.mean, self._log_variance = encoded.chunk(2, dim=1)
        self.deviation = self._log_variance.mul(0.5).exp_()
        self._spread = self.deviation * noise
        torch.add(self.mean, self._spread, out=z)
        self.pull: tuple[Tensor, Tensor] | None = None

    def divergence(self) -> Tensor:
        """:func:`zskel.zsl.losses.gaussian_kl`."""
        self._excess = self.deviation.square().sub_(1)
        rest = (self._excess - self._log_variance).sum()
        return (torch.linalg.vector_norm(self.mean).square() + rest) / (2 * len(self.mean))

    def backward(self, z_grad: Tensor, beta: float) -> Tensor:
        """Gradients ``[B, 2 Z]`` of what was encoded, after ``divergence``."""
        share = beta / len(self.mean)
        of_mean = torch.add(z_grad, self.mean, alpha=share)
        of_log_variance = self._excess.mul_(share / 2).addcmul_(z_grad, self._spread, value=0.5)
        if self.pull is not None:
            of_mean += self.pull[0]
            of_log_variance.addcmul_(self.pull[1], self.deviation, value=0.5)
        return torch.cat([of_mean, of_log_variance], dim=1)


def _distance(x: _Gaussians, parts: Sequence[_Gaussians], weight: float) -> Tensor:
    """:func:`zskel.zsl.methods.text_vae.wasserstein`, whose gradients are left in ``pull``."""
    means = x.mean - torch.cat([part.mean for part in parts], dim=1)
    deviations = x.deviation - torch.cat([part.deviation for part in parts], dim=1)
    lengths = torch.linalg.vector_norm(torch.cat([means, deviations], dim=1), dim=1, keepdim=True)
    if weight:
        # At distance 0 both are 0, and so is the gradient.
        factor = weight / len(means) / lengths.masked_fill(lengths == 0, 1.0)
        x.pull = factor * means, factor * deviations
        widths = [part.mean.shape[1] for part in parts]
        for part, *pull in zip(parts, *(f.neg().split(widths, dim=1) for f in x.pull)):
            part.pull = pull[0], pull[1]
    return lengths.mean()


def _sum(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).sum()


def _with_one(f: Tensor) -> Tensor:
    return torch.cat([f, f.new_ones(len(f), 1)], dim=1)
