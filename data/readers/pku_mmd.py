"""PKU-MMD, phases 1 and 2: long sequences, cut into labelled instances.

A recording ``VIDEO-V`` (V is the camera, L, M or R) has a skeleton file, a line
per frame, and a label file, a line ``class,start,end,confidence`` per instance.
Videos are called ``0002`` in phase 1 and ``A01N01`` in phase 2; numbers are
taken in both. The folders may have any names and lie anywhere below the
sources: skeleton and label files are told apart by suffix, folder or content,
and split files by their names.

Frames of the label files are counted from 0 and ``end`` is the first frame after
the instance, as in a Python slice. The data set's own description leaves this
open; the other readings differ by one frame at an end.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.common.errors import BadConfig, BadInput, ClipError
from zskel.data.readers.base import Entry, Reader, Scan, Skip
from zskel.data.readers.pku_cut import cut_name, read_cut
from zskel.data.readers.raw_file import printable, read_file
from zskel.data.skeleton import NTU_RGBD, present

NUM_CLASSES = 51
TRAIN, TEST = 1, 2
MAX_SEQUENCE_BYTES = 256 << 20
MAX_LABEL_BYTES = 1 << 20
#: Added to the video number of phase 2, so that ``setup`` is unique over phases.
PHASE_2_SETUP = 10000

_CAMERAS = {"L": 1, "M": 2, "R": 3}
_FILE = re.compile(r"([0-9]{1,4}|A([0-9]{2})N([0-9]{2}))-([LMR])\.(txt|skeleton|label)")
_PROTOCOLS = {"cross-subject": "subject", "cross-view": "view"}
_SECOND = re.compile(r"(v|phase|part)[ _-]?2", re.IGNORECASE)
_LAYOUT = "--raw takes the folder that holds the skeleton, label and split folders"


@dataclass(frozen=True)
class _Split:
    """A split file: its videos, each ``VIDEO-V``."""

    path: Path
    phase: int
    train: frozenset[str]
    test: frozenset[str]


class PKUMMDReader(Reader):
    """Reads the instances of one or both phases.

    Instances that are cut already, ``FfffVvvvCcccLlll.skeleton``, need no label files,
    and get the same sample ids; ``zskel.data.readers.pku_cut`` says what is read.

    ``replication`` is 1 for instances of the split file's training videos and
    2 for those of its test videos; ``camera`` is 1, 2, 3 for L, M, R; ``setup``
    is the video's number, that of ``AxxNyy`` being 100 xx + yy, in phase 2
    10000 more. Skeleton files do not tell the subject, which stays unknown.

    Args:
        sources: Folders: one that holds everything, one for each phase, or the
            parts of one.
        protocol: "cross-subject" or "cross-view": which split files to use.
        phase: 1, 2 or "both". A split file belongs to phase 2 if it says v2,
            phase2 or part2 in its path below the source, or lists ``AxxNyy``.
        split_file: One or several paths to use instead of those found.
    """

    dataset = "pku-mmd"
    layout = NTU_RGBD
    endings = (".txt", ".skeleton", ".label")

    def __init__(
        self,
        sources: Sequence[str | Path],
        protocol: str = "cross-subject",
        phase: int | str = "both",
        split_file: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__(sources)
        if protocol not in _PROTOCOLS:
            raise BadConfig(f"protocol {protocol!r}: expected {' or '.join(_PROTOCOLS)}")
        if phase not in (1, 2, "both") or isinstance(phase, bool):
            raise BadConfig(f"phase {phase!r}: expected 1, 2 or 'both'")
        self.protocol = self.sample_protocol = protocol
        self.phases = (1, 2) if phase == "both" else (phase,)
        paths = [split_file] if isinstance(split_file, (str, Path)) else split_file or ()
        self.split_files = tuple(Path(path) for path in paths)

    def scan(self) -> Scan:
        """Lists the instances, sorted by sample id, e.g. "P1-0002-L-003".

        The last number is the instance's line in the label file, from 1. An
        instance that ends past its sequence is kept up to there and listed
        among the skips all the same; one that lies outside is left out.

        Raises:
            BadInput: A source does not exist, or there is no skeleton, label or
                split file in any of them.
        """
        listings = []
        for source in self.sources:
            if not source.is_dir():
                wrong = "is no folder" if source.exists() else "no such folder"
                raise BadInput(f"{printable(source)}: {wrong}; {_LAYOUT}")
            listings.append(_listing(source))
        given = [_read_split(path, path.name) for path in self.split_files]
        found = [given or self._splits(*pair) for pair in zip(self.sources, listings)]
        every = [split for splits in found for split in splits]
        names = ", ".join(printable(source) for source in self.sources)
        if not every:
            cut = any(listing.cut for listing in listings)
            raise BadInput(f"{names}: no {self.protocol} split file in it, such as Split/"
                           f"{self.protocol}.txt, to tell which videos train; " + (
                               "clips that are cut already need nothing else: put it beside them "
                               "or set reader_options.split_file" if cut
                               else f"{_LAYOUT}, or set split_file"))
        scan = Scan()
        labels = {name: path for listing in reversed(listings)
                  for name, path in listing.files["label"].items()}
        known: dict[str, Entry] = {}
        for listing, splits in zip(listings, found):
            for name, path in listing.files["skeleton"].items():
                # Where a folder brings its own labels, another phase's do not count.
                own = listing.files["label"] or labels
                self._add_video(name, path, own.get(name), splits or every, known, scan)
            for path in listing.cut:
                self._add_cut(path, splits or every, known, scan)
        if not known and not scan.skipped:
            raise BadInput(f"{names}: no skeleton file such as Data/Skeleton/0002-L.txt; {_LAYOUT}")
        scan.entries = [known[sample_id] for sample_id in sorted(known)]
        return scan

    def _splits(self, source: Path, listing: _Listing) -> list[_Split]:
        kind = _PROTOCOLS[self.protocol]
        return [
            _read_split(path, os.path.relpath(path, source.parent))
            for path in listing.splits if kind in path.name.lower()
        ]

    def _add_video(
        self, name: str, path: Path, label_path: Path | None, splits: Sequence[_Split],
        known: dict[str, Entry], scan: Scan,
    ) -> None:
        def skip(reason: str) -> None:
            scan.skipped.append(Skip(printable(path), reason))

        split, problem = self._split_of(name, splits)
        if split is None:
            return skip(problem)
        if label_path is None:
            return skip("has no label file")
        try:
            frames = count_frames(read_file(path, MAX_SEQUENCE_BYTES))
            labels = read_file(label_path, MAX_LABEL_BYTES)
            lines = labels.decode("utf-8-sig", "replace").splitlines()
        except ClipError as error:
            return skip(str(error))
        if not any(line.strip() for line in lines):
            return skip(f"has an empty label file, {printable(label_path)}")
        subset = TRAIN if name in split.train else TEST
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            sample_id = f"P{split.phase}-{name}-{number:03d}"
            label, span, problem = _instance(line, frames)
            if problem:
                scan.skipped.append(Skip(sample_id, problem))
            if label is None or span is None:
                continue
            _add(Entry(
                sample_id, label, str(path), "", span, camera=_CAMERAS[name[-1]],
                setup=_video_number(name) + PHASE_2_SETUP * (split.phase - 1), replication=subset,
            ), known, scan)

    def _split_of(self, name: str, splits: Sequence[_Split]) -> tuple[_Split | None, str]:
        """The split file that lists a video, or why none does that counts."""
        listed = [split for split in splits if name in split.train | split.test]
        if len({split.phase for split in listed}) > 1:
            return None, ("is in the split files of both phases; give each phase's folder as a "
                          "--raw of its own")
        if not listed:
            return None, f"is in no line of {', '.join(sorted({s.path.name for s in splits}))}"
        split = listed[0]
        if split.phase not in self.phases:
            return None, f"is of phase {split.phase}, which the option 'phase' leaves out"
        if name in split.train & split.test:
            return None, f"is a training and a test video in {split.path.name}"
        return split, ""

    def _add_cut(
        self, path: Path, splits: Sequence[_Split], known: dict[str, Entry], scan: Scan
    ) -> None:
        named = cut_name(path.name)
        assert named is not None
        if not 1 <= named.action <= NUM_CLASSES or not 1 <= named.view <= len(_CAMERAS):
            scan.skipped.append(Skip(printable(path), f"class {named.action}, view {named.view}: "
                                     f"expected 1..{NUM_CLASSES} and 1..{len(_CAMERAS)}"))
            return
        video = f"{named.video:04d}-{'LMR'[named.view - 1]}"
        split, problem = self._split_of(video, splits)
        if split is None:
            scan.skipped.append(Skip(printable(path), f"its video {video} {problem}"))
            return
        part = f"{video}-{named.line:03d}" if named.line else path.stem
        _add(Entry(
            f"P{split.phase}-{part}", named.action - 1, str(path), camera=named.view,
            setup=named.video + PHASE_2_SETUP * (split.phase - 1),
            replication=TRAIN if video in split.train else TEST,
        ), known, scan)

    def read(self, entry: Entry) -> np.ndarray:
        """Cuts one instance out of its sequence.

        The last sequence read stays in memory, one per process, as many
        instances come from it.

        Returns:
            Float32 ``[M, T, 25, 3]``, metres; M is the number of bodies, 1 or 2,
            that appear in the instance.

        Raises:
            ClipError: The skeleton file is damaged, wherever in it, or the
                instance holds no body.
        """
        if entry.span is None:
            return read_cut(entry.path)
        try:
            status = os.stat(entry.path)
        except OSError as error:
            raise ClipError(f"{printable(entry.path)}: cannot be read: {error}") from None
        sequence = _sequence(entry.path, status.st_mtime_ns, status.st_size)
        if isinstance(sequence, str):
            raise ClipError(sequence)
        start, end = entry.span
        if not 0 <= start < end <= sequence.shape[1]:
            raise ClipError(f"{printable(entry.path)}: has {sequence.shape[1]} frames, instance "
                            f"{entry.sample_id} is {start}..{end}")
        clip = sequence[:, start:end]
        bodies = present(clip).any(axis=1)
        if not bodies.any():
            raise ClipError(f"{printable(entry.path)}: no body in frames {start}..{end} "
                            f"of {entry.sample_id}, all coordinates are zero")
        return clip[bodies]


def _add(entry: Entry, known: dict[str, Entry], scan: Scan) -> None:
    first = known.setdefault(entry.sample_id, entry)
    if first is not entry:
        scan.skipped.append(Skip(entry.sample_id, f"{printable(entry.path)}, also in "
                                 f"{printable(first.path)}, which is used"))


def count_frames(text: bytes) -> int:
    r"""The frames of a skeleton file: its lines, without blank ones at the end.

    >>> count_frames(b"1 2\n3 4\n\n"), count_frames(b"1 2"), count_frames(b" \n")
    (2, 1, 0)
    """
    text = text.rstrip(b" \t\r\n")
    return text.count(b"\n") + 1 if text else 0


@functools.lru_cache(maxsize=1)
def _sequence(path: str, modified: int, size: int) -> np.ndarray | str:
    """The sequence, or what is wrong with it: told for each instance, found once."""
    from zskel.data.readers.pku_text import parse_sequence  # loads numba

    try:
        sequence = parse_sequence(read_file(path, MAX_SEQUENCE_BYTES), printable(path))
    except ClipError as error:
        return str(error)
    sequence.flags.writeable = False
    return sequence


def _instance(line: str, frames: int) -> tuple[int | None, tuple[int, int] | None, str]:
    """Label, span and what is wrong; without label and span it is left out."""
    fields = [field.strip() for field in line.split(",")]
    shown = ascii(line[:40])
    if len(fields) != 4 or not all(re.fullmatch("-?[0-9]{1,9}", field) for field in fields[:3]):
        return None, None, f"label line {shown} is not class,start,end,confidence"
    action, start, end = map(int, fields[:3])
    if not 1 <= action <= NUM_CLASSES:
        return None, None, f"label line {shown}: class {action} is not in 1..{NUM_CLASSES}"
    if not 0 <= start < end:
        return None, None, f"label line {shown}: frames {start}..{end} are no instance"
    if start >= frames:
        return None, None, f"frames {start}..{end} lie outside the sequence of {frames} frames"
    if end > frames:
        return action - 1, (start, frames), (
            f"frames {start}..{end} run past the sequence's end; kept are {start}..{frames}"
        )
    return action - 1, (start, end), ""


def _video_number(name: str) -> int:
    match = _FILE.fullmatch(f"{name}.txt")
    assert match is not None
    video, script, person, *_ = match.groups()
    return int(video) if script is None else 100 * int(script) + int(person)


@dataclass(frozen=True)
class _Listing:
    files: dict[str, dict[str, Path]]
    splits: list[Path]
    cut: list[Path]


def _listing(source: Path) -> _Listing:
    """Skeleton and label files by ``VIDEO-V``, split files and cut clips, below a folder."""
    files: dict[str, dict[str, Path]] = {"skeleton": {}, "label": {}}
    splits, cut = [], []
    for path in _walk(source):
        match = _FILE.fullmatch(path.name)
        if match is not None:
            files[_kind(path, source, match[5])].setdefault(path.stem, path)
        elif cut_name(path.name) is not None:
            cut.append(path)
        elif re.fullmatch(r"cross[ _-]?(subject|view).*\.txt", path.name, re.IGNORECASE):
            splits.append(path)
    return _Listing(files, splits, cut)


def _walk(source: Path) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(source):
        subfolders.sort()
        for name in sorted(names):
            yield Path(folder, name)


def _kind(path: Path, source: Path, suffix: str) -> str:
    if suffix != "txt":
        return suffix
    for folder in reversed(path.relative_to(source.parent).parts[:-1]):
        for kind, mark in (("label", "label"), ("skeleton", "skel")):
            if mark in folder.lower():
                return kind
    try:
        with open(path, "rb") as handle:
            return "label" if b"," in handle.read(200) else "skeleton"
    except OSError:
        return "skeleton"


def _read_split(path: Path, shown: str) -> _Split:
    try:
        text = read_file(path, MAX_LABEL_BYTES).decode("utf-8-sig")
    except (ClipError, UnicodeDecodeError) as error:
        raise BadInput(f"{printable(path)}: not readable as a split file: {error}") from None
    lines = text.rstrip().splitlines()
    if len(lines) not in (3, 4):
        raise BadInput(f"{printable(path)}: expected 4 lines (heading, training videos, heading, "
                       f"test videos), found {len(lines)}")
    lines.append("")  # for the line of test videos, should it be blank
    train, test = (
        frozenset(name.strip() for name in line.split(",") if name.strip())
        for line in (lines[1], lines[3])
    )
    names: list[Any] = [_FILE.fullmatch(f"{name}.txt") for name in sorted(train | test)]
    if not names or not all(names):
        raise BadInput(f"{printable(path)}: lines 2 and 4 are to list videos such as 0002-L, "
                       "separated by commas")
    second = _SECOND.search(shown) or any(match[2] for match in names)
    return _Split(path, 2 if second else 1, train, test)
