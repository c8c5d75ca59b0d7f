"""UTD-MHAD: one MATLAB file a clip, 20 Kinect-v1 joints (Chen et al., ICIP 2015)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from data.errors import BadInput, ClipError
from data.readers.base import Entry, Reader, Scan, Skip
from data.skeleton import KINECT_V1_TO_NTU, NTU_RGBD, UTD_MHAD, JointMapping

_NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_skeleton\.mat", re.IGNORECASE)
_NUM_ACTIONS = 27


class UTDMHADReader(Reader):
    """Reads ``aA_sS_tT_skeleton.mat`` files and maps the joints to 25.

    The mapping is ``data.skeleton.KINECT_V1_TO_NTU``. ``replication`` is the
    trial T; the data set has one camera and no setups.
    """

    dataset = "utd-mhad"
    layout = NTU_RGBD

    def __init__(self, sources) -> None:
        super().__init__(sources)
        self._mapping = JointMapping(UTD_MHAD, NTU_RGBD, KINECT_V1_TO_NTU)

    def scan(self) -> Scan:
        scan = Scan()
        known: dict[str, Entry] = {}
        for source in self.sources:
            if not source.is_dir():
                raise BadInput(f"{source}: no such folder; --raw takes the folder of *_skeleton.mat files")
            for path in sorted(source.rglob("*.mat")):
                self._add(path, known, scan)
        if not known:
            raise BadInput(
                f"{', '.join(map(str, self.sources))}: no aA_sS_tT_skeleton.mat file in it; "
                "--raw takes the folder of UTD-MHAD's skeleton files"
            )
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
        try:
            # loadmat reads arrays only: MATLAB files carry no code.
            content = loadmat(entry.path, variable_names=["d_skel"])
        except Exception as error:  # scipy raises many kinds on damaged files
            raise ClipError(f"{entry.where}: not a readable MATLAB v5 file ({error})") from None
        skeleton = content.get("d_skel")
        if skeleton is None:
            raise ClipError(f"{entry.where}: has no variable 'd_skel'")
        if skeleton.dtype.kind not in "fiu" or skeleton.ndim != 3 or skeleton.shape[:2] != (20, 3):
            raise ClipError(
                f"{entry.where}: 'd_skel' is {skeleton.dtype} of shape {skeleton.shape}, "
                "expected numbers of shape (20, 3, frames)"
            )
        if skeleton.shape[2] == 0:
            raise ClipError(f"{entry.where}: 'd_skel' has no frames")
        if not np.isfinite(skeleton).all():
            raise ClipError(f"{entry.where}: 'd_skel' holds non-finite values")
        return self._mapping(skeleton.transpose(2, 0, 1)[None].astype(np.float32))
