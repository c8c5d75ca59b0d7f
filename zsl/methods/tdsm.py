"""TDSM: the class whose text best helps to take noise off a skeleton feature.

Do et al., "Bridging the skeleton-text modality gap: diffusion-powered modality alignment for
zero-shot skeleton-based action recognition", ICCV 2025 (arXiv 2411.10745). A diffusion
transformer predicts the noise in a noisy f_x from a class text; a hinge asks that the
text of another class predicts it worse by a margin. The paper gives it 35 tokens
of label and description from Stable Diffusion's text encoder, padding as good as any, and
the end token as the pooled text. Here the tokens are those of the text cache, without their
padding, and f_y is the pooled text; where the cache has none, f_y is the only token, too.
"""

from __future__ import annotations

import math
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
from zskel.zsl.methods.tokens import sequences_of
from zskel.zsl.methods.training import Step

#: Steps of the diffusion, and the first and last beta of Stable Diffusion's schedule, which the
#: released code runs through in 50 steps instead of 1000: a feature is never destroyed.
DIFFUSION_STEPS, BETAS = 50, (0.00085, 0.012)
# Standard deviation of the positions before training.
_POSITION = 0.02


class TDSMParams(ErrorParams):
    """All parameters of TDSM, beyond those of ``ErrorParams``.

    Depth, width, epochs and learning rate are for some hundred clips on a CPU, width,
    epochs and sharpness judged by validation-unseen classes; the published ones are in
    the configs ``tdsm_full_ntu60`` and ``tdsm_full_ntu120``.

    Attributes:
        depth: Of the transformer.
        margin: tau of the hinge.
        warm_up: Steps in which the learning rate rises linearly; afterwards it falls to
            0 along a cosine.
        time: t at which clips are scored, of 0 to 49.
    """

    depth: int = Field(2, ge=1)
    margin: float = Field(1.0, ge=0)
    epochs: int = Field(100, ge=1)
    warm_up: int = Field(100, ge=0)
    time: int = Field(25, ge=0, lt=DIFFUSION_STEPS)


