"""The recipe "paper" against a plain transcription of eq. 1-9 and 13.

The transcription knows nothing of ``zsl``: float64, every equation written out
as printed, sample by sample where the paper speaks of one sample. It gets the
same initial weights and repeats the same draws.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from zskel.zsl.methods import sa_dvae
from zskel.zsl.methods.sa_dvae import SADVAE
from zskel.zsl.vae import AlignedVAE, Discriminator

D, DT, R, V, SEEN, UNSEEN = 7, 6, 9, 3, (0, 1, 3, 4), (2, 5)
N, BATCH, EPOCHS, N_D, RATE, SEED = 100, 8, 16, 5, 3e-3, 4
BETA_X, BETA_Y, LAMBDA_2 = 0.3, 0.2, 0.7


def options(variant):
    return dict(
        variant=variant, z_r_dim=R, z_v_dim=V, beta_x=BETA_X, beta_y=BETA_Y, lambda_2=LAMBDA_2,
        n_d=N_D, epochs=EPOCHS, batch_size=BATCH, learning_rate=RATE, seed=SEED,
        classifier_samples=40, classifier_epochs=60, classifier_learning_rate=0.02,
    )


def affine(w, name, x):
    return x @ w[name][0].T + w[name][1]


def normal(w, name, f):
    """N(mu, Sigma) of an encoder: mu and the logarithm of Sigma's diagonal."""
    return torch.tensor_split(affine(w, name, f), 2, dim=1)


def kl(mean, log_variance):
    """D_KL(N(mean, Sigma) || N(0, I)), one a sample."""
    sigma_2 = torch.exp(log_variance)
    return 0.5 * (sigma_2.sum(1) + (mean**2).sum(1) - mean.shape[1] - log_variance.sum(1))


def norm_2(a):
    """The squared L2 norm, one a sample."""
    return (a**2).sum(dim=1)


def l_t(w, z, altered):
    """Eq. 6, one a sample."""
    def d_t(z):
        return 1 / (1 + torch.exp(-affine(w, "T2", affine(w, "T1", z).clamp(min=0))))

    return torch.log(d_t(z))[:, 0] + torch.log(1 - d_t(altered))[:, 0]


def adam(weights, gradients, memory, rate):
    memory["t"] = t = memory.get("t", 0) + 1
    for i, (w, g) in enumerate(zip(weights, gradients)):
        m, v = memory.get(i, (0.0, 0.0))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        memory[i] = m, v
        root = (v / (1 - 0.999**t)) ** 0.5
        w.data -= rate * (m / (1 - 0.9**t)) / (root + 1e-8)


def train(w, generator, x, text, v_dim):
    """Trains in place. ``v_dim`` 0 is naive alignment; no "T1" in ``w``, no L_T."""
    vae = [t for name in ("E_x", "D_x", "E_y", "D_y") for t in w[name]]
    tc = "T1" in w
    adversary = [*w["T1"], *w["T2"]] if tc else []
    vae_memory, tc_memory, steps = {}, {}, 0
    n = len(x)
    for epoch in range(EPOCHS):
        order = torch.randperm(n, generator=generator)
        for k in range(0, n, BATCH):
            rows = order[k:k + BATCH]
            f_x, f_y, b = x[rows], text[rows], len(rows)
            factor = 0 if k < n / 3 else 1.5 * (k / n - 1 / 3)  # eq. 13
            lambda_1 = 0 if epoch == 0 else 1

            mean_x, log_x = normal(w, "E_x", f_x)
            mean_y, log_y = normal(w, "E_y", f_y)
            noise_x = torch.randn(b, v_dim + R, generator=generator).double()
            noise_y = torch.randn(b, R, generator=generator).double()
            z_x = mean_x + torch.exp(log_x / 2) * noise_x
            z_y = mean_y + torch.exp(log_y / 2) * noise_y
            z_v, z_r = z_x[:, :v_dim], z_x[:, v_dim:]

            def d_x(z_v, z_r):
                return affine(w, "D_x", torch.cat([z_v, z_r], dim=1))

            def d_y(z):
                return affine(w, "D_y", z)

            def altered(z_v, z_r):
                return torch.cat([z_v[torch.randperm(b, generator=generator)], z_r], dim=1)

            # Eq. 2-4 as what is minimized, with log p(f|z) = -||f - D(z)||^2.
            loss_x = (norm_2(f_x - d_x(z_v, z_r))
                      + factor * BETA_X * kl(mean_x[:, v_dim:], log_x[:, v_dim:])
                      + factor * BETA_X * kl(mean_x[:, :v_dim], log_x[:, :v_dim]))
            loss_y = norm_2(f_y - d_y(z_y)) + factor * BETA_Y * kl(mean_y, log_y)
            loss_c = norm_2(d_y(z_r) - f_y) + norm_2(d_x(z_v, z_y) - f_x)  # eq. 5
            loss = loss_x + loss_y + lambda_1 * loss_c  # eq. 7
            if tc:
                loss = loss + factor * LAMBDA_2 * l_t(w, z_x, altered(z_v, z_r))
            adam(vae, torch.autograd.grad(loss.mean(), vae), vae_memory, RATE)

            steps += 1
            if tc and steps % N_D == 0:
                z_x = z_x.detach()
                gain = l_t(w, z_x, altered(z_x[:, :v_dim], z_x[:, v_dim:])).mean()
                adam(adversary, torch.autograd.grad(-gain, adversary), tc_memory, RATE)


