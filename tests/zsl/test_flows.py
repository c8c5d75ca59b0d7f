"""TDSM and Flora: schedule, losses and scores against plain numpy, and what a block may not mix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transferable import make

from zskel.data.common.errors import BadConfig
from zskel.zsl.diffusion_transformer import JointBlock, initialize_transformer
from zskel.zsl.methods.flora import Flora, with_neighbours
from zskel.zsl.methods.tdsm import TDSM, alpha_bar

SMALL = make(7, verbs=3, nouns=3, clips=6, f_x_dim=8, text_dim=5)
SIZES = {TDSM: dict(width=8, heads=2, depth=1, noises=2, epochs=3),
         Flora: dict(width=8, heads=2, noises=2, epochs=6, flow_part=0.5)}


def fitted(cls, **options):
    model = cls(**{**SIZES[cls], **options})
    model.fit(SMALL.f_x, SMALL.y, SMALL.f_y, seen_classes=SMALL.seen)
    return model.fit_unseen_classifier(SMALL.unseen)


def batch(model, rows=10):
    """Clips, the columns of their classes and the texts of all seen classes."""
    columns = torch.as_tensor(np.searchsorted(SMALL.seen, SMALL.y[:rows]))
    text = model._text_of(model.seen_classes)
    return torch.as_tensor(SMALL.f_x[:rows]), columns, text


def mse(a, b):
    return np.mean((a - b) ** 2)


def dense(layer, values):
    return values @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def silu(x):
    return x / (1 + np.exp(-x))


def norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


@pytest.mark.parametrize("streams", [1, 2])
def test_a_block_is_that_of_the_definition(streams):
    generator = torch.Generator().manual_seed(0)
    block = JointBlock(streams, 8, 2)
    initialize_transformer(block, generator)
    x = [torch.randn(3, 2 + s, 8, generator=generator) for s in range(streams)]
    condition = torch.randn(3, 8, generator=generator)
    for found, given in zip(block(x, condition), x):
        assert torch.equal(found, given)  # the identity before training
    for stream in block.streams:
        torch.nn.init.normal_(stream.modulation.weight, generator=generator)

    parts = [np.split(dense(s.modulation, silu(condition.numpy()))[:, None], 6, axis=2)
             for s in block.streams]
    values = [each.numpy() for each in x]
    qkv = np.concatenate([dense(s.qkv, norm(v) * (1 + p[1]) + p[0])
                          for s, v, p in zip(block.streams, values, parts)], axis=1)
    q, k, v = np.moveaxis(qkv.reshape(3, -1, 3, 2, 4), (2, 3), (0, 2))
    weights = np.exp(q @ np.swapaxes(k, 2, 3) / 2)
    joint = np.swapaxes(weights / weights.sum(-1, keepdims=True) @ v, 1, 2).reshape(3, -1, 8)
    start = 0
    for stream, before, p, found in zip(block.streams, values, parts, block(x, condition)):
        attended = joint[:, start:start + before.shape[1]]
        start += before.shape[1]
        after = before + p[2] * dense(stream.out, attended)
        hidden = dense(stream.mlp[0], norm(after) * (1 + p[4]) + p[3])
        gelu = 0.5 * hidden * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)))
        after = after + p[5] * dense(stream.mlp[2], gelu)
        np.testing.assert_allclose(found.detach(), after, rtol=1e-3, atol=1e-4)


def test_a_masked_token_is_as_good_as_absent():
    generator = torch.Generator().manual_seed(0)
    block = JointBlock(2, 8, 2)
    initialize_transformer(block, generator)
    for stream in block.streams:
        torch.nn.init.normal_(stream.modulation.weight, generator=generator)
    one, two = (torch.randn(3, count, 8, generator=generator) for count in (1, 4))
    condition = torch.randn(3, 8, generator=generator)
    mask = torch.tensor([[True, True, True, False, False]]).expand(3, -1)
    wanted = block([one, two[:, :2]], condition)
    found = block([one, two], condition, mask)
    for kept, with_more in zip(wanted, found):
        torch.testing.assert_close(with_more[:, :kept.shape[1]], kept)


def test_schedule_is_stable_diffusions_in_50_steps():
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 50) ** 2
    np.testing.assert_allclose(alpha_bar(), np.cumprod(1 - betas), rtol=1e-6)


def test_tdsm_terms_equal_numpy():
    model = fitted(TDSM, margin=0.05)
    f_x, columns, text = batch(model)
    generator = torch.Generator().manual_seed(3)
    state = generator.get_state()
    terms = model.terms(f_x, columns, text, generator).detach().numpy()

    generator.set_state(state)
    time = torch.randint(50, (10,), generator=generator)
    noise = torch.randn(10, 8, generator=generator)
    other = torch.randint(len(text["f_y"]), (10,), generator=generator)
    right, wrong = (model._net(f_x, of, text, time, noise).detach().numpy()
                    for of in (columns, other))
    hinge = np.maximum(right - wrong + 0.05, 0) * (other != columns).numpy()
    assert 0 < (hinge > 0).sum() and (other == columns).any()
    expected = [right.mean(), hinge.mean(), right.mean() + hinge.mean()]
    np.testing.assert_allclose(terms, expected, rtol=1e-5)


def test_tdsm_measures_the_error_of_the_noise_that_it_predicts():
    model = TDSM(**SIZES[TDSM])
    net = model._build(8, {"f_y": 5}, torch.Generator().manual_seed(0))
    noise = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    # It predicts 0 before training.
    error = net(torch.ones(4, 8), torch.zeros(4, dtype=torch.int64),
                {"f_y": torch.ones(1, 5)}, torch.arange(4), noise)
    np.testing.assert_allclose(error.detach(), (noise.numpy() ** 2).mean(axis=1), rtol=1e-6)


def test_tdsm_scores_with_the_same_noises_for_all():
    model = fitted(TDSM)
    net, text = model._net, model._text_of(model.unseen_classes)
    f_x = torch.as_tensor(SMALL.test_f_x[:3])
    assert net.noises.shape == (2, 8)
    expected = np.array([[
        np.mean([net(clip[None], torch.tensor([c]), text, torch.tensor([25]), noise[None]).item()
                 for noise in net.noises]) for c in range(len(text["f_y"]))] for clip in f_x])
    found = model._scores(SMALL.test_f_x[:3], model.unseen_classes)
    np.testing.assert_allclose(found, -model.params.sharpness * expected, rtol=1e-4)


def test_flora_alignment_equals_numpy():
    model = fitted(Flora)
    f_x, columns, text = batch(model)
    f_y, net = text["f_y"][columns], model._net
    generator = torch.Generator().manual_seed(3)
    state = generator.get_state()
    found = net.alignment(f_x, f_y[:, None], generator).detach().numpy()

    generator.set_state(state)
    noise = [torch.randn(10, 8, generator=generator).numpy() for _ in range(2)]
    sides = [(net.skeleton, f_x.numpy()), (net.text, f_y.numpy())]
    gaussians = []
    for vae, f in sides:
        hidden = dense(vae.hidden[2], np.maximum(dense(vae.hidden[0], f), 0))
        gaussians.append((dense(vae.mean, hidden), dense(vae.log_variance, hidden)))
    drawn = [m + e * np.exp(lv / 2) for (m, lv), e in zip(gaussians, noise)]
    reconstruction = np.mean([
        mse(dense(vae.decode[2], np.maximum(dense(vae.decode[0], z), 0)), f)
        for vae, f in sides for z in drawn])
    distribution = sum(mse(x, y) for x, y in zip(*gaussians))
    np.testing.assert_allclose(found, [reconstruction, distribution], rtol=1e-4)


def test_flora_flow_equals_numpy():
    model = fitted(Flora)
    f_x, columns, text = batch(model)
    f_y, net = text["f_y"][columns], model._net
    other_x, other_y = f_x.flip(0), f_y.flip(0)
    generator = torch.Generator().manual_seed(3)
    state = generator.get_state()
    found = net.flow((f_x, f_y[:, None]), (other_x, other_y[:, None]), generator)

    generator.set_state(state)
    z_x, z_y, o_x, o_y = (
        net_.encode(f)[0].detach() + torch.randn(10, 8, generator=generator)
        * torch.exp(0.5 * net_.encode(f)[1].detach())
        for net_, f in ((net.skeleton, f_x), (net.text, f_y),
                        (net.skeleton, other_x), (net.text, other_y)))
    t = torch.sigmoid(torch.randn(10, generator=generator))
    path = (1 - (1 - 1e-5) * t)[:, None] * z_y + t[:, None] * z_x
    velocity = net.velocity(path[:, None], t)[:, 0]
    for error, start, end in zip(found, (z_y, o_y), (z_x, o_x)):
        target = (end - (1 - 1e-5) * start).numpy()
        expected = ((velocity.detach().numpy() - target) ** 2).mean(axis=1)
        np.testing.assert_allclose(error.detach(), expected, rtol=1e-4)


def test_flora_scores_with_the_same_noises_for_all():
    model = fitted(Flora)
    net, f_y = model._net, model._text_of(model.unseen_classes)["f_y"]
    (mean_x, lv_x), (mean_y, lv_y) = (
        vae.encode(f) for vae, f in ((net.skeleton, torch.as_tensor(SMALL.test_f_x[:3])),
                                     (net.text, f_y)))
    expected = np.zeros((3, len(f_y)))
    for clip in range(3):
        for c in range(len(f_y)):
            for e_x, e_y in zip(*net.noises):
                end = mean_x[clip] + e_x * torch.exp(lv_x[clip] / 2)
                start = mean_y[c] + e_y * torch.exp(lv_y[c] / 2)
                expected[clip, c] += net.error(
                    start[None, None], end[None, None], torch.tensor([0.5])).item() / 2
    found = model._scores(SMALL.test_f_x[:3], model.unseen_classes)
    np.testing.assert_allclose(found, -model.params.sharpness * expected, rtol=1e-4)


def test_flora_trains_encoders_first_and_the_flow_after():
    history = fitted(Flora).history
    for first, second in (("reconstruction", "velocity"), ("distribution", "other_velocity")):
        assert all(history[first][:3]) and not any(history[second][:3])
        assert not any(history[first][3:]) and all(history[second][3:])
    # However long the flow is trained, the encoders stay.
    z = [fitted(Flora, epochs=epochs, flow_part=flow_part).transform(SMALL.f_x).z_r
         for epochs, flow_part in ((6, 0.5), (12, 0.75))]
    np.testing.assert_array_equal(*z)


def test_neighbours_are_seen_classes_other_than_itself():
    rng = np.random.default_rng(0)
    f_y = rng.normal(size=(7, 4))
    f_y /= np.linalg.norm(f_y, axis=1, keepdims=True)
    seen = f_y[:5]
    cosine = f_y @ seen.T
    expected = f_y.copy()
    for c in range(7):
        order = [k for k in np.argsort(-cosine[c]) if k != c][:2]
        expected[c] += 0.4 / 2 * sum(cosine[c, k] * seen[k] for k in order)
    itself = torch.arange(7)[:, None] == torch.arange(5)
    found = with_neighbours(torch.from_numpy(f_y), torch.from_numpy(seen), itself, 2, 0.4)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("cls", [TDSM, Flora])
def test_heads_must_divide_the_width(cls):
    with pytest.raises(BadConfig, match=f"{cls.name}: heads is 3, expected a divisor of width 8"):
        cls(width=8, heads=3)
