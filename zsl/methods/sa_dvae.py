"""SA-DVAE: semantic alignment via disentangled variational autoencoders.

Li et al., ECCV 2024, as the paper writes it: eq. 1-9 and 13. The classifier of
seen classes and the mixture of both (eq. 10-12) belong to every method alike
and live in :mod:`zsl.classifiers` and :mod:`zsl.gates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from data.errors import BadConfig, BadInput
from zsl.classifiers import fit_linear_softmax
from zsl.losses import Reduction
from zsl.methods.base import (
    Latents,
    Progress,
    ZeroShotMethod,
    check_classes,
    check_features,
    check_training_data,
)
from zsl.methods.sa_dvae_training import Trainer, Weights
from zsl.schedules import cross_alignment_weight, cyclical_annealing
from zsl.threads import single_threaded
from zsl.vae import AlignedVAE, Discriminator, sample_gaussian

_PROGRESS_EVERY = 20
# Added to the seed for C_u's draws, so that they do not depend on how much was
# drawn before: the same classes give the same C_u, whatever was called first.
_CLASSIFIER_STREAM = 1 << 32


class SADVAEParams(BaseModel):
    """All parameters of SA-DVAE.

    The loss weights, n_d and the widths default to the paper's for NTU-60
    (Table 2). Epochs and learning rate do not: the paper's 10 epochs at about
    3e-5 hardly move the weights on a few hundred clips, so the defaults are for
    sets of that size, chosen by the ZSL accuracy of validation-unseen classes
    on held-out training subjects.

    Attributes:
        variant: "fd+tc" is the whole method; "fd" has no D_T; "naive" has
            neither D_T nor z_v (the ablation of Tables 6 and 7).
        z_r_dim: Width of z_r and z_y.
        z_v_dim: Width of z_v.
        beta_x, beta_y: Final weights of the KL terms of eq. 2 and 3.
        lambda_2: Final weight of L_T in eq. 7.
        n_d: VAE steps before each step of D_T.
        epochs, batch_size, learning_rate: Of the VAEs; D_T shares the last two.
        squared_error: "sum" takes the L2 norm of eq. 5 for all reconstructions,
            "mean" divides it by the dimensions.
        classifier_samples: Draws of z_y per unseen class to train C_u on.
        classifier_epochs, classifier_learning_rate: Of C_u, full batch.
        seed: Of every draw: initial weights, order of samples, noise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    variant: Literal["fd+tc", "fd", "naive"] = "fd+tc"
    z_r_dim: int = Field(160, ge=1)
    z_v_dim: int = Field(8, ge=1)
    beta_x: float = Field(0.023, ge=0)
    beta_y: float = Field(0.011, ge=0)
    lambda_2: float = Field(0.011, ge=0)
    n_d: int = Field(5, ge=1)
    epochs: int = Field(25, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    squared_error: Reduction = "sum"
    classifier_samples: int = Field(500, ge=1)
    classifier_epochs: int = Field(300, ge=1)
    classifier_learning_rate: float = Field(1e-3, gt=0)
    seed: int = Field(0, ge=0, lt=1 << 32)


class SADVAE(ZeroShotMethod):
    """SA-DVAE in the style of scikit-learn.

    Text features are scaled to unit length inside, skeleton features are used
    as given. On one machine the result is the same to the bit for the same
    seed, and no global random state is read or changed.

    Args:
        **params: See :class:`SADVAEParams`.

    Attributes:
        params: The checked parameters.
        discriminator_steps: How often D_T was updated; after ``fit``.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name: ClassVar[str] = "sa_dvae"

    def __init__(self, **params: Any) -> None:
        try:
            self.params = SADVAEParams(**params)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise BadConfig(f"sa_dvae: {field} = {first['input']!r}: {first['msg']}") from None

    def steps(self, samples: int) -> int:
        """Training steps that ``fit`` takes on so many samples."""
        return self.params.epochs * -(-samples // self.params.batch_size)

    @single_threaded()
    def fit(
        self,
        f_x: np.ndarray,
        y: np.ndarray,
        f_y: np.ndarray,
        *,
        seen_classes: Sequence[int],
        on_progress: Progress | None = None,
    ) -> SADVAE:
        """Trains the VAEs and D_T. See :meth:`ZeroShotMethod.fit`."""
        f_x, y, f_y, self._seen = check_training_data(f_x, y, f_y, seen_classes)
        self._f_y = _unit_rows(f_y)
        params = self.params
        generator = torch.Generator().manual_seed(params.seed)
        z_v_dim = 0 if params.variant == "naive" else params.z_v_dim
        self._vae = AlignedVAE(f_x.shape[1], f_y.shape[1], params.z_r_dim, z_v_dim, generator)
        adversarial = params.variant == "fd+tc"
        trainer = Trainer(
            self._vae,
            Discriminator(params.z_r_dim + z_v_dim, generator) if adversarial else None,
            n_d=params.n_d,
            learning_rate=params.learning_rate,
            generator=generator,
            reduction=params.squared_error,
        )
        self.history = {}
        total = self.steps(len(f_x))
        features, labels = torch.from_numpy(f_x), torch.from_numpy(y)

        def report() -> None:
            done = trainer.vae_steps
            if on_progress is not None and (done % _PROGRESS_EVERY == 0 or done == total):
                on_progress(done, total)

        for epoch in range(params.epochs):
            self._train_epoch(trainer, features, labels, epoch, report)
        self.discriminator_steps = trainer.discriminator_steps
        return self

    def _train_epoch(
        self, trainer: Trainer, f_x: Tensor, y: Tensor, epoch: int, report: Any
    ) -> None:
        params, n = self.params, len(f_x)
        lambda_1 = cross_alignment_weight(epoch)
        names = (*trainer.names, "loss")
        sums = torch.zeros(len(names), dtype=torch.float64)
        order = torch.randperm(n, generator=trainer.generator)
        for k, batch in zip(range(0, n, params.batch_size), order.split(params.batch_size)):
            annealing = cyclical_annealing(k, n)
            terms = trainer.step(f_x[batch], self._f_y[y[batch]], Weights(
                beta_x=annealing * params.beta_x,
                beta_y=annealing * params.beta_y,
                lambda_1=lambda_1,
                lambda_2=annealing * params.lambda_2,
            ))
            sums.add_(terms, alpha=len(batch))
            report()
        for name, mean in zip(names, (sums / n).tolist()):
            # A non-finite step spoils the sum, so one look an epoch finds it.
            if not np.isfinite(mean):
                raise BadInput(f"sa_dvae: {name} became non-finite in epoch {epoch + 1}; "
                               "lower learning_rate or check the scale of f_x")
            self.history.setdefault(name, []).append(mean)
        self.history.setdefault("lambda_1", []).append(lambda_1)

    @torch.no_grad()
    def transform(self, f_x: np.ndarray) -> Latents:
        """Means of z_r and z_v for ``[N, D]``; z_v has no columns when naive.

        Raises:
            BadInput: Not fitted, wrong width, or non-finite values.
        """
        mean, _ = self._fitted().encoder_x(self._checked(f_x))
        z_v, z_r = self._vae.split(mean)
        return Latents(z_r=z_r.numpy().copy(), z_v=z_v.numpy().copy())

    @single_threaded()
    def fit_unseen_classifier(self, unseen_classes: Sequence[int]) -> SADVAE:
        """Trains C_u (eq. 8) on draws of z_y from the text of these classes.

        Raises:
            BadInput: Not fitted, a class was seen in training, or it has no
                row in ``f_y``.
        """
        vae, params = self._fitted(), self.params
        unseen = check_classes(unseen_classes, len(self._f_y), "unseen_classes")
        seen = np.intersect1d(unseen, self._seen)
        if len(seen):
            raise BadInput(f"unseen_classes holds class {seen[0]}, which was seen in training")
        generator = torch.Generator().manual_seed(params.seed + _CLASSIFIER_STREAM)
        columns = torch.arange(len(unseen)).repeat_interleave(params.classifier_samples)
        with torch.no_grad():
            mean, log_variance = vae.encoder_y(self._f_y[torch.from_numpy(unseen)])
            z_y = sample_gaussian(mean[columns], log_variance[columns], generator)
        self._unseen_classifier = fit_linear_softmax(
            z_y, columns,
            epochs=params.classifier_epochs, learning_rate=params.classifier_learning_rate,
        )
        self.unseen_classes = unseen
        return self

    @torch.no_grad()
    def predict_proba(self, f_x: np.ndarray) -> np.ndarray:
        """p_u ``[N, U]`` of eq. 9: C_u on the mean of z_r.

        Raises:
            BadInput: No unseen classifier yet, wrong width, or non-finite values.
        """
        if not hasattr(self, "_unseen_classifier"):
            raise BadInput("sa_dvae: call fit_unseen_classifier before predict_proba")
        z_r = torch.from_numpy(self.transform(f_x).z_r)
        return self._unseen_classifier(z_r).double().softmax(dim=-1).numpy()

    def _fitted(self) -> AlignedVAE:
        if not hasattr(self, "_vae"):
            raise BadInput("sa_dvae: call fit first")
        return self._vae

    def _checked(self, f_x: np.ndarray) -> Tensor:
        columns = self._fitted().encoder_x.linear.in_features
        return torch.from_numpy(check_features(f_x, "f_x", columns))


def _unit_rows(f_y: np.ndarray) -> Tensor:
    norms = np.linalg.norm(f_y, axis=1, keepdims=True)
    if not norms.all():
        raise BadInput(f"f_y row {int(np.argmin(norms))} is all zeros")
    return torch.from_numpy(f_y / norms)
