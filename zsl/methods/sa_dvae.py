"""SA-DVAE: semantic alignment via disentangled variational autoencoders.

Li et al., ECCV 2024: eq. 1-9 and 13 as the paper writes them, or as the released
code executes them (``recipe``). The classifier of seen classes and the mixture
of both (eq. 10-12) belong to every method alike and live in
:mod:`zskel.zsl.classifiers` and :mod:`zskel.zsl.gates`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zskel.zsl.classifiers import SeenClassifier
from zskel.zsl.methods.base import State
from zskel.zsl.methods.latent_method import WHOLE, LatentMethod
from zskel.zsl.methods.sa_dvae_engine import Engine
from zskel.zsl.methods.sa_dvae_evidence import evidence
from zskel.zsl.methods.sa_dvae_params import SADVAEParams
from zskel.zsl.methods.sa_dvae_text import TextCoordinates
from zskel.zsl.methods.sa_dvae_training import TERMS, Trainer, weights_at
from zskel.zsl.methods.training import Epoch, shuffled_batches
from zskel.zsl.vae import AlignedVAE, Discriminator, Initialization

__all__ = ["SADVAE", "SADVAEParams"]


class SADVAE(LatentMethod):
    """SA-DVAE in the style of scikit-learn.

    Args:
        **params: See :class:`SADVAEParams`.

    Attributes:
        params: The checked parameters.
        discriminator_steps: How often D_T was updated; after ``fit``.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name = "sa_dvae"
    params_model = SADVAEParams
    params: SADVAEParams
    discriminator_steps: int
    _networks: AlignedVAE
    _networks_name: ClassVar[str] = "vae"
    _learned = (*LatentMethod._learned, "discriminator_steps")

    @property
    def variant(self) -> str:
        """Its variant, the recipe unless "paper", and the switches set otherwise.

        >>> SADVAE().variant, SADVAE(recipe="released", noise="dimension").variant
        ('fd+tc', 'fd+tc released noise=dimension')
        """
        parts: list[str] = [self.params.variant]
        if self.params.recipe != "paper":
            parts.append(self.params.recipe)
        return " ".join([*parts, *(f"{k}={v}" for k, v in self.params.changed.items())])

    @torch.no_grad()
    def evidence(self, f_x: np.ndarray) -> dict[str, np.ndarray]:
        """See :func:`zskel.zsl.methods.sa_dvae_evidence.evidence`.

        Raises:
            BadInput: As :meth:`predict_proba`.
        """
        self._require_fit("evidence")
        f_y = self._texts[WHOLE]
        seen, unseen = (torch.as_tensor(c) for c in (self.seen_classes, self.unseen_classes))
        return evidence(self._networks, self._checked(f_x), f_y[seen], f_y[unseen])

    def state(self) -> State:
        """Weights, text features and classes; the joint classifier is fitted anew."""
        state = super().state()
        return State(
            state.arrays, {**state.values, "discriminator_steps": self.discriminator_steps})

    def restore(self, state: State) -> None:
        """Takes over the state of another SADVAE with the same parameters."""
        # Files of version 1 do not say how wide f_x is.
        width = state.arrays["vae.encoder_x.linear.weight"].shape[1]
        super().restore(State(state.arrays, {"f_x_dim": width, **state.values}))
        self.discriminator_steps = state.values["discriminator_steps"]

    @property
    def _z_dims(self) -> tuple[int, int]:
        params = self.params
        return 0 if params.variant == "naive" else params.z_v_dim, params.z_r_dim

    @property
    def _joint_samples(self) -> tuple[int, int]:
        return self.params.joint_samples, self.params.joint_samples

    def _initialization(self) -> Initialization:
        return self.params.initialization

    def _new_joint_classifier(self) -> SeenClassifier:
        # Noisy draws need more of a penalty than f_x: with C_s's own, validation-unseen
        # classes of real features were named 7 points worse.
        return SeenClassifier(inverse_penalty=0.3)

    def _text_arrays(self) -> dict[str, str]:
        return {"": "f_y"}

    def _new_networks(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> AlignedVAE:
        z_v, z_r = self._z_dims
        return AlignedVAE(
            f_x_dim, text_dims[WHOLE], z_r, z_v, generator,
            initialization=self.params.initialization, output=self.params.output_activation,
        )

    def _encode(self, f_x: Tensor) -> tuple[Tensor, Tensor]:
        return self._networks.encoder_x(f_x)

    def _encode_text(self, texts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self._networks.encoder_y(texts[WHOLE])

    def _training(
        self, f_x: Tensor, y: Tensor, generator: torch.Generator
    ) -> tuple[Sequence[str], Epoch]:
        params, vae, n, f_y = self.params, self._networks, len(f_x), self._texts[WHOLE]
        discriminator = Discriminator(
            vae.z_r_dim + vae.z_v_dim, generator, params.initialization
        ) if params.variant == "fd+tc" else None
        names = (*(TERMS if discriminator is not None else TERMS[:-1]), "loss", "lambda_1")
        self.discriminator_steps = 0

        if params.engine == "fast":
            seen = torch.as_tensor(self.seen_classes) if params.text_basis else None
            engine = Engine(vae, discriminator, generator, params, f_x=f_x, y=y,
                            text=TextCoordinates(f_y, seen))
            starts = range(0, n, params.batch_size)
            sizes = torch.tensor([min(params.batch_size, n - k) for k in starts])

            def fast(epoch: int, on_step: Callable[[], None]) -> list[float]:
                weights = torch.stack([
                    weights_at(params, epoch, k, n).vector(torch.float64)[2:] for k in starts])
                terms = torch.cat([engine.epoch(weights, on_step), weights[:, 2:3]], dim=1)
                engine.write()
                self.discriminator_steps = engine.discriminator_steps
                return ((sizes[:, None] * terms).sum(dim=0) / n).tolist()

            return names, fast

        trainer = Trainer(vae, discriminator, generator, params)

        def step(rows: Tensor, epoch: int, k: int) -> Tensor:
            if k == 0:
                trainer.start_epoch()
            weights = weights_at(params, epoch, k, n)
            terms = trainer.step(f_x[rows], f_y[y[rows]], weights)
            self.discriminator_steps = trainer.discriminator_steps
            return torch.cat([terms, torch.tensor([weights.lambda_1])])

        return names, shuffled_batches(step, len(names), n, params.batch_size, generator)
