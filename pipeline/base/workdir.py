"""Where things lie in a work directory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zskel.data.common.files import write_json

DEFAULT_ROOT = Path("work_dirs")


@dataclass(frozen=True)
class WorkDir:
    """The files of one experiment.

    Store and backbones are either its own or, where it shares a model store
    (``zskel.pipeline.steps.model_store``), named by small JSON files: ``store/skeletons.json`` and
    ``backbones/PHASE.json`` with the digest and the path from here.

    Attributes:
        root: The work directory.
    """

    root: Path

    @classmethod
    def of(cls, experiment: str, root: str | Path | None) -> WorkDir:
        """``root``, or ``work_dirs/<experiment>``."""
        return cls(Path(root) if root is not None else DEFAULT_ROOT / experiment)

    @property
    def own_store(self) -> Path:
        """The sequence store inside the work directory, there or not."""
        return self.root / "store" / "skeletons.h5"

    @property
    def store(self) -> Path:
        """The sequence store: its own, or a shared one."""
        if self.own_store.is_file():
            return self.own_store
        return _pointed_to(self.store_pointer) or self.own_store

    @property
    def store_pointer(self) -> Path:
        """The file that names the shared sequence store."""
        return self.root / "store" / "skeletons.json"

    def own_backbone(self, phase: str) -> Path:
        """The folder of a phase's backbone inside the work directory, there or not."""
        return self.root / "backbones" / phase

    def backbone(self, phase: str) -> Path:
        """The folder of a phase's backbone: a shared one where one is named, or its own."""
        return _pointed_to(self.backbone_pointer(phase)) or self.own_backbone(phase)

    def backbone_pointer(self, phase: str) -> Path:
        """The file that names the shared backbone of a phase."""
        return self.root / "backbones" / f"{phase}.json"

    def skeleton(self, phase: str, kind: str = "f_x") -> Path:
        """The skeleton features of a phase; ``kind`` names a feature view, such as "f_x_masked"."""
        suffix = kind.removeprefix("f_x") if kind.startswith("f_x") else f"_{kind}"
        return self.root / "features" / f"skeleton_{phase}{suffix}.h5"

    def skeleton_caches(self, phase: str) -> list[Path]:
        """All skeleton features of a phase that are there, those of feature views last."""
        return sorted((self.root / "features").glob(f"skeleton_{phase}*.h5"))

    @property
    def text(self) -> Path:
        """The text features."""
        return self.root / "features" / "text.h5"

    def text_part(self, name: str) -> Path:
        """The text features of a part of speech, such as "verb"."""
        return self.root / "features" / f"text_{name}.h5"

    @property
    def results(self) -> Path:
        """The folder of result records."""
        return self.root / "results"

    @property
    def models(self) -> Path:
        """The folder of fitted models."""
        return self.root / "models"

    @property
    def report(self) -> Path:
        """The folder of the report."""
        return self.root / "report"

    @property
    def parts(self) -> tuple[Path, ...]:
        """The folders in which the commands write, and nobody else."""
        return (self.own_store.parent, self.root / "backbones", self.text.parent, self.results,
                self.models, self.report)


def write_pointer(pointer: Path, target: Path, facts: Mapping[str, Any]) -> None:
    """Names a file or folder elsewhere, by its path from the pointer's own folder.

    A tree that holds both can then be moved as a whole. A pointer that says so
    already is left alone.
    """
    content = {**facts, "path": Path(os.path.relpath(target, pointer.parent)).as_posix()}
    if read_pointer(pointer) != content:
        write_json(pointer, content)


def read_pointer(pointer: Path) -> dict[str, Any] | None:
    """What ``write_pointer`` wrote; None if there is nothing of the kind."""
    try:
        content = json.loads(pointer.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(content, dict) and isinstance(content.get("path"), str)
    return content if whole else None


def _pointed_to(pointer: Path) -> Path | None:
    content = read_pointer(pointer)
    # Not resolve(): messages should name a folder as its user does.
    if content is None:
        return None
    return Path(os.path.normpath(pointer.parent / content["path"]))
