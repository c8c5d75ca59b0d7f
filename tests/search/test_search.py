"""``pipeline search``: the same outcome whoever does it, and what is written of it."""

from __future__ import annotations

import _thread
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from search_caches import CLASSES, UNSEEN, VALIDATION, skeleton, texts

from zskel.data.caches import write_skeleton_features, write_text_features
from zskel.data.common.errors import BadCache, BadInput
from zskel.pipeline.base.config import load_experiment
from zskel.pipeline.fit.fit import fit
from zskel.pipeline.search.job import SearchJob
from zskel.pipeline.search.outcome import INCIDENTAL
from zskel.pipeline.search.search import search
from zskel.pipeline.search.storage import open_storage

Plan = Callable[..., SearchJob]
ROOT = Path(__file__).resolve().parents[2]


def essence(content: dict[str, Any]) -> dict[str, Any]:
    """A search without who did what how fast."""
    content = json.loads(json.dumps(content))
    for step in content["steps"]:
        for trial in step["trials"]:
            for name in INCIDENTAL:
                del trial[name]
    return content


def step(**changes: Any) -> str:
    content = {"name": "all", "trials": 4, "space": {
        "beta_x": {"type": "log-uniform", "low": 1e-3, "high": 1.0},
        "z_r_dim": {"type": "int", "low": 6, "high": 8}}, **changes}
    return f"search = dict(steps=[{content!r}])\n"


