"""Reads all parts of a work directory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zskel.data.caches import CALIBRATION, TEST, SkeletonFeatures, TextFeatures
from zskel.data.store import SequenceStore
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.result_record import ResultRecord
from zskel.pipeline.steps.results import find_results
from zskel.pipeline.verify.checks import Check
from zskel.pipeline.verify.files import Files


@dataclass
class Parts:
    """What a work directory holds, as far as it can be read.

    Attributes:
        work: The work directory.
        files: Through which it was read.
        store: The sequence store.
        skeleton, text, results, models, weights: By file: skeleton and text features,
            records, cards of fitted models, what is said of backbones.
        checks: Whether each part is whole.
    """

    work: WorkDir
    files: Files
    store: SequenceStore | None = None
    skeleton: dict[Path, SkeletonFeatures] = field(default_factory=dict)
    text: dict[Path, TextFeatures] = field(default_factory=dict)
    results: dict[Path, ResultRecord] = field(default_factory=dict)
    models: dict[Path, dict[str, Any]] = field(default_factory=dict)
    weights: dict[Path, dict[str, Any]] = field(default_factory=dict)
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

    def read(
        paths: Iterable[Path], reader: Callable[[Path], tuple[Any, list[Check]]]
    ) -> dict[Path, Any]:
        found = {path: reader(path) for path in dict.fromkeys(paths) if path.is_file()}
        parts.checks += [check for _, checks in found.values() for check in checks]
        return {path: content for path, (content, _) in found.items() if content is not None}

    parts.store = read([work.store], files.store).get(work.store)
    parts.skeleton = read([work.skeleton(TEST), work.skeleton(CALIBRATION),
                           *sorted(root.glob("features/skeleton_*.h5"))], files.skeleton)
    parts.text = read([work.text, *sorted(root.glob("features/text_*.h5"))], files.text)
    parts.results = read(find_results(root), files.result)
    if files.thorough:
        parts.models = read(sorted(work.models.glob("*.safetensors")), files.model)
        backbones = map(work.backbone, (TEST, CALIBRATION))
        parts.weights = read([folder / "weights.pth" for folder in backbones], files.weights)
    return parts
