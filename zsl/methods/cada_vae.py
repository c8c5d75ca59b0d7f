"""CADA-VAE: cross- and distribution-aligned variational autoencoders.

Schoenfeld et al., CVPR 2019. Two VAEs, of skeletons and of class texts, learn

    L = L_VAE + gamma L_CA + delta L_DA

where L_VAE is reconstruction plus beta KL of both (eq. 2), L_CA decodes each
modality from the other's latents (eq. 3) and L_DA is the 2-Wasserstein distance
of both latent Gaussians (eq. 4, 5). In GZSL one softmax over latents of seen
and unseen classes decides (``predict_joint_proba``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from typing_extensions import Self

from zskel.zsl.methods.latent_method import WHOLE
from zskel.zsl.methods.text_vae import VAE, Reconstruction, TextVAEMethod, TextVAEParams, TextVAEs
from zskel.zsl.methods.warm_ups import ALIGNMENT_START, KL_START, cycle_at, warm_up

__all__ = ["CADAVAE", "CADAVAEParams"]

Span = tuple[float, float]
Width = Annotated[int, Field(ge=1)]


class CADAVAEParams(TextVAEParams):
    """All parameters of CADA-VAE, beyond those of ``TextVAEParams``.

    Networks, loss, weights, warm-ups, epochs and batch size default to the
    paper's (section 4.1); the warm-ups are parts of its 100 epochs. The learning
    rate is for a few hundred clips, the better of 1e-3 and 3e-4 by the ZSL
    accuracy of validation-unseen classes on held-out training subjects.
    "released" is what SynSE's authors ran as CADA-VAE on skeletons: no hidden
    layers, no L_DA, mean squared errors, SynSE's cycles, one number of noise a
    sample, ReLU after decoders and classifier.

    Attributes:
        encoder_x_hidden, decoder_x_hidden: Widths of the skeleton VAE's hidden
            layers; () for none.
        encoder_y_hidden, decoder_y_hidden: Of the text VAE.
        reconstruction: The paper takes "l1" for L_CA and reports it slightly
            better than L2 for all reconstructions, so it is used for all.
        beta, gamma, delta: Final weights of KL, L_CA and L_DA.
        schedule: "warm_up" raises each weight once, over its span; "cycles"
            repeats SynSE's ramps, with ``kl_start`` and ``alignment_start``.
        beta_span, gamma_span, delta_span: Where in the training the weights
            rise from 0 to their final values, 0 to 1; for "warm_up".
        kl_start: Part of a cycle after which beta rises on the skeleton's KL;
            for "cycles".
        alignment_start: Part of a cycle after which gamma, delta and beta on
            the text's KL are in force; for "cycles".
    """

    released: ClassVar[Mapping[str, Any]] = {
        "noise": "sample", "output_activation": "relu", "classifier_activation": "relu",
        "reconstruction": "mean", "schedule": "cycles", "latent_dim": 100,
        "encoder_x_hidden": (), "decoder_x_hidden": (), "encoder_y_hidden": (),
        "decoder_y_hidden": (), "beta": 7 / 300, "gamma": 1.0, "delta": 0.0,
    }

    latent_dim: int = Field(64, ge=1)
    epochs: int = Field(100, ge=1)
    batch_size: int = Field(50, ge=1)
    encoder_x_hidden: tuple[Width, ...] = (1560,)
    decoder_x_hidden: tuple[Width, ...] = (1660,)
    encoder_y_hidden: tuple[Width, ...] = (1450,)
    decoder_y_hidden: tuple[Width, ...] = (665,)
    reconstruction: Reconstruction = "l1"
    beta: float = Field(0.234, ge=0)
    gamma: float = Field(2.376, ge=0)
    delta: float = Field(8.64, ge=0)
    schedule: Literal["warm_up", "cycles"] = "warm_up"
    beta_span: Span = (0.0, 0.90)
    gamma_span: Span = (0.21, 0.75)
    delta_span: Span = (0.06, 0.22)
    kl_start: float = Field(KL_START, ge=0, lt=1)
    alignment_start: float = Field(ALIGNMENT_START, ge=0, lt=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name in ("beta_span", "gamma_span", "delta_span"):
            start, end = getattr(self, name)
            if not 0 <= start < end <= 1:
                raise ValueError(f"{name} is {[start, end]}, expected 0 <= start < end <= 1")
        return self


class CADAVAE(TextVAEMethod):
    """CADA-VAE in the style of scikit-learn.

    Args:
        **params: See :class:`CADAVAEParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name = "cada_vae"
    params_model = CADAVAEParams
    params: CADAVAEParams

    def _new_networks(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> TextVAEs:
        params = self.params
        return TextVAEs(
            VAE(f_x_dim, params.latent_dim, params.encoder_x_hidden, params.decoder_x_hidden,
                params.output_activation),
            {WHOLE: VAE(text_dims[WHOLE], params.latent_dim, params.encoder_y_hidden,
                        params.decoder_y_hidden, params.output_activation)},
            generator,
        )

    def _weights(self, step: int, steps: int) -> tuple[float, ...]:
        params = self.params
        if params.schedule == "warm_up":
            # The paper raises them epoch by epoch.
            done = step * params.epochs // steps / params.epochs
            kl_x = kl_y = params.beta * warm_up(done, *params.beta_span)
            cross = params.gamma * warm_up(done, *params.gamma_span)
            alignment = params.delta * warm_up(done, *params.delta_span)
        else:
            _, part = cycle_at(step, steps, params.cycles)
            late = float(part > params.alignment_start)
            kl_x = params.beta * warm_up(part, params.kl_start, 1.0)
            kl_y = late * kl_x
            cross, alignment = late * params.gamma, late * params.delta
        return 1.0, 1.0, kl_x, kl_y, cross, alignment
