"""FS-VAE: MSF with a calibrated cross loss and reweighted frequencies.

Wu et al., "Frequency-semantic enhanced variational autoencoder for zero-shot
skeleton-based action recognition", ICCV 2025 (arXiv 2506.22179). The paper speaks of
frequencies of motion; its code transforms along the channels of features that are
pooled over time already. One linear layer follows, which can undo the map: what the
networks can express is MSF's, only the way there differs.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from zskel.zsl.methods.msf import MSF, CrossLoss, MSFParams

#: Bands of the released code; those that end at or below this coefficient are amplified.
BANDS = 30


class FSVAEParams(MSFParams):
    """All parameters of FS-VAE, beyond those of ``MSFParams``.

    ``alpha`` is that of NTU-60; of NTU-120 it is 0.1.

    Attributes:
        bands: "learned", as the authors have it; "fixed" at their first weight; or
            "none", which leaves the frequencies as they are.
        band_weight: w that all bands start from; 0 changes nothing as long as it is.
        band_strength: k that they start from.
    """

    cross_loss: CrossLoss = "calibrated"
    alpha: float = Field(0.5, ge=0)
    bands: Literal["learned", "fixed", "none"] = "learned"
    band_weight: float = Field(1.0, ge=0)
    band_strength: float = Field(0.3, ge=0)


class FSVAE(MSF):
    """FS-VAE in the style of scikit-learn.

    Args:
        **params: See :class:`FSVAEParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "fs_vae", FSVAEParams
    params: FSVAEParams

    def _before_encoder(self, width: int) -> list[nn.Module]:
        params = self.params
        if params.bands == "none":
            return []
        return [FrequencyMap(width, params.band_weight, params.band_strength,
                             learned=params.bands == "learned")]


class FrequencyMap(nn.Module):
    """x + IDCT((g - 1) DCT(x)) along the features, with a gain g for each band.

    The bands' edges are floor(linspace(0, D - 1, 31)), so the last coefficient belongs to
    none. Band i has g = 1 + k w_i (1 - i / 30) where it ends at or below coefficient 30,
    and 1 - k w_i (2 - i / 30) elsewhere.

    Args:
        features: D.
        weight: Of every w_i at the start.
        strength: k at the start.
        learned: Whether both are trained.
    """

    transform: Tensor
    slope: Tensor
    band_of: Tensor

    def __init__(self, features: int, weight: float, strength: float, *, learned: bool) -> None:
        super().__init__()
        edges = np.floor(np.linspace(0, features - 1, BANDS + 1)).astype(int)
        slope, band_of = np.zeros(features), np.zeros(features, int)
        for i in range(BANDS):
            part = slice(edges[i], edges[i + 1])
            slope[part] = 1 - i / BANDS if edges[i + 1] <= BANDS else i / BANDS - 2
            band_of[part] = i
        self.register_buffer("transform", _dct(features), persistent=False)
        self.register_buffer("slope", torch.as_tensor(slope).float(), persistent=False)
        self.register_buffer("band_of", torch.as_tensor(band_of), persistent=False)
        self.weight = nn.Parameter(torch.full((BANDS,), weight), requires_grad=learned)
        self.strength = nn.Parameter(torch.tensor(strength), requires_grad=learned)

    def forward(self, f: Tensor) -> Tensor:
        """Maps ``[B, D]`` to ``[B, D]``."""
        change = self.strength * self.weight[self.band_of] * self.slope
        # Added to f, so that it is f to the bit where nothing changes.
        return f + (f @ self.transform.T * change) @ self.transform


def _dct(features: int) -> Tensor:
    """The orthonormal DCT-II, a row a coefficient."""
    k, n = np.arange(features)[:, None], np.arange(features)
    matrix = np.cos(math.pi * (n + 0.5) * k / features) * math.sqrt(2 / features)
    matrix[0] /= math.sqrt(2)
    return torch.as_tensor(matrix).float()
