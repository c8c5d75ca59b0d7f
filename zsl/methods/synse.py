"""SynSE: syntactically guided generative embeddings.

Gupta et al., WACV 2021. Three VAEs, of skeletons, nouns and verbs. The first
half of a skeleton's latents z_x is tied to nouns, the second to verbs:

    L = L_x + L_noun + L_verb
        + alpha (|f_n - D_n(z_x[:m/2])|^2 + |f_v - D_v(z_x[m/2:])|^2
                 + |f_x - D_x(z_n (+) z_v)|^2)

where each L is reconstruction plus beta KL. The weights follow cycles: KL and
alignment are off at first, so that the VAEs learn to reconstruct.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field

from zskel.zsl.methods.text_vae import (
    TERMS,
    VAE,
    TextVAEMethod,
    TextVAEParams,
    TextVAEs,
)
from zskel.zsl.methods.warm_ups import ALIGNMENT_START, KL_START, cycle_at, warm_up

__all__ = ["SynSE", "SynSEParams"]


class SynSEParams(TextVAEParams):
    """All parameters of SynSE, beyond those of ``TextVAEParams``.

    Weights and ramps default to those of SynSE's 55/5 split, whose 10 cycles
    have 1700 steps; a cycle here is a tenth of the training. Epochs, batch size
    and learning rate are for a few hundred clips, the epochs chosen by the ZSL
    accuracy of validation-unseen classes on held-out training subjects.
    Reconstructions are measured as SA-DVAE's are, by the squared L2 norm.
    "released" sets what the authors' code does beyond the paper: one number of
    noise a sample, ReLU after decoders and classifier, mean squared errors.

    Attributes:
        latent_dim: Even; nouns and verbs take half of it each.
        beta_x: Weight of the skeleton's KL at the end of a cycle.
        beta_y: Of the KL of nouns and verbs, likewise.
        alpha: Weight of the cross-modal reconstructions.
        kl_start: Part of a cycle after which ``beta_x`` rises from 0.
        alignment_start: Part of a cycle after which ``beta_y`` rises from 0 and
            ``alpha`` is in force.
        free_cycles: Cycles at the start without KL of nouns and verbs.
    """

    released: ClassVar[Mapping[str, Any]] = {
        "noise": "sample", "output_activation": "relu", "classifier_activation": "relu",
        "reconstruction": "mean",
    }

    beta_x: float = Field(7 / 300, ge=0)
    beta_y: float = Field(0.01, ge=0)
    alpha: float = Field(1.0, ge=0)
    kl_start: float = Field(KL_START, ge=0, lt=1)
    alignment_start: float = Field(ALIGNMENT_START, ge=0, lt=1)
    free_cycles: int = Field(2, ge=0)
    epochs: int = Field(60, ge=1)
    latent_dim: int = Field(100, ge=2, multiple_of=2)


class SynSE(TextVAEMethod):
    """SynSE in the style of scikit-learn.

    ``f_y`` is a mapping of "verb" and "noun" to ``[C, Dt]``. A label without a
    noun has the embedding of ``zskel.data.texts.NO_NOUN``, as all such labels.

    SynSE itself has no softmax over seen and unseen classes together;
    ``predict_joint_proba`` makes one on its latents as CADA-VAE does.

    Args:
        **params: See :class:`SynSEParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, text_parts = "synse", ("verb", "noun")
    params_model = SynSEParams
    terms = TERMS[:-1]  # no distribution alignment
    params: SynSEParams

    def _new_networks(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> TextVAEs:
        half, output = self.params.latent_dim // 2, self.params.output_activation
        return TextVAEs(
            VAE(f_x_dim, 2 * half, output=output),
            {part: VAE(text_dims[part], half, output=output) for part in ("noun", "verb")},
            generator,
        )

    def _weights(self, step: int, steps: int) -> tuple[float, ...]:
        params = self.params
        cycle, part = cycle_at(step, steps, params.cycles)
        beta_y = params.beta_y if cycle >= params.free_cycles else 0.0
        return (
            1.0, 1.0,
            params.beta_x * warm_up(part, params.kl_start, 1.0),
            beta_y * warm_up(part, params.alignment_start, 1.0),
            params.alpha * float(part > params.alignment_start),
        )
