"""Variational autoencoders of skeletons and of one or several texts, aligned by training.

CADA-VAE has one text whose latents take the whole of the skeleton's latent
space; SynSE has a noun and a verb, each of which takes half of it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import ClassVar, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import skip_init

from zskel.zsl.losses import gaussian_kl, squared_error
from zskel.zsl.methods.latent_method import LatentMethod, LatentParams
from zskel.zsl.methods.text_vae_engine import TextVAEEngine
from zskel.zsl.methods.training import Epoch, shuffled_batches
from zskel.zsl.vae import GaussianEncoder, Noise, Output, activate, initialize, sample_gaussian

Reconstruction = Literal["l1", "sum", "mean"]

#: The loss terms in the order of every vector of them. A term of the text is
#: the sum over its parts.
TERMS = (
    "reconstruction_x", "reconstruction_y", "kl_x", "kl_y", "cross_alignment",
    "distribution_alignment",
)


class VAE(nn.Module):
    """An encoder and a decoder, each with ReLU hidden layers or none.

    Args:
        features: Width of what is encoded.
        latent: Width of the latents.
        encoder_hidden, decoder_hidden: Widths of the hidden layers, in order.
        output: What follows the decoder's last layer.
    """

    def __init__(
        self,
        features: int,
        latent: int,
        encoder_hidden: Sequence[int] = (),
        decoder_hidden: Sequence[int] = (),
        output: Output = "linear",
    ) -> None:
        super().__init__()
        self.features, self.latent, self.output = features, latent, output
        self.before = _hidden([features, *encoder_hidden])
        self.head = GaussianEncoder([features, *encoder_hidden][-1], latent)
        self.after = _hidden([latent, *decoder_hidden])
        self.last = skip_init(nn.Linear, [latent, *decoder_hidden][-1], features)

    def encode(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """Maps ``[B, D]`` to mean and log variance, each ``[B, latent]``."""
        return self.head(self.before(f))

    def decode(self, z: Tensor) -> Tensor:
        """Maps ``[B, latent]`` to ``[B, D]``."""
        return activate(self.last(self.after(z)), self.output)


class TextVAEs(nn.Module):
    """A VAE of skeletons, and one of each text part.

    The latents of the parts side by side, in the order of ``texts``, correspond
    to the columns of the skeleton's latents.

    Args:
        skeleton: Of f_x; its latents are as wide as those of all texts together.
        texts: Part -> VAE.
        generator: Draws the initial weights.
    """

    def __init__(
        self, skeleton: VAE, texts: Mapping[str, VAE], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.skeleton, self.texts = skeleton, nn.ModuleDict(texts)
        initialize(self, generator)

    def named_texts(self) -> Iterable[tuple[str, VAE]]:
        """The VAE of each part of the text, by its name."""
        return cast("Iterable[tuple[str, VAE]]", self.texts.items())

    @property
    def shallow(self) -> bool:
        """Whether there are no hidden layers, and the losses are those of this class."""
        return type(self) is TextVAEs and not any(
            isinstance(layer, nn.ReLU) for layer in self.modules())

    def encode_text(self, f_y: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and log variance ``[B, latent]`` of all parts, side by side."""
        pairs = [vae.encode(f_y[name]) for name, vae in self.named_texts()]
        return (torch.cat([mean for mean, _ in pairs], dim=-1),
                torch.cat([log_variance for _, log_variance in pairs], dim=-1))

    def sample_text(
        self, mean: Tensor, log_variance: Tensor, generator: torch.Generator, noise: Noise
    ) -> Tensor:
        """A draw of each part's latents, side by side; noise "sample" is one number a part."""
        return torch.cat([
            sample_gaussian(m, v, generator, noise)
            for m, v in zip(self.split(mean), self.split(log_variance), strict=True)
        ], dim=-1)

    def split(self, z: Tensor) -> tuple[Tensor, ...]:
        """Cuts ``[B, latent]`` into the columns of each part."""
        return z.split([vae.latent for _, vae in self.named_texts()], dim=-1)

    def terms(
        self,
        f_x: Tensor,
        f_y: Mapping[str, Tensor],
        generator: torch.Generator,
        *,
        noise: Noise,
        reconstruction: Reconstruction,
    ) -> Tensor:
        """The unweighted ``TERMS`` of one batch, each a mean over its rows.

        Args:
            f_x: ``[B, D]``.
            f_y: Part -> ``[B, Dt]``, the text of each row's class.
            generator: Draws the noise.
            noise: See :func:`zskel.zsl.vae.sample_gaussian`.
            reconstruction: Distance of a reconstruction: "l1", or the squared
                L2 norm, its "sum" or "mean" over the dimensions.
        """
        mean_x, log_variance_x = self.skeleton.encode(f_x)
        mean_y, log_variance_y = self.encode_text(f_y)
        z_x = sample_gaussian(mean_x, log_variance_x, generator, noise)
        z_y = self.sample_text(mean_y, log_variance_y, generator, noise)

        return torch.stack([
            distance(self.skeleton.decode(z_x), f_x, reconstruction),
            self.text_distance(z_y, f_y, reconstruction),
            gaussian_kl(mean_x, log_variance_x),
            gaussian_kl(mean_y, log_variance_y),
            self.cross_alignment(self.skeleton.decode(z_y), f_x, z_x, f_y, generator,
                                 reconstruction),
            wasserstein(mean_x, log_variance_x, mean_y, log_variance_y),
        ])

    def text_distance(
        self, z: Tensor, f_y: Mapping[str, Tensor], reconstruction: Reconstruction
    ) -> Tensor:
        """Distance of each part's decoded columns of z from its text, summed over the parts."""
        return sum((
            distance(vae.decode(part), f_y[name], reconstruction)
            for (name, vae), part in zip(self.named_texts(), self.split(z), strict=True)
        ), start=torch.zeros(()))

    def cross_alignment(
        self,
        f_x_from_text: Tensor,
        f_x: Tensor,
        z_x: Tensor,
        f_y: Mapping[str, Tensor],
        generator: torch.Generator,
        reconstruction: Reconstruction,
    ) -> Tensor:
        """How far each modality is from what the other's latents decode to."""
        return (distance(f_x_from_text, f_x, reconstruction)
                + self.text_distance(z_x, f_y, reconstruction))


