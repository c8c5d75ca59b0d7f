"""UTD-MHAD: one MATLAB file a clip, 20 Kinect-v1 joints (Chen et al., ICIP 2015)."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from scipy.io import loadmat, whosmat

from data.errors import BadInput, ClipError
from data.readers.base import Entry, Reader, Scan, Skip
from data.readers.raw_file import printable, read_file
from data.skeleton import KINECT_V1_TO_NTU, NTU_RGBD, UTD_MHAD, JointMapping

_NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_skeleton\.mat", re.IGNORECASE)
_NUM_ACTIONS = 27
MAX_FILE_BYTES = 8 << 20
MAX_INFLATED_BYTES = 16 << 20
# Of the format: the type of a compressed variable, and scipy's names of numbers.
_COMPRESSED = 15
_INTEGERS = (f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_NUMBERS = ("double", "single", *_INTEGERS)


class UTDMHADReader(Reader):
    """Reads ``aA_sS_tT_skeleton.mat`` files and maps the joints to 25.

    The mapping is ``data.skeleton.KINECT_V1_TO_NTU``. ``replication`` is the
    trial T; the data set has one camera and no setups.
    """

    dataset = "utd-mhad"
    layout = NTU_RGBD

    def __init__(self, sources: Sequence[str | Path]) -> None:
        super().__init__(sources)
        self._mapping = JointMapping(UTD_MHAD, NTU_RGBD, KINECT_V1_TO_NTU)

    def scan(self) -> Scan:
        scan = Scan()
        known: dict[str, Entry] = {}
        for source in self.sources:
            if not source.is_dir():
                raise BadInput(f"{source}: no such folder; --raw takes the folder of "
                               "*_skeleton.mat files")
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
        skeleton = _skeleton(read_file(entry.path, MAX_FILE_BYTES), printable(entry.where))
        if not np.isfinite(skeleton).all():
            raise ClipError(f"{entry.where}: 'd_skel' holds non-finite values")
        with np.errstate(over="ignore"):
            keypoint = skeleton.transpose(2, 0, 1)[None].astype(np.float32)
        if not np.isfinite(keypoint).all():
            raise ClipError(f"{entry.where}: 'd_skel' holds values that are not finite as float32")
        if not keypoint.any():
            raise ClipError(f"{entry.where}: no body in any of its {keypoint.shape[1]} frames")
        return self._mapping(keypoint)


def _skeleton(content: bytes, where: str) -> np.ndarray:
    """The variable ``d_skel``, an array of numbers ``[20, 3, T]``, T > 0.

    What the file declares is checked before room is made for it: sizes first,
    then the type and shape of the variable, then its values.
    """
    plain = _inflated(content, where)
    try:
        # scipy takes what a MATLAB file holds for data only: it carries no code.
        listed = [item[1:] for item in whosmat(BytesIO(plain)) if item[0] == "d_skel"]
        if not listed:
            raise ClipError(f"{where}: has no variable 'd_skel'")
        shape, kind = listed[0]
        if kind not in _NUMBERS or len(shape) != 3 or shape[:2] != (20, 3) or len(listed) > 1:
            raise ClipError(f"{where}: 'd_skel' is {kind} of shape {shape}, "
                            "expected numbers of shape (20, 3, frames)")
        if not 0 < shape[2] <= len(plain) // 60:  # at least a byte a number
            raise ClipError(f"{where}: 'd_skel' has {shape[2]} frames by its header, "
                            f"in a file of {len(plain)} bytes")
        skeleton = loadmat(BytesIO(plain), variable_names=["d_skel"])["d_skel"]
    except ClipError:
        raise
    except Exception as error:  # scipy raises many kinds on damaged files
        raise ClipError(f"{where}: not a readable MATLAB v5 file "
                        f"({printable(str(error)[:120])})") from None
    if skeleton.dtype.kind not in "fiu" or skeleton.shape != tuple(shape):
        raise ClipError(f"{where}: 'd_skel' is {skeleton.dtype} of shape {skeleton.shape}, "
                        f"its header says {shape}")
    return skeleton


def _inflated(content: bytes, where: str) -> bytes:
    """The file with its compressed variables inflated, within a bound.

    A variable starts with its type and its size in bytes; whole variables only
    are taken, so that nothing reads past the end later.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise ClipError(f"{where}: is not a MATLAB v5 file")
    parts, at = [content[:128]], 128
    while at < len(content):
        if at + 8 > len(content):
            raise ClipError(f"{where}: ends inside a variable")
        kind, size = struct.unpack_from(f"{order}II", content, at)
        at += 8
        if size > len(content) - at:
            raise ClipError(f"{where}: a variable of {size} bytes is announced, "
                            f"{len(content) - at} are left")
        part = content[at - 8 : at + size]
        if kind == _COMPRESSED:
            inflate = zlib.decompressobj()
            try:
                part = inflate.decompress(part[8:], MAX_INFLATED_BYTES)
            except zlib.error as error:
                raise ClipError(f"{where}: a compressed variable is damaged ({error})") from None
            if not inflate.eof:
                raise ClipError(f"{where}: a compressed variable is cut off, or larger than "
                                f"{MAX_INFLATED_BYTES >> 20} MB")
        parts.append(part)
        at += size
    return b"".join(parts)
