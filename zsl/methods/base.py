"""What every zero-shot method offers."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.registry import nearest
from zskel.zsl.methods.checks import WHOLE, TextFeatures, check_features, unit_rows, unit_tokens
from zskel.zsl.model_file import METHOD, as_written, read_model_file, write_model_file

Progress = Callable[[int, int], None]
"""Called with the steps done so far and the steps in all."""

EpochHook = Callable[[int], None]
"""Called after each epoch with its number, from 0; the method can predict then."""


@dataclass(frozen=True)
class Latents:
    """Where a method puts skeletons.

    Attributes:
        z_r: Float32 ``[N, R]``, the part aligned with the text.
        z_v: Float32 ``[N, V]``, the rest; V is 0 for methods without one.
    """

    z_r: np.ndarray
    z_v: np.ndarray


@dataclass(frozen=True)
class State:
    """All that a fitted method is, apart from its parameters.

    Attributes:
        arrays: By name; weights, text features, class ids.
        values: JSON values.
    """

    arrays: dict[str, np.ndarray]
    values: dict[str, Any]


class MethodParams(BaseModel):
    """The parameters that every method has; those of a method are a subclass.

    Attributes:
        seed: Of every draw.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    seed: int = Field(0, ge=0, lt=1 << 32)


class RecipeParams(MethodParams):
    """Those of a method whose released code does not do what its paper says.

    The recipe only sets defaults: what is given explicitly wins, so that any
    mixture can be run.

    Attributes:
        recipe: "paper", or "released" for what the released code executes.
        released: What the recipe "released" sets.
    """

    released: ClassVar[Mapping[str, Any]] = {}

    recipe: Literal["paper", "released"] = "paper"

    @model_validator(mode="before")
    @classmethod
    def _recipe_sets_defaults(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("recipe") != "released":
            return given
        return {**cls.released, **given}


class ZeroShotMethod(ABC):
    """A method that learns from seen classes and names clips of unseen ones.

    It sees arrays and class ids, never a path. Class ids are rows of ``f_y``.
    ``fit`` comes first, then ``fit_unseen_classifier``, then ``predict_proba``.

    Args:
        **params: Of ``params_model``.

    Attributes:
        name: Its name in the registry.
        params_model: The class of its parameters.
        params: The checked parameters.
        text_parts: Names of the text features it takes instead of one f_y,
            such as ("verb", "noun"); ``f_y`` is then a mapping with these keys.
        extra_features: Names of further skeleton features ``[N, D]`` that
            ``fit`` takes as keywords, such as ("f_x_masked",).
        reads_tokens: Whether it takes the features of a class text's tokens where there
            are any; ``f_y`` is then a mapping of "f_y" and "tokens" ``[C, L, D]``, which are
            all zeros behind the end of a text.
        feature_views: Names of the feature views ``[N, ..., D]`` that it takes in place of
            f_x, such as ("joint_means", "frame_means"). "f_x" is then, everywhere, one row
            a clip with the values of all of them, one view after the other, and ``fit``
            takes their shapes by name, without N, as ``view_shapes``.
        faster_on_gpu: Whether a step of it is expected to be faster on a GPU, at the
            batch sizes that are published for it; ``benchmarks/gpu.py`` measures it.
        history: Mean of every loss term, one value an epoch; after ``fit``.
        seen_classes: Ascending; after ``fit``.
        unseen_classes: The columns of ``predict_proba``, ascending; after
            ``fit_unseen_classifier``.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name: ClassVar[str]
    params_model: ClassVar[type[MethodParams]] = MethodParams
    text_parts: ClassVar[tuple[str, ...]] = ()
    reads_tokens: ClassVar[bool] = False
    extra_features: ClassVar[tuple[str, ...]] = ()
    feature_views: ClassVar[tuple[str, ...]] = ()
    faster_on_gpu: ClassVar[bool] = False
    params: MethodParams
    history: dict[str, list[float]]
    seen_classes: np.ndarray
    unseen_classes: np.ndarray

    #: What a fit sets and a new one forgets.
    _learned: ClassVar[tuple[str, ...]] = ("history", "seen_classes", "unseen_classes")

    def __init__(self, **params: Any) -> None:
        self.params = check_params(self.params_model, self.name, params)

    @property
    def variant(self) -> str:
        """What of it is not the default, as results name it."""
        recipe = self.params.recipe if isinstance(self.params, RecipeParams) else "paper"
        return "default" if recipe == "paper" else recipe

    @property
    def looks_at_labels(self) -> bool:
        """Whether its ``proba_knowing`` is to be used.

        Some released code looks at the clips' own labels when it names them. To show by
        how much it gains, a method may, too, under the protocol "released" and no other.
        """
        return False

    @abstractmethod
    def steps(self, samples: int) -> int:
        """Training steps that ``fit`` takes on so many samples."""

    @abstractmethod
    def fit(
        self,
        f_x: np.ndarray,
        y: np.ndarray,
        f_y: TextFeatures,
        *,
        seen_classes: Sequence[int],
        on_progress: Progress | None = None,
        on_epoch: EpochHook | None = None,
    ) -> ZeroShotMethod:
        """Learns from clips of seen classes and the text of those classes.

        Args:
            f_x: ``[N, D]`` skeleton features.
            y: ``[N]`` class ids, each of them in ``seen_classes``.
            f_y: ``[C, Dt]`` text features of all classes.
            seen_classes: Every one of them must have a row in ``f_x``.
            on_progress: Told the steps done, now and then and at the end.
            on_epoch: Told the epoch just done; methods without epochs call it
                once at the end.

        Raises:
            BadInput: The arrays break these rules, or a loss is not finite.
        """

    @abstractmethod
    def fit_unseen_classifier(self, unseen_classes: Sequence[int]) -> ZeroShotMethod:
        """Prepares ``predict_proba`` from the text of these classes alone.

        Raises:
            BadInput: A class was seen in training or has no row in ``f_y``.
        """

    @abstractmethod
    def predict_proba(self, f_x: np.ndarray) -> np.ndarray:
        """Probabilities ``[N, U]`` over ``unseen_classes``; rows sum to 1."""

    def proba_knowing(self, f_x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """``predict_proba`` of clips whose class ids ``y`` are looked at, which is dishonest."""
        return self.predict_proba(f_x)

    def predict_joint_proba(self, f_x: np.ndarray) -> np.ndarray:
        """Probabilities ``[N, S + U]`` of one classifier over all classes.

        Columns are ``seen_classes``, then ``unseen_classes``. Gates that weigh
        seen against unseen classes on one scale need it.

        Raises:
            BadInput: The method has no such classifier.
        """
        raise BadInput(f"{self.name} has no classifier over seen and unseen classes together")

    def errors(self, f_x: np.ndarray) -> np.ndarray:
        """How badly each class explains a clip, ``[N, S + U]``, from 0 on.

        Columns as of :meth:`predict_joint_proba`, whose negative logarithm it is unless the
        method has errors of its own.
        """
        proba = np.asarray(self.predict_joint_proba(f_x), np.float64)
        return -np.log(np.clip(proba, np.finfo(np.float64).tiny, 1.0))

    @abstractmethod
    def transform(self, f_x: np.ndarray) -> Latents:
        """Latents of skeleton features ``[N, D]``."""

    def evidence(self, f_x: np.ndarray) -> dict[str, np.ndarray]:
        """Quantities ``[N]`` by name that may tell unseen classes from seen ones."""
        return {}

    def add_classes(self, f_y: TextFeatures) -> np.ndarray:
        """Takes the text of further classes, such as labels that somebody has typed.

        Nothing is trained; ``fit_unseen_classifier`` takes the new ids like any
        other.

        Args:
            f_y: ``[M, Dt]`` text features of M classes from the same source as
                those of ``fit``, or one such array for each of ``text_parts``, or
                that and tokens where ``fit`` was given such.

        Returns:
            Their ids ``[M]``, which follow those of the classes known so far.

        Raises:
            BadInput: Not fitted, other parts or another width, or non-finite values.
        """
        parts = f_y if isinstance(f_y, Mapping) else {"": f_y}
        where, state = self._text_arrays(), self.state()
        if set(parts) != set(where):
            raise BadInput(f"{self.name}: further classes have text features of "
                           f"{', '.join(map(repr, parts))}, expected {', '.join(map(repr, where))}")
        arrays = dict(state.arrays)
        for part, array in where.items():
            known = arrays[array]
            if known.ndim == 3:
                more = unit_tokens(parts[part], len(parts[WHOLE]), known.shape[1:])
            else:
                more = check_features(parts[part], f"f_y {part}".strip(), known.shape[1])
                more = unit_rows(more.astype(known.dtype))
            arrays[array] = np.concatenate([known, more])
        before, after = len(known), len(arrays[array])
        self.restore(State(arrays, state.values))
        return np.arange(before, after)

    def _text_arrays(self) -> dict[str, str]:
        """Where ``state`` keeps the unit rows of f_y: by part, "" where there are none."""
        return {"": "f_y"}

    @abstractmethod
    def state(self) -> State:
        """What ``restore`` needs to make an equal method of one that has the same parameters."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Takes over the state of another method of this class and these parameters."""

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the fitted method to one file, such as ``model.safetensors``.

        Raises:
            BadInput: It is not fitted.
        """
        content, arrays = self.content()
        return write_model_file(path, METHOD, content, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads a method of this class that ``save`` wrote; no code in the file is ever run.

        Raises:
            BadInput: The file is missing or damaged, or holds another method.
            BadConfig: Its parameters are not this version's.
        """
        content, arrays = read_model_file(path, METHOD)
        if content["method"] != cls.name:
            raise BadInput(f"{path}: holds {content['method']!r}, expected {cls.name!r}")
        return cls.of_content(content, arrays, path)

    def content(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a file keeps of it: JSON values and arrays."""
        state = self.state()
        return {"method": self.name, "params": self.params.model_dump(mode="json"),
                "values": state.values}, state.arrays

    @classmethod
    def of_content(
        cls, content: Mapping[str, Any], arrays: dict[str, np.ndarray],
        path: str | os.PathLike[str],
    ) -> Self:
        """The method that ``content`` told of.

        Args:
            content: JSON values, as ``content`` gives them.
            arrays: By name, likewise.
            path: Where they come from, for errors.

        Raises:
            BadInput: The arrays make no such method.
            BadConfig: The parameters are not this version's.
        """
        method = cls(**content["params"])
        with as_written(path, cls.name):
            method.restore(State(arrays, content["values"]))
        return method

    def _forget(self) -> None:
        """Back to a method that is not fitted."""
        for name in self._learned:
            self.__dict__.pop(name, None)

    def _require_fit(self, caller: str = "") -> None:
        """Refuses to go on before ``fit``; for a caller's sake, before C_u's too.

        Raises:
            BadInput: It has not been called.
        """
        if "seen_classes" not in self.__dict__:
            raise BadInput(f"{self.name}: call fit first")
        if caller and "unseen_classes" not in self.__dict__:
            raise BadInput(f"{self.name}: call fit_unseen_classifier before {caller}")


Params = TypeVar("Params", bound=BaseModel)


def check_params(model: type[Params], method: str, params: Mapping[str, Any]) -> Params:
    """A method's parameters, checked.

    Raises:
        BadConfig: One is unknown or impossible; the message names it.
    """
    try:
        return model(**params)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:  # parameters that do not go together
            raise BadConfig(f"{method}: {message}") from None
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            message = f"no such option; {nearest(field, model.model_fields)}"
        raise BadConfig(f"{method}: {field} = {first['input']!r}: {message}") from None
