"""The networks of SA-DVAE: two variational autoencoders and a discriminator.

Encoders and decoders are single linear layers, D_T has two (section 4,
"Implementation Details").
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init


def sample_gaussian(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    """A draw from N(mean, diag(exp(log_variance))) that gradients pass through.

    The reparameterization trick, with independent noise in every dimension.
    """
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
    return torch.addcmul(mean, noise, torch.exp(0.5 * log_variance))


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
    """

    def __init__(
        self, f_x_dim: int, f_y_dim: int, z_r_dim: int, z_v_dim: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.z_r_dim, self.z_v_dim = z_r_dim, z_v_dim
        self.encoder_x = GaussianEncoder(f_x_dim, z_v_dim + z_r_dim)
        self.decoder_x = skip_init(nn.Linear, z_v_dim + z_r_dim, f_x_dim)
        self.encoder_y = GaussianEncoder(f_y_dim, z_r_dim)
        self.decoder_y = skip_init(nn.Linear, z_r_dim, f_y_dim)
        initialize(self, generator)

    def split(self, z_x: Tensor) -> tuple[Tensor, Tensor]:
        """Cuts ``[B, z_v_dim + z_r_dim]`` into z_v and z_r."""
        z_v, z_r = z_x.split([self.z_v_dim, self.z_r_dim], dim=-1)
        return z_v, z_r


class Discriminator(nn.Module):
    """D_T: do z_v and z_r come from the same skeleton?

    Two linear layers with a ReLU between them. The paper gives no hidden width;
    a quarter of the input is the released code's. The closing sigmoid is left
    to the loss (see :func:`zsl.losses.total_correlation`).
    """

    def __init__(self, latent: int, generator: torch.Generator) -> None:
        super().__init__()
        hidden = max(1, latent // 4)
        self.layers = nn.Sequential(
            skip_init(nn.Linear, latent, hidden), nn.ReLU(), skip_init(nn.Linear, hidden, 1)
        )
        initialize(self, generator)

    def forward(self, z_x: Tensor) -> Tensor:
        """Maps ``[B, Z]`` to logits ``[B, 1]``."""
        return self.layers(z_x)


@torch.no_grad()
def initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Draws all linear layers' weights: uniform within 1/sqrt(inputs), biases too.

    The distribution is PyTorch's default, which the paper does not change; the
    draw comes from ``generator`` instead of the global random state.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.in_features)
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
