"""What a search space may say, what it is told when it may not, and those that ship."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from zskel.data.common.errors import BadConfig
from zskel.pipeline.base.config import NamedConfig, load_experiment
from zskel.pipeline.base.shipped import config_names, shipped_configs
from zskel.pipeline.search.search import plan_search
from zskel.pipeline.search.space import Dimension, Step, load_space
from zskel.pipeline.search.worker import new_sampler, slot_seed

GOOD: dict[str, Any] = {"objective": "zsl_accuracy", "steps": [
    {"name": "one", "trials": 3, "space": {"beta_x": {"type": "uniform", "low": 0, "high": 1}}}]}


def load(tmp_path: Path, content: Any) -> Any:
    path = tmp_path / "space.py"
    path.write_text(f"search = {content!r}\n")
    return load_space(str(path))


def changed(**step: Any) -> dict[str, Any]:
    content = copy.deepcopy(GOOD)
    content["steps"][0].update(step)
    return content


def test_the_paper_searches_table_a() -> None:
    name, config = load_space("paper")
    betas, rest = config.steps
    assert (name, config.objective) == ("paper", "gzsl_harmonic_mean")
    assert betas.trials == 5 and rest.trials == 100
    assert betas.fixed == {"learning_rate": 1e-5, "batch_size": 64, "n_d": 10, "z_r_dim": 192,
                           "z_v_dim": 8}
    assert {n: (d.type, d.low, d.high) for n, d in betas.space.items()} == {
        "beta_x": ("uniform", 0, 1), "beta_y": ("uniform", 0, 1)}
    assert set(rest.space) == set(betas.fixed) and not rest.fixed
    rate = rest.space["learning_rate"].distribution()
    assert rate.log and (rate.low, rate.high) == (pytest.approx(1e-6), pytest.approx(1e-3))
    assert rest.space["batch_size"].points() == [32, 64, 128, 256]
    assert rest.space["n_d"].points() == list(range(1, 17))
    assert rest.space["z_r_dim"].points() == list(range(128, 257, 16))
    assert rest.space["z_v_dim"].points() == list(range(8, 33, 4))
    assert betas.ties == rest.ties == {"lambda_2": "beta_y"}
    assert betas.sampler == rest.sampler == "random" and betas.seeds == rest.seeds == 1


def test_table_b_lies_on_its_grid() -> None:
    step = load_space("table_b")[1].steps[0]
    grid = step.grid()
    assert len(grid) == step.slots == 25
    for beta_x, beta_y in [(0.01, 0.01), (0.05, 0.01), (0.01, 0.05), (0.05, 0.05), (0.1, 0.1),
                           (0.2, 0.2), (0.023, 0.011)]:
        assert {"beta_x": beta_x, "beta_y": beta_y} in grid


@pytest.mark.parametrize("name", config_names(shipped_configs() / "_base_" / "search"))
def test_every_space_that_ships_fits_the_demo(name: str) -> None:
    job = plan_search(load_experiment("demo"), name)
    assert job.name == name and all(step.slots for step in job.config.steps)
    assert name != "demo" or sum(step.slots for step in job.config.steps) == 100


@pytest.mark.parametrize(("content", "said"), [
    ({**GOOD, "objectiv": "x"}, "unknown key 'objectiv'; did you mean 'objective'?"),
    ({**GOOD, "objective": "test_accuracy"}, "objective: "),
    (changed(trails=3), "unknown key 'steps.0.trails'; did you mean 'trials'?"),
    (changed(space={"a": {"type": "uniform", "lo": 0, "high": 1}}),
     "unknown key 'steps.0.space.a.lo'; did you mean 'low'"),
    (changed(space={"a": {"type": "unifrom", "low": 0, "high": 1}}), "steps.0.space.a.type: "),
    (changed(space={"a": {"type": "choice", "low": 0, "high": 1}}), "choice takes no 'high'"),
    (changed(space={"a": {"type": "uniform", "low": 0}}), "uniform needs 'high'"),
    (changed(space={"a": {"type": "uniform", "low": 2, "high": 1}}), "low is 2 and high 1"),
    (changed(space={"a": {"type": "log-uniform", "low": 0, "high": 1}}), "positive low"),
    (changed(space={"a": {"type": "int", "low": 0.5, "high": 1}}), "whole low and high"),
    (changed(space={"a": {"type": "choice", "values": [1, 1]}}), "duplicates"),
    (changed(space={}), "steps.0.space: "),
    (changed(trials=0), "steps.0.trials: "),
    (changed(trials=None), "key 'trials' is missing"),
    (changed(fixed={"beta_x": 1}), "'beta_x' is in space and in fixed or ties"),
    (changed(sampler="grid"), "needs values of 'beta_x'"),
    (changed(sampler="grid", trials=9, space={"a": {"type": "grid", "values": [1, 2]}}),
     "the grid has 2 points"),
    (changed(name="Step One"), "steps.0.name: "),
    ({"steps": [*GOOD["steps"], *GOOD["steps"]]}, "two steps are named 'one'"),
])
def test_what_a_space_may_not_say(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load(tmp_path, content)
    assert said in str(caught.value) and "space.py" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_space_and_a_missing_file() -> None:
    with pytest.raises(BadConfig, match="did you mean 'paper'"):
        load_space("papre")
    with pytest.raises(BadConfig, match=r"nowhere.py: no such config file"):
        load_space("nowhere.py")


def test_a_method_that_is_named_takes_options() -> None:
    job = plan_search(load_experiment("demo"), "demo", method=NamedConfig(
        name="sa_dvae", options={"epochs": 3}))
    assert job.experiment.fit.method.options["epochs"] == 3
    plain = plan_search(load_experiment("demo"), "demo", method="sa_dvae")
    assert job.experiment.fit.method.options == {
        **plain.experiment.fit.method.options, "epochs": 3}
    assert job.name == plain.name


@pytest.mark.parametrize(("step", "method", "said"), [
    ({"space": {"beta_z": {"type": "uniform", "low": 0, "high": 1}}}, None,
     "sa_dvae has no parameter 'beta_z'; did you mean 'beta_"),
    ({"ties": {"lambda_2": "beta_q"}}, None, "sa_dvae has no parameter 'beta_q'"),
    ({"fixed": {"n_dd": 2}}, None, "sa_dvae has no parameter 'n_dd'; did you mean 'n_d'"),
    ({"space": {"seed": {"type": "int", "low": 0, "high": 3}}}, None, "see 'seeds'"),
    ({}, "cada_vae", "cada_vae has no parameter 'beta_x'"),
    ({"space": {"beta_x": {"type": "uniform", "low": -1, "high": 1}}}, None, "beta_x = -1"),
    ({"fixed": {"batch_size": 0}}, None, "batch_size = 0"),
])
def test_parameters_that_a_method_does_not_have(
    tmp_path: Path, step: Any, method: str | None, said: str
) -> None:
    path = tmp_path / "space.py"
    path.write_text(f"search = {changed(**step)!r}\n")
    with pytest.raises(BadConfig) as caught:
        plan_search(load_experiment("demo"), str(path), method=method)
    assert said in str(caught.value) and "search step 'one'" in str(caught.value)


def test_random_slots_follow_from_seed_step_and_slot_alone() -> None:
    import optuna

    step = load_space("paper")[1].steps[1]

    def drawn(seed: int, slot: int) -> dict[str, Any]:
        trial = optuna.create_study(sampler=new_sampler(step, seed, slot)).ask()
        return {name: each.suggest(trial, name) for name, each in step.space.items()}

    first = [drawn(0, slot) for slot in range(300)]
    assert [drawn(0, slot) for slot in range(300)] == first
    assert drawn(1, 0) != first[0]
    assert len({slot_seed(0, "rest", slot) for slot in range(1000)}) == 1000
    # Every value comes up, and the exponent is uniform: a third of it in every decade.
    for name in ("batch_size", "n_d", "z_r_dim", "z_v_dim"):
        assert {each[name] for each in first} == set(step.space[name].points())
    decades = [math.floor(math.log10(each["learning_rate"])) for each in first]
    assert all(0.25 < decades.count(k) / 300 < 0.42 for k in (-6, -5, -4))


def test_digests_tell_spaces_apart_and_not_how_many_trials() -> None:
    _, paper = load_space("paper")
    assert paper.with_trials(7).digest(1) == paper.digest(1) != paper.digest(0)
    assert load_space("tpe")[1].digest(0) != paper.digest(0)
    with pytest.raises(BadConfig, match="25 points"):
        load_space("table_b")[1].with_trials(26)
    assert Step(name="a", space={"x": Dimension(type="grid", values=[1, 2])}, sampler="grid",
                trials=1).slots == 1
