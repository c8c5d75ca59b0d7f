"""The estimator: training on a tiny problem, C_u, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zskel.data.common.errors import BadConfig, BadInput
from zskel.zsl.methods import METHODS
from zskel.zsl.methods.sa_dvae import SADVAE
from zskel.zsl.vae import AlignedVAE, Discriminator

SMALL = dict(z_r_dim=6, z_v_dim=2, epochs=4, batch_size=16, learning_rate=5e-3,
             classifier_samples=50, classifier_epochs=50, classifier_learning_rate=0.05)
SEEN, UNSEEN = (0, 1, 3, 4), (2, 5)
N = 70


def problem(seed=0):
    """Six classes; f_x is a linear image of f_y plus noise."""
    rng = np.random.default_rng(seed)
    f_y = rng.normal(size=(6, 4)).astype(np.float32)
    y = np.asarray(SEEN)[np.arange(N) % len(SEEN)]
    f_x = f_y[y] @ rng.normal(size=(4, 8)) + 0.3 * rng.normal(size=(N, 8))
    return f_x.astype(np.float32), y, f_y


def fitted(**params):
    f_x, y, f_y = problem()
    return SADVAE(**{**SMALL, **params}).fit(f_x, y, f_y, seen_classes=SEEN)


def test_loss_decreases():
    history = fitted(epochs=15).history
    assert history["loss"][-1] < 0.5 * history["loss"][1]  # From the second epoch on with lambda_1.
    assert all(len(values) == 15 for values in history.values())


@pytest.mark.parametrize("n_d", [1, 3, 7])
def test_d_t_steps_are_counted_across_epochs(n_d):
    model = SADVAE(**SMALL, n_d=n_d)
    assert model.steps(N) == 4 * 5  # ceil(70 / 16) a epoch
    f_x, y, f_y = problem()
    assert model.fit(f_x, y, f_y, seen_classes=SEEN).discriminator_steps == 20 // n_d


def test_lambda_1_is_zero_in_the_first_epoch():
    history = fitted(beta_x=0, beta_y=0, lambda_2=0).history
    assert history["lambda_1"] == [0.0, 1.0, 1.0, 1.0]
    for epoch, weight in enumerate([0, 1, 1, 1]):
        expected = (history["reconstruction_x"][epoch] + history["reconstruction_y"][epoch]
                    + weight * history["cross_alignment"][epoch])
        assert history["loss"][epoch] == pytest.approx(expected, rel=1e-5)


def test_weights_follow_the_cyclical_schedule():
    # 70 samples in batches of 16: eq. 13 at k = 0, 16, 32, 48 and 64.
    model = fitted(epochs=1, learning_rate=1e-12, lambda_2=0.0, beta_y=0.0, beta_x=1.0)
    history = {name: values[0] for name, values in model.history.items()}
    weighted = history["loss"] - history["reconstruction_x"] - history["reconstruction_y"]

    # The weights hardly move, so that the KL of each sample is the initial one.
    f_x, _, _ = problem()
    generator = torch.Generator().manual_seed(0)
    vae = AlignedVAE(8, 4, 6, 2, generator)
    Discriminator(8, generator)
    order = torch.randperm(N, generator=generator).numpy()
    mean, log_variance = (t.detach().numpy() for t in vae.encoder_x(torch.from_numpy(f_x)))
    kl = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(axis=1)[order]
    factors = [0, 0, 1.5 * (32 / 70 - 1 / 3), 1.5 * (48 / 70 - 1 / 3), 1.5 * (64 / 70 - 1 / 3)]
    expected = sum(f * kl[k:k + 16].sum() for f, k in zip(factors, range(0, N, 16))) / N
    assert weighted == pytest.approx(expected, rel=1e-3)


def test_same_seed_is_equal_to_the_bit_and_another_is_not():
    f_x, _, _ = problem()
    first, second, other = fitted(seed=3), fitted(seed=3), fitted(seed=4)
    for model in (first, second, other):
        model.fit_unseen_classifier(UNSEEN)
    assert first.history == second.history != other.history
    assert np.array_equal(first.transform(f_x).z_r, second.transform(f_x).z_r)
    assert np.array_equal(first.predict_proba(f_x), second.predict_proba(f_x))
    assert not np.array_equal(first.predict_proba(f_x), other.predict_proba(f_x))


def test_global_random_state_is_neither_read_nor_changed():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = fitted().fit_unseen_classifier(UNSEEN)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(99)
    f_x, _, _ = problem()
    second = fitted().fit_unseen_classifier(UNSEEN)
    assert np.array_equal(first.predict_proba(f_x), second.predict_proba(f_x))


def test_unseen_classifier_does_not_depend_on_what_was_fitted_before():
    f_x, _, _ = problem()
    model = fitted()
    once = model.fit_unseen_classifier(UNSEEN).predict_proba(f_x)
    model.fit_unseen_classifier([2])
    assert np.array_equal(once, model.fit_unseen_classifier(list(UNSEEN)).predict_proba(f_x))


def test_variants():
    f_x, _, _ = problem()
    full, fd, naive = (fitted(variant=v) for v in ("fd+tc", "fd", "naive"))
    assert full.transform(f_x).z_v.shape == fd.transform(f_x).z_v.shape == (N, 2)
    assert naive.transform(f_x).z_v.shape == (N, 0)
    assert naive.transform(f_x).z_r.shape == (N, 6)
    assert "total_correlation" in full.history
    assert "total_correlation" not in fd.history and "total_correlation" not in naive.history
    assert fd.discriminator_steps == naive.discriminator_steps == 0 < full.discriminator_steps


def test_unused_text_rows_do_not_touch_training():
    f_x, y, f_y = problem()
    changed = f_y.copy()
    changed[list(UNSEEN)] = 5.0
    one, two = (SADVAE(**SMALL).fit(f_x, y, t, seen_classes=SEEN) for t in (f_y, changed))
    assert one.history == two.history


def test_text_features_are_scaled_to_unit_length_inside():
    f_x, y, f_y = problem()
    scaled = f_y * np.array([[1, 2, 4, 8, 16, 32]], np.float32).T  # Exact in binary.
    one, two = (SADVAE(**SMALL).fit(f_x, y, t, seen_classes=SEEN) for t in (f_y, scaled))
    assert one.history["loss"] == pytest.approx(two.history["loss"], rel=1e-5)


def test_columns_are_the_unseen_classes_ascending():
    f_x, _, _ = problem()
    model = fitted().fit_unseen_classifier([5, 2])
    proba = model.predict_proba(f_x)
    assert model.unseen_classes.tolist() == [2, 5] and proba.shape == (N, 2)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(model.fit_unseen_classifier([5]).predict_proba(f_x), 1)


def test_progress_ends_at_the_total():
    f_x, y, f_y = problem()
    calls = []
    model = SADVAE(**{**SMALL, "epochs": 5})
    model.fit(f_x, y, f_y, seen_classes=SEEN, on_progress=lambda *call: calls.append(call))
    assert calls[-1] == (25, 25) and calls == sorted(set(calls))


def broken(name, value):
    f_x, y, f_y = problem()
    arrays = {"f_x": f_x, "y": y, "f_y": f_y, "seen_classes": SEEN}
    return {**arrays, name: value(arrays[name])}


def put(array, index, value):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(("name", "value", "message"), [
    ("f_x", lambda a: put(a, (3, 0), np.nan), "f_x row 3 holds non-finite"),
    ("f_y", lambda a: put(a, (2, 1), np.inf), "f_y row 2 holds non-finite"),
    ("f_y", lambda a: put(a, 2, 0.0), "f_y row 2 is all zeros"),
    ("f_x", lambda a: a[:, 0], "f_x has shape"),
    ("f_x", lambda a: a[:0], "f_x has shape"),
    ("f_x", lambda a: a[:-1], r"y is int64 \[70\], expected integers \[69\]"),
    ("y", lambda a: a.astype(float), "y is float64"),
    ("y", lambda a: put(a, 0, 5), "y holds class 5, which is not in seen_classes"),
    ("seen_classes", lambda a: (*a, 2), "seen class 2 has no row"),
    ("seen_classes", lambda a: (*a, 9), "holds class 9"),
    ("seen_classes", lambda a: (*a, 0), "duplicates"),
    ("seen_classes", lambda a: (), "expected a list of class ids"),
])
def test_bad_training_data_is_refused_in_one_line(name, value, message):
    arguments = broken(name, value)
    with pytest.raises(BadInput, match=message) as caught:
        SADVAE(**SMALL).fit(**arguments)
    assert "\n" not in str(caught.value)


def test_non_finite_loss_is_refused():
    f_x, y, f_y = problem()
    with pytest.raises(BadInput, match="non-finite in epoch 1; lower learning_rate"):
        SADVAE(**SMALL).fit(f_x * 1e25, y, f_y, seen_classes=SEEN)


def test_use_before_fit_and_wrong_classes_are_refused():
    f_x, _, _ = problem()
    with pytest.raises(BadInput, match="call fit first"):
        SADVAE().transform(f_x)
    with pytest.raises(BadInput, match="call fit first"):
        SADVAE().fit_unseen_classifier(UNSEEN)
    model = fitted()
    with pytest.raises(BadInput, match="fit_unseen_classifier before"):
        model.predict_proba(f_x)
    with pytest.raises(BadInput, match="class 3, which was seen"):
        model.fit_unseen_classifier([2, 3])
    with pytest.raises(BadInput, match="7 columns, fit was given 8"):
        model.transform(f_x[:, :7])


@pytest.mark.parametrize(("params", "message"), [
    ({"beta_x": -1}, "beta_x"), ({"n_d": 0}, "n_d"), ({"epochs": 1.5}, "epochs"),
    ({"variant": "tc"}, "variant"), ({"betax": 1}, "betax"),
    ({"learning_rate": 0}, "learning_rate"), ({"beta_y": float("nan")}, "beta_y"),
])
def test_bad_parameters_are_refused_by_name(params, message):
    with pytest.raises(BadConfig, match=message) as caught:
        SADVAE(**params)
    assert "\n" not in str(caught.value)


def test_registry() -> None:
    assert METHODS.get("sa_dvae") is SADVAE and "sa_dvae" in METHODS.names()
    with pytest.raises(BadConfig, match="did you mean 'sa_dvae'"):
        METHODS.get("sa_dave")
