"""Which classes are unseen, and which clips are for training, calibration and test."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import numpy as np

from zskel.data.classes import class_names
from zskel.data.common.errors import BadConfig
from zskel.data.common.registry import nearest
from zskel.data.skeleton import UNKNOWN
from zskel.data.texts import plain

#: A number, or a name: all of one kind.
Group = TypeVar("Group", int, str)

# What a softmax classifier needs.
_MIN_CLASSES = 2


@dataclass(frozen=True)
class ClassSplit:
    """Seen, unseen and validation-unseen classes, all 0-based and ascending.

    Zero-shot splits that leave too few seen classes for a calibration phase are
    splits all the same: their ``validation_unseen`` is empty, and
    ``require_calibration`` says why.

    Attributes:
        dataset, name: Whose split it is.
        unseen: Never used in training: the classes of ZSL.
        validation_unseen: Seen classes held out from everything fitted in the
            calibration phase; as many as the unseen ones unless someone chose
            otherwise (section 4 of the paper). May be empty.
        num_classes: C.
        validation_choice: "published", how the choice was seeded, or "none".
        source: Where the split comes from.
        note: What one should know about it, or "".
    """

    dataset: str
    name: str
    unseen: tuple[int, ...]
    validation_unseen: tuple[int, ...]
    num_classes: int
    validation_choice: str
    source: str
    note: str = ""

    @property
    def seen(self) -> tuple[int, ...]:
        """All classes that are not unseen."""
        return _complement(self.num_classes, self.unseen)

    @property
    def validation_seen(self) -> tuple[int, ...]:
        """The seen classes that remain for the calibration phase."""
        return _complement(self.num_classes, (*self.unseen, *self.validation_unseen))

    def require_calibration(self) -> None:
        """Checks that the split has a calibration phase.

        Raises:
            BadConfig: It has no validation-unseen classes.

        >>> class_split("nw-ucla", "purls-5-5").require_calibration()  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        zskel.data.common.errors.BadConfig: nw-ucla/purls-5-5: no calibration phase: ...
        """
        if not self.validation_unseen:
            seen, count = len(self.seen), len(self.unseen)
            raise BadConfig(
                f"{self.dataset}/{self.name}: no calibration phase: holding out {count} of {seen} "
                f"seen classes leaves {max(seen - count, 0)}, and a classifier needs "
                f"{_MIN_CLASSES}; give split.unseen and fewer split.validation_unseen"
            )


def class_split(dataset: str, name: str, validation_seed: int = 0) -> ClassSplit:
    """A published class split by name.

    Where no validation-unseen classes were published, they are drawn with
    ``validation_seed`` and the result says so.

    Raises:
        BadConfig: The data set has no such split.

    >>> class_split("utd-mhad", "purls-22-5").unseen
    (4, 14, 17, 23, 24)
    >>> class_split("ntu60", "55-5").validation_unseen
    (16, 21, 25, 31, 48)
    """
    splits = _splits(dataset)
    if name not in splits:
        raise BadConfig(
            f"data set {dataset!r} has no class split {name!r}; {nearest(name, splits)}"
        )
    item = splits[name]
    return make_split(dataset, name, item["unseen"], item["validation_unseen"],
                      validation_seed, item["source"], item.get("note", ""))


def split_names(dataset: str) -> tuple[str, ...]:
    """Names of a data set's published splits, sorted.

    >>> split_names("utd-mhad")
    ('purls-14-13', 'purls-18-9', 'purls-22-5')
    """
    return tuple(sorted(_splits(dataset)))


def make_split(
    dataset: str,
    name: str,
    unseen: Collection[int | str],
    validation_unseen: Collection[int | str] | None = None,
    validation_seed: int = 0,
    source: str = "config",
    note: str = "",
) -> ClassSplit:
    """A class split of one's own, checked.

    Where ``validation_unseen`` is not given, as many of the seen classes as
    there are unseen ones are drawn with ``validation_seed``; none are if fewer
    than two would remain to train the calibration phase on. Classes are given by
    index or by name.

    Raises:
        BadConfig: Classes unknown, out of range, repeated, or too few seen ones left.
    """
    count = _num_classes(dataset)
    unseen = _checked(unseen, dataset, count, f"{dataset}/{name}: unseen")
    seen = _complement(count, unseen)
    if len(seen) < _MIN_CLASSES:
        raise BadConfig(
            f"{dataset}/{name}: {len(unseen)} unseen of {count} classes leave {len(seen)} seen; "
            f"a classifier needs {_MIN_CLASSES}"
        )
    if validation_unseen is not None:
        validation = _checked(validation_unseen, dataset, count,
                              f"{dataset}/{name}: validation_unseen")
        choice = "published" if source != "config" else "config"
    elif len(seen) - len(unseen) >= _MIN_CLASSES:
        validation = choose_validation_unseen(seen, len(unseen), validation_seed)
        choice = f"drawn with seed {validation_seed}"
    else:
        validation, choice = (), "none: too few seen classes"
    stranger = sorted(set(validation) - set(seen))
    if stranger:
        raise BadConfig(f"{dataset}/{name}: validation_unseen holds class {stranger[0]}, "
                        "which is unseen")
    if len(seen) - len(validation) < _MIN_CLASSES:
        raise BadConfig(
            f"{dataset}/{name}: {len(validation)} validation-unseen of {len(seen)} seen classes "
            f"leave {len(seen) - len(validation)}; a classifier needs {_MIN_CLASSES}"
        )
    return ClassSplit(dataset, name, unseen, validation, count, choice, source, note)


def class_indices(
    given: Iterable[int | str], names: Sequence[str], where: str
) -> list[int]:
    """Classes by name or index to indices.

    Args:
        given: Names, whose case and punctuation are of no account, and indices.
        names: All class names, in label order.
        where: What messages call the list.

    Raises:
        BadConfig: A name is none of them, or stands for two; the message names
            the nearest.

    >>> class_indices(["Tennis-Swing", 0], ["throw", "tennis swing"], "split.unseen")
    [1, 0]
    >>> class_indices(["thrw"], ["throw", "tennis swing"], "split.unseen")
    Traceback (most recent call last):
    zskel.data.common.errors.BadConfig: split.unseen: no class 'thrw'; did you mean 'throw'?
    """
    return [_class_index(item, names, where) if isinstance(item, str) else item
            for item in given]


def _class_index(name: str, names: Sequence[str], where: str) -> int:
    alike = [c for c, known in enumerate(names) if known == name] or [
        c for c, known in enumerate(names) if plain(known) == plain(name)]
    if not alike and name.isdecimal():
        return int(name)
    if not alike:
        raise BadConfig(f"{where}: no class {name!r}; {nearest(name, names)}")
    if len(alike) > 1:
        raise BadConfig(f"{where}: {name!r} may be class {alike[0]} ({names[alike[0]]!r}) or "
                        f"{alike[1]} ({names[alike[1]]!r}); give its index")
    return alike[0]


def choose_validation_unseen(seen: Sequence[int], count: int, seed: int) -> tuple[int, ...]:
    """Draws ``count`` validation-unseen classes from the seen ones, by seed."""
    chosen = np.random.default_rng(seed).choice(sorted(seen), size=count, replace=False)
    return tuple(sorted(int(c) for c in chosen))


def held_out_groups(
    groups: Collection[Group], share: float, seed: int, what: str = "subject",
    otherwise: str = "",
) -> tuple[Group, ...]:
    """Training groups whose clips calibrate the gate and fit nothing else.

    A group is a performer, or whatever else the sample protocol keeps together
    (``SampleProtocol.group``). Groups are held out whole, so that the domain
    classifier meets people whom the calibration-phase backbone has never seen,
    as at test time.

    Args:
        groups: Of the training clips, by number or by name.
        share: The share to hold out; at least one is, and at least one stays.
        seed: Of the draw.
        what: A group's name in messages.
        otherwise: What else the user can do, to end messages with.

    Raises:
        BadConfig: There are fewer than two groups, or clips of none.

    >>> held_out_groups([1, 3, 5, 7], share=0.25, seed=0)
    (7,)
    """
    end = otherwise and f"; {otherwise}"
    if UNKNOWN in groups:
        raise BadConfig(
            f"some training clips have no known {what}; calibration holds out whole {what}s, so "
            f"every training clip must have one{end}"
        )
    known = sorted(set(groups))
    if len(known) < 2:
        raise BadConfig(
            f"{len(known)} training {what}(s) found; calibration holds some of them out whole "
            f"and needs at least two{end}"
        )
    chosen = np.random.default_rng(seed).choice(
        len(known), size=_to_hold_out(share, len(known)), replace=False)
    return tuple(known[place] for place in sorted(chosen))


def held_out_clips(
    label: np.ndarray, rows: np.ndarray, share: float, seed: int
) -> tuple[int, ...]:
    """Clips drawn class by class, for what has no subjects to hold out whole.

    Args:
        label: Class of each clip, ``[N]``.
        rows: Those to draw from.
        share: Of each class; at least one clip is drawn, and at least one stays.
        seed: Of the draw.

    Returns:
        Some of ``rows``, ascending.

    >>> label = np.array([0, 0, 0, 0, 1, 1, 2])
    >>> drawn = held_out_clips(label, np.arange(7), share=0.5, seed=0)
    >>> label[list(drawn)].tolist()
    [0, 0, 1]
    """
    draw = np.random.default_rng(seed)
    drawn: list[int] = []
    for index in np.unique(label[rows]):
        own = rows[label[rows] == index]
        drawn += draw.choice(own, size=_to_hold_out(share, len(own)), replace=False).tolist()
    return tuple(sorted(drawn))


def _to_hold_out(share: float, count: int) -> int:
    """At least one, and at least one stays."""
    return min(max(1, math.ceil(share * count - 1e-9)), count - 1)


def _splits(dataset: str) -> dict[str, dict[str, Any]]:
    if dataset == "synthetic":
        from zskel.data import synthetic

        return {"default": {"unseen": synthetic.UNSEEN, "validation_unseen": None,
                            "source": "zskel.data.synthetic"}}
    return _resource()["splits"].get(dataset, {})


def _num_classes(dataset: str) -> int:
    # Data sets of which splits are published but no class list ships.
    count = _resource()["num_classes"].get(dataset)
    return len(class_names(dataset)) if count is None else count


def _complement(count: int, classes: Collection[int]) -> tuple[int, ...]:
    return tuple(c for c in range(count) if c not in set(classes))


def _checked(
    classes: Collection[int | str], dataset: str, count: int, where: str
) -> tuple[int, ...]:
    named = any(isinstance(item, str) for item in classes)
    indices = class_indices(classes, class_names(dataset) if named else (), where)
    ordered = tuple(sorted(int(c) for c in indices))
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
    file = resources.files("zskel.data.resources") / "class_splits.json"
    return json.loads(file.read_text(encoding="utf-8"))
