"""How long trainings and fits took here, which tells how long others like them will take."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

#: Of the results and trainings of one kind, so many are looked at.
_ENOUGH = 20


class Rates:
    """Seconds a clip and epoch, of the machine that the files in some folders come from.

    Args:
        model_store: Folder of shared backbones.
        work_dirs: Folder of work directories.
    """

    def __init__(self, model_store: Path, work_dirs: Path) -> None:
        self._folders = [model_store / "backbones", *sorted(work_dirs.glob("*/backbones"))]
        self._work_dirs = work_dirs
        self.training = cache(self._training)
        self.fit = cache(self._fit)

    def _training(self, backbone: str, batch_size: int) -> float | None:
        """The median over the steps of trainings of a backbone; None: there was none here."""
        trained = (file.parent for folder in self._folders
                   for file in sorted(folder.glob("*/backbone.json"))
                   if _json(file).get("name") == backbone)
        steps = [seconds for folder in islice(trained, _ENOUGH)
                 for seconds in _step_seconds(folder)]
        return statistics.median(steps) / batch_size if steps else None

    def _fit(self, method: str, batch_size: int | None) -> float | None:
        """The median over results of a method, both phases and all gates together.

        Args:
            method: Its name.
            batch_size: Of the results, too: a clip in a small batch takes longer.
        """
        files = sorted(self._work_dirs.glob(f"*/results/{method}-*.json"))
        found = (seconds for path in files
                 if (seconds := _fit_seconds(path, method, batch_size)) is not None)
        enough = list(islice(found, _ENOUGH))
        return statistics.median(enough) if enough else None


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


def _fit_seconds(result: Path, method: str, batch_size: int | None) -> float | None:
    content = _json(result)
    try:
        options = content["config"]["method"]["options"]
        if content["method"] != method or options.get("batch_size") != batch_size:
            return None
        epochs = options.get("epochs", 1)
        return float(content["duration_seconds"]) / (content["counts"]["train"] * epochs)
    except (KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
