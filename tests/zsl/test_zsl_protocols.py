"""The strict protocol on generated features, and the caches it refuses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zskel.data.caches import SkeletonFeatures, TextFeatures
from zskel.data.common.errors import BadCache
from zskel.zsl.cache_checks import Caches, check_caches
from zskel.zsl.evaluation import evaluate
from zskel.zsl.gates.base import Gate
from zskel.zsl.gates.domain_classifier import DomainClassifier
from zskel.zsl.methods.sa_dvae import SADVAE
from zskel.zsl.metrics import harmonic_mean

C, D, DT = 20, 24, 12
UNSEEN, VALIDATION = (1, 6, 11, 16), (2, 7, 12, 17)
SEEN = tuple(sorted(set(range(C)) - set(UNSEEN)))
EPOCHS = 15
ROWS = ("f_x", "label", "sample_id", "subset", "subject", "camera", "setup", "replication")
NAMES = tuple(f"action {c}" for c in range(C))


def text(seed=0):
    rng = np.random.default_rng(seed)
    return TextFeatures(
        f_y=rng.normal(size=(C, DT)).astype(np.float32), text=np.array(NAMES), class_names=NAMES,
        encoder="drawn", encoder_revision="1", text_source="label",
    )


def world(seed=0, per_subject=4):
    """Clips of 6 subjects: f_x = A f_y + B style + noise, the semantics being transferable."""
    rng = np.random.default_rng(100 + seed)
    f_y = text(seed).f_y
    a, b = rng.normal(size=(DT, D)), rng.normal(size=(3, D))
    label, subject, _ = np.indices((C, 6, per_subject)).reshape(3, -1)
    n = len(label)
    style = rng.normal(size=(6, 3))[subject] + 0.5 * rng.normal(size=(n, 3))
    f_x = f_y[label] @ a / 3 + style @ b / 3 + 0.15 * rng.normal(size=(n, D))
    sample_id = np.array([f"a{c}s{s}n{i}" for i, (c, s) in enumerate(zip(label, subject))])
    return f_x.astype(np.float32), label, subject, sample_id


def drawn_logits(rows, classes):
    return np.random.default_rng(rows).normal(size=(rows, classes)).astype(np.float32)


def cache(phase, keep, subset, seen, unseen, clips):
    f_x, label, subject, sample_id = (array[keep] for array in clips)
    unknown = np.full(len(label), -1, np.int16)
    return SkeletonFeatures(
        f_x=f_x, logits=drawn_logits(len(label), len(seen)), label=label,
        sample_id=sample_id, subset=subset[keep], subject=subject.astype(np.int16),
        camera=unknown, setup=unknown, replication=unknown, dataset="generated",
        sample_protocol="cross-subject", phase=phase, class_names=NAMES, seen_classes=seen,
        unseen_classes=unseen, backbone="drawn", weights_sha256="0",
    )


def caches(seed=0):
    """Subjects 0-3 train, 3 of them in the calibration phase; 4 and 5 test."""
    clips = world(seed)
    _, label, subject, _ = clips
    train = (subject < 4) & np.isin(label, SEEN)
    test = cache("test", train | (subject > 3), np.where(subject < 4, "train", "test"),
                 SEEN, UNSEEN, clips)
    validation_seen = tuple(sorted(set(SEEN) - set(VALIDATION)))
    fit = (subject < 3) & np.isin(label, validation_seen)
    held = (subject == 3) & np.isin(label, SEEN)
    calibration = cache("calibration", fit | held, np.where(subject < 3, "train", "calibration"),
                        validation_seen, VALIDATION, clips)
    return test, calibration, text(seed)


def method(seed):
    return SADVAE(z_r_dim=12, z_v_dim=4, epochs=EPOCHS, learning_rate=1e-2, classifier_samples=100,
                  classifier_epochs=60, classifier_learning_rate=0.02, seed=seed)


def gate(seed):
    return DomainClassifier(temperatures=(1.0, 4.0), seed=seed)


@pytest.fixture(scope="module")
def evaluations():
    return [evaluate(Caches(*caches(seed)), method=method, gate=gate, seed=seed)
            for seed in range(3)]


def test_transferable_semantics_are_recognized(evaluations):
    assert np.mean([e.metrics["zsl_accuracy"] for e in evaluations]) > 0.5  # Chance is 0.25.
    assert np.mean([e.metrics["gzsl_harmonic_mean"] for e in evaluations]) > 0.5
    assert np.mean([e.metrics["gzsl_seen_accuracy"] for e in evaluations]) > 0.6


def test_text_of_other_classes_takes_the_transfer_away(evaluations):
    test, calibration, own = caches()
    order = np.arange(C)
    order[list(UNSEEN)] = np.roll(UNSEEN, 1)
    wrong = replace(own, f_y=own.f_y[order])
    misled = evaluate(Caches(test, calibration, wrong), method=method, gate=gate)
    assert misled.metrics["zsl_accuracy"] < evaluations[0].metrics["zsl_accuracy"] - 0.3


def test_numbers_follow_from_the_rows(evaluations):
    for e in evaluations:
        rows, unseen = e.predictions, np.isin(e.predictions.label, UNSEEN)
        assert (rows.zsl_prediction[~unseen] == -1).all()
        assert np.isin(rows.zsl_prediction[unseen], UNSEEN).all()
        assert e.metrics["zsl_accuracy"] == np.mean((rows.zsl_prediction == rows.label)[unseen])
        right = rows.gzsl_prediction == rows.label
        seen_accuracy, unseen_accuracy = right[~unseen].mean(), right[unseen].mean()
        assert e.metrics["gzsl_seen_accuracy"] == seen_accuracy
        assert e.metrics["gzsl_unseen_accuracy"] == unseen_accuracy
        assert e.metrics["gzsl_harmonic_mean"] == harmonic_mean(seen_accuracy, unseen_accuracy)
        # Every class has as many test rows here, so both averages agree.
        for name in ("zsl_accuracy", "gzsl_harmonic_mean"):
            assert e.metrics[f"{name}_class_averaged"] == pytest.approx(e.metrics[name])
        assert e.metrics["gzsl_oracle_harmonic_mean"] >= e.metrics["gzsl_harmonic_mean"]
        assert e.latents.z_r.shape == (160, 12) and e.latents.z_v.shape == (160, 4)
        assert rows.p_seen.shape == rows.sample_id.shape == (160,)


def test_counts_history_and_gate_are_recorded(evaluations):
    e = evaluations[0]
    assert e.protocol == "strict" and e.seed == 0
    assert e.counts == {
        "train": 16 * 4 * 4, "test_seen": 16 * 2 * 4, "test_unseen": 4 * 2 * 4,
        "calibration_train": 12 * 3 * 4, "calibration_seen": 12 * 4, "calibration_unseen": 4 * 4,
    }
    assert len(e.history["test"]["loss"]) == len(e.history["calibration"]["loss"]) == EPOCHS
    assert e.gate["temperature"] in (1.0, 4.0)


def test_same_seed_gives_the_same_evaluation_and_progress_covers_both_phases(evaluations):
    calls = []
    again = evaluate(Caches(*caches(0)), method=method, gate=gate, seed=0,
                   on_progress=lambda *call: calls.append(call))
    assert np.array_equal(again.predictions.p_seen, evaluations[0].predictions.p_seen)
    assert np.array_equal(again.latents.z_r, evaluations[0].latents.z_r)
    assert again.history == evaluations[0].history
    first, second = EPOCHS * -(-144 // 32), EPOCHS * -(-256 // 32)
    assert calls[-1] == (first + second, first + second) and (first, first + second) in calls
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


class RecordingGate(Gate):
    """Keeps what it was shown."""

    name = "recording"

    def fit(self, inputs, is_seen, columns=None):
        self.fitted, self.is_seen = inputs, is_seen
        return self

    def predict_proba(self, inputs):
        return np.ones(len(inputs))

    def description(self):
        return {"rows": len(self.fitted), "seen": int(self.is_seen.sum())}


def test_gate_is_fitted_on_calibration_rows_only():
    shown = RecordingGate()
    e = evaluate(Caches(*caches()), method=method, gate=lambda seed: shown)
    assert shown.fitted.seen_logits.shape == (64, 12) and shown.fitted.unseen_proba.shape == (64, 4)
    assert e.gate == {"rows": 64, "seen": 48}
    # A gate that always says "seen" leaves the unseen classes without a chance.
    assert e.metrics["gzsl_unseen_accuracy"] == e.metrics["gzsl_harmonic_mean"] == 0
    assert e.metrics["gzsl_oracle_harmonic_mean"] > 0


def test_test_rows_change_nothing_that_is_fitted(evaluations):
    test, calibration, own = caches()
    f_x = test.f_x.copy()
    f_x[test.rows("test")[1:]] = 0
    one = evaluations[0]
    two = evaluate(Caches(replace(test, f_x=f_x), calibration, own), method=method, gate=gate)
    assert one.history == two.history and one.gate == two.gate
    assert one.predictions.p_seen[0] == pytest.approx(two.predictions.p_seen[0], rel=1e-5)


def change(features, name, index, value):
    array = getattr(features, name).copy()
    array[index] = value
    return replace(features, **{name: array})


def swapped(t, c, y):
    return c, t, y


def other_names(t, c, y):
    return t, c, replace(y, class_names=("something else", *NAMES[1:]))


def other_names_in_calibration(t, c, y):
    return t, replace(c, class_names=(*NAMES[:-1], "something else")), y


def unseen_class_in_train(t, c, y):
    return change(t, "label", t.rows("train")[0], UNSEEN[0]), c, y


def unseen_class_in_calibration(t, c, y):
    unseen = (*VALIDATION[1:], UNSEEN[3])
    keep = c.label != VALIDATION[0]
    rows = {name: getattr(c, name)[keep] for name in (*ROWS, "logits")}
    return t, replace(c, unseen_classes=tuple(sorted(unseen)), **rows), y


def fewer_validation_classes(t, c, y):
    seen, unseen = tuple(sorted({*c.seen_classes, 2})), (7, 12, 17)
    logits = drawn_logits(len(c.label), len(seen))
    return t, replace(c, seen_classes=seen, unseen_classes=unseen, logits=logits), y


def shared_sample(t, c, y):
    return t, change(c, "sample_id", 0, t.sample_id[t.rows("test")[0]]), y


def no_unseen_test_rows(t, c, y):
    rows = np.isin(t.label, UNSEEN)
    return change(t, "label", rows, SEEN[0]), c, y


def class_without_train_rows(t, c, y):
    rows = t.rows("train")
    return change(t, "label", rows[t.label[rows] == SEEN[3]], SEEN[0]), c, y


def calibration_without_unseen(t, c, y):
    return t, change(c, "label", np.isin(c.label, VALIDATION), c.seen_classes[0]), y


def other_protocol(t, c, y):
    return t, replace(c, sample_protocol="cross-view"), y


def not_finite(t, c, y):
    return change(t, "f_x", 3, np.nan), c, y


def two_classes_with_one_row(t, c, y):
    f_y = y.f_y.copy()
    f_y[7] = f_y[4] * (1 + 1e-7)
    return t, c, replace(y, f_y=f_y)


@pytest.mark.parametrize(("spoil", "message"), [
    (swapped, "phase is 'calibration'; are the files swapped"),
    (other_names, "text features: class 0 is 'something else', in the skeleton cache 'action 0'"),
    (other_names_in_calibration, "calibration-phase skeleton features: class 19 is"),
    (unseen_class_in_train, "subset 'train' holds class 1 .* unseen"),
    (unseen_class_in_calibration, r"class 16 \('action 16'\) is not a seen class of the test"),
    (fewer_validation_classes, "3 validation-unseen classes, but the test phase has 4"),
    (shared_sample, "is also a test row"),
    (no_unseen_test_rows, "subset 'test' has 160 rows of seen and 0 of unseen"),
    (class_without_train_rows, r"test phase: seen class 4 \('action 4'\) has no train rows"),
    (calibration_without_unseen, "subset 'calibration' has 64 rows of seen and 0 of unseen"),
    (other_protocol, "sample_protocol is 'cross-subject' in the test phase and 'cross-view'"),
    (not_finite, "/f_x holds 24 non-finite values"),
    (two_classes_with_one_row, "text features: the classes 'action 4' and 'action 7' have the "
                               "same row of f_y, .* drawn makes no difference"),
])
def test_caches_that_do_not_fit_are_refused_in_one_line(spoil, message):
    with pytest.raises(BadCache, match=message) as caught:
        Caches(*spoil(*caches()))
    assert "\n" not in str(caught.value)


def test_classes_may_share_a_part_of_speech():
    test, calibration, own = two_classes_with_one_row(*caches())
    check_caches(test, calibration, {"verb": own, "noun": own})


def test_test_class_that_is_neither_seen_nor_unseen_is_refused():
    test, calibration, own = caches()
    seen = tuple(c for c in SEEN if c != 0)
    train = test.rows("train")
    keep = np.setdiff1d(np.arange(len(test.label)), train[test.label[train] == 0])
    rows = {name: getattr(test, name)[keep] for name in ROWS}
    logits = np.zeros((len(keep), len(seen)), np.float32)
    smaller = tuple(c for c in calibration.seen_classes if c != 0)
    kept = np.flatnonzero(calibration.label != 0)
    fewer = {name: getattr(calibration, name)[kept] for name in rows}
    with pytest.raises(BadCache, match=r"class 0 \('action 0'\), which is neither seen nor unseen"):
        Caches(replace(test, seen_classes=seen, logits=logits, **rows),
               replace(calibration, seen_classes=smaller,
                       logits=np.zeros((len(kept), len(smaller)), np.float32), **fewer),
               own)


def test_zsl_loads_no_recognition_library_and_its_root_no_torch():
    code = ("import sys, zskel.zsl; assert 'torch' not in sys.modules; "
            "import zskel.zsl.evaluation, zskel.zsl.methods.sa_dvae; "
            "import zskel.zsl.gates.domain_classifier; "
            "assert not {'torchvision', 'mmaction', 'mmengine', 'mmcv'} & set(sys.modules)")
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
