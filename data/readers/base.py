"""What every reader of raw recordings offers.

A reader first *scans* its sources, which is cheap and tells from names alone
which clips there are; then it *reads* one clip at a time, which the sequence
store does in a pool of processes. Entries therefore are small and picklable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zskel.data.skeleton import UNKNOWN, JointLayout


@dataclass(frozen=True)
class Entry:
    """One clip that a source holds, known before its coordinates are read.

    Attributes:
        sample_id: Unique within the data set.
        label: Index into the data set's class names.
        path: The file that holds the clip.
        member: The file inside ``path`` when that is an archive, or the row of which
            array ("x_train[12]", "[12]"); else "".
        span: First frame and one past the last, for clips cut out of a longer
            recording; None for a whole file.
    """

    sample_id: str
    label: int
    path: str
    member: str = ""
    span: tuple[int, int] | None = None
    subject: int = UNKNOWN
    camera: int = UNKNOWN
    setup: int = UNKNOWN
    replication: int = UNKNOWN

    @property
    def where(self) -> str:
        """The file a message should name."""
        return f"{self.path}!{self.member}" if self.member else self.path


@dataclass(frozen=True)
class Skip:
    """Something a source holds that was left out, and why."""

    name: str
    reason: str


@dataclass
class Scan:
    """The clips of a source, in a fixed order, and what was left out.

    Attributes:
        names: "subject", "camera", "setup" or "replication" -> name -> the number
            that entries have for it, where the source gives names.
        notes: Lines that the user should read.
    """

    entries: list[Entry] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    names: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Reader(ABC):
    """Reads one data set's raw format.

    Attributes:
        dataset: The data set's name, as in ``zskel.data.classes``.
        layout: The layout of the arrays that ``read`` returns.
        sources: Files or folders given by the user.
        endings: What files of this format end in, each with its dot and in lower case.
        sample_protocol: The sample protocol that ``replication`` stands for (1
            trains, 2 tests) where a source publishes lists of clips instead of
            subjects or cameras; else "". Some readers know it once they have scanned.
        training_options: Options that only say whose and what for the clips are,
            which clips to be predicted need not tell.
        unlabelled: Whether ``scan`` lists clips whose source leaves out their label,
            with ``UNKNOWN`` for it; they are skipped otherwise.
    """

    dataset: str
    layout: JointLayout
    endings: tuple[str, ...] = ()
    sample_protocol: str = ""
    training_options: tuple[str, ...] = ()
    unlabelled: bool = False

    def __init__(self, sources: Sequence[str | Path]) -> None:
        self.sources = tuple(Path(source) for source in sources)

    @abstractmethod
    def scan(self) -> Scan:
        """Lists the clips, sorted by ``sample_id``.

        Raises:
            BadInput: A source does not exist or holds nothing of this format.
        """

    @abstractmethod
    def read(self, entry: Entry) -> np.ndarray:
        """Reads one clip.

        Returns:
            Float32 ``[M, T, V, 3]``, metres: every body that appears, in order
            of first appearance, kept apart by the format's own body id where it
            has one; zeros where a body is absent.

        Raises:
            ClipError: The file is damaged; the message says which line or field.
        """
