"""The slots of a step: each ends with exactly one finished trial, whoever does it.

A step of N trials has slots 0 ... N-1. A slot is a trial of Optuna's that waits, runs or
is finished; while its worker dies there may be failed ones besides, which do not count.

- A trial is taken by Optuna's change from WAITING to RUNNING, which only one worker
  succeeds in.
- Of several trials of one slot, which two workers can add at the same moment, the one
  with the lowest number holds the slot as long as it has not failed. Numbers only grow,
  so that a trial which holds its slot once never loses it to a newer one; the others are
  discarded before they run.
- A trial whose worker is gone becomes FAIL, which again only one process succeeds in, and
  its slot is added anew with the same parameters. Where the process that did so is gone
  too before it could, the slot has no trial, which any worker sees and mends.
- A worker that was taken for dead and is not finds its trial failed and its result is
  not counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zskel.pipeline.search.processes import GRACE, HEARTBEAT, Watch, known_dead, this_process

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

SLOT, WORKER, SIGN, ENDED = "slot", "worker", "heartbeat", "ended"

#: Slots that are added between two looks at what others have added.
_AT_ONCE = 5

Parameters = Callable[[int], dict[str, Any]]
"""What a slot's trial is given beforehand; empty where the sampler chooses it later."""


@dataclass
class Claim:
    """A trial that this process works on.

    Attributes:
        slot: Which.
        trial: Optuna's.
        lost: Whether somebody else has taken it over.
    """

    slot: int
    trial: Trial
    trial_id: int
    lost: bool = False


@dataclass(frozen=True)
class Standing:
    """How a step stands: by slot the trial that holds it, or None."""

    holders: tuple[FrozenTrial | None, ...]
    strays: tuple[FrozenTrial, ...] = field(default=())

    @property
    def finished(self) -> list[FrozenTrial]:
        """The finished trials, by slot."""
        return [trial for trial in self.holders if trial is not None and trial.state.is_finished()]

    @property
    def done(self) -> bool:
        """Whether every slot is finished."""
        return len(self.finished) == len(self.holders)


def standing(trials: Sequence[FrozenTrial], count: int) -> Standing:
    """Which trial holds each of ``count`` slots, and which waiting ones hold none."""
    from optuna.trial import TrialState

    holders: list[FrozenTrial | None] = [None] * count
    strays = []
    for trial in sorted(trials, key=lambda each: each.number):
        slot = trial.user_attrs.get(SLOT)
        if not isinstance(slot, int) or slot >= count or trial.state == TrialState.FAIL:
            continue
        if holders[slot] is None:
            holders[slot] = trial
        elif trial.state == TrialState.WAITING:
            strays.append(trial)
    return Standing(tuple(holders), tuple(strays))


