"""Whether the arrays of the lineage's directories can be what their names say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zskel.data.common.errors import BadInput
from zskel.data.exchange.arrays import row_digests
from zskel.data.exchange.synse_splits import LabelSplits


@dataclass(frozen=True)
class Section:
    """One pair of arrays of a directory, checked.

    Attributes:
        f_x, label: Features and labels.
        logits: Of the phase's seen classes, or None where the lineage has none.
        path, label_path: Their files.
    """

    f_x: np.ndarray
    label: np.ndarray
    logits: np.ndarray | None
    path: Path
    label_path: Path


def _require_classes(section: Section, allowed: Sequence[int], what: str, hint: str) -> None:
    strange = np.flatnonzero(~np.isin(section.label, allowed))
    if len(strange):
        raise BadInput(f"{section.label_path}: row {strange[0]} is class "
                       f"{section.label[strange[0]]}, which is not {what} ({len(strange)} such "
                       f"rows); {hint}")


def _require_all(section: Section, classes: Sequence[int], what: str) -> None:
    missing = sorted(set(classes) - set(section.label.tolist()))
    if missing:
        raise BadInput(f"{section.label_path}: no row of {what} class {missing[0]} "
                       f"({len(missing)} such classes); is {section.path.name} whole?")


def check_test(sections: dict[str, Section], splits: LabelSplits, notes: list[str]) -> None:
    """Checks the test-phase directory against itself and the label splits.

    Args:
        sections: By name of the features' file.
        splits: Of the same split.
        notes: Gets what was found.

    Raises:
        BadInput: Files are swapped or disagree; the message names one.
    """
    swapped = "are files swapped, or does the label split belong to other features?"
    train, ztest, gtest = sections["train"], sections["ztest"], sections["gtest"]
    _require_classes(train, splits.seen, "seen", swapped)
    _require_all(train, splits.seen, "seen")
    _require_classes(ztest, splits.unseen, "unseen", swapped)
    unseen = np.isin(gtest.label, splits.unseen)
    if unseen.all() or not unseen.any():
        raise BadInput(f"{gtest.label_path}: rows of {'un' if unseen.all() else ''}seen classes "
                       f"only, expected both; {swapped}")
    _require_all(ztest, splits.unseen, "unseen")
    inside, rows = gtest.f_x[unseen], gtest.label[unseen]
    if Counter(rows.tolist()) != Counter(ztest.label.tolist()):
        raise BadInput(f"{ztest.label_path}: {len(ztest.label)} rows of unseen classes, "
                       f"{gtest.label_path.name} has {len(rows)} or others; the files disagree")
    if Counter(zip(row_digests(inside), rows.tolist())) != Counter(
            zip(row_digests(ztest.f_x), ztest.label.tolist())):
        same = np.array_equal(rows, ztest.label)
        if not same or not np.allclose(inside, ztest.f_x, rtol=1e-3, atol=1e-4):
            raise BadInput(f"{ztest.path}: its rows are not those of unseen classes in "
                           f"{gtest.path.name}; the files disagree or are swapped")
        worst = float(np.abs(inside - ztest.f_x).max())
        notes.append(f"ztest.npy differs from gtest.npy's rows of unseen classes by up to "
                     f"{worst:.2g}; gtest.npy's are taken, to which gtest_out.npy belongs")
    else:
        notes.append(f"ztest.npy: its {len(rows)} rows are gtest.npy's rows of unseen classes to "
                     "the bit, each is kept once; test rows are all of gtest.npy, seen and unseen")
    _tell_shared(train, gtest, notes)
    _tell_accuracy(gtest, splits.seen, notes)


def check_calibration(
    sections: dict[str, Section], splits: LabelSplits, notes: list[str]
) -> None:
    """The same for the calibration phase."""
    swapped = "are files swapped, or is this not the calibration-phase directory?"
    train, ztest, val = sections["train"], sections["ztest"], sections["val"]
    _require_classes(train, splits.validation_seen, "validation-seen", swapped)
    _require_all(train, splits.validation_seen, "validation-seen")
    _require_classes(ztest, splits.validation_unseen, "validation-unseen", swapped)
    _require_classes(val, splits.validation_seen, "validation-seen", swapped)
    _tell_shared(train, val, notes)
    if len(val.label) == len(ztest.label) and val.logits is not None and ztest.logits is not None:
        as_is = _accuracy(val.logits, val.label, splits.validation_seen)
        exchanged = _accuracy(ztest.logits, val.label, splits.validation_seen)
        if exchanged > max(3 * as_is, 3 / len(splits.validation_seen)):
            raise BadInput(f"{val.path.with_name('val_out.npy')}: gets {as_is:.1%} of val.npy's "
                           f"classes right, ztest_out.npy {exchanged:.1%}; the two are swapped")
    _tell_accuracy(val, splits.validation_seen, notes)
    notes.append(
        f"calibration rows: {len(ztest.label)} of validation-unseen and {len(val.label)} of "
        "validation-seen classes; nothing says whose clips they are. In the published directories "
        "the former are almost certainly test subjects' clips: a gate calibrated on them has met "
        "test subjects, if not test classes")


def compare_phases(
    test: dict[str, Section], calibration: dict[str, Section], notes: list[str]
) -> None:
    """Tells which rows the two phases share."""
    seen_before = set(row_digests(test["gtest"].f_x))
    for name in ("train", "ztest", "val"):
        section = calibration[name]
        shared = sum(digest in seen_before for digest in row_digests(section.f_x))
        if shared:
            notes.append(f"{section.path.parent.name}/{name}.npy: {shared} of "
                         f"{len(section.label)} rows are test rows (gtest.npy) to the bit: "
                         "the calibration phase uses test clips")
    own = set(row_digests(test["train"].f_x))
    rows = row_digests(calibration["train"].f_x)
    shared = sum(digest in own for digest in rows)
    if shared > len(rows) // 2:
        notes.append(f"{shared} of {len(rows)} training rows of the calibration phase are those of "
                     "the test phase to the bit: one backbone made both directories, and has been "
                     "trained on the validation-unseen classes")


def _tell_shared(train: Section, held_out: Section, notes: list[str]) -> None:
    known = set(row_digests(train.f_x))
    shared = sum(digest in known for digest in row_digests(held_out.f_x))
    if shared > len(held_out.label) // 2:
        raise BadInput(f"{held_out.path}: {shared} of its {len(held_out.label)} rows are in "
                       f"{train.path.name}, too; one of the files is a copy or swapped")
    if shared:
        notes.append(f"{held_out.path.parent.name}: {shared} rows of {held_out.path.name} are in "
                     f"{train.path.name}, too")


def _tell_accuracy(section: Section, seen: Sequence[int], notes: list[str]) -> None:
    rows = np.isin(section.label, seen)
    if section.logits is None or not rows.any():
        return
    accuracy = _accuracy(section.logits[rows], section.label[rows], seen)
    chance = 1 / len(seen)
    doubt = "" if accuracy > 1.5 * chance else "; DO THE LOGITS BELONG TO THESE ROWS?"
    notes.append(f"{section.path.parent.name}: logits name {accuracy:.1%} of the seen-class rows "
                 f"of {section.path.name} right (chance {chance:.1%}){doubt}")


def _accuracy(logits: np.ndarray, label: np.ndarray, seen: Sequence[int]) -> float:
    return float(np.mean(np.asarray(seen)[logits.argmax(axis=1)] == label))


