"""Gates: does a clip show a seen or an unseen action, and what follows from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import softmax

from zskel.data.common.errors import BadInput
from zskel.zsl.methods.base import State

JOINT_PROBA, EVIDENCE, F_X, F_Y = "joint_proba", "evidence", "f_x", "f_y"
REFERENCE, ERRORS, DESCRIPTORS = "reference", "errors", "descriptors"
#: What a gate may need beyond C_s and C_u.
OPTIONAL = frozenset({JOINT_PROBA, EVIDENCE, F_X, F_Y, REFERENCE, ERRORS})


@dataclass(frozen=True)
class Reference:
    """The clips that a phase was trained on, all of seen classes.

    Attributes:
        f_x: ``[M, D]``.
        columns: ``[M]`` their classes, as columns of C_s.
        groups: ``[M]`` their subjects. Clips that share one are left out
            together where a gate wants to know how strangers look.
        descriptors: ``[M, 8, D]``, as of :class:`GateInput`.
    """

    f_x: np.ndarray
    columns: np.ndarray
    groups: np.ndarray
    descriptors: np.ndarray | None = None


@dataclass(frozen=True)
class GateInput:
    """What a gate may look at: outputs and features, never a method's insides.

    Attributes:
        seen_logits: ``[N, S]`` of C_s, before its softmax.
        unseen_proba: ``[N, U]`` p_u.
        joint_proba: ``[N, S + U]`` of one classifier over all classes.
        errors: ``[N, S + U]`` of the method, ``ZeroShotMethod.errors``.
        evidence: The method's own quantities ``[N]`` by name.
        f_x: ``[N, D]`` skeleton features.
        f_y: ``[S + U, Dt]`` text features, seen classes first.
        reference: The phase's training clips.
        descriptors: ``[N, 8, D]`` of ``zskel.data.pooled``, where the caches hold what
            they are read off.

    All but the first two are there only for gates and refinements that ask for them.
    """

    seen_logits: np.ndarray
    unseen_proba: np.ndarray
    joint_proba: np.ndarray | None = None
    evidence: Mapping[str, np.ndarray] = field(default_factory=dict)
    f_x: np.ndarray | None = None
    f_y: np.ndarray | None = None
    reference: Reference | None = None
    descriptors: np.ndarray | None = None
    errors: np.ndarray | None = None

    def __post_init__(self) -> None:
        shapes = np.shape(self.seen_logits), np.shape(self.unseen_proba)
        if any(len(shape) != 2 or 0 in shape for shape in shapes) or shapes[0][0] != shapes[1][0]:
            raise BadInput("a gate needs [N, S] and [N, U], "
                           f"got {list(shapes[0])} and {list(shapes[1])}")
        n, classes = len(self), shapes[0][1] + shapes[1][1]
        for name in (JOINT_PROBA, ERRORS):
            shape = np.shape(getattr(self, name))
            if getattr(self, name) is not None and shape != (n, classes):
                raise BadInput(f"{name} is {list(shape)}, expected [{n}, {classes}]")
        others = {**self.evidence, F_X: self.f_x, DESCRIPTORS: self.descriptors}
        if self.f_y is not None and len(self.f_y) != classes:
            raise BadInput(f"f_y has {len(self.f_y)} rows, expected {classes}, one a class")
        for name, values in others.items():
            if values is not None and len(values) != n:
                raise BadInput(f"{name} has {len(values)} rows, the gate's input {n}")

    def __len__(self) -> int:
        return len(self.seen_logits)

    def take(self, rows: np.ndarray) -> GateInput:
        """That of some rows, by index or boolean."""
        def of(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        return replace(
            self, seen_logits=self.seen_logits[rows], unseen_proba=self.unseen_proba[rows],
            joint_proba=of(self.joint_proba), errors=of(self.errors), f_x=of(self.f_x),
            descriptors=of(self.descriptors),
            evidence={name: values[rows] for name, values in self.evidence.items()})

    @property
    def seen_proba(self) -> np.ndarray:
        """p_s ``[N, S]``."""
        return softmax(self.seen_logits, axis=1)

    def require(self, needs: frozenset[str], gate: str) -> None:
        """Checks that everything a gate needs is there.

        Raises:
            BadInput: Naming what is missing.
        """
        for name in sorted(needs):
            value = getattr(self, name)
            if value is None or (name == EVIDENCE and not value):
                raise BadInput(f"gate {gate} needs {name}, which its input lacks")


class Gate(ABC):
    """Tells the probability that a clip belongs to a seen class.

    It is fitted on calibration clips, whose seen and unseen classes are others
    than at test time; only their number of unseen classes agrees.

    A gate is ``fit`` and ``predict_proba``. The others have answers already,
    those of eq. 11 and 12, and agree with one another: the argmax of
    ``probabilities`` is the argmax of one of the ``sides``, of the seen one
    where ``margins`` is positive. A gate that decides otherwise overrides
    them.

    Attributes:
        name: Its name in the registry.
        needs: Which of ``OPTIONAL`` must be in its input.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def fit(
        self, inputs: GateInput, is_seen: np.ndarray, columns: np.ndarray | None = None
    ) -> Gate:
        """Learns from calibration rows.

        Args:
            inputs: Of these rows.
            is_seen: ``[N]`` booleans: which are of seen classes.
            columns: ``[N]`` the class of each as a column of ``probabilities``;
                gates that weigh how many rows end up right need them.

        Raises:
            BadInput: There are too few rows of either side, or something that
                the gate needs is missing.
        """

    @abstractmethod
    def predict_proba(self, inputs: GateInput) -> np.ndarray:
        """p_d ``[N]``: the probability of a seen class."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """What was chosen and found in fitting, as JSON values."""

    def state(self) -> State:
        """What ``restore`` needs to make an equal gate of one that has the same options.

        Raises:
            BadInput: The gate cannot be kept.
        """
        raise BadInput(f"gate {self.name} cannot be kept: it has no state()")

    def restore(self, state: State) -> None:
        """Takes over the state of another gate of this class and these options."""
        raise BadInput(f"gate {self.name} cannot be kept: it has no restore()")

    def sides(self, inputs: GateInput) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities among seen ``[N, S]`` and among unseen classes ``[N, U]``."""
        return inputs.seen_proba, inputs.unseen_proba

    def probabilities(self, inputs: GateInput) -> np.ndarray:
        """p(y|x) of eq. 11, ``[N, S + U]``; its argmax is the prediction."""
        return mix(self.predict_proba(inputs), *self.sides(inputs))

    def margins(self, inputs: GateInput) -> np.ndarray:
        """How far each row is from changing sides, ``[N]``; positive says seen.

        The largest log p(y|x) of a seen class less that of an unseen one: the
        bias on seen classes that the row just withstands.
        """
        p_d = self.predict_proba(inputs)
        seen, unseen = (side.max(axis=1) for side in self.sides(inputs))
        with np.errstate(divide="ignore"):
            return np.log(p_d) - np.log1p(-p_d) + np.log(seen) - np.log(unseen)


