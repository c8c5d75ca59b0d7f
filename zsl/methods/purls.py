"""PURLS: texts of body parts and of moments look where in a skeleton they are fulfilled.

Zhu et al., "Part-aware unified representation of language and skeleton for zero-shot action
recognition", CVPR 2024 (arXiv 2406.13327). Each of a class's eight texts attends to
tokens of joints and thirds of the time; what it finds, and all eight together, is mapped
beside the texts. In the released code the texts that look are, at test time too, those of
the clip's true class: the features of a clip depend on the answer. Here every candidate
class looks with texts of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from zskel.zsl.methods.checks import check_classes
from zskel.zsl.methods.compatibility import Text
from zskel.zsl.methods.training import Step
from zskel.zsl.methods.view_method import ViewMethod, ViewParams

#: What looks: four parts, three thirds of the time, and the whole label.
SLOTS = ("head", "hands", "torso", "legs", "start", "middle", "end", "whole")
# Values of pairs of clip and class that are computed at once: 64 MB.
_VALUES = 1 << 24


class PURLSParams(ViewParams):
    """All parameters of PURLS.

    Epochs, batch size and learning rate are for some hundred clips; the published ones are
    in the config ``purls_ntu60``. The authors lower the rate where the loss of
    held-out clips of seen classes rests, and keep the best epoch by it; here the rate is
    constant and the last epoch counts.

    Attributes:
        recipe: "paper", or "released": clips are named with the texts of their true class
            as queries. That looks at labels and needs the protocol "released".
        attention_dim, heads: Of queries and keys.
        hidden_dim: Of the network behind the attention.
        dropout: Before each of its two layers.
        temperature: Its negative logarithm is what scores are multiplied by at the start;
            the factor of each slot is learned as it is, without the exponential that CLIP has.
        epochs, batch_size, learning_rate: Adam's.
    """

    attention_dim: int = Field(150, ge=1)
    heads: int = Field(2, ge=1)
    hidden_dim: int = Field(1024, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1)
    temperature: float = Field(0.07, gt=0, lt=1)
    epochs: int = Field(100, ge=1)
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(1e-3, gt=0)


class PURLS(ViewMethod):
    """PURLS in the style of scikit-learn.

    The score of a class is the dot product of the eighth output, of a clip that the class's
    own texts have looked at, with its eighth text, times that slot's factor. ``transform``
    gives the eighth output where the mean texts of the seen classes look.

    Args:
        **params: See :class:`PURLSParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "purls", PURLSParams
    text_parts = SLOTS
    feature_views = ("thirds_joints",)
    params: PURLSParams
    _net: PURLSNetwork

    @torch.no_grad()
    def proba_knowing(self, f_x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """p_u as the released code computes it, with the texts of the classes ``y`` as queries."""
        self._require_fit("proba_knowing")
        tokens, rows = self._tokens(self._checked(f_x)), np.asarray(y)
        check_classes(np.unique(rows).tolist(), self._known_classes, "y")
        found = self._net.eval()(tokens, self._stacked(self._text_of(rows)))[:, -1]
        text = self._stacked(self._text_of(self.unseen_classes))[:, -1]
        scores = self._net.factor[-1] * found @ text.T
        proba: np.ndarray = scores.double().softmax(dim=1).numpy()
        return proba

    def _training(
        self, f_x: Tensor, columns: Tensor, generator: torch.Generator
    ) -> tuple[Sequence[str], Step]:
        tokens = self._tokens(f_x)
        text = self._stacked(self._text_of(self.seen_classes))
        optimizer = torch.optim.Adam(
            self._net.parameters(), lr=self.params.learning_rate, fused=True)

        def step(rows: Tensor, epoch: int, k: int) -> Tensor:
            own = text[columns[rows]]
            self._net.train(len(rows) > 1)  # of one clip there is no variance
            outputs = self._net(tokens[rows], own, generator)
            loss = pair_loss(outputs, own, self._net.factor)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            self._net.eval()
            return loss.detach()[None]

        return ("loss",), step

    def _build(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> PURLSNetwork:
        return PURLSNetwork(
            self._width, self._one_width(text_dims), self.params, generator).eval()

    def _embed(self, f_x: Tensor) -> Tensor:
        mean = self._stacked(self._text_of(self.seen_classes)).mean(dim=0)
        found: Tensor = self._net(self._tokens(f_x), mean.expand(len(f_x), -1, -1))
        return found[:, -1]

    def _score(self, f_x: Tensor, text: Text) -> Tensor:
        net, queries = self._net, self._stacked(text)
        classes, width = len(queries), max(self._width, self.params.hidden_dim)
        at_once = max(1, _VALUES // (classes * len(SLOTS) * width))

        def scores(clips: Tensor) -> Tensor:
            tokens = self._tokens(clips)
            found = net.outputs(net.attend(tokens, queries)).unflatten(0, (len(clips), classes))
            return net.factor[-1] * (found[:, :, -1] * queries[:, -1]).sum(dim=-1)

        return torch.cat([scores(part) for part in f_x.split(at_once)])

    def _tokens(self, f_x: Tensor) -> Tensor:
        """Unit tokens ``[N, P, D]``; one of zeros stays so."""
        return F.normalize(self._views(f_x)[self.feature_views[0]], dim=-1)

    @staticmethod
    def _stacked(text: Text) -> Tensor:
        """Texts ``[K, 8, Dt]``."""
        return torch.stack([text[slot] for slot in SLOTS], dim=1)


class PURLSNetwork(nn.Module):
    """Lets texts look at tokens, and maps what they find beside the texts.

    Args:
        width, text_dim: D and Dt.
        params: Of the layers.
        generator: Draws the weights.
    """

    def __init__(
        self, width: int, text_dim: int, params: PURLSParams, generator: torch.Generator
    ) -> None:
        super().__init__()
        slots, inner = len(SLOTS), params.heads * params.attention_dim
        self.query = skip_init(nn.Linear, text_dim, inner, bias=False)
        self.key = skip_init(nn.Linear, width, inner, bias=False)
        self.first_norm = nn.BatchNorm1d(slots * width)
        self.first = skip_init(nn.Linear, slots * width, params.hidden_dim)
        self.second_norm = nn.BatchNorm1d(params.hidden_dim)
        self.second = skip_init(nn.Linear, params.hidden_dim, slots * text_dim)
        self.factor = nn.Parameter(torch.full((slots,), -math.log(params.temperature)))
        self._divisor = params.heads * math.sqrt(params.attention_dim)
        self._dropout = params.dropout
        with torch.no_grad():  # As released: Kaiming's uniform weights, PyTorch's own biases.
            for layer in (self.query, self.key, self.first, self.second):
                inputs = layer.weight.shape[1]
                layer.weight.uniform_(-math.sqrt(6 / inputs), math.sqrt(6 / inputs),
                                      generator=generator)
                if layer.bias is not None:
                    layer.bias.uniform_(-inputs ** -0.5, inputs ** -0.5, generator=generator)
        self.to(torch.get_default_device())

    def forward(
        self, tokens: Tensor, queries: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Outputs ``[N, 8, Dt]`` of clips that queries of their own have looked at.

        Args:
            tokens: ``[N, P, D]``.
            queries: ``[N, 8, Dt]``.
            generator: Draws what is dropped, in training.
        """
        scores = self.query(queries) @ self.key(tokens).transpose(1, 2) / self._divisor
        return self.outputs(scores.softmax(dim=-1) @ tokens, generator)

    def attend(self, tokens: Tensor, queries: Tensor) -> Tensor:
        """What the texts of each class find in each clip, ``[N K, 8, D]``.

        Args:
            tokens: ``[N, P, D]``.
            queries: ``[K, 8, Dt]``.
        """
        asked = self.query(queries).flatten(0, 1)  # [K 8, A]
        scores = asked @ self.key(tokens).transpose(1, 2) / self._divisor
        return (scores.softmax(dim=-1) @ tokens).reshape(-1, len(SLOTS), tokens.shape[-1])

    def outputs(self, found: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Maps what was found ``[N, 8, D]`` to ``[N, 8, Dt]``."""
        hidden = self.first(self._dropped(self.first_norm(found.flatten(1)), generator))
        hidden = self._dropped(self.second_norm(F.silu(hidden)), generator)
        mapped: Tensor = torch.tanh(self.second(hidden))
        return mapped.view(len(found), len(SLOTS), -1)

    def _dropped(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        if generator is None or not self.training or not self._dropout:
            return x
        kept = torch.rand(x.shape, generator=generator) >= self._dropout
        return x * kept / (1 - self._dropout)


def pair_loss(outputs: Tensor, texts: Tensor, factor: Tensor) -> Tensor:
    """Cross-entropies of a batch's clips with its texts and back, summed over the slots.

    Each clip's own text is right and those of all other clips are wrong, also of clips of
    the same class, as released.

    Args:
        outputs, texts: ``[B, 8, Dt]``.
        factor: ``[8]``.
    """
    scores = factor[:, None, None] * outputs.transpose(0, 1) @ texts.permute(1, 2, 0)  # [8, B, B]
    rows, columns = (scores.log_softmax(dim=dim).diagonal(dim1=1, dim2=2) for dim in (2, 1))
    return -(rows.mean(dim=1) + columns.mean(dim=1)).sum()
