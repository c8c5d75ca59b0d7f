"""A gate that rehearses the test: seen classes and subjects left out of the training clips."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from zskel.data.common.errors import BadInput
from zskel.zsl.curves import best_bias
from zskel.zsl.gates.base import (
    F_X,
    F_Y,
    REFERENCE,
    Gate,
    GateInput,
    Reference,
    check_calibration_rows,
    mix,
)
from zskel.zsl.methods.base import State
from zskel.zsl.methods.text_prototypes import TextPrototypes
from zskel.zsl.threads import single_threaded

_FOLDS = 5


class LeftOutClassesGate(Gate):
    """Compares prototypes of seen classes with those predicted for unseen ones.

    Two quantities of a clip: its best cosine with a seen class's prototype and
    with one that :class:`TextPrototypes` predicts for an unseen class. How to
    weigh them is learned within each phase's own training clips, with no
    calibration row: in every rehearsal some seen classes, drawn, play the
    unseen ones (as many as there are, at most half), and a part of the subjects
    plays the strangers; the prototypes come from the rest. A logistic
    regression on the clips of all rehearsals that balances both sides, then the
    bias with the highest H there, make the gate of that phase. So it follows
    the number of classes and clips it is used with. The method that it serves is
    never fitted again: the rehearsals are closed forms, whatever the method.

    The decision is hard: eq. 11 with a p_d of 0 or 1.

    Args:
        rehearsals: How many.
        seed: Of the classes drawn.
    """

    name: ClassVar[str] = "left_out_classes"
    needs: ClassVar[frozenset[str]] = frozenset({F_X, F_Y, REFERENCE})
    _asked: GateInput | None
    _answer: np.ndarray
    _phase: tuple[Reference, np.ndarray, TextPrototypes, np.ndarray] | None

    def __init__(self, rehearsals: int = 10, seed: int = 0) -> None:
        if rehearsals < 1:
            raise BadInput(f"rehearsals is {rehearsals}, expected at least 1")
        self.rehearsals, self.seed = rehearsals, seed

    def fit(
        self, inputs: GateInput, is_seen: np.ndarray, columns: np.ndarray | None = None
    ) -> LeftOutClassesGate:
        """Learns nothing from calibration rows. See :meth:`Gate.fit`."""
        check_calibration_rows(inputs, is_seen, self.name, fewest=0)
        inputs.require(self.needs, self.name)
        self._forget()
        return self

    def state(self) -> State:
        """Nothing: all is in the phase's training clips."""
        return State({}, {})

    def restore(self, state: State) -> None:
        """See :meth:`Gate.restore`."""
        self._forget()

    def predict_proba(self, inputs: GateInput) -> np.ndarray:
        """P(seen) ``[N]`` where both sides weigh the same in H.

        Raises:
            BadInput: Not fitted, or the input lacks something.
        """
        return np.asarray(expit(self.margins(inputs)))

    def probabilities(self, inputs: GateInput) -> np.ndarray:
        """p_s where the margin is positive and p_u elsewhere, zeros on the other side."""
        return mix((self.margins(inputs) > 0).astype(float), *self.sides(inputs))

    @single_threaded()
    def margins(self, inputs: GateInput) -> np.ndarray:
        """The logistic regression's log odds less the bias."""
        if not hasattr(self, "_asked"):
            raise BadInput(f"gate {self.name}: call fit before predict_proba")
        if self._asked is not inputs:  # Evaluations ask several times about the same rows.
            inputs.require(self.needs, self.name)
            reference, f_y = inputs.reference, inputs.f_y
            assert reference is not None and f_y is not None and inputs.f_x is not None
            prototypes, weights = self._of_phase(reference, f_y, inputs.seen_logits.shape[1])
            self._answer = _bests(prototypes, inputs.f_x) @ weights[:2] + weights[2]
            self._asked = inputs
        return self._answer

    def description(self) -> dict[str, Any]:
        """Its name and options."""
        return {"name": self.name, "rehearsals": self.rehearsals}

    def _forget(self) -> None:
        self._asked, self._phase = None, None

    def _of_phase(
        self, reference: Reference, f_y: np.ndarray, seen: int
    ) -> tuple[TextPrototypes, np.ndarray]:
        """Prototypes, and weights ``[3]`` of both cosines and 1; kept while the phase stays."""
        if self._phase is not None:
            known, texts, prototypes, weights = self._phase
            if np.array_equal(known.f_x, reference.f_x) and np.array_equal(texts, f_y):
                return prototypes, weights
        prototypes = _prototypes(reference.f_x, reference.columns, f_y)
        weights = self._learn(reference, f_y, seen)
        self._phase = reference, f_y, prototypes, weights
        return prototypes, weights

    def _learn(self, reference: Reference, f_y: np.ndarray, seen: int) -> np.ndarray:
        playing = min(len(f_y) - seen, seen // 2)
        groups = reference.groups
        if len(np.unique(groups)) < 2:  # Nobody knows the subjects: clip by clip.
            groups = np.arange(len(groups))
        divisions = GroupKFold(min(_FOLDS, len(np.unique(groups)))).split(groups, groups=groups)
        folds = list(divisions)
        generator = np.random.default_rng(self.seed)
        found = [
            _rehearse(reference, f_y, generator.permutation(seen)[:playing], *folds[k % len(folds)])
            for k in range(self.rehearsals)
        ]
        bests, is_seen, right = (np.concatenate(parts) for parts in zip(*found))
        if is_seen.all() or not is_seen.any():  # Too few classes to leave some out.
            return np.array([1.0, -1.0, 0.0])
        mean, spread = bests.mean(axis=0), bests.std(axis=0)
        spread[spread == 0] = 1.0
        model = LogisticRegression(class_weight="balanced").fit((bests - mean) / spread, is_seen)
        weights = model.coef_[0] / spread
        scores = bests @ weights
        bias, _ = best_bias(scores, is_seen, right)
        return np.append(weights, -bias)


def _rehearse(
    reference: Reference, f_y: np.ndarray, left_out: np.ndarray, rest: np.ndarray,
    part: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both cosines ``[N, 2]`` of the part's clips, which are seen, which would be right."""
    columns = reference.columns
    train = rest[~np.isin(columns[rest], left_out)]
    known = np.unique(columns[train])
    test = part[np.isin(columns[part], np.concatenate([known, left_out]))]
    if len(known) < 2 or not len(left_out) or not len(test):
        return np.empty((0, 2)), np.empty(0, bool), np.empty(0, bool)
    classes = np.concatenate([known, np.sort(left_out)])
    method = _prototypes(
        reference.f_x[train], np.searchsorted(known, columns[train]), f_y[classes])
    joint = method.predict_joint_proba(reference.f_x[test])
    is_seen = ~np.isin(columns[test], left_out)
    own_side = np.where(is_seen, joint[:, :len(known)].argmax(axis=1),
                        len(known) + joint[:, len(known):].argmax(axis=1))
    return (_bests(method, reference.f_x[test]), is_seen, classes[own_side] == columns[test])


def _prototypes(f_x: np.ndarray, columns: np.ndarray, f_y: np.ndarray) -> TextPrototypes:
    seen = int(columns.max()) + 1
    method = TextPrototypes(folds=2, temperature=1.0)
    method.fit(f_x, columns, f_y, seen_classes=range(seen))
    return method.fit_unseen_classifier(range(seen, len(f_y)))


def _bests(method: TextPrototypes, f_x: np.ndarray) -> np.ndarray:
    evidence = method.evidence(f_x)
    return np.stack([evidence["score_seen"], evidence["score_unseen"]], axis=1)
