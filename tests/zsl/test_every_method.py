"""What every method of the registry does: learn, repeat itself, come back from a file, and more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_methods import small, texts_of
from transferable import Transferable, make

from zskel.zsl.methods import METHODS
from zskel.zsl.methods.base import RecipeParams, ZeroShotMethod

# Settings at which a method learns within a second; others learn with their defaults.
QUICK_CLASSIFIER = dict(classifier_samples=100, classifier_epochs=60, classifier_learning_rate=0.02)
QUICK_VAE = dict(QUICK_CLASSIFIER, epochs=20, learning_rate=1e-2, latent_dim=40)
LEARNING: dict[str, dict] = {
    "cada_vae": dict(QUICK_VAE, encoder_x_hidden=(64,), decoder_x_hidden=(64,),
                     encoder_y_hidden=(64,), decoder_y_hidden=(64,), learning_rate=3e-3),
    "flora": dict(width=32, epochs=30, learning_rate=3e-3),
    "fs_vae": QUICK_VAE,
    "infonce": dict(learning_rate=3e-3),
    "jpose": dict(embedding_dim=32, text_hidden_dim=64, epochs=10, learning_rate=5e-3),
    "msf": QUICK_VAE,
    "neuron": dict(epochs=6),
    "purls": dict(epochs=20),
    "revise": dict(code_dim=40, text_hidden_dim=64, epochs=20, learning_rate=3e-3),
    "sa_dvae": dict(QUICK_CLASSIFIER, z_r_dim=12, z_v_dim=4, epochs=20, learning_rate=5e-3),
    "smie": dict(hidden_dims=(128, 64), epochs=20, learning_rate=3e-3),
    "synse": QUICK_VAE,
    "tdsm": dict(width=32, depth=1, epochs=20, learning_rate=5e-3),
}
SMALL = make(7, verbs=3, nouns=3, clips=6, f_x_dim=8, text_dim=5)
PROBLEMS = [make(seed, clips=10) for seed in range(2)]
CASES = [(name, recipe) for name in METHODS.names()
         for recipe in (("paper", "released")
                        if issubclass(METHODS.get(name).params_model, RecipeParams) else ("",))]
every_method = pytest.mark.parametrize("name", METHODS.names())
every_recipe = pytest.mark.parametrize(("name", "recipe"), CASES)


def texts(model: ZeroShotMethod, problem: Transferable):
    return texts_of(model, problem.f_y, problem.parts)


def options_of(recipe: str) -> dict[str, str]:
    return {"recipe": recipe} if recipe else {}


def fit(model: ZeroShotMethod, problem: Transferable) -> ZeroShotMethod:
    model.fit(problem.f_x, problem.y, texts(model, problem), seen_classes=problem.seen)
    return model.fit_unseen_classifier(problem.unseen)


def answers(model: ZeroShotMethod, f_x: np.ndarray) -> dict[str, np.ndarray]:
    latents = model.transform(f_x)
    return {"unseen": model.predict_proba(f_x), "joint": model.predict_joint_proba(f_x),
            "z_r": latents.z_r, "z_v": latents.z_v, **model.evidence(f_x)}


def assert_equal(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> None:
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name], err_msg=name)


@every_recipe
def test_better_than_chance_by_three_standard_errors(name: str, recipe: str) -> None:
    right: list[bool] = []
    for seed, problem in enumerate(PROBLEMS):
        options = {**options_of(recipe), **LEARNING.get(name, {}), "seed": seed}
        model = fit(METHODS.build(name, **options), problem)
        f_x, y = problem.unseen_test
        right += (model.unseen_classes[model.predict_proba(f_x).argmax(axis=1)] == y).tolist()
    chance = PROBLEMS[0].chance
    assert np.mean(right) > chance + 3 * np.sqrt(chance * (1 - chance) / len(right))


@every_recipe
def test_shapes_and_probabilities(name: str, recipe: str) -> None:
    model = fit(small(name, **options_of(recipe)), SMALL)
    found, n = answers(model, SMALL.test_f_x), len(SMALL.test_f_x)
    seen, unseen = len(SMALL.seen), len(SMALL.unseen)
    assert found["unseen"].shape == (n, unseen) and found["joint"].shape == (n, seen + unseen)
    for side in ("unseen", "joint"):
        assert (found[side] >= 0).all()
        np.testing.assert_allclose(found[side].sum(axis=1), 1, rtol=1e-6)
    assert all(len(values) == n and np.isfinite(values).all() for values in found.values())
    assert model.seen_classes.tolist() == list(SMALL.seen)
    assert model.unseen_classes.tolist() == list(SMALL.unseen)
    if "epochs" in type(model.params).model_fields:
        assert all(len(values) == 2 for values in model.history.values())


@every_recipe
def test_the_same_seed_gives_the_same_bits_and_touches_no_global_state(
    name: str, recipe: str
) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    first = fit(small(name, **options_of(recipe), seed=3), SMALL)
    found = answers(first, SMALL.test_f_x)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    torch.manual_seed(99)
    second = fit(small(name, **options_of(recipe), seed=3), SMALL)
    assert first.history == second.history
    assert_equal(found, answers(second, SMALL.test_f_x))


@every_recipe
def test_saved_and_read_back_it_is_the_same_to_the_bit(
    name: str, recipe: str, tmp_path: Path
) -> None:
    model = fit(small(name, **options_of(recipe)), SMALL)
    again = type(model).load(model.save(tmp_path / "model"))
    assert again.params == model.params and again.history == model.history
    assert_equal(answers(model, SMALL.test_f_x), answers(again, SMALL.test_f_x))


@every_method
def test_novel_labels_are_chosen_among_like_classes_known_from_the_start(name: str) -> None:
    model = fit(small(name), SMALL)
    given, rows = texts(model, SMALL), list(SMALL.unseen)
    typed = ({part: f[rows] for part, f in given.items()} if isinstance(given, dict)
             else given[rows])
    expected = model.predict_proba(SMALL.test_f_x)
    classes = model.add_classes(typed)
    assert classes.tolist() == [9, 10, 11]
    model.fit_unseen_classifier(classes)
    np.testing.assert_allclose(model.predict_proba(SMALL.test_f_x), expected, rtol=1e-4, atol=1e-6)


@every_method
def test_texts_of_unseen_classes_do_not_touch_training(name: str) -> None:
    one, two = small(name), small(name)
    rows = list(SMALL.unseen)
    changed = {part: f.copy() for part, f in {"": SMALL.f_y, **SMALL.parts}.items()}
    for text in changed.values():
        text[rows] = text[rows][:, ::-1] + 1
    whole = changed.pop("")
    fit(one, SMALL)
    two.fit(SMALL.f_x, SMALL.y, texts_of(two, whole, changed), seen_classes=SMALL.seen)
    assert one.history == two.history
    np.testing.assert_array_equal(
        one.transform(SMALL.test_f_x).z_r, two.transform(SMALL.test_f_x).z_r)
