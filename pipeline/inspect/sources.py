"""Raw recordings and sequence stores: clips with coordinates."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.caches import IDENTITY
from zskel.data.classes import class_names
from zskel.data.common.errors import BadConfig, BadInput, ClipError
from zskel.data.common.registry import nearest
from zskel.data.plausibility import Plausibility, as_json, spread, store_notices
from zskel.data.readers import Reader, Scan
from zskel.data.skeleton import LAYOUTS, NTU_RGBD, Clip, JointLayout, mapping_by_name
from zskel.data.splits import class_split
from zskel.data.store import SequenceStore
from zskel.pipeline.base.progress import bar
from zskel.pipeline.inspect.measures import (
    Coordinates,
    class_table,
    count_values,
    identity,
    lengths,
    one_clip,
    protocol_table,
)


@dataclass(frozen=True)
class Options:
    """What a user may say about clips to be described.

    Attributes:
        reader: Name in ``zskel.data.readers.READERS``; None: try all.
        dataset: Whose class names and protocols hold; None: the reader's, or a guess.
        split: A class split of that data set, to mark seen and unseen classes.
        read: Read the coordinates of at most so many clips, evenly spread; 0: all.
        layout: Of joints that the source does not name; None: by their number.
    """

    reader: str | None = None
    dataset: str | None = None
    split: str | None = None
    read: int = 1000
    layout: str | None = None


class ClipSource(ABC):
    """Something that holds clips one can describe and draw.

    Attributes:
        layout: The clips' joints and bones.
        names: Class names in label order.
        sample_ids: In the source's order.
        label: Int ``[N]``, the clips' classes.
        raw: Whether clips are as recorded, not cleaned.
    """

    layout: JointLayout
    names: Sequence[str]
    sample_ids: Sequence[str]
    label: np.ndarray
    raw: bool

    @abstractmethod
    def describe(self, options: Options) -> dict[str, Any]:
        """What the source holds."""

    @abstractmethod
    def clip_at(self, index: int) -> Clip:
        """One clip by position."""

    def clip(self, sample_id: str | None) -> Clip:
        """One clip by sample id; None: the first that can be read.

        Raises:
            BadInput: There is no such clip, or it cannot be read.
        """
        if sample_id is None:
            first: ClipError | None = None
            for index in range(len(self.sample_ids)):
                try:
                    return self.clip_at(index)
                except ClipError as error:
                    first = first or error
            assert first is not None  # sources hold at least one clip
            raise first
        place = {name: i for i, name in enumerate(self.sample_ids)}.get(sample_id)
        if place is None:
            known = list(self.sample_ids)
            hint = nearest(sample_id, known) if len(known) <= 20 or _close(sample_id, known) \
                else f"the first is {known[0]!r}, the last {known[-1]!r}"
            raise BadInput(f"clip {sample_id!r} is not there; {hint}")
        return self.clip_at(place)

    def describe_clip(self, clip: Clip) -> dict[str, Any]:
        """What one clip holds."""
        return {
            "sample_id": clip.sample_id, "label": clip.label,
            "class": self.names[clip.label] if 0 <= clip.label < len(self.names) else "?",
            **{name: getattr(clip, name) for name in IDENTITY if getattr(clip, name) >= 0},
            **one_clip(clip.keypoint),
        }


class RawSource(ClipSource):
    """Raw recordings behind a reader."""

    raw = True

    def __init__(self, path: Path, name: str, reader: Reader, scan: Scan) -> None:
        self.path, self.reader, self.reader_name, self.scan = path, reader, name, scan
        self.layout = reader.layout
        self.sample_ids = [entry.sample_id for entry in scan.entries]
        self.label = np.asarray([entry.label for entry in scan.entries], np.int64)
        self.names = _names(reader.dataset, self.label)

    def clip_at(self, index: int) -> Clip:
        entry = self.scan.entries[index]
        return Clip(entry.sample_id, entry.label, self.reader.read(entry),
                    **{name: getattr(entry, name) for name in IDENTITY})

    def describe(self, options: Options) -> dict[str, Any]:
        gathered, look = Coordinates(), Plausibility(self.layout)
        skipped, unreadable = [vars(skip) for skip in self.scan.skipped], []
        chosen = spread(len(self.sample_ids), options.read)
        with bar("reading clips") as tell:
            for done, index in enumerate(chosen, start=1):
                try:
                    keypoint = self.clip_at(int(index)).keypoint
                    gathered.add(keypoint)
                    look.add(keypoint)
                except ClipError as error:
                    unreadable.append({"name": self.sample_ids[index], "reason": str(error)})
                tell(done, len(chosen))
        if not gathered.frames:
            raise BadInput(f"{self.path}: none of its clips can be read; the first: "
                           f"{unreadable[0]['reason']}")
        columns = {name: np.asarray([getattr(entry, name) for entry in self.scan.entries])
                   for name in IDENTITY}
        return {
            "kind": "raw recordings", "path": str(self.path), "reader": self.reader_name,
            "dataset": self.reader.dataset, "layout": self.layout.name,
            "joints": self.layout.num_joints, **self._layout_note(options),
            "notices": [*({"code": "source", "text": text} for text in self.scan.notes),
                        *as_json(look.notices())],
            **_common(self.reader.dataset, self.names, self.label, columns, options,
                      self.scan.names, self.reader.sample_protocol),
            "frames": lengths(gathered.frames),
            "bodies_per_clip": count_values(gathered.bodies),
            "coordinates": gathered.describe(len(self.sample_ids)),
            "skipped": [*skipped, *unreadable],
        }

    def _layout_note(self, options: Options) -> dict[str, str]:
        """What a user should know of joints that the source itself does not name."""
        name, joints = self.layout.name, self.layout.num_joints
        takes = "layout" in signature(type(self.reader)).parameters
        others = [other for other, known in LAYOUTS.items()
                  if known.num_joints == joints and other != name]
        notes = []
        if takes and options.layout is None and others:
            notes.append(f"taken from the number of joints, which {', '.join(others)} has, too; "
                         "say with --layout which it is")
        if takes and self.layout != NTU_RGBD and mapping_by_name(self.layout):
            notes.append(f"extract maps the joints to the {NTU_RGBD.num_joints} of "
                         f"{NTU_RGBD.name}, unless reader_options say map_to_ntu=False")
        return {"about_the_layout": "; ".join(notes)} if notes else {}


class StoreSource(ClipSource):
    """A sequence store."""

    raw = False

    def __init__(self, path: Path) -> None:
        self.path, self.store = path, SequenceStore(path)
        self.names, self.sample_ids = self.store.class_names, self.store.sample_id.tolist()
        self.label = self.store.label

    @property
    def layout(self) -> JointLayout:  # type: ignore[override]
        """Looked up late: a store of unknown layout can be described, not drawn."""
        return self.store.layout

    def clip_at(self, index: int) -> Clip:
        return self.store.clip(index)

    def describe(self, options: Options) -> dict[str, Any]:
        store, gathered = self.store, Coordinates()
        for index in spread(len(store), options.read):
            gathered.add(self.clip_at(int(index)).keypoint)
        columns = {name: getattr(store, name) for name in IDENTITY}
        report = self._report()
        return {
            "kind": "sequence store", "path": str(self.path), "dataset": store.dataset,
            "layout": store.layout.name, "joints": self.clip_at(0).keypoint.shape[2],
            "bytes": self.path.stat().st_size, "digest": store.digest,
            "notices": store_notices(store),
            **_common(store.dataset, self.names, store.label, columns, options, store.names,
                      store.sample_protocol),
            "frames": lengths(store.num_frames),
            "bodies_per_clip": count_values(store.num_bodies),
            "coordinates": gathered.describe(len(store)),
            "cleaning": [dict(step) for step in store.cleaning],
            "parse_report": report and {k: v for k, v in report.items() if k in (
                "found", "stored", "empty_frames")},
            "skipped": report["skipped"] if report else [],
            "checks": [
                {"check": "index and coordinates agree", "passed": True},
                {"check": "sample ids are unique",
                 "passed": len(set(self.sample_ids)) == len(self.sample_ids)},
                {"check": "labels are within class_names",
                 "passed": bool(((store.label >= 0) & (store.label < len(self.names))).all())},
                {"check": "parse report counts the clips stored here",
                 "passed": report is not None and report["stored"] == len(store)},
            ],
        }

    def _report(self) -> dict[str, Any] | None:
        path = self.path.with_name(self.path.name + ".report.json")
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            return report if {"found", "stored", "skipped"} <= set(report) else None
        except (OSError, ValueError, TypeError):
            return None


def _names(dataset: str, label: np.ndarray) -> Sequence[str]:
    try:
        names: Sequence[str] = class_names(dataset)
    except BadConfig:
        names = ()
    more = range(len(names), int(label.max()) + 1)
    return [*names, *(f"class {index}" for index in more)]


def _common(
    dataset: str, names: Sequence[str], label: np.ndarray, columns: dict[str, np.ndarray],
    options: Options, identity_names: Mapping[str, Mapping[str, int]], marked: str,
) -> dict[str, Any]:
    split = class_split(dataset, options.split) if options.split else None
    table = class_table(
        names, label, None, split.seen if split else None, split.unseen if split else ())
    return {
        "clips": len(label),
        "classes_with_clips": f"{sum(row['clips'] > 0 for row in table)} of {len(names)}",
        **({"split": options.split} if split else {}),
        "identity": identity(columns, identity_names),
        "sample_protocols": protocol_table(
            dataset, columns, label, split.unseen if split else None, marked),
        "classes": table,
    }


def _close(name: str, known: Sequence[str]) -> bool:
    return nearest(name, known).startswith("did you mean")
