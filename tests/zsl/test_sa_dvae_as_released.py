"""The recipe "released" against a plain transcription of what the released code does.

The transcription below knows nothing of ``zsl``: tensors in float64, one layer
for each mean and each log variance, z_r before z_v, schedules, losses, Adam and
all written out. It gets the same initial weights and repeats the same draws.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zskel.zsl.methods import sa_dvae
from zskel.zsl.methods.sa_dvae import SADVAE
from zskel.zsl.vae import AlignedVAE, Discriminator

D, DT, R, V, SEEN, UNSEEN = 7, 6, 9, 3, (0, 1, 3, 4), (2, 5)
# 13 batches an epoch, the last of 4 rows. D_T's turns are i = 3, 7 and 11, and
# only the last lies in the ramp of k2, which starts at 10.4.
N, BATCH, EPOCHS, N_D, RATE, SEED = 100, 8, 16, 4, 3e-3, 11
OPTIONS = dict(
    recipe="released", z_r_dim=R, z_v_dim=V, epochs=EPOCHS, batch_size=BATCH, n_d=N_D,
    learning_rate=RATE, seed=SEED,
)


class Adam:
    """Kingma and Ba, with PyTorch's constants."""

    def __init__(self, weights, rate):
        self.weights, self.rate, self.t = weights, rate, 0
        self.m = [torch.zeros_like(w) for w in weights]
        self.v = [torch.zeros_like(w) for w in weights]

    def step(self, gradients):
        self.t += 1
        with torch.no_grad():
            for w, g, m, v in zip(self.weights, gradients, self.m, self.v):
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                m_hat, v_hat = m / (1 - 0.9**self.t), v / (1 - 0.999**self.t)
                w -= self.rate * m_hat / (v_hat.sqrt() + 1e-8)


def layer(w, name, x):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def mse(a, b):
    return ((a - b) ** 2).sum() / a.numel()


def kl(mean, log_variance):
    per_sample = (-0.5 * (1 + log_variance - mean**2 - log_variance.exp())).sum(dim=1)
    return per_sample.sum() / len(mean)


def bce(probability, truth):
    log = torch.log(probability) if truth else torch.log(1 - probability)
    return -log.mean()


def d_t(w, z):
    hidden = torch.relu(layer(w, "T.first", z))
    return torch.sigmoid(layer(w, "T.second", hidden))


def train(w, draws, x, t_of_sample, epochs, batch, n_d, rate):
    """Trains the networks ``w`` in place."""
    vae = Adam([w[k] for k in w if not k.startswith("T")], rate)
    adversary = Adam([w[k] for k in w if k.startswith("T")], rate)
    n = len(x)
    batches = int(np.ceil(n / batch))
    for c in range(epochs):
        order, since = draws.order(n), 0
        for i in range(batches):
            rows = order[i * batch:(i + 1) * batch]
            f_x, f_y, b = x[rows], t_of_sample[rows], len(rows)

            k1 = max(0, 0.1 * (i - batches * 1000 / 1700) / (batches * 3000 / 1700))
            k2 = max(0, 0.1 * (i - 0.8 * batches) / (batches * 3000 / 1700)) if c > 1 else 0.0
            a = 1.0 if i > 0.8 * batches else 0.0

            mean, spread = layer(w, "E_x.mean", f_x), layer(w, "E_x.log_variance", f_x)
            mean_r, mean_v, lv_r, lv_v = mean[:, :R], mean[:, R:], spread[:, :R], spread[:, R:]
            mean_y, lv_y = layer(w, "E_y.mean", f_y), layer(w, "E_y.log_variance", f_y)

            def draw(mean, log_variance):
                return mean + draws.noise(b) * torch.exp(0.5 * log_variance)

            z_r, z_v, z_y = draw(mean_r, lv_r), draw(mean_v, lv_v), draw(mean_y, lv_y)

            since += 1
            if since == n_d:
                since = 0
                branches = []
                for mean_s, lv_s in ((mean_r, lv_r), (mean_y, lv_y)):
                    s, v = draw(mean_s, lv_s).detach(), draw(mean_v, lv_v).detach()
                    s_other, v_other = s[draws.order(b)], v[draws.order(b)]
                    true = d_t(w, torch.cat([s, v], dim=1))
                    false = d_t(w, torch.cat([s_other, v_other], dim=1))
                    branches.append((bce(true, True) + bce(false, False)) / 2)
                loss = k2 * (branches[0] + branches[1]) / 2
                adversary.step(torch.autograd.grad(loss, adversary.weights))

            def d_x(s):
                return torch.relu(layer(w, "D_x", torch.cat([s, z_v], dim=1)))

            def d_y(s):
                return torch.relu(layer(w, "D_y", s))

            loss = (mse(f_x, d_x(z_r)) + mse(f_y, d_y(z_y))
                    + k1 * (kl(mean_r, lv_r) + kl(mean_v, lv_v)) + k2 * kl(mean_y, lv_y)
                    + a * (mse(f_x, d_x(z_y)) + mse(f_y, d_y(z_r)))
                    + k2 * d_t(w, torch.cat([z_r, z_v], dim=1)).mean())
            vae.step(torch.autograd.grad(loss, vae.weights))


