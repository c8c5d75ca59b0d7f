"""Under ``strict`` nothing is learned from test labels or from other test clips.

Under ``transductive`` nothing is from labels, but for the side that a clip is on: ZSL is
measured on those of unseen classes. Every method, gate and refinement of the registries is
held to it, new ones too.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
from small_methods import small, texts_of

from zskel.data.caches import TEST, SkeletonFeatures, TextFeatures
from zskel.data.layouts import NTU_RGBD
from zskel.data.pooled import Pool, axes_of
from zskel.zsl.cache_checks import Caches
from zskel.zsl.evaluation import Evaluation, evaluate_gates
from zskel.zsl.gates import GATES
from zskel.zsl.gates.base import Gate
from zskel.zsl.methods import METHODS
from zskel.zsl.protocols import STRICT, TRANSDUCTIVE, Protocol
from zskel.zsl.refinements import REFINEMENTS

C, D, DT = 9, 10, 6
UNSEEN, VALIDATION = (1, 5), (2, 7)
SEEN = tuple(sorted(set(range(C)) - set(UNSEEN)))
NAMES = tuple(f"action {c}" for c in range(C))
ROWS = ("f_x", "logits", "label", "sample_id", "subset", "subject", "camera", "setup",
        "replication")
GATE_OPTIONS = {"domain_classifier": dict(temperatures=(1.0, 4.0), folds=2),
                "familiarity": dict(folds=2)}
# Those that read tokens are held to it with and without.
ON_TOKENS = " on tokens"
every_method = pytest.mark.parametrize("name", [
    *METHODS.names(),
    *(name + ON_TOKENS for name in METHODS.names() if METHODS.get(name).reads_tokens)])


def made_up() -> tuple[SkeletonFeatures, SkeletonFeatures, dict[str, TextFeatures]]:
    """Both phases; subjects 0 to 2 train, 2 is held out in calibration, 3 and 4 test."""
    rng = np.random.default_rng(0)
    texts = {part: TextFeatures(
        f_y=rng.normal(size=(C, DT)).astype(np.float32), text=np.array(NAMES), class_names=NAMES,
        encoder="drawn", encoder_revision="1", text_source="label",
    ) for part in ("", "verb", "noun")}
    mask = np.arange(4) < rng.integers(2, 5, size=(C, 1))
    texts[ON_TOKENS] = replace(
        texts[""], token_features=rng.normal(size=(C, 4, DT)) * mask[..., None], token_mask=mask)
    label, subject, _ = np.indices((C, 5, 3)).reshape(3, -1)
    f_x = texts[""].f_y[label] @ rng.normal(size=(DT, D)) + rng.normal(size=(len(label), D))
    unknown = np.full(len(label), -1, np.int16)

    def phase(name: str, subset: np.ndarray, seen: tuple[int, ...], unseen: tuple[int, ...]):
        features = SkeletonFeatures(
            f_x=np.maximum(f_x, 0).astype(np.float32),
            logits=rng.normal(size=(len(label), len(seen))).astype(np.float32),
            label=label, sample_id=np.array([f"clip {i}" for i in range(len(label))]),
            subset=subset, subject=subject.astype(np.int16), camera=unknown, setup=unknown,
            replication=unknown, dataset="made up", sample_protocol="cross-subject", phase=name,
            class_names=NAMES, seen_classes=seen, unseen_classes=unseen, backbone="drawn",
            weights_sha256="0")
        return take(features, np.flatnonzero(subset != ""))

    is_seen, kept = np.isin(label, SEEN), tuple(sorted(set(SEEN) - set(VALIDATION)))
    train = np.where((subject < 3) & is_seen, "train", "")
    calibration = np.where((subject < 2) & np.isin(label, kept), "train", "")
    calibration = np.where((subject == 2) & is_seen, "calibration", calibration)
    return (phase("test", np.where(subject > 2, "test", train), SEEN, UNSEEN),
            phase("calibration", calibration, kept, VALIDATION), texts)


def take(features: SkeletonFeatures, rows: np.ndarray) -> SkeletonFeatures:
    return replace(features, **{name: getattr(features, name)[rows] for name in ROWS})


FEATURES, CALIBRATION_FEATURES, TEXTS = made_up()


def pooled(features: SkeletonFeatures, pool: Pool) -> SkeletonFeatures:
    """Two frames for each clip, made of the columns of f_x, and joints that are one or other."""
    f_x = features.f_x.reshape(len(features.f_x), 2, -1)
    if pool != "frame_means":
        f_x = f_x[:, np.arange(NTU_RGBD.num_joints) % 2]
    if pool == "thirds_joints":
        f_x = np.stack([f_x] * 3, axis=1)
    return replace(features, f_x=f_x, pooled=axes_of(pool, NTU_RGBD, 2))


def gate_of(name: str, seed: int) -> Gate:
    return GATES.build(name, seed=seed, **GATE_OPTIONS.get(name, {}))


def evaluations(
    name: str, features: SkeletonFeatures, protocol: Protocol = STRICT
) -> dict[str, Evaluation]:
    """Of every gate on the method, with the feature views that it and the refinement take."""
    name, on_tokens, _ = name.partition(ON_TOKENS)
    method = METHODS.get(name)
    views = {*method.feature_views, *(
        protocol.refinement().feature_views if protocol.refinement is not None else ())}
    gates = {gate: partial(gate_of, gate) for gate in GATES.names()}
    caches = Caches(
        features, CALIBRATION_FEATURES, texts_of(method, TEXTS[on_tokens], TEXTS),
        {view: [pooled(each, view) for each in (features, CALIBRATION_FEATURES)]
         for view in views})
    return evaluate_gates(
        caches, method=lambda seed: small(name, seed=seed), gates=gates, protocol=protocol)


@cache
def undisturbed(name: str) -> dict[str, Evaluation]:
    return evaluations(name, FEATURES)


def assert_same_predictions(
    one: dict[str, Evaluation], two: dict[str, Evaluation]
) -> None:
    """Of all clips that both know, whatever their labels are there."""
    assert one.keys() == two.keys() == set(GATES.names())
    for gate in one:
        a, b = one[gate].predictions, two[gate].predictions
        _, in_a, in_b = np.intersect1d(a.sample_id, b.sample_id, return_indices=True)
        assert len(in_a) >= 20
        for field in ("gzsl_prediction", "zsl_prediction", "oracle_prediction"):
            # The last two are told for clips by the side that their label is on.
            comparable = slice(None) if field == "gzsl_prediction" else (
                np.isin(a.label[in_a], UNSEEN) == np.isin(b.label[in_b], UNSEEN))
            np.testing.assert_array_equal(
                getattr(a, field)[in_a][comparable], getattr(b, field)[in_b][comparable],
                err_msg=f"{gate}: {field}")
        # Other rows in a product of matrices may change its last bits.
        np.testing.assert_allclose(a.p_seen[in_a], b.p_seen[in_b], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(a.margin[in_a], b.margin[in_b], rtol=1e-3, atol=1e-4)


@every_method
def test_other_test_labels_change_no_prediction(name: str) -> None:
    label, rows = FEATURES.label.copy(), FEATURES.rows(TEST)
    label[rows] = np.random.default_rng(1).permutation(label[rows])
    assert (label != FEATURES.label).sum() > 30
    assert_same_predictions(undisturbed(name), evaluations(name, replace(FEATURES, label=label)))


@every_method
def test_other_test_clips_change_no_prediction(name: str) -> None:
    test = FEATURES.rows(TEST)
    gone, doubled = test[::3], test[1::3]
    added = take(FEATURES, doubled)
    added = replace(added, f_x=2 * added.f_x[::-1],
                    sample_id=np.char.add(added.sample_id, " again"))
    rest = take(FEATURES, np.setdiff1d(np.arange(len(FEATURES.label)), gone))
    changed = replace(rest, **{
        field: np.concatenate([getattr(rest, field), getattr(added, field)]) for field in ROWS})
    assert_same_predictions(undisturbed(name), evaluations(name, changed))


@pytest.mark.parametrize("refinement", REFINEMENTS.names())
def test_other_test_labels_refine_no_other_way(refinement: str) -> None:
    protocol = replace(TRANSDUCTIVE, refinement=REFINEMENTS.get(refinement))
    label, rng = FEATURES.label.copy(), np.random.default_rng(1)
    for side in (SEEN, UNSEEN):
        rows = np.intersect1d(FEATURES.rows(TEST), np.flatnonzero(np.isin(label, side)))
        label[rows] = rng.permutation(label[rows])
    assert_same_predictions(*(evaluations("ridge", features, protocol)
                              for features in (FEATURES, replace(FEATURES, label=label))))
