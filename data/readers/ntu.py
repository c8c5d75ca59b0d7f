"""NTU RGB+D 60 and 120, and whatever else comes in their file formats.

Recordings are named ``SsssCcccPpppRrrrAaaa.skeleton``: setup, camera, performer,
replication and action, all counted from 1. They are read where they lie, in
folders at any depth or inside archives; nothing is unpacked, and no name found in
an archive is used as a path. ``zskel.data.readers.ntu_arrays`` says which arrays of the
field's preprocessing are read as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from zskel.data.common.errors import BadInput
from zskel.data.readers.base import Entry, Reader, Scan, Skip
from zskel.data.readers.ntu_arrays import protocol_of
from zskel.data.readers.ntu_sources import SOURCES, SUFFIX, Found, read, recordings
from zskel.data.readers.raw_file import printable
from zskel.data.skeleton import NTU_RGBD

_NAME = re.compile("S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A([0-9]{3})")


def missing_skeletons(dataset: str) -> frozenset[str]:
    """Sample ids whose skeletons are missing or incomplete.

    The lists are those of the data set's authors; every paper leaves these
    samples out.

    >>> len(missing_skeletons("ntu60")), len(missing_skeletons("ntu120"))
    (302, 535)
    >>> len(missing_skeletons("some other data set"))
    0
    """
    if dataset not in ("ntu60", "ntu120"):
        return frozenset()
    resource = files("zskel.data.resources") / f"{dataset}_missing_skeletons.txt"
    return frozenset(resource.read_text(encoding="utf-8").split())


class NTUReader(Reader):
    """Reads recordings from folders, archives and arrays.

    Args:
        sources: Folders, archives (zip, tar, tar.gz), single recordings
            (``.skeleton``, ``.skeleton.gz``, ``.skeleton.npy``) and arrays
            (``NTU60_CS.npz``, ``train_data_joint.npy``), in any mixture but one: an
            .npz file, which names no recording, must be the only one. Archives and
            arrays inside folders are looked into as well.
        dataset: ``ntu60`` or ``ntu120``, or the name of any data set that comes
            in the same format.
        num_classes: Recordings of actions above this number are skipped.
        drop_missing: Skip the samples of ``missing_skeletons(dataset)``, where
            recordings have names.
        protocol: The sample protocol that the training and test clips of an .npz
            file follow; None: as its name says (CS, CV, CSub, CSet), else "listed".
    """

    layout = NTU_RGBD
    endings = (".skeleton", ".zip", ".tar", ".tgz", ".gz", ".npz", ".npy")

    def __init__(
        self,
        sources: Sequence[str | Path],
        dataset: str,
        num_classes: int,
        drop_missing: bool = True,
        protocol: str | None = None,
    ) -> None:
        super().__init__(sources)
        self.dataset = dataset
        self.num_classes = num_classes
        self.drop_missing = drop_missing
        self.protocol = protocol

    def scan(self) -> Scan:
        """Lists the recordings, sorted by sample id; labels count from 0.

        A sample found more than once is taken from the first source that has
        it, and of one source from the first path in alphabetical order. Clips of an
        .npz file are called by their rows, such as "train-000012"; ``replication``
        is 1 for its training and 2 for its test clips.

        Raises:
            BadInput: There is no source, one does not exist, cannot be opened, or
                holds no recording, or an .npz file is not the only one.
        """
        if not self.sources:
            raise BadInput(f"no source given; {SOURCES}")
        missing = missing_skeletons(self.dataset) if self.drop_missing else frozenset()
        found: dict[str, Entry] = {}
        scan = Scan()
        listed: list[str] = []
        for source in self.sources:
            empty, noted = True, len(scan.skipped)
            for recording in recordings(source, scan.skipped):
                empty = False
                if recording.subset and recording.path not in listed:
                    listed.append(recording.path)
                entry = self._identify(recording, missing, scan.skipped)
                if entry is None:
                    continue
                first = found.setdefault(entry.sample_id, entry)
                if first is not entry:
                    places = f"{printable(entry.where)}, also in {printable(first.where)}"
                    scan.skipped.append(Skip(entry.sample_id, f"{places}, which is used"))
            if empty:
                trouble = [f"{skip.name} {skip.reason}" for skip in scan.skipped[noted:][:1]]
                raise BadInput(f"{printable(source)}: holds no {SUFFIX} file; "
                               f"{''.join(trouble) or SOURCES}")
        if listed:
            self._take_listed(listed, found, scan)
        scan.entries = [found[sample_id] for sample_id in sorted(found)]
        return scan

    def _take_listed(self, paths: list[str], found: dict[str, Entry], scan: Scan) -> None:
        first = printable(paths[0])
        others = {*paths[1:], *(entry.path for entry in found.values())} - {paths[0]}
        if others:
            raise BadInput(f"{first}: names none of its clips, so that nothing can be told of them "
                           f"beside {printable(min(others))}; give one of the two with --raw")
        self.sample_protocol = self.protocol or protocol_of(Path(paths[0]).name)
        follow = f"its training and test clips are taken for those of {self.sample_protocol!r}"
        if self.sample_protocol == "listed":
            follow = ("its training and test clips are those of protocol 'listed', as its name "
                      "does not say which (reader_options.protocol can)")
        scan.notes.append(
            f"{first}: holds no sample names, and so neither subjects, cameras nor setups: {follow}"
            "; calibration has to hold out clips instead of subjects, other sample protocols "
            f"need the {SUFFIX} files")

    def _identify(
        self, recording: Found, missing: frozenset[str], skipped: list[Skip]
    ) -> Entry | None:
        path, member, sample_id, label, subset = recording
        place = printable(f"{path}!{member}" if member else path)
        if subset:
            part, row = re.findall("[a-z]+|[0-9]+", member.removeprefix("x_"))
            sample_id = f"{part}-{int(row):06d}"
            if label >= self.num_classes:
                reason = f"action {label + 1} is not among the first {self.num_classes}"
                skipped.append(Skip(sample_id, reason))
                return None
            return Entry(sample_id, label, path, member, replication=subset)
        match = _NAME.fullmatch(sample_id)
        if match is None:
            if label >= 0:
                place = f"{place} {printable(sample_id)[:80]!a}"
            skipped.append(Skip(place, f"is not named SsssCcccPpppRrrrAaaa{SUFFIX}"))
            return None
        setup, camera, subject, replication, action = map(int, match.groups())
        if min(setup, camera, subject, replication, action) == 0:
            skipped.append(Skip(place, "has a 000 in its name; numbers count from 1"))
            return None
        if label not in (-1, action - 1):
            reason = f"has label {label}, by its name {sample_id} it is {action - 1}"
            skipped.append(Skip(place, reason))
            return None
        if action > self.num_classes:
            reason = f"action {action} is not among the first {self.num_classes}"
            skipped.append(Skip(sample_id, reason))
            return None
        if sample_id in missing:
            reason = f"on {self.dataset}'s list of missing or incomplete skeletons"
            skipped.append(Skip(sample_id, reason))
            return None
        return Entry(
            sample_id, action - 1, path, member, None, subject, camera, setup, replication
        )

    def read(self, entry: Entry) -> np.ndarray:
        """Reads one recording.

        Returns:
            Float32 ``[M, T, 25, 3]``, metres: bodies kept apart by body id where there
            is one, in order of first appearance, zeros in frames without them. All
            values are finite; those of text equal ``np.float32(float(text))`` bit
            for bit.

        Raises:
            ClipError: The file cannot be read, breaks the format, or holds no
                body in any frame.
        """
        return read(entry)
