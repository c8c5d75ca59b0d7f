"""The networks of SA-DVAE: two variational autoencoders and a discriminator.

Encoders and decoders are single linear layers, D_T has two (section 4,
"Implementation Details").
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

Noise = Literal["dimension", "sample"]
Initialization = Literal["uniform", "xavier"]
Output = Literal["linear", "relu"]


def sample_gaussian(
    mean: Tensor,
    log_variance: Tensor,
    generator: torch.Generator,
    noise: Noise = "dimension",
) -> Tensor:
    """A draw from N(mean, diag(exp(log_variance))) that gradients pass through.

    Args:
        mean, log_variance: ``[B, Z]``.
        generator: Draws the noise.
        noise: "dimension" is the reparameterization trick, independent in every
            dimension. "sample" draws one number a row and uses it in all
            dimensions, as the released code does: all draws of a row then lie
            on one line.
    """
    epsilon = gaussian_noise(mean, generator, noise)
    return torch.addcmul(mean, epsilon, torch.exp(0.5 * log_variance))


def gaussian_noise(like: Tensor, generator: torch.Generator, noise: Noise) -> Tensor:
    """What :func:`sample_gaussian` draws for ``[B, Z]``: as much, or ``[B, 1]``."""
    shape = like.shape if noise == "dimension" else (len(like), 1)
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)


class GaussianEncoder(nn.Module):
    """One linear layer to the mean and the log variance of a latent vector."""

    def __init__(self, features: int, latent: int) -> None:
        super().__init__()
        self.linear = skip_init(nn.Linear, features, 2 * latent)

    def forward(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """Maps ``[B, D]`` to mean and log variance, each ``[B, latent]``."""
        mean, log_variance = self.linear(f).chunk(2, dim=-1)
        return mean, log_variance


class AlignedVAE(nn.Module):
    """E_x, D_x, E_y and D_y around a shared latent space.

    E_x has two heads: its latent is z_x = z_v (+) z_r in the paper's order, so
    the first ``z_v_dim`` columns of its mean and log variance belong to the
    semantic-irrelevant head and the others to the semantic-related one. The
    heads share no weight, each output being its own row of the linear layer.

    Args:
        f_x_dim: Width of f_x.
        f_y_dim: Width of f_y.
        z_r_dim: Width of z_r and of z_y.
        z_v_dim: Width of z_v; 0 removes that head (naive alignment).
        generator: Draws the initial weights.
        initialization: See :func:`initialize`.
        output: Of both decoders; "relu" can only reconstruct what is not negative.
    """

    def __init__(
        self,
        f_x_dim: int,
        f_y_dim: int,
        z_r_dim: int,
        z_v_dim: int,
        generator: torch.Generator,
        *,
        initialization: Initialization = "uniform",
        output: Output = "linear",
    ) -> None:
        super().__init__()
        self.z_r_dim, self.z_v_dim, self.output = z_r_dim, z_v_dim, output
        self.encoder_x = GaussianEncoder(f_x_dim, z_v_dim + z_r_dim)
        self.decoder_x = skip_init(nn.Linear, z_v_dim + z_r_dim, f_x_dim)
        self.encoder_y = GaussianEncoder(f_y_dim, z_r_dim)
        self.decoder_y = skip_init(nn.Linear, z_r_dim, f_y_dim)
        initialize(self, generator, initialization)

    def decode_x(self, z_x: Tensor) -> Tensor:
        """D_x: ``[B, z_v_dim + z_r_dim]`` to ``[B, f_x_dim]``."""
        return activate(self.decoder_x(z_x), self.output)

    def decode_y(self, z_y: Tensor) -> Tensor:
        """D_y: ``[B, z_r_dim]`` to ``[B, f_y_dim]``."""
        return activate(self.decoder_y(z_y), self.output)

    def split(self, z_x: Tensor) -> tuple[Tensor, Tensor]:
        """Cuts ``[B, z_v_dim + z_r_dim]`` into z_v and z_r."""
        z_v, z_r = z_x.split([self.z_v_dim, self.z_r_dim], dim=-1)
        return z_v, z_r


class Discriminator(nn.Module):
    """D_T: do z_v and z_r come from the same skeleton?

    Two linear layers with a ReLU between them. The paper gives no hidden width;
    a quarter of the input is the released code's. The closing sigmoid is left
    to the loss (see :func:`zskel.zsl.losses.total_correlation`).
    """

    def __init__(
        self, latent: int, generator: torch.Generator, initialization: Initialization = "uniform"
    ) -> None:
        super().__init__()
        hidden = max(1, latent // 4)
        self.layers = nn.Sequential(
            skip_init(nn.Linear, latent, hidden), nn.ReLU(), skip_init(nn.Linear, hidden, 1)
        )
        initialize(self, generator, initialization)

    def forward(self, z_x: Tensor) -> Tensor:
        """Maps ``[B, Z]`` to logits ``[B, 1]``."""
        return self.layers(z_x)


def activate(values: Tensor, output: Output) -> Tensor:
    """What follows a last layer: nothing, or a ReLU."""
    return values.relu() if output == "relu" else values


@torch.no_grad()
def initialize(
    module: nn.Module, generator: torch.Generator, initialization: Initialization = "uniform"
) -> None:
    """Draws the weights of all linear layers, and takes the module to the device in use.

    Args:
        module: It and all parts of it.
        generator: The draws come from it instead of the global random state.
        initialization: "uniform" within 1/sqrt(inputs), biases too, is PyTorch's
            default, which the paper does not change. "xavier" is the released
            code's: uniform within 0.5 sqrt(6 / (inputs + outputs)), zero biases;
            mean and log variance of an encoder count as layers of their own.
    """
    encoders = {id(part.linear) for part in module.modules() if isinstance(part, GaussianEncoder)}
    for layer in module.modules():
        if not isinstance(layer, nn.Linear):
            continue
        if initialization == "uniform":
            bound = 1 / math.sqrt(layer.in_features)
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
        else:
            outputs = layer.out_features // (2 if id(layer) in encoders else 1)
            bound = 0.5 * math.sqrt(6 / (layer.in_features + outputs))
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.zero_()
    module.to(torch.get_default_device())