class TDSM(ErrorMethod):
    """TDSM in the style of scikit-learn.

    The score of a class is the negative mean squared error of the noise that is predicted
    with its text, times ``sharpness``. There are no latents; ``transform`` gives f_x.
    Tokens, of unit length as f_y is, have learned positions; a lone f_y has none.

    Args:
        **params: See :class:`TDSMParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "tdsm", TDSMParams
    params: TDSMParams
    _net: DiffusionNetwork

    def _training(
        self, f_x: Tensor, columns: Tensor, generator: torch.Generator
    ) -> tuple[Sequence[str], Step]:
        params = self.params
        text = self._text_of(self.seen_classes)
        optimizer = self._adamw()
        batches = -(-len(f_x) // params.batch_size)

        def step(rows: Tensor, epoch: int, k: int) -> Tensor:
            done = epoch * batches + k // params.batch_size
            optimizer.param_groups[0]["lr"] = params.learning_rate * warm_up_cosine_steps(
                done, params.epochs * batches, params.warm_up)
            terms = self.terms(f_x[rows], columns[rows], text, generator)
            optimizer.zero_grad()
            terms[-1].backward()
            optimizer.step()
            return terms.detach()

        names = ("diffusion", "triplet", "loss")
        return names, step

    def terms(
        self, f_x: Tensor, columns: Tensor, text: Text, generator: torch.Generator
    ) -> Tensor:
        """Error with the right text, hinge with another, and their sum.

        The other class is drawn from all seen ones; where it is the right one, that
        clip has no hinge.

        Args:
            f_x: ``[B, D]``.
            columns: ``[B]``, rows of ``text``.
            text: Of the S seen classes.
            generator: Draws times, noise and other classes.
        """
        count = len(f_x)
        time = torch.randint(DIFFUSION_STEPS, (count,), generator=generator)
        noise = torch.randn(f_x.shape, generator=generator)
        other = torch.randint(len(text[WHOLE]), (count,), generator=generator)
        error = self._net(f_x.repeat(2, 1), torch.cat([columns, other]), text,
                          time.repeat(2), noise.repeat(2, 1))
        right, wrong = error[:count], error[count:]
        hinge = (right - wrong + self.params.margin).clamp_min(0) * (other != columns)
        return torch.stack([right.mean(), hinge.mean(), right.mean() + hinge.mean()])

    def _build(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> DiffusionNetwork:
        length = self._text[TOKENS].shape[1] if TOKENS in text_dims else 0
        return DiffusionNetwork(f_x_dim, text_dims, length, self.params, generator)

    def _embed(self, f_x: Tensor) -> Tensor:
        return f_x

    def _errors(self, text: Text) -> Callable[[Tensor], Tensor]:
        net, noises = self._net, self._net.noises
        classes, draws = len(text[WHOLE]), len(noises)
        column = torch.arange(classes).repeat_interleave(draws)

        def errors(clips: Tensor) -> Tensor:
            clip = clips.repeat_interleave(classes * draws, dim=0)
            time = torch.full((len(clip),), self.params.time)
            found: Tensor = net(clip, column.repeat(len(clips)), text, time,
                                noises.repeat(len(clips) * classes, 1))
            return found.view(len(clips), classes, draws)

        return errors


class DiffusionNetwork(nn.Module):
    """Predicts the noise in a skeleton feature with the help of a class text.

    Args:
        f_x_dim: Width of f_x.
        text_dims: Widths of "f_y" and, where they are read, of "tokens".
        length: Of the longest sequence of tokens; 0: f_y is the only token.
        params: Of the transformer.
        generator: Draws the weights, then the noises of prediction.
    """

    noises: Tensor
    alpha_bar: Tensor

    def __init__(
        self, f_x_dim: int, text_dims: Mapping[str, int], length: int, params: TDSMParams,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        width, f_y_dim = params.width, text_dims[WHOLE]
        self.skeleton, self.token = (
            skip_init(nn.Linear, dim, width) for dim in (f_x_dim, text_dims.get(TOKENS, f_y_dim)))
        self.pooled = nn.Sequential(skip_init(nn.Linear, f_y_dim, width), nn.SiLU(),
                                    skip_init(nn.Linear, width, width))
        self.time = TimeEmbedding(width)
        self.blocks = nn.ModuleList(
            JointBlock(2, width, params.heads) for _ in range(params.depth))
        self.final = FinalLayer(width, f_x_dim)
        initialize_transformer(self, generator)
        self.position = nn.Parameter(
            _POSITION * torch.randn(length, width, generator=generator)) if length else None
        self.register_buffer(
            "noises", torch.randn(params.noises, f_x_dim, generator=generator))
        self.register_buffer("alpha_bar", alpha_bar(), persistent=False)

    def forward(
        self, f_x: Tensor, columns: Tensor, text: Text, time: Tensor, noise: Tensor
    ) -> Tensor:
        """Mean squared error ``[P]`` of the predicted noise.

        Args:
            f_x: ``[P, D]`` without noise.
            columns: ``[P]``, rows of ``text``.
            text: Of K classes.
            time: ``[P]`` of 0 to 49.
            noise: ``[P, D]``.
        """
        kept = self.alpha_bar[time][:, None]
        noisy = kept.sqrt() * f_x + (1 - kept).sqrt() * noise
        condition = self.time(time) + self.pooled(text[WHOLE])[columns]
        sequences, mask = sequences_of(text)
        sequences = self.token(sequences)
        if self.position is not None:
            sequences = sequences + self.position[:sequences.shape[1]]
        if mask is not None:  # of the skeleton's token, too
            mask = F.pad(mask, (1, 0), value=True)[columns]
        tokens = [self.skeleton(noisy)[:, None], sequences[columns]]
        for block in self.blocks:
            tokens = block(tokens, condition, mask)
        predicted = self.final(tokens[0], condition)[:, 0]
        return (predicted - noise).square().mean(dim=1)


def alpha_bar() -> Tensor:
    """The part of a feature's square that is left after each step, ``[50]``.

    >>> [round(float(left.sqrt()), 3) for left in alpha_bar()[[25, 49]]]
    [0.966, 0.874]
    """
    first, last = (math.sqrt(beta) for beta in BETAS)
    betas = np.linspace(first, last, DIFFUSION_STEPS) ** 2
    return torch.tensor(np.cumprod(1 - betas).tolist())


def warm_up_cosine_steps(step: int, steps: int, warm_up: int) -> float:
    """Factor on the learning rate: a linear rise, then a cosine down to 0.

    Args:
        step: Done so far.
        steps: In all.
        warm_up: In which it rises; at most a tenth of all.

    >>> [round(warm_up_cosine_steps(step, 40, 100), 3) for step in (0, 2, 4, 22, 39)]
    [0.0, 0.5, 1.0, 0.5, 0.002]
    """
    rising = min(warm_up, steps // 10)
    if step < rising:
        return step / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