def train_classifier(weight, bias, z, y, steps):
    """C_u: a ReLU on the logits, then cross-entropy; Adam with the whole batch."""
    adam = Adam([weight, bias], 1e-3)
    for _ in range(steps):
        logits = torch.relu(z @ weight.T + bias)
        p = torch.exp(logits) / torch.exp(logits).sum(dim=1, keepdim=True)
        loss = -torch.log(p[torch.arange(len(y)), y]).mean()
        adam.step(torch.autograd.grad(loss, adam.weights))


class Draws:
    """The draws of a generator, in the order they are asked for."""

    def __init__(self, generator):
        self.generator = generator

    def order(self, n):
        return torch.randperm(n, generator=self.generator)

    def noise(self, n):
        return torch.randn(n, 1, generator=self.generator).double()


def problem():
    rng = np.random.default_rng(1)
    f_y = rng.normal(size=(6, DT))
    f_y = (f_y / np.linalg.norm(f_y, axis=1, keepdims=True)).astype(np.float32)
    y = np.asarray(SEEN)[rng.permutation(N) % len(SEEN)]
    f_x = np.maximum(2 * f_y[y] @ rng.normal(size=(DT, D)) + rng.normal(size=(N, D)), 0)
    return f_x.astype(np.float32), y, f_y


def as_transcribed(vae, discriminator):
    """Weights of our modules by the transcription's names, z_r first."""
    r_first = [*range(V, V + R), *range(V)]
    e_x, e_y = vae.encoder_x.linear, vae.encoder_y.linear
    first, _, second = discriminator.layers
    found = {"D_x.weight": vae.decoder_x.weight[:, r_first], "D_x.bias": vae.decoder_x.bias}
    for name, (ours, kind) in {
        "E_x": (e_x, r_first), "E_y": (e_y, list(range(R))),
    }.items():
        for part in ("weight", "bias"):
            mean, log_variance = getattr(ours, part).chunk(2)
            found[f"{name}.mean.{part}"] = mean[kind]
            found[f"{name}.log_variance.{part}"] = log_variance[kind]
    for part in ("weight", "bias"):
        found[f"D_y.{part}"] = getattr(vae.decoder_y, part)
        found[f"T.first.{part}"] = getattr(first, part)
        found[f"T.second.{part}"] = getattr(second, part)
    found["T.first.weight"] = found["T.first.weight"][:, r_first]
    return {k: v.detach().double().clone().requires_grad_() for k, v in found.items()}


