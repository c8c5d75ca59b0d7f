"""Where things lie in a work directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_ROOT = Path("work_dirs")


@dataclass(frozen=True)
class WorkDir:
    """The files of one experiment.

    Attributes:
        root: The work directory.
    """

    root: Path

    @classmethod
    def of(cls, experiment: str, root: str | Path | None) -> WorkDir:
        """``root``, or ``work_dirs/<experiment>``."""
        return cls(Path(root) if root is not None else DEFAULT_ROOT / experiment)

    @property
    def store(self) -> Path:
        """The sequence store."""
        return self.root / "store" / "skeletons.h5"

    def backbone(self, phase: str) -> Path:
        """The folder of a phase's backbone."""
        return self.root / "backbones" / phase

    def skeleton(self, phase: str) -> Path:
        """The skeleton features of a phase."""
        return self.root / "features" / f"skeleton_{phase}.h5"

    @property
    def text(self) -> Path:
        """The text features."""
        return self.root / "features" / "text.h5"

    @property
    def results(self) -> Path:
        """The folder of result records."""
        return self.root / "results"

    @property
    def report(self) -> Path:
        """The folder of the report."""
        return self.root / "report"
