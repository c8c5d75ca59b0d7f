"""What every zero-shot method offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from data.errors import BadInput

Progress = Callable[[int, int], None]
"""Called with the steps done so far and the steps in all."""


@dataclass(frozen=True)
class Latents:
    """Where a method puts skeletons.

    Attributes:
        z_r: Float32 ``[N, R]``, the part aligned with the text.
        z_v: Float32 ``[N, V]``, the rest; V is 0 for methods without one.
    """

    z_r: np.ndarray
    z_v: np.ndarray


class ZeroShotMethod(ABC):
    """A method that learns from seen classes and names clips of unseen ones.

    It sees arrays and class ids, never a path. Class ids are rows of ``f_y``.
    ``fit`` comes first, then ``fit_unseen_classifier``, then ``predict_proba``.

    Attributes:
        name: Its name in the registry.
        history: Mean of every loss term, one value an epoch; after ``fit``.
        unseen_classes: The columns of ``predict_proba``, ascending; after
            ``fit_unseen_classifier``.
    """

    name: ClassVar[str]
    history: dict[str, list[float]]
    unseen_classes: np.ndarray

    @abstractmethod
    def steps(self, samples: int) -> int:
        """Training steps that ``fit`` takes on so many samples."""

    @abstractmethod
    def fit(
        self,
        f_x: np.ndarray,
        y: np.ndarray,
        f_y: np.ndarray,
        *,
        seen_classes: Sequence[int],
        on_progress: Progress | None = None,
    ) -> ZeroShotMethod:
        """Learns from clips of seen classes and the text of those classes.

        Args:
            f_x: ``[N, D]`` skeleton features.
            y: ``[N]`` class ids, each of them in ``seen_classes``.
            f_y: ``[C, Dt]`` text features of all classes.
            seen_classes: Every one of them must have a row in ``f_x``.
            on_progress: Told the steps done, now and then and at the end.

        Raises:
            BadInput: The arrays break these rules, or a loss is not finite.
        """

    @abstractmethod
    def transform(self, f_x: np.ndarray) -> Latents:
        """Latents of skeleton features ``[N, D]``."""

    @abstractmethod
    def fit_unseen_classifier(self, unseen_classes: Sequence[int]) -> ZeroShotMethod:
        """Prepares ``predict_proba`` from the text of these classes alone.

        Raises:
            BadInput: A class was seen in training or has no row in ``f_y``.
        """

    @abstractmethod
    def predict_proba(self, f_x: np.ndarray) -> np.ndarray:
        """Probabilities ``[N, U]`` over ``unseen_classes``; rows sum to 1."""


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
