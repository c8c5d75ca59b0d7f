"""What ridge, ESZSL and ConSE share: no training by steps, scores from linear algebra.

Their scores are no probabilities, and they have a penalty or the like. Both
are settled inside the training data, on left-out seen classes: see
:mod:`zskel.zsl.methods.class_folds`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field
from scipy.special import softmax
from typing_extensions import Self

from zskel.data.common.errors import BadInput
from zskel.zsl.linear import unit_or_zero
from zskel.zsl.methods.base import (
    EpochHook,
    Latents,
    MethodParams,
    Progress,
    State,
    ZeroShotMethod,
)
from zskel.zsl.methods.checks import (
    TextFeatures,
    check_features,
    check_training_data,
    unit_rows,
)
from zskel.zsl.methods.class_folds import Arrays, Fold, Problem, best_temperature, class_folds
from zskel.zsl.methods.scoring import ScoringMethod, aligned
from zskel.zsl.threads import single_threaded

Setting = tuple[float, ...]


class ClosedFormParams(MethodParams):
    """Parameters that all of them have.

    Attributes:
        folds: Of the seen classes; fewer where there are fewer than two
            classes a fold.
        temperature: Of the softmax over scores; None chooses it.
        seed: Of the division into folds. Nothing else is drawn.
    """

    folds: int = Field(5, ge=2)
    temperature: float | None = Field(None, gt=0)


class ClosedFormMethod(ScoringMethod):
    """A method whose scores have a closed form.

    Skeleton features are centred and
    divided by one number, the root of their mean squared norm, so that a
    penalty means the same whatever their scale. All algebra is in float64, and
    the result does not depend on the order of the rows beyond rounding, nor on a
    rotation of the features: so those wider than there are clips are turned into
    the span of the training clips first, see :func:`turned`.

    Args:
        **params: See ``params_model``.

    Attributes:
        params: The checked parameters.
        setting: The penalties in use; after ``fit``.
        temperature: The one in use; after ``fit``.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    params_model: ClassVar[type[ClosedFormParams]] = ClosedFormParams
    params: ClosedFormParams
    setting: Setting
    temperature: float
    _learned = (*ZeroShotMethod._learned, "_model", "_text", "setting", "temperature")

    def _settings(self) -> list[Setting]:
        """The penalties to choose from."""
        return [()]

    @abstractmethod
    def _summarize(self, problem: Problem) -> Arrays:
        """What ``_solve`` needs of the training data, whatever the penalties."""

    @abstractmethod
    def _solve(self, summary: Arrays, setting: Setting) -> Arrays:
        """What ``_embed`` and ``_scores`` need."""

    @abstractmethod
    def _embed(self, model: Arrays, x: np.ndarray) -> np.ndarray:
        """Standardized skeletons ``[N, D]`` in the space of the texts, ``[N, Dt]``."""

    @abstractmethod
    def _scores(self, model: Arrays, x: np.ndarray, text: np.ndarray) -> np.ndarray:
        """``[N, C]``: how well each class's text ``[C, Dt]`` fits ``[N, D]``."""

    def _prepare(self, f_x: np.ndarray) -> np.ndarray:
        """Skeleton features ``[N, D]`` before they are standardized."""
        return f_x

    def _class_scores(self, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """``[N, C]`` for known classes, seen ones too, of standardized skeletons."""
        return self._scores(self._model, x, self._text[classes])

    def steps(self, samples: int) -> int:
        """1: there are no steps."""
        return 1

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
        """Chooses penalties and temperature and solves. See :meth:`ZeroShotMethod.fit`."""
        f_x, y, f_y, seen = check_training_data(f_x, y, f_y, seen_classes)
        self._forget()
        raw = self._prepare(f_x.astype(np.float64))
        mean = raw.mean(axis=0)
        scale = float(np.sqrt(np.mean(np.sum((raw - mean) ** 2, axis=1))))
        if not np.isfinite(scale):
            raise BadInput(f"{self.name}: f_x is too large to be squared; check its scale")
        text = unit_rows(f_y.astype(np.float64))
        x = (raw - mean) / (scale or 1.0)
        basis = {"basis": np.linalg.qr(x.T)[0]} if len(x) < x.shape[1] else {}
        problem = Problem(
            turned(x, **basis), np.searchsorted(seen, y), text[seen], x.shape[1])
        self.setting, self.temperature, loss = self._choose(problem)
        self.seen_classes, self._text = seen, text
        self._model = {"mean": mean, "scale": np.array(scale or 1.0), **basis,
                       **self._solve(self._summarize(problem), self.setting)}
        self.history = {"loss": [loss]}
        if on_progress is not None:
            on_progress(1, 1)
        if on_epoch is not None:
            on_epoch(0)
            self.__dict__.pop("unseen_classes", None)
        return self

    def transform(self, f_x: np.ndarray) -> Latents:
        """Skeletons in the space of the texts as z_r; z_v has no columns.

        Raises:
            BadInput: Not fitted, wrong width, or non-finite values.
        """
        x = self._standardized(f_x)
        z_r = self._embed(self._model, x).astype(np.float32)
        return aligned(z_r)

    def evidence(self, f_x: np.ndarray) -> dict[str, np.ndarray]:
        """``score_seen`` and ``score_unseen`` ``[N]``: the best score of either side.

        Raises:
            BadInput: As :meth:`predict_proba`.
        """
        self._require_fit("evidence")
        x = self._standardized(f_x)
        return {
            f"score_{side}": self._class_scores(x, classes).max(axis=1)
            for side, classes in (("seen", self.seen_classes), ("unseen", self.unseen_classes))
        }

    def _text_arrays(self) -> dict[str, str]:
        return {"": "text"}

    def state(self) -> State:
        """Solution, texts and classes."""
        self._require_fit()
        arrays = {f"model.{name}": array for name, array in self._model.items()}
        arrays |= {"text": self._text, "seen_classes": self.seen_classes}
        if "unseen_classes" in self.__dict__:
            arrays["unseen_classes"] = self.unseen_classes
        return State(arrays, {"setting": list(self.setting), "temperature": self.temperature,
                              "history": self.history})

    def restore(self, state: State) -> None:
        """Takes over the state of another method with the same parameters."""
        arrays = {name: array.copy() for name, array in state.arrays.items()}
        self._forget()
        text, seen = arrays.pop("text"), arrays.pop("seen_classes")
        unseen = arrays.pop("unseen_classes", None)
        model = {name.removeprefix("model."): array for name, array in arrays.items()}
        if not {"mean", "scale"} <= set(model) or len(seen) > len(text):
            raise ValueError(f"arrays are {sorted(arrays)}")
        self.setting, self.temperature = tuple(state.values["setting"]), state.values["temperature"]
        self.history = state.values["history"]
        self._model, self._text, self.seen_classes = model, text, seen
        if unseen is not None:
            self.unseen_classes = unseen

    def _choose(self, problem: Problem) -> tuple[Setting, float, float]:
        """Setting, temperature and their log loss over all folds; 0 with nothing to choose."""
        settings, given = self._settings(), self.params.temperature
        if len(settings) == 1 and given is not None:
            return settings[0], given, 0.0
        folds = [
            Fold.of(self._summarize, problem, classes)
            for classes in class_folds(len(problem.text), self.params.folds, self.params.seed)
        ]
        if not folds:
            # Nothing can play the unseen classes.
            return settings[0], given or 1.0, 0.0
        best: tuple[Setting, float, float] | None = None
        for setting in settings:
            held_out = [
                (self._scores(self._solve(fold.summary, setting), fold.x, fold.text), fold.columns)
                for fold in folds
            ]
            temperature, loss = best_temperature(held_out, given)
            if best is None or loss < best[2]:
                best = setting, temperature, loss
        assert best is not None
        return best

    def _standardized(self, f_x: np.ndarray) -> np.ndarray:
        self._require_fit()
        model = self._model
        f_x = check_features(f_x, "f_x", len(model["mean"]))
        x = (self._prepare(f_x.astype(np.float64)) - model["mean"]) / model["scale"]
        return turned(x, model.get("basis"))

    @property
    def _known_classes(self) -> int:
        return len(self._text)

    @single_threaded()
    def _proba(self, f_x: np.ndarray, classes: np.ndarray) -> np.ndarray:
        scores = self._class_scores(self._standardized(f_x), classes)
        return softmax(scores / self.temperature, axis=1)


def turned(x: np.ndarray, basis: np.ndarray | None = None) -> np.ndarray:
    """Rows in an orthonormal basis, and how long what is outside of it is.

    Nothing that a method learns lies outside of the span of its training clips, so of a
    clip's part there the length alone can matter.

    Args:
        x: ``[N, D]``.
        basis: ``[D, K]``; None: all D axes, and nothing is outside.

    Returns:
        ``[N, K + 1]``, or x.

    >>> turned(np.array([[5.0, 3.0, 4.0]]), np.array([[1.0], [0.0], [0.0]])).tolist()
    [[5.0, 5.0]]
    """
    if basis is None:
        return x
    inside = x @ basis
    outside = np.linalg.norm(x - inside @ basis.T, axis=1, keepdims=True)
    return np.hstack([inside, outside])


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``[N, C]`` cosines of rows; 0 where a row is all zeros.

    >>> cosines(np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[1.0, 0.0]])).tolist()
    [[0.6], [0.0]]
    """
    return unit_or_zero(a) @ unit_or_zero(b).T