def problem():
    rng = np.random.default_rng(2)
    f_y = rng.normal(size=(6, DT))
    f_y = (f_y / np.linalg.norm(f_y, axis=1, keepdims=True)).astype(np.float32)
    y = np.asarray(SEEN)[rng.permutation(N) % len(SEEN)]
    f_x = f_y[y] @ rng.normal(size=(DT, D)) + 0.5 * rng.normal(size=(N, D))
    return f_x.astype(np.float32), y, f_y


def as_transcribed(vae, discriminator):
    layers = {"E_x": vae.encoder_x.linear, "D_x": vae.decoder_x,
              "E_y": vae.encoder_y.linear, "D_y": vae.decoder_y}
    if discriminator is not None:
        layers |= {"T1": discriminator.layers[0], "T2": discriminator.layers[2]}
    return {name: [p.detach().double().clone().requires_grad_() for p in (x.weight, x.bias)]
            for name, x in layers.items()}


@pytest.fixture(scope="module", params=["fd+tc", "fd", "naive"])
def both(request):
    """Our fit's networks, the transcription's, and the initial ones."""
    variant = request.param
    f_x, y, f_y = problem()
    v_dim = 0 if variant == "naive" else V
    generator = torch.Generator().manual_seed(SEED)
    vae = AlignedVAE(D, DT, R, v_dim, generator)
    discriminator = Discriminator(R + v_dim, generator) if variant == "fd+tc" else None
    weights = as_transcribed(vae, discriminator)
    initial = {name: [p.detach().clone() for p in pair] for name, pair in weights.items()}
    text = torch.from_numpy(f_y[y]).double()
    train(weights, generator, torch.from_numpy(f_x).double(), text, v_dim)

    trainers = []
    with pytest.MonkeyPatch.context() as patch:
        original = sa_dvae.Trainer
        patch.setattr(sa_dvae, "Trainer",
                      lambda *a, **k: trainers.append(original(*a, **k)) or trainers[-1])
        model = SADVAE(**options(variant)).fit(f_x, y, f_y, seen_classes=SEEN)
    return model, as_transcribed(model._networks, trainers[0].discriminator), weights, initial


def test_paper_equals_the_transcription_after_200_steps(both):
    model, ours, theirs, initial = both
    assert model.steps(N) == 208
    assert model.discriminator_steps == (41 if "T1" in theirs else 0)
    assert ours.keys() == theirs.keys() == initial.keys()
    for name, expected in theirs.items():
        for mine, other, before in zip(ours[name], expected, initial[name]):
            np.testing.assert_allclose(
                mine.detach(), other.detach(), rtol=0, atol=1e-5, err_msg=name)
            assert (other - before).abs().max() > 1e-2, f"{name} hardly moved"


def test_initial_weights_are_uniform_within_one_over_the_root_of_the_inputs(both):
    _, _, _, initial = both
    for weight, bias in initial.values():
        bound = 1 / math.sqrt(weight.shape[1])
        assert weight.abs().max() <= bound and bias.abs().max() <= bound
        assert weight.abs().max() > 0.8 * bound


def test_c_u_equals_the_transcription(both):
    model, ours, _, _ = both
    f_x, _, f_y = problem()
    model.fit_unseen_classifier(UNSEEN)
    generator = torch.Generator().manual_seed(SEED + (1 << 32))
    noise = torch.randn(80, R, generator=generator).double()
    y = torch.tensor([0] * 40 + [1] * 40)
    w = {name: [p.detach() for p in pair] for name, pair in ours.items()}
    mean, log_variance = normal(w, "E_y", torch.from_numpy(f_y[list(UNSEEN)]).double()[y])
    z_y = mean + torch.exp(log_variance / 2) * noise
    layer, memory = [torch.zeros(2, R).double(), torch.zeros(2).double()], {}
    for _ in range(60):
        p_u = torch.softmax(z_y @ layer[0].T + layer[1], dim=1)  # eq. 8
        residual = (p_u - torch.eye(2)[y]) / len(y)
        adam(layer, [residual.T @ z_y, residual.sum(0)], memory, 0.02)
    np.testing.assert_allclose(
        model._unseen_classifier.weight.detach(), layer[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(model._unseen_classifier.bias.detach(), layer[1], rtol=0, atol=1e-5)

    mean_x, _ = normal(w, "E_x", torch.from_numpy(f_x).double())
    expected = torch.softmax(mean_x[:, -R:] @ layer[0].T + layer[1], dim=1)
    np.testing.assert_allclose(model.predict_proba(f_x), expected, atol=1e-5)  # eq. 9
