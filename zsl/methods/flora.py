"""Flora: a flow from the text's latents to the skeleton's; the class with the best velocity wins.

Chen et al., arXiv 2511.09388, CVPR 2026 Findings. First two variational autoencoders
reconstruct each modality from both; then, with their encoders frozen, a transformer
learns the velocity from a class text's latent to a clip's. In prediction the class whose
straight path it follows best is taken. The paper gives every class 36 to 76 tokens of label
and description and copies f_x as often; here f_y is one token and f_x another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init
from typing_extensions import Self

from zskel.zsl.diffusion_transformer import (
    FinalLayer,
    JointBlock,
    TimeEmbedding,
    initialize_transformer,
)
from zskel.zsl.methods.compatibility import CompatibilityMethod, Text, TrainingParams
from zskel.zsl.methods.training import Step
from zskel.zsl.ranking import draw_one
from zskel.zsl.vae import sample_gaussian

# What is left of the start of the path at its end.
_REST = 1e-5
# Triples of clip, class and noise that are scored at once.
_TRIPLES = 1 << 12


class FloraParams(TrainingParams):
    """All parameters of Flora.

    Width, epochs and learning rate are for some hundred clips, sharpness judged by
    validation-unseen classes; the published ones are in the configs. Neighbours and their
    weight are those of the 110/10 split of NTU-120: the authors have others for every split,
    without a rule that would not look at test clips.

    Attributes:
        width, heads: Of latents and transformer; ``heads`` divides ``width``.
        distribution_weight: Of the squared distances of means and of log variances.
        flow_part: Of all steps, those at the end that train the flow.
        other_weight: Of the error to the velocity of a clip of another class, which is
            to be large.
        weight_decay: AdamW's.
        neighbours, neighbour_weight: Each class text gets its most similar seen
            classes' texts added. The authors take neighbours from all classes; here those of
            seen ones alone, so that no text depends on which classes are asked for.
        time: Place on the path, 0 text to 1 skeleton, at which clips are scored.
        noises: How many latents of each clip and text are drawn for a score, the mean of
            the errors counts; the authors draw one. They come from the seed and are
            the same for all clips and classes.
        sharpness: Of the softmax of the negative errors.
    """

    width: int = Field(128, ge=2, multiple_of=2)
    heads: int = Field(4, ge=1)
    epochs: int = Field(60, ge=1)
    weight_decay: float = Field(0.01, ge=0)
    distribution_weight: float = Field(0.1, ge=0)
    flow_part: float = Field(1 / 6, gt=0, lt=1)
    other_weight: float = Field(0.1, ge=0)
    neighbours: int = Field(1, ge=0)
    neighbour_weight: float = Field(0.3, ge=0)
    time: float = Field(0.5, ge=0, le=1)
    noises: int = Field(4, ge=1)
    sharpness: float = Field(5.0, gt=0)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads is {self.heads}, expected a divisor of width {self.width}")
        return self


class Flora(CompatibilityMethod):
    """Flora in the style of scikit-learn.

    The score of a class is the negative mean squared error of the velocity, times
    ``sharpness``. The authors take the smallest error, and in GZSL compare the ratio of
    the smallest errors of seen and unseen classes with a constant, which is the gate
    ``error_ratio`` here. ``transform`` gives the mean of a clip's latent.

    Args:
        **params: See :class:`FloraParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "flora", FloraParams
    faster_on_gpu = True
    params: FloraParams
    _net: FlowNetwork

    def _training(
        self, f_x: Tensor, columns: Tensor, generator: torch.Generator
    ) -> tuple[Sequence[str], Step]:
        """The autoencoders' steps, then the flow's."""
        params = self.params
        text = self._text_of(self.seen_classes)["f_y"]
        optimizer = torch.optim.AdamW(self._net.parameters(), lr=params.learning_rate,
                                      weight_decay=params.weight_decay, fused=True)
        steps = self.steps(len(f_x))
        batches = steps // params.epochs

        def step(rows: Tensor, epoch: int, k: int) -> Tensor:
            done = epoch * batches + k // params.batch_size
            if done < steps * (1 - params.flow_part):
                first = self._net.alignment(f_x[rows], text[columns[rows]], generator)
                terms = torch.cat([first, first.new_zeros(2)])
                loss = first[0] + params.distribution_weight * first[1]
            else:
                other, there = draw_one(columns[rows, None] != columns, generator)
                second = self._net.flow(
                    f_x[rows], text[columns[rows]], f_x[other],
                    text[columns[other]], generator)
                second = torch.stack([second[0].mean(), (second[1] * there).mean()])
                terms = torch.cat([second.new_zeros(2), second])
                loss = second[0] - params.other_weight * second[1]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return torch.cat([terms, loss[None]]).detach()

        names = ("reconstruction", "distribution", "velocity", "other_velocity", "loss")
        return names, step

    def _build(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> FlowNetwork:
        return FlowNetwork(f_x_dim, text_dims["f_y"], self.params, generator)

    def _text_of(self, classes: np.ndarray) -> dict[str, Tensor]:
        f_y = super()._text_of(classes)["f_y"]
        seen = super()._text_of(self.seen_classes)["f_y"]
        itself = torch.as_tensor(np.asarray(classes)[:, None] == self.seen_classes)
        return {"f_y": with_neighbours(
            f_y, seen, itself, self.params.neighbours, self.params.neighbour_weight)}

    def _embed(self, f_x: Tensor) -> Tensor:
        return self._net.skeleton.encode(f_x)[0]

    def errors(self, f_x: np.ndarray) -> np.ndarray:
        """The mean squared errors of the velocity. See :meth:`ZeroShotMethod.errors`."""
        self._require_fit("errors")
        return -self._scores(f_x, self._all_classes).double().numpy() / self.params.sharpness

    def _score(self, f_x: Tensor, text: Text) -> Tensor:
        net, draws, classes = self._net, self.params.noises, len(text["f_y"])
        of_clip, of_text = net.noises
        starts = net.text.draws(text["f_y"], of_text)  # [K, J, Z]

        def errors(clips: Tensor) -> Tensor:
            ends = net.skeleton.draws(clips, of_clip)[:, None]  # [n, 1, J, Z]
            shape = (len(clips), classes, draws, ends.shape[-1])
            start, end = (side.expand(shape).flatten(0, 2) for side in (starts[None], ends))
            time = torch.full((len(start),), self.params.time)
            return net.error(start, end, time).view(shape[:3]).mean(dim=2)

        at_once = max(1, _TRIPLES // (classes * draws))
        return -self.params.sharpness * torch.cat([errors(part) for part in f_x.split(at_once)])


class FlowVAE(nn.Module):
    """Encoder and decoder of one modality, each with one hidden layer."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(skip_init(nn.Linear, features, width), nn.ReLU(),
                                    skip_init(nn.Linear, width, width))
        self.mean, self.log_variance = (skip_init(nn.Linear, width, width) for _ in range(2))
        self.decode = nn.Sequential(skip_init(nn.Linear, width, width), nn.ReLU(),
                                    skip_init(nn.Linear, width, features))

    def encode(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, each ``[B, Z]``, of ``[B, D]``."""
        hidden = self.hidden(f)
        return self.mean(hidden), self.log_variance(hidden)

    def draws(self, f: Tensor, noises: Tensor) -> Tensor:
        """Latents ``[B, J, Z]`` of ``[B, D]`` with given noises ``[J, Z]``."""
        mean, log_variance = self.encode(f)
        return mean[:, None] + noises * torch.exp(0.5 * log_variance)[:, None]


class FlowNetwork(nn.Module):
    """Both autoencoders and the velocity between their latents.

    Args:
        f_x_dim, f_y_dim: Widths of the features.
        params: Of the widths.
        generator: Draws the weights, then the noises of prediction.
    """

    noises: Tensor

    def __init__(
        self, f_x_dim: int, f_y_dim: int, params: FloraParams, generator: torch.Generator
    ) -> None:
        super().__init__()
        width = params.width
        self.skeleton, self.text = (FlowVAE(dim, width) for dim in (f_x_dim, f_y_dim))
        self.time = TimeEmbedding(width)
        self.block, self.final = JointBlock(1, width, params.heads), FinalLayer(width, width)
        initialize_transformer(self, generator)
        self.register_buffer(
            "noises", torch.randn(2, params.noises, width, generator=generator))

    def alignment(self, f_x: Tensor, f_y: Tensor, generator: torch.Generator) -> Tensor:
        """Mean of the four reconstructions, and distance of the latent Gaussians.

        Squared errors are means over batch and dimensions; there is no divergence
        from a prior.

        Args:
            f_x: ``[B, D]``.
            f_y: ``[B, Dt]``, the text of each clip's class.
            generator: Draws the noise.
        """
        of_x, of_y = self.skeleton.encode(f_x), self.text.encode(f_y)
        z_x, z_y = (sample_gaussian(*gaussian, generator) for gaussian in (of_x, of_y))
        reconstruction = torch.stack([
            F.mse_loss(vae.decode(z), target)
            for vae, target in ((self.skeleton, f_x), (self.text, f_y)) for z in (z_x, z_y)
        ]).mean()
        distribution = sum(
            (F.mse_loss(x, y) for x, y in zip(of_x, of_y)), start=f_x.new_zeros(()))
        return torch.stack([reconstruction, distribution])

    def flow(
        self, f_x: Tensor, f_y: Tensor, other_f_x: Tensor, other_f_y: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Errors ``[2, B]`` of the velocity: to that of the clip, to that of another one.

        The encoders get no gradient.

        Args:
            f_x, f_y: ``[B, D]`` and ``[B, Dt]``, clips and their classes' texts.
            other_f_x, other_f_y: Clips of other classes and theirs.
            generator: Draws latents and times, the sigmoid of a normal number.
        """
        with torch.no_grad():
            z_x, z_y, other_x, other_y = (
                sample_gaussian(*vae.encode(f), generator) for vae, f in (
                    (self.skeleton, f_x), (self.text, f_y),
                    (self.skeleton, other_f_x), (self.text, other_f_y)))
        time = torch.sigmoid(torch.randn(len(f_x), generator=generator))
        velocity = self.velocity(on_path(z_y, z_x, time), time)
        return torch.stack([(velocity - straight(*ends)).square().mean(dim=1)
                            for ends in ((z_y, z_x), (other_y, other_x))])

    def velocity(self, z: Tensor, time: Tensor) -> Tensor:
        """Of latents ``[P, Z]`` at times ``[P]``."""
        condition = self.time(time)
        tokens = self.block([z[:, None]], condition)[0]
        velocity: Tensor = self.final(tokens, condition)[:, 0]
        return velocity

    def error(self, start: Tensor, end: Tensor, time: Tensor) -> Tensor:
        """How far the velocity is from the straight path's, ``[P]``."""
        return (self.velocity(on_path(start, end, time), time)
                - straight(start, end)).square().mean(dim=1)


def on_path(start: Tensor, end: Tensor, time: Tensor) -> Tensor:
    """Where a straight path from ``[P, Z]`` to ``[P, Z]`` is at times ``[P]``."""
    return (1 - (1 - _REST) * time)[:, None] * start + time[:, None] * end


def straight(start: Tensor, end: Tensor) -> Tensor:
    """The velocity of that path."""
    return end - (1 - _REST) * start


def with_neighbours(
    f_y: Tensor, seen: Tensor, itself: Tensor, neighbours: int, weight: float
) -> Tensor:
    """Texts plus weight / K times their K most similar seen ones, each by its cosine.

    Args:
        f_y: ``[C, Dt]``, unit rows.
        seen: ``[S, Dt]``, likewise.
        itself: ``[C, S]``: which seen class a class itself is.
        neighbours: K; fewer where there are not as many other seen classes.
        weight: Of all together.

    >>> with_neighbours(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]]),
    ...                 torch.tensor([[True, False]]), 1, 0.5)
    tensor([[1.1800, 0.2400]])
    """
    count = min(neighbours, len(seen) - 1)
    if count < 1:
        return f_y
    cosine = (f_y @ seen.T).masked_fill(itself, -2.0)
    similar, rows = cosine.topk(count, dim=1)
    return f_y + weight / count * (similar[..., None] * seen[rows]).sum(dim=1)
