"""What ReViSE, JPoSE and SMIE have in common: a score of clip and class text."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from transferable import make

from zskel.data.common.errors import BadConfig, BadInput
from zskel.zsl.methods import METHODS
from zskel.zsl.methods.jpose import JPoSE
from zskel.zsl.methods.revise import ReViSE
from zskel.zsl.methods.smie import SMIE

# Sizes and learning rates at which a fit takes some tenths of a second.
QUICK = {
    ReViSE: dict(code_dim=40, text_hidden_dim=64, epochs=20, learning_rate=3e-3),
    JPoSE: dict(embedding_dim=32, text_hidden_dim=64, epochs=10, learning_rate=5e-3),
    SMIE: dict(hidden_dims=(128, 64), epochs=20, learning_rate=3e-3),
}
TINY = {
    ReViSE: dict(code_dim=7, text_hidden_dim=9, embedding_dim=5, epochs=2, batch_size=16),
    JPoSE: dict(embedding_dim=5, text_hidden_dim=9, epochs=2, batch_size=16),
    SMIE: dict(hidden_dims=(9, 7), epochs=2, batch_size=16),
}
RECIPES = ("paper", "released")
every_method = pytest.mark.parametrize("cls", list(QUICK), ids=lambda cls: cls.name)
SMALL = make(7, verbs=3, nouns=3, clips=6, f_x_dim=8, text_dim=5)


def texts(cls, problem):
    return problem.parts if cls.text_parts else problem.f_y


def fitted(cls, problem=SMALL, unseen=True, masked=False, **params):
    extra = {"f_x_masked": problem.f_x_masked} if masked else {}
    model = cls(**{**TINY[cls], **params}).fit(
        problem.f_x, problem.y, texts(cls, problem), seen_classes=problem.seen, **extra)
    return model.fit_unseen_classifier(problem.unseen) if unseen else model


@every_method
@pytest.mark.parametrize("recipe", RECIPES)
def test_learns_what_carries_over_to_unseen_classes(cls, recipe):
    found = []
    for seed in range(3):
        problem = make(seed, clips=10)
        model = fitted(cls, problem, recipe=recipe, seed=seed, **QUICK[cls])
        f_x, y = problem.unseen_test
        found.append(np.mean(model.unseen_classes[model.predict_proba(f_x).argmax(axis=1)] == y))
    assert min(found) > 1.8 * problem.chance and np.mean(found) > 3 * problem.chance, found


@every_method
def test_the_joint_classifier_knows_seen_classes_and_some_unseen_clips(cls):
    problem = make(0, clips=10)
    model = fitted(cls, problem, **QUICK[cls])
    classes = np.concatenate([model.seen_classes, model.unseen_classes])
    proba = model.predict_joint_proba(problem.test_f_x)
    assert proba.shape == (len(problem.test_y), 25)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    right = classes[proba.argmax(axis=1)] == problem.test_y
    unseen = np.isin(problem.test_y, problem.unseen)
    assert right[~unseen].mean() > 8 / 25 and right[unseen].mean() > 2 / 25


@every_method
def test_both_classifiers_are_softmaxes_of_one_score(cls):
    model = fitted(cls)
    f_x, seen = SMALL.test_f_x, len(SMALL.seen)
    joint = np.log(model.predict_joint_proba(f_x))
    np.testing.assert_allclose(model.predict_proba(f_x), softmax(joint[:, seen:], axis=1), 1e-5)
    margin = joint[:, :seen].max(axis=1) - joint[:, seen:].max(axis=1)
    np.testing.assert_allclose(
        model.evidence(f_x)["seen_margin"], margin, rtol=1e-3, atol=1e-4)


@every_method
@pytest.mark.parametrize("recipe", RECIPES)
def test_saved_and_read_back_it_is_the_same_to_the_bit(cls, recipe, tmp_path):
    model = fitted(cls, recipe=recipe)
    again = cls.load(model.save(tmp_path / "model"))
    assert again.params == model.params and again.history == model.history
    f_x = SMALL.test_f_x
    for name in ("predict_proba", "predict_joint_proba"):
        np.testing.assert_array_equal(getattr(model, name)(f_x), getattr(again, name)(f_x))
    np.testing.assert_array_equal(model.transform(f_x).z_r, again.transform(f_x).z_r)
    again.fit_unseen_classifier(SMALL.unseen[:2])
    assert again.predict_proba(f_x).shape[1] == 2


@every_method
def test_saved_before_unseen_classes_are_known(cls, tmp_path):
    model = fitted(cls, unseen=False)
    again = cls.load(model.save(tmp_path / "model"))
    with pytest.raises(BadInput, match="call fit_unseen_classifier before predict_proba"):
        again.predict_proba(SMALL.test_f_x)
    again.fit_unseen_classifier(SMALL.unseen)
    model.fit_unseen_classifier(SMALL.unseen)
    f_x = SMALL.test_f_x
    np.testing.assert_array_equal(model.predict_proba(f_x), again.predict_proba(f_x))


@every_method
def test_a_second_fit_forgets_the_unseen_classes(cls):
    model = fitted(cls)
    model.fit(SMALL.f_x, SMALL.y, texts(cls, SMALL), seen_classes=SMALL.seen)
    with pytest.raises(BadInput, match="call fit_unseen_classifier before"):
        model.predict_proba(SMALL.test_f_x)


@every_method
@pytest.mark.parametrize("recipe", RECIPES)
def test_same_seed_is_equal_to_the_bit_and_another_is_not(cls, recipe):
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    masked = "f_x_masked" in cls.extra_features
    first = fitted(cls, recipe=recipe, seed=3, masked=masked)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    torch.manual_seed(99)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    second = fitted(cls, recipe=recipe, seed=3, masked=masked)
    torch.set_num_threads(threads)
    other = fitted(cls, recipe=recipe, seed=4, masked=masked)
    f_x = SMALL.test_f_x
    assert first.history == second.history != other.history
    np.testing.assert_array_equal(first.predict_proba(f_x), second.predict_proba(f_x))
    assert not np.array_equal(first.predict_proba(f_x), other.predict_proba(f_x))


@every_method
def test_texts_of_other_classes_do_not_touch_training(cls):
    parts = {name: part.copy() for name, part in SMALL.parts.items()}
    f_y = SMALL.f_y.copy()
    for text in (f_y, *parts.values()):
        text[list(SMALL.unseen)] = 5.0
    changed = parts if cls.text_parts else f_y
    one = fitted(cls)
    two = cls(**TINY[cls]).fit(SMALL.f_x, SMALL.y, changed, seen_classes=SMALL.seen)
    assert one.history == two.history


@every_method
def test_the_order_of_unseen_classes_does_not_matter(cls):
    model, f_x = fitted(cls), SMALL.test_f_x
    once = model.predict_proba(f_x)
    model.fit_unseen_classifier(SMALL.unseen[::-1])
    assert model.unseen_classes.tolist() == sorted(SMALL.unseen)
    np.testing.assert_array_equal(once, model.predict_proba(f_x))


@every_method
def test_progress_and_epochs_are_told(cls):
    model, calls, epochs = cls(**TINY[cls]), [], []
    total = model.steps(len(SMALL.f_x))
    assert total == 2 * -(-len(SMALL.f_x) // 16)

    def look(epoch):
        epochs.append(epoch)
        model.fit_unseen_classifier(SMALL.unseen)
        assert np.isfinite(model.predict_proba(SMALL.test_f_x)).all()

    model.fit(SMALL.f_x, SMALL.y, texts(cls, SMALL), seen_classes=SMALL.seen,
              on_progress=lambda *call: calls.append(call), on_epoch=look)
    assert calls[-1] == (total, total) and epochs == [0, 1]
    assert all(len(values) == 2 for values in model.history.values())


@every_method
def test_latents_are_the_aligned_part_alone(cls):
    latents = fitted(cls).transform(SMALL.test_f_x)
    assert latents.z_v.shape == (len(SMALL.test_f_x), 0) and latents.z_r.dtype == np.float32


@every_method
def test_misuse_is_refused_in_one_line(cls):
    with pytest.raises(BadInput, match="call fit first"):
        cls().transform(SMALL.f_x)
    with pytest.raises(BadInput, match="call fit first"):
        cls().fit_unseen_classifier(SMALL.unseen)
    with pytest.raises(BadInput, match="call fit first"):
        cls().state()
    model = fitted(cls, unseen=False)
    for name in ("predict_proba", "predict_joint_proba", "evidence"):
        with pytest.raises(BadInput, match=f"call fit_unseen_classifier before {name}"):
            getattr(model, name)(SMALL.f_x)
    with pytest.raises(BadInput, match="was seen in training"):
        model.fit_unseen_classifier(SMALL.seen[:1])
    with pytest.raises(BadInput, match="7 columns, fit was given 8"):
        model.transform(SMALL.f_x[:, :7])
    bad = SMALL.f_x.copy()
    bad[3, 0] = np.nan
    with pytest.raises(BadInput, match="f_x row 3 holds non-finite"):
        cls(**TINY[cls]).fit(bad, SMALL.y, texts(cls, SMALL), seen_classes=SMALL.seen)
    with pytest.raises(BadInput, match="f_y"):
        wrong = SMALL.f_y if cls.text_parts else SMALL.parts
        cls(**TINY[cls]).fit(SMALL.f_x, SMALL.y, wrong, seen_classes=SMALL.seen)


@every_method
@pytest.mark.parametrize(("params", "message"), [
    ({"epochs": 0}, "epochs"), ({"learning_rate": float("nan")}, "learning_rate"),
    ({"recipe": "original"}, "recipe"), ({"epoch": 3}, "epoch"), ({"seed": -1}, "seed"),
])
def test_bad_parameters_are_refused_by_name(cls, params, message):
    with pytest.raises(BadConfig, match=f"{cls.name}: {message}") as caught:
        cls(**params)
    assert "\n" not in str(caught.value)


@every_method
def test_the_recipe_only_sets_defaults(cls):
    defaults, released = cls().params, cls(recipe="released").params
    assert cls(recipe="paper").params == defaults
    for name, value in cls.params_model.released.items():
        assert getattr(released, name) == value != getattr(defaults, name), name
        for recipe in ("paper", "released"):
            for given in (value, getattr(defaults, name)):
                assert getattr(cls(recipe=recipe, **{name: given}).params, name) == given


@every_method
def test_registry(cls):
    assert METHODS.get(cls.name) is cls
