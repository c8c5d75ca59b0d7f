"""The recipes, each switch between them, and the table of differences."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import BaseModel

from zskel.data.common.errors import BadConfig
from zskel.zsl.methods.sa_dvae import SADVAE, SADVAEParams
from zskel.zsl.methods.sa_dvae_differences import DIFFERENCES
from zskel.zsl.methods.sa_dvae_params import SWITCHES
from zskel.zsl.methods.sa_dvae_training import Weights, weights_at

SEEN, UNSEEN, N = (0, 1, 3, 4), (2, 5), 70
# Five batches an epoch; lambda_2 is not beta_y, or tying them would do nothing.
SMALL = dict(z_r_dim=6, z_v_dim=2, epochs=4, batch_size=14, learning_rate=5e-3, n_d=2,
             beta_x=0.5, beta_y=0.3, lambda_2=2.0, classifier_samples=20, classifier_epochs=30)


def problem():
    rng = np.random.default_rng(0)
    f_y = rng.normal(size=(6, 5)).astype(np.float32)
    y = np.asarray(SEEN)[np.arange(N) % len(SEEN)]
    f_x = f_y[y] @ rng.normal(size=(5, 8)) + 0.5 * rng.normal(size=(N, 8))
    return np.maximum(f_x, 0).astype(np.float32), y, f_y


def outcome(**params):
    """Training curves and p_u."""
    f_x, y, f_y = problem()
    model = SADVAE(**{**SMALL, **params}).fit(f_x, y, f_y, seen_classes=SEEN)
    return model.history["loss"], model.fit_unseen_classifier(UNSEEN).predict_proba(f_x)


def test_recipes_set_every_switch():
    for column, recipe in enumerate(("paper", "released")):
        params = SADVAEParams(recipe=recipe)
        assert {name: getattr(params, name) for name in SWITCHES} == {
            name: values[column] for name, values in SWITCHES.items()}
        assert params.changed == {}
    assert SADVAEParams() == SADVAEParams(recipe="paper")
    assert all(paper != released for paper, released in SWITCHES.values())


def test_recipe_leaves_what_is_no_switch_but_the_rounded_weights():
    paper, released = (SADVAEParams(recipe=r).model_dump() for r in ("paper", "released"))
    differing = {name for name in paper if paper[name] != released[name]}
    assert differing == {*SWITCHES, "recipe", "beta_x", "beta_y", "lambda_2"}
    assert round(released["beta_x"], 3) == 0.023 and round(released["beta_y"], 3) == 0.011


@pytest.mark.parametrize("switch", SWITCHES)
def test_an_explicit_switch_wins_over_the_recipe(switch):
    paper, released = SWITCHES[switch]
    params = SADVAEParams(recipe="released", **{switch: paper})
    assert getattr(params, switch) == paper and params.changed == {switch: paper}
    assert SADVAE(**{switch: released}).variant == f"fd+tc {switch}={released}"
    assert SADVAEParams(recipe="released", beta_x=0.5).beta_x == 0.5
    # What a saved method's card holds makes the same parameters again.
    assert SADVAEParams(**params.model_dump(mode="json")) == params


@pytest.fixture(scope="module")
def of_paper():
    return outcome()


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_alone_has_an_effect(switch, of_paper):
    losses, p_u = outcome(**{switch: SWITCHES[switch][1]})
    assert np.abs(p_u - of_paper[1]).max() > 1e-6
    assert np.isfinite(losses).all()
    # C_u comes after training, all others take part in it.
    assert (losses == of_paper[0]) == (switch == "classifier_activation")


def test_a_relu_on_c_u_still_learns():
    f_x, y, f_y = problem()
    model = SADVAE(**{**SMALL, "classifier_epochs": 200, "classifier_learning_rate": 0.05},
                   classifier_activation="relu").fit(f_x, y, f_y, seen_classes=SEEN)
    p_u = model.fit_unseen_classifier(UNSEEN).predict_proba(f_x)
    assert np.ptp(p_u) > 0.1


@pytest.mark.parametrize(("params", "message"), [
    ({"recipe": "code"}, "recipe"), ({"noise": "row"}, "noise"),
    ({"tie_lambda_2": "often"}, "tie_lambda_2"), ({"joint_samples": 0}, "joint_samples"),
])
def test_an_impossible_switch_is_refused_by_name(params, message):
    with pytest.raises(BadConfig, match=message):
        SADVAE(**params)


def test_weights_follow_the_switches():
    # Batches of 7 of 70 samples: sample 63 starts batch 9 of 10.
    def at(epoch, **switches):
        params = SADVAEParams(batch_size=7, beta_x=1.0, beta_y=0.5, lambda_2=0.25, **switches)
        return weights_at(params, epoch, 63, 70)

    eq_13 = 1.5 * (63 / 70 - 1 / 3)
    assert at(0) == Weights(eq_13, 0.5 * eq_13, 0.0, 0.25 * eq_13)
    assert at(1).lambda_1 == 1.0
    x, y = (9 / 10 - 10 / 17) / (7 / 17), 0.5
    late = at(2, kl_schedule="late")
    assert (late.beta_x, late.beta_y, late.lambda_2) == pytest.approx((x, 0.5 * y, 0.25 * y))
    assert at(1, kl_schedule="late").beta_y == 0.0 < at(1, kl_schedule="late").beta_x
    assert at(0, alignment_schedule="last_fifth").lambda_1 == 1.0
    assert at(0, tie_lambda_2=True).lambda_2 == at(0).beta_y
    assert at(2, tie_lambda_2=True, kl_schedule="late").lambda_2 == late.beta_y


def test_history_has_the_mean_lambda_1():
    f_x, y, f_y = problem()
    model = SADVAE(**{**SMALL, "batch_size": 7}, alignment_schedule="last_fifth")
    history = model.fit(f_x, y, f_y, seen_classes=SEEN).history
    assert history["lambda_1"] == pytest.approx([0.1] * 4)  # the last of ten batches


def test_the_table_has_every_row_and_every_switch_once():
    rows = [d.row for d in DIFFERENCES if d.row is not None]
    assert rows == list(range(1, 26))
    switches = [d.switch for d in DIFFERENCES if d.kind == "switch"]
    assert sorted(switches) == sorted(SWITCHES)
    assert issubclass(SADVAEParams, BaseModel) and set(switches) <= set(SADVAEParams.model_fields)
    for difference in DIFFERENCES:
        assert (difference.kind == "switch") == (difference.switch is not None)
        assert difference.switch is not None or difference.note or difference.kind == "protocol"


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda d: f"{d.row}-{d.switch}")
def test_options_turn_the_paper_into_one_difference(difference):
    changed = SADVAE(**difference.options()).params.changed
    assert changed == ({difference.switch: difference.released} if difference.switch else {})


def test_all_switches_together_are_the_released_recipe():
    options = {name: value for d in DIFFERENCES for name, value in d.options().items()}
    one, two = outcome(**options), outcome(recipe="released")
    assert one[0] == two[0] and np.array_equal(one[1], two[1])
