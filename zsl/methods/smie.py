"""SMIE: mutual information between skeletons and class texts.

Zhou et al., "Zero-shot Skeleton-based Action Recognition via Mutual Information
Estimation and Maximization", ACM MM 2023. A network T scores pairs of skeleton
and text; a bound on their mutual information (the Jensen-Shannon form) is
maximized by training T on pairs that belong together and pairs that do not.
With features of clips that have lost part of their motion, a temporal
constraint asks the whole clip to tell more about the text than they do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import skip_init

from zskel.data.common.errors import BadInput
from zskel.zsl.methods.base import EpochHook, Progress, RecipeParams
from zskel.zsl.methods.checks import TextFeatures, check_features
from zskel.zsl.methods.compatibility import CompatibilityMethod, Text, TrainingParams
from zskel.zsl.methods.smie_engine import SMIEEngine
from zskel.zsl.threads import single_threaded
from zskel.zsl.vae import initialize

# Pairs that are scored at once: 64 MB in the first hidden layer of 1024.
_PAIRS = 1 << 14


class SMIEParams(RecipeParams, TrainingParams):
    """All parameters of SMIE.

    Epochs and learning rate default to what suits some
    hundred clips; the published ones are in the configs.

    Attributes:
        recipe: "paper" is the definition; "released" what its authors' code does.
        hidden_dims: Of T's two hidden layers.
        temporal_weight, temporal_margin: Of the temporal constraint; of no
            influence unless ``fit`` is given f_x_masked.
        epochs, batch_size, learning_rate: Adam's, at the height of the schedule.
        warm_up: Share of the epochs in which the learning rate rises linearly;
            after it, it falls to 0 along a cosine.
        seed: Of every draw: initial weights, order of samples, negatives.
        negatives: What a text is paired with where it should not match: a clip of
            "other_class", drawn from the batch; or "roll", the batch's next
            clip, whichever its class.
        normalize_at_evaluation: Whether T gets LN(f_x) in prediction, as it does
            in training, or f_x.
    """

    released: ClassVar[Mapping[str, Any]] = {
        "negatives": "roll",
        "normalize_at_evaluation": False,
    }

    hidden_dims: tuple[int, int] = (1024, 512)
    temporal_weight: float = Field(0.5, ge=0)
    temporal_margin: float = Field(0.1, ge=0)
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(3e-4, gt=0)
    warm_up: float = Field(0.15, ge=0, lt=1)
    negatives: Literal["other_class", "roll"] = "other_class"
    normalize_at_evaluation: bool = True


class SMIE(CompatibilityMethod):
    """SMIE in the style of scikit-learn.

    With negatives that are independent of the text, the best T is the logarithm
    of p(x, t) / (p(x) p(t)), so that its softmax over classes is their probability
    if all are equally frequent; with those of other classes it is nearly so.
    ``transform`` gives LN(f_x), where the network first treats skeletons for
    themselves. On one machine the result is the same to the bit for the same
    seed, and no global random state is read or changed.

    Args:
        **params: See :class:`SMIEParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "smie", SMIEParams
    faster_on_gpu = True
    extra_features = ("f_x_masked",)
    params: SMIEParams
    _net: SMIENetwork

    @single_threaded()
    def fit(
        self,
        f_x: np.ndarray,
        y: np.ndarray,
        f_y: TextFeatures,
        *,
        seen_classes: Sequence[int],
        f_x_masked: np.ndarray | None = None,
        on_progress: Progress | None = None,
        on_epoch: EpochHook | None = None,
    ) -> SMIE:
        """Trains T. See :meth:`ZeroShotMethod.fit`.

        Args:
            f_x_masked: ``[N, D]``, features of the same clips without the frames
                of the largest motion and some others; None: no temporal constraint.
        """
        params = self.params
        generator = torch.Generator().manual_seed(params.seed)
        features, columns = self._begin(f_x, y, f_y, seen_classes, generator)
        masked = None if f_x_masked is None else normalized(
            self._masked(f_x_masked, len(features)))
        features = normalized(features)
        engine = self._engine(self._text_of(self.seen_classes)["f_y"], generator)

        def step(rows: Tensor, epoch: int, k: int) -> Tensor:
            rate = params.learning_rate * warm_up_cosine(epoch, params.epochs, params.warm_up)
            return engine.step(features[rows], columns[rows],
                               None if masked is None else masked[rows], rate)

        def write_and_tell(epoch: int) -> None:
            engine.write()
            if on_epoch is not None:
                on_epoch(epoch)

        names = ("mutual_information", "loss") if masked is None else (
            "mutual_information", "mutual_information_masked", "temporal", "loss")
        return self._train(step, names, len(features), generator, on_progress, write_and_tell)

    def _engine(self, text: Tensor, generator: torch.Generator) -> SMIEEngine:
        return SMIEEngine(self._net, self.params, text, generator)

    def _build(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> SMIENetwork:
        return SMIENetwork(f_x_dim, text_dims["f_y"], self.params.hidden_dims, generator)

    def _embed(self, f_x: Tensor) -> Tensor:
        return normalized(f_x)

    def _score(self, f_x: Tensor, text: Text) -> Tensor:
        f_y = text["f_y"]
        if self.params.normalize_at_evaluation:
            f_x = normalized(f_x)
        return torch.cat([self._net.of_all_pairs(rows, f_y)
                          for rows in f_x.split(max(1, _PAIRS // len(f_y)))])

    def _masked(self, f_x_masked: np.ndarray, rows: int) -> Tensor:
        masked = check_features(f_x_masked, "f_x_masked", self._f_x_dim)
        if len(masked) != rows:
            raise BadInput(f"f_x_masked has {len(masked)} rows, expected {rows}, one a row of f_x")
        return torch.as_tensor(masked)


class SMIENetwork(nn.Module):
    """T: a perceptron of three layers on [LN(f_x); f_y]."""

    def __init__(
        self, f_x_dim: int, f_y_dim: int, hidden: Sequence[int], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.f_x_dim = f_x_dim
        self.first = skip_init(nn.Linear, f_x_dim + f_y_dim, hidden[0])
        self.rest = nn.Sequential(
            nn.ReLU(), skip_init(nn.Linear, hidden[0], hidden[1]),
            nn.ReLU(), skip_init(nn.Linear, hidden[1], 1),
        )
        initialize(self, generator)

    def of_all_pairs(self, x: Tensor, f_y: Tensor) -> Tensor:
        """T of each of N rows with each of K texts, ``[N, K]``; x is normalized already."""
        of_x, of_y = self.first.weight.split([self.f_x_dim, f_y.shape[1]], dim=1)
        hidden = (x @ of_x.T)[:, None] + (f_y @ of_y.T + self.first.bias)
        return self.rest(hidden)[..., 0]


def normalized(f_x: Tensor) -> Tensor:
    """LN(f_x): each row with mean 0 and variance 1; nothing learned."""
    return F.layer_norm(f_x, f_x.shape[1:])


def warm_up_cosine(epoch: int, epochs: int, warm_up: float) -> float:
    """Factor on the learning rate: a linear rise, then a cosine down to almost 0.

    Args:
        epoch: From 0.
        epochs: In all.
        warm_up: Share of them in which it rises.

    >>> [round(warm_up_cosine(epoch, 6, 1 / 3), 3) for epoch in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    rising = round(warm_up * epochs)
    if epoch < rising:
        return (epoch + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (epoch - rising) / (epochs - rising)))
