"""ReViSE's losses against plain numpy, and its switches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from zskel.data.common.errors import BadConfig, BadInput
from zskel.zsl.discrepancy import median_of_pairs, mmd
from zskel.zsl.methods.revise import ReViSE, jacobian_norm, summed_rows_norm
from zskel.zsl.ranking import class_hinge

SEEN, UNSEEN = (0, 1, 3, 4), (2, 5)
B, D, DT = 9, 6, 4
TINY = dict(code_dim=7, text_hidden_dim=8, embedding_dim=3, epochs=1, batch_size=16)


def problem(seed=0):
    rng = np.random.default_rng(seed)
    y = np.asarray(SEEN)[np.arange(30) % 4]
    f_y = rng.normal(size=(6, DT)).astype(np.float32)
    return np.abs(rng.normal(size=(30, D))).astype(np.float32), y, f_y


def fitted(**params):
    f_x, y, f_y = problem()
    return ReViSE(**{**TINY, **params}).fit(f_x, y, f_y, seen_classes=SEEN)


def tensors(*arrays):
    return [torch.from_numpy(a) for a in arrays]


@pytest.mark.parametrize("kappa", [0.7, 32.0, "median"])
def test_mmd_equals_numpy(kappa):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 3)), 0.5 + rng.normal(size=(5, 3))
    both = np.concatenate([a, b])
    fixed = kappa
    if kappa == "median":
        pairs = [((both[i] - both[j]) ** 2).sum() for i in range(10) for j in range(i)]
        fixed = 1 / np.sort(pairs)[22]  # of 45

    def kernel(p, q):
        return np.mean([[np.exp(-fixed * ((x - y) ** 2).sum()) for y in q] for x in p])

    expected = kernel(a, a) + kernel(b, b) - 2 * kernel(a, b)
    value = mmd(*tensors(a, b), torch.ones(5).double(), kappa)
    assert float(value) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kappa", [0.7, "median"])
def test_mmd_of_counted_rows_is_that_of_rows_that_are_repeated(kappa):
    rng = np.random.default_rng(1)
    a, b = (part.requires_grad_() for part in tensors(rng.normal(size=(6, 3)),
                                                     rng.normal(size=(4, 3))))
    counts = torch.tensor([1.0, 3.0, 0.0, 2.0]).double()
    value = mmd(a, b, counts, kappa)
    again = mmd(a, b.repeat_interleave(counts.long(), dim=0), torch.ones(6).double(), kappa)
    assert value.item() == pytest.approx(again.item(), rel=1e-12)
    for one, other in zip(torch.autograd.grad(value, (a, b)), torch.autograd.grad(again, (a, b))):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(lambda a, b: mmd(a, b, counts, 0.7), (a, b))


@pytest.mark.parametrize("rows", [5, 401, 450, 900])
@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_the_median_of_pairs_is_that_of_them_all(rows, spread):
    rng = np.random.default_rng(rows)
    z = np.concatenate([spread + rng.normal(size=(7, 3)), rng.normal(size=(rows, 3))])
    counts = np.bincount(rng.integers(0, 6, rows), minlength=7)
    d = ((z[:, None] - z) ** 2).sum(axis=2)
    times = np.concatenate([counts, np.ones(rows, int)])
    full = d.repeat(times, axis=0).repeat(times, axis=1)
    pairs = np.sort(full[np.triu_indices(len(full), 1)])
    once = np.triu(d, 1)
    found = median_of_pairs(*tensors(once[:7], once[7:, 7:].ravel(), counts))
    assert found == pairs[(len(pairs) - 1) // 2]


@pytest.mark.parametrize("count_true", [False, True])
def test_hinge_equals_numpy(count_true):
    rng = np.random.default_rng(1)
    scores, columns = rng.normal(size=(B, 4)), rng.integers(0, 4, B)
    expected = 0.0
    for row, own in zip(scores, columns):
        for c in range(4):
            if c != own or count_true:
                expected += max(0.0, 0.3 + row[c] - row[own])
    s, c = tensors(scores, columns)
    value = class_hinge(s, s[torch.arange(B), c], c, 0.3, count_true)
    assert float(value) == pytest.approx(expected / B, rel=1e-12)


def encoder_and_rows():
    generator = torch.Generator().manual_seed(2)
    encoder = nn.Linear(D, 7)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(generator=generator)
    return encoder, torch.randn(B, D, generator=generator)


def test_contraction_is_the_squared_norm_of_the_jacobian():
    encoder, f_x = encoder_and_rows()
    jacobians = [torch.autograd.functional.jacobian(lambda x: encoder(x).relu(), row)
                 for row in f_x]
    expected = np.mean([float((j**2).sum()) for j in jacobians])
    value = jacobian_norm(encoder, encoder(f_x).relu())
    assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    assert encoder.weight.grad.abs().sum() > 0


def test_released_contraction_is_the_norm_of_the_summed_rows_without_gradient():
    encoder, f_x = encoder_and_rows()
    rows = f_x.clone().requires_grad_()
    encoder(rows).relu().sum().backward()
    value = summed_rows_norm(encoder, encoder(f_x).relu())
    assert float(value) == pytest.approx(float(np.linalg.norm(rows.grad.numpy())), rel=1e-5)
    assert not value.requires_grad


def plain_terms(model, f_x, columns, text):
    """Every term of a batch in float64 numpy, by the definition of the paper."""
    weights = {k: v.detach().numpy().astype(float) for k, v in model._net.named_parameters()}

    def layer(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def relu(x):
        return np.maximum(x, 0)

    out = relu if model.params.output_activation == "relu" else (lambda x: x)
    code_x = relu(layer("encoder_x", f_x))
    codes_y = relu(layer("encoder_y.2", relu(layer("encoder_y.0", text))))
    v, t = np.tanh(layer("head_x", code_x)), np.tanh(layer("head_y", codes_y))
    scores, margin = v @ t.T, model.params.margin
    hinge = sum(max(0.0, margin + scores[b, c] - scores[b, own])
                for b, own in enumerate(columns) for c in range(len(text))
                if c != own or model.params.hinge_counts_true) / len(f_x)
    rebuilt_x = out(layer("decoder_x", code_x))
    rebuilt_y = out(layer("decoder_y.2", relu(layer("decoder_y.0", codes_y[columns]))))
    return hinge, ((rebuilt_x - f_x) ** 2).mean(), ((rebuilt_y - text[columns]) ** 2).mean()


@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_terms_and_their_weighted_sum(recipe):
    model = fitted(recipe=recipe, log_f_x=False, reconstruction_weight=0.5, mmd_weight=2.0,
                   contraction_weight=0.01)
    f_x, y, _ = problem()
    columns = np.searchsorted(SEEN, y)
    text = model._text["f_y"].numpy()[list(SEEN)]
    terms = model.terms(*tensors(f_x, columns, text)).detach().numpy()
    assert terms[:3] == pytest.approx(plain_terms(model, f_x, columns, text), rel=1e-4)
    assert terms[5] == pytest.approx(terms[:5] @ [1, 0.5, 0.5, 0.01, 2.0], rel=1e-5)


def gradients(**params):
    model = fitted(**params)
    f_x, y, _ = problem()
    text = model._text["f_y"][list(SEEN)]
    loss = model.terms(torch.from_numpy(f_x), torch.from_numpy(np.searchsorted(SEEN, y)), text)[-1]
    model._net.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model._net.named_parameters()}


def test_the_released_contraction_changes_no_gradient_and_the_papers_does():
    start = dict(learning_rate=1e-12)  # the same weights, whatever the term
    for kind, same in (("summed_rows", True), ("jacobian", False)):
        none, some = (gradients(contraction=kind, contraction_weight=w, **start) for w in (0, 1.0))
        assert torch.equal(none["encoder_x.weight"], some["encoder_x.weight"]) is same


def test_without_class_gradient_skeletons_learn_as_before_and_texts_otherwise():
    start = dict(learning_rate=1e-12, mmd_weight=0.0)
    with_, without = (gradients(class_gradient=g, **start) for g in (True, False))
    torch.testing.assert_close(with_["head_x.weight"], without["head_x.weight"])
    assert not torch.allclose(with_["head_y.weight"], without["head_y.weight"])


def test_log_f_x():
    f_x, y, f_y = problem()
    logged = fitted(log_f_x=True).fit_unseen_classifier(UNSEEN)
    plain = ReViSE(**TINY).fit(np.log1p(f_x), y, f_y, seen_classes=SEEN)
    plain.fit_unseen_classifier(UNSEEN)
    np.testing.assert_array_equal(logged.predict_proba(f_x), plain.predict_proba(np.log1p(f_x)))
    f_x[3, 2] = -1
    with pytest.raises(BadInput, match="f_x row 3 has a value of -1 or less"):
        logged.predict_proba(f_x)


def test_weight_decay_is_that_of_the_text_alone():
    model = fitted()
    named = dict(model._net.named_parameters())
    text, skeleton = model._net.of_text(), model._net.of_skeleton()
    assert len(text) + len(skeleton) == len(named)
    assert {id(p) for p in text} == {id(p) for name, p in named.items() if "_y" in name}
    plain, decayed = fitted(learning_rate=0.01), fitted(learning_rate=0.01, text_weight_decay=10.0)
    norm = {m: m._net.head_y.weight.norm().item() for m in (plain, decayed)}
    assert norm[decayed] < norm[plain]


def test_the_temperature_sharpens_the_softmax_alone():
    f_x, _, _ = problem()
    one, half = (fitted(temperature=t).fit_unseen_classifier(UNSEEN) for t in (1.0, 0.5))
    assert one.history == half.history
    squared = one.predict_proba(f_x) ** 2
    np.testing.assert_allclose(
        half.predict_proba(f_x), squared / squared.sum(axis=1, keepdims=True), rtol=1e-5)


def test_kappa_has_to_be_positive():
    with pytest.raises(BadConfig, match="mmd_kappa has to be above 0"):
        ReViSE(mmd_kappa=0)
