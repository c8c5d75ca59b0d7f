"""Metrics by hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zskel.zsl.metrics
from zskel.data.common.errors import BadInput
from zskel.zsl.metrics import (
    Predictions,
    Values,
    class_averaged_accuracy,
    harmonic_mean,
    mean_values,
    measure,
)


def predictions(label: np.ndarray, gzsl: np.ndarray, unseen: list[int]) -> Predictions:
    """Of a gate that knows the sides of nothing, and classifiers that make the same mistakes."""
    known = np.isin(label, unseen)
    return Predictions(
        label=label, sample_id=np.arange(len(label)).astype(str),
        seen_classes=np.setdiff1d(label, unseen), unseen_classes=np.array(unseen),
        zsl_prediction=np.where(known, unseen[0], -1), gzsl_prediction=gzsl,
        oracle_prediction=gzsl, margin=np.zeros(len(label)), p_seen=np.full(len(label), 0.5))


def gzsl_metrics(label: np.ndarray, gzsl: np.ndarray, unseen: list[int]) -> Values:
    found = measure(predictions(label, gzsl, unseen))
    return {name.removeprefix("gzsl_"): found[name] for name in found if name.startswith("gzsl_")}


def test_every_metric_by_hand():
    # Seen: class 0 right 3 of 4, class 1 right 0 of 1. Unseen: class 2 right 1 of 2.
    label = np.array([0, 0, 0, 0, 1, 2, 2])
    found = gzsl_metrics(label, np.array([0, 0, 0, 2, 0, 2, 1]), [2])
    assert (found["seen_accuracy"], found["unseen_accuracy"]) == (0.6, 0.5)
    assert found["harmonic_mean"] == pytest.approx(2 * 0.6 * 0.5 / 1.1)
    assert (found["seen_accuracy_class_averaged"], found["unseen_accuracy_class_averaged"]) == (
        0.375, 0.5)
    assert found["harmonic_mean_class_averaged"] == pytest.approx(2 * 0.375 * 0.5 / 0.875)
    assert found["oracle_harmonic_mean"] == found["harmonic_mean"]
    assert found["ausuc"] == pytest.approx(0.6 * 0.5 / 2)  # one step from all seen to all unseen


def test_predictions_of_parts_are_those_of_the_whole():
    label, gzsl = np.array([0, 2, 0, 2, 1, 2]), np.array([0, 2, 2, 1, 1, 2])
    parts = [predictions(label[rows], gzsl[rows], [2]) for rows in ([4, 1], [0, 5, 3, 2])]
    assert measure(Predictions.joined(parts)) == measure(predictions(label, gzsl, [2]))


def test_the_mean_of_seeds_lacks_what_one_seed_lacks():
    assert mean_values([{"a": 0.25, "b": None}, {"a": 0.75, "b": 1.0}]) == {"a": 0.5, "b": None}
    with pytest.raises(BadInput, match="no values"):
        mean_values([])


@given(st.floats(0, 1), st.floats(0, 1))
def test_harmonic_mean_lies_below_the_mean_and_is_symmetric(a, b):
    h = harmonic_mean(a, b)
    assert 0 <= h <= (a + b) / 2 + 1e-12 and h == harmonic_mean(b, a)


@given(st.integers(1, 500), st.integers(1, 60), st.sampled_from([0.0, 0.9, 1.0]),
       st.integers(0, 99))
def test_accuracies_are_counts_divided_once_whatever_the_number_of_clips(rows, classes, rate, seed):
    generator = np.random.default_rng(seed)
    label = np.append(generator.integers(0, classes, rows), [classes])  # one row unseen
    prediction = np.where(generator.random(rows + 1) < rate, label, classes + 1)
    found = gzsl_metrics(label, prediction, [classes])
    assert found["seen_accuracy"] == (label == prediction)[:-1].sum() / rows
    assert found["unseen_accuracy"] == float(label[-1] == prediction[-1])
    for name, value in found.items():
        assert 0 <= value <= 1 and (name == "ausuc" or rate not in (0, 1) or value == rate), name
    for c, share in zskel.zsl.metrics.per_class_accuracy(label, prediction).items():
        assert share == (prediction[label == c] == c).sum() / (label == c).sum()


def test_class_average_differs_from_sample_average_for_unequal_classes():
    label, prediction = np.array([5] * 9 + [6]), np.full(10, 5)
    assert class_averaged_accuracy(label, prediction) == 0.5


@pytest.mark.parametrize("label", [[0, 0], [2, 2]])
def test_gzsl_without_one_side_is_refused(label):
    with pytest.raises(BadInput, match="seen and of unseen"):
        predictions(np.array(label), np.array([0, 2]), [2])


def test_lengths_must_agree():
    with pytest.raises(BadInput, match="as many"):
        class_averaged_accuracy(np.array([0, 1]), np.array([0]))


def test_confusion_matrix_against_scikit_learn():
    from sklearn.metrics import confusion_matrix

    generator = np.random.default_rng(0)
    classes = [7, 2, 9, 4]
    label, prediction = generator.choice(classes, 80), generator.choice(classes, 80)
    found = zskel.zsl.metrics.confusion_matrix(label, prediction, classes)
    assert np.array_equal(found, confusion_matrix(label, prediction, labels=classes))


def test_confusion_matrix_hides_no_class():
    with pytest.raises(BadInput, match="class 3 occurs"):
        zskel.zsl.metrics.confusion_matrix(np.array([1, 2]), np.array([1, 3]), [1, 2])
