"""Slots: taken once, taken over when a worker dies, finished exactly once."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from zskel.data.common.errors import BadInput
from zskel.pipeline.search import processes
from zskel.pipeline.search.processes import known_dead, this_process
from zskel.pipeline.search.slots import SIGN, SLOT, WORKER, Slots, standing
from zskel.pipeline.search.storage import open_storage

KINDS = ("sqlite:///{}/trials.db", "journal:{}/trials.log")


@pytest.fixture(params=KINDS, ids=["sqlite", "journal"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.param).format(tmp_path)


def slots_of(url: str, count: int = 6, **options: Any) -> Slots:
    study = optuna.create_study(storage=open_storage(url), study_name="s", direction="maximize",
                                load_if_exists=True)
    return Slots(study, count, lambda slot: {"x": slot / 20}, **options)


def end(slots: Slots, claim: Any, value: float) -> bool:
    claim.trial.suggest_float("x", 0, 1)
    return slots.finish(claim, value, {"metrics": {"value": value}})


def test_every_slot_is_given_its_parameters_and_finished_once(url: str) -> None:
    with slots_of(url) as slots:
        assert not slots.mend().done
        seen = []
        while claims := slots.claim(4):
            for claim in claims:
                assert end(slots, claim, float(claim.slot))
                seen.append(claim.slot)
        assert seen == list(range(6))
        found = slots.mend()
    assert found.done and [trial.params["x"] for trial in found.finished] == [
        slot / 20 for slot in range(6)]
    assert len(slots.study.trials) == 6


def test_two_who_start_at_once_share_the_slots(url: str) -> None:
    """Threads with storages of their own stand for processes; all race for everything."""
    done: list[int] = []
    errors: list[BaseException] = []
    barrier = threading.Barrier(3)

    def run() -> None:
        try:
            slots = slots_of(url, 12)
            barrier.wait()
            while not slots.mend().done:
                for claim in slots.claim(2):
                    if end(slots, claim, float(claim.slot)):
                        done.append(claim.slot)
        except BaseException as error:
            errors.append(error)

    # Each thinks that the others' trials are its own lost ones, so they must differ.
    threads = [threading.Thread(target=run) for _ in range(3)]
    unfair = processes.this_process
    names = iter(range(1, 100))
    import zskel.pipeline.search.slots as module

    module.this_process = lambda: {**unfair(), "host": f"elsewhere {next(names)}"}
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        module.this_process = unfair
    assert not errors
    assert sorted(done) == list(range(12))
    states = Counter(trial.state for trial in slots_of(url, 12).study.trials)
    assert states[TrialState.COMPLETE] == 12 and set(states) <= {
        TrialState.COMPLETE, TrialState.FAIL}


def abandon(slots: Slots, claim: Any, worker: dict[str, Any]) -> None:
    """Makes a claimed trial look like that of another process."""
    slots._storage.set_trial_user_attr(claim.trial_id, WORKER, worker)
    slots._held.clear()


def ended_process() -> dict[str, Any]:
    """What a process that has ended left."""
    code = ("import json; from zskel.pipeline.search.processes import this_process; "
            "print(json.dumps(this_process()))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          check=True, cwd=Path(__file__).resolve().parents[2])
    return json.loads(done.stdout)


def test_a_dead_workers_trial_is_taken_over_with_the_same_parameters(url: str) -> None:
    slots = slots_of(url, 3)
    slots.mend()
    claim, = slots.claim(1)
    claim.trial.suggest_float("x", 0, 1)
    abandon(slots, claim, ended_process())
    found = slots.mend()
    holder = found.holders[0]
    assert holder is not None and holder.state == TrialState.WAITING and holder.number == 3
    assert holder.system_attrs["fixed_params"] == {"x": 0.0}
    again, = slots.claim(1)
    assert again.slot == 0 and end(slots, again, 1.0)
    # The one that was taken for dead comes back: too late.
    assert not slots.finish(claim, 5.0, {"metrics": {}})
    assert claim.lost and slots.standing().finished[0].value == 1.0


def test_a_silent_worker_elsewhere_is_waited_for_and_then_taken_over(url: str) -> None:
    slots = slots_of(url, 1, grace=0.3)
    slots.mend()
    claim, = slots.claim(1)
    abandon(slots, claim, {"host": "elsewhere", "pid": 1, "started": 0.0})
    storage = slots._storage
    for beat in range(3):
        threading.Event().wait(0.2)
        storage.set_trial_user_attr(claim.trial_id, SIGN, beat)
        assert slots.mend().holders[0].state == TrialState.RUNNING  # type: ignore[union-attr]
    threading.Event().wait(0.35)
    assert slots.mend().holders[0].state == TrialState.WAITING  # type: ignore[union-attr]


def test_signs_of_life_are_given_while_a_trial_is_held(url: str) -> None:
    with slots_of(url, 1, heartbeat=0.02) as slots:
        slots.mend()
        claim, = slots.claim(1)
        seen: set[int] = set()
        while len(seen) < 3:
            seen.add(slots.standing().holders[0].user_attrs.get(SIGN, 0))  # type: ignore[union-attr]
        # Taken over by somebody: it learns that, too.
        slots._storage.set_trial_state_values(claim.trial_id, TrialState.FAIL)
        while not claim.lost:
            threading.Event().wait(0.01)


def test_what_a_claim_left_before_it_was_one_is_not_lost(url: str) -> None:
    """A worker dies between Optuna's change of state and its own name."""
    slots = slots_of(url, 2)
    slots.mend()
    trial = slots.standing().holders[0]
    assert trial is not None
    slots._storage.set_trial_user_attr(trial._trial_id, WORKER, ended_process())
    slots._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
    assert [holder.state for holder in slots.mend().holders] == [  # type: ignore[union-attr]
        TrialState.WAITING] * 2


