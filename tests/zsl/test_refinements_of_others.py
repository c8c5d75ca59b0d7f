"""Prototype alignment and Skeleton-Cache, against plain loops, and what all refinements do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from tests.zsl.test_refinements import pool
from zskel.data.common.errors import BadInput
from zskel.zsl.gates.base import GateInput
from zskel.zsl.refinements import REFINEMENTS
from zskel.zsl.refinements.cluster_votes import whitened
from zskel.zsl.refinements.prototype_alignment import PrototypeAlignment
from zskel.zsl.refinements.skeleton_cache import SkeletonCache


def unsure(seed: int = 0) -> GateInput:
    """The pool with p_u of its own for every clip."""
    inputs, _ = pool(noise=0.3)
    rng = np.random.default_rng(seed)
    return replace(inputs, unseen_proba=softmax(2 * rng.normal(size=(27, 3)), axis=1))


def entropy(p: np.ndarray) -> float:
    return float(-(p * np.log(p)).sum())


@pytest.mark.parametrize("name", REFINEMENTS.names())
def test_more_clips_are_right_together(name: str) -> None:
    inputs, y = pool()
    refined = REFINEMENTS.get(name)().refine(inputs)
    np.testing.assert_allclose(refined.sum(axis=1), 1)
    before, after = ((p.argmax(axis=1) == y).mean() for p in (inputs.unseen_proba, refined))
    assert before < 0.7 and after > before + 0.1


@pytest.mark.parametrize("name", REFINEMENTS.names())
def test_single_and_equal_clips(name: str) -> None:
    inputs, _ = pool(noise=0.0)
    for rows in ([0], [4, 5], list(range(27))):
        some = inputs.take(np.array(rows))
        refined = REFINEMENTS.get(name)().refine(some)
        assert refined.shape == some.unseen_proba.shape and np.isfinite(refined).all()
        assert np.array_equal(refined, REFINEMENTS.get(name)().refine(some))


@pytest.mark.parametrize("support", [1.0, 0.5])
def test_prototypes_are_means_of_the_surest_clips(support: float) -> None:
    inputs = unsure()
    f_x, p = whitened(inputs.f_x, inputs.reference), inputs.unseen_proba
    prototypes = []
    for u in range(3):
        own = sorted(np.flatnonzero(p.argmax(axis=1) == u), key=lambda row: entropy(p[row]))
        mean = f_x[own[: int(support * len(own))]].mean(axis=0)
        prototypes.append(mean / np.linalg.norm(mean))
    expected = softmax(f_x @ np.array(prototypes).T / 0.07, axis=1)
    np.testing.assert_allclose(PrototypeAlignment(support=support).refine(inputs), expected)


def test_a_class_that_keeps_no_clip_gets_none() -> None:
    inputs = unsure()
    p = np.full((27, 3), 0.1)
    p[:, 0] = 0.8
    p[-1] = 0.1, 0.8, 0.1  # One clip, of which nine tenths are none.
    refined = PrototypeAlignment().refine(replace(inputs, unseen_proba=p))
    assert not refined[:, 1:].any()
    alone = replace(inputs, unseen_proba=p).take(np.array([26]))
    np.testing.assert_array_equal(PrototypeAlignment().refine(alone), alone.unseen_proba)


@pytest.mark.parametrize("batch", [1, 4])
def test_the_cache_is_that_of_a_plain_loop(batch: int) -> None:
    inputs = unsure()
    f_x, p = whitened(inputs.f_x, inputs.reference), inputs.unseen_proba
    blocks: list[list[tuple[float, np.ndarray]]] = [[], [], []]
    expected, waiting = np.empty((27, 3)), []
    for i, row in enumerate(np.random.default_rng(5).permutation(27)):
        gain = [sum(np.exp(-3.0 * (1 - f_x[row] @ key)) for _, key in block) for block in blocks]
        expected[row] = softmax(np.log(p[row]) + 2.0 * np.array(gain))
        waiting.append(row)
        if len(waiting) == batch or i == 26:
            for each in waiting:
                block = blocks[expected[each].argmax()]
                block.append((entropy(expected[each]), f_x[each]))
                block.sort(key=lambda entry: entry[0])
                del block[2:]
            waiting = []
    cache = SkeletonCache(entries=2, weight=2.0, sharpness=3.0, batch=batch, seed=5)
    np.testing.assert_allclose(cache.refine(inputs), expected)


def test_no_clip_of_a_stream_knows_later_ones() -> None:
    inputs, order = unsure(), np.random.default_rng(0).permutation(27)
    changed = inputs.f_x.copy()
    changed[order[20:]] *= -1
    one, two = (SkeletonCache().refine(replace(inputs, f_x=f_x)) for f_x in (inputs.f_x, changed))
    np.testing.assert_array_equal(one[order[:20]], two[order[:20]])
    assert not np.array_equal(one, two)


def test_without_weight_nothing_changes() -> None:
    inputs = unsure()
    np.testing.assert_allclose(SkeletonCache(weight=0).refine(inputs), inputs.unseen_proba)


@pytest.mark.parametrize(("name", "options", "message"), [
    ("prototype_alignment", dict(support=0), "support is 0"),
    ("prototype_alignment", dict(temperature=0), "temperature is 0"),
    ("skeleton_cache", dict(entries=0), "entries is 0, expected at least 1"),
    ("skeleton_cache", dict(batch=0), "batch is 0, expected at least 1"),
    ("skeleton_cache", dict(weight=-1), "must not be negative"),
])
def test_impossible_options(name: str, options: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        REFINEMENTS.build(name, **options)
    assert REFINEMENTS.get(name)().description()["name"] == name
