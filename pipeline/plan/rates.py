"""How long trainings and fits take: measured where some were done, else defaults."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from zskel.pipeline.base.config import BackboneConfig

MEASURED, DEFAULT = "measured", "default"

#: Seconds a clip and epoch on one busy CPU core (``benchmarks/train.py --clips 32``, one
#: thread); a GPU takes a small part of it. The last is taken for all other backbones.
DEFAULT_TRAINING = {"stgcn-tiny": 0.02, "stgcn-cpu": 0.054, "shift-gcn-cpu": 0.037,
                    "stgcn": 2.0, "shift-gcn": 2.0, "": 2.0}

#: Seconds a clip and epoch of one fit on one busy CPU core, in closed form a clip
#: (``benchmarks/methods.py --steps 60``, mean of NTU-60 and NTU-120).
DEFAULT_FIT = {"cada_vae": 2e-4, "conse": 2.1e-4, "eszsl": 2.1e-4, "jpose": 2.4e-4,
               "revise": 4.2e-4, "ridge": 7.5e-4, "sa_dvae": 1.2e-4, "smie": 7.7e-4,
               "synse": 4.5e-4, "": 4e-4}

#: A result is two fits, one of each phase, and as long as none is measured that is
#: taken to be twice the time of one.
_PHASES = 2

#: Training clips of all classes, cross-subject, as long as there is no store to count in;
#: PKU-MMD: the paper's Table 1, without the tenth that tests in phase 1.
DEFAULT_CLIPS = {"ntu60": 40_091, "ntu120": 63_026, "pku-mmd": 25_600, "synthetic": 720,
                 "utd-mhad": 431, "": 10_000}

#: Of the results and trainings of one kind, so many are looked at.
_ENOUGH = 20


class Rates:
    """Rates of the machine that the files in some folders come from.

    Args:
        bank: Folder of stores and backbones.
        work_dirs: Folder of work directories.
    """

    def __init__(self, bank: Path, work_dirs: Path) -> None:
        self._folders = [bank / "backbones", *sorted(work_dirs.glob("*/backbones"))]
        self._work_dirs = work_dirs
        self.training = cache(self._training)
        self.fit = cache(self._fit)

    def seconds_to_train(self, config: BackboneConfig, clips: int) -> tuple[float, str]:
        """Of a backbone's whole training and one pass for its features.

        Returns:
            Seconds, and ``MEASURED`` or ``DEFAULT``.
        """
        rate, source = self.training(config.name, config.batch_size)
        return rate * clips * (config.epochs + 1), source

    def seconds_to_extract(self, config: BackboneConfig, clips: int) -> tuple[float, str]:
        """Of the features of a backbone that is trained."""
        rate, source = self.training(config.name, config.batch_size)
        return rate * clips, source

    def seconds_to_fit(
        self, method: str, options: dict[str, Any], clips: int
    ) -> tuple[float, str]:
        """Of one seed: both phases, all gates."""
        rate, source = self.fit(method)
        return rate * clips * options.get("epochs", 1), source

    def _training(self, name: str, batch_size: int) -> tuple[float, str]:
        steps = [seconds for folder in self._backbones(name) for seconds in _step_seconds(folder)]
        if steps:
            return statistics.median(steps) / batch_size, MEASURED
        return DEFAULT_TRAINING.get(name, DEFAULT_TRAINING[""]), DEFAULT

    def _fit(self, method: str) -> tuple[float, str]:
        files = sorted(self._work_dirs.glob(f"*/results/{method}-*.json"))[:_ENOUGH]
        found = [own for path in files if (own := _fit_seconds(path, method)) is not None]
        if found:
            return statistics.median(found), MEASURED
        return DEFAULT_FIT.get(method, DEFAULT_FIT[""]) * _PHASES, DEFAULT

    def _backbones(self, name: str) -> Iterator[Path]:
        files: Iterable[Path] = (file for folder in self._folders
                                 for file in sorted(folder.glob("*/backbone.json")))
        found = (file.parent for file in files if _json(file).get("name") == name)
        for _, folder in zip(range(_ENOUGH), found):
            yield folder


def _step_seconds(backbone: Path) -> Iterator[float]:
    """Of the steps that a training's log holds."""
    for file in backbone.glob("logs/*/vis_data/scalars.json"):
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                seconds = json.loads(line).get("time")
            except (ValueError, AttributeError):
                continue  # a line that a kill cut off
            if seconds:
                yield float(seconds)


def _fit_seconds(result: Path, method: str) -> float | None:
    """A clip and epoch."""
    content = _json(result)
    try:
        if content["method"] != method:
            return None
        epochs = content["config"]["method"]["options"].get("epochs", 1)
        return float(content["duration_seconds"]) / (content["counts"]["train"] * epochs)
    except (KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
