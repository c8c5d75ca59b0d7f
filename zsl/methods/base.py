"""What every zero-shot method offers."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError
from typing_extensions import Self

from zskel.data.common.errors import BadConfig, BadInput

Progress = Callable[[int, int], None]
"""Called with the steps done so far and the steps in all."""

EpochHook = Callable[[int], None]
"""Called after each epoch with its number, from 0; the method can predict then."""

TextFeatures = np.ndarray | Mapping[str, np.ndarray]
"""f_y ``[C, Dt]``, or for methods with ``text_parts`` one such array for each part."""


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


class ZeroShotMethod(ABC):
    """A method that learns from seen classes and names clips of unseen ones.

    It sees arrays and class ids, never a path. Class ids are rows of ``f_y``.
    ``fit`` comes first, then ``fit_unseen_classifier``, then ``predict_proba``.

    Attributes:
        name: Its name in the registry.
        text_parts: Names of the text features it takes instead of one f_y,
            such as ("verb", "noun"); ``f_y`` is then a mapping with these keys.
        extra_features: Names of further skeleton features ``[N, D]`` that
            ``fit`` takes as keywords, such as ("f_x_masked",).
        history: Mean of every loss term, one value an epoch; after ``fit``.
        seen_classes: Ascending; after ``fit``.
        unseen_classes: The columns of ``predict_proba``, ascending; after
            ``fit_unseen_classifier``.
    """

    name: ClassVar[str]
    text_parts: ClassVar[tuple[str, ...]] = ()
    extra_features: ClassVar[tuple[str, ...]] = ()
    history: dict[str, list[float]]
    seen_classes: np.ndarray
    unseen_classes: np.ndarray

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

    def predict_joint_proba(self, f_x: np.ndarray) -> np.ndarray:
        """Probabilities ``[N, S + U]`` of one classifier over all classes.

        Columns are ``seen_classes``, then ``unseen_classes``. Gates that weigh
        seen against unseen classes on one scale need it.

        Raises:
            BadInput: The method has no such classifier.
        """
        raise BadInput(f"{self.name} has no classifier over seen and unseen classes together")

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
                those of ``fit``, or one such array for each of ``text_parts``.

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
            more = check_features(parts[part], f"f_y {part}".strip(), known.shape[1])
            arrays[array] = np.concatenate([known, unit_rows(more.astype(known.dtype))])
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

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes the fitted method to a folder; see ``zskel.zsl.methods.saving.save_method``."""
        from zskel.zsl.methods.saving import save_method

        return save_method(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Reads a method that ``save`` wrote.

        Raises:
            BadInput: A file is missing or damaged, or holds another method.
        """
        from zskel.zsl.methods.saving import load_method

        method = load_method(folder)
        if not isinstance(method, cls):
            raise BadInput(f"{folder}: holds {method.name!r}, expected {cls.name!r}")
        return method


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
        raise BadConfig(f"{method}: {field} = {first['input']!r}: {message}") from None


def check_unseen(classes: Sequence[int], count: int, seen_classes: np.ndarray) -> np.ndarray:
    """Checks unseen classes and returns them ascending, int64.

    Raises:
        BadInput: As :func:`check_classes`, or one was seen in training.
    """
    unseen = check_classes(classes, count, "unseen_classes")
    seen = np.intersect1d(unseen, seen_classes)
    if len(seen):
        raise BadInput(f"unseen_classes holds class {seen[0]}, which was seen in training")
    return unseen


def unit_rows(f: np.ndarray, name: str = "f_y") -> np.ndarray:
    """Rows scaled to unit length.

    Raises:
        BadInput: A row is all zeros.

    >>> unit_rows(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """
    norms = np.linalg.norm(f, axis=1, keepdims=True)
    if not norms.all():
        raise BadInput(f"{name} row {int(np.argmin(norms))} is all zeros")
    return f / norms


def check_training_data(
    f_x: Any, y: Any, f_y: Any, seen_classes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Checks what ``fit`` is given.

    Returns:
        f_x as float32, y as int64, f_y as float32, seen_classes ascending.

    Raises:
        BadInput: With the first broken rule in one line.
    """
    f_x, f_y = check_features(f_x, "f_x"), check_features(f_y, "f_y")
    y = np.asarray(y)
    if y.shape != (len(f_x),) or y.dtype.kind not in "iu":
        raise BadInput(f"y is {y.dtype} {list(y.shape)}, "
                       f"expected integers [{len(f_x)}], one a row of f_x")
    seen = check_classes(seen_classes, len(f_y), "seen_classes")
    strange = np.setdiff1d(y, seen)
    if len(strange):
        raise BadInput(f"y holds class {strange[0]}, which is not in seen_classes")
    empty = np.setdiff1d(seen, y)
    if len(empty):
        raise BadInput(f"seen class {empty[0]} has no row in f_x; leave it out of seen_classes")
    return f_x, y.astype(np.int64), f_y, seen


def check_features(f: Any, name: str, columns: int | None = None) -> np.ndarray:
    """Checks a feature matrix and returns it as contiguous float32.

    Raises:
        BadInput: It is not ``[N, D]`` with N, D > 0, has another number of
            columns than ``columns``, or holds non-finite values.
    """
    try:
        f = np.ascontiguousarray(f, dtype=np.float32)
    except (TypeError, ValueError):
        raise BadInput(f"{name} is not an array of numbers") from None
    if f.ndim != 2 or 0 in f.shape:
        raise BadInput(f"{name} has shape {list(f.shape)}, "
                       "expected [rows, columns], neither of them 0")
    if columns is not None and f.shape[1] != columns:
        raise BadInput(f"{name} has {f.shape[1]} columns, fit was given {columns}")
    finite = np.isfinite(f).all(axis=1)
    if not finite.all():
        raise BadInput(f"{name} row {int(np.argmin(finite))} holds non-finite values")
    return f


def check_classes(classes: Sequence[int], count: int, name: str) -> np.ndarray:
    """Checks a list of class ids and returns it ascending, int64.

    Raises:
        BadInput: It is empty, has duplicates, or an id outside ``range(count)``.
    """
    array = np.asarray(classes)
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
        raise BadInput(f"{name} is {classes!r}, expected a list of class ids")
    unique = np.unique(array).astype(np.int64)
    if len(unique) < len(array):
        raise BadInput(f"{name} has duplicates")
    if unique[0] < 0 or unique[-1] >= count:
        outside = unique[0] if unique[0] < 0 else unique[-1]
        raise BadInput(f"{name} holds class {outside}, f_y has rows for {count} classes")
    return unique
