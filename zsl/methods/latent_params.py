"""The parameters that CADA-VAE and SynSE share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from zskel.zsl.methods.text_vae import Reconstruction
from zskel.zsl.vae import Noise, Output


class LatentParams(BaseModel):
    """Parameters that both methods have.

    Attributes:
        recipe: "paper", or "released" for what the code of SynSE's authors
            executes. It only sets defaults: what is given explicitly wins.
        latent_dim: Width of the latents.
        epochs, batch_size, learning_rate: Of the VAEs, trained by Adam.
        cycles: Equal parts of the training, each with the same schedule.
        noise: Of every latent drawn, for the classifiers too; see
            :func:`zskel.zsl.vae.sample_gaussian`.
        output_activation: After all decoders.
        reconstruction: Distance of all reconstructions: "l1", or the squared L2
            norm, its "sum" or "mean" over the dimensions.
        classifier_samples: Draws of text latents per unseen class to train C_u on.
        classifier_epochs, classifier_learning_rate: Of C_u, full batch.
        classifier_activation: After C_u's layer, before its softmax. With
            "relu" it starts from drawn weights instead of zeros.
        joint_seen_samples, joint_unseen_samples: Draws per class for
            ``predict_joint_proba``: of clips' latents, of text latents.
        seed: Of every draw: initial weights, order of samples, noise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    recipe: Literal["paper", "released"] = "paper"
    latent_dim: int = Field(100, ge=1)
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    cycles: int = Field(10, ge=1)
    noise: Noise = "dimension"
    output_activation: Output = "linear"
    reconstruction: Reconstruction = "sum"
    classifier_samples: int = Field(500, ge=1)
    classifier_epochs: int = Field(300, ge=1)
    classifier_learning_rate: float = Field(1e-3, gt=0)
    classifier_activation: Output = "linear"
    joint_seen_samples: int = Field(200, ge=1)
    joint_unseen_samples: int = Field(400, ge=1)
    seed: int = Field(0, ge=0, lt=1 << 32)
