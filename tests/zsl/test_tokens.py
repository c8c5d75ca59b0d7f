"""TDSM and Flora on tokens: what they are given, what padding may not do, and what they learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_methods import small
from transferable import Transferable, make

from zskel.data.caches import TextFeatures
from zskel.data.common.errors import BadInput
from zskel.zsl.cache_checks import text_of
from zskel.zsl.methods import METHODS
from zskel.zsl.methods.base import ZeroShotMethod
from zskel.zsl.methods.checks import unit_rows
from zskel.zsl.methods.flora import with_neighbours

READERS = [name for name in METHODS.names() if METHODS.get(name).reads_tokens]
LEARNING = {"flora": dict(width=32, epochs=30, learning_rate=3e-3),
            "tdsm": dict(width=32, depth=1, epochs=20, learning_rate=5e-3)}
SMALL = make(7, verbs=3, nouns=3, clips=6, f_x_dim=8, text_dim=5)
every_reader = pytest.mark.parametrize("name", READERS)


def sentence(problem: Transferable, length: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    """A verb, a noun and up to two words that mean nothing; f_y says the verb alone."""
    rng = np.random.default_rng(seed)
    tokens = rng.normal(size=(len(problem.f_y), length, problem.f_y.shape[1]))
    tokens[:, 0], tokens[:, 1] = problem.parts["verb"], problem.parts["noun"]
    words = rng.integers(2, 5, size=len(tokens))
    tokens *= (np.arange(length) < words[:, None])[..., None]
    return {"f_y": problem.parts["verb"], "tokens": tokens.astype(np.float32)}


def fit(model: ZeroShotMethod, problem: Transferable, text: dict[str, np.ndarray]):
    model.fit(problem.f_x, problem.y, text, seen_classes=problem.seen)
    return model.fit_unseen_classifier(problem.unseen)


def test_tdsm_and_flora_read_tokens() -> None:
    assert {"tdsm", "flora"} <= set(READERS)


@every_reader
def test_tokens_that_the_cache_has_are_given_to_those_that_read_them(name: str) -> None:
    text = sentence(SMALL)
    cache = TextFeatures(
        f_y=text["f_y"], text=np.array(list("abcdefghi")), class_names=tuple("abcdefghi"),
        encoder="drawn", encoder_revision="1", text_source="label",
        token_features=text["tokens"].astype(np.float16), token_mask=text["tokens"].any(axis=2))
    assert set(text_of(METHODS.get(name), cache)) == {"f_y", "tokens"}
    assert text_of(METHODS.get("ridge"), cache) is cache.f_y


@every_reader
def test_learns_what_only_the_tokens_say(name: str) -> None:
    right: list[bool] = []
    for seed in range(3):
        problem = make(seed, clips=10)
        text = sentence(problem, length=4)
        text = {**text, "f_y": np.ones_like(text["f_y"])}
        model = fit(METHODS.build(name, **LEARNING[name]), problem, text)
        f_x, y = problem.unseen_test
        right += (model.unseen_classes[model.predict_proba(f_x).argmax(axis=1)] == y).tolist()
    chance = problem.chance
    assert np.mean(right) > chance + 3 * np.sqrt(chance * (1 - chance) / len(right))


@every_reader
def test_a_class_does_not_depend_on_how_long_other_texts_are(name: str) -> None:
    text = sentence(SMALL)
    model = fit(small(name), SMALL, text)
    alone = model.fit_unseen_classifier(SMALL.unseen).predict_joint_proba(SMALL.test_f_x)
    # A label that fills all places is an answer, too: all others keep their proportions.
    long = np.random.default_rng(5).normal(size=(1, *text["tokens"].shape[1:]))
    (new,) = model.add_classes({"f_y": text["f_y"][:1], "tokens": long})
    model.fit_unseen_classifier([*SMALL.unseen, new])
    beside = model.predict_joint_proba(SMALL.test_f_x)[:, :-1]
    np.testing.assert_allclose(beside / beside.sum(axis=1, keepdims=True), alone,
                               rtol=1e-4, atol=1e-7)


@every_reader
def test_more_padding_changes_no_prediction(name: str) -> None:
    text = sentence(SMALL)
    shorter = {**text, "tokens": text["tokens"][:, :5]}
    assert not text["tokens"][:, 4:].any()
    model = fit(small(name), SMALL, text)
    state = model.state()
    kept = dict(state.arrays)
    kept["text.tokens"] = kept["text.tokens"][:, :5]
    assert kept["text.tokens"].shape == shorter["tokens"].shape
    for array in ("net.position", "net.noises"):
        if array in kept and kept[array].shape[-2] == 6:
            kept[array] = kept[array][..., :5, :]
    other = small(name)
    other.restore(type(state)(kept, state.values))
    np.testing.assert_array_equal(
        other.predict_proba(SMALL.test_f_x), model.predict_proba(SMALL.test_f_x))


@every_reader
def test_repeats_itself_and_comes_back_from_a_file(name: str, tmp_path: Path) -> None:
    text = sentence(SMALL)
    one, two = (fit(small(name, seed=3), SMALL, text) for _ in range(2))
    wanted = one.predict_joint_proba(SMALL.test_f_x)
    np.testing.assert_array_equal(two.predict_joint_proba(SMALL.test_f_x), wanted)
    assert one.history == two.history
    assert not np.array_equal(
        fit(small(name, seed=3), SMALL, text["f_y"]).predict_joint_proba(SMALL.test_f_x), wanted)
    loaded = type(one).load(one.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict_joint_proba(SMALL.test_f_x), wanted)


@every_reader
def test_typed_labels_bring_tokens_of_the_same_shape(name: str) -> None:
    text = sentence(SMALL)
    model = fit(small(name), SMALL, text)
    wanted = model.predict_proba(SMALL.test_f_x)
    rows = list(SMALL.unseen)
    new = model.add_classes({part: values[rows] for part, values in text.items()})
    model.fit_unseen_classifier(new)
    np.testing.assert_array_equal(model.predict_proba(SMALL.test_f_x), wanted)
    with pytest.raises(BadInput, match="expected 'f_y', 'tokens'"):
        model.add_classes(text["f_y"])
    with pytest.raises(BadInput, match=r"tokens has shape \[9, 4, 5\], expected \[9, 6, 5\]"):
        model.add_classes({**text, "tokens": text["tokens"][:, :4]})
    with pytest.raises(BadInput, match="f_y"):
        fit(small(name), SMALL, text["f_y"]).add_classes(text)


@every_reader
def test_tokens_that_are_none_are_refused(name: str) -> None:
    text = sentence(SMALL)
    tokens = text["tokens"].copy()
    tokens[4] = 0
    for wrong, message in ((tokens, "tokens of class 4 are all zeros"),
                           (tokens[:3], r"expected \[9, L, D\]"),
                           (np.full_like(tokens, np.nan), "non-finite")):
        with pytest.raises(BadInput, match=message):
            fit(small(name), SMALL, {**text, "tokens": wrong})


def test_neighbours_of_tokens_are_found_by_their_means_and_leave_padding_alone() -> None:
    tokens = sentence(make(1, verbs=2, nouns=3, clips=1))["tokens"]
    norms = np.linalg.norm(tokens, axis=2, keepdims=True)
    tokens = tokens / np.where(norms, norms, 1)
    means = unit_rows(tokens.sum(axis=1))
    cosine = means @ means[:4].T
    expected = tokens.copy()
    for c in range(6):
        order = [k for k in np.argsort(-cosine[c]) if k != c][:2]
        for k in order:
            expected[c] += 0.25 * cosine[c, k] * tokens[k] * tokens[c].any(axis=1)[:, None]
    found = with_neighbours(torch.from_numpy(tokens), torch.from_numpy(tokens[:4]),
                            torch.arange(6)[:, None] == torch.arange(4), 2, 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
