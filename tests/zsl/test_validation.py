"""The validation objective: against a plain computation, each row judged by a stranger."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from transferable import make

from zskel.data.caches import SkeletonFeatures, TextFeatures
from zskel.data.common.errors import BadCache, BadInput
from zskel.zsl.classifiers import SeenClassifier
from zskel.zsl.gates import GATES
from zskel.zsl.gates.base import Gate, GateInput
from zskel.zsl.gates.domain_classifier import DomainClassifier, gate_features
from zskel.zsl.methods.ridge import Ridge
from zskel.zsl.methods.sa_dvae import SADVAE
from zskel.zsl.validation import Validation, validate

PROBLEM = make(3, verbs=4, nouns=4, clips=10)
NAMES = tuple(f"action {c}" for c in range(16))


def caches() -> tuple[SkeletonFeatures, TextFeatures]:
    """The problem as a calibration phase: its test clips are the calibration rows."""
    p = PROBLEM
    label = np.concatenate([p.y, p.test_y])
    n, unknown = len(label), np.full(len(label), -1, np.int16)
    features = SkeletonFeatures(
        f_x=np.concatenate([p.f_x, p.test_f_x]),
        logits=np.random.default_rng(0).normal(size=(n, len(p.seen))).astype(np.float32),
        label=label, sample_id=np.array([f"clip {i}" for i in range(n)]),
        subset=np.repeat(["train", "calibration"], [len(p.y), len(p.test_y)]),
        subject=np.arange(n, dtype=np.int16) % 5, camera=unknown, setup=unknown,
        replication=unknown, dataset="made up", sample_protocol="cross-subject",
        phase="calibration", class_names=NAMES, seen_classes=p.seen, unseen_classes=p.unseen,
        backbone="drawn", weights_sha256="0",
    )
    return features, TextFeatures(
        f_y=p.f_y, text=np.array(NAMES), class_names=NAMES, encoder="drawn",
        encoder_revision="1", text_source="label")


def gate(seed: int) -> DomainClassifier:
    return DomainClassifier(temperatures=(1.0, 4.0), seed=seed)


def sa_dvae(seed: int, **options: object) -> SADVAE:
    return SADVAE(**{"z_r_dim": 8, "z_v_dim": 4, "epochs": 3, "learning_rate": 1e-2, "seed": seed,
                     "classifier_samples": 50, "classifier_epochs": 40, "joint_samples": 20,
                     "engine": "fast", **options})


def test_it_is_what_a_plain_computation_gives() -> None:
    """Everything over again, row by row, with C_d's own parts but none of the code above."""
    features, text = caches()
    score = validate(features, text, method=sa_dvae, gate=gate, seed=4)
    p = PROBLEM
    method = sa_dvae(4).fit(p.f_x, p.y, p.f_y, seen_classes=p.seen)
    method.fit_unseen_classifier(p.unseen)
    p_u = method.predict_proba(p.test_f_x)
    c_s = SeenClassifier().fit(p.f_x, p.y)
    logits = c_s.logits(p.test_f_x)
    p_s = np.exp(logits - logits.max(1, keepdims=True))
    p_s /= p_s.sum(1, keepdims=True)
    is_seen = np.isin(p.test_y, p.seen)
    hits = {True: [], False: []}
    oracle = {True: [], False: []}
    judged = []
    for fold in Validation(features, text, gate=gate)._divide(_columns(p.test_y), 4):
        rest = [i for i in range(len(p.test_y)) if i not in set(fold.tolist())]
        c_d = gate(4).fit(GateInput(logits[rest], p_u[rest]), is_seen[rest])
        for i in fold.tolist():
            x = gate_features(GateInput(logits[[i]], p_u[[i]]), c_d.temperature)
            p_d = c_d._model.predict_proba(x)[0, 1]
            best_s, best_u = p_s[i].max() * p_d, p_u[i].max() * (1 - p_d)
            own_s, own_u = p.seen[p_s[i].argmax()], p.unseen[p_u[i].argmax()]
            decision = own_s if best_s >= best_u else own_u
            side = bool(is_seen[i])
            hits[side].append(decision == p.test_y[i])
            oracle[side].append((own_s if side else own_u) == p.test_y[i])
            judged.append(i)
    assert sorted(judged) == list(range(len(p.test_y)))
    seen, unseen = np.mean(hits[True]), np.mean(hits[False])
    assert score["gzsl_seen_accuracy"] == pytest.approx(seen)
    assert score["gzsl_unseen_accuracy"] == pytest.approx(unseen)
    assert score["gzsl_harmonic_mean"] == pytest.approx(2 * seen * unseen / (seen + unseen))
    assert score["zsl_accuracy"] == pytest.approx(
        np.mean(np.array(p.unseen)[p_u[~is_seen].argmax(1)] == p.test_y[~is_seen]))
    a, b = np.mean(oracle[True]), np.mean(oracle[False])
    assert score["gzsl_oracle_harmonic_mean"] == pytest.approx(2 * a * b / (a + b))
    assert 0 < score["gzsl_ausuc"] < score["gzsl_oracle_harmonic_mean"] + 1e-9
    assert score["zsl_accuracy"] > 0.3  # chance is 0.25


