"""What CADA-VAE and SynSE share: training, and classifiers on latents."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import Self

from zskel.data.common.errors import BadInput
from zskel.zsl.classifiers import SeenClassifier, fit_linear_softmax
from zskel.zsl.methods.base import (
    EpochHook,
    Latents,
    Progress,
    State,
    ZeroShotMethod,
    check_features,
    check_unseen,
)
from zskel.zsl.methods.saving import module_arrays, restore_module
from zskel.zsl.methods.text_vae import TERMS, TextVAEs
from zskel.zsl.methods.training import rows_in_turn, run_epochs, shuffled_batches, steps_of
from zskel.zsl.threads import single_threaded
from zskel.zsl.vae import activate, initialize, sample_gaussian

# Added to the seed for draws after training, so that they do not depend on how
# much was drawn before: the same classes give the same classifiers.
_CLASSIFIER_STREAM, _SEEN_STREAM, _JOINT_STREAM = 1 << 32, 2 << 32, 3 << 32


class LatentMethod(ZeroShotMethod):
    """A method whose VAEs put skeletons and texts into one latent space.

    Text features are scaled to unit length inside, skeleton features are used
    as given. On one machine the result is the same to the bit for the same
    seed, and no global random state is read or changed.

    Attributes:
        params: The checked parameters.
    """

    terms: ClassVar[tuple[str, ...]] = TERMS
    params: Any

    @abstractmethod
    def _new_vaes(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> TextVAEs:
        """The networks, from the widths of f_x and of each text."""

    @abstractmethod
    def _weights(self, step: int, steps: int) -> tuple[float, ...]:
        """The weight of each of ``terms`` after ``step`` of all ``steps``."""

    @property
    def variant(self) -> str:
        """The recipe."""
        return str(self.params.recipe)

    def steps(self, samples: int) -> int:
        """Training steps that ``fit`` takes on so many samples."""
        return steps_of(samples, self.params.epochs, self.params.batch_size)

    @single_threaded()
    def _fit(
        self,
        f_x: np.ndarray,
        y: np.ndarray,
        texts: Mapping[str, np.ndarray],
        seen: np.ndarray,
        on_progress: Progress | None,
        on_epoch: EpochHook | None,
    ) -> Self:
        """Trains the VAEs on checked arrays; ``texts`` are unit rows by part."""
        self._forget()
        params, n = self.params, len(f_x)
        self.seen_classes = seen
        self._texts = {name: torch.from_numpy(text) for name, text in texts.items()}
        generator = torch.Generator().manual_seed(params.seed)
        dims = {name: text.shape[1] for name, text in texts.items()}
        vaes = self._vaes = self._new_vaes(f_x.shape[1], dims, generator)
        optimizer = torch.optim.Adam(vaes.parameters(), lr=params.learning_rate, fused=True)
        features, labels = torch.from_numpy(f_x), torch.from_numpy(y)
        batches = -(-n // params.batch_size)

        def step(rows: Tensor, epoch: int, k: int) -> Tensor:
            weights = self._weights(epoch * batches + k // params.batch_size, self.steps(n))
            terms = vaes.terms(
                features[rows], {name: text[labels[rows]] for name, text in self._texts.items()},
                generator, noise=params.noise, reconstruction=params.reconstruction,
            )[: len(self.terms)]
            loss = torch.dot(terms, torch.tensor(weights))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return torch.cat([terms.detach(), loss.detach()[None]])

        def after_epoch(epoch: int) -> None:
            assert on_epoch is not None
            self._keep_seen(features, labels)
            on_epoch(epoch)
            # What the hook has fitted belongs to weights that change again.
            self._forget_classifiers()

        try:
            self.history = run_epochs(
                shuffled_batches(step, len(self.terms) + 1, n, params.batch_size, generator),
                (*self.terms, "loss"), method=self.name, samples=n, epochs=params.epochs,
                batch_size=params.batch_size, on_progress=on_progress,
                on_epoch=after_epoch if on_epoch is not None else None,
            )
        except BaseException:
            self._forget()
            raise
        self._keep_seen(features, labels)
        return self

    @torch.no_grad()
    def transform(self, f_x: np.ndarray) -> Latents:
        """Means of the latents as z_r; z_v has no columns.

        Raises:
            BadInput: Not fitted, wrong width, or non-finite values.
        """
        mean, _ = self._fitted().skeleton.encode(self._checked(f_x))
        return Latents(z_r=mean.numpy().copy(), z_v=np.zeros((len(mean), 0), np.float32))

    @single_threaded()
    def fit_unseen_classifier(self, unseen_classes: Sequence[int]) -> Self:
        """Trains C_u, a linear softmax, on draws of the latents of these classes' text.

        Raises:
            BadInput: Not fitted, a class was seen in training, or it has no
                row in ``f_y``.
        """
        self._fitted()
        params = self.params
        count = len(next(iter(self._texts.values())))
        unseen = check_unseen(unseen_classes, count, self.seen_classes)
        self._forget_classifiers()
        generator = torch.Generator().manual_seed(params.seed + _CLASSIFIER_STREAM)
        relu, initial = params.classifier_activation == "relu", None
        if relu:
            initial = nn.utils.skip_init(nn.Linear, params.latent_dim, len(unseen))
            initialize(initial, generator)
        self._unseen_classifier = fit_linear_softmax(
            self._draw_text(unseen, params.classifier_samples, generator),
            torch.arange(len(unseen)).repeat_interleave(params.classifier_samples),
            epochs=params.classifier_epochs, learning_rate=params.classifier_learning_rate,
            initial=initial, relu=relu,
        )
        self.unseen_classes = unseen
        return self

    @torch.no_grad()
    def predict_proba(self, f_x: np.ndarray) -> np.ndarray:
        """``[N, U]``: C_u on the means of the latents.

        Raises:
            BadInput: No unseen classifier yet, wrong width, or non-finite values.
        """
        self._require_classifier("predict_proba")
        logits = self._unseen_classifier(torch.from_numpy(self.transform(f_x).z_r))
        return activate(logits, self.params.classifier_activation).double().softmax(-1).numpy()

    @single_threaded()
    def predict_joint_proba(self, f_x: np.ndarray) -> np.ndarray:
        """``[N, S + U]``: one softmax over latents of seen and unseen classes.

        Seen classes give draws of their training clips' latents, unseen ones
        draws of their text's. The layer is fitted as C_s is (see
        :class:`zskel.zsl.classifiers.SeenClassifier`) when first asked for.

        Raises:
            BadInput: As :meth:`predict_proba`.
        """
        self._require_classifier("predict_joint_proba")
        if not hasattr(self, "_joint"):
            params = self.params
            generator = torch.Generator().manual_seed(params.seed + _JOINT_STREAM)
            z_y = self._draw_text(self.unseen_classes, params.joint_unseen_samples, generator)
            counts = ([params.joint_seen_samples] * len(self.seen_classes)
                      + [params.joint_unseen_samples] * len(self.unseen_classes))
            self._joint = SeenClassifier().fit(
                np.concatenate([self._z_seen, z_y.numpy()]),
                np.repeat(np.arange(len(counts)), counts),
            )
        return self._joint.predict_proba(self.transform(f_x).z_r)

    @torch.no_grad()
    def evidence(self, f_x: np.ndarray) -> dict[str, np.ndarray]:
        """Float64 ``[N]`` each.

        - ``reconstruction_error``: squared distance of f_x from what its mean
          latent decodes to;
        - ``distance_seen``, ``distance_unseen``: 2-Wasserstein distance of its
          latent Gaussian from the nearest class's;
        - ``kl_r``: divergence of its latent Gaussian from the prior.

        Raises:
            BadInput: As :meth:`predict_proba`.
        """
        self._require_classifier("evidence")
        f = self._checked(f_x)
        mean, log_variance = self._vaes.skeleton.encode(f)
        gaussians = torch.cat([mean, torch.exp(0.5 * log_variance)], dim=-1)

        def nearest(classes: np.ndarray) -> Tensor:
            mean_y, log_variance_y = self._vaes.encode_text(self._rows(classes))
            others = torch.cat([mean_y, torch.exp(0.5 * log_variance_y)], dim=-1)
            return torch.cdist(gaussians, others).amin(dim=1)

        found = {
            "reconstruction_error": (self._vaes.skeleton.decode(mean) - f).square().sum(dim=1),
            "distance_seen": nearest(self.seen_classes),
            "distance_unseen": nearest(self.unseen_classes),
            "kl_r": 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1),
        }
        return {name: values.double().numpy() for name, values in found.items()}

    def _text_arrays(self) -> dict[str, str]:
        return {part: f"text.{part}" for part in self.text_parts} or {"": "text.y"}

    def state(self) -> State:
        """Weights, texts, classes and seen latents; the joint classifier is fitted anew."""
        arrays = {
            **module_arrays(self._fitted(), "vaes"),
            **{f"text.{name}": text.numpy() for name, text in self._texts.items()},
            "seen_classes": self.seen_classes, "z_seen": self._z_seen,
        }
        if hasattr(self, "_unseen_classifier"):
            arrays |= module_arrays(self._unseen_classifier, "unseen_classifier")
            arrays["unseen_classes"] = self.unseen_classes
        return State(arrays, {"history": self.history, "f_x_dim": self._vaes.skeleton.features})

    def restore(self, state: State) -> None:
        """Takes over the state of another method with the same parameters."""
        arrays, params = state.arrays, self.params
        self._forget()
        names = self.text_parts or ("y",)
        texts = {name: torch.from_numpy(arrays[f"text.{name}"].copy()) for name in names}
        dims = {name: text.shape[1] for name, text in texts.items()}
        vaes = self._new_vaes(state.values["f_x_dim"], dims, torch.Generator())
        restore_module(vaes, "vaes", arrays)
        seen, z_seen = arrays["seen_classes"].copy(), arrays["z_seen"].copy()
        if z_seen.shape != (len(seen) * params.joint_seen_samples, params.latent_dim):
            raise ValueError(f"z_seen has shape {list(z_seen.shape)}")
        if "unseen_classes" in arrays:
            layer = nn.Linear(params.latent_dim, len(arrays["unseen_classes"]))
            restore_module(layer, "unseen_classifier", arrays)
            self._unseen_classifier = layer
            self.unseen_classes = arrays["unseen_classes"].copy()
        self.history = state.values["history"]
        self._texts, self._vaes, self.seen_classes, self._z_seen = texts, vaes, seen, z_seen

    def _rows(self, classes: np.ndarray) -> dict[str, Tensor]:
        return {name: text[torch.from_numpy(classes)] for name, text in self._texts.items()}

    @torch.no_grad()
    def _draw_text(self, classes: np.ndarray, count: int, generator: torch.Generator) -> Tensor:
        mean, log_variance = self._vaes.encode_text(self._rows(classes))
        rows = torch.arange(len(classes)).repeat_interleave(count)
        return self._vaes.sample_text(mean[rows], log_variance[rows], generator, self.params.noise)

    @torch.no_grad()
    def _keep_seen(self, f_x: Tensor, y: Tensor) -> None:
        """Draws latents of training clips, as many of each seen class, its clips in turn."""
        generator = torch.Generator().manual_seed(self.params.seed + _SEEN_STREAM)
        rows = rows_in_turn(y, self.seen_classes, self.params.joint_seen_samples, generator)
        mean, log_variance = self._vaes.skeleton.encode(f_x[rows])
        self._z_seen = sample_gaussian(mean, log_variance, generator, self.params.noise).numpy()

    def _forget(self) -> None:
        for name in ("_vaes", "_texts", "_z_seen", "history", "seen_classes"):
            self.__dict__.pop(name, None)
        self._forget_classifiers()

    def _forget_classifiers(self) -> None:
        for name in ("_unseen_classifier", "_joint", "unseen_classes"):
            self.__dict__.pop(name, None)

    def _fitted(self) -> TextVAEs:
        if not hasattr(self, "_vaes"):
            raise BadInput(f"{self.name}: call fit first")
        return self._vaes

    def _require_classifier(self, caller: str) -> None:
        self._fitted()
        if not hasattr(self, "_unseen_classifier"):
            raise BadInput(f"{self.name}: call fit_unseen_classifier before {caller}")

    def _checked(self, f_x: np.ndarray) -> Tensor:
        return torch.from_numpy(check_features(f_x, "f_x", self._fitted().skeleton.features))
