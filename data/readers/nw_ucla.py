"""NW-UCLA as the field uses it: one json file a clip, 20 Kinect-v1 joints.

``aXX_sYY_eZZ_vVV.json`` holds ``{"file_name", "skeletons": [frames][20][3],
"label": 1..10}``. The actions of the names are not numbered through (a07 and a10
do not occur), so the label is read from the file and not from its name.
Coordinates are taken as they are distributed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.common.errors import BadInput, ClipError
from zskel.data.readers.base import Entry, Reader, Scan, Skip
from zskel.data.readers.coordinates import bodies_there, finite
from zskel.data.readers.raw_file import files_of, printable, read_file
from zskel.data.skeleton import KINECT_V1, KINECT_V1_TO_NTU, NTU_RGBD, UNKNOWN, JointMapping

NUM_CLASSES = 10
MAX_FILE_BYTES = 32 << 20

_NAME = re.compile(r"a([0-9]{1,4})_s([0-9]{1,4})_e([0-9]{1,4})_v([0-9]{1,4})\.json", re.IGNORECASE)
_LABEL = re.compile(rb'"label"\s*:\s*([^,}\s]{1,20})')
_SOURCES = "--raw takes the folder of aXX_sYY_eZZ_vVV.json files, or one of them"


class NWUCLAReader(Reader):
    """Reads the json files and maps the joints to 25, as ``KINECT_V1_TO_NTU``.

    ``camera`` is the view VV, ``subject`` YY and ``replication`` ZZ.
    """

    dataset = "nw-ucla"
    layout = NTU_RGBD
    endings = (".json",)

    def __init__(self, sources: Sequence[str | Path]) -> None:
        super().__init__(sources)
        self._mapping = JointMapping(KINECT_V1, NTU_RGBD, KINECT_V1_TO_NTU)

    def scan(self) -> Scan:
        """Lists the clips, sorted by sample id.

        Labels are looked up in the files. Where files of one action number
        differ in their label, those that differ from the most frequent one (the
        lowest of several) are left out: either name or label is wrong there.

        Raises:
            BadInput: A source does not exist, or no file has such a name.
        """
        scan = Scan()
        known: dict[str, Entry] = {}
        action_of: dict[str, int] = {}
        named = 0
        for source in self.sources:
            for path in files_of(source, ".json", _SOURCES):
                match = _NAME.fullmatch(path.name)
                if match is None:
                    scan.skipped.append(Skip(printable(path), "is not named aXX_sYY_eZZ_vVV.json"))
                    continue
                named += 1
                action, subject, repetition, view = map(int, match.groups())
                sample_id = path.stem.lower()
                if sample_id in known:
                    scan.skipped.append(Skip(printable(path), "same clip as "
                                             f"{printable(known[sample_id].path)}"))
                    continue
                try:
                    label = _label_in(read_file(path, MAX_FILE_BYTES), printable(path))
                except ClipError as error:
                    scan.skipped.append(Skip(sample_id, str(error)))
                    continue
                action_of[sample_id] = action
                known[sample_id] = Entry(
                    sample_id, label - 1, str(path), subject=subject, camera=view,
                    replication=repetition,
                )
        if not named:
            names = ", ".join(printable(source) for source in self.sources)
            raise BadInput(f"{names}: no file called aXX_sYY_eZZ_vVV.json; {_SOURCES}")
        counts: dict[int, Counter[int]] = {}
        for sample_id, entry in known.items():
            counts.setdefault(action_of[sample_id], Counter())[entry.label] += 1
        for sample_id, entry in sorted(known.items()):
            action = action_of[sample_id]
            usual = min(counts[action], key=lambda label: (-counts[action][label], label))
            if entry.label == usual:
                scan.entries.append(entry)
            else:
                scan.skipped.append(Skip(sample_id, f"its label is {entry.label + 1}, that of most "
                                         f"files of a{action:02d} is {usual + 1}"))
        return scan

    def read(self, entry: Entry) -> np.ndarray:
        """Reads one clip.

        Returns:
            Float32 ``[1, T, 25, 3]``.

        Raises:
            ClipError: The file is no such json, a number is not finite, the
                label is another than the entry's, or no frame holds a body.
        """
        where = printable(entry.where)
        content = _parse(read_file(entry.path, MAX_FILE_BYTES), where)
        told = entry.label != UNKNOWN
        if told and (content.get("label") != entry.label + 1 or isinstance(content["label"], bool)):
            raise ClipError(f"{where}: 'label' is {content.get('label')!r:.40}, "
                            f"expected {entry.label + 1}")
        skeletons = _array(content.get("skeletons"), where)
        return self._mapping(bodies_there(skeletons[None], where))


def _label_in(text: bytes, where: str) -> int:
    """The label, without parsing the coordinates, which are nearly all of a file."""
    found = _LABEL.findall(text)
    if len(found) != 1 or not re.fullmatch(b"[0-9]{1,3}", found[0]):
        shown = f"found {found[0].decode('latin-1')!a}" if found else "found none"
        raise ClipError(f"{where}: expected one 'label' in 1..{NUM_CLASSES}, {shown}")
    label = int(found[0])
    if not 1 <= label <= NUM_CLASSES:
        raise ClipError(f"{where}: 'label' is {label}, expected 1..{NUM_CLASSES}")
    return label


def _parse(text: bytes, where: str) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise ValueError(f"holds {name}, which is not finite")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) != len(pairs):
            raise ValueError("holds a key twice")
        return content

    try:
        content = json.loads(text.decode("utf-8-sig"), parse_constant=refuse,
                             object_pairs_hook=once)
    except (ValueError, RecursionError, MemoryError) as error:
        cause = printable(str(error)[:120])
        raise ClipError(f"{where}: is not the json of a clip: {cause}") from None
    if not isinstance(content, dict):
        raise ClipError(f"{where}: expected a json object with 'skeletons' and 'label'")
    return content


def _array(skeletons: Any, where: str) -> np.ndarray:
    """Float32 ``[T, 20, 3]``."""
    joints = KINECT_V1.num_joints
    expected = f"{where}: 'skeletons' is to be a list of frames of {joints} joints of 3 numbers"
    if not isinstance(skeletons, list) or not skeletons:
        raise ClipError(f"{expected}; it is {'empty' if skeletons == [] else 'no list'}")
    for number, frame in enumerate(skeletons, start=1):
        if not (
            isinstance(frame, list) and len(frame) == joints
            and all(isinstance(joint, list) and len(joint) == 3 for joint in frame)
            # numpy would take text and true for numbers as well.
            and {type(value) for value in chain.from_iterable(frame)} <= {int, float}
        ):
            raise ClipError(f"{expected}; frame {number} is not")
    try:
        values = np.asarray(skeletons, np.float64)
    except OverflowError:  # of an integer beyond any float
        values = np.full(1, np.inf)
    return finite(values, f"{where}: 'skeletons'")