def _columns(label: np.ndarray) -> np.ndarray:
    order = [*PROBLEM.seen, *PROBLEM.unseen]
    return np.array([order.index(c) for c in label.tolist()])


class Watching(Gate):
    """Remembers what it was fitted on and asked about, by f_x."""

    name, needs = "watching", frozenset({"f_x"})
    seen: ClassVar[list[tuple[set[bytes], set[bytes]]]] = []

    def fit(self, inputs, is_seen, columns=None):  # type: ignore[no-untyped-def]
        assert inputs.f_x is not None and 0 < is_seen.sum() < len(is_seen)
        self.known = {row.tobytes() for row in inputs.f_x}
        return self

    def predict_proba(self, inputs):  # type: ignore[no-untyped-def]
        asked = {row.tobytes() for row in inputs.f_x}
        Watching.seen.append((self.known, asked))
        return np.full(len(inputs), 0.5)

    def description(self):  # type: ignore[no-untyped-def]
        return {}


def test_no_row_is_judged_by_a_gate_that_has_seen_it() -> None:
    features, text = caches()
    Watching.seen = []
    validate(features, text, method=lambda seed: Ridge(seed=seed), gate=lambda seed: Watching())
    assert Watching.seen and not any(known & asked for known, asked in Watching.seen)
    everyone = set().union(*(asked for _, asked in Watching.seen))
    assert everyone == {row.tobytes() for row in PROBLEM.test_f_x}


def test_folds_hold_the_same_shares_of_sides_and_classes() -> None:
    features, text = caches()
    validation = Validation(features, text, gate=gate)
    columns = _columns(validation.label)
    folds = validation._divide(columns, 0)
    assert len(folds) == 5 and sorted(np.concatenate(folds)) == list(range(len(columns)))
    for side in (validation.is_seen, ~validation.is_seen):
        counts = [int(side[fold].sum()) for fold in folds]
        assert max(counts) - min(counts) <= 1
    for column in np.unique(columns):
        counts = [int((columns[fold] == column).sum()) for fold in folds]
        assert max(counts) - min(counts) <= 1
    again, other = validation._divide(columns, 0), validation._divide(columns, 1)
    assert all(map(np.array_equal, folds, again)) and not all(map(np.array_equal, folds, other))


def test_classes_with_a_single_clip_are_no_obstacle() -> None:
    features, text = caches()
    rows = np.flatnonzero(features.subset == "calibration")
    first = {c: rows[features.label[rows] == c][0] for c in PROBLEM.seen}
    keep = np.concatenate([np.flatnonzero(features.subset == "train"), list(first.values()),
                           rows[np.isin(features.label[rows], PROBLEM.unseen)]])
    few = replace(features, **{name: getattr(features, name)[keep] for name in (
        "f_x", "logits", "label", "sample_id", "subset", "subject", "camera", "setup",
        "replication")})
    assert validate(few, text, method=lambda s: Ridge(seed=s), gate=gate)["zsl_accuracy"] > 0


def test_the_same_seed_gives_the_same_score_and_another_one_another() -> None:
    features, text = caches()
    one, two, other = (validate(features, text, method=sa_dvae, gate=gate, seed=seed)
                       for seed in (0, 0, 1))
    assert one == two != other


def test_a_look_in_the_middle_changes_nothing() -> None:
    features, text = caches()
    validation = Validation(features, text, gate=gate)
    plain, watched, seen = sa_dvae(0), sa_dvae(0), []
    validation.fit(plain)
    validation.fit(watched, on_epoch=lambda epoch: seen.append(validation.quick(watched)))
    assert len(seen) == 3
    assert validation.score(plain) == validation.score(watched)
    assert seen[-1] == validation.score(watched)["zsl_accuracy"]


@pytest.mark.parametrize("seen_from", ["f_x", "z_r", "logits"])
def test_c_s_may_be_any_of_the_protocols(seen_from: str) -> None:
    features, text = caches()
    score = validate(features, text, method=sa_dvae, gate=gate, seen_from=seen_from)
    # The logits are drawn: their C_s knows nothing.
    assert (score["gzsl_seen_accuracy"] > 0.3) == (seen_from != "logits")


@pytest.mark.parametrize("name", GATES.names())
def test_every_gate_can_be_cross_fitted(name: str) -> None:
    features, text = caches()
    score = validate(features, text, method=sa_dvae, gate=lambda seed: GATES.build(name, seed=seed))
    assert all(0 <= value <= 1 for value in score.values())


@pytest.mark.parametrize(("change", "said"), [
    (lambda f: replace(f, phase="test"), "phase is 'test', expected 'calibration'"),
    (lambda f: replace(f, subset=np.where(np.isin(f.label, f.unseen_classes), "other", f.subset)),
     "subset"),
])
def test_unfit_caches_are_refused(change, said: str) -> None:  # type: ignore[no-untyped-def]
    features, text = caches()
    with pytest.raises(BadCache, match=said):
        Validation(change(features), text, gate=gate)


def test_other_texts_and_folds_are_refused() -> None:
    features, text = caches()
    with pytest.raises(BadCache, match="class 0 is .x."):
        Validation(features, replace(text, class_names=("x", *NAMES[1:])), gate=gate)
    with pytest.raises(BadInput, match="folds is 1"):
        Validation(features, text, gate=gate, folds=1)
