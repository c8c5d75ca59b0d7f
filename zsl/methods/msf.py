"""MSF: a variational autoencoder of skeletons and one of rich class texts.

Li et al., "Multi-semantic fusion model for generalized zero-shot skeleton-based
action recognition", ICIG 2023. SynSE's training with one text a class in the
place of a verb and a noun; what is new is that text: the label, a definition and a
sentence of body movements side by side, in CLIP.
The paper's text was not at hand; layers, losses and schedule are those of
the released code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zskel.zsl.methods.cycles import CyclicMethod, CyclicParams
from zskel.zsl.methods.latent_method import WHOLE
from zskel.zsl.methods.text_vae import VAE, Reconstruction, TextVAEs

CrossLoss = Literal["squared", "calibrated"]


class MSFParams(CyclicParams):
    """All parameters of MSF, beyond those of ``CyclicParams``.

    Weights and ramps default to those of NTU-60, whose 10 cycles have 1700 steps; a
    cycle here is a tenth of the training. Epochs, batch size and learning rate are for
    a few hundred clips. "released" sets one number of noise a sample, ReLU after
    decoders and classifier, and mean squared errors, as the authors' code has them;
    that a paper means the usual forms instead is an assumption.

    Attributes:
        cross_loss: "squared", the distance of all reconstructions; or "calibrated", that
            of FS-VAE (see :meth:`CrossLossVAEs.cross_alignment`).
        calibration: lambda of the calibrated loss.
    """

    cross_loss: CrossLoss = "squared"
    calibration: float = Field(100.0, gt=0)


class MSF(CyclicMethod):
    """MSF in the style of scikit-learn.

    MSF itself has no softmax over seen and unseen classes together;
    ``predict_joint_proba`` makes one on its latents as CADA-VAE does.

    Args:
        **params: See :class:`MSFParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "msf", MSFParams
    params: MSFParams

    def _new_networks(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> TextVAEs:
        params = self.params
        vaes = [VAE(width, params.latent_dim, output=params.output_activation)
                for width in (f_x_dim, text_dims[WHOLE])]
        for vae in vaes:
            vae.before.extend(self._before_encoder(vae.features))
        calibration = params.calibration if params.cross_loss == "calibrated" else None
        return CrossLossVAEs(vaes[0], {WHOLE: vaes[1]}, generator, calibration)

    def _before_encoder(self, width: int) -> list[nn.Module]:
        """What features of this width go through before they are encoded."""
        return []


class CrossLossVAEs(TextVAEs):
    """``TextVAEs`` of one text with a choice of cross loss.

    Args:
        skeleton, texts, generator: See :class:`TextVAEs`.
        calibration: lambda of FS-VAE's cross loss; None for the plain distances.
    """

    def __init__(
        self, skeleton: VAE, texts: Mapping[str, VAE], generator: torch.Generator,
        calibration: float | None,
    ) -> None:
        super().__init__(skeleton, texts, generator)
        self.calibration = calibration

    def cross_alignment(
        self,
        f_x_from_text: Tensor,
        f_x: Tensor,
        z_x: Tensor,
        f_y: Mapping[str, Tensor],
        generator: torch.Generator,
        reconstruction: Reconstruction,
    ) -> Tensor:
        """FS-VAE's: lambda (sigmoid(|x - x'|^2 / lambda) + sigmoid(d / lambda)).

        d = |y - y'|^2 - |y - y''|^2, where x' and y' are decoded from the other side's
        latents and y'' are the rows of y' in a random order. As in the released code
        they may be of the same class or the same row, and the skeleton has no such
        negative. Each sigmoid is a mean over the batch, squares are sums.
        """
        if self.calibration is None:
            return super().cross_alignment(
                f_x_from_text, f_x, z_x, f_y, generator, reconstruction)
        (name, vae), = self.named_texts()
        f_y_from_skeleton = vae.decode(z_x)
        order = torch.randperm(len(z_x), generator=generator)

        def squared(prediction: Tensor, target: Tensor) -> Tensor:
            return (prediction - target).square().sum(dim=1)

        difference = (squared(f_y_from_skeleton, f_y[name])
                      - squared(f_y_from_skeleton[order], f_y[name]))
        return self.calibration * (
            torch.sigmoid(squared(f_x_from_text, f_x) / self.calibration).mean()
            + torch.sigmoid(difference / self.calibration).mean())
