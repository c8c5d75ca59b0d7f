"""The two phases of a class split: which clips each may use, and for what.

The *test phase* trains on the seen classes of the training clips and evaluates
on all test clips. The *calibration phase* imitates it inside the training
clips, so that the domain classifier C_d can be fitted without a test clip
(section 4 of the paper): validation-unseen classes play the unseen ones, and
some training subjects, held out whole, play the test subjects. Where a data set
does not name its subjects, another group of clips takes their place
(``zskel.data.protocols.SampleProtocol.group``), or clips do, drawn class by class.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from zskel.data.caches import CALIBRATION, TEST, TRAIN
from zskel.data.common.errors import BadInput
from zskel.data.protocols import CLIP
from zskel.data.splits import ClassSplit


@dataclass(frozen=True)
class Phase:
    """What one phase trains on and evaluates.

    Attributes:
        name: "test" or "calibration".
        seen_classes, unseen_classes: Of this phase, ascending.
        train: Rows to train on: seen classes only.
        held_out: Rows of the other subset ("test" or "calibration").
    """

    name: str
    seen_classes: tuple[int, ...]
    unseen_classes: tuple[int, ...]
    train: np.ndarray
    held_out: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """All rows of the phase, ascending."""
        return np.sort(np.concatenate([self.train, self.held_out]))

    @property
    def subset(self) -> np.ndarray:
        """The subset's name for each of ``rows``."""
        return np.where(np.isin(self.rows, self.train), TRAIN, self.name)


def test_phase(label: np.ndarray, subset: np.ndarray, split: ClassSplit) -> Phase:
    """Seen classes of the training clips; all classes of the test clips.

    Args:
        label: Class of each clip, ``[N]``.
        subset: "train" or "test" by the sample protocol, ``[N]``.
        split: The class split.

    Raises:
        BadInput: A class has no clip where one is needed.
    """
    train = np.flatnonzero((subset == TRAIN) & np.isin(label, split.seen))
    held_out = np.flatnonzero(subset == TEST)
    phase = Phase(TEST, split.seen, split.unseen, train, held_out)
    _require_classes(label[train], split.seen, "training")
    _require_classes(label[held_out], split.unseen, "test")
    return phase


def calibration_phase(
    label: np.ndarray,
    subset: np.ndarray,
    group: np.ndarray,
    split: ClassSplit,
    held_out_groups: Collection[Any],
    what: str = "subject",
) -> Phase:
    """The same inside the training clips of the seen classes.

    Args:
        label, subset: As for ``test_phase``.
        group: Subject of each clip, ``[N]``, by number or name, or what the
            protocol has instead.
        split: The class split.
        held_out_groups: Those whose training clips are used for calibration only.
        what: A group's name in messages.

    Raises:
        BadConfig: The split has no validation-unseen classes.
        BadInput: A class has no clip where one is needed, or a held-out group
            has no training clips.
    """
    split.require_calibration()
    usable = (subset == TRAIN) & np.isin(label, split.seen)
    held = np.isin(group, sorted(held_out_groups))
    strange = sorted(set(held_out_groups) - set(group[usable].tolist()))
    if strange and what != CLIP:
        raise BadInput(f"calibration.subjects: {what} {strange[0]!r} has no training clips of "
                       "seen classes")
    train = np.flatnonzero(usable & ~held & np.isin(label, split.validation_seen))
    held_out = np.flatnonzero(usable & held)
    phase = Phase(CALIBRATION, split.validation_seen, split.validation_unseen, train, held_out)
    _require_classes(label[train], split.validation_seen, "calibration-phase training")
    for classes, role in ((split.validation_seen, "seen"), (split.validation_unseen, "unseen")):
        if not np.isin(label[held_out], classes).any():
            whose, keys = (f" ({what}s {_few(held_out_groups)})", ": calibration.subjects, share "
                           "or seed") if what != CLIP else ("", "")
            raise BadInput(f"calibration: no held-out clip{whose} is of a validation-{role} class; "
                           f"hold out others{keys}")
    return phase


# A name that pytest does not take for a test.
test_phase.__test__ = False  # type: ignore[attr-defined]


def _few(groups: Collection[Any]) -> str:
    first = sorted(groups)[:12]
    return str(first) if len(first) == len(groups) else f"{str(first)[:-1]}, ...]"


def _require_classes(labels: np.ndarray, classes: Collection[int], what: str) -> None:
    missing = sorted(set(classes) - set(labels.tolist()))
    if missing:
        raise BadInput(f"{len(missing)} classes have no {what} clips, the first is class "
                       f"{missing[0]}; is the whole data set there?")
