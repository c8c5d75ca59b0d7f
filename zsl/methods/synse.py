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

import torch
from pydantic import Field

from zskel.zsl.methods.cycles import CyclicMethod, CyclicParams
from zskel.zsl.methods.text_vae import VAE, TextVAEs

__all__ = ["SynSE", "SynSEParams"]


class SynSEParams(CyclicParams):
    """All parameters of SynSE, beyond those of ``CyclicParams``.

    Weights and ramps default to those of SynSE's 55/5 split, whose 10 cycles
    have 1700 steps; a cycle here is a tenth of the training. Epochs, batch size
    and learning rate are for a few hundred clips, the epochs chosen by the ZSL
    accuracy of validation-unseen classes on held-out training subjects.
    Reconstructions are measured as SA-DVAE's are, by the squared L2 norm.
    "released" sets what the authors' code does beyond the paper: one number of
    noise a sample, ReLU after decoders and classifier, mean squared errors.

    Attributes:
        latent_dim: Even; nouns and verbs take half of it each.
    """

    latent_dim: int = Field(100, ge=2, multiple_of=2)


class SynSE(CyclicMethod):
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
