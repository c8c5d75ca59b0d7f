"""Slots and storages: taken once, free again when a worker dies, finished exactly once."""

from __future__ import annotations

import json
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import Engine, event

from zskel.data.common.errors import BadInput
from zskel.pipeline.search.job import SearchJob
from zskel.pipeline.search.storage import open_storage, work_lock
from zskel.pipeline.search.worker import StepWorker, new_sampler, standing
from zskel.zsl.metrics import METRICS, Values

BETAS = """
search = dict(steps=[dict(name="betas", trials=1, space=dict(
    beta_x=dict(type="uniform", low=0.0, high=1.0),
    beta_y=dict(type="uniform", low=0.0, high=1.0)))])
"""
KINDS = ("sqlite:///{}/trials.db", "journal:{}/trials.log")
Plan = Callable[..., SearchJob]


class Instant:
    """Stands for the objective: the value is what the setting says, at once."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.meanwhile = meanwhile

    def fit(self, *_: Any, **__: Any) -> None:
        self.meanwhile()

    def score(self, method: Any, seed: int = 0) -> Values:
        return dict.fromkeys(METRICS, float(method.params.beta_x))


@pytest.fixture(params=KINDS, ids=["sqlite", "journal"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.param).format(tmp_path)


@pytest.fixture
def worker(job: Plan, url: str) -> Callable[..., StepWorker]:
    """Makes a worker of the quick search's first step, with a connection of its own."""
    def make(objective: Instant | None = None, trials: int = 6) -> StepWorker:
        planned = job(BETAS, storage=url, trials=trials)
        step, = planned.config.steps
        study = optuna.create_study(storage=open_storage(url), study_name="s", load_if_exists=True,
                                    direction="maximize", sampler=new_sampler(step, 0, -1))
        return StepWorker(planned, 0, study, objective or Instant(),  # type: ignore[arg-type]
                          dict(planned.experiment.fit.method.options))

    return make


def done(worker: StepWorker) -> list[float | None]:
    return [trial.value for trial in worker.finish(lambda: None)]


