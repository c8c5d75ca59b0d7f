"""UTD-MHAD: one MATLAB file a clip, 20 Kinect-v1 joints (Chen et al., ICIP 2015)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zskel.data.common.errors import BadInput, ClipError
from zskel.data.readers.base import Entry, Reader, Scan, Skip
from zskel.data.readers.coordinates import bodies_there, finite
from zskel.data.readers.mat5 import read_array
from zskel.data.readers.raw_file import files_of, printable, read_file
from zskel.data.skeleton import KINECT_V1_TO_NTU, NTU_RGBD, UTD_MHAD, JointMapping

_NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_skeleton\.mat", re.IGNORECASE)
_SOURCES = "--raw takes UTD-MHAD's folder of aA_sS_tT_skeleton.mat files, or one of them"
_NUM_ACTIONS = 27
MAX_FILE_BYTES = 8 << 20


class UTDMHADReader(Reader):
    """Reads ``aA_sS_tT_skeleton.mat`` files and maps the joints to 25.

    The mapping is ``zskel.data.skeleton.KINECT_V1_TO_NTU``. ``replication`` is the
    trial T; the data set has one camera and no setups.
    """

    dataset = "utd-mhad"
    layout = NTU_RGBD
    endings = (".mat",)

    def __init__(self, sources: Sequence[str | Path]) -> None:
        super().__init__(sources)
        self._mapping = JointMapping(UTD_MHAD, NTU_RGBD, KINECT_V1_TO_NTU)

    def scan(self) -> Scan:
        scan = Scan()
        known: dict[str, Entry] = {}
        for source in self.sources:
            for path in files_of(source, ".mat", _SOURCES):
                self._add(path, known, scan)
        if not known:
            names = ", ".join(printable(source) for source in self.sources)
            raise BadInput(f"{names}: no file called aA_sS_tT_skeleton.mat; {_SOURCES}")
        scan.entries = [known[name] for name in sorted(known)]
        return scan

    def _add(self, path: Path, known: dict[str, Entry], scan: Scan) -> None:
        match = _NAME.fullmatch(path.name)
        if match is None:
            scan.skipped.append(Skip(str(path), "name is not aA_sS_tT_skeleton.mat"))
            return
        action, subject, trial = map(int, match.groups())
        sample_id = f"a{action}_s{subject}_t{trial}"
        if not 1 <= action <= _NUM_ACTIONS:
            scan.skipped.append(Skip(str(path), f"action {action} is not in 1..{_NUM_ACTIONS}"))
        elif sample_id in known:
            scan.skipped.append(Skip(str(path), f"same clip as {known[sample_id].path}"))
        else:
            known[sample_id] = Entry(
                sample_id, action - 1, str(path), subject=subject, replication=trial
            )

    def read(self, entry: Entry) -> np.ndarray:
        """Reads one clip.

        Returns:
            Float32 ``[1, T, 25, 3]``, metres.

        Raises:
            ClipError: The file is damaged, has no ``d_skel`` of shape (20, 3, T),
                a number is not finite as float32, or no frame holds a body.
        """
        where = printable(entry.where)
        skeleton = read_array(read_file(entry.path, MAX_FILE_BYTES), "d_skel", where)
        if skeleton.ndim == 2:  # of one frame: MATLAB drops the last dimension
            skeleton = skeleton[..., None]
        if skeleton.ndim != 3 or skeleton.shape[:2] != (20, 3) or skeleton.shape[2] == 0:
            raise ClipError(f"{where}: 'd_skel' is of shape {skeleton.shape}, "
                            "expected (20, 3, frames)")
        keypoint = finite(skeleton.transpose(2, 0, 1)[None], f"{where}: 'd_skel'")
        return self._mapping(bodies_there(keypoint, where))