@pytest.fixture(scope="module")
def undisturbed(
    quick_source: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What the quick search comes to when one worker does all of it, one trial at a time."""
    from zskel.pipeline.search.search import plan_search

    work = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(quick_source / "work", work / "work")
    return search(plan_search(load_experiment(str(quick_source / "quick.py")),
                              str(quick_source / "space.py"), work_dir=work / "work"))


def test_a_search_chooses_what_is_best(undisturbed: dict[str, Any]) -> None:
    betas, rest = undisturbed["steps"]
    assert [trial["slot"] for trial in betas["trials"]] == list(range(4))
    assert [trial["slot"] for trial in rest["trials"]] == list(range(7))
    for step in (betas, rest):
        values = [trial["value"] for trial in step["trials"]]
        assert len(set(values)) > 1 and all(0 <= value <= 1 for value in values)
        assert step["best_slot"] == int(np.argmax(values))
        assert all(trial["metrics"]["gzsl_harmonic_mean"] == trial["value"]
                   and trial["state"] == "complete" and trial["seconds"] > 0
                   and trial["worker"]["pid"] == os.getpid() for trial in step["trials"])
        assert [trial["slot"] for trial in step["trials"] if trial["best"]] == [step["best_slot"]]
    options = undisturbed["best"]["options"]
    first, last = (step["trials"][step["best_slot"]]["params"] for step in (betas, rest))
    assert {**first, **last}.items() <= options.items()
    assert options["lambda_2"] == options["beta_y"] and options["z_v_dim"] == 4
    assert undisturbed["phase"] == "calibration"


def test_a_trial_is_what_the_objective_gives(undisturbed: dict[str, Any], job: Plan) -> None:
    """The value of a slot, computed with nothing but the objective itself."""
    from zskel.zsl.gates.calibrated_stacking import CalibratedStacking
    from zskel.zsl.methods.sa_dvae import SADVAE
    from zskel.zsl.validation import validate

    own = job().experiment.fit.method.options
    trial = undisturbed["steps"][0]["trials"][2]
    options = {**own, "z_r_dim": 8, **trial["params"], "lambda_2": trial["params"]["beta_y"]}
    score = validate(
        skeleton(), texts(), method=lambda seed: SADVAE(**options, seed=seed),
        gate=lambda seed: CalibratedStacking(seed=seed))
    assert score == trial["metrics"]


def test_a_journal_changes_nothing(
    undisturbed: dict[str, Any], job: Plan, tmp_path: Path
) -> None:
    assert essence(search(job(storage=f"journal:{tmp_path}/trials.log"))) == essence(undisturbed)


def test_the_same_command_does_nothing_twice_and_more_when_asked(job: Plan) -> None:
    first = search(job(trials=3))
    again = search(job(trials=3))
    assert again == first  # times and workers too: nothing was done
    more = search(job(trials=5))
    assert more["steps"][1]["trials"][:3] == [
        {**trial, "best": trial["slot"] == more["steps"][1]["best_slot"]}
        for trial in first["steps"][1]["trials"]]
    assert len(more["steps"][1]["trials"]) == 5


def running(storage: Any) -> list[Any]:
    """The trials that somebody works on."""
    return [trial for study in storage.get_all_studies()
            for trial in storage.get_all_trials(
                study._study_id, deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))]


def finished_once(url: str) -> bool:
    """Whether every slot of every study has exactly one finished trial."""
    storage = open_storage(url)
    for summary in optuna.get_all_study_summaries(storage):
        trials = optuna.load_study(study_name=summary.study_name, storage=storage).trials
        slots = Counter(trial.user_attrs["slot"] for trial in trials
                        if trial.state.name in ("COMPLETE", "PRUNED"))
        if set(slots.values()) != {1}:
            return False
    return True


@pytest.mark.parametrize("kind", ["sqlite:///{}/trials.db", "journal:{}/trials.log"],
                         ids=["sqlite", "journal"])
def test_workers_that_are_killed_lose_nothing(
    undisturbed: dict[str, Any], job: Plan, quick: Path, wait_for: Callable[..., None], kind: str
) -> None:
    url, said = kind.format(quick), quick / "said"
    storage = open_storage(url)
    with said.open("w") as file:
        command = subprocess.Popen(
            [sys.executable, "-m", "zskel", "search", str(quick / "quick.py"), "--space",
             str(quick / "space.py"), "--storage", url, "--work-dir", str(quick / "work"),
             "--workers", "2", "--trials", "4000"], stderr=file, cwd=quick,
            env={**os.environ, "PYTHONPATH": str(ROOT)})
    helpers: set[int] = set()

    def helper_runs_a_trial() -> bool:
        time.sleep(0.1)  # a look keeps others from writing
        workers = {trial.user_attrs.get("worker", {}).get("pid") for trial in running(storage)}
        helpers.update(workers - {None, command.pid})
        return bool(helpers)

    try:
        wait_for(helper_runs_a_trial, 300)
        helper = helpers.pop()
        os.kill(helper, signal.SIGKILL)
        wait_for(lambda: "has died" in said.read_text(), 300)
    finally:
        command.kill()
        command.wait()
    assert f"worker {helper} has died (exit code -9); the others do its trials" in said.read_text()
    assert running(storage)
    assert essence(search(job(storage=url))) == essence(undisturbed)
    assert not running(storage) and finished_once(url)


def test_an_interrupt_gives_the_trial_back_and_the_same_command_goes_on(
    undisturbed: dict[str, Any], job: Plan, quick: Path
) -> None:
    url = f"sqlite:///{quick}/trials.db"
    storage = open_storage(url)

    def interrupt() -> None:
        while not running(storage):
            time.sleep(0.02)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        search(job(storage=url))
    thread.join()
    # It may have fallen between the two halves of a torch.no_grad(), which holds for ever then.
    torch.set_grad_enabled(True)
    assert essence(search(job(storage=url))) == essence(undisturbed)
    assert finished_once(url)


def test_a_search_does_not_go_on_with_something_else(job: Plan, quick: Path) -> None:
    url = f"sqlite:///{quick}/trials.db"
    search(job(step(trials=1), storage=url))
    features = quick / "work" / "features"
    before = {path: path.read_bytes() for path in features.iterdir()}

    def refused(said: str, space: str = step(trials=1), cfg: tuple[str, ...] = ()) -> None:
        with pytest.raises(BadInput, match=f"was begun with another {said}") as caught:
            search(job(space, storage=url, cfg=cfg))
        assert "\n" not in str(caught.value) and "--storage" in str(caught.value)
        for path, content in before.items():
            path.write_bytes(content)

    write_skeleton_features(features / "skeleton_calibration.h5", skeleton(seed=1))
    refused("calibration cache")
    write_text_features(features / "text.h5", replace(texts(), encoder="another"))
    refused("text cache")
    refused("search space", step(trials=1, seeds=2))
    refused("config", cfg=("fit.method.options.epochs=4",))


def test_caches_of_another_split_than_the_config_asks_for_are_refused(job: Plan) -> None:
    other = [VALIDATION[0], max({*range(CLASSES)} - {*UNSEEN, *VALIDATION})]
    with pytest.raises(BadCache, match=r"skeleton_calibration.h5: is not what .*: split.valid"):
        search(job(cfg=(f"split.validation_unseen={other}",)))


def test_a_study_of_somebody_else_is_refused(job: Plan, quick: Path) -> None:
    planned = job(step(trials=1), storage=f"sqlite:///{quick}/trials.db")
    study = optuna.create_study(storage=planned.storage, direction="maximize",
                                study_name=planned.study_name(planned.config.steps[0]))
    study.optimize(lambda trial: trial.suggest_float("beta_x", 0, 1), n_trials=1)
    with pytest.raises(BadInput, match=r"was begun with another config \(none, now"):
        search(planned)


def test_best_py_stands_alone_and_fits(job: Plan, quick: Path, tmp_path: Path) -> None:
    """Class names that lay in a file are in it; moved away, it still loads and fits."""
    names = quick / "names.txt"
    names.write_text("\n".join(texts().class_names) + "\n")
    content = search(job(trials=2, cfg=(f"dataset.class_names={names}",)))
    moved = tmp_path / "moved.py"
    shutil.move(quick / "work" / "search" / "space" / "best.py", moved)
    names.unlink()
    best = load_experiment(str(moved))
    assert best.fit.method.options == content["best"]["options"]
    assert best.fit.method.options["lambda_2"] == best.fit.method.options["beta_y"]
    # Only now is there a test phase.
    write_skeleton_features(quick / "work" / "features" / "skeleton_test.h5", skeleton("test", 2))
    paths = fit(best, quick / "work", keep_models=False)
    made_with = json.loads(paths[0].read_text())["config"]["method"]["options"]
    assert content["best"]["options"].items() <= made_with.items()


def test_the_test_phase_stays_closed(
    job: Plan, quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its cache can hold anything: it is not even looked at."""
    closed = quick / "work" / "features" / "skeleton_test.h5"
    closed.write_bytes(b"nobody may read this")
    content = search(job(step(trials=1)), json_file=quick / "out.json")
    assert json.loads((quick / "out.json").read_text()) == content
    assert content["cache_digests"].keys() == {"calibration cache", "text cache"}
    said = " ".join(capsys.readouterr().err.split())
    assert "the test phase is not opened" in said and "step 1 (all): 1 trials, random" in said


def test_optunas_sampler_chooses_too_and_one_worker_repeats_it(job: Plan, quick: Path) -> None:
    space, quickly = step(sampler="tpe", trials=12), ("fit.method.options.epochs=1",)
    first = search(job(space, cfg=quickly))
    shutil.copytree(quick / "work" / "features", quick / "again" / "features")
    again = search(job(space, work="again", cfg=quickly))
    assert essence(again) == essence(first)
    tried = {trial["params"]["beta_x"] for trial in first["steps"][0]["trials"]}
    assert len(tried) == 12


def test_a_grid_is_gone_through_in_order_with_several_seeds(job: Plan) -> None:
    content = search(job(step(sampler="grid", trials=None, seeds=2, space={
        "beta_x": {"type": "grid", "values": [0.01, 0.1]},
        "beta_y": {"type": "grid", "values": [0.1, 0.5]}})))
    trials = content["steps"][0]["trials"]
    assert [tuple(trial["params"].values()) for trial in trials] == [
        (x, y) for x in (0.01, 0.1) for y in (0.1, 0.5)]
    for trial in trials:
        one, two = trial["by_seed"]
        assert one != two
        assert trial["value"] == np.mean([s["gzsl_harmonic_mean"] for s in (one, two)])


def test_pruned_trials_are_marked_and_count_as_done(job: Plan) -> None:
    space = step(pruner="median", trials=9, space={
        "learning_rate": {"type": "exponent", "low": -6, "high": -1}})
    content = search(job(space, cfg=("fit.method.options.epochs=6",)))
    states = Counter(trial["state"] for trial in content["steps"][0]["trials"])
    assert states["pruned"] and states["complete"] and sum(states.values()) == 9
    assert all(not trial["metrics"] for trial in content["steps"][0]["trials"]
               if trial["state"] == "pruned")


def test_a_setting_that_diverges_is_noted_and_the_search_goes_on(job: Plan) -> None:
    space = step(trials=None, sampler="grid", space={
        "learning_rate": {"type": "grid", "values": [1e-2, 1e30]}})
    content = search(job(space))
    good, bad = content["steps"][0]["trials"]
    assert good["state"] == "complete" and good["error"] is None
    assert bad["state"] == "pruned" and "non-finite" in bad["error"]
    with pytest.raises(BadInput, match=r"none of 1 trials came to an end.*non-finite"):
        search(job(step(trials=None, sampler="grid", name="worse", space={
            "learning_rate": {"type": "grid", "values": [1e30]}})))


def test_any_method_with_parameters_can_be_searched(job: Plan) -> None:
    content = search(job(step(trials=2, space={
        "latent_dim": {"type": "int", "low": 4, "high": 6},
        "epochs": {"type": "choice", "values": [1, 2]}}), method="cada_vae"))
    assert content["method"] == "cada_vae" and content["name"] == "other-cada_vae"
    assert "batch_size" not in content["best"]["options"]  # that of the class


def test_a_method_in_a_file_of_ones_own_is_called_by_its_name(job: Plan, quick: Path) -> None:
    (quick / "mine.py").write_text("""
from zskel.zsl.methods.cada_vae import CADAVAE


class Mine(CADAVAE):
    name = "mine"
""")
    content = search(job(step(trials=1, space={
        "latent_dim": {"type": "int", "low": 4, "high": 6}}), method=f"{quick}/mine.py:Mine"))
    assert content["name"] == "other-mine" and (
        quick / "work" / "search" / "other-mine" / "best.py").is_file()


def test_a_missing_cache_is_one_clear_line(job: Plan, quick: Path) -> None:
    planned = job()
    (quick / "work" / "features" / "skeleton_calibration.h5").unlink()
    with pytest.raises(BadCache, match="no such cache; `pipeline extract` makes it"):
        search(planned)
    with pytest.raises(BadInput, match="takes the text features verb and noun"):
        search(job(step(space={"latent_dim": {"type": "int", "low": 4, "high": 6}}),
                   method="synse"))


def test_trials_csv_says_the_same_as_trials_json(job: Plan, quick: Path) -> None:
    content = search(job(trials=2))
    with open(quick / "work" / "search" / "space" / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    trials = [(step["name"], trial) for step in content["steps"] for trial in step["trials"]]
    assert len(rows) == len(trials) == 6
    for row, (name, trial) in zip(rows, trials):
        assert (row["step"], int(row["slot"]), row["state"]) == (
            name, trial["slot"], trial["state"])
        assert float(row["value"]) == trial["value"]
        assert {k: row[k] for k in trial["params"]} == {
            k: repr(v) if isinstance(v, float) else str(v) for k, v in trial["params"].items()}