def test_duplicates_are_discarded_before_they_run(url: str) -> None:
    slots = slots_of(url, 3)
    slots.mend()
    slots.study.enqueue_trial({"x": 0.1}, user_attrs={SLOT: 1})
    slots.mend()
    taken = [claim.slot for claim in slots.claim(9)]
    assert taken == [0, 1, 2]
    states = [trial.state for trial in slots.study.trials]
    assert states == [TrialState.RUNNING] * 3 + [TrialState.FAIL]


def test_a_slot_whose_trial_failed_and_was_not_added_again_is_mended(url: str) -> None:
    slots = slots_of(url, 2)
    slots.mend()
    first, second = slots.standing().holders
    assert first is not None
    slots._storage.set_trial_state_values(first._trial_id, TrialState.FAIL)
    again, same = slots.mend().holders
    assert again is not None and again.number == 2 and same == second


def test_released_trials_are_there_for_others_at_once(url: str) -> None:
    slots = slots_of(url, 2)
    slots.mend()
    claims = slots.claim(2)
    end(slots, claims[0], 1.0)
    slots.release(claims)
    assert [holder.state for holder in slots.standing().holders] == [  # type: ignore[union-attr]
        TrialState.COMPLETE, TrialState.WAITING]


def test_an_interrupt_in_the_middle_of_a_claim_gives_it_back(url: str) -> None:
    slots = slots_of(url, 2)
    slots.mend()
    change = slots._storage.set_trial_state_values

    def interrupted(identity: int, state: TrialState, *rest: Any) -> bool:
        change(identity, state, *rest)
        slots._storage.set_trial_state_values = change  # type: ignore[method-assign]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), slots:
        slots._storage.set_trial_state_values = interrupted  # type: ignore[method-assign]
        slots.claim(1)
    assert [holder.state for holder in slots.standing().holders] == [  # type: ignore[union-attr]
        TrialState.WAITING] * 2


def test_more_slots_can_be_asked_for_later_and_fewer_looked_at(url: str) -> None:
    slots_of(url, 2).mend()
    more = slots_of(url, 5)
    assert len(more.mend().holders) == 5 and len(more.study.trials) == 5
    assert len(standing(more.study.trials, 1).holders) == 1


def test_trials_of_one_shape_are_taken_together(url: str) -> None:
    slots = slots_of(url, 6)
    slots.mend()
    claims = slots.claim(4, key=lambda given: round(given["x"] * 20) % 2)
    assert [claim.slot for claim in claims] == [0, 2, 4]


def test_half_a_line_of_a_dead_writer_does_not_spoil_the_journal(tmp_path: Path) -> None:
    url = f"journal:{tmp_path}/trials.log"
    slots_of(url, 2).mend()
    with open(tmp_path / "trials.log", "ab") as file:
        file.write(b'{"op_code": 5, "worker')
    slots = slots_of(url, 3)
    assert len(slots.mend().holders) == 3
    for line in (tmp_path / "trials.log").read_bytes().splitlines():
        json.loads(line)
    assert len(slots_of(url, 3).study.trials) == 3


def test_who_is_alive() -> None:
    me = this_process()
    assert not known_dead(me)
    assert known_dead({**me, "started": me["started"] - 100})  # the number has come back
    assert known_dead({**me, "pid": 2 ** 22 + 1})
    assert not known_dead({**me, "host": "elsewhere", "pid": 2 ** 22 + 1})
    assert not known_dead(None) and not known_dead({"host": me["host"], "pid": "x"})
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    import psutil

    left = {**me, "pid": child.pid, "started": psutil.Process(child.pid).create_time()}
    assert not known_dead(left)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie: nobody has fetched it
    assert known_dead(left)
    child.wait()
    assert known_dead(left)


@pytest.mark.parametrize(("url", "said"), [
    ("trials.db", "expected sqlite:///FILE"), ("redis://host/0", "expected sqlite:///FILE"),
    ("journal:", "names no file"), ("sqlite://", "expected sqlite:///FILE"),
])
def test_storages_that_are_none(url: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        open_storage(url)


def test_a_file_system_without_locks_is_one_clear_line(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(BadInput, match="cannot be locked .No locks available.*or a server"):
        open_storage(url)


def test_a_file_that_is_no_database_or_journal_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("nothing of the kind\nat all\n")
    for form in ("sqlite:///{}", "journal:{}"):
        with pytest.raises(BadInput) as caught:
            open_storage(form.format(tmp_path / "text"))
        assert "\n" not in str(caught.value) and "text" in str(caught.value)


def test_a_missing_driver_is_named_and_a_password_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sqlalchemy")
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    import zskel.pipeline.search.storage as module

    monkeypatch.setattr(module, "_ATTEMPTS", 1)
    with pytest.raises(BadInput, match="needs the Python package psycopg2") as caught:
        open_storage("postgresql+psycopg2://me:secret@localhost/trials")
    assert "secret" not in str(caught.value)