def distance(prediction: Tensor, target: Tensor, kind: Reconstruction) -> Tensor:
    """How far a reconstruction is from its target, mean over the batch.

    >>> float(distance(torch.tensor([[3.0, -4.0]]), torch.zeros(1, 2), "l1"))
    7.0
    """
    if kind == "l1":
        return (prediction - target).abs().sum() / len(target)
    return squared_error(prediction, target, kind)


def wasserstein(
    mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor
) -> Tensor:
    """2-Wasserstein distance of diagonal Gaussians, mean over the batch.

    Schoenfeld et al., eq. 4: the root of the squared distance of the means plus
    that of the standard deviations. Its gradient at distance 0 is 0.

    >>> zeros = torch.zeros(1, 2)
    >>> float(wasserstein(torch.tensor([[3.0, 4.0]]), zeros, zeros, zeros))
    5.0
    """
    spread = torch.exp(0.5 * log_variance) - torch.exp(0.5 * other_log_variance)
    difference = torch.cat([mean - other_mean, spread], dim=-1)
    return torch.linalg.vector_norm(difference, dim=-1).mean()


def _hidden(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [skip_init(nn.Linear, inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class TextVAEParams(LatentParams):
    """Parameters of methods with such VAEs.

    Attributes:
        recipe: "paper", or "released" for what the code of SynSE's authors
            executes.
        latent_dim: Width of the latents.
        cycles: Equal parts of the training, each with the same schedule.
        reconstruction: Distance of all reconstructions: "l1", or the squared L2
            norm, its "sum" or "mean" over the dimensions.
        joint_seen_samples, joint_unseen_samples: Draws per class for
            ``predict_joint_proba``: of clips' latents, of text latents.
    """

    latent_dim: int = Field(100, ge=1)
    cycles: int = Field(10, ge=1)
    reconstruction: Reconstruction = "sum"
    joint_seen_samples: int = Field(200, ge=1)
    joint_unseen_samples: int = Field(400, ge=1)


# What takes a step with given weights of the terms, and what puts the result into the networks.
_Way = tuple[Callable[[Tensor, Sequence[float]], Tensor], Callable[[], None]]


class TextVAEMethod(LatentMethod):
    """A method that trains ``TextVAEs``; ``transform`` gives no z_v.

    Without hidden layers the gradients are written out, with them autograd's; both agree
    to rounding.
    """

    terms: ClassVar[tuple[str, ...]] = TERMS
    params: TextVAEParams
    _networks: TextVAEs

    @abstractmethod
    def _new_networks(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> TextVAEs:
        """See :class:`LatentMethod`."""

    @abstractmethod
    def _weights(self, step: int, steps: int) -> tuple[float, ...]:
        """The weight of each of ``terms`` after ``step`` of all ``steps``."""

    @property
    def _z_dims(self) -> tuple[int, int]:
        return 0, self.params.latent_dim

    @property
    def _joint_samples(self) -> tuple[int, int]:
        return self.params.joint_seen_samples, self.params.joint_unseen_samples

    def _training(
        self, f_x: Tensor, y: Tensor, generator: torch.Generator
    ) -> tuple[Sequence[str], Epoch]:
        params, n = self.params, len(f_x)
        names, batches = (*self.terms, "loss"), -(-n // params.batch_size)
        take, write = (self._written_out if self._networks.shallow else self._by_autograd)(
            f_x, y, generator)

        def step(rows: Tensor, epoch: int, k: int) -> Tensor:
            return take(
                rows, self._weights(epoch * batches + k // params.batch_size, self.steps(n)))

        train = shuffled_batches(step, len(names), n, params.batch_size, generator)

        def epoch_and_write(epoch: int, on_step: Callable[[], None]) -> Sequence[float]:
            found = train(epoch, on_step)
            write()
            return found

        return names, epoch_and_write

    def _written_out(self, f_x: Tensor, y: Tensor, generator: torch.Generator) -> _Way:
        engine = TextVAEEngine(
            self._networks, generator, self.params, f_x=f_x, y=y, texts=self._texts)
        return engine.step, engine.write

    def _by_autograd(self, f_x: Tensor, y: Tensor, generator: torch.Generator) -> _Way:
        params, vaes = self.params, self._networks
        optimizer = torch.optim.Adam(vaes.parameters(), lr=params.learning_rate, fused=True)

        def step(rows: Tensor, weights: Sequence[float]) -> Tensor:
            terms = vaes.terms(
                f_x[rows], {name: text[y[rows]] for name, text in self._texts.items()},
                generator, noise=params.noise, reconstruction=params.reconstruction,
            )[: len(self.terms)]
            loss = torch.dot(terms, torch.tensor(weights))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return torch.cat([terms.detach(), loss.detach()[None]])

        return step, lambda: None

    def _encode(self, f_x: Tensor) -> tuple[Tensor, Tensor]:
        return self._networks.skeleton.encode(f_x)

    def _encode_text(self, texts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self._networks.encode_text(texts)

    def _sample_text(
        self, mean: Tensor, log_variance: Tensor, generator: torch.Generator
    ) -> Tensor:
        return self._networks.sample_text(mean, log_variance, generator, self.params.noise)

    @torch.no_grad()
    def evidence(self, f_x: np.ndarray) -> dict[str, np.ndarray]:
        """Float64 ``[N]`` each.

        - ``reconstruction_error``: squared distance of f_x from what its mean
          latent decodes to;
        - ``distance_seen``, ``distance_unseen``: 2-Wasserstein distance of its
          latent Gaussian from the nearest class's;
        - ``kl_r``: divergence of its latent Gaussian from the prior.

        Raises:
            BadInput: As :meth:`predict_proba`.
        """
        self._require_fit("evidence")
        f = self._checked(f_x)
        mean, log_variance = self._encode(f)
        gaussians = torch.cat([mean, torch.exp(0.5 * log_variance)], dim=-1)

        def nearest(classes: np.ndarray) -> Tensor:
            mean_y, log_variance_y = self._encode_text(self._text_of(classes))
            others = torch.cat([mean_y, torch.exp(0.5 * log_variance_y)], dim=-1)
            return torch.cdist(gaussians, others).amin(dim=1)

        found = {
            "reconstruction_error": (
                self._networks.skeleton.decode(mean) - f).square().sum(dim=1),
            "distance_seen": nearest(self.seen_classes),
            "distance_unseen": nearest(self.unseen_classes),
            "kl_r": 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1),
        }
        return {name: values.double().numpy() for name, values in found.items()}
