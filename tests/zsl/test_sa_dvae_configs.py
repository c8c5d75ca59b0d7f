"""The published hyper-parameters, typed in again from Tables 2, 5 and F and the scripts."""

from __future__ import annotations

import pytest

from zskel.pipeline.base.config import load_method, load_section, method_names
from zskel.pipeline.base.schema import FitConfig
from zskel.pipeline.base.shipped import shipped_configs
from zskel.zsl.methods.sa_dvae import SADVAE

# z_r, z_v, n_d, batch size, learning rate of the paper, of the released script
PUBLISHED = {
    "table2_ntu60": (160, 8, 5, 32, 3.39e-5, 3.389e-5),
    "table2_ntu120": (256, 32, 4, 32, 3.48e-5, 3.478e-5),
    "table5_ntu60": (224, 16, 7, 32, 3.60e-5, 3.596e-5),
    "table5_ntu120": (176, 20, 12, 32, 7.36e-5, 7.361e-5),
    "table5_pku": (128, 16, 2, 64, 3.07e-5, 3.074e-5),
    "tablef_ntu60": (96, 8, 4, 32, 4.94e-5, 4.937e-5),
    "tablef_ntu120": (304, 12, 16, 24, 2.13e-5, 2.134e-5),
}


def params(name):
    path = shipped_configs() / "_base_" / "methods" / f"sa_dvae{name}.py"
    fit = load_section(path, "fit", FitConfig)
    assert fit.method == load_method(f"sa_dvae{name}", "") and fit.method.name == "sa_dvae"
    assert fit.protocol == "strict" and fit.gate.name == "domain_classifier"
    return SADVAE(**fit.method.options).params


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings(name):
    r, v, n_d, batch, rate, script_rate = PUBLISHED[name]
    paper, released = params(f"_{name}"), params(f"_released_{name}")
    for found in (paper, released):
        assert (found.z_r_dim, found.z_v_dim, found.n_d) == (r, v, n_d)
        assert (found.batch_size, found.epochs, found.variant) == (batch, 10, "fd+tc")
        assert found.changed == {}
    assert (paper.learning_rate, released.learning_rate) == (rate, script_rate)
    assert (paper.recipe, paper.beta_x, paper.beta_y, paper.lambda_2) == (
        "paper", 0.023, 0.011, 0.011)
    assert (released.recipe, released.beta_x, released.beta_y, released.lambda_2) == (
        "released", 7 / 300, 17 / 1500, 17 / 1500)


def test_no_config_is_left_out():
    names = {name.removeprefix("sa_dvae_") for name in method_names()
             if name.startswith("sa_dvae_") and "table" in name}
    assert names == {*PUBLISHED, *(f"released_{name}" for name in PUBLISHED)}


def test_ablations_differ_in_the_variant_only():
    full = params("").model_dump()
    for variant in ("fd", "naive"):
        assert params(f"_{variant}").model_dump() == {**full, "variant": variant}
