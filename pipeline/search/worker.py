"""The loop of one worker: take waiting trials, fit and score them, tell the storage."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from zskel.data.common.errors import BadInput
from zskel.data.common.files import digest_json
from zskel.pipeline.search.caches import SearchCaches, read_search_caches
from zskel.pipeline.search.evaluate import Evaluator, Look, Outcome, Setting
from zskel.pipeline.search.job import SearchJob
from zskel.pipeline.search.samplers import given_parameters, new_pruner, new_sampler, suggest
from zskel.pipeline.search.slots import Claim, Slots, Standing
from zskel.pipeline.search.storage import open_storage, shown

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

Tell = Callable[[int, Standing], None]
"""Told the number of a step and how it stands, now and then."""

#: Seconds between two looks at trials that others work on, at first and at most: a look
#: at an embedded database keeps others from writing.
_POLL, _SLOWEST = 0.1, 1.0


@dataclass(frozen=True)
class Chosen:
    """What a step has come to.

    Attributes:
        options: Of the method: the experiment's, with what steps so far have chosen.
        trial: The best one; None before the first step.
    """

    options: dict[str, Any]
    trial: FrozenTrial | None = None


def work(
    job: SearchJob, tell: Tell, *, storage: BaseStorage | None = None, only_watch: bool = False,
) -> list[Chosen]:
    """Works on a search until it is finished, together with whoever else does.

    Args:
        job: The search.
        tell: See :data:`Tell`.
        storage: Opened; None opens the job's.
        only_watch: Take no trials, but take over those of dead workers; others do them.

    Returns:
        What each step has chosen.

    Raises:
        BadInput: The search was begun with other caches, config or space, or no trial of
            a step could be fitted.
    """
    storage = storage or open_storage(job.storage)
    caches = read_search_caches(
        job.work, job.method(dict(job.experiment.fit.method.options), 0))
    evaluator: Evaluator | None = None
    settled = Chosen(dict(job.experiment.fit.method.options))
    chosen = []
    for at, step in enumerate(job.config.steps):
        study = open_study(job, at, storage, caches, settled)
        parameters = given_parameters(step, job.seed, study)
        pause = _POLL
        with Slots(study, step.slots, parameters) as slots:
            while not (found := slots.mend()).done:
                tell(at, found)
                claims: list[Claim] = []
                if not only_watch:
                    if evaluator is None:
                        evaluator = Evaluator(job, caches)
                    claims = slots.claim(job.batch, None, found)
                if claims and evaluator is not None:
                    _do(job, at, slots, evaluator, settled, claims)
                    pause = _POLL
                else:
                    time.sleep(pause)
                    pause = min(1.5 * pause, _SLOWEST)
            tell(at, found)
        settled = choose(job, at, settled, found.finished)
        chosen.append(settled)
    return chosen


def open_study(
    job: SearchJob, at: int, storage: BaseStorage, caches: SearchCaches, settled: Chosen
) -> Study:
    """The study of a step, made if it is not there.

    Raises:
        BadInput: It is there and was made from something else; the message says what.
    """
    import optuna

    step = job.config.steps[at]
    facts = {
        "config": job.config_digest(), **caches.digests, "search space": job.config.digest(at),
        "choice of earlier steps": digest_json(settled.options),
    }
    study = optuna.create_study(
        storage=storage, study_name=job.study_name(step), direction="maximize",
        load_if_exists=True, pruner=new_pruner(step), sampler=new_sampler(step, job.seed, -1))
    known = study.user_attrs
    for name, digest in facts.items():
        if name not in known:
            study.set_user_attr(name, digest)
        elif known[name] != digest:
            raise BadInput(
                f"{shown(job.storage)}: study {study.study_name!r} was begun with another {name} "
                f"({known[name][:12]}, now {digest[:12]}); go on with that one, or search in "
                "another --storage")
    return study


def choose(
    job: SearchJob, at: int, settled: Chosen, finished: list[FrozenTrial]
) -> Chosen:
    """The best trial of a step: the highest value, of equally good ones the lowest slot.

    Raises:
        BadInput: No trial could be fitted.
    """
    from optuna.trial import TrialState

    whole = [trial for trial in finished if trial.state == TrialState.COMPLETE]
    if not whole:
        step = job.config.steps[at]
        reason = next((trial.user_attrs["error"] for trial in finished
                       if trial.user_attrs.get("error")), "all were pruned")
        raise BadInput(f"search step {step.name!r}: none of {len(finished)} trials came to an end; "
                       f"the first: {reason}")
    best = min(whole, key=lambda trial: (-float(trial.value or 0), trial.user_attrs["slot"]))
    return Chosen(job.options(at, settled.options, best.params), best)


def _do(
    job: SearchJob, at: int, slots: Slots, evaluator: Evaluator, settled: Chosen,
    claims: list[Claim],
) -> None:
    from optuna.exceptions import UpdateFinishedTrialError

    step = job.config.steps[at]
    try:
        settings, kept = [], []
        for claim in claims:
            slots.study.sampler = new_sampler(step, job.seed, claim.slot)
            try:
                params = suggest(claim.trial, step)
            except UpdateFinishedTrialError:
                claim.lost = True
                continue
            kept.append(claim)
            settings.append(Setting(job.options(at, settled.options, params),
                                    _look(claim) if step.pruner != "none" else None))

        def done(place: int, outcome: Outcome) -> None:
            _tell(job, slots, kept[place], outcome)

        if settings:
            evaluator.run(settings, step.seeds, done)
    finally:
        # Whatever ends this, an interrupt too: others need not wait until they notice.
        slots.release(claims)


def _look(claim: Claim) -> Look:
    from optuna.exceptions import UpdateFinishedTrialError

    def look(epoch: int, value: float) -> bool:
        try:
            claim.trial.report(value, epoch)
        except UpdateFinishedTrialError:
            claim.lost = True
        return claim.lost or claim.trial.should_prune()

    return look


def _tell(job: SearchJob, slots: Slots, claim: Claim, outcome: Outcome) -> None:
    from zskel.zsl.validation import ValidationScore

    attributes: dict[str, Any] = {"seconds": round(outcome.seconds, 3)}
    value = None
    if outcome.scores:
        mean = ValidationScore.mean(outcome.scores).values()
        value = mean[job.config.objective]
        attributes |= {"metrics": mean, "by_seed": [asdict(score) for score in outcome.scores]}
    if outcome.error:
        attributes["error"] = outcome.error
    slots.finish(claim, value, attributes, pruned=value is None)
