"""scikit-learn's linear classifiers, fitted without its own words to the user."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression


def fit_linear(
    model: LogisticRegression, x: np.ndarray, y: np.ndarray, what: str
) -> LogisticRegression:
    """Fits a classifier; warns in one line if it stops short of its optimum.

    scikit-learn takes class ids for values of a regression where a class has one clip or
    two, and says so. That is of no account here.

    Args:
        model: Unfitted.
        x: ``[N, D]``.
        y: ``[N]`` classes.
        what: Which classifier it is, for the warning.

    Returns:
        The model.

    >>> from sklearn.linear_model import LogisticRegression
    >>> fit_linear(LogisticRegression(), np.eye(3), np.arange(3), "C_s").classes_.tolist()
    [0, 1, 2]
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
    if np.max(model.n_iter_) >= model.max_iter:
        warnings.warn(f"{what} stopped after {model.max_iter} steps, short of its optimum; some "
                      "columns of its features may be far larger than the others",
                      RuntimeWarning, stacklevel=2)
    return model
