"""JPoSE: joint embeddings of parts of speech.

Wray, Larlus, Csurka and Damen, "Fine-Grained Action Retrieval Through Multiple
Parts-of-Speech Embeddings", ICCV 2019, with skeletons for videos: one embedding
space for verbs, one for nouns, and a joint one made from both, in which clips
and class texts are compared. Each space has triplet losses within and across
the two modalities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import skip_init

from zskel.zsl.methods.base import RecipeParams
from zskel.zsl.methods.compatibility import CompatibilityMethod, Text, TrainingParams
from zskel.zsl.methods.training import Step
from zskel.zsl.ranking import class_hinge, mined_triplet_of_all_pairs
from zskel.zsl.triplets import KINDS, Triplets
from zskel.zsl.vae import initialize

PARTS = ("verb", "noun")
JOINT = "joint"
SPACES = (*PARTS, JOINT)

# Unit rows of one text, embedded in different batches, differ in the last bits only.
_SAME_TEXT = 1 - 1e-5


class JPoSEParams(RecipeParams, TrainingParams):
    """All parameters of JPoSE.

    Epochs and learning rate default to what suits some
    hundred clips; the published ones are in the configs.

    Attributes:
        recipe: "paper" is the method with its authors' networks, margin and
            weights, trained by Adam instead of SGD and with one new triplet for each
            anchor in every step; "released" is what synse-zsl executes under its name.
        text_hidden_dim: Of the text networks "tanh_relu".
        skeleton_text, text_skeleton, skeleton_skeleton, text_text: Weights of
            the triplet losses, named anchor first; of "triplets".
        verb_weight, noun_weight, joint_weight: Weights of the three spaces.
        released_triplet_weight: Of the triplets within the skeletons of "hinge".
        temperature: Of the softmax over cosines; of no influence on training.
        epochs, batch_size, learning_rate: Adam's.
        seed: Of every draw: initial weights, order of samples, triplets.
        losses: "triplets": one random triplet for each anchor, of the four kinds,
            in all three spaces. "hinge": over all classes in all three spaces, and
            :func:`zskel.zsl.ranking.mined_triplet_of_all_pairs` for verbs and nouns.
        networks: "gated": linear, then gated by a sigmoid of itself, for both
            modalities. "tanh_relu": skeletons linear and tanh; text 512 tanh, then
            ReLU, so that no text has a negative coordinate; the joint space linear
            and tanh. All embeddings have unit length.
        class_gradient: Whether the embeddings of all classes in the hinge pass
            gradients on, or only that of each row's own class.
        margin: Of all losses.
        embedding_dim: Of each space.
        joint_weight_decay: Of the layers into the joint space, Adam's L2 form.
    """

    released: ClassVar[Mapping[str, Any]] = {
        "losses": "hinge",
        "networks": "tanh_relu",
        "class_gradient": False,
        "margin": 0.3,
        "embedding_dim": 50,
        "joint_weight_decay": 1e-3,
    }

    text_hidden_dim: int = Field(512, ge=1)
    skeleton_text: float = Field(1.0, ge=0)
    text_skeleton: float = Field(2.0, ge=0)
    skeleton_skeleton: float = Field(1.0, ge=0)
    text_text: float = Field(1.0, ge=0)
    verb_weight: float = Field(1.0, ge=0)
    noun_weight: float = Field(1.0, ge=0)
    joint_weight: float = Field(1.0, ge=0)
    released_triplet_weight: float = Field(0.01, ge=0)
    temperature: float = Field(0.1, gt=0)
    epochs: int = Field(20, ge=1)
    losses: Literal["triplets", "hinge"] = "triplets"
    networks: Literal["gated", "tanh_relu"] = "gated"
    class_gradient: bool = True
    margin: float = Field(1.0, gt=0)
    embedding_dim: int = Field(256, ge=1)
    joint_weight_decay: float = Field(0.0, ge=0)


class JPoSE(CompatibilityMethod):
    """JPoSE in the style of scikit-learn.

    f_x is scaled to unit length. Classes whose verbs (or nouns) have the same
    text features share the verb (the noun); that includes all labels without a
    noun. Classes that share both are not told apart. On one machine the result
    is the same to the bit for the same seed, and no global random state is read
    or changed. The released code also lowers the learning rate and stops by
    accuracy on test clips, which no parameter of a method can do.

    Args:
        **params: See :class:`JPoSEParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "jpose", JPoSEParams
    faster_on_gpu = True
    text_parts = PARTS
    params: JPoSEParams
    _net: JPoSENetwork

    def _training(
        self, f_x: Tensor, columns: Tensor, generator: torch.Generator
    ) -> tuple[Sequence[str], Step]:
        params = self.params
        text = self._text_of(self.seen_classes)
        groups = torch.stack([*map(same_text, text.values()), same_text(*text.values())])
        tuned: list[dict[str, Any]] = [
            {"params": self._net.of_parts()},
            {"params": self._net.of_joint(), "weight_decay": params.joint_weight_decay},
        ]
        optimizer = torch.optim.Adam(tuned, lr=params.learning_rate, fused=True)

        def step(rows: Tensor, epoch: int, k: int) -> Tensor:
            terms = self.terms(f_x[rows], columns[rows], text, groups, generator)
            optimizer.zero_grad()
            terms[-1].backward()
            optimizer.step()
            return terms.detach()

        return (*SPACES, "loss"), step

    def terms(
        self, f_x: Tensor, columns: Tensor, text: Text, groups: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """The loss of each space for one batch, and their weighted sum.

        Args:
            f_x: ``[B, D]``, as the network reads it.
            columns: ``[B]``, rows of the texts.
            text: Parts ``[S, Dt]`` of the seen classes.
            groups: ``[3, S]``: in each space, classes that are not told apart have the
                same number.
            generator: Draws the triplets.
        """
        params = self.params
        of_v, of_t = self._net.skeletons(f_x), self._net.texts(text)
        v, t = [of_v[space] for space in SPACES], [of_t[space] for space in SPACES]
        if params.losses == "triplets":
            weights = torch.tensor([getattr(params, kind) for kind in KINDS])
            drawn = Triplets.draw(columns, groups, generator)
            terms = drawn.losses(v, t, params.margin) @ weights
        else:
            terms = torch.stack([self._hinge(*of_space, columns)
                                 for of_space in zip(SPACES, v, t, groups)])
        weights = torch.tensor([params.verb_weight, params.noun_weight, params.joint_weight])
        return torch.cat([terms, torch.dot(weights, terms)[None]])

    def _hinge(
        self, space: str, v: Tensor, t: Tensor, groups: Tensor, columns: Tensor
    ) -> Tensor:
        """synse-zsl's losses of one space; v ``[B, E]``, t ``[S, E]``, groups ``[S]``."""
        params = self.params
        scores = v @ t.T
        true_scores = scores.gather(1, columns[:, None])[:, 0]
        if not params.class_gradient:
            scores = v @ t.detach().T
        loss = class_hinge(scores, true_scores, columns, params.margin, count_true=True)
        if space == JOINT:
            return loss
        mined = mined_triplet_of_all_pairs(v, groups[columns], params.margin)
        return loss + params.released_triplet_weight * mined

    def _build(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> JPoSENetwork:
        return JPoSENetwork(f_x_dim, text_dims, self.params, generator)

    def _embed(self, f_x: Tensor) -> Tensor:
        return self._net.skeletons(f_x)[JOINT]

    def _score(self, f_x: Tensor, text: Text) -> Tensor:
        return self._embed(f_x) @ self._net.texts(text)[JOINT].T / self.params.temperature

    def _input(self, f_x: np.ndarray) -> np.ndarray:
        return f_x / np.maximum(np.linalg.norm(f_x, axis=1, keepdims=True), 1e-12)


class JPoSENetwork(nn.Module):
    """The embeddings of each part of speech, and the joint one on top of them."""

    def __init__(
        self, f_x_dim: int, text_dims: Mapping[str, int], params: JPoSEParams,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        size = params.embedding_dim
        gated = params.networks == "gated"

        def text_network(inputs: int) -> nn.Module:
            if gated:
                return Gated(inputs, size)
            return nn.Sequential(
                skip_init(nn.Linear, inputs, params.text_hidden_dim), nn.Tanh(),
                skip_init(nn.Linear, params.text_hidden_dim, size), nn.ReLU(), _UnitRows(),
            )

        def one_layer(inputs: int) -> nn.Module:
            return Gated(inputs, size) if gated else nn.Sequential(
                skip_init(nn.Linear, inputs, size), nn.Tanh(), _UnitRows())

        self.skeleton = nn.ModuleDict({name: one_layer(f_x_dim) for name in PARTS})
        self.text = nn.ModuleDict({name: text_network(text_dims[name]) for name in PARTS})
        self.joint_skeleton = one_layer(len(PARTS) * size)
        self.joint_text = one_layer(len(PARTS) * size)
        initialize(self, generator)

    def of_parts(self) -> list[nn.Parameter]:
        """Parameters of the spaces of parts of speech."""
        return [*self.skeleton.parameters(), *self.text.parameters()]

    def of_joint(self) -> list[nn.Parameter]:
        """Parameters of the joint space."""
        return [*self.joint_skeleton.parameters(), *self.joint_text.parameters()]

    def skeletons(self, f_x: Tensor) -> dict[str, Tensor]:
        """``[B, D]`` to unit rows ``[B, E]`` in each space."""
        return _joined({name: self.skeleton[name](f_x) for name in PARTS}, self.joint_skeleton)

    def texts(self, text: Text) -> dict[str, Tensor]:
        """Parts ``[K, Dt]`` to unit rows ``[K, E]`` in each space."""
        return _joined({name: self.text[name](text[name]) for name in PARTS}, self.joint_text)


class Gated(nn.Module):
    """A linear layer, gated by a sigmoid of a second one on its outputs; in unit rows."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = skip_init(nn.Linear, inputs, outputs)
        self.gate = skip_init(nn.Linear, outputs, outputs)

    def forward(self, f: Tensor) -> Tensor:
        """``[B, inputs]`` to ``[B, outputs]``."""
        unit: Tensor = _GatedUnit.apply(
            f, self.linear.weight, self.linear.bias, self.gate.weight, self.gate.bias)
        return unit


class _GatedUnit(torch.autograd.Function):
    """:class:`Gated` with its gradient written out, in half the passes over the rows."""

    @staticmethod
    def forward(ctx: Any, f: Tensor, weight: Tensor, bias: Tensor, gate_weight: Tensor,
                gate_bias: Tensor) -> Tensor:
        z = torch.addmm(bias, f, weight.T)
        gate = torch.addmm(gate_bias, z, gate_weight.T).sigmoid_()
        unit = z * gate
        length = torch.linalg.vector_norm(unit, dim=1, keepdim=True).clamp_min_(1e-12)
        unit.div_(length)
        ctx.save_for_backward(f, weight, gate_weight, z, gate, unit, length)
        return unit

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        f, weight, gate_weight, z, gate, unit, length = ctx.saved_tensors
        along = (grads[0] * unit).sum(dim=1, keepdim=True)
        grad = torch.addcmul(grads[0], unit, along, value=-1).div_(length)
        of_gate = torch.ops.aten.sigmoid_backward(grad * z, gate)
        of_z = grad.mul_(gate).addmm_(of_gate, gate_weight)
        of_f = of_z @ weight if ctx.needs_input_grad[0] else None
        return of_f, of_z.T @ f, of_z.sum(dim=0), of_gate.T @ z, of_gate.sum(dim=0)


class _UnitRows(nn.Module):
    def forward(self, f: Tensor) -> Tensor:
        return F.normalize(f)


def same_text(*parts: Tensor) -> Tensor:
    """For each class the first one with the same text in all parts, ``[S]``.

    Args:
        *parts: Unit rows ``[S, Dt]`` each.

    >>> same_text(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])).tolist()
    [0, 1, 0]
    """
    same = torch.stack([text @ text.T > _SAME_TEXT for text in parts]).all(dim=0)
    return same.int().argmax(dim=1)


def _joined(parts: dict[str, Tensor], joint: nn.Module) -> dict[str, Tensor]:
    return {**parts, JOINT: joint(torch.cat(list(parts.values()), dim=1))}
