"""scikit-learn's classifiers without its warnings."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from zskel.data.common.linear import fit_linear


def test_one_clip_a_class_is_no_reason_to_warn() -> None:
    x, y = np.random.default_rng(0).normal(size=(40, 5)), np.arange(40)
    with pytest.warns(UserWarning, match="number of unique classes"):
        plain = LogisticRegression().fit(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = fit_linear(LogisticRegression(), x, y, "C_s")
    np.testing.assert_array_equal(ours.coef_, plain.coef_)


def test_stopping_short_is_one_line_that_says_what_stopped() -> None:
    x = np.random.default_rng(0).normal(size=(60, 5)) * [1, 1, 1, 1, 1e5]
    with pytest.warns(RuntimeWarning) as caught:
        fit_linear(LogisticRegression(max_iter=3), x, np.arange(60) % 3, "C_s")
    assert [str(each.message) for each in caught] == [
        "C_s stopped after 3 steps, short of its optimum; some columns of its features may be far "
        "larger than the others"]
