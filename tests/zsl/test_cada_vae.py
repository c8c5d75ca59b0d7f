"""CADA-VAE: every loss term, its warm-ups, and what it recognizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transferable import make

from zskel.data.common.errors import BadConfig, BadInput
from zskel.zsl.methods import METHODS
from zskel.zsl.methods.cada_vae import CADAVAE, CADAVAEParams
from zskel.zsl.methods.text_vae import TERMS, VAE, TextVAEs, distance, wasserstein

NARROW = dict(encoder_x_hidden=(48,), decoder_x_hidden=(48,),
              encoder_y_hidden=(48,), decoder_y_hidden=(48,))
SMALL = dict(NARROW, latent_dim=6, epochs=4, batch_size=16, learning_rate=3e-3,
             classifier_samples=30, classifier_epochs=50, classifier_learning_rate=0.05,
             joint_seen_samples=20, joint_unseen_samples=30)
SEEN, UNSEEN = (0, 1, 3, 4), (2, 5)
N, D, DT, B = 70, 8, 5, 12


def problem(seed=0):
    """Six classes; f_x is a linear image of f_y plus noise."""
    rng = np.random.default_rng(seed)
    f_y = rng.normal(size=(6, DT)).astype(np.float32)
    y = np.asarray(SEEN)[np.arange(N) % len(SEEN)]
    f_x = f_y[y] @ rng.normal(size=(DT, D)) + 0.3 * rng.normal(size=(N, D))
    return f_x.astype(np.float32), y, f_y


def fitted(**params):
    f_x, y, f_y = problem()
    return CADAVAE(**{**SMALL, **params}).fit(f_x, y, f_y, seen_classes=SEEN)


def dense(layer, values):
    return values @ layer.weight.detach().numpy().astype(float).T + layer.bias.detach().numpy()


def network(layers, last, values):
    for layer in layers:
        values = np.maximum(dense(layer, values), 0) if hasattr(layer, "weight") else values
    return dense(last, values)


def encode(vae, values):
    return np.split(network(vae.before, vae.head.linear, values), 2, axis=1)


def decode(vae, z):
    values = network(vae.after, vae.last, z)
    return np.maximum(values, 0) if vae.output == "relu" else values


@pytest.mark.parametrize("hidden", [(), (7,), (7, 9)])
@pytest.mark.parametrize("output", ["linear", "relu"])
@pytest.mark.parametrize("noise", ["dimension", "sample"])
@pytest.mark.parametrize("reconstruction", ["l1", "sum", "mean"])
def test_every_term_is_that_of_plain_numpy(hidden, output, noise, reconstruction):
    latent, generator = 3, torch.Generator().manual_seed(1)
    vaes = TextVAEs(VAE(D, latent, hidden, hidden[::-1], output),
                    {"y": VAE(DT, latent, hidden, hidden, output)}, generator)
    f_x, f_y = torch.randn(B, D, generator=generator), torch.randn(B, DT, generator=generator)
    state = generator.get_state()
    terms = vaes.terms(f_x, {"y": f_y}, generator, noise=noise, reconstruction=reconstruction)

    generator.set_state(state)
    shape = (B, latent) if noise == "dimension" else (B, 1)
    noise_x, noise_y = (torch.randn(shape, generator=generator).numpy() for _ in range(2))
    x, y = f_x.double().numpy(), f_y.double().numpy()
    (mean_x, lv_x), (mean_y, lv_y) = encode(vaes.skeleton, x), encode(vaes.texts["y"], y)
    z_x = mean_x + noise_x * np.exp(lv_x / 2)
    z_y = mean_y + noise_y * np.exp(lv_y / 2)

    def error(prediction, target):
        difference = prediction - target
        if reconstruction == "l1":
            return np.mean(np.abs(difference).sum(axis=1))
        squares = (difference**2).sum(axis=1).mean()
        return squares / difference.shape[1] if reconstruction == "mean" else squares

    def kl(mean, lv):
        return np.mean(np.sum(-0.5 * (1 + lv - mean**2 - np.exp(lv)), axis=1))

    spread = np.exp(lv_x / 2) - np.exp(lv_y / 2)
    expected = [
        error(decode(vaes.skeleton, z_x), x),
        error(decode(vaes.texts["y"], z_y), y),
        kl(mean_x, lv_x),
        kl(mean_y, lv_y),
        error(decode(vaes.skeleton, z_y), x) + error(decode(vaes.texts["y"], z_x), y),
        np.mean(np.sqrt(((mean_x - mean_y) ** 2).sum(axis=1) + (spread**2).sum(axis=1))),
    ]
    np.testing.assert_allclose(terms.detach().numpy(), expected, rtol=2e-5)


def test_wasserstein_has_a_gradient_where_both_gaussians_agree():
    mean = torch.zeros(2, 3, requires_grad=True)
    wasserstein(mean, torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 3)).backward()
    assert mean.grad.tolist() == torch.zeros(2, 3).tolist()


def test_l1_is_not_the_squared_error():
    prediction, target = torch.tensor([[1.0, 4.0]]), torch.tensor([[3.0, 4.5]])
    assert distance(prediction, target, "l1").item() == 2.5
    assert distance(prediction, target, "sum").item() == 4.25


def test_history_holds_the_terms_and_their_weighted_sum():
    model = fitted(beta=0.5, gamma=3.0, delta=2.0, beta_span=(0.0, 0.5), gamma_span=(0.25, 0.75),
                   delta_span=(0.0, 1.0))
    history = {name: np.array(values) for name, values in model.history.items()}
    assert list(history) == [*TERMS, "loss"]
    beta, gamma, delta = np.array([0, 0.25, 0.5, 0.5]), np.array([0, 0, 1.5, 3]), np.arange(4) / 2
    expected = (history["reconstruction_x"] + history["reconstruction_y"]
                + beta * (history["kl_x"] + history["kl_y"])
                + gamma * history["cross_alignment"] + delta * history["distribution_alignment"])
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)


def test_the_papers_warm_ups_are_those_of_its_100_epochs():
    model = CADAVAE()
    # Rates an epoch: beta 0.0026 until 90, gamma 0.044 from 21 to 75, delta 0.54 from 6 to 22.
    for epoch in (0, 5, 6, 7, 14, 21, 22, 23, 60, 75, 89, 90, 99):
        beta = 0.0026 * min(epoch, 90)
        gamma = 0.044 * min(max(epoch - 21, 0), 54)
        delta = 0.54 * min(max(epoch - 6, 0), 16)
        for batch in (0, 6):
            weights = model._weights(epoch * 7 + batch, 700)
            assert weights == pytest.approx((1, 1, beta, beta, gamma, delta))


def test_released_cycles_are_those_of_1700_steps():
    model = CADAVAE(recipe="released", cycles=10)
    for step in (0, 900, 1000, 1001, 1400, 1401, 1699, 1700, 16_999):
        e = step % 1700
        k = max(0.0, 0.1 * (e - 1000) / 3000)
        on = float(e > 1400)
        assert model._weights(step, 17_000) == pytest.approx((1, 1, k, on * k, on, 0))


def test_released_sets_defaults_only():
    released = CADAVAEParams(recipe="released", noise="dimension", delta=1.0)
    assert (released.noise, released.delta, released.reconstruction) == ("dimension", 1.0, "mean")
    assert released.encoder_x_hidden == released.decoder_y_hidden == ()
    assert released.output_activation == released.classifier_activation == "relu"
    assert CADAVAEParams(**released.model_dump()) == released
    assert CADAVAEParams().reconstruction == "l1" and CADAVAEParams().delta > 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("params", [
    dict(NARROW, epochs=30, learning_rate=3e-3),
    dict(recipe="released", epochs=30, learning_rate=3e-3),
], ids=["paper", "released"])
def test_learns_what_carries_over(params, seed):
    p = make(seed)
    model = CADAVAE(**params, latent_dim=16, batch_size=32, seed=seed, classifier_samples=100,
                    joint_seen_samples=50, joint_unseen_samples=100)
    model.fit(p.f_x, p.y, p.f_y, seen_classes=p.seen).fit_unseen_classifier(p.unseen)
    f_x, y = p.unseen_test
    found = model.unseen_classes[model.predict_proba(f_x).argmax(axis=1)]
    assert np.mean(found == y) > 2.5 * p.chance
    if model.params.recipe == "paper":  # all classes at once: chance is 4 %
        classes = np.concatenate([model.seen_classes, model.unseen_classes])
        joint = classes[model.predict_joint_proba(p.test_f_x).argmax(axis=1)]
        unseen = np.isin(p.test_y, p.unseen)
        assert np.mean(joint[unseen] == y) > 0.3
        assert np.mean(joint[~unseen] == p.test_y[~unseen]) > 0.5


def test_probabilities_and_what_goes_with_them():
    f_x, _, _ = problem()
    model = fitted().fit_unseen_classifier([5, 2])
    proba, joint = model.predict_proba(f_x), model.predict_joint_proba(f_x)
    assert model.unseen_classes.tolist() == [2, 5] and proba.shape == (N, 2)
    assert joint.shape == (N, 6)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(joint.sum(axis=1), 1)
    latents = model.transform(f_x)
    assert latents.z_r.shape == (N, 6) and latents.z_v.shape == (N, 0)
    assert not np.array_equal(model.fit_unseen_classifier([5]).predict_joint_proba(f_x), joint)
    assert model.predict_joint_proba(f_x).shape == (N, 5)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_c_u_is_a_softmax_on_the_latents_means(activation):
    f_x, _, _ = problem()
    model = fitted(classifier_activation=activation).fit_unseen_classifier(UNSEEN)
    logits = dense(model._unseen_classifier, encode(model._networks.skeleton, f_x)[0])
    if activation == "relu":
        logits = np.maximum(logits, 0)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(f_x), expected, rtol=1e-5)
    assert model._unseen_classifier.weight.abs().sum() > 0


def test_evidence_is_that_of_plain_numpy():
    f_x, _, f_y = problem()
    model = fitted().fit_unseen_classifier(UNSEEN)
    vaes, text = model._networks, f_y / np.linalg.norm(f_y, axis=1, keepdims=True)
    (mean, lv), (mean_y, lv_y) = encode(vaes.skeleton, f_x), encode(vaes.texts["y"], text)

    def to(classes):
        return [min(
            math.sqrt(((mean[i] - mean_y[c]) ** 2).sum()
                      + ((np.exp(lv[i] / 2) - np.exp(lv_y[c] / 2)) ** 2).sum())
            for c in classes
        ) for i in range(N)]

    expected = {
        "reconstruction_error": ((decode(vaes.skeleton, mean) - f_x) ** 2).sum(axis=1),
        "distance_seen": to(SEEN),
        "distance_unseen": to(UNSEEN),
        "kl_r": 0.5 * (mean**2 + np.exp(lv) - lv - 1).sum(axis=1),
    }
    evidence = model.evidence(f_x)
    assert set(evidence) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(evidence[name], values, rtol=1e-4)


def test_seen_latents_are_draws_of_each_classs_clips():
    f_x, y, _ = problem()
    model = fitted(noise="dimension")
    draws = model._z_seen.reshape(4, 20, 6)
    for seen, of_class in zip(SEEN, draws, strict=True):
        mean, lv = encode(model._networks.skeleton, f_x[y == seen])
        # 17 or 18 clips for 20 draws: all of them, some twice.
        centre, spread = mean.mean(axis=0), np.sqrt(np.exp(lv).mean(axis=0) + mean.var(axis=0))
        assert (np.abs(of_class.mean(axis=0) - centre) < 5 * spread / math.sqrt(20)).all()
        assert len(np.unique(of_class[:, 0])) == 20


def test_same_seed_is_equal_to_the_bit_and_the_global_state_is_left_alone():
    f_x, _, _ = problem()
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first, second, other = (fitted(seed=s).fit_unseen_classifier(UNSEEN) for s in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.history == second.history != other.history
    for predict in ("predict_proba", "predict_joint_proba"):
        one, two, three = (getattr(model, predict)(f_x) for model in (first, second, other))
        assert np.array_equal(one, two) and not np.array_equal(one, three)


def test_unseen_text_does_not_touch_training():
    f_x, y, f_y = problem()
    changed = f_y.copy()
    changed[list(UNSEEN)] = 5.0
    one, two = (CADAVAE(**SMALL).fit(f_x, y, t, seen_classes=SEEN) for t in (f_y, changed))
    assert one.history == two.history


@pytest.mark.parametrize("recipe", ["paper", "released"])
@pytest.mark.parametrize("classifier", [True, False])
def test_saved_and_loaded_to_the_bit(recipe, classifier, tmp_path):
    f_x, y, f_y = problem()
    small = {k: v for k, v in SMALL.items() if recipe == "paper" or k not in NARROW}
    model = CADAVAE(**small, recipe=recipe).fit(f_x, y, f_y, seen_classes=SEEN)
    if classifier:
        model.fit_unseen_classifier(UNSEEN).predict_joint_proba(f_x)
    loaded = CADAVAE.load(model.save(tmp_path / "model"))
    assert loaded.params == model.params and loaded.history == model.history
    if not classifier:
        with pytest.raises(BadInput, match="call fit_unseen_classifier before predict_proba"):
            loaded.predict_proba(f_x)
        model.fit_unseen_classifier(UNSEEN)
        loaded.fit_unseen_classifier(UNSEEN)
    assert np.array_equal(loaded.predict_proba(f_x), model.predict_proba(f_x))
    assert np.array_equal(loaded.predict_joint_proba(f_x), model.predict_joint_proba(f_x))
    assert np.array_equal(loaded.transform(f_x).z_r, model.transform(f_x).z_r)


def test_arrays_of_another_shape_are_refused(tmp_path):
    model = fitted()
    state = model.state()
    state.arrays["z_seen"] = state.arrays["z_seen"][:-1]
    with pytest.raises(ValueError, match="z_seen has shape"):
        CADAVAE(**SMALL).restore(state)


def test_epochs_can_be_looked_at():
    f_x, y, f_y = problem()
    seen = []

    def look(epoch):
        model.fit_unseen_classifier(UNSEEN)
        seen.append((epoch, model.predict_proba(f_x), model.predict_joint_proba(f_x)))

    model = CADAVAE(**SMALL)
    model.fit(f_x, y, f_y, seen_classes=SEEN, on_epoch=look)
    assert [epoch for epoch, _, _ in seen] == [0, 1, 2, 3]
    with pytest.raises(BadInput, match="call fit_unseen_classifier"):
        model.predict_proba(f_x)
    # Looking changes nothing, and the last look is the fitted method.
    final = fitted().fit_unseen_classifier(UNSEEN)
    assert final.history == model.history
    assert np.array_equal(final.predict_proba(f_x), seen[-1][1])
    assert np.array_equal(final.predict_joint_proba(f_x), seen[-1][2])
    assert not np.array_equal(seen[0][1], seen[-1][1])


def test_progress_ends_at_the_total():
    f_x, y, f_y = problem()
    calls, model = [], CADAVAE(**SMALL)
    model.fit(f_x, y, f_y, seen_classes=SEEN, on_progress=lambda *call: calls.append(call))
    assert calls[-1] == (20, 20) == (model.steps(N), 4 * 5)


def test_misuse_is_refused_in_one_line():
    f_x, y, f_y = problem()
    with pytest.raises(BadInput, match="cada_vae: call fit first"):
        CADAVAE().transform(f_x)
    model = fitted()
    for predict in (model.predict_proba, model.predict_joint_proba, model.evidence):
        with pytest.raises(BadInput, match="cada_vae: call fit_unseen_classifier before"):
            predict(f_x)
    with pytest.raises(BadInput, match="class 3, which was seen"):
        model.fit_unseen_classifier([2, 3])
    with pytest.raises(BadInput, match="7 columns, fit was given 8"):
        model.transform(f_x[:, :7])
    with pytest.raises(BadInput, match="y holds class 4, which is not"):
        CADAVAE(**SMALL).fit(f_x, y, f_y, seen_classes=(0, 1, 3))
    broken = CADAVAE(**SMALL)
    with pytest.raises(BadInput, match="non-finite in epoch 1; lower learning_rate"):
        broken.fit(f_x * 1e30, y, f_y, seen_classes=SEEN)
    with pytest.raises(BadInput, match="call fit first"):
        broken.transform(f_x)


@pytest.mark.parametrize(("params", "message"), [
    ({"delta": -1}, "delta"), ({"beta_span": (0.5, 0.5)}, "beta_span"), ({"gama": 1}, "gama"),
    ({"gamma_span": (0.5, 2)}, "gamma_span"), ({"encoder_x_hidden": (0,)}, "encoder_x_hidden"),
    ({"recipe": "original"}, "recipe"), ({"reconstruction": "l2"}, "reconstruction"),
])
def test_bad_parameters_are_refused_by_name(params, message):
    with pytest.raises(BadConfig, match=message) as caught:
        CADAVAE(**params)
    assert "\n" not in str(caught.value) and "cada_vae" in str(caught.value)


def test_registry():
    assert METHODS.get("cada_vae") is CADAVAE
