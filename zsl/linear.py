"""Rows of unit length, and scikit-learn's linear softmax as arrays and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression


def unit_or_zero(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length, in float64; rows of zeros stay as they are.

    >>> unit_or_zero(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    rows = np.asarray(rows, np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1.0)


def linear_arrays(model: LogisticRegression) -> dict[str, np.ndarray]:
    """What a fitted model predicts from."""
    return {"coef": model.coef_, "intercept": model.intercept_, "classes": model.classes_}


def linear_model(arrays: Mapping[str, np.ndarray]) -> LogisticRegression:
    """A model that predicts from what :func:`linear_arrays` gave; it cannot go on fitting.

    Raises:
        KeyError: An array is missing.
        ValueError: Their shapes contradict one another.

    >>> model = LogisticRegression().fit([[0.0], [1.0]], [False, True])
    >>> bool((linear_model(linear_arrays(model)).predict_proba([[0.3]])
    ...       == model.predict_proba([[0.3]])).all())
    True
    """
    model = LogisticRegression()
    model.coef_, model.intercept_, model.classes_ = (
        np.array(arrays[name]) for name in ("coef", "intercept", "classes"))
    rows = 1 if len(model.classes_) == 2 else len(model.classes_)
    if model.coef_.ndim != 2 or len(model.coef_) != rows or model.intercept_.shape != (rows,):
        raise ValueError(f"coef is {list(model.coef_.shape)}, intercept "
                         f"{list(model.intercept_.shape)} for {len(model.classes_)} classes")
    model.n_features_in_ = model.coef_.shape[1]
    return model
