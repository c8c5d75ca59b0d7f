"""Neuron: prototypes gather joints and frames in three rounds, each beside texts of its own.

Chen et al., "Neuron: learning context-aware evolving representations for zero-shot skeleton
action recognition", CVPR 2025 (arXiv 2411.11288). Learned prototypes take up the mean
features of joints, fewer prototypes a joint in each round, and those of the frames so
far, more frames in each round; a projection of their mean is compared with the texts of
that round. The authors give ten sentences for each of three granularities and three stages;
here each is one embedding. They count a clip as right if either branch is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from zskel.zsl.methods.compatibility import Text
from zskel.zsl.methods.training import Step
from zskel.zsl.methods.view_method import ViewMethod, ViewParams
from zskel.zsl.vae import initialize

ROUNDS = 3
SPATIAL = tuple(f"spatial_{r}" for r in range(1, ROUNDS + 1))
TEMPORAL = tuple(f"temporal_{r}" for r in range(1, ROUNDS + 1))
# What a prototype among the lowest of a joint takes of it.
_LITTLE = 1e-12


class NeuronParams(ViewParams):
    """All parameters of Neuron.

    Initial weights are Kaiming's, prototypes of unit length on average. The release leaves both to
    PyTorch, whose smaller weights and larger prototypes its six layers start from.

    Attributes:
        recipe: "paper": the mean of both branches names a clip; or "released": a branch
            that is right does, which looks at labels and needs the protocol "released".
        prototypes: Of each branch; a quarter of them is left out for each joint in the
            first round, half in the second, three quarters in the third.
        scale: Multiplies the cosines. The release multiplies the mean of ten
            sentences' by 0.1, which leaves a softmax nearly uniform; 10 is our choice.
        epochs, batch_size, learning_rate, momentum, weight_decay: Of SGD with Nesterov's
            momentum.
        milestones: Epochs from which on the learning rate is a tenth of what it was.
    """

    prototypes: int = Field(80, ge=4)
    scale: float = Field(10.0, gt=0)
    epochs: int = Field(30, ge=1)
    learning_rate: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, gt=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    milestones: tuple[int, ...] = (4, 20)


class Neuron(ViewMethod):
    """Neuron in the style of scikit-learn.

    The score of a class is the logarithm of its mean probability of both branches in
    their third round. ``transform`` gives both branches' directions side by side.

    Args:
        **params: See :class:`NeuronParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "neuron", NeuronParams
    text_parts = (*SPATIAL, *TEMPORAL)
    feature_views = ("joint_means", "frame_means")
    params: NeuronParams
    _net: NeuronNetwork

    @torch.no_grad()
    def proba_knowing(self, f_x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """p_u by the branch that is right about ``y``; by both where neither is."""
        self._require_fit("proba_knowing")
        branches = [scores[-1].double().softmax(dim=1).numpy() for scores in self._branches(
            self._checked(f_x), self._text_of(self.unseen_classes))]
        proba: np.ndarray = np.mean(branches, axis=0)
        for branch in branches:
            right = self.unseen_classes[branch.argmax(axis=1)] == y
            proba[right] = branch[right]
        return proba

    def _training(
        self, f_x: Tensor, columns: Tensor, generator: torch.Generator
    ) -> tuple[Sequence[str], Step]:
        params = self.params
        text = self._text_of(self.seen_classes)
        optimizer = torch.optim.SGD(
            self._net.parameters(), lr=params.learning_rate, momentum=params.momentum,
            weight_decay=params.weight_decay, nesterov=True)

        def step(rows: Tensor, epoch: int, k: int) -> Tensor:
            passed = sum(epoch >= milestone for milestone in params.milestones)
            optimizer.param_groups[0]["lr"] = params.learning_rate * 0.1 ** passed
            terms = torch.stack([
                torch.stack([F.cross_entropy(scores, columns[rows]) for scores in branch]).mean()
                for branch in self._branches(f_x[rows], text)])
            loss = terms.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return torch.cat([terms, loss[None]]).detach()

        return ("spatial", "temporal", "loss"), step

    def _branches(self, f_x: Tensor, text: Text) -> tuple[list[Tensor], list[Tensor]]:
        """Scores ``[N, K]`` of each round by joints and by frames."""
        spatial, temporal = self._net(*self._views(f_x).values())
        scale = self.params.scale
        return ([scale * found @ text[part].T for found, part in zip(spatial, SPATIAL)],
                [scale * found @ text[part].T for found, part in zip(temporal, TEMPORAL)])

    def _build(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> NeuronNetwork:
        return NeuronNetwork(
            self._width, self._one_width(text_dims), self.params.prototypes, generator)

    def _embed(self, f_x: Tensor) -> Tensor:
        spatial, temporal = self._net(*self._views(f_x).values())
        return torch.cat([spatial[-1], temporal[-1]], dim=1)

    def _score(self, f_x: Tensor, text: Text) -> Tensor:
        spatial, temporal = self._branches(f_x, text)
        both = torch.stack([spatial[-1].log_softmax(dim=1), temporal[-1].log_softmax(dim=1)])
        return both.logsumexp(dim=0)


class NeuronNetwork(nn.Module):
    """Both branches.

    Args:
        width, text_dim: D and Dt.
        prototypes: Of each branch.
        generator: Draws the weights.
    """

    def __init__(
        self, width: int, text_dim: int, prototypes: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.by_joints, self.by_frames = (
            nn.Parameter(torch.empty(prototypes, width)) for _ in range(2))
        self.gather = nn.ModuleList(_network(width) for _ in range(ROUNDS))
        self.keep, self.admit, self.renew = (
            nn.ModuleList(_network(width) for _ in range(ROUNDS)) for _ in range(3))
        self.of_joints, self.of_frames = (
            skip_init(nn.Linear, width, text_dim) for _ in range(2))
        initialize(self, generator)
        with torch.no_grad():  # Kaiming's, without which six layers would let nothing through.
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    layer.weight.normal_(0, (2 / layer.in_features) ** 0.5, generator=generator)
            for each in (self.by_joints, self.by_frames):
                each.normal_(0, width ** -0.5, generator=generator)
        self.to(torch.get_default_device())

    def forward(self, joints: Tensor, frames: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Unit rows ``[N, Dt]`` of each round by joints ``[N, V, D]`` and frames ``[N, T', D]``."""
        return self.spatial(joints), self.temporal(frames)

    def spatial(self, joints: Tensor) -> list[Tensor]:
        """The branch of the joints."""
        prototypes, found = self.by_joints.expand(len(joints), -1, -1), []
        for number, network in enumerate(self.gather):
            scores = joints @ prototypes.transpose(1, 2)  # [N, V, P]
            left_out = scores.shape[2] * (number + 1) // (ROUNDS + 1)
            lowest = scores.topk(left_out, dim=2, largest=False).indices
            shares = scores.softmax(dim=1)
            shares = shares * torch.ones_like(shares).scatter(2, lowest, _LITTLE)
            prototypes = network(shares.transpose(1, 2) @ joints)
            found.append(_projected(self.of_joints, prototypes))
        return found

    def temporal(self, frames: Tensor) -> list[Tensor]:
        """The branch of the frames."""
        prototypes, found = self.by_frames.expand(len(frames), -1, -1), []
        for number, (keep, admit, renew) in enumerate(zip(self.keep, self.admit, self.renew)):
            seen = frames[:, :max(1, frames.shape[1] * (number + 1) // ROUNDS)]
            shares = (seen @ prototypes.transpose(1, 2)).softmax(dim=1)
            taken = shares.transpose(1, 2) @ seen
            prototypes = (torch.sigmoid(keep(taken)) * prototypes
                          + torch.sigmoid(admit(taken)) * renew(taken))
            found.append(_projected(self.of_frames, prototypes))
        return found


def _network(width: int) -> nn.Sequential:
    layers = [(skip_init(nn.Linear, width, width), nn.ReLU()) for _ in range(2)]
    return nn.Sequential(*chain(*layers))


def _projected(layer: nn.Linear, prototypes: Tensor) -> Tensor:
    return F.normalize(F.relu(layer(prototypes.mean(dim=1))), dim=1)
