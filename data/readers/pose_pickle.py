"""The neutral pickle of mmaction2 and pyskl: any data set, any joint layout, 3D.

``dict(split={name: [frame_dir, ...]}, annotations=[dict(frame_dir, label,
total_frames, keypoint[M, T, V, 3]), ...])``, or the list of annotations alone,
as mmaction2 0.x has it. The file is opened by ``zskel.data.readers.safe_pickle``, which
executes nothing that is in it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.classes import class_names as names_of
from zskel.data.classes import register_dataset
from zskel.data.common.errors import BadConfig, BadInput, ClipError
from zskel.data.common.registry import nearest
from zskel.data.readers.base import Entry, Reader, Scan, Skip
from zskel.data.readers.coordinates import bodies_there, finite
from zskel.data.readers.identity import NamePattern, Value, numbered, of_annotation, of_ntu_name
from zskel.data.readers.raw_file import printable
from zskel.data.readers.safe_pickle import load
from zskel.data.skeleton import (
    NTU_RGBD,
    UNKNOWN,
    JointLayout,
    layout_of,
    layouts_of,
    mapping_by_name,
    off_origin,
)

TRAIN, TEST = 1, 2


class PosePickleReader(Reader):
    """Reads the clips of one or several pickles.

    A file is loaded whole, once in each process that reads from it, and stays
    in memory until another one is read: expect the file's size in memory for
    each worker.

    Args:
        sources: Pickle files.
        dataset: The data set's name.
        class_names: Class names in label order, or a text file with one a line;
            None for a data set whose classes are known.
        layout: A name of ``zskel.data.layouts``, such as "coco-17", or one's own as
            ``zskel.data.skeleton.layout_of`` takes it.
        map_to_ntu: Joints are mapped to the 25 of "nturgb+d" where their names
            allow it, as in all shipped layouts, so that published weights can be
            used; False keeps the layout, as one of one's own is otherwise.
        train_split: The name of a list in ``split``: ``replication`` is 1 for
            the clips in it and 2 for all others. A file without ``split`` is one
            list, named as the file is. None: not told apart.
        name_pattern: A regular expression that is looked for in ``frame_dir``,
            with named groups among subject, camera, setup and replication.
        first_label: The label of the first class: 1 where labels are counted
            from 1.

    ``frame_dir`` is the sample id. Subject, camera, setup and replication are
    each taken from the first that tells: the annotation's key of that name, a
    number or a text; ``name_pattern``; an NTU name, ``SsssCcccPpppRrrrAaaa``.
    What nothing tells is unknown. Texts become numbers as ``identity.numbered``
    says, and the scan keeps which. ``train_split`` goes before all of them for
    the replication.
    """

    endings = (".pkl", ".pickle")
    training_options = ("train_split", "name_pattern")

    def __init__(
        self,
        sources: Sequence[str | Path],
        dataset: str,
        class_names: Sequence[str] | str | None = None,
        layout: str | Mapping[str, Any] = "nturgb+d",
        map_to_ntu: bool = True,
        train_split: str | None = None,
        name_pattern: str | None = None,
        first_label: int = 0,
    ) -> None:
        super().__init__(sources)
        self.dataset = dataset
        names = names_of(dataset) if class_names is None else register_dataset(dataset, class_names)
        self.num_classes = len(names)
        self.source_layout = layout_of(layout)
        self._mapping = None
        if map_to_ntu and self.source_layout is not NTU_RGBD:
            self._mapping = mapping_by_name(self.source_layout)
        self.layout: JointLayout = NTU_RGBD if self._mapping else self.source_layout
        self.train_split = train_split
        self.name_pattern = None if name_pattern is None else NamePattern(name_pattern)
        if first_label not in (0, 1):
            raise BadConfig(f"reader_options.first_label is {first_label!r}, expected 0 or 1")
        self.first_label = first_label

    def scan(self) -> Scan:
        """Lists the clips, sorted by sample id.

        Raises:
            BadInput: A file cannot be read, asks for anything but arrays and
                builtin containers, is no such pickle, holds 2D poses, or counts
                labels from another number than ``first_label``.
            BadConfig: There is no split of the name ``train_split``, or
                ``name_pattern`` matches no name.
        """
        scan = Scan()
        taken: dict[str, str] = {}
        found: dict[str, tuple[int, str, dict[str, Value]]] = {}
        labels: set[int] = set()
        strangers: list[str] = []
        for source in self.sources:
            if source.is_dir():
                raise BadInput(f"{printable(source)}: is a folder; --raw takes the pickle file")
            pickled = _pickled(source)
            train = self._training_clips(pickled, source)
            for number, name, label, problem in pickled.listed:
                values: dict[str, Value] = {}
                if not problem and name in taken:
                    problem = f"is there twice; only the first, in {taken[name]}, counts"
                elif not problem:
                    taken[name] = printable(source)
                    if label is not None:
                        labels.add(label)
                    values, problem = self._identity(name, pickled.annotations[name], strangers)
                    problem = problem or self._wrong_label(label)
                if problem:
                    shown = printable(name) if name else f"{printable(source)}: annotation {number}"
                    scan.skipped.append(Skip(shown, problem))
                    continue
                if train is not None:
                    values["replication"] = TRAIN if name in train else TEST
                index = UNKNOWN if label is None else label - self.first_label
                found[name] = (index, str(source), values)
        where = ", ".join(map(printable, self.sources))
        self._check_counting(labels, where)
        self._check_pattern(strangers, len(taken), scan)
        if not found and not scan.skipped:
            raise BadInput(f"{where}: holds no annotations")
        ordered = sorted(found)
        numbers, scan.names = numbered([found[name][2] for name in ordered])
        scan.entries = [Entry(name, *found[name][:2], name, **identity)
                        for name, identity in zip(ordered, numbers, strict=True)]
        return scan

    def _identity(
        self, name: str, annotation: Mapping[str, Any], strangers: list[str]
    ) -> tuple[dict[str, Value], str]:
        """Values by field, and what is wrong; notes names that the pattern does not match."""
        told, problem = of_annotation(annotation)
        named = self.name_pattern(name) if self.name_pattern is not None else {}
        if named is None:
            strangers.append(name)
        return {**of_ntu_name(name), **(named or {}), **told}, problem

    def _wrong_label(self, label: int | None) -> str:
        if label is None:
            return "" if self.unlabelled else "has no 'label', the number of its class"
        last = self.first_label + self.num_classes - 1
        fits = self.first_label <= label <= last
        return "" if fits else f"label {label} is not in {self.first_label}..{last}"

    def _check_counting(self, labels: set[int], where: str) -> None:
        """Raises BadInput where all labels would fit if counted from the other number."""
        if len(labels) < 2:
            return  # one label out of range says nothing of the others
        low, high = min(labels), max(labels)
        if (self.first_label == 0 and low > 0 and high == self.num_classes) or (
            self.first_label == 1 and low == 0 and high < self.num_classes
        ):
            other = 1 - self.first_label
            raise BadInput(
                f"{where}: labels run from {low} to {high} and there are {self.num_classes} "
                f"classes: labels seem to be counted from {other}; say so with "
                f"reader_options.first_label={other}, or count from {self.first_label} in the file"
            )

    def _check_pattern(self, strangers: Sequence[str], names: int, scan: Scan) -> None:
        if not strangers:
            return
        if len(strangers) == names:
            raise BadConfig(f"reader_options.name_pattern matches none of {names} clip names, such "
                            f"as {strangers[0]!r}")
        scan.notes.append(f"{len(strangers)} of {names} clip names do not match name_pattern, "
                          f"the first is {strangers[0]!r}: it tells nothing of them")

    def _training_clips(self, pickled: _Pickled, source: Path) -> frozenset[str] | None:
        if self.train_split is None:
            return None
        # Of several lists, each one split, only one can have the name.
        alone = pickled.is_list and self.train_split in {path.stem for path in self.sources}
        if self.train_split not in pickled.splits and not alone:
            there = nearest(self.train_split, pickled.splits) if pickled.splits else (
                "it has none; dataset.sample_protocol='random-clips' needs none")
            raise BadConfig(f"{printable(source)}: has no split {self.train_split!r}; {there}")
        return pickled.splits.get(self.train_split, frozenset())

    def read(self, entry: Entry) -> np.ndarray:
        """Reads one clip.

        Returns:
            Float32 ``[M, T, V, 3]``: the bodies that appear, joints as ``layout``;
            not relative to one of them (``zskel.data.skeleton.off_origin``).

        Raises:
            ClipError: The pose is no such array, is not finite as float32, has
                another length than ``total_frames``, or holds no body.
        """
        annotation = _pickled(Path(entry.path)).annotations.get(entry.member)
        where = printable(entry.where)
        if annotation is None:
            raise ClipError(f"{where}: is no longer in the file")
        keypoint = bodies_there(self._checked(annotation, where), where)
        keypoint = off_origin(keypoint, self.source_layout)
        return keypoint if self._mapping is None else self._mapping(keypoint)

    def _checked(self, annotation: Mapping[str, Any], where: str) -> np.ndarray:
        keypoint, joints = annotation.get("keypoint"), self.source_layout.num_joints
        expected = f"[bodies, frames, {joints}, 3]"
        if not isinstance(keypoint, np.ndarray) or keypoint.dtype.kind not in "fiu":
            raise ClipError(f"{where}: 'keypoint' is no array of numbers {expected}")
        if keypoint.ndim != 4 or keypoint.shape[2:] != (joints, 3) or 0 in keypoint.shape:
            problem = f"'keypoint' has shape {keypoint.shape}, expected {expected} as of layout "
            other = keypoint.shape[2] if keypoint.ndim == 4 and keypoint.shape[3] == 3 else joints
            hint = f"; layouts of {other} joints: {layouts_of(other)}" if other != joints else ""
            raise ClipError(f"{where}: {problem}{self.source_layout.name!r}{hint}")
        frames = annotation.get("total_frames", keypoint.shape[1])
        if not _is_integer(frames) or frames != keypoint.shape[1]:
            raise ClipError(f"{where}: 'total_frames' is {ascii(frames)[:40]}, 'keypoint' has "
                            f"{keypoint.shape[1]} frames")
        return finite(keypoint, f"{where}: 'keypoint'")


@dataclass(frozen=True)
class _Pickled:
    """A file's content: annotations by ``frame_dir``, and all of them in a list.

    Attributes:
        listed: Number (from 1), ``frame_dir``, label (None: it has none) and what
            is wrong of each.
        is_list: Whether the file is a list of annotations, as of mmaction2 0.x.
    """

    annotations: dict[str, Mapping[str, Any]]
    listed: list[tuple[int, str, int | None, str]]
    splits: dict[str, frozenset[str]]
    is_list: bool


def _pickled(path: Path) -> _Pickled:
    try:
        status = os.stat(path)
    except OSError as error:
        raise BadInput(f"{printable(path)}: cannot be read: {error.strerror}") from None
    return _load(str(path), status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1)
def _load(path: str, modified: int, size: int) -> _Pickled:
    where = printable(path)
    content = load(path)
    is_list = isinstance(content, list)
    if is_list:
        content = {"annotations": content}
    fine = isinstance(content, dict) and isinstance(content.get("annotations"), list)
    if is_list:  # of annotations, or of something else
        fine = any(isinstance(item, dict) for item in content["annotations"])
    if not fine or not isinstance(content.get("split", {}), dict):
        raise BadInput(f"{where}: expected dict(split={{name: [frame_dir, ...]}}, "
                       "annotations=[dict(frame_dir, label, keypoint, ...), ...]), or such a "
                       "list of annotations alone")
    splits = {}
    for name, members in content.get("split", {}).items():
        if not isinstance(name, str) or not isinstance(members, (list, tuple)) or not all(
            isinstance(member, str) for member in members
        ):
            raise BadInput(f"{where}: split {ascii(name)[:40]} is no list of frame_dirs")
        splits[str(name)] = frozenset(map(str, members))
    annotations: dict[str, Mapping[str, Any]] = {}
    listed = []
    for number, annotation in enumerate(content["annotations"], start=1):
        name, label, problem = _listed(annotation)
        listed.append((number, name, label, problem))
        if name and not problem:
            annotations.setdefault(name, annotation)
    shapes: list[Any] = [getattr(a.get("keypoint"), "shape", ()) for a in annotations.values()]
    if shapes and all(len(shape) == 4 and shape[3] == 2 for shape in shapes):
        raise BadInput(f"{where}: holds 2D poses (keypoint [bodies, frames, joints, 2]); "
                       "3D skeletons are needed")
    if is_list:
        splits[Path(path).stem] = frozenset(annotations)
    return _Pickled(annotations, listed, splits, is_list)


def _listed(annotation: Any) -> tuple[str, int | None, str]:
    """``frame_dir``, label and what is wrong."""
    if not isinstance(annotation, dict):
        return "", 0, "is no dict"
    name: Any = annotation.get("frame_dir")
    label: Any = annotation.get("label")
    if not isinstance(name, str) or not name or not name.isprintable():
        return "", 0, f"'frame_dir' is {ascii(name)[:40]}, expected a name"
    if "label" not in annotation:
        return str(name), None, ""
    if not _is_integer(label):
        return str(name), 0, f"'label' is {ascii(label)[:40]}, expected an integer"
    return str(name), int(label), ""


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))

