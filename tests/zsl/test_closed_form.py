"""Ridge, ESZSL, ConSE and text prototypes: their closed forms, their choices, and saving."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from transferable import make

from zskel.data.common.errors import BadConfig, BadInput
from zskel.zsl.methods import METHODS
from zskel.zsl.methods.class_folds import best_temperature, class_folds
from zskel.zsl.methods.conse import ConSE
from zskel.zsl.methods.eszsl import ESZSL
from zskel.zsl.methods.ridge import Ridge
from zskel.zsl.methods.text_prototypes import TextPrototypes, kriging

CLASSES = [Ridge, ESZSL, ConSE, TextPrototypes]
each = pytest.mark.parametrize("method", CLASSES, ids=lambda method: method.name)
SEEN, UNSEEN = (0, 1, 3, 4, 6), (2, 5)


#: Fewer and more than the 41 clips of the problem, of which the latter are turned first.
widths = pytest.mark.parametrize("width", [6, 60])


def problem(seed=0, width=6):
    """Seven classes of unequal size."""
    rng = np.random.default_rng(seed)
    f_y = rng.normal(size=(7, 4)).astype(np.float32)
    y = np.repeat(SEEN, [5, 9, 12, 7, 8])
    f_x = f_y[y] @ rng.normal(size=(4, width)) + 0.5 * rng.normal(size=(len(y), width)) + 3
    return f_x.astype(np.float32), y, f_y


def fitted(method, width=6, **params):
    f_x, y, f_y = problem(width=width)
    model = method(**params).fit(f_x, y, f_y, seen_classes=SEEN)
    return model.fit_unseen_classifier(UNSEEN)


def standardized(f_x, clips=None):
    """Those clips as f_x is, which they are unless given."""
    mean = f_x.astype(float).mean(axis=0)
    scale = np.sqrt(np.mean(((f_x - mean)**2).sum(axis=1)))
    return ((f_x if clips is None else clips).astype(float) - mean) / scale


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cosine(a, b):
    return unit(a) @ unit(b).T


@each
@pytest.mark.parametrize("seed", range(3))
def test_learns_what_carries_over(method, seed):
    p = make(seed)
    model = method(seed=seed).fit(p.f_x, p.y, p.f_y, seen_classes=p.seen)
    model.fit_unseen_classifier(p.unseen)
    f_x, y = p.unseen_test
    found = model.unseen_classes[model.predict_proba(f_x).argmax(axis=1)]
    assert np.mean(found == y) > 3 * p.chance
    classes = np.concatenate([model.seen_classes, model.unseen_classes])
    joint = classes[model.predict_joint_proba(p.test_f_x).argmax(axis=1)]
    assert np.mean(joint == p.test_y) > 10 / len(classes)


@widths
def test_ridge_solves_its_normal_equations(width):
    f_x, y, f_y = problem(width=width)
    model = fitted(Ridge, width, penalty=0.3, temperature=0.2)
    # Bias as a column of ones that is not penalized, without centring anything.
    x, t = standardized(f_x), unit(f_y.astype(float))
    extended = np.hstack([x, np.ones((len(x), 1))])
    penalty = 0.3 * np.diag([1.0] * width + [0.0])
    weights = np.linalg.solve(
        extended.T @ extended / len(x) + penalty, extended.T @ t[y] / len(x)
    )
    embedded = extended @ weights
    np.testing.assert_allclose(model.transform(f_x).z_r, embedded, rtol=1e-4, atol=1e-6)
    expected = softmax(cosine(embedded, t[list(UNSEEN)]) / 0.2, axis=1)
    np.testing.assert_allclose(model.predict_proba(f_x), expected, rtol=1e-8)


@widths
def test_eszsl_is_the_formula_of_its_paper(width):
    f_x, y, f_y = problem(width=width)
    model = fitted(ESZSL, width, gamma=2.0, lambda_=0.5, temperature=0.7)
    x, s = standardized(f_x).T, unit(f_y.astype(float)).T
    s_seen = s[:, list(SEEN)]
    labels = np.where(y[:, None] == np.array(SEEN), 1.0, -1.0)
    v = (np.linalg.inv(x @ x.T + 2.0 * np.eye(width)) @ x @ labels @ s_seen.T
         @ np.linalg.inv(s_seen @ s_seen.T + 0.5 * np.eye(4)))
    scores = x.T @ v @ s[:, [*SEEN, *UNSEEN]]
    np.testing.assert_allclose(
        model.predict_joint_proba(f_x), softmax(scores / 0.7, axis=1), rtol=1e-7
    )


@widths
def test_conse_is_the_convex_combination_of_the_most_probable(width):
    f_x, y, f_y = problem(width=width)
    model = fitted(ConSE, width, top=2, sharpness=4.0, temperature=0.3)
    x, t = standardized(f_x), unit(f_y.astype(float))
    centre = t[list(SEEN)].mean(axis=0)
    means = np.array([x[y == c].mean(axis=0) for c in SEEN])
    embedded = []
    for row in x:
        p = np.exp(-4.0 * ((row - means) ** 2).sum(axis=1))
        first, second = np.argsort(-p)[:2]
        embedded.append((p[first] * t[SEEN[first]] + p[second] * t[SEEN[second]])
                        / (p[first] + p[second]) - centre)
    expected = softmax(cosine(np.array(embedded), t[list(UNSEEN)] - centre) / 0.3, axis=1)
    np.testing.assert_allclose(model.predict_proba(f_x), expected, rtol=1e-7)


@widths
def test_text_prototypes_step_by_step(width):
    f_x, y, f_y = problem(width=width)
    model = fitted(TextPrototypes, width, temperature=0.2)
    clips = f_x + np.random.default_rng(7).normal(size=f_x.shape).astype(np.float32)
    rows, t = unit(f_x.astype(float)), unit(f_y.astype(float))
    x, new = standardized(rows), standardized(rows, unit(clips.astype(float)))
    centre = t[list(SEEN)].mean(axis=0)
    t = unit(t - centre)

    def kernel(a, b):
        return np.array([[np.exp(-np.sum((p - q) ** 2)) for q in b] for p in a])

    def predict(known, places, wanted):
        inverse = np.linalg.inv(kernel(known, known) + 0.5 * np.eye(len(known)))
        mean = (inverse @ places).sum(axis=0) / inverse.sum()
        return mean + kernel(wanted, known) @ inverse @ (places - mean)

    means = np.array([x[y == c].mean(axis=0) for c in SEEN])
    within, errors = np.zeros((width, width)), np.zeros((width, width))
    for k, c in enumerate(SEEN):
        rows = x[y == c] - means[k]
        within += rows.T @ rows / len(rows)
        others = [j for j in range(len(SEEN)) if j != k]
        error = means[k] - predict(t[[SEEN[j] for j in others]], means[others], t[[c]])[0]
        errors += np.outer(error, error)
    covariance = 0.75 * within / np.trace(within) + 0.25 * errors / np.trace(errors)
    covariance = 0.9 * covariance + 0.1 * np.trace(covariance) / width * np.eye(width)
    values, vectors = np.linalg.eigh(covariance)

    def whitened(rows):
        return unit((rows - means.mean(axis=0)) @ (vectors * values**-0.4))

    z, places = whitened(new), whitened(means)
    weights = softmax(10 * z @ places.T, axis=1)
    z = 0.5 * z + 0.5 * unit(weights @ places)
    prototypes = np.concatenate(
        [places, whitened(predict(t[list(SEEN)], means, t[list(UNSEEN)]))])
    expected = softmax(cosine(z, prototypes) / 0.2, axis=1)
    np.testing.assert_allclose(model.predict_joint_proba(clips), expected, rtol=1e-6)


def test_leaving_out_in_closed_form_is_leaving_out():
    rng = np.random.default_rng(0)
    places, values = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
    kernel = np.exp(-((places[:, None] - places) ** 2).sum(axis=2))
    errors = kriging(kernel, values, 0.3)[2]
    for k in range(9):
        rest = np.arange(9) != k
        mean, weights, _ = kriging(kernel[np.ix_(rest, rest)], values[rest], 0.3)
        np.testing.assert_allclose(errors[k], values[k] - mean - kernel[k, rest] @ weights)


def test_text_prototypes_of_one_clip_do_not_depend_on_the_others():
    f_x, _, _ = problem()
    model = fitted(TextPrototypes)
    whole = model.predict_joint_proba(f_x)
    np.testing.assert_allclose(model.predict_joint_proba(f_x[3:4]), whole[3:4], rtol=1e-10)


def test_typed_labels_get_prototypes():
    f_x, y, f_y = problem()
    short = TextPrototypes(temperature=0.2).fit(f_x, y, f_y[:7], seen_classes=SEEN)
    added = short.add_classes(2 * f_y[[5]])
    assert added.tolist() == [7]
    np.testing.assert_allclose(
        short.fit_unseen_classifier([2, 7]).predict_proba(f_x),
        fitted(TextPrototypes, temperature=0.2).predict_proba(f_x), rtol=1e-5)


def test_penalty_and_temperature_are_the_best_over_left_out_classes():
    f_x, y, f_y = problem()
    model = fitted(Ridge, folds=2, seed=5)
    x, t = standardized(f_x), unit(f_y.astype(float))[list(SEEN)]
    columns = np.searchsorted(SEEN, y)
    folds = np.array_split(np.random.default_rng(5).permutation(5), 2)
    losses = {}
    for penalty in [10.0**k for k in range(-5, 2)]:
        held_out = []
        for fold in map(np.sort, folds):
            clips = np.isin(columns, fold)
            train, targets = x[~clips], t[columns[~clips]]
            mean, bias = train.mean(axis=0), targets.mean(axis=0)
            weight = np.linalg.solve(
                (train - mean).T @ (train - mean) / len(train) + penalty * np.eye(6),
                (train - mean).T @ (targets - bias) / len(train),
            )
            scores = cosine((x[clips] - mean) @ weight + bias, t[fold])
            held_out.append((scores, np.searchsorted(fold, columns[clips])))
        grid = np.exp(np.linspace(-6, 2, 800))
        true = [scores[np.arange(len(c)), c][:, None] for scores, c in held_out]
        losses[penalty] = min(
            (np.mean(np.concatenate([
                logsumexp((scores - right) / temperature, axis=1)
                for (scores, _), right in zip(held_out, true)
            ])), temperature)
            for temperature in grid
        )
    best = min(losses, key=losses.__getitem__)
    assert model.setting == (pytest.approx(best),)
    assert model.history["loss"][0] == pytest.approx(losses[best][0], rel=1e-3)
    assert model.temperature == pytest.approx(losses[best][1], rel=0.05)


def test_folds_are_a_division_into_at_least_two_classes_each():
    for classes in range(4, 30):
        folds = list(class_folds(classes, 5, seed=classes))
        assert sorted(np.concatenate(folds)) == list(range(classes))
        assert min(map(len, folds)) >= 2 and len(folds) >= 2
    assert list(class_folds(3, 5, seed=0)) == []


def test_a_given_temperature_is_kept_and_few_classes_need_none():
    scores = np.array([[2.0, 0.0], [1.0, 3.0]])
    temperature, loss = best_temperature([(scores, np.array([0, 0]))], fixed=2.0)
    assert temperature == 2.0
    assert loss == pytest.approx(np.mean([np.log(1 + np.exp(-1)), np.log(1 + np.exp(1))]))
    f_x, y, f_y = problem()
    rows = np.isin(y, (0, 1))
    model = Ridge().fit(f_x[rows], y[rows], f_y, seen_classes=(0, 1))
    assert model.temperature == 1.0 and model.fit_unseen_classifier([2]).predict_proba(f_x).all()


@each
def test_identical_clips_are_no_division_by_zero(method):
    _, y, f_y = problem()
    model = method().fit(np.ones((len(y), 6)), y, f_y, seen_classes=SEEN)
    assert np.isfinite(model.fit_unseen_classifier(UNSEEN).predict_proba(np.ones((2, 6)))).all()


@each
def test_probabilities_and_what_goes_with_them(method):
    f_x, _, _ = problem()
    model = fitted(method)
    proba, joint = model.predict_proba(f_x), model.predict_joint_proba(f_x)
    assert proba.shape == (len(f_x), 2) and joint.shape == (len(f_x), 7)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(joint.sum(axis=1), 1)
    # One scale: among the unseen columns the joint one says the same.
    np.testing.assert_allclose(joint[:, 5:] / joint[:, 5:].sum(axis=1, keepdims=True), proba)
    evidence = model.evidence(f_x)
    assert set(evidence) == {"score_seen", "score_unseen"}
    seen_wins = joint[:, :5].max(axis=1) > joint[:, 5:].max(axis=1)
    assert np.array_equal(evidence["score_seen"] > evidence["score_unseen"], seen_wins)
    latents = model.transform(f_x)
    width = 6 if method is TextPrototypes else 4
    assert latents.z_r.shape == (len(f_x), width) and latents.z_v.shape == (len(f_x), 0)
    assert latents.z_r.dtype == np.float32


@each
def test_scale_of_the_features_does_not_matter(method):
    f_x, y, f_y = problem()
    other = method().fit(8 * f_x, y, 4 * f_y, seen_classes=SEEN).fit_unseen_classifier(UNSEEN)
    np.testing.assert_allclose(
        fitted(method).predict_proba(f_x), other.predict_proba(8 * f_x), rtol=1e-6
    )


@each
@pytest.mark.parametrize("classifier", [True, False])
def test_saved_and_loaded_to_the_bit(method, classifier, tmp_path):
    f_x, y, f_y = problem()
    model = method(seed=3).fit(f_x, y, f_y, seen_classes=SEEN)
    if classifier:
        model.fit_unseen_classifier(UNSEEN)
    loaded = method.load(model.save(tmp_path / "model"))
    assert loaded.params == model.params and loaded.history == model.history
    assert (loaded.setting, loaded.temperature) == (model.setting, model.temperature)
    if not classifier:
        with pytest.raises(BadInput, match="call fit_unseen_classifier before predict_proba"):
            loaded.predict_proba(f_x)
        model.fit_unseen_classifier(UNSEEN)
        loaded.fit_unseen_classifier(UNSEEN)
    assert np.array_equal(loaded.predict_proba(f_x), model.predict_proba(f_x))
    assert np.array_equal(loaded.predict_joint_proba(f_x), model.predict_joint_proba(f_x))


@each
def test_progress_and_epochs_are_told_once(method):
    f_x, y, f_y = problem()
    calls, model = [], method()

    def look(epoch):
        proba = model.fit_unseen_classifier(UNSEEN).predict_proba(f_x)
        calls.append((epoch, proba.shape))

    model.fit(f_x, y, f_y, seen_classes=SEEN, on_progress=lambda *c: calls.append(c), on_epoch=look)
    assert calls == [(1, 1), (0, (len(f_x), 2))] and model.steps(1000) == 1
    with pytest.raises(BadInput, match="call fit_unseen_classifier"):
        model.predict_proba(f_x)


@each
def test_misuse_is_refused_in_one_line(method):
    f_x, y, f_y = problem()
    for call in (lambda m: m.transform(f_x), lambda m: m.fit_unseen_classifier(UNSEEN),
                 lambda m: m.predict_proba(f_x), lambda m: m.state()):
        with pytest.raises(BadInput, match=f"{method.name}: call fit first"):
            call(method())
    model = fitted(method)
    with pytest.raises(BadInput, match="class 3, which was seen"):
        model.fit_unseen_classifier([2, 3])
    with pytest.raises(BadInput, match="5 columns, fit was given 6"):
        model.predict_proba(f_x[:, :5])
    zero = f_y.copy()
    zero[2] = 0
    with pytest.raises(BadInput, match="f_y row 2 is all zeros"):
        method().fit(f_x, y, zero, seen_classes=SEEN)
    with pytest.raises(BadConfig, match=f"{method.name}: folds"):
        method(folds=1)
    with pytest.raises(BadConfig, match=f"{method.name}: fold = 3"):
        method(fold=3)
    assert METHODS.get(method.name) is method