class Slots:
    """This process's part in one step.

    Args:
        study: Of the step.
        count: How many slots it has.
        parameters: Of a slot.
        heartbeat: Seconds between two signs of life.
        grace: Seconds of silence after which a worker elsewhere counts as dead.

    Use it as a context: while it is entered, a thread gives signs of life. Where it is left
    by an exception, an interrupt say, the trials are given back.
    """

    def __init__(
        self, study: Study, count: int, parameters: Parameters, *,
        heartbeat: float = HEARTBEAT, grace: float = GRACE,
    ) -> None:
        self.study, self.count, self._parameters = study, count, parameters
        self._storage = study._storage
        self._study_id = self._storage.get_study_id_from_name(study.study_name)
        self._me, self._watch = this_process(), Watch(grace)
        self._held: dict[int, Claim] = {}
        self._refused: set[int] = set()
        self._heartbeat, self._beats = heartbeat, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Slots:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if kind is not None:
            self._give_back()

    def standing(self) -> Standing:
        """How the step stands now."""
        return standing(self._trials(), self.count)

    def mend(self) -> Standing:
        """Takes over what dead workers left, adds slots that have no trial; how it stands."""
        from optuna.trial import TrialState

        trials = self._trials()
        for trial in trials:
            if trial.state == TrialState.RUNNING and self._is_abandoned(trial):
                self._fail(trial._trial_id, "its worker is gone")
        return self._fill()

    def claim(
        self, most: int, key: Callable[[Mapping[str, Any]], Any] | None = None,
        found: Standing | None = None,
    ) -> list[Claim]:
        """Takes waiting trials, in the order of their slots.

        Args:
            most: How many at most.
            key: Of the parameters that a trial was given; only trials with the same key
                are taken together. None: any.
            found: How the step stands, if somebody has just looked.
        """
        from optuna.trial import TrialState

        waiting = [trial for trial in (found or self.standing()).holders
                   if trial is not None and trial.state == TrialState.WAITING]
        claims: list[Claim] = []
        wanted: Any = None
        for trial in waiting:
            if len(claims) == most:
                break
            own = key(_given(trial)) if key is not None and most > 1 else None
            if claims and own != wanted:
                continue
            claim = self._take(trial)
            if claim is not None:
                claims.append(claim)
                wanted = own
        return claims

    def finish(
        self, claim: Claim, value: float | None, attributes: Mapping[str, Any],
        pruned: bool = False,
    ) -> bool:
        """Ends a trial with its value; False if it was taken over in the meantime."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            for name, content in attributes.items():
                self._storage.set_trial_user_attr(claim.trial_id, name, content)
            # Before the end: a failed trial can be told nothing any more.
            self.study.tell(claim.trial, None if pruned else value,
                            state=TrialState.PRUNED if pruned else None)
        except (UpdateFinishedTrialError, ValueError):
            if not self._storage.get_trial(claim.trial_id).state.is_finished():
                raise
            claim.lost = True
        self._held.pop(claim.trial_id, None)
        return not claim.lost

    def release(self, claims: Sequence[Claim]) -> None:
        """Gives trials back, for whoever goes on."""
        given_back = [claim for claim in claims if claim.trial_id in self._held]
        for claim in given_back:
            self._held.pop(claim.trial_id)
            self._fail(claim.trial_id, "given back")
        if given_back:
            trials = self._trials()
            holders = standing(trials, self.count).holders
            for claim in given_back:
                if holders[claim.slot] is None:
                    self._add(claim.slot, trials)

    def _give_back(self) -> None:
        """Gives back what is this process's in the storage, however far the taking had come."""
        from optuna.trial import TrialState

        self._held.clear()
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and self._is_mine(trial):
                self._fail(trial._trial_id, "given back")
        self._fill()

    def _take(self, waiting: FrozenTrial) -> Claim | None:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import Trial, TrialState

        identity, slot = waiting._trial_id, waiting.user_attrs[SLOT]
        try:
            # First, so that a trial whose worker dies right here is known to be its.
            self._storage.set_trial_user_attr(identity, WORKER, self._me)
            if not self._storage.set_trial_state_values(identity, TrialState.RUNNING):
                # It may name this process all the same.
                self._refused.add(identity)
                return None
            self._storage.set_trial_user_attr(identity, WORKER, self._me)
        except UpdateFinishedTrialError:
            return None
        claim = Claim(slot, Trial(self.study, identity), identity)
        self._held[identity] = claim
        return claim

    def _is_mine(self, trial: FrozenTrial) -> bool:
        """Whether it names this process, and not because somebody was quicker."""
        named = trial.user_attrs.get(WORKER) == self._me
        return named and trial._trial_id not in self._refused

    def _is_abandoned(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get(WORKER)
        if trial._trial_id in self._held:
            return False
        if self._is_mine(trial) or known_dead(worker):
            return True
        return self._watch.silent(trial.number, (worker, trial.user_attrs.get(SIGN)))

    def _fail(self, trial_id: int, reason: str) -> bool:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            self._storage.set_trial_user_attr(trial_id, ENDED, reason)
            return bool(self._storage.set_trial_state_values(trial_id, TrialState.FAIL))
        except UpdateFinishedTrialError:
            return False

    def _fill(self) -> Standing:
        """Adds a trial for every slot without one.

        Others may be at it too, so each begins elsewhere and looks again after a few.
        """
        while True:
            trials = self._trials()
            found = standing(trials, self.count)
            missing = [slot for slot, holder in enumerate(found.holders) if holder is None]
            if not missing:
                for stray in found.strays:
                    self._fail(stray._trial_id, "the slot has an older trial")
                return found
            first = self._me["pid"] * 7919 % len(missing)
            for slot in [*missing[first:], *missing[:first]][:_AT_ONCE]:
                self._add(slot, trials)

    def _add(self, slot: int, trials: Sequence[FrozenTrial]) -> None:
        before = [trial for trial in trials if trial.user_attrs.get(SLOT) == slot]
        given = self._parameters(slot) or next(
            (trial.params or _given(trial) for trial in reversed(before)
             if trial.params or _given(trial)), {})
        self.study.enqueue_trial(given, user_attrs={SLOT: slot})

    def _trials(self) -> list[FrozenTrial]:
        return self._storage.get_all_trials(self._study_id, deepcopy=False)

    def _beat(self) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        while not self._stop.wait(self._heartbeat):
            self._beats += 1
            for identity, claim in list(self._held.items()):
                try:
                    self._storage.set_trial_user_attr(identity, SIGN, self._beats)
                except UpdateFinishedTrialError:
                    claim.lost = True
                except Exception:
                    # A storage that does not answer now may do so the next time; where
                    # it never does, the worker's own calls say so.
                    continue


def _given(trial: FrozenTrial) -> dict[str, Any]:
    """What a trial was enqueued with."""
    return dict(trial.system_attrs.get("fixed_params", {}))
