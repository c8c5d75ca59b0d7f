"""Trials of a search: fitted together where their shapes allow, scored one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zskel.data.common.errors import BadConfig, BadInput
from zskel.pipeline.search.caches import SearchCaches
from zskel.pipeline.search.job import SearchJob
from zskel.zsl.validation import Validation, ValidationScore, stack_key

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
        seconds: Of its own share of the time.
        error: Why it could not be fitted, in one line; "" where it could.
        pruned: Whether it was ended early.
    """

    scores: tuple[ValidationScore, ...]
    seconds: float
    error: str = ""
    pruned: bool = False


class _Pruned(Exception):
    """All trials of a stack have been ended."""


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

    def key(self, options: Mapping[str, Any]) -> str | None:
        """Settings with the same key are trained as one stack; None: alone."""
        return stack_key(self._job.method(dict(options), 0))

    def run(
        self, settings: Sequence[Setting], seeds: int, on_done: Callable[[int, Outcome], None],
    ) -> None:
        """Fits and scores every setting with each seed.

        Args:
            settings: What to try.
            seeds: Fits of each, with seeds 0, 1, ...
            on_done: Told the place of a setting and its outcome, as soon as it has one.
        """
        groups: dict[str, list[int]] = {}
        for at, setting in enumerate(settings):
            key = self.key(setting.options)
            groups.setdefault(key if key is not None else f"alone {at}", []).append(at)
        for members in groups.values():
            self._stack([(at, settings[at]) for at in members], seeds, on_done)

    def _stack(
        self, members: Sequence[tuple[int, Setting]], seeds: int,
        on_done: Callable[[int, Outcome], None],
    ) -> None:
        started = time.perf_counter()
        made = [[self._job.method(dict(setting.options), seed) for seed in range(seeds)]
                for _, setting in members]
        ended: set[int] = set()

        def look(epoch: int) -> None:
            for (at, setting), methods in zip(members, made):
                # The others of a stack go on: its numbers do not depend on who is in it.
                if setting.look is not None and at not in ended and setting.look(
                        epoch, self.validation.quick(methods[0])):
                    ended.add(at)
            if len(ended) == len(members):
                raise _Pruned

        wanted = any(setting.look is not None for _, setting in members)
        try:
            together = stack_key(made[0][0]) is not None
            stacks = [[m for methods in made for m in methods]] if together else \
                [[method] for methods in made for method in methods]
            for number, stack in enumerate(stacks):
                self.validation.fit(stack, on_epoch=look if wanted and number == 0 else None)
        except _Pruned:
            pass
        except BadConfig:
            raise
        except BadInput as error:
            if len(members) > 1:
                # One of them has diverged: the others have done nothing wrong.
                for member in members:
                    self._stack([member], seeds, on_done)
                return
            on_done(members[0][0], Outcome((), time.perf_counter() - started,
                                           error=" ".join(str(error).split())))
            return
        shared = (time.perf_counter() - started) / len(members)
        for (at, _), methods in zip(members, made):
            if at in ended:
                on_done(at, Outcome((), shared, pruned=True))
                continue
            started = time.perf_counter()
            scores = tuple(self.validation.score(method, seed)
                           for seed, method in enumerate(methods))
            on_done(at, Outcome(scores, shared + time.perf_counter() - started))