def test_who_starts_at_once_shares_the_slots(worker: Callable[..., StepWorker]) -> None:
    """Threads with storages of their own stand for processes; all race for everything."""
    alone = done(worker())
    optuna.delete_study(study_name="s", storage=worker().study._storage)
    barrier, found = threading.Barrier(3), []
    workers = [worker() for _ in range(3)]

    def run(one: StepWorker) -> None:
        barrier.wait()
        found.append(done(one))

    threads = [threading.Thread(target=run, args=(one,)) for one in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 3 and len(set(alone)) == 6
    states = Counter(trial.state for trial in workers[0].study.get_trials())
    # A slot that was free for a moment may be queued once more, and then nobody needs it.
    assert states[TrialState.COMPLETE] == 6 and set(states) <= {
        TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING}


def test_a_dead_workers_trial_is_done_again_once_nobody_else_runs_one(
    worker: Callable[..., StepWorker], url: str
) -> None:
    one = worker(trials=2)
    one.study.enqueue_trial({"beta_x": 0.5, "beta_y": 0.5}, user_attrs={"slot": 1})
    one.study.ask()  # and nothing more is heard of it
    with work_lock(url), pytest.raises(TimeoutError):
        end = time.monotonic() + 1.5

        def look() -> None:
            if time.monotonic() > end:
                raise TimeoutError

        one.finish(look)  # it may be the other's, who lives
    assert standing(one.study, 2)[1].state == TrialState.RUNNING
    assert len(done(one)) == 2
    assert [trial.state for trial in one.study.get_trials()].count(TrialState.FAIL) == 1


@pytest.mark.parametrize("url", KINDS[:1], indirect=True)
def test_a_trial_in_a_database_without_heartbeat_is_done_again(
    worker: Callable[..., StepWorker], url: str
) -> None:
    one = worker(trials=1)
    one.study.enqueue_trial({"beta_x": 0.5, "beta_y": 0.5}, user_attrs={"slot": 0})
    storage: Any = one.study._storage
    database = getattr(storage, "_backend", storage)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Optuna beats in its own loop alone
        database.record_heartbeat(one.study.ask()._trial_id)
    database.heartbeat_interval = database.grace_period = 1
    with work_lock(url):  # others work: the lock tells nothing
        assert len(done(one)) == 1


def test_who_was_taken_for_dead_and_is_not_changes_nothing(
    worker: Callable[..., StepWorker]
) -> None:
    other = worker()

    def overtaken() -> None:
        objective.meanwhile = lambda: None
        trial, = (each for each in other.study.get_trials() if each.state == TrialState.RUNNING)
        other.study.tell(trial.number, state=TrialState.FAIL)

    objective = Instant(overtaken)
    one = worker(objective)
    assert len(set(done(one))) == 6
    states = Counter(trial.state for trial in one.study.get_trials())
    assert states == {TrialState.COMPLETE: 6, TrialState.FAIL: 1}


def test_trials_that_hold_no_slot_are_discarded(worker: Callable[..., StepWorker]) -> None:
    """Two workers enqueue a slot at once; a search of more trials was stopped; a stranger."""
    one = worker(trials=2)
    for slot in (0, 0, 5):
        one.study.enqueue_trial({"beta_x": 0.5, "beta_y": 0.5}, user_attrs={"slot": slot})
    one.study.enqueue_trial({})
    assert done(one)[0] == 0.5
    states = [trial.state for trial in one.study.get_trials()]
    assert states.count(TrialState.COMPLETE) == 2
    assert not states.count(TrialState.RUNNING)


def test_more_slots_can_be_asked_for_later(worker: Callable[..., StepWorker]) -> None:
    few = done(worker(trials=2))
    assert done(worker(trials=4))[:2] == few


@pytest.mark.parametrize("url", KINDS[1:], indirect=True)
def test_half_a_line_of_a_dead_writer_does_not_spoil_the_journal(
    worker: Callable[..., StepWorker], url: str, tmp_path: Path
) -> None:
    few = done(worker(trials=2))
    with open(tmp_path / "trials.log", "ab") as file:
        file.write(b'{"op_code": 5, "worker')
    assert done(worker(trials=3))[:2] == few
    for line in (tmp_path / "trials.log").read_bytes().splitlines():
        json.loads(line)


def test_a_database_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    """A table whose unique index were never made would take a study twice."""
    def die(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "UNIQUE INDEX" in statement:
            raise KeyboardInterrupt

    url = f"sqlite:///{tmp_path}/trials.db"
    event.listen(Engine, "before_cursor_execute", die)
    try:
        with pytest.raises(KeyboardInterrupt):
            open_storage(url)
    finally:
        event.remove(Engine, "before_cursor_execute", die)
    assert not (tmp_path / "trials.db").exists()
    storages = [open_storage(url) for _ in range(2)]
    optuna.create_study(storage=storages[0], study_name="one")
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        optuna.create_study(storage=storages[1], study_name="one")


@pytest.mark.parametrize(("url", "said"), [
    ("trials.db", "expected sqlite:///FILE"), ("redis://host/0", "expected sqlite:///FILE"),
    ("journal:", "names no file"), ("sqlite://", "names no file"),
])
def test_storages_that_are_none(url: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        open_storage(url)


def test_a_file_that_is_no_database_or_journal_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("nothing of the kind\nat all\n")
    for form in ("sqlite:///{}", "journal:{}"):
        with pytest.raises(BadInput) as caught:
            open_storage(form.format(tmp_path / "text"))
        assert "\n" not in str(caught.value) and "text" in str(caught.value)


def test_a_missing_driver_is_named_and_a_password_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(BadInput, match="needs the Python package psycopg2") as caught:
        open_storage("postgresql+psycopg2://me:secret@localhost/trials")
    assert "secret" not in str(caught.value)