def checked_p_d(gate: Gate, inputs: GateInput) -> np.ndarray:
    """What a gate's ``predict_proba`` gives, ``[N]``.

    Raises:
        BadInput: It is of another shape, or no probability.
    """
    p_d = np.asarray(gate.predict_proba(inputs))
    if p_d.shape != (len(inputs),):
        raise BadInput(f"gate {gate.name}: predict_proba gave an array of shape "
                       f"{list(p_d.shape)}, expected [{len(inputs)}]")
    wrong = p_d[~((p_d >= 0) & (p_d <= 1))]
    if len(wrong):
        raise BadInput(f"gate {gate.name}: predict_proba gave {float(wrong[0])}, expected values "
                       "from 0 to 1")
    return p_d


def mix(p_d: np.ndarray, p_s: np.ndarray, p_u: np.ndarray) -> np.ndarray:
    """Eq. 11: p(y|x) = p_d p_s (+) (1 - p_d) p_u, ``[N, S + U]``.

    >>> mix(np.array([0.5]), np.array([[0.25, 0.75]]), np.array([[1.0]]))
    array([[0.125, 0.375, 0.5  ]])
    """
    p_d = np.asarray(p_d)[:, None]
    return np.concatenate([p_d * p_s, (1 - p_d) * p_u], axis=1)


def decide(
    p_d: np.ndarray,
    p_s: np.ndarray,
    p_u: np.ndarray,
    seen_classes: np.ndarray,
    unseen_classes: np.ndarray,
) -> np.ndarray:
    """Eq. 12: the class id of the largest entry of :func:`mix`, ``[N]``.

    >>> decide(np.array([0.9, 0.2]), np.array([[0.3, 0.7]] * 2), np.array([[1.0]] * 2), [4, 8], [6])
    array([8, 6])
    """
    classes = np.concatenate([seen_classes, unseen_classes])
    return classes[np.argmax(mix(p_d, p_s, p_u), axis=1)]


def check_calibration_rows(
    inputs: GateInput, is_seen: np.ndarray, gate: str, fewest: int = 2
) -> np.ndarray:
    """Checks the rows a gate is fitted on and returns ``is_seen`` as booleans.

    Raises:
        BadInput: ``is_seen`` has another length, or one side too few rows.
    """
    is_seen = np.asarray(is_seen, dtype=bool)
    if is_seen.shape != (len(inputs),):
        raise BadInput(f"is_seen has shape {list(is_seen.shape)}, "
                       f"the gate's input {len(inputs)} rows")
    seen, unseen = int(is_seen.sum()), int((~is_seen).sum())
    if min(seen, unseen) < fewest:
        raise BadInput(f"{gate} needs at least {fewest} calibration rows of seen and {fewest} of "
                       f"unseen classes; there are {seen} and {unseen}")
    return is_seen


def check_columns(inputs: GateInput, is_seen: np.ndarray, columns: Any, gate: str) -> np.ndarray:
    """Checks ``columns`` of :meth:`Gate.fit`, for gates that need them.

    Raises:
        BadInput: They are missing or contradict ``is_seen``.
    """
    if columns is None:
        raise BadInput(f"gate {gate} needs the class of each calibration row, columns")
    columns = np.asarray(columns)
    seen, unseen = inputs.seen_logits.shape[1], inputs.unseen_proba.shape[1]
    if (columns.shape != is_seen.shape or not np.array_equal(columns < seen, is_seen)
            or columns.min() < 0 or columns.max() >= seen + unseen):
        raise BadInput("columns must give each row's class: below "
                       f"{seen} where is_seen, else from {seen} to {seen + unseen - 1}")
    return columns
