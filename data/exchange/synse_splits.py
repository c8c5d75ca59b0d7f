"""The lineage's label splits: ``ru``, ``rs``, ``rv`` files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zskel.data.common.errors import BadInput
from zskel.data.exchange.arrays import labels_of, load_npy
from zskel.data.exchange.layouts import split_files


@dataclass(frozen=True)
class LabelSplits:
    """Classes of both phases, ascending, and the order of the files of seen ones."""

    seen: tuple[int, ...]
    unseen: tuple[int, ...]
    validation_seen: tuple[int, ...]
    validation_unseen: tuple[int, ...]
    seen_order: tuple[int, ...]
    validation_seen_order: tuple[int, ...]


def read_label_splits(
    folder: Path, classes: int, unseen: int, notes: list[str]
) -> LabelSplits:
    """Reads and checks the four files of a split.

    Raises:
        BadInput: A file is missing or damaged, or they contradict each other.
    """
    paths = {which: folder / f"{name}.npy" for which, name in split_files(classes, unseen).items()}
    # In this order: the others are checked against these two.
    found = {which: _classes(paths[which], classes, unseen)
             for which in ("unseen", "validation_unseen")}
    shared = sorted(set(found["unseen"]) & set(found["validation_unseen"]))
    if shared:
        raise BadInput(f"{paths['validation_unseen']}: holds class {shared[0]}, which "
                       f"{paths['unseen'].name} has as unseen")
    seen_order = _seen(paths["seen"], classes, {*found["unseen"]}, notes)
    validation_order = _seen(paths["validation_seen"], classes,
                             {*found["unseen"], *found["validation_unseen"]}, notes)
    return LabelSplits(
        tuple(sorted(seen_order)), tuple(sorted(found["unseen"])), tuple(sorted(validation_order)),
        tuple(sorted(found["validation_unseen"])), seen_order, validation_order,
    )


def _classes(path: Path, classes: int, count: int | None) -> tuple[int, ...]:
    values = labels_of(load_npy(path), str(path), classes).tolist()
    if len(set(values)) != len(values):
        raise BadInput(f"{path}: holds a class twice")
    if count is not None and len(values) != count:
        raise BadInput(f"{path}: holds {len(values)} classes, its name says {count}")
    return tuple(values)


def _seen(path: Path, classes: int, others: set[int], notes: list[str]) -> tuple[int, ...]:
    found = _classes(path, classes, None)
    expected = set(range(classes)) - others
    strange = sorted(set(found) - expected)
    if strange:
        raise BadInput(f"{path}: holds class {strange[0]}, which is unseen or validation-unseen; "
                       "are label splits swapped?")
    if len(found) < len(expected):
        missing = sorted(expected - set(found))
        notes.append(f"{path.name}: holds {len(found)} of {len(expected)} classes, without "
                     f"{', '.join(map(str, missing[:5]))}{', ...' if len(missing) > 5 else ''}; "
                     "all that are neither unseen nor validation-unseen are taken")
        return tuple(sorted(expected))
    return found
