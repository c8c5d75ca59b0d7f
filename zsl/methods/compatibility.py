"""Methods that learn how well a clip and the text of a class go together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import Self

from zskel.zsl.methods.base import (
    EpochHook,
    Latents,
    MethodParams,
    Progress,
    State,
    ZeroShotMethod,
)
from zskel.zsl.methods.checks import (
    TOKENS,
    WHOLE,
    TextFeatures,
    check_features,
    check_training_texts,
)
from zskel.zsl.methods.saving import module_arrays, restore_module
from zskel.zsl.methods.scoring import ScoringMethod, aligned
from zskel.zsl.methods.training import Step, run_epochs, shuffled_batches, steps_of
from zskel.zsl.threads import single_threaded

Text = Mapping[str, Tensor]
"""Unit rows ``[K, Dt]`` for each part of the text; "f_y" where it has no parts.

"tokens" ``[K, L, Dl]`` beside it, where the method reads them and they are there.
"""


class TrainingParams(MethodParams):
    """What every method here is trained with.

    Attributes:
        epochs, batch_size, learning_rate: Of the optimizer.
    """

    epochs: int = Field(30, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(1e-3, gt=0)


class CompatibilityMethod(ScoringMethod):
    """A score that a network learns.

    A subclass builds a network, says what a training step is, and scores; one whose
    ``fit`` takes more than others' trains between ``_begin`` and ``_train``. All that
    ``save`` keeps is that network's parameters, the texts and the class ids.

    Args:
        **params: Of ``params_model``.

    Attributes:
        params_model: The class of the parameters.
        params: The checked parameters.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    params_model: ClassVar[type[TrainingParams]] = TrainingParams
    params: TrainingParams
    _learned = (*ZeroShotMethod._learned, "_net", "_text", "_f_x_dim")

    def steps(self, samples: int) -> int:
        """Training steps that ``fit`` takes on so many samples."""
        return steps_of(samples, self.params.epochs, self.params.batch_size)

    @abstractmethod
    def _build(
        self, f_x_dim: int, text_dims: Mapping[str, int], generator: torch.Generator
    ) -> nn.Module:
        """A network with drawn weights."""

    @abstractmethod
    def _score(self, f_x: Tensor, text: Text) -> Tensor:
        """Compatibility ``[N, K]`` of f_x ``[N, D]`` with K class texts, as logits."""

    @abstractmethod
    def _embed(self, f_x: Tensor) -> Tensor:
        """Where the network puts ``[N, D]`` skeletons to compare them with texts."""

    def _training(
        self, f_x: Tensor, columns: Tensor, generator: torch.Generator
    ) -> tuple[Sequence[str], Step]:
        """Names of the loss terms, and one optimizer step that tells them.

        Args:
            f_x: ``[N, D]``, as the network reads it.
            columns: ``[N]``, each row's place among ``seen_classes``.
            generator: Of every draw.
        """
        raise NotImplementedError

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
        """Trains the network. See :meth:`ZeroShotMethod.fit`."""
        generator = torch.Generator().manual_seed(self.params.seed)
        features, columns = self._begin(f_x, y, f_y, seen_classes, generator)
        names, step = self._training(features, columns, generator)
        return self._train(step, names, len(features), generator, on_progress, on_epoch)

    def _input(self, f_x: np.ndarray) -> np.ndarray:
        """What the network reads of checked features; as they are, unless overridden."""
        return f_x

    def _begin(
        self, f_x: np.ndarray, y: np.ndarray, f_y: TextFeatures, seen_classes: Sequence[int],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Checks the training data, builds the network.

        Returns:
            The network's input ``[N, D]`` and y ``[N]`` as columns of ``seen_classes``.

        Raises:
            BadInput: See :meth:`ZeroShotMethod.fit`.
        """
        f_x, y, parts, seen = check_training_texts(
            f_x, y, f_y, seen_classes, self.text_parts, WHOLE, self.reads_tokens)
        self.seen_classes = seen
        self._text = {name: torch.as_tensor(part) for name, part in parts.items()}
        self.__dict__.pop("unseen_classes", None)
        self._f_x_dim = f_x.shape[1]
        self._net = self._build(self._f_x_dim, self._text_dims(), generator)
        columns = np.searchsorted(self.seen_classes, y)
        return torch.as_tensor(self._input(f_x)), torch.as_tensor(columns)

    def _train(
        self, step: Step, terms: Sequence[str], samples: int, generator: torch.Generator,
        on_progress: Progress | None, on_epoch: EpochHook | None,
    ) -> Self:
        """:func:`zskel.zsl.methods.training.run_epochs` with the parameters' epochs and batches."""
        train = shuffled_batches(step, len(terms), samples, self.params.batch_size, generator)
        self.history = run_epochs(
            train, terms, method=self.name, epochs=self.params.epochs, steps=self.steps(samples),
            on_progress=on_progress, on_epoch=on_epoch,
        )
        return self

    def _text_of(self, classes: np.ndarray) -> dict[str, Tensor]:
        rows = torch.as_tensor(np.asarray(classes))
        return {name: part[rows] for name, part in self._text.items()}

    def evidence(self, f_x: np.ndarray) -> dict[str, np.ndarray]:
        """``seen_margin``: the best score of a seen class less that of an unseen one."""
        self._require_fit("evidence")
        scores = self._scores(f_x, self._all_classes).numpy()
        count = len(self.seen_classes)
        return {"seen_margin": scores[:, :count].max(axis=1) - scores[:, count:].max(axis=1)}

    @torch.no_grad()
    def transform(self, f_x: np.ndarray) -> Latents:
        """z_r, the embedding that is compared with the text's; z_v has no columns.

        Raises:
            BadInput: Not fitted, wrong width, or non-finite values.
        """
        z_r = self._embed(self._checked(f_x)).numpy().copy()
        return aligned(z_r)

    def _text_arrays(self) -> dict[str, str]:
        if TOKENS in self._text:
            return {part: f"text.{part}" for part in (WHOLE, TOKENS)}
        return {part: f"text.{part}" for part in self.text_parts} or {"": f"text.{WHOLE}"}

    def state(self) -> State:
        """See :meth:`ZeroShotMethod.state`."""
        self._require_fit()
        arrays = module_arrays(self._net, "net")
        arrays.update({f"text.{name}": part.numpy() for name, part in self._text.items()})
        arrays["seen_classes"] = self.seen_classes
        if "unseen_classes" in self.__dict__:
            arrays["unseen_classes"] = self.unseen_classes
        return State(arrays, {"f_x_dim": self._f_x_dim, "history": self.history})

    def restore(self, state: State) -> None:
        """See :meth:`ZeroShotMethod.restore`."""
        arrays = state.arrays
        names = self.text_parts or (WHOLE, TOKENS)[:1 + (f"text.{TOKENS}" in arrays)]
        self._text = {name: torch.as_tensor(arrays[f"text.{name}"].copy()) for name in names}
        self._f_x_dim, self.history = state.values["f_x_dim"], state.values["history"]
        self._net = self._build(self._f_x_dim, self._text_dims(), torch.Generator())
        restore_module(self._net, "net", arrays)
        self.seen_classes = arrays["seen_classes"]
        self.__dict__.pop("unseen_classes", None)
        if "unseen_classes" in arrays:
            self.unseen_classes = arrays["unseen_classes"]

    def _text_dims(self) -> dict[str, int]:
        return {name: part.shape[-1] for name, part in self._text.items()}

    @property
    def _known_classes(self) -> int:
        return len(next(iter(self._text.values())))

    def _proba(self, f_x: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return self._scores(f_x, classes).double().softmax(dim=-1).numpy()

    @torch.no_grad()
    def _scores(self, f_x: np.ndarray, classes: np.ndarray) -> Tensor:
        return self._score(self._checked(f_x), self._text_of(classes))

    def _checked(self, f_x: np.ndarray) -> Tensor:
        self._require_fit()
        return torch.as_tensor(self._input(check_features(f_x, "f_x", self._f_x_dim)))
