"""InfoNCE and PGFA's head: scores, losses and schedule against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from transferable import make

from zskel.data.common.soft_labels import soft_label_divergence
from zskel.zsl.methods.infonce import InfoNCE, contrast
from zskel.zsl.methods.pgfa_head import PGFAHead

SMALL = make(7, verbs=3, nouns=3, clips=6, f_x_dim=8, text_dim=5)
rng = np.random.default_rng(0)
SCORES, COLUMNS = rng.normal(size=(12, 4)), rng.integers(4, size=12)


def fitted(cls, **options):
    model = cls(**options).fit(SMALL.f_x, SMALL.y, SMALL.f_y, seen_classes=SMALL.seen)
    return model.fit_unseen_classifier(SMALL.unseen)


def test_contrast_equals_numpy():
    own = np.arange(12), COLUMNS
    expected = [-log_softmax(SCORES, axis=1)[own].mean(), -log_softmax(SCORES, axis=0)[own].mean()]
    found = contrast(torch.from_numpy(SCORES), torch.from_numpy(COLUMNS))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_soft_label_divergence_equals_numpy():
    pairs = SCORES[:, COLUMNS]
    target = softmax(10.0 * (COLUMNS[:, None] == COLUMNS), axis=1)
    sides = [np.sum(target * (np.log(target) - log_softmax(side, axis=1))) / 12
             for side in (pairs, pairs.T)]
    found = soft_label_divergence(torch.from_numpy(SCORES), torch.from_numpy(COLUMNS), 10.0)
    assert float(found) == pytest.approx(np.mean(sides), rel=1e-10)


@pytest.mark.parametrize(("cls", "options"), [
    (InfoNCE, dict(embedding_dim=6, hidden_dim=0, epochs=2)), (PGFAHead, dict(epochs=2))])
def test_scores_are_cosines_over_the_temperature(cls, options):
    model = fitted(cls, **options)
    f_y = SMALL.f_y[list(SMALL.unseen)] / np.linalg.norm(
        SMALL.f_y[list(SMALL.unseen)], axis=1, keepdims=True)
    if cls is InfoNCE:
        text = model._net.text
        f_y = f_y @ text.weight.detach().numpy().T + text.bias.detach().numpy()
    z = model.transform(SMALL.test_f_x).z_r
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-5)
    cosine = z @ (f_y / np.linalg.norm(f_y, axis=1, keepdims=True)).T
    expected = softmax(np.exp(model._net.log_scale.item()) * cosine, axis=1)
    np.testing.assert_allclose(model.predict_proba(SMALL.test_f_x), expected, rtol=1e-3)


def test_one_direction_alone_is_the_loss_where_it_is_asked_for():
    both = fitted(InfoNCE, epochs=3).history
    np.testing.assert_allclose(
        both["loss"], np.add(both["clip_to_text"], both["text_to_clip"]) / 2, rtol=1e-6)
    one = fitted(InfoNCE, epochs=3, symmetric=False).history
    assert one["loss"] == one["clip_to_text"]


def test_the_temperature_is_learned_but_not_in_the_released_recipe():
    start = -np.log(0.07)
    assert fitted(InfoNCE)._net.log_scale.item() != pytest.approx(start)
    assert fitted(PGFAHead)._net.log_scale.item() != pytest.approx(start)
    assert fitted(PGFAHead, recipe="released")._net.log_scale.item() == pytest.approx(start)


def test_no_score_is_multiplied_by_more_than_100():
    assert fitted(InfoNCE, temperature=1e-6, epochs=1)._scores(
        SMALL.test_f_x, np.asarray(SMALL.unseen)).abs().max() <= 100.001


def test_the_head_stays_in_the_first_epoch_of_its_warm_up():
    assert np.array_equal(*(fitted(PGFAHead, epochs=1, learning_rate=rate).transform(
        SMALL.f_x).z_r for rate in (0.05, 5.0)))
    assert not np.array_equal(*(fitted(PGFAHead, epochs=2, learning_rate=rate).transform(
        SMALL.f_x).z_r for rate in (0.05, 5.0)))
