"""What CADA-VAE, SynSE and SA-DVAE share: training, and classifiers on latents."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import Self

from zskel.zsl.classifiers import SeenClassifier, fit_linear_softmax
from zskel.zsl.methods.base import (
    EpochHook,
    Latents,
    Progress,
    RecipeParams,
    State,
    ZeroShotMethod,
)
from zskel.zsl.methods.checks import (
    TextFeatures,
    check_features,
    check_training_texts,
    check_unseen,
)
from zskel.zsl.methods.saving import module_arrays, restore_module
from zskel.zsl.methods.training import Epoch, rows_in_turn, run_epochs, steps_of
from zskel.zsl.threads import single_threaded
from zskel.zsl.vae import Initialization, Noise, Output, activate, initialize, sample_gaussian

#: The name of the only text, where a method takes one a class.
WHOLE = "y"

# Added to the seed for draws after training, so that they do not depend on how
# much was drawn before: the same classes give the same classifiers, whatever was
# called first.
_CLASSIFIER_STREAM, _SEEN_STREAM, _JOINT_STREAM = 1 << 32, 2 << 32, 3 << 32


class LatentParams(RecipeParams):
    """Parameters that all of them have.

    Attributes:
        epochs, batch_size, learning_rate: Of the networks, trained by Adam.
        classifier_samples: Draws of text latents per unseen class to train C_u on.
        classifier_epochs, classifier_learning_rate: Of C_u, full batch.
        seed: Of every draw: initial weights, order of samples, noise.
        noise: Of every latent drawn, for the classifiers too; see
            :func:`zskel.zsl.vae.sample_gaussian`.
        output_activation: After all decoders.
        classifier_activation: After C_u's layer, before its softmax. With "relu"
            it starts from drawn weights instead of zeros, which a ReLU would
            never leave.
    """

    epochs: int = Field(30, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    classifier_samples: int = Field(500, ge=1)
    classifier_epochs: int = Field(300, ge=1)
    classifier_learning_rate: float = Field(1e-3, gt=0)
    noise: Noise = "dimension"
    output_activation: Output = "linear"
    classifier_activation: Output = "linear"


class LatentMethod(ZeroShotMethod):
    """A method whose networks put skeletons and texts into one latent space.

    Skeletons become Gaussians of z_x = z_v (+) z_r, texts of z_y, which is
    aligned with z_r; most methods have no z_v. Text features are scaled to unit
    length inside, skeleton features are used as given. On one machine the result
    is the same to the bit for the same seed, and no global random state is read
    or changed.
    """

    params: LatentParams
    _networks: nn.Module
    _networks_name: ClassVar[str] = "vaes"  # in files
    _learned = (*ZeroShotMethod._learned, "_networks", "_texts", "_f_x_dim", "_z_seen",
                "_unseen_classifier", "_joint")

    @property
    @abstractmethod
    def _z_dims(self) -> tuple[int, int]:
        """Widths of z_v and of z_r."""

    @property
    @abstractmethod
    def _joint_samples(self) -> tuple[int, int]:
        """Draws per class for ``predict_joint_proba``: of a seen one, of an unseen one."""

    @abstractmethod
    def _new_networks(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> nn.Module:
        """The networks with drawn weights, from the widths of f_x and of each text."""

    @abstractmethod
    def _training(
        self, f_x: Tensor, y: Tensor, generator: torch.Generator
    ) -> tuple[Sequence[str], Epoch]:
        """Names of the loss terms, and what trains the networks for an epoch.

        Args:
            f_x: ``[N, D]``.
            y: ``[N]`` class ids.
            generator: Of every draw.
        """

    @abstractmethod
    def _encode(self, f_x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of z_x ``[N, V + R]`` of ``[N, D]``."""

    @abstractmethod
    def _encode_text(self, texts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and log variance of z_y ``[C, R]`` of each text part's ``[C, Dt]``."""

    def _sample_text(
        self, mean: Tensor, log_variance: Tensor, generator: torch.Generator
    ) -> Tensor:
        """A draw of z_y."""
        return sample_gaussian(mean, log_variance, generator, self.params.noise)

    def _initialization(self) -> Initialization:
        """Of C_u, where it starts from drawn weights."""
        return "uniform"

    def _new_joint_classifier(self) -> SeenClassifier:
        """Unfitted, for ``predict_joint_proba``."""
        return SeenClassifier()

    @property
    def variant(self) -> str:
        """The recipe."""
        return self.params.recipe

    def steps(self, samples: int) -> int:
        """Training steps that ``fit`` takes on so many samples."""
        return steps_of(samples, self.params.epochs, self.params.batch_size)

    @single_threaded()
    def fit(
        self,
        f_x: np.ndarray,
        y: np.ndarray,
        f_y: TextFeatures,
        *,
        seen_classes: Sequence[int],
        on_progress: Progress | None = None,
        on_epoch: EpochHook | None = None,
    ) -> Self:
        """Trains the networks. See :meth:`ZeroShotMethod.fit`."""
        f_x, y, texts, seen = check_training_texts(
            f_x, y, f_y, seen_classes, self.text_parts, WHOLE)
        self._forget()
        self.seen_classes, self.history = seen, {}
        self._texts = {name: torch.as_tensor(text) for name, text in texts.items()}
        generator = torch.Generator().manual_seed(self.params.seed)
        self._f_x_dim = f_x.shape[1]
        self._networks = self._new_networks(self._f_x_dim, self._text_dims(), generator)
        features, labels = torch.as_tensor(f_x), torch.as_tensor(y)

        def after_epoch(epoch: int) -> None:
            if on_epoch is not None:
                self._keep_seen(features, labels)
                on_epoch(epoch)
                # What the hook has fitted belongs to weights that change again.
                self._forget_classifiers()

        try:
            terms, train = self._training(features, labels, generator)
            run_epochs(
                train, terms, method=self.name, epochs=self.params.epochs,
                steps=self.steps(len(f_x)), on_progress=on_progress, on_epoch=after_epoch,
                history=self.history,
            )
            self._keep_seen(features, labels)
        except BaseException:
            self._forget()
            raise
        return self

    @torch.no_grad()
    def transform(self, f_x: np.ndarray) -> Latents:
        """Means of z_r and z_v for ``[N, D]``; without a z_v it has no columns.

        Raises:
            BadInput: Not fitted, wrong width, or non-finite values.
        """
        f = self._checked(f_x)
        mean_v, mean_r = self._encode(f)[0].split(self._z_dims, dim=-1)
        return Latents(z_r=mean_r.numpy().copy(), z_v=mean_v.numpy().copy())

    @single_threaded()
    def fit_unseen_classifier(self, unseen_classes: Sequence[int]) -> Self:
        """Trains C_u, a linear softmax, on draws of z_y from the text of these classes.

        Raises:
            BadInput: Not fitted, a class was seen in training, or it has no
                row in ``f_y``.
        """
        self._require_fit()
        params, initialization = self.params, self._initialization()
        count = len(next(iter(self._texts.values())))
        unseen = check_unseen(unseen_classes, count, self.seen_classes)
        self._forget_classifiers()
        generator = torch.Generator().manual_seed(params.seed + _CLASSIFIER_STREAM)
        relu, initial = params.classifier_activation == "relu", None
        if relu or initialization != "uniform":
            initial = nn.utils.skip_init(nn.Linear, self._z_dims[1], len(unseen))
            initialize(initial, generator, initialization)
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
        """p_u ``[N, U]``: C_u on the mean of z_r.

        Raises:
            BadInput: No unseen classifier yet, wrong width, or non-finite values.
        """
        self._require_fit("predict_proba")
        logits = self._unseen_classifier(torch.as_tensor(self.transform(f_x).z_r))
        return activate(logits, self.params.classifier_activation).double().softmax(-1).numpy()

    @single_threaded()
    def predict_joint_proba(self, f_x: np.ndarray) -> np.ndarray:
        """``[N, S + U]``: one softmax over latents of seen and unseen classes.

        CADA-VAE's way (Schoenfeld et al., CVPR 2019): seen classes give draws of
        their training clips' z_r, unseen ones draws of their text's z_y. Draws
        rather than means, because without the noise of one side the softmax would
        tell the sides apart. The layer is fitted as C_s is (see
        :class:`zskel.zsl.classifiers.SeenClassifier`) when first asked for: on many
        classes that takes seconds.

        Raises:
            BadInput: As :meth:`predict_proba`.
        """
        self._require_fit("predict_joint_proba")
        if not hasattr(self, "_joint"):
            generator = torch.Generator().manual_seed(self.params.seed + _JOINT_STREAM)
            of_seen, of_unseen = self._joint_samples
            z_y = self._draw_text(self.unseen_classes, of_unseen, generator)
            counts = [of_seen] * len(self.seen_classes) + [of_unseen] * len(self.unseen_classes)
            self._joint = self._new_joint_classifier().fit(
                np.concatenate([self._z_seen, z_y.numpy()]),
                np.repeat(np.arange(len(counts)), counts),
            )
        return self._joint.predict_proba(self.transform(f_x).z_r)

    def state(self) -> State:
        """Weights, texts, classes and seen latents; the joint classifier is fitted anew."""
        self._require_fit()
        arrays = {
            **module_arrays(self._networks, self._networks_name),
            **{array: self._texts[part or WHOLE].numpy()
               for part, array in self._text_arrays().items()},
            "seen_classes": self.seen_classes, "z_seen": self._z_seen,
        }
        if "unseen_classes" in self.__dict__:
            arrays |= module_arrays(self._unseen_classifier, "unseen_classifier")
            arrays["unseen_classes"] = self.unseen_classes
        history = {name: list(values) for name, values in self.history.items()}
        return State(arrays, {"history": history, "f_x_dim": self._f_x_dim})

    def restore(self, state: State) -> None:
        """Takes over the state of another method with the same parameters."""
        arrays = state.arrays
        self._forget()
        self._texts = {part or WHOLE: torch.as_tensor(arrays[array].copy())
                       for part, array in self._text_arrays().items()}
        self._f_x_dim = state.values["f_x_dim"]
        networks = self._new_networks(self._f_x_dim, self._text_dims(), torch.Generator())
        restore_module(networks, self._networks_name, arrays)
        seen, z_seen = arrays["seen_classes"].copy(), arrays["z_seen"].copy()
        if z_seen.shape != (len(seen) * self._joint_samples[0], self._z_dims[1]):
            raise ValueError(f"z_seen has shape {list(z_seen.shape)}")
        if "unseen_classes" in arrays:
            layer = nn.Linear(self._z_dims[1], len(arrays["unseen_classes"]))
            restore_module(layer, "unseen_classifier", arrays)
            self._unseen_classifier = layer
            self.unseen_classes = arrays["unseen_classes"].copy()
        self.history = state.values["history"]
        self._networks, self.seen_classes, self._z_seen = networks, seen, z_seen

    def _text_arrays(self) -> dict[str, str]:
        return {part: f"text.{part}" for part in self.text_parts} or {"": f"text.{WHOLE}"}

    def _text_dims(self) -> dict[str, int]:
        return {name: text.shape[1] for name, text in self._texts.items()}

    def _text_of(self, classes: np.ndarray) -> dict[str, Tensor]:
        return {name: text[torch.as_tensor(classes)] for name, text in self._texts.items()}

    @torch.no_grad()
    def _draw_text(self, classes: np.ndarray, count: int, generator: torch.Generator) -> Tensor:
        mean, log_variance = self._encode_text(self._text_of(classes))
        rows = torch.arange(len(classes)).repeat_interleave(count)
        return self._sample_text(mean[rows], log_variance[rows], generator)

    @torch.no_grad()
    def _keep_seen(self, f_x: Tensor, y: Tensor) -> None:
        """Draws z_r of training clips, as many of each seen class, its clips in turn."""
        generator = torch.Generator().manual_seed(self.params.seed + _SEEN_STREAM)
        rows = rows_in_turn(y, self.seen_classes, self._joint_samples[0], generator)
        (_, mean), (_, log_variance) = (
            part.split(self._z_dims, dim=-1) for part in self._encode(f_x[rows]))
        self._z_seen = sample_gaussian(mean, log_variance, generator, self.params.noise).numpy()

    def _forget_classifiers(self) -> None:
        for name in ("_unseen_classifier", "_joint", "unseen_classes"):
            self.__dict__.pop(name, None)

    def _checked(self, f_x: np.ndarray) -> Tensor:
        self._require_fit()
        return torch.as_tensor(check_features(f_x, "f_x", self._f_x_dim))
