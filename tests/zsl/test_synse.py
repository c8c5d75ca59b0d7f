"""SynSE: halves of the latents, its cycles, and what it recognizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transferable import make

from zskel.data.common.errors import BadConfig, BadInput
from zskel.zsl.methods import METHODS
from zskel.zsl.methods.checks import check_training_parts
from zskel.zsl.methods.synse import SynSE, SynSEParams
from zskel.zsl.methods.text_vae import TERMS

SMALL = dict(latent_dim=6, epochs=4, cycles=2, free_cycles=1, batch_size=16, learning_rate=3e-3,
             classifier_samples=30, classifier_epochs=50, classifier_learning_rate=0.05,
             joint_seen_samples=20, joint_unseen_samples=30)
SEEN, UNSEEN = (0, 1, 3, 4), (2, 5)
N, D = 70, 8


def problem(seed=0):
    """Six classes; verb and noun texts of different widths; classes 1 and 4 share a noun."""
    rng = np.random.default_rng(seed)
    texts = {"verb": rng.normal(size=(6, 5)), "noun": rng.normal(size=(6, 4))}
    texts["noun"][4] = texts["noun"][1]
    y = np.asarray(SEEN)[np.arange(N) % len(SEEN)]
    both = np.hstack([texts["verb"], texts["noun"]])
    f_x = both[y] @ rng.normal(size=(9, D)) + 0.3 * rng.normal(size=(N, D))
    return (f_x.astype(np.float32), y,
            {name: text.astype(np.float32) for name, text in texts.items()})


def fitted(**params):
    f_x, y, texts = problem()
    return SynSE(**{**SMALL, **params}).fit(f_x, y, texts, seen_classes=SEEN)


def dense(layer, values):
    return values @ layer.weight.detach().numpy().astype(float).T + layer.bias.detach().numpy()


@pytest.mark.parametrize("noise", ["dimension", "sample"])
@pytest.mark.parametrize("output", ["linear", "relu"])
def test_every_term_is_that_of_plain_numpy(noise, output):
    f_x, y, texts = problem()
    generator = torch.Generator().manual_seed(2)
    model = SynSE(latent_dim=6, output_activation=output)
    vaes = model._new_networks(D, {"verb": 5, "noun": 4}, generator)
    state = generator.get_state()
    terms = vaes.terms(
        torch.from_numpy(f_x), {k: torch.from_numpy(v[y]) for k, v in texts.items()}, generator,
        noise=noise, reconstruction="sum",
    )

    generator.set_state(state)

    def draw(width):
        shape = (N, width) if noise == "dimension" else (N, 1)
        return torch.randn(shape, generator=generator).numpy()

    noise_x, noise_n, noise_v = draw(6), draw(3), draw(3)
    noun, verb = texts["noun"][y].astype(float), texts["verb"][y].astype(float)

    def encode(vae, values):
        return np.split(dense(vae.head.linear, values), 2, axis=1)

    def decode(vae, z):
        return np.maximum(dense(vae.last, z), 0) if output == "relu" else dense(vae.last, z)

    def error(prediction, target):
        return np.mean(((prediction - target) ** 2).sum(axis=1))

    def kl(mean, lv):
        return np.mean(np.sum(-0.5 * (1 + lv - mean**2 - np.exp(lv)), axis=1))

    d_x, d_n, d_v = vaes.skeleton, vaes.texts["noun"], vaes.texts["verb"]
    (m_x, lv_x), (m_n, lv_n), (m_v, lv_v) = encode(d_x, f_x), encode(d_n, noun), encode(d_v, verb)
    z_x = m_x + noise_x * np.exp(lv_x / 2)
    z_n, z_v = m_n + noise_n * np.exp(lv_n / 2), m_v + noise_v * np.exp(lv_v / 2)
    expected = [
        error(decode(d_x, z_x), f_x),
        error(decode(d_n, z_n), noun) + error(decode(d_v, z_v), verb),
        kl(m_x, lv_x),
        kl(m_n, lv_n) + kl(m_v, lv_v),
        error(decode(d_n, z_x[:, :3]), noun) + error(decode(d_v, z_x[:, 3:]), verb)
        + error(decode(d_x, np.hstack([z_n, z_v])), f_x),
    ]
    np.testing.assert_allclose(terms.detach().numpy()[:5], expected, rtol=2e-5)


def test_cycles_are_those_of_1700_steps():
    model = SynSE(cycles=10)
    for step in (0, 999, 1000, 1200, 1400, 1401, 1699, 1700, 3399, 3400 + 1500, 16_999):
        cycle, e = divmod(step, 1700)
        k_x = max(0.0, 0.1 * (e - 1000) / 3000)
        k_y = max(0.0, 0.1 * (e - 1400) / 3000) * (cycle > 1)
        assert model._weights(step, 17_000) == pytest.approx((1, 1, k_x, k_y, float(e > 1400)))


def test_cycles_of_1900_steps_are_a_matter_of_parameters():
    model = SynSE(cycles=10, beta_x=0.03, beta_y=0.1 * 400 / 3000, kl_start=1000 / 1900,
                  alignment_start=1500 / 1900)
    for step in (999, 1100, 1500, 1501, 1899, 3 * 1900 + 1700):
        cycle, e = divmod(step, 1900)
        k_y = max(0.0, 0.1 * (e - 1500) / 3000) * (cycle > 1)
        expected = (1, 1, max(0.0, 0.1 * (e - 1000) / 3000), k_y, float(e > 1500))
        assert model._weights(step, 19_000) == pytest.approx(expected)


def test_history_holds_the_terms_and_their_weighted_sum():
    history = fitted(beta_x=0.0, beta_y=0.0, alpha=2.0, alignment_start=0.0, epochs=2).history
    assert list(history) == [*TERMS[:-1], "loss"]
    # Two cycles of one epoch; only a cycle's first step of five is without alignment.
    free = np.subtract(history["loss"], np.add(history["reconstruction_x"],
                                               history["reconstruction_y"]))
    ratio = free / (2.0 * np.array(history["cross_alignment"]))
    assert (ratio > 0.6).all() and (ratio < 0.9).all()


def test_released_sets_defaults_only():
    released = SynSEParams(recipe="released", noise="dimension")
    assert (released.noise, released.reconstruction) == ("dimension", "mean")
    assert released.output_activation == released.classifier_activation == "relu"
    assert SynSEParams(**released.model_dump()) == released


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("params", [
    dict(epochs=60), dict(recipe="released", epochs=40, learning_rate=3e-3),
], ids=["paper", "released"])
def test_learns_what_carries_over(params, seed):
    p = make(seed)
    model = SynSE(**params, latent_dim=16, seed=seed, classifier_samples=100)
    model.fit(p.f_x, p.y, p.parts, seen_classes=p.seen).fit_unseen_classifier(p.unseen)
    f_x, y = p.unseen_test
    found = model.unseen_classes[model.predict_proba(f_x).argmax(axis=1)]
    assert np.mean(found == y) > 2 * p.chance


def test_halves_follow_nouns_and_verbs():
    p = make(0)
    model = SynSE(epochs=60, latent_dim=16).fit(p.f_x, p.y, p.parts, seen_classes=p.seen)
    z = model.transform(p.test_f_x).z_r
    noun, verb = p.test_y % 5, p.test_y // 5

    def explained(half, groups):
        """Share of the variance that is between groups."""
        centred = half - half.mean(axis=0)
        between = sum((groups == g).sum() * centred[groups == g].mean(axis=0) ** 2
                      for g in range(5))
        return between.sum() / (centred**2).sum()

    first, second = z[:, :8], z[:, 8:]
    assert explained(first, noun) > explained(first, verb)
    assert explained(second, verb) > explained(second, noun)


def test_classes_that_share_a_row_share_its_latents():
    # Labels without a noun all have the text of "#".
    model = fitted()
    mean, log_variance = model._networks.encode_text(model._text_of(np.array([1, 4])))
    assert torch.equal(mean[0, :3], mean[1, :3])
    assert torch.equal(log_variance[0, :3], log_variance[1, :3])
    assert not torch.equal(mean[0, 3:], mean[1, 3:])


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
        np.testing.assert_allclose(one.sum(axis=1), 1)


@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_saved_and_loaded_to_the_bit(recipe, tmp_path):
    f_x, _, _ = problem()
    model = fitted(recipe=recipe).fit_unseen_classifier(UNSEEN)
    loaded = SynSE.load(model.save(tmp_path / "model"))
    assert loaded.params == model.params and loaded.history == model.history
    for predict in ("predict_proba", "predict_joint_proba"):
        assert np.array_equal(getattr(loaded, predict)(f_x), getattr(model, predict)(f_x))
    for name, values in model.evidence(f_x).items():
        assert np.array_equal(loaded.evidence(f_x)[name], values)


def test_texts_that_are_no_parts_are_refused_in_one_line():
    f_x, y, texts = problem()

    def fit(f_y):
        return SynSE(**SMALL).fit(f_x, y, f_y, seen_classes=SEEN)

    with pytest.raises(BadInput, match="f_y is one ndarray; expected text features of verb, noun"):
        fit(texts["verb"])
    with pytest.raises(BadInput, match="f_y has no part 'noun'"):
        fit({"verb": texts["verb"]})
    with pytest.raises(BadInput, match="f_y has a part 'adverb'"):
        fit({**texts, "adverb": texts["verb"]})
    with pytest.raises(BadInput, match=r"rows for {'verb': 6, 'noun': 5} classes"):
        fit({**texts, "noun": texts["noun"][:5]})
    zero = texts["noun"].copy()
    zero[3] = 0
    with pytest.raises(BadInput, match=r"f_y\['noun'\] row 3 is all zeros"):
        fit({**texts, "noun": zero})
    with pytest.raises(BadInput, match="y holds class 4, which is not in seen_classes"):
        check_training_parts(f_x, y, texts, (0, 1, 3), ("verb", "noun"))


@pytest.mark.parametrize(("params", "message"), [
    ({"latent_dim": 5}, "latent_dim"), ({"alpha": -1}, "alpha"), ({"gamma": 1}, "gamma"),
    ({"kl_start": 1.0}, "kl_start"), ({"cycles": 0}, "cycles"),
])
def test_bad_parameters_are_refused_by_name(params, message):
    with pytest.raises(BadConfig, match=message) as caught:
        SynSE(**params)
    assert "\n" not in str(caught.value) and "synse" in str(caught.value)


def test_registry():
    assert METHODS.get("synse") is SynSE and SynSE.text_parts == ("verb", "noun")
