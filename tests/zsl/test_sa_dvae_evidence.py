"""Beyond C_u: the softmax over all classes, evidence for a gate, and the epoch hook."""

from __future__ import annotations

import numpy as np
import pytest

from zskel.data.common.errors import BadInput
from zskel.zsl.methods.sa_dvae import SADVAE

SEEN, UNSEEN, N, D, R, V = (0, 1, 3, 4, 6, 7, 8, 9), (2, 5), 240, 12, 4, 2
OPTIONS = dict(z_r_dim=R, z_v_dim=V, epochs=20, batch_size=16, learning_rate=8e-3,
               classifier_samples=50, classifier_epochs=50, joint_samples=40)


def problem():
    """Clips of all classes, those of the unseen ones last."""
    rng = np.random.default_rng(0)
    f_y = rng.normal(size=(10, R)).astype(np.float32)
    f_y /= np.linalg.norm(f_y, axis=1, keepdims=True)
    y = np.concatenate([np.asarray(SEEN)[np.arange(N) % 8], np.asarray(UNSEEN)[np.arange(40) % 2]])
    f_x = f_y[y] @ rng.normal(size=(R, D)) + 0.2 * rng.normal(size=(len(y), D))
    return f_x.astype(np.float32), y, f_y


@pytest.fixture(scope="module")
def model():
    f_x, y, f_y = problem()
    fitted = SADVAE(**OPTIONS).fit(f_x[:N], y[:N], f_y, seen_classes=SEEN)
    return fitted.fit_unseen_classifier(UNSEEN)


def test_joint_probabilities_know_seen_and_unseen_classes(model):
    f_x, y, _ = problem()
    proba = model.predict_joint_proba(f_x)
    assert proba.shape == (len(y), 10)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    columns = np.array([*model.seen_classes, *model.unseen_classes])
    predicted = columns[proba.argmax(axis=1)]
    assert np.mean(predicted[:N] == y[:N]) > 0.8
    # A fifth of the columns are unseen: a fifth of the clips would be by chance.
    called_unseen = np.isin(predicted, UNSEEN)
    assert called_unseen[N:].mean() > 0.5 and called_unseen[:N].mean() < 0.1
    assert np.array_equal(proba, model.predict_joint_proba(f_x))


def test_joint_classifier_follows_the_unseen_classes(model):
    f_x, y, f_y = problem()
    other = SADVAE(**OPTIONS).fit(f_x[:N], y[:N], f_y, seen_classes=SEEN)
    with pytest.raises(BadInput, match="fit_unseen_classifier before predict_joint_proba"):
        other.predict_joint_proba(f_x)
    one = other.fit_unseen_classifier([5]).predict_joint_proba(f_x)
    two = other.fit_unseen_classifier(UNSEEN).predict_joint_proba(f_x)
    assert one.shape[1] == 9 and np.array_equal(two, model.predict_joint_proba(f_x))


def test_seen_draws_are_of_each_class_s_own_clips_and_balanced(model):
    f_x, y, _ = problem()
    draws = model.state().arrays["z_seen"].reshape(len(SEEN), OPTIONS["joint_samples"], R)
    means = model.transform(f_x).z_r
    of_classes = np.array([means[y == k].mean(axis=0) for k in SEEN])
    nearest = [np.linalg.norm(of_classes - own.mean(axis=0), axis=1).argmin() for own in draws]
    assert nearest == list(range(len(SEEN)))


def test_evidence_equals_numpy(model):
    f_x, _, f_y = problem()
    found = model.evidence(f_x)
    unit = f_y / np.linalg.norm(f_y, axis=1, keepdims=True)

    def linear(layer, x):
        return x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()

    vae = model._networks
    mean, lv = np.split(linear(vae.encoder_x.linear, f_x), 2, axis=1)
    mean_y, lv_y = np.split(linear(vae.encoder_y.linear, unit), 2, axis=1)
    mean_r, lv_r = mean[:, V:], lv[:, V:]

    def nearest(classes):
        return [min(sum((mean_r[i] - mean_y[c]) ** 2 / (np.exp(lv_r[i]) + np.exp(lv_y[c])))
                    for c in classes) for i in range(len(f_x))]

    def kl(mean, lv):
        return (-0.5 * (1 + lv - mean**2 - np.exp(lv))).sum(axis=1)

    expected = {
        "reconstruction_error": ((linear(vae.decoder_x, mean) - f_x) ** 2).sum(axis=1),
        "distance_seen": nearest(SEEN), "distance_unseen": nearest(UNSEEN),
        "kl_r": kl(mean_r, lv_r), "kl_v": kl(mean[:, :V], lv[:, :V]),
        "norm_r": (mean_r**2).sum(axis=1),
    }
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == np.float64
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-4, err_msg=name)


def test_evidence_tells_unseen_clips_from_seen_ones(model):
    f_x, _, _ = problem()
    found = model.evidence(f_x)
    margin = found["distance_seen"] - found["distance_unseen"]
    assert np.mean(margin[N:, None] > margin[None, :N]) > 0.8  # area under the ROC curve


def test_naive_has_no_evidence_of_z_v():
    f_x, y, f_y = problem()
    naive = SADVAE(**{**OPTIONS, "epochs": 1}, variant="naive")
    naive.fit(f_x[:N], y[:N], f_y, seen_classes=SEEN)
    with pytest.raises(BadInput, match="fit_unseen_classifier before evidence"):
        naive.evidence(f_x)
    assert "kl_v" not in naive.fit_unseen_classifier(UNSEEN).evidence(f_x)


def test_the_hook_sees_the_method_after_each_epoch_and_changes_nothing():
    f_x, y, f_y = problem()
    options = {**OPTIONS, "epochs": 3}
    plain = SADVAE(**options).fit(f_x[:N], y[:N], f_y, seen_classes=SEEN)
    hooked, seen, states = SADVAE(**options), [], []

    def hook(epoch):
        hooked.fit_unseen_classifier(UNSEEN)
        seen.append((epoch, len(hooked.history["loss"]), hooked.predict_proba(f_x),
                     hooked.predict_joint_proba(f_x)))
        states.append(hooked.state())

    hooked.fit(f_x[:N], y[:N], f_y, seen_classes=SEEN, on_epoch=hook)
    assert [(epoch, epochs) for epoch, epochs, *_ in seen] == [(0, 1), (1, 2), (2, 3)]
    assert hooked.history == plain.history
    assert np.array_equal(hooked.transform(f_x).z_r, plain.transform(f_x).z_r)
    with pytest.raises(BadInput, match="fit_unseen_classifier before"):
        hooked.predict_proba(f_x)

    # Any epoch can be gone back to, with the unseen classifier of that epoch.
    hooked.restore(states[1])
    assert np.array_equal(hooked.predict_proba(f_x), seen[1][2])
    assert np.array_equal(hooked.predict_joint_proba(f_x), seen[1][3])
    assert not np.array_equal(seen[1][2], seen[2][2])


def test_a_failed_fit_leaves_an_unfitted_method(model):
    f_x, y, f_y = problem()
    again = SADVAE(**OPTIONS).fit(f_x[:N], y[:N], f_y, seen_classes=SEEN)
    again.fit_unseen_classifier(UNSEEN)
    with pytest.raises(BadInput, match="non-finite in epoch 1"):
        again.fit(f_x[:N] * 1e25, y[:N], f_y, seen_classes=SEEN)
    with pytest.raises(BadInput, match="call fit first"):
        again.predict_proba(f_x)
