"""SA-DVAE: semantic alignment via disentangled variational autoencoders.

Li et al., ECCV 2024: eq. 1-9 and 13 as the paper writes them, or as the released
code executes them (``recipe``). The classifier of seen classes and the mixture
of both (eq. 10-12) belong to every method alike and live in
:mod:`zskel.zsl.classifiers` and :mod:`zskel.zsl.gates`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from zskel.data.common.errors import BadInput
from zskel.zsl.classifiers import fit_linear_softmax
from zskel.zsl.methods.base import (
    EpochHook,
    Latents,
    Progress,
    State,
    ZeroShotMethod,
    check_features,
    check_params,
    check_training_data,
    check_unseen,
    unit_rows,
)
from zskel.zsl.methods.sa_dvae_engine import Engine
from zskel.zsl.methods.sa_dvae_evidence import JointClassifier, draw_seen, evidence
from zskel.zsl.methods.sa_dvae_params import SADVAEParams
from zskel.zsl.methods.sa_dvae_text import TextCoordinates
from zskel.zsl.methods.sa_dvae_training import TERMS, Trainer, weights_at
from zskel.zsl.methods.saving import module_arrays, restore_module
from zskel.zsl.methods.training import Epoch, run_epochs, shuffled_batches, steps_of
from zskel.zsl.threads import single_threaded
from zskel.zsl.vae import AlignedVAE, Discriminator, activate, initialize, sample_gaussian

__all__ = ["SADVAE", "SADVAEParams"]

# Added to the seed for draws after training, so that they do not depend on how
# much was drawn before: the same classes give the same C_u, whatever was called
# first.
_CLASSIFIER_STREAM, _SEEN_STREAM, _JOINT_STREAM = 1 << 32, 2 << 32, 3 << 32


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
        self.params = check_params(SADVAEParams, self.name, params)

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

    def steps(self, samples: int) -> int:
        """Training steps that ``fit`` takes on so many samples."""
        return steps_of(samples, self.params.epochs, self.params.batch_size)

    @single_threaded()
    def fit(
        self,
        f_x: np.ndarray,
        y: np.ndarray,
        f_y: np.ndarray,
        *,
        seen_classes: Sequence[int],
        on_progress: Progress | None = None,
        on_epoch: EpochHook | None = None,
    ) -> SADVAE:
        """Trains the VAEs and D_T. See :meth:`ZeroShotMethod.fit`."""
        f_x, y, f_y, seen = check_training_data(f_x, y, f_y, seen_classes)
        self._forget()
        self.seen_classes = seen
        self._f_y = torch.from_numpy(unit_rows(f_y))
        params, n = self.params, len(f_x)
        generator = torch.Generator().manual_seed(params.seed)
        self._vae = self._new_vae(f_x.shape[1], generator)
        features, labels = torch.from_numpy(f_x), torch.from_numpy(y)
        self.history, self.discriminator_steps = {}, 0
        names = TERMS if params.variant == "fd+tc" else TERMS[:-1]

        def after_epoch(epoch: int) -> None:
            assert on_epoch is not None
            self._keep_seen(features, labels)
            on_epoch(epoch)
            # What the hook has fitted belongs to weights that change again.
            self._forget_classifiers()

        try:
            run_epochs(
                self._training(features, labels, generator), (*names, "loss", "lambda_1"),
                method=self.name, samples=n, epochs=params.epochs, batch_size=params.batch_size,
                on_progress=on_progress, on_epoch=after_epoch if on_epoch is not None else None,
                history=self.history,
            )
            self._keep_seen(features, labels)
        except BaseException:
            self._forget()
            raise
        return self

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
        self._fitted()
        params = self.params
        unseen = check_unseen(unseen_classes, len(self._f_y), self.seen_classes)
        self._forget_classifiers()
        generator = torch.Generator().manual_seed(params.seed + _CLASSIFIER_STREAM)
        relu = params.classifier_activation == "relu"
        initial = None
        if relu or params.initialization != "uniform":
            initial = nn.utils.skip_init(nn.Linear, params.z_r_dim, len(unseen))
            initialize(initial, generator, params.initialization)
        columns = torch.arange(len(unseen)).repeat_interleave(params.classifier_samples)
        self._unseen_classifier = fit_linear_softmax(
            self._draw_text(unseen, params.classifier_samples, generator), columns,
            epochs=params.classifier_epochs, learning_rate=params.classifier_learning_rate,
            initial=initial, relu=relu,
        )
        self.unseen_classes = unseen
        return self

    @torch.no_grad()
    def predict_proba(self, f_x: np.ndarray) -> np.ndarray:
        """p_u ``[N, U]`` of eq. 9: C_u on the mean of z_r.

        Raises:
            BadInput: No unseen classifier yet, wrong width, or non-finite values.
        """
        self._require_classifier("predict_proba")
        z_r = torch.from_numpy(self.transform(f_x).z_r)
        logits = activate(self._unseen_classifier(z_r), self.params.classifier_activation)
        return logits.double().softmax(dim=-1).numpy()

    @single_threaded()
    def predict_joint_proba(self, f_x: np.ndarray) -> np.ndarray:
        """Probabilities ``[N, S + U]`` of one softmax over latents of all classes.

        CADA-VAE's way (Schoenfeld et al., CVPR 2019), see
        :class:`~zskel.zsl.methods.sa_dvae_evidence.JointClassifier`. Fitted when
        first asked for: on many classes that takes seconds.

        Raises:
            BadInput: As :meth:`predict_proba`.
        """
        self._require_classifier("predict_joint_proba")
        z_r = self.transform(f_x).z_r
        if not hasattr(self, "_joint"):
            generator = torch.Generator().manual_seed(self.params.seed + _JOINT_STREAM)
            count = self.params.joint_samples
            z_u = self._draw_text(self.unseen_classes, count, generator).numpy()
            self._joint = JointClassifier(self._z_seen, z_u, count)
        return self._joint.predict_proba(z_r)

    @torch.no_grad()
    def evidence(self, f_x: np.ndarray) -> dict[str, np.ndarray]:
        """See :func:`zskel.zsl.methods.sa_dvae_evidence.evidence`.

        Raises:
            BadInput: As :meth:`predict_proba`.
        """
        self._require_classifier("evidence")
        seen, unseen = (torch.from_numpy(c) for c in (self.seen_classes, self.unseen_classes))
        return evidence(self._vae, self._checked(f_x), self._f_y[seen], self._f_y[unseen])

    def state(self) -> State:
        """Weights, text features and classes; the joint classifier is fitted anew."""
        arrays = {
            **module_arrays(self._fitted(), "vae"),
            "f_y": self._f_y.numpy(), "seen_classes": self.seen_classes, "z_seen": self._z_seen,
        }
        if hasattr(self, "_unseen_classifier"):
            arrays |= module_arrays(self._unseen_classifier, "unseen_classifier")
            arrays["unseen_classes"] = self.unseen_classes
        return State(arrays, {
            "history": {name: list(values) for name, values in self.history.items()},
            "discriminator_steps": self.discriminator_steps,
        })

    def restore(self, state: State) -> None:
        """Takes over the state of another SADVAE with the same parameters."""
        arrays = state.arrays
        self._forget()
        f_y, classes, z_seen = (arrays[name] for name in ("f_y", "seen_classes", "z_seen"))
        if z_seen.shape != (len(classes) * self.params.joint_samples, self.params.z_r_dim):
            raise ValueError(f"z_seen has shape {list(z_seen.shape)}")
        self._f_y = torch.from_numpy(f_y.copy())
        vae = self._new_vae(arrays["vae.encoder_x.linear.weight"].shape[1], torch.Generator())
        restore_module(vae, "vae", arrays)
        if "unseen_classes" in arrays:
            layer = nn.Linear(self.params.z_r_dim, len(arrays["unseen_classes"]))
            restore_module(layer, "unseen_classifier", arrays)
            self._unseen_classifier, self.unseen_classes = layer, arrays["unseen_classes"].copy()
        self.history = state.values["history"]
        self.discriminator_steps = state.values["discriminator_steps"]
        self._vae, self.seen_classes, self._z_seen = vae, classes.copy(), z_seen.copy()

    def _new_vae(self, f_x_dim: int, generator: torch.Generator) -> AlignedVAE:
        params = self.params
        return AlignedVAE(
            f_x_dim, self._f_y.shape[1], params.z_r_dim,
            0 if params.variant == "naive" else params.z_v_dim, generator,
            initialization=params.initialization, output=params.output_activation,
        )

    def _training(self, f_x: Tensor, y: Tensor, generator: torch.Generator) -> Epoch:
        """Makes what trains an epoch: autograd, or the gradients written out."""
        params, vae, n = self.params, self._vae, len(f_x)
        discriminator = Discriminator(
            vae.z_r_dim + vae.z_v_dim, generator, params.initialization
        ) if params.variant == "fd+tc" else None

        if params.engine == "fast":
            seen = torch.from_numpy(self.seen_classes) if params.text_basis else None
            engine = Engine(vae, discriminator, generator, params, f_x=f_x, y=y,
                            text=TextCoordinates(self._f_y, seen))
            starts = range(0, n, params.batch_size)
            sizes = torch.tensor([min(params.batch_size, n - k) for k in starts])

            def fast(epoch: int, on_step: Callable[[], None]) -> list[float]:
                weights = torch.stack([
                    weights_at(params, epoch, k, n).vector(torch.float64)[2:] for k in starts])
                terms = torch.cat([engine.epoch(weights, on_step), weights[:, 2:3]], dim=1)
                engine.write()
                self.discriminator_steps = engine.discriminator_steps
                return ((sizes[:, None] * terms).sum(dim=0) / n).tolist()

            return fast

        trainer = Trainer(vae, discriminator, generator, params)

        def step(rows: Tensor, epoch: int, k: int) -> Tensor:
            if k == 0:
                trainer.start_epoch()
            weights = weights_at(params, epoch, k, n)
            terms = trainer.step(f_x[rows], self._f_y[y[rows]], weights)
            self.discriminator_steps = trainer.discriminator_steps
            return torch.cat([terms, terms.new_tensor([weights.lambda_1])])

        return shuffled_batches(
            step, len(trainer.names) + 2, n, params.batch_size, generator)

    def _keep_seen(self, f_x: Tensor, y: Tensor) -> None:
        generator = torch.Generator().manual_seed(self.params.seed + _SEEN_STREAM)
        self._z_seen = draw_seen(
            self._vae, f_x, y, self.seen_classes, self.params.joint_samples, generator,
            self.params.noise,
        )

    @torch.no_grad()
    def _draw_text(self, classes: np.ndarray, count: int, generator: torch.Generator) -> Tensor:
        mean, log_variance = self._vae.encoder_y(self._f_y[torch.from_numpy(classes)])
        rows = torch.arange(len(classes)).repeat_interleave(count)
        return sample_gaussian(mean[rows], log_variance[rows], generator, self.params.noise)

    def _forget(self) -> None:
        for name in ("_vae", "_z_seen", "history", "seen_classes", "discriminator_steps"):
            self.__dict__.pop(name, None)
        self._forget_classifiers()

    def _forget_classifiers(self) -> None:
        for name in ("_unseen_classifier", "_joint", "unseen_classes"):
            self.__dict__.pop(name, None)

    def _fitted(self) -> AlignedVAE:
        if not hasattr(self, "_vae"):
            raise BadInput("sa_dvae: call fit first")
        return self._vae

    def _require_classifier(self, caller: str) -> None:
        self._fitted()
        if not hasattr(self, "_unseen_classifier"):
            raise BadInput(f"sa_dvae: call fit_unseen_classifier before {caller}")

    def _checked(self, f_x: np.ndarray) -> Tensor:
        columns = self._fitted().encoder_x.linear.in_features
        return torch.from_numpy(check_features(f_x, "f_x", columns))
