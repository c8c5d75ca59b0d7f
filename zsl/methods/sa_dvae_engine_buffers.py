"""Memory of :class:`zskel.zsl.methods.sa_dvae_engine.Engine`: weights, and what a step needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adam import adam

_ALIGNMENT = 64


class Flat:
    """The layers of G models, each model's in one row, with their Adam.

    A layer is ``[inputs + 1, outputs]``: the transpose of ``nn.Linear``'s weight
    and, as the last row, the bias.

    Args:
        shapes: Of the layers, by name.
        learning_rates: One a model.
        device: Where the buffers live.

    Attributes:
        value, grad: Weights and gradients ``[G, inputs + 1, outputs]`` by name.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int]],
        learning_rates: Sequence[float],
        device: torch.device,
    ) -> None:
        starts, size = {}, 0
        for name, (rows, columns) in shapes.items():
            starts[name] = size
            # Full vectors only: Adam then treats a weight the same wherever it lies.
            size += -(-rows * columns // _ALIGNMENT) * _ALIGNMENT
        buffers = [torch.zeros(len(learning_rates), size, device=device) for _ in range(4)]
        self.value, self.grad = (
            {name: buffer[:, starts[name]:starts[name] + rows * columns].view(-1, rows, columns)
             for name, (rows, columns) in shapes.items()}
            for buffer in buffers[:2]
        )
        self._groups = []
        for rate in sorted(set(learning_rates)):
            members = [g for g, other in enumerate(learning_rates) if other == rate]
            lists = [[buffer[g] for g in members] for buffer in buffers]
            self._groups.append((rate, lists, [torch.zeros((), device=device) for _ in members]))

    def adam(self) -> None:
        """One step down the gradients, as ``torch.optim.Adam`` takes it by default."""
        for rate, (values, grads, means, squares), steps in self._groups:
            adam(values, grads, means, squares, [], steps, fused=True, amsgrad=False,
                 beta1=0.9, beta2=0.999, lr=rate, weight_decay=0.0, eps=1e-8, maximize=False)


class Coefficients(NamedTuple):
    """What the gradients of one step are multiplied by, all of them ``[G, 1, 1]``.

    Attributes:
        errors_x, errors_y: ``[G, 2, 1]``: of the decoders' errors, for the two
            kinds of rows of ``Workspace.latents``.
        beta_x, half_beta_x, beta_y, half_beta_y: Of the KL terms, over B.
        lambda_2: Of D_T's term.
        adversarial: Whether any lambda_2 is not 0.
    """

    errors_x: Tensor
    errors_y: Tensor
    beta_x: Tensor
    half_beta_x: Tensor
    beta_y: Tensor
    half_beta_y: Tensor
    lambda_2: Tensor
    adversarial: bool

    @classmethod
    def of_steps(
        cls, weights: Tensor, sizes: Tensor, scale_x: float, scale_y: float, device: torch.device
    ) -> Iterator[Coefficients]:
        """Those of many steps.

        Args:
            weights: ``[steps, G, 4]`` beta_x, beta_y, lambda_1, lambda_2.
            sizes: ``[steps]`` B.
            scale_x, scale_y: Of a squared error beside the mean over the batch.
            device: For the results.
        """
        beta_x, beta_y, lambda_1, lambda_2 = weights[..., None, None].unbind(2)
        one, size = torch.ones_like(lambda_1), sizes[:, None, None, None]
        columns = [
            2 * scale_x / size * torch.cat([one, lambda_1], dim=2),
            2 * scale_y / size * torch.cat([lambda_1, one], dim=2),
            beta_x / size, beta_x / (2 * size), beta_y / size, beta_y / (2 * size), lambda_2,
        ]
        adversarial = weights[..., 3].any(dim=1).tolist()
        steps = (column.float().to(device).unbind(0) for column in columns)
        return (cls(*values) for values in zip(*steps, adversarial))


class Record(NamedTuple):
    """Where one step leaves what its loss terms are made of.

    Attributes:
        errors_x, errors_y: ``[G, 2]`` norms of the decoders' errors.
        kl_x, kl_y: ``[G]`` each, see ``Posterior.backward``.
        total_correlation: ``[G]`` D_T's term, summed over the batch.
    """

    errors_x: Tensor
    errors_y: Tensor
    kl_x: tuple[Tensor, Tensor]
    kl_y: tuple[Tensor, Tensor]
    total_correlation: Tensor

    @classmethod
    def of_steps(cls, found: Tensor) -> Iterator[Record]:
        """Views of ``[steps, 9, G]``, one for each step."""
        x, y = found[:, 0:2].mT.unbind(0), found[:, 2:4].mT.unbind(0)
        a, b, c, d, last = (column.unbind(0) for column in found[:, 4:].unbind(1))
        return (cls(*views) for views in zip(x, y, zip(a, b), zip(c, d), last))


class Workspace:
    """Buffers of a step for one batch size, and the views of them that it uses.

    Args:
        models, batch: G and B.
        width, text: D and K.
        r, v: Widths of z_r and z_v.
        device: Where they live.

    Attributes:
        x, y: ``[G, B, D + 1]`` and ``[G, B, K + 1]`` features, each row with a
            last 1.
        target: ``[G, B, K]`` what D_y has to give.
        latents: ``[G, 2B, Z + 1]``: B rows [z_v, z_r, 1], then B rows
            [z_v, z_y, 1]. D_x reads all columns, D_y those from z_r or z_y on.
        latents_grad: ``[G, 2B, Z]``.
        out_x, out_y: ``[G, 2B, D]`` and ``[G, 2B, K]`` of the decoders.
        posterior_x, posterior_y: Of the encoders.
    """

    def __init__(
        self, models: int, batch: int, width: int, text: int, r: int, v: int, device: torch.device
    ) -> None:
        def aligned(rows: int, columns: int) -> Tensor:
            return _aligned(models, rows, columns, device)

        z = v + r
        self.batch = batch
        self.x, self.y = aligned(batch, width + 1), aligned(batch, text + 1)
        self.target = aligned(batch, text)
        self.f_x = self.x[..., :width]
        self.latents, self.latents_grad = aligned(2 * batch, z + 1), aligned(2 * batch, z)
        self.semantic, self.semantic_grad = self.latents[..., v:], self.latents_grad[..., v:]
        of_x, of_y = slice(0, batch), slice(batch, 2 * batch)
        self.z_x, self.z_x_grad = self.latents[:, of_x, :z], self.latents_grad[:, of_x]
        self.z_y, self.z_y_grad = self.latents[:, of_y, v:z], self.latents_grad[:, of_y, v:]
        self.z_x_one, self.z_text_one = self.latents[:, of_x], self.latents[:, of_y]
        self.z_v, self.z_v_grad = self.latents[:, of_x, :v], self.latents_grad[:, of_x, :v]
        self.z_v_copy, self.z_v_copy_grad = (
            self.latents[:, of_y, :v], self.latents_grad[:, of_y, :v])
        self.out_x, self.out_y = aligned(2 * batch, width), aligned(2 * batch, text)
        # Views that every step takes: making one costs as much as a small operation.
        self.x_transposed, self.y_transposed = self.x.mT, self.y.mT
        self.latents_transposed, self.semantic_transposed = self.latents.mT, self.semantic.mT
        self.gathered = [list(part) for part in (self.x, self.y, self.target)]
        self.posterior_x = Posterior(models, batch, z, self.z_x, self.z_x_grad)
        self.posterior_y = Posterior(models, batch, r, self.z_y, self.z_y_grad)


class Posterior:
    """Buffers of one encoder, and the arithmetic between it and the latents.

    Args:
        models, batch, width: G, B and the width W of the latent.
        z, z_grad: ``[G, B, W]`` the latents and their gradients, views of the
            decoders' input.

    Attributes:
        out, grad: ``[G, B, 2W]``, mean and log variance, and their gradients.
        noise: ``[G, B, W]``, standard normal when drawn, then times the deviation.
        deviation: ``[G, B, W]``, between ``reparameterize`` and ``backward``.
    """

    def __init__(self, models: int, batch: int, width: int, z: Tensor, z_grad: Tensor) -> None:
        self.out, self.grad = (_aligned(models, batch, 2 * width, z.device) for _ in range(2))
        self.mean, self.log_variance = self.out[..., :width], self.out[..., width:]
        self._mean_grad, self._log_variance_grad = self.grad[..., :width], self.grad[..., width:]
        self.noise, self.deviation, self._scratch = (
            z.new_empty(models, batch, width) for _ in range(3))
        self._z, self._z_grad = z, z_grad

    def reparameterize(self) -> None:
        """z from the mean, the log variance and the noise drawn."""
        torch.mul(self.log_variance, 0.5, out=self.deviation).exp_()
        self.noise.mul_(self.deviation)
        torch.add(self.mean, self.noise, out=self._z)

    def backward(
        self, beta: Tensor, half_beta: Tensor, norm_of_mean: Tensor, rest: Tensor
    ) -> None:
        """Gradients of mean and log variance from those of z and the KL term's.

        Args:
            beta, half_beta: ``[G, 1, 1]`` the KL term's weight over B, and half.
            norm_of_mean, rest: ``[G]`` receive the square root of the sum of
                mean^2, and the sum of variance - log variance - 1.
        """
        torch.linalg.vector_norm(self.mean, dim=(1, 2), out=norm_of_mean)
        excess = self.deviation.mul_(self.deviation).sub_(1)
        torch.sub(excess, self.log_variance, out=self._scratch)
        torch.sum(self._scratch, dim=(1, 2), out=rest)
        torch.addcmul(self._z_grad, self.mean, beta, out=self._mean_grad)
        torch.addcmul(excess.mul_(half_beta), self._z_grad, self.noise, value=0.5,
                      out=self._log_variance_grad)


def _aligned(models: int, rows: int, columns: int, device: torch.device) -> Tensor:
    """Ones ``[models, rows, columns]``, where each model's begin at a full vector.

    Products of few rows depend in the last bit on where their factors begin.
    """
    size = -(-rows * columns // _ALIGNMENT) * _ALIGNMENT
    return torch.ones(models, size, device=device)[:, :rows * columns].view(models, rows, columns)
