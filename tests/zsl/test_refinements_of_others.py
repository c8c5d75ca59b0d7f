"""Prototype alignment and Skeleton-Cache, against plain loops, and what all refinements do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from tests.zsl.test_refinements import pool
from tests.zsl.test_zsl_protocols import caches
from zskel.data.caches import SkeletonFeatures
from zskel.data.common.errors import BadCache, BadInput
from zskel.data.layouts import NTU_RGBD
from zskel.data.pooled import Pool, axes_of, descriptors
from zskel.zsl.cache_checks import Caches, descriptors_of
from zskel.zsl.evaluation import evaluate
from zskel.zsl.gates.base import GateInput
from zskel.zsl.gates.joint_softmax import JointSoftmax
from zskel.zsl.methods.ridge import Ridge
from zskel.zsl.protocols import TRANSDUCTIVE
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


def described(seed: int = 1) -> GateInput:
    """``unsure`` with eight descriptors of each clip, drawn but for the last, which is f_x."""
    inputs, rng = unsure(), np.random.default_rng(seed)
    assert inputs.f_x is not None and inputs.reference is not None

    def eight(f_x: np.ndarray) -> np.ndarray:
        return np.concatenate([rng.normal(size=(len(f_x), 7, f_x.shape[1])), f_x[:, None]], axis=1)

    return replace(inputs, descriptors=eight(inputs.f_x), reference=replace(
        inputs.reference, descriptors=eight(inputs.reference.f_x)))


PRIORS = [[1, 1, 0, 0, 0, 0, 0, 2], [0, 0, 3, 0, 1, 0, 0, 0], [0.5] * 8]


@pytest.mark.parametrize("weights", [None, PRIORS[0], PRIORS])
def test_eight_descriptors_help_by_their_weights(weights: list | None) -> None:
    inputs = described()
    p, known = inputs.unseen_proba, inputs.reference
    eight = [whitened(inputs.descriptors[:, d], replace(known, f_x=known.descriptors[:, d]))
             for d in range(8)]
    gamma = 0.3  # parts share 1 - gamma, thirds too
    uniform = [(1 - gamma) / 4] * 4 + [(1 - gamma) / 3] * 3 + [gamma]
    rows = np.array(PRIORS if weights is PRIORS else [weights or uniform] * 3)
    w = rows / rows.sum(axis=1, keepdims=True)
    blocks: list[list[tuple[float, int]]] = [[], [], []]
    expected = np.empty((27, 3))
    for row in np.random.default_rng(0).permutation(27):
        of_named = w[p[row].argmax()]
        gain = [sum(of_named[d] * np.exp(-5.0 * (1 - eight[d][row] @ eight[d][key]))
                    for _, key in block for d in range(8)) for block in blocks]
        expected[row] = softmax(np.log(p[row]) + np.array(gain))
        block = blocks[expected[row].argmax()]
        block.append((entropy(expected[row]), row))
        block.sort()
        del block[8:]
    cache = SkeletonCache(descriptor_weights=weights)
    np.testing.assert_allclose(cache.refine(inputs), expected)
    assert cache.description()["descriptors"][::7] == ["head", "global"]
    if weights is not None:
        np.testing.assert_allclose(cache.description()["descriptor_weights"],
                                   w if weights is PRIORS else w[:1])


def test_the_whole_alone_is_the_form_of_f_x() -> None:
    whole = SkeletonCache(descriptor_weights=[0] * 7 + [1]).refine(described())
    cache = SkeletonCache()
    np.testing.assert_allclose(cache.refine(unsure()), whole)
    assert cache.description()["descriptors"] == ["f_x"]


def with_views(features: SkeletonFeatures) -> dict[Pool, SkeletonFeatures]:
    """Views whose joints and frames are f_x and noise."""
    rng, f_x = np.random.default_rng(2), features.f_x

    def view(pool: Pool, rows: int) -> SkeletonFeatures:
        drawn = f_x[:, None] + 0.1 * rng.normal(size=(len(f_x), rows, f_x.shape[1]))
        return replace(features, f_x=drawn.astype(np.float16), pooled=axes_of(pool, NTU_RGBD, rows))

    return {"joint_means": view("joint_means", NTU_RGBD.num_joints),
            "frame_means": view("frame_means", 4)}


class Unsure(Ridge):
    """Whose probabilities are never far from one another."""

    def predict_proba(self, f_x: np.ndarray) -> np.ndarray:
        return (0.2 + super().predict_proba(f_x)) / 1.8  # of 4 classes


def test_zsl_and_gzsl_use_the_descriptors_of_the_caches() -> None:
    test, calibration, text = caches()
    views = with_views(test), with_views(calibration)
    extra = {name: [of[name] for of in views] for name in views[0]}
    found = {}
    for given in ({}, {"frame_means": extra["frame_means"]}, extra):
        found[len(given)] = evaluate(
            Caches(test, calibration, text, given), method=lambda seed: Unsure(seed=seed),
            gate=lambda seed: JointSoftmax(),
            protocol=replace(TRANSDUCTIVE, refinement=SkeletonCache))
    forms = {n: len(e.selection["refinement"]["descriptors"]) for n, e in found.items()}
    assert forms == {0: 1, 1: 1, 2: 8}
    p_u = {n: e.predictions.p_u for n, e in found.items()}
    np.testing.assert_array_equal(p_u[0], p_u[1])
    assert not np.array_equal(p_u[0], p_u[2])
    assert found[2].metrics["zsl_accuracy"] > 0.25  # chance
    assert found[2].metrics["gzsl_harmonic_mean"] > 0


def test_descriptors_are_those_of_their_views() -> None:
    test, *_ = caches()
    views, rows = with_views(test), np.array([5, 2])
    extra = {name: [view] for name, view in views.items()}
    found = descriptors_of(extra, test, rows)
    np.testing.assert_array_equal(found, descriptors(
        views["joint_means"].f_x[rows], views["frame_means"].f_x[rows],
        views["joint_means"].pooled["parts"]))
    with pytest.raises(BadCache, match="joint_means of the test phase: is no view pooled as"):
        descriptors_of({**extra, "joint_means": [test]}, test, rows)


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
    ("skeleton_cache", dict(descriptor_weights=[1, 2]), "expected 8 numbers from 0 on for head,"),
    ("skeleton_cache", dict(descriptor_weights=[0] * 8), "expected 8 numbers"),
    ("skeleton_cache", dict(descriptor_weights="arms"), "expected 8 numbers"),
])
def test_impossible_options(name: str, options: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        REFINEMENTS.build(name, **options)
    assert REFINEMENTS.get(name)().description()["name"] == name


def test_weights_for_other_classes_are_refused() -> None:
    with pytest.raises(BadInput, match="descriptor_weights has 2 rows, expected one, or one for "
                                       "each of 3 unseen classes"):
        SkeletonCache(descriptor_weights=PRIORS[:2]).refine(described())
