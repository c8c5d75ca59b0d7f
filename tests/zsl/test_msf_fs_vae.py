"""MSF and FS-VAE: the cross losses and the frequency map, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dct, idct
from transferable import make

from zskel.zsl.methods.fs_vae import FSVAE, FrequencyMap
from zskel.zsl.methods.msf import MSF, CrossLossVAEs
from zskel.zsl.methods.text_vae import TERMS, VAE

SMALL = make(7, verbs=3, nouns=3, clips=6, f_x_dim=8, text_dim=5)
SIZES = dict(latent_dim=6, epochs=20, batch_size=16, classifier_samples=20, classifier_epochs=20)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(layer, values):
    return values @ layer.weight.detach().numpy().astype(float).T + layer.bias.detach().numpy()


@pytest.mark.parametrize("calibration", [None, 3.0])
def test_every_term_is_that_of_plain_numpy(calibration):
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(1)
    x, y = rng.normal(size=(12, 8)), rng.normal(size=(12, 5))
    vaes = CrossLossVAEs(VAE(8, 3), {"y": VAE(5, 3)}, generator, calibration)
    state = generator.get_state()
    f_x, f_y = torch.from_numpy(x).float(), {"y": torch.from_numpy(y).float()}
    terms = vaes.terms(f_x, f_y, generator, noise="dimension", reconstruction="mean")
    assert len(terms) == len(TERMS)

    generator.set_state(state)
    noise_x, noise_y = (torch.randn(12, 3, generator=generator).numpy() for _ in range(2))
    order = torch.randperm(12, generator=generator).numpy()
    (mean_x, lv_x), (mean_y, lv_y) = (
        np.split(dense(vae.head.linear, values), 2, axis=1)
        for vae, values in ((vaes.skeleton, x), (vaes.texts["y"], y)))
    x_from_y = dense(vaes.skeleton.last, mean_y + noise_y * np.exp(lv_y / 2))
    y_from_x = dense(vaes.texts["y"].last, mean_x + noise_x * np.exp(lv_x / 2))
    if calibration is None:
        expected = np.mean((x - x_from_y) ** 2) + np.mean((y - y_from_x) ** 2)
    else:
        near = ((y - y_from_x) ** 2).sum(axis=1)
        far = ((y - y_from_x[order]) ** 2).sum(axis=1)
        expected = calibration * (
            sigmoid(((x - x_from_y) ** 2).sum(axis=1) / calibration).mean()
            + sigmoid((near - far) / calibration).mean())
    assert terms[4].item() == pytest.approx(expected, rel=1e-5)


def test_weights_are_those_of_the_released_code():
    model = MSF()
    for step in (0, 1000, 1400, 1700 + 1401, 3400 + 1400, 3400 + 1401, 16_999):
        cycle, e = divmod(step, 1700)
        k = max(0.0, 0.1 * (e - 1000) / 3000)
        k_2 = max(0.0, 0.1 * (e - 1400) / 3000) * (cycle > 1)
        assert model._weights(step, 17_000) == pytest.approx((1, 1, k, k_2, float(e > 1400)))


@pytest.mark.parametrize("width", [8, 45, 256])
def test_the_frequency_map_is_that_of_the_definition(width):
    rng = np.random.default_rng(0)
    module = FrequencyMap(width, 1.0, 0.3, learned=True)
    w = rng.uniform(size=30)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(w))
    gain, edges = np.ones(width), np.floor(np.linspace(0, width - 1, 31)).astype(int)
    for i in range(30):
        low = edges[i + 1] <= 30
        g = 1 + 0.3 * w[i] * (1 - i / 30) if low else 1 - 0.3 * w[i] * (2 - i / 30)
        gain[edges[i]:edges[i + 1]] = g
    x = rng.normal(size=(4, width))
    expected = idct(gain * dct(x, norm="ortho"), norm="ortho")
    found = module(torch.from_numpy(x).float()).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    if width == 256:  # As the released code comes out with all w at 1.
        ones = FrequencyMap(width, 1.0, 0.3, learned=True)
        change = 1 + ones.strength * ones.weight[ones.band_of] * ones.slope
        assert change[[0, 8, 255]].tolist() == pytest.approx([1.3, 1.29, 1.0])


def fitted(cls, **options):
    model = cls(**SIZES, **options).fit(SMALL.f_x, SMALL.y, SMALL.f_y, seen_classes=SMALL.seen)
    return model.fit_unseen_classifier(SMALL.unseen)


@pytest.mark.parametrize("cross_loss", ["squared", "calibrated"])
@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_with_all_band_weights_0_fs_vae_is_msf_to_the_bit(cross_loss, recipe):
    same = dict(cross_loss=cross_loss, recipe=recipe, alpha=0.5)
    msf = fitted(MSF, **same)
    for options in (dict(bands="fixed", band_weight=0), dict(bands="none")):
        fs_vae = fitted(FSVAE, **same, **options)
        assert fs_vae.history == msf.history
        np.testing.assert_array_equal(
            fs_vae.predict_proba(SMALL.test_f_x), msf.predict_proba(SMALL.test_f_x))
        np.testing.assert_array_equal(
            fs_vae.transform(SMALL.test_f_x).z_r, msf.transform(SMALL.test_f_x).z_r)


def test_bands_are_learned_only_where_they_should_be():
    maps = {bands: fitted(FSVAE, bands=bands)._networks.skeleton.before[0]
            for bands in ("learned", "fixed")}
    assert (maps["fixed"].weight == 1).all() and float(maps["fixed"].strength) == pytest.approx(0.3)
    assert (maps["learned"].weight != 1).any() and float(maps["learned"].strength) != 0.3
