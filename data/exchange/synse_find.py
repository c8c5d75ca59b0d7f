"""Which of the many directories of a SynSE-lineage download belong together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zskel.data.caches import CALIBRATION, TEST
from zskel.data.common.errors import BadInput
from zskel.data.exchange.caches import UNKNOWN_NAME
from zskel.data.exchange.layouts import DATASETS, split_files

_MARKS = {TEST: ("gtest.npy", "g_label.npy", "gtest_out.npy"),
          CALIBRATION: ("val.npy", "val_label.npy", "val_out.npy")}
_OPTIONS = {TEST: "--test-folder", CALIBRATION: "--calibration-folder"}


@dataclass(frozen=True)
class Found:
    """Where everything lies.

    Attributes:
        test, calibration: Directories of the two phases.
        splits: The folder of label splits.
        unseen: How many unseen classes there are.
        texts: "" -> the file of f_y, part -> that of the part; may be empty.
    """

    test: Path
    calibration: Path
    splits: Path
    unseen: int
    texts: Mapping[str, Path]


@dataclass(frozen=True)
class Given:
    """What the caller knows of it; None: to be found."""

    test: Path | None = None
    calibration: Path | None = None
    splits: Path | None = None
    unseen: int | None = None
    texts: Mapping[str, Path] = field(default_factory=dict)


def find(folder: Path, dataset: str, classes: int, given: Given) -> Found:
    """Looks through a folder.

    Args:
        folder: The download, or a directory above both phases.
        dataset: Our name of the data set.
        classes: How many classes it has.
        given: What need not be looked for.

    Raises:
        BadInput: Something is not there, or there are several; the message says
            which option chooses.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder")
    test = given.test or _directory(folder, TEST, dataset, given.unseen, None)
    token = _token(test)
    unseen = given.unseen or _unseen_by_name(test)
    calibration = given.calibration or _directory(folder, CALIBRATION, dataset, unseen, test)
    splits = given.splits or _splits(folder, token, unseen, classes)
    if unseen is None:
        sizes = sorted(int(m[1]) for m in (re.fullmatch(r"ru(\d+)\.npy", p.name)
                                           for p in splits.iterdir()) if m)
        if len(sizes) != 1:
            raise BadInput(f"{splits}: ru*.npy of {len(sizes)} sizes; say with --unseen how many "
                           "unseen classes the features have")
        unseen = sizes[0]
    texts = given.texts or _texts(folder, token, classes)
    return Found(test, calibration, splits, unseen, texts)


def _directory(
    folder: Path, phase: str, dataset: str, unseen: int | None, test: Path | None
) -> Path:
    candidates = sorted({path.parent for mark in _MARKS[phase] for path in folder.rglob(mark)})
    if unseen is not None:
        candidates = _prefer(candidates, lambda path: _unseen_by_name(path) in (None, unseen))
    if test is None:
        own = DATASETS.get(dataset, dataset)
        candidates = _prefer(candidates, lambda path: own in _token(path).split("_"))
        candidates = _prefer(candidates, lambda path: own == _token(path))
    else:
        candidates = _prefer(candidates, lambda path: _token(path) == _token(test))
        own = re.sub(r"_(\d+_r)$", r"_val_\1", test.name)
        candidates = _prefer(candidates, lambda path: path.name == own)
    if not candidates:
        raise BadInput(f"{folder}: holds no {phase}-phase directory, one with "
                       f"{', '.join(_MARKS[phase][:2])}")
    return _one(candidates, f"{phase}-phase directories", _OPTIONS[phase])


def _splits(folder: Path, token: str, unseen: int | None, classes: int) -> Path:
    pattern = "ru*.npy" if unseen is None else f"{split_files(classes, unseen)['unseen']}.npy"
    candidates = sorted({path.parent for path in folder.rglob(pattern)})
    candidates = _prefer(candidates, lambda path: bool(token) and path.name == token)
    if not candidates:
        raise BadInput(f"{folder}: holds no label splits {pattern}; name their folder with "
                       "--label-splits")
    return _one(candidates, "folders of label splits", "--label-splits")


def _texts(folder: Path, token: str, classes: int) -> dict[str, Path]:
    found = {}
    for part in ("verb", "noun"):
        own = sorted(folder.rglob(f"ntu{classes}_*_{part}.npy"))
        own += sorted(folder.rglob(f"{part}_{classes}.npy"))
        if own:
            found[part] = _one(own, f"text features of {part}s", f"--text {part}=FILE")
    whole = sorted(folder.rglob(f"ntu{classes}_*_labels.npy"))
    whole += sorted(path for path in folder.rglob(f"*_{classes}.npy")
                    if "text_feats" in path.parts and path not in found.values())
    whole = _prefer(whole, lambda path: bool(token) and token in path.parts)
    if whole:
        found[""] = _one(whole, "text features", "--text FILE")
    return found


def encoder_name(path: Path, directory: Path) -> str:
    """What the path of text features says of their encoder.

    Args:
        path: Of the text features.
        directory: Of the test phase, whose name says what the lineage calls the data set.

    >>> encoder_name(Path("text_feats/ViT-B/32/lb_60.npy"), Path("sk_feats/shift_5_r"))
    'ViT-B/32'
    >>> encoder_name(Path("resources/ntu60_bert_labels.npy"), Path("ntu_results/shift_5_r"))
    'bert'
    """
    named = re.fullmatch(r"ntu\d+_(.+)_(labels|verb|noun)", path.stem)
    if named:
        return named[1]
    if "text_feats" not in path.parts:
        return path.parent.name or UNKNOWN_NAME
    below = list(path.parts[path.parts.index("text_feats") + 1:-1])
    return "/".join(part for part in below if part != _token(directory)) or UNKNOWN_NAME


def _token(directory: Path) -> str:
    """``ntu60`` of ``shift_ntu60_val_5_r``; empty where a name says nothing."""
    name = re.sub(r"(_val)?_\d+_r$", "", directory.name)
    return name.partition("_")[2]


def _unseen_by_name(directory: Path) -> int | None:
    found = re.search(r"_(\d+)_r$", directory.name)
    return int(found[1]) if found else None


def _prefer(candidates: list[Path], condition: Callable[[Path], bool]) -> list[Path]:
    """Those that meet a condition; all, if none does."""
    return [path for path in candidates if condition(path)] or candidates


def _one(candidates: Sequence[Path], what: str, option: str) -> Path:
    if len(candidates) > 1:
        shown = ", ".join(str(path) for path in candidates[:4])
        more = f" and {len(candidates) - 4} more" if len(candidates) > 4 else ""
        raise BadInput(f"{len(candidates)} {what} ({shown}{more}); choose one with {option}")
    return candidates[0]
