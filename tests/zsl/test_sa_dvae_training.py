"""One step of SA-DVAE: the sum of eq. 7, and the adversarial steps of both sides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from zskel.zsl.methods.sa_dvae_params import SADVAEParams
from zskel.zsl.methods.sa_dvae_training import TERMS, Trainer, Weights
from zskel.zsl.vae import AlignedVAE, Discriminator, sample_gaussian

D, DT, R, V, B = 6, 5, 24, 8, 128


def trainer(*, n_d=3, learning_rate=1e-3, z_v_dim=V, seed=0):
    generator = torch.Generator().manual_seed(seed)
    vae = AlignedVAE(D, DT, R, z_v_dim, generator)
    return Trainer(vae, Discriminator(R + z_v_dim, generator), generator,
                   SADVAEParams(n_d=n_d, learning_rate=learning_rate))


def batch(seed=0):
    generator = torch.Generator().manual_seed(100 + seed)
    return torch.randn(B, D, generator=generator), torch.randn(B, DT, generator=generator)


def state(module):
    return [p.detach().clone() for p in module.parameters()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b))


def linear(layer, x):
    return x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()


def test_terms_equal_numpy():
    t, (f_x, f_y) = trainer(), batch()
    before = t.generator.get_state()
    terms, z_x = t.terms(f_x, f_y)

    # The same draws in the same order: noise of z_x, noise of z_y, permutation.
    t.generator.set_state(before)
    noise_x = torch.randn(B, V + R, generator=t.generator).double().numpy()
    noise_y = torch.randn(B, R, generator=t.generator).double().numpy()
    order = torch.randperm(B, generator=t.generator).numpy()
    x, y, vae = f_x.double().numpy(), f_y.double().numpy(), t.vae
    mean_x, lv_x = np.split(linear(vae.encoder_x.linear, x), 2, axis=1)
    mean_y, lv_y = np.split(linear(vae.encoder_y.linear, y), 2, axis=1)
    z = mean_x + noise_x * np.exp(lv_x / 2)
    z_y = mean_y + noise_y * np.exp(lv_y / 2)
    z_v, z_r = z[:, :V], z[:, V:]

    def error(prediction, target):
        return np.mean(np.linalg.norm(prediction - target, axis=1) ** 2)

    def kl(mean, lv):
        return np.mean(np.sum(-0.5 * (1 + lv - mean**2 - np.exp(lv)), axis=1))

    def d_t(latent):
        first, _, second = t.discriminator.layers
        return 1 / (1 + np.exp(-linear(second, np.maximum(linear(first, latent), 0))))

    altered = np.concatenate([z_v[order], z_r], axis=1)
    expected = [
        error(linear(vae.decoder_x, z), x),
        error(linear(vae.decoder_y, z_y), y),
        kl(mean_x[:, :V], lv_x[:, :V]) + kl(mean_x[:, V:], lv_x[:, V:]),
        kl(mean_y, lv_y),
        error(linear(vae.decoder_y, z_r), y)
        + error(linear(vae.decoder_x, np.concatenate([z_v, z_y], axis=1)), x),
        np.mean(np.log(d_t(z))) + np.mean(np.log(1 - d_t(altered))),
    ]
    np.testing.assert_allclose(terms.detach().numpy(), expected, rtol=2e-5)
    np.testing.assert_allclose(z_x.detach().numpy(), z, atol=1e-5)


def test_step_reports_the_weighted_sum_of_eq_7():
    t, (f_x, f_y) = trainer(), batch()
    assert t.names == TERMS
    values = t.step(f_x, f_y, Weights(beta_x=0.3, beta_y=0.2, lambda_1=0.5, lambda_2=0.7)).numpy()
    rx, ry, kx, ky, cross, tc, loss = values
    assert loss == pytest.approx(rx + ry + 0.3 * kx + 0.2 * ky + 0.5 * cross + 0.7 * tc, rel=1e-5)


def test_mean_reduction_divides_every_squared_error_by_its_dimensions():
    t, (f_x, f_y) = trainer(), batch()
    before = t.generator.get_state()
    summed, _ = t.terms(f_x, f_y)
    t.generator.set_state(before)
    t.params = SADVAEParams(squared_error="mean")
    averaged, _ = t.terms(f_x, f_y)
    rx, ry, kx, ky, cross, tc = summed.tolist()
    assert averaged[:4].tolist() == pytest.approx([rx / D, ry / DT, kx, ky], rel=1e-5)
    assert cross / max(D, DT) < averaged[4].item() < cross / min(D, DT)
    assert averaged[5].item() == pytest.approx(tc)


def test_d_t_is_updated_after_every_n_d_steps_only():
    t, (f_x, f_y) = trainer(n_d=3), batch()
    changed = []
    for _ in range(7):
        before = state(t.discriminator)
        t.step(f_x, f_y, Weights(0.1, 0.1, 1.0, 1.0))
        changed.append(not same(before, state(t.discriminator)))
    assert changed == [False, False, True, False, False, True, False]
    assert (t.vae_steps, t.discriminator_steps) == (7, 2)


def mean_total_correlation(t, f_x):
    """L_T for a fixed set of draws, so that two states can be compared."""
    with torch.no_grad():
        kept, t.generator = t.generator, torch.Generator().manual_seed(7)
        mean, log_variance = t.vae.encoder_x(f_x)
        values = [float(t.total_correlation(sample_gaussian(mean, log_variance, t.generator)))
                  for _ in range(20)]
        t.generator = kept
    return float(np.mean(values))


BLIND = -2 * math.log(2)


def train_discriminator(t, f_x, steps=200):
    """Trains D_T alone, where z_v repeats a part of z_r with little noise."""
    with torch.no_grad():
        layer = t.vae.encoder_x.linear
        layer.weight[V:] *= 4
        layer.weight[:V] = layer.weight[V:2 * V]
        layer.weight[V + R:] = 0
        layer.bias[V + R:] = -4
        mean, log_variance = t.vae.encoder_x(f_x)
    for _ in range(steps):
        t.discriminator_step(sample_gaussian(mean, log_variance, t.generator))


def test_d_t_ascends_l_t_and_leaves_the_vae_alone():
    t, (f_x, _) = trainer(learning_rate=1e-2), batch()
    train_discriminator(t, f_x, steps=0)
    before, value = state(t.vae), mean_total_correlation(t, f_x)
    t = trainer(learning_rate=1e-2)
    train_discriminator(t, f_x)
    assert same(before, state(t.vae))
    assert mean_total_correlation(t, f_x) > max(value, BLIND) + 0.3


def test_e_x_descends_l_t_and_leaves_d_t_alone():
    t, (f_x, f_y) = trainer(learning_rate=1e-2, n_d=10_000), batch()
    train_discriminator(t, f_x)
    before, value = state(t.discriminator), mean_total_correlation(t, f_x)
    for _ in range(5):
        t.step(f_x, f_y, Weights(beta_x=0.0, beta_y=0.0, lambda_1=0.0, lambda_2=1e4))
    assert same(before, state(t.discriminator))
    assert mean_total_correlation(t, f_x) < value - 0.05


def test_only_e_x_feels_l_t():
    t, (f_x, f_y) = trainer(), batch()
    terms, _ = t.terms(f_x, f_y)
    terms[-1].backward()
    vae = t.vae
    assert vae.encoder_x.linear.weight.grad.abs().sum() > 0
    for part in (vae.encoder_y, vae.decoder_x, vae.decoder_y):
        assert all(p.grad is None or not p.grad.any() for p in part.parameters())


def test_initial_weights_come_from_the_generator_and_leave_the_global_state():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, second, other = (trainer(seed=seed) for seed in (5, 5, 6))
    assert same(state(first.vae), state(second.vae))
    assert not same(state(first.vae), state(other.vae))
    assert torch.equal(before, torch.random.get_rng_state())
