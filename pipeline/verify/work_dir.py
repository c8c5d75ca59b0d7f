"""Reads all parts of a work directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zskel.data.caches import CALIBRATION, TEST, SkeletonFeatures, TextFeatures
from zskel.data.store import SequenceStore
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.results import ResultRecord, find_results
from zskel.pipeline.verify.checks import Check
from zskel.pipeline.verify.files import Files

MODELS = "models"


@dataclass
class Parts:
    """What a work directory holds, as far as it can be read.

    Attributes:
        work: The work directory.
        files: Through which it was read.
        store: The sequence store.
        skeleton, text, results, models: By file: skeleton and text features, records,
            cards of fitted models.
        backbones: Phase -> summary of the backbone that is there.
        checks: Whether each part is whole.
    """

    work: WorkDir
    files: Files
    store: SequenceStore | None = None
    skeleton: dict[Path, SkeletonFeatures] = field(default_factory=dict)
    text: dict[Path, TextFeatures] = field(default_factory=dict)
    results: dict[Path, ResultRecord] = field(default_factory=dict)
    models: dict[Path, dict[str, Any]] = field(default_factory=dict)
    backbones: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    @property
    def phases(self) -> dict[str, SkeletonFeatures | None]:
        """The skeleton features of the two phases."""
        return {phase: self.skeleton.get(self.work.skeleton(phase))
                for phase in (TEST, CALIBRATION)}

    @property
    def experiment(self) -> str:
        """The experiment that the features say they are of; "" if they do not."""
        for features in self.phases.values():
            config = features.config if features is not None else None
            if isinstance(config, dict) and isinstance(config.get("experiment"), str):
                return str(config["experiment"])
        return ""

    def command(self, verb: str) -> str:
        """The command that makes parts of this work directory again."""
        imported = any(isinstance(features.config, dict) and "imported" in features.config
                       for features in self.skeleton.values())
        if imported and verb == "extract":
            return "pipeline import"
        name = self.files.experiment or self.experiment or "EXPERIMENT"
        own = self.work.root != WorkDir.of(self.experiment, None).root
        return f"pipeline {verb} {name}{f' --work-dir {self.work.root}' if own else ''}"


def read_parts(root: Path, files: Files) -> Parts:
    """Reads a work directory; what is damaged is left out and told of."""
    work = WorkDir(root)
    parts = Parts(work, files)

    def take(found: tuple[Any, list[Check]]) -> Any:
        content, checks = found
        parts.checks += checks
        return content

    if work.store.is_file():
        parts.store = take(files.store(work.store))
    for path in _skeleton(work):
        features = take(files.skeleton(path))
        if features is not None:
            parts.skeleton[path] = features
    for path in (work.text, *sorted(root.glob("features/text_*.h5"))):
        features = take(files.text(path)) if path.is_file() else None
        if features is not None:
            parts.text[path] = features
    for path in find_results(root):
        record = take(files.result(path))
        if record is not None:
            parts.results[path] = record
    if files.thorough:
        for path in sorted((root / MODELS).glob("*.safetensors")):
            card = take(files.model(path))
            if card is not None:
                parts.models[path] = card
        for phase in (TEST, CALIBRATION):
            weights = work.backbone(phase) / "weights.pth"
            summary = take(files.weights(weights)) if weights.is_file() else None
            if summary is not None:
                parts.backbones[phase] = summary
    return parts


def _skeleton(work: WorkDir) -> list[Path]:
    first = [work.skeleton(phase) for phase in (TEST, CALIBRATION)]
    others = sorted(set(work.root.glob("features/skeleton_*.h5")) - set(first))
    return [path for path in (*first, *others) if path.is_file()]
