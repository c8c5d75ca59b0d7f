"""InfoNCE: two projections into one space, trained by contrast. A plain modern baseline.

The loss of van den Oord et al., arXiv 1807.03748, in CLIP's form (Radford et al.,
ICML 2021): cosines over a learned temperature, a softmax in both directions. A clip's
text is told from those of all seen classes, a text's clip from the others of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from zskel.zsl.methods.cosine import CosineMethod, CosineNetwork, CosineParams
from zskel.zsl.methods.training import Step
from zskel.zsl.vae import initialize


class InfoNCEParams(CosineParams):
    """All parameters; no paper has them. The defaults are common values and were not searched.

    Attributes:
        embedding_dim: Width of the common space.
        hidden_dim: Of the skeleton's hidden layer; 0 for none. The text's projection is
            linear.
        symmetric: Both directions, each with half of the weight; or clip to text alone,
            which is the cross-entropy over seen classes.
        weight_decay: AdamW's.
    """

    embedding_dim: int = Field(128, ge=1)
    hidden_dim: int = Field(256, ge=0)
    symmetric: bool = True
    weight_decay: float = Field(0.01, ge=0)


class InfoNCE(CosineMethod):
    """InfoNCE in the style of scikit-learn.

    Args:
        **params: See :class:`InfoNCEParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "infonce", InfoNCEParams
    params: InfoNCEParams

    def _training(
        self, f_x: Tensor, columns: Tensor, generator: torch.Generator
    ) -> tuple[Sequence[str], Step]:
        params = self.params
        text = self._text_of(self.seen_classes)
        optimizer = torch.optim.AdamW(self._net.parameters(), lr=params.learning_rate,
                                      weight_decay=params.weight_decay, fused=True)

        def step(rows: Tensor, epoch: int, k: int) -> Tensor:
            terms = contrast(self._score(f_x[rows], text), columns[rows])
            loss = terms.mean() if params.symmetric else terms[0]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return torch.cat([terms, loss[None]]).detach()

        return ("clip_to_text", "text_to_clip", "loss"), step

    def _build(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> CosineNetwork:
        params = self.params
        hidden: list[nn.Module] = []
        if params.hidden_dim:
            hidden = [skip_init(nn.Linear, f_x_dim, params.hidden_dim), nn.ReLU()]
        skeleton = nn.Sequential(
            *hidden, skip_init(nn.Linear, params.hidden_dim or f_x_dim, params.embedding_dim))
        net = CosineNetwork(
            skeleton, skip_init(nn.Linear, text_dims["f_y"], params.embedding_dim), params)
        initialize(net, generator)
        return net


def contrast(scores: Tensor, columns: Tensor) -> Tensor:
    """Cross-entropies ``[2]`` of clip to text and of text to clip, means over the batch.

    Clips of one class share its text: each counts in the softmax of that text.

    Args:
        scores: ``[B, S]`` of clips with the texts of all seen classes.
        columns: ``[B]``, the class of each clip.
    """
    own = torch.arange(len(columns)), columns
    return -torch.stack([F.log_softmax(scores, dim)[own].mean() for dim in (1, 0)])
