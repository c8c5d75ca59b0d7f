"""Trials of a search: fitted and scored one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zskel.data.common.errors import BadConfig, BadInput
from zskel.pipeline.search.caches import SearchCaches
from zskel.pipeline.search.job import SearchJob
from zskel.zsl.validation import Validation, ValidationScore

Look = Callable[[int, float], bool]
"""Told epoch and value in the middle of a trial; says whether the trial shall end."""


@dataclass(frozen=True)
class Setting:
    """What one trial tries.

    Attributes:
        options: Of the method.
        look: Asked after each epoch; None where nobody wants to know.
    """

    options: Mapping[str, Any]
    look: Look | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of one trial.

    Attributes:
        scores: One a seed; none where it was pruned or could not be fitted.
        seconds: That it took.
        error: Why it could not be fitted, in one line; "" where it could.
        pruned: Whether it was ended early.
    """

    scores: tuple[ValidationScore, ...]
    seconds: float
    error: str = ""
    pruned: bool = False


class _Pruned(Exception):
    """The trial has been ended."""


class Evaluator:
    """Fits and scores settings on the caches of one search.

    Args:
        job: The search.
        caches: What it reads.
    """

    def __init__(self, job: SearchJob, caches: SearchCaches) -> None:
        self._job = job
        self.validation = Validation(
            caches.calibration, caches.text, gate=job.gate, seen_from=job.seen_from,  # type: ignore[arg-type]
            extra=caches.extra)

    def run(
        self, settings: Sequence[Setting], seeds: int, on_done: Callable[[int, Outcome], None],
    ) -> None:
        """Fits and scores every setting with each seed.

        Args:
            settings: What to try.
            seeds: Fits of each, with seeds 0, 1, ...
            on_done: Told the place of a setting and its outcome, as soon as it has one.
        """
        for at, setting in enumerate(settings):
            on_done(at, self._outcome(setting, seeds))

    def _outcome(self, setting: Setting, seeds: int) -> Outcome:
        started = time.perf_counter()
        methods = [self._job.method(dict(setting.options), seed) for seed in range(seeds)]

        def look(epoch: int) -> None:
            assert setting.look is not None
            if setting.look(epoch, self.validation.quick(methods[0])):
                raise _Pruned

        try:
            for number, method in enumerate(methods):
                watched = setting.look is not None and number == 0
                self.validation.fit([method], on_epoch=look if watched else None)
        except _Pruned:
            return Outcome((), time.perf_counter() - started, pruned=True)
        except BadConfig:
            raise
        except BadInput as error:
            return Outcome((), time.perf_counter() - started, error=" ".join(str(error).split()))
        scores = tuple(self.validation.score(method, seed) for seed, method in enumerate(methods))
        return Outcome(scores, time.perf_counter() - started)
