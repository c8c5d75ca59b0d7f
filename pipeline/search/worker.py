"""The loop of one worker: take a trial, fit and score it, until each step has all of its own.

A step of N trials has the slots 0 ... N-1; each ends with exactly one finished trial,
whoever does it. A trial that fails with its worker leaves its slot free for whoever comes
next. Where two workers have enqueued a trial of the same slot at the same moment, the one
with the lower number holds it; the other is discarded before it is fitted.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.files import digest_json
from zskel.pipeline.base.progress import bar
from zskel.pipeline.search.job import SearchJob
from zskel.pipeline.search.space import Step
from zskel.pipeline.search.storage import open_storage, shown, work_lock
from zskel.pipeline.steps.fits import Fit
from zskel.zsl.devices import computing_on
from zskel.zsl.metrics import Metric, Values, mean_values
from zskel.zsl.validation import Validation

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

SLOT, WORKER = "slot", "worker"
#: Seconds between two looks at trials that others work on, at first and at most: a look
#: at an embedded database keeps others from writing.
_POLL, _SLOWEST = 0.1, 1.0


@dataclass(frozen=True)
class StepResult:
    """What a step has come to.

    Attributes:
        options: Of the method: the experiment's, with what steps so far have chosen.
        trials: The finished trial of every slot.
        best: The one with the highest value, of equally good ones the lowest slot.
    """

    options: dict[str, Any]
    trials: list[FrozenTrial]
    best: FrozenTrial


class _Discarded(Exception):
    """The trial's slot is another one's, or others took this worker for dead."""


def work(
    job: SearchJob, validation: Validation, digests: dict[str, str],
    on_look: Callable[[], None] = lambda: None,
) -> list[StepResult]:
    """Works on a search until it is finished, together with whoever else does.

    Args:
        job: The search.
        validation, digests: From ``read_validation``.
        on_look: Called between trials, and now and then while others finish theirs.

    Raises:
        BadInput: The search was begun with other caches, config or space, or no trial of
            a step could be fitted.
    """
    storage = open_storage(job.storage)
    options, results = dict(job.experiment.fit.method.options), []
    device = Fit(job.experiment.fit).device()
    for at, step in enumerate(job.config.steps):
        study = open_study(job, at, storage, digests, options)
        with computing_on(device):
            trials = StepWorker(job, at, study, validation, options).finish(on_look)
        best = best_trial(step, job.config.metric, trials)
        options = job.options(at, options, best.params)
        results.append(StepResult(options, trials, best))
    return results


def open_study(
    job: SearchJob, at: int, storage: BaseStorage, digests: dict[str, str], options: dict[str, Any]
) -> Study:
    """The study of a step, made if it is not there.

    Raises:
        BadInput: It is there and was made from something else; the message says what.
    """
    import optuna

    step = job.config.steps[at]
    facts = {
        "config": job.config_digest(), **digests, "search space": job.config.digest(at),
        "choice of earlier steps": digest_json(options),
    }
    study = optuna.create_study(
        storage=storage, study_name=job.study_name(step),
        direction="maximize" if job.config.metric.higher_is_better else "minimize",
        load_if_exists=True, pruner=_pruner(step), sampler=new_sampler(step, job.seed, -1))
    begun = bool(study.get_trials(deepcopy=False))  # looked at first: its facts are older
    known = study.user_attrs
    for name, digest in facts.items():
        if name not in known and not begun:
            study.set_user_attr(name, digest)
        elif known.get(name) != digest:
            before = known[name][:12] if name in known else "none"
            raise BadInput(
                f"{shown(job.storage)}: study {study.study_name!r} was begun with another {name} "
                f"({before}, now {digest[:12]}); go on with that one, or search in another "
                "--storage")
    return study


def standing(study: Study, count: int) -> dict[int, FrozenTrial]:
    """The trial that holds each slot: the first that has not failed."""
    from optuna.trial import TrialState

    holders: dict[int, FrozenTrial] = {}
    for trial in sorted(study.get_trials(deepcopy=False), key=lambda each: each.number):
        slot = trial.user_attrs.get(SLOT, count)
        if slot < count and trial.state != TrialState.FAIL:
            holders.setdefault(slot, trial)
    return holders


def best_trial(step: Step, metric: Metric, trials: list[FrozenTrial]) -> FrozenTrial:
    """The best of a step's finished trials.

    Raises:
        BadInput: No trial could be fitted.
    """
    whole = [trial for trial in trials if trial.state.name == "COMPLETE"]
    if not whole:
        reason = next((trial.user_attrs["error"] for trial in trials
                       if trial.user_attrs.get("error")), "all were pruned")
        raise BadInput(f"search step {step.name!r}: none of {len(trials)} trials came to an end; "
                       f"the first: {reason}")
    return min(whole, key=lambda trial: (metric.worse(trial.value or 0.0), trial.user_attrs[SLOT]))


class StepWorker:
    """This process's part in one step.

    Args:
        job, at: The search, and the number of the step.
        study: Of the step.
        validation: Scores methods.
        options: Of the method, as earlier steps have left them.
    """

    def __init__(
        self, job: SearchJob, at: int, study: Study, validation: Validation,
        options: dict[str, Any],
    ) -> None:
        self.job, self.at, self.step, self.study = job, at, job.config.steps[at], study
        self.validation, self.options = validation, options
        self._lost = False

    def finish(self, on_look: Callable[[], None]) -> list[FrozenTrial]:
        """Works until every slot is finished; their trials."""
        count, pause = self.step.slots, _POLL
        self._fail_dead_trials()
        with bar(f"step {self.step.name}") as tell:
            while True:
                on_look()
                holders = standing(self.study, count)
                done = [trial for trial in holders.values() if trial.state.is_finished()]
                values = [trial.value for trial in done if trial.value is not None]
                best = min(values, key=self.job.config.metric.worse, default=None)
                tell(len(done), count, "" if best is None else f"best {best:.1%}")
                if len(done) == count:
                    return [holders[slot] for slot in range(count)]
                if self._take_one(holders):
                    pause = _POLL
                else:
                    time.sleep(pause)
                    pause = min(1.5 * pause, _SLOWEST)
                    self._fail_dead_trials()

    def _take_one(self, holders: dict[int, FrozenTrial]) -> bool:
        """Runs a trial of a slot that nobody has taken; False if there is none."""
        free = [slot for slot in range(self.step.slots) if slot not in holders]
        states = {trial.state.name for trial in holders.values()}
        if free:
            # In order, unless others would choose the same at the same moment.
            slot = random.choice(free) if "RUNNING" in states else free[0]
            point = self.step.grid()[slot] if self.step.sampler == "grid" else {}
            self.study.enqueue_trial(point, user_attrs={SLOT: slot})
        elif "WAITING" not in states:
            return False
        try:
            with work_lock(self.job.storage):
                self.study.optimize(self._objective, n_trials=1, catch=(_Discarded,))
        except ValueError:  # Optuna's, who is told the end of a trial that has ended
            if not self._lost:
                raise
            self._lost = False
        return True

    def _fail_dead_trials(self) -> None:
        """Fails trials whose workers are gone, which frees their slots."""
        import optuna

        optuna.storages.fail_stale_trials(self.study)  # of a database: without heartbeat
        with work_lock(self.job.storage, alone=True) as alone:
            for trial in self.study.get_trials(deepcopy=False) if alone else ():
                if trial.state == optuna.trial.TrialState.RUNNING:
                    self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)

    def _objective(self, trial: Trial) -> float:
        from optuna.exceptions import TrialPruned, UpdateFinishedTrialError

        slot = trial.user_attrs.get(SLOT, -1)
        holder = standing(self.study, self.step.slots).get(slot)
        if holder is None or holder.number != trial.number:
            raise _Discarded
        try:
            trial.set_user_attr(WORKER, {"host": socket.gethostname(), "pid": os.getpid()})
            trial.study.sampler = new_sampler(self.step, self.job.seed, slot)
            params = {name: each.suggest(trial, name) for name, each in self.step.space.items()}
            try:
                scores = self._scores(self.job.options(self.at, self.options, params), trial)
            except BadConfig:
                raise
            except BadInput as error:
                trial.set_user_attr("error", " ".join(str(error).split()))
                raise TrialPruned from None
            mean = mean_values(scores)
            trial.set_user_attr("by_seed", scores)
            trial.set_user_attr("metrics", mean)
            value = mean[self.job.config.objective]
            if value is None:
                trial.set_user_attr("error", f"{self.job.config.objective} has no value here")
                raise TrialPruned
            return value
        except UpdateFinishedTrialError:
            self._lost = True
            raise _Discarded from None

    def _scores(self, options: dict[str, Any], trial: Trial) -> list[Values]:
        from optuna.exceptions import TrialPruned

        def look(epoch: int) -> None:
            trial.report(self.validation.quick(methods[0]), epoch)
            if trial.should_prune():
                raise TrialPruned

        methods = [self.job.method(options, seed) for seed in range(self.step.seeds)]
        for seed, method in enumerate(methods):
            watched = seed == 0 and self.step.pruner != "none"
            self.validation.fit(method, on_epoch=look if watched else None)
        return [self.validation.score(method, seed) for seed, method in enumerate(methods)]


def slot_seed(seed: int, step: str, slot: int) -> int:
    """The seed of a slot's draws: the same on every machine, whoever takes the slot.

    >>> slot_seed(0, "betas", 0) != slot_seed(0, "betas", 1) != slot_seed(1, "betas", 1)
    True
    """
    text = f"{seed}/{step}/{slot}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")


def new_sampler(step: Step, seed: int, slot: int) -> BaseSampler:
    """The sampler of one slot.

    Random draws follow from the seed, the step and the slot alone: how many workers there
    are, and how often they were stopped, changes nothing. TPE learns from trials that have
    ended when one begins.
    """
    from optuna import samplers

    own = slot_seed(seed, step.name, slot)
    if step.sampler == "tpe":
        # Trials that still run count as bad ones, or workers would try the same.
        return samplers.TPESampler(seed=own, constant_liar=True)
    return samplers.RandomSampler(own)


def _pruner(step: Step) -> BasePruner:
    from optuna import pruners

    return {
        "none": pruners.NopPruner(),
        "median": pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
        "hyperband": pruners.HyperbandPruner(min_resource=1, max_resource="auto"),
    }[step.pruner]
