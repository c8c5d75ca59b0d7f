"""The configs of methods name options that the methods take, and only what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from zskel.pipeline.base.config import load_experiment, load_method, method_names
from zskel.pipeline.base.config_files import read_config
from zskel.zsl.methods import METHODS


@pytest.mark.parametrize("name", method_names())
def test_config_builds_its_method(name: str) -> None:
    chosen = load_method(name, "none")
    method = METHODS.build(chosen.name, **chosen.options, seed=1)
    assert name.startswith(method.name) or name == "recommended"
    # What it says is no default of the recipe that it names.
    recipe = {key: chosen.options[key] for key in ("recipe",) if key in chosen.options}
    defaults = METHODS.build(chosen.name, **recipe).params.model_dump()
    found = method.params.model_dump()
    same = [key for key in chosen.options if key != "recipe" and found[key] == defaults[key]]
    assert not same or "table" in name  # a table has all its columns


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_has_a_config(name: str) -> None:
    assert name in method_names()


def test_the_setting_of_a_data_set_comes_first() -> None:
    assert load_method("synse", "ntu120") == load_method("synse_ntu120", "none")
    assert load_method("synse", "utd-mhad") == load_method("synse", "none")


def test_a_setting_of_the_table_is_a_base_like_a_file(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("_base_ = ['_base_/methods/sa_dvae_tablef_ntu120.py']\n"
                   "fit = dict(method=dict(options=dict(n_d=3)))\n", encoding="utf-8")
    fit = read_config(own)["fit"]
    assert fit["seeds"] == 5 and fit["method"]["options"] == {
        "epochs": 10, "engine": "fast", "text_basis": True, "z_r_dim": 304, "z_v_dim": 12,
        "n_d": 3, "batch_size": 24, "learning_rate": 2.13e-5}
    assert load_experiment("ntu60-55-5").fit.method == load_method("sa_dvae_table2_ntu60", "")