@pytest.fixture(scope="module")
def both():
    """Our fit's networks, the transcription's, and the initial ones."""
    f_x, y, f_y = problem()
    generator = torch.Generator().manual_seed(SEED)
    vae = AlignedVAE(D, DT, R, V, generator, initialization="xavier", output="relu")
    weights = as_transcribed(vae, Discriminator(R + V, generator, "xavier"))
    initial = {k: v.detach().clone() for k, v in weights.items()}
    x, text = torch.from_numpy(f_x).double(), torch.from_numpy(f_y).double()
    train(weights, Draws(generator), x, text[torch.from_numpy(y)], EPOCHS, BATCH, N_D, RATE)

    trainers = []
    with pytest.MonkeyPatch.context() as patch:
        original = sa_dvae.Trainer
        patch.setattr(sa_dvae, "Trainer",
                      lambda *a, **k: trainers.append(original(*a, **k)) or trainers[-1])
        model = SADVAE(**OPTIONS).fit(f_x, y, f_y, seen_classes=SEEN)
    return model, as_transcribed(model._networks, trainers[0].discriminator), weights, initial


def test_released_equals_the_transcription_after_200_steps(both):
    model, ours, theirs, initial = both
    assert model.steps(N) == 208 and model.discriminator_steps == 3 * EPOCHS
    assert ours.keys() == theirs.keys() == initial.keys()
    for name, expected in theirs.items():
        np.testing.assert_allclose(
            ours[name].detach(), expected.detach(), rtol=0, atol=1e-5, err_msg=name)
        assert (expected - initial[name]).abs().max() > 1e-2, f"{name} hardly moved"


def test_initial_weights_are_xavier_uniform_with_gain_one_half():
    vae = AlignedVAE(300, 200, 90, 30, torch.Generator().manual_seed(0), initialization="xavier")
    discriminator = Discriminator(400, torch.Generator().manual_seed(0), "xavier")
    first, _, second = discriminator.layers
    for weight, bias, inputs, outputs in (
        (vae.encoder_x.linear.weight[:120], vae.encoder_x.linear.bias, 300, 120),
        (vae.encoder_x.linear.weight[120:], vae.encoder_x.linear.bias, 300, 120),
        (vae.encoder_y.linear.weight, vae.encoder_y.linear.bias, 200, 90),
        (vae.decoder_x.weight, vae.decoder_x.bias, 120, 300),
        (vae.decoder_y.weight, vae.decoder_y.bias, 90, 200),
        (first.weight, first.bias, 400, 100), (second.weight, second.bias, 100, 1),
    ):
        bound = 0.5 * np.sqrt(6 / (inputs + outputs))
        weight = weight.detach().numpy()
        assert 0.95 * bound < np.abs(weight).max() <= bound
        assert weight.std() == pytest.approx(bound / np.sqrt(3), rel=0.15)
        assert not bias.any()


def test_c_u_equals_the_transcription(both):
    model, ours, _, _ = both
    f_x, _, f_y = problem()
    model.fit_unseen_classifier(UNSEEN)

    # Draws of C_u's own stream: its weights, then 500 numbers per class.
    generator = torch.Generator().manual_seed(SEED + (1 << 32))
    bound = 0.5 * np.sqrt(6 / (R + 2))
    weight = torch.empty(2, R).uniform_(-bound, bound, generator=generator).double()
    bias = torch.zeros(2).double()
    noise = torch.randn(1000, 1, generator=generator).double()
    y = torch.tensor([0] * 500 + [1] * 500)
    text = torch.from_numpy(f_y[list(UNSEEN)]).double()[y]
    w = {k: v.detach() for k, v in ours.items()}
    z = layer(w, "E_y.mean", text) + noise * torch.exp(
        0.5 * layer(w, "E_y.log_variance", text))
    before = weight.clone()
    train_classifier(weight.requires_grad_(), bias.requires_grad_(), z, y, steps=300)

    layers = model._unseen_classifier
    np.testing.assert_allclose(layers.weight.detach(), weight.detach(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(layers.bias.detach(), bias.detach(), rtol=0, atol=1e-5)
    assert (weight - before).abs().max() > 1e-2

    z_r = layer(w, "E_x.mean", torch.from_numpy(f_x).double())[:, :R]
    logits = torch.relu(z_r @ weight.T + bias).detach()
    expected = torch.exp(logits) / torch.exp(logits).sum(dim=1, keepdim=True)
    np.testing.assert_allclose(model.predict_proba(f_x), expected, atol=1e-5)
