"""Flora: a flow from the text's latents to the skeleton's; the class with the best velocity wins.

Chen et al., arXiv 2511.09388, CVPR 2026 Findings. First two variational autoencoders
reconstruct each modality from both; then, with their encoders frozen, a transformer
learns the velocity from a class text's latent to a clip's. In prediction the class whose
straight path it follows best is taken. The paper gives every class 36 to 76 tokens of label
and description, padding as good as any and the end token once more, and copies f_x as often.
Here the tokens are those of the text cache, and their padding counts nowhere; where the
cache has none, f_y is the only token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from zskel.zsl.diffusion_transformer import (
    FinalLayer,
    JointBlock,
    TimeEmbedding,
    initialize_transformer,
)
from zskel.zsl.methods.checks import TOKENS, WHOLE
from zskel.zsl.methods.compatibility import Text
from zskel.zsl.methods.error_method import ErrorMethod, ErrorParams
from zskel.zsl.methods.tokens import mean_of_tokens, sequences_of
from zskel.zsl.methods.training import Step
from zskel.zsl.ranking import draw_one
from zskel.zsl.vae import sample_gaussian

# What is left of the start of the path at its end.
_REST = 1e-5


class FloraParams(ErrorParams):
    """All parameters of Flora, beyond those of ``ErrorParams``.

    Width, epochs and learning rate are for some hundred clips, sharpness judged by
    validation-unseen classes; the published ones are in the configs. Neighbours and their
    weight are those of the 110/10 split of NTU-120: the authors have others for every split,
    without a rule that would not look at test clips.

    Attributes:
        width: Of the latents, too.
        distribution_weight: Of the squared distances of means and of log variances.
        flow_part: Of all steps, those at the end that train the flow.
        other_weight: Of the error to the velocity of a clip of another class, which is
            to be large.
        neighbours, neighbour_weight: Each class text gets its most similar seen
            classes' texts added. The authors take neighbours from all classes; here those of
            seen ones alone, so that no text depends on which classes are asked for.
        time: Place on the path, 0 text to 1 skeleton, at which clips are scored.
        noises: Latents of each clip and text that are drawn for a score; the authors
            draw one.
    """

    epochs: int = Field(60, ge=1)
    distribution_weight: float = Field(0.1, ge=0)
    flow_part: float = Field(1 / 6, gt=0, lt=1)
    other_weight: float = Field(0.1, ge=0)
    neighbours: int = Field(1, ge=0)
    neighbour_weight: float = Field(0.3, ge=0)
    time: float = Field(0.5, ge=0, le=1)
    noises: int = Field(4, ge=1)
    sharpness: float = Field(5.0, gt=0)


class Flora(ErrorMethod):
    """Flora in the style of scikit-learn.

    The score of a class is the negative mean squared error of the velocity, times
    ``sharpness``. The authors take the smallest error, and in GZSL compare the ratio of
    the smallest errors of seen and unseen classes with a constant, which is the gate
    ``error_ratio`` here. ``transform`` gives the mean of a clip's latent. Errors are means
    over tokens; f_x has a latent for each, which differ in their noise alone.

    Args:
        **params: See :class:`FloraParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "flora", FloraParams
    params: FloraParams
    _net: FlowNetwork

    def _training(
        self, f_x: Tensor, columns: Tensor, generator: torch.Generator
    ) -> tuple[Sequence[str], Step]:
        """The autoencoders' steps, then the flow's."""
        params = self.params
        text, mask = sequences_of(self._text_of(self.seen_classes))
        optimizer = self._adamw()
        steps = self.steps(len(f_x))
        batches = steps // params.epochs

        def of(rows: Tensor) -> Tensor | None:
            return None if mask is None else mask[columns[rows]]

        def step(rows: Tensor, epoch: int, k: int) -> Tensor:
            done = epoch * batches + k // params.batch_size
            if done < steps * (1 - params.flow_part):
                first = self._net.alignment(
                    f_x[rows], text[columns[rows]], generator, of(rows))
                terms = torch.cat([first, first.new_zeros(2)])
                loss = first[0] + params.distribution_weight * first[1]
            else:
                other, there = draw_one(columns[rows, None] != columns, generator)
                second = self._net.flow(
                    (f_x[rows], text[columns[rows]]), (f_x[other], text[columns[other]]),
                    generator, (of(rows), of(other)))
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
        name = TOKENS if TOKENS in text_dims else WHOLE
        shape = (self._text[TOKENS].shape[1],) if TOKENS in text_dims else ()
        return FlowNetwork(f_x_dim, text_dims[name], shape, self.params, generator)

    def _text_of(self, classes: np.ndarray) -> dict[str, Tensor]:
        name = TOKENS if TOKENS in self._text else WHOLE
        own, seen = (super(Flora, self)._text_of(each)[name]
                     for each in (classes, self.seen_classes))
        itself = torch.as_tensor(np.asarray(classes)[:, None] == self.seen_classes)
        return {name: with_neighbours(
            own, seen, itself, self.params.neighbours, self.params.neighbour_weight)}

    def _embed(self, f_x: Tensor) -> Tensor:
        return self._net.skeleton.encode(f_x)[0]

    def _errors(self, text: Text) -> Callable[[Tensor], Tensor]:
        net, draws = self._net, self.params.noises
        tokens, mask = sequences_of(text)
        length = tokens.shape[1]
        of_clip, of_text = net.noises.view(2, draws, -1, self.params.width)[:, :, :length]
        starts = net.text.draws(tokens, of_text)  # [K, J, T, Z]

        def errors(clips: Tensor) -> Tensor:
            ends = net.skeleton.draws(clips[:, None], of_clip)[:, None]  # [n, 1, J, T, Z]
            shape = (len(clips), *starts.shape)
            start, end = (side.expand(shape).flatten(0, 2) for side in (starts[None], ends))
            time = torch.full((len(start),), self.params.time)
            valid = None if mask is None else mask[None, :, None].expand(shape[:4]).flatten(0, 2)
            return net.error(start, end, time, valid).view(shape[:3])

        return errors


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
        """Mean and log variance, each ``[B, ..., Z]``, of ``[B, ..., D]``."""
        hidden = self.hidden(f)
        return self.mean(hidden), self.log_variance(hidden)

    def draws(self, f: Tensor, noises: Tensor) -> Tensor:
        """Latents ``[B, J, T, Z]`` of ``[B, T, D]`` with noises ``[J, T, Z]``; T may be 1."""
        mean, log_variance = self.encode(f)
        return mean[:, None] + noises * torch.exp(0.5 * log_variance)[:, None]


class FlowNetwork(nn.Module):
    """Both autoencoders and the velocity between their latents.

    Args:
        f_x_dim, text_dim: Widths of the features.
        tokens: How many a text has at most, if it has tokens.
        params: Of the widths.
        generator: Draws the weights, then the noises of prediction.
    """

    noises: Tensor

    def __init__(
        self, f_x_dim: int, text_dim: int, tokens: tuple[int, ...], params: FloraParams,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        width = params.width
        self.skeleton, self.text = (FlowVAE(dim, width) for dim in (f_x_dim, text_dim))
        self.time = TimeEmbedding(width)
        self.block, self.final = JointBlock(1, width, params.heads), FinalLayer(width, width)
        initialize_transformer(self, generator)
        self.register_buffer(
            "noises", torch.randn(2, params.noises, *tokens, width, generator=generator))

    def alignment(
        self, f_x: Tensor, text: Tensor, generator: torch.Generator, mask: Tensor | None = None
    ) -> Tensor:
        """Mean of the four reconstructions, and distance of the latent Gaussians.

        Squared errors are means over batch, tokens and dimensions; there is no
        divergence from a prior.

        Args:
            f_x: ``[B, D]``.
            text: ``[B, T, Dt]``, the text of each clip's class.
            generator: Draws the noise.
            mask: ``[B, T]``, which tokens count; None: all.
        """
        f_x = f_x[:, None]
        of_x, of_y = self._encoded(f_x, text)
        z_x, z_y = (sample_gaussian(*gaussian, generator) for gaussian in (of_x, of_y))

        def distance(a: Tensor, b: Tensor) -> Tensor:
            if mask is None:
                return F.mse_loss(a, b)
            return mean_of_tokens((a - b).square(), mask).mean()

        reconstruction = torch.stack([
            distance(vae.decode(z), target) for vae, target in (
                (self.skeleton, f_x.expand(-1, text.shape[1], -1)), (self.text, text))
            for z in (z_x, z_y)]).mean()
        distribution = sum((distance(x, y) for x, y in zip(of_x, of_y)), start=f_x.new_zeros(()))
        return torch.stack([reconstruction, distribution])

    def flow(
        self, clips: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor],
        generator: torch.Generator, masks: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> Tensor:
        """Errors ``[2, B]`` of the velocity: to that of the clip, to that of another one.

        The encoders get no gradient. To another clip's the error is over the tokens that
        both texts have.

        Args:
            clips: ``[B, D]`` and ``[B, T, Dt]``, clips and their classes' texts.
            others: Clips of other classes and theirs.
            generator: Draws latents and times, the sigmoid of a normal number.
            masks: ``[B, T]`` of both texts; None: all tokens count.
        """
        with torch.no_grad():
            (z_x, z_y), (other_x, other_y) = (
                [sample_gaussian(*gaussian, generator)
                 for gaussian in self._encoded(f_x[:, None], text)]
                for f_x, text in (clips, others))
        time = torch.sigmoid(torch.randn(len(z_x), generator=generator))
        own, other = masks
        velocity = self.velocity(on_path(z_y, z_x, time), time, own)
        return torch.stack([
            mean_of_tokens((velocity - straight(start, end)).square(), mask)
            for start, end, mask in ((z_y, z_x, own), (
                other_y, other_x, None if own is None or other is None else own & other))])

    def _encoded(
        self, f_x: Tensor, text: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Gaussians of f_x ``[B, 1, D]``, once for each token, and of the tokens."""
        of_y = self.text.encode(text)
        mean, log_variance = (each.expand_as(of_y[0]) for each in self.skeleton.encode(f_x))
        return (mean, log_variance), of_y

    def velocity(self, z: Tensor, time: Tensor, mask: Tensor | None = None) -> Tensor:
        """Of latents ``[P, T, Z]`` at times ``[P]``; ``mask`` ``[P, T]`` says which count."""
        condition = self.time(time)
        velocity: Tensor = self.final(self.block([z], condition, mask)[0], condition)
        return velocity

    def error(
        self, start: Tensor, end: Tensor, time: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """How far the velocity is from the straight path's, ``[P]``."""
        return mean_of_tokens((self.velocity(on_path(start, end, time), time, mask)
                               - straight(start, end)).square(), mask)


def on_path(start: Tensor, end: Tensor, time: Tensor) -> Tensor:
    """Where a straight path from ``[P, T, Z]`` to ``[P, T, Z]`` is at times ``[P]``."""
    time = time[:, None, None]
    return (1 - (1 - _REST) * time) * start + time * end


def straight(start: Tensor, end: Tensor) -> Tensor:
    """The velocity of that path."""
    return end - (1 - _REST) * start


def with_neighbours(
    f_y: Tensor, seen: Tensor, itself: Tensor, neighbours: int, weight: float
) -> Tensor:
    """Texts plus weight / K times their K most similar seen ones, each by its cosine.

    Of tokens the cosine is that of their means; each is added to the one at its place, none
    to padding.

    Args:
        f_y: ``[C, Dt]`` or ``[C, T, Dt]``, unit rows or padding of zeros.
        seen: Of the S seen classes, likewise.
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
    if f_y.ndim == 2:
        cosine = f_y @ seen.T
    else:
        own, theirs = (F.normalize(tokens.sum(dim=1), dim=1) for tokens in (f_y, seen))
        cosine = own @ theirs.T
    similar, rows = cosine.masked_fill(itself, -2.0).topk(count, dim=1)
    similar = similar.view(*similar.shape, *[1] * (f_y.ndim - 1))
    added = weight / count * (similar * seen[rows]).sum(dim=1)
    return f_y + (added if f_y.ndim == 2 else added * f_y.any(dim=2, keepdim=True))
