"""Which classes are unseen, and which clips are for training, calibration and test."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from data.classes import class_names
from data.errors import BadConfig


@dataclass(frozen=True)
class ClassSplit:
    """Seen, unseen and validation-unseen classes, all 0-based and ascending.

    Attributes:
        dataset, name: Whose split it is.
        unseen: Never used in training: the classes of ZSL.
        validation_unseen: As many of the seen classes, held out from
            everything fitted in the calibration phase (section 4 of the paper).
        num_classes: C.
        validation_choice: "published", or how the choice was seeded.
        source: Where the split comes from.
    """

    dataset: str
    name: str
    unseen: tuple[int, ...]
    validation_unseen: tuple[int, ...]
    num_classes: int
    validation_choice: str
    source: str

    @property
    def seen(self) -> tuple[int, ...]:
        """All classes that are not unseen."""
        return _complement(self.num_classes, self.unseen)

    @property
    def validation_seen(self) -> tuple[int, ...]:
        """The seen classes that remain for the calibration phase."""
        return _complement(self.num_classes, (*self.unseen, *self.validation_unseen))


def class_split(dataset: str, name: str, validation_seed: int = 0) -> ClassSplit:
    """A published class split by name.

    Where no validation-unseen classes were published, they are drawn with
    ``validation_seed`` and the result says so.

    Raises:
        BadConfig: The data set has no such split.

    >>> class_split("utd-mhad", "purls-22-5").unseen
    (4, 14, 17, 23, 24)
    """
    splits = _resource()["splits"].get(dataset, {})
    if dataset == "synthetic":
        from data import synthetic

        splits = {"default": {"unseen": synthetic.UNSEEN, "validation_unseen": None,
                              "source": "data.synthetic"}}
    if name not in splits:
        raise BadConfig(
            f"data set {dataset!r} has no class split {name!r}; "
            f"there are {', '.join(sorted(splits)) or 'none'}"
        )
    item: dict[str, Any] = splits[name]
    return make_split(dataset, name, item["unseen"], item["validation_unseen"],
                      validation_seed, item["source"])


def make_split(
    dataset: str,
    name: str,
    unseen: Collection[int],
    validation_unseen: Collection[int] | None = None,
    validation_seed: int = 0,
    source: str = "config",
) -> ClassSplit:
    """A class split of one's own, checked.

    Raises:
        BadConfig: Classes out of range, repeated, or too few seen ones left.
    """
    count = len(class_names(dataset))
    unseen = _checked(unseen, count, f"{dataset}/{name}: unseen")
    seen = _complement(count, unseen)
    if len(seen) <= len(unseen):
        raise BadConfig(
            f"{dataset}/{name}: {len(unseen)} unseen of {count} classes leave {len(seen)} seen "
            "ones; the calibration phase needs more seen classes than unseen ones"
        )
    choice = "published"
    if validation_unseen is None:
        validation_unseen = choose_validation_unseen(seen, len(unseen), validation_seed)
        choice = f"drawn with seed {validation_seed}"
    validation = _checked(validation_unseen, count, f"{dataset}/{name}: validation_unseen")
    if not set(validation) <= set(seen):
        raise BadConfig(f"{dataset}/{name}: validation_unseen holds classes that are not seen")
    return ClassSplit(dataset, name, unseen, validation, count, choice, source)


def choose_validation_unseen(seen: Sequence[int], count: int, seed: int) -> tuple[int, ...]:
    """Draws ``count`` validation-unseen classes from the seen ones, by seed."""
    chosen = np.random.default_rng(seed).choice(sorted(seen), size=count, replace=False)
    return tuple(sorted(int(c) for c in chosen))


def held_out_subjects(subjects: Collection[int], share: float, seed: int) -> tuple[int, ...]:
    """Training subjects whose clips calibrate the gate and fit nothing else.

    They are held out whole, so that the domain classifier meets people whom
    the calibration-phase backbone has never seen, as at test time.

    Args:
        subjects: The training subjects.
        share: The share to hold out; at least one is, and at least one stays.
        seed: Of the draw.

    Raises:
        BadConfig: There are fewer than two training subjects.
    """
    known = sorted(set(subjects))
    if len(known) < 2:
        raise BadConfig(
            f"{len(known)} training subject(s) found; calibration holds some of them out whole "
            "and needs at least two"
        )
    count = min(max(1, math.ceil(share * len(known) - 1e-9)), len(known) - 1)
    chosen = np.random.default_rng(seed).choice(known, size=count, replace=False)
    return tuple(sorted(int(s) for s in chosen))


def _complement(count: int, classes: Collection[int]) -> tuple[int, ...]:
    return tuple(c for c in range(count) if c not in set(classes))


def _checked(classes: Collection[int], count: int, where: str) -> tuple[int, ...]:
    ordered = tuple(sorted(int(c) for c in classes))
    if not ordered:
        raise BadConfig(f"{where}: is empty")
    if len(set(ordered)) != len(ordered):
        raise BadConfig(f"{where}: holds a class twice")
    if ordered[0] < 0 or ordered[-1] >= count:
        raise BadConfig(f"{where}: class {ordered[-1] if ordered[-1] >= count else ordered[0]} "
                        f"is not in 0..{count - 1}")
    return ordered


@cache
def _resource() -> dict[str, Any]:
    file = resources.files("data.resources") / "class_splits.json"
    return json.loads(file.read_text(encoding="utf-8"))
