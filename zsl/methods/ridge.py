"""Ridge regression from skeleton features to text features, and the nearest text.

The plainest learned map between the two spaces, as a sanity anchor: what a
method cannot do better than this, its networks do not add.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from zskel.zsl.methods.class_folds import Arrays, Problem
from zskel.zsl.methods.closed_form import ClosedFormMethod, ClosedFormParams, Setting, cosines

PENALTIES = tuple(10.0**power for power in range(-5, 2))


class RidgeParams(ClosedFormParams):
    """Parameters of ridge regression.

    Attributes:
        penalty: Weight of the squared norm of the map against the *mean*
            squared error; None chooses among 1e-5, 1e-4 ... 10.
    """

    penalty: float | None = Field(None, gt=0)


class Ridge(ClosedFormMethod):
    """Ridge regression and cosine.

    W and b minimize ``mean |x W + b - t_y|^2 + penalty |W|^2``, b without
    penalty; a class's score is the cosine of ``x W + b`` with its text.

    Args:
        **params: See :class:`RidgeParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "ridge", RidgeParams
    params: RidgeParams

    def _settings(self) -> list[Setting]:
        penalty = self.params.penalty
        return [(value,) for value in (PENALTIES if penalty is None else (penalty,))]

    def _summarize(self, problem: Problem) -> Arrays:
        x, targets = problem.x, problem.text[problem.columns]
        bias = targets.mean(axis=0)
        return {"covariance": x.T @ x / len(x), "cross": x.T @ (targets - bias) / len(x),
                "bias": bias}

    def _solve(self, summary: Arrays, setting: Setting) -> Arrays:
        covariance = summary["covariance"]
        penalized = covariance + setting[0] * np.eye(len(covariance))
        return {"weight": np.linalg.solve(penalized, summary["cross"]), "bias": summary["bias"]}

    def _embed(self, model: Arrays, x: np.ndarray) -> np.ndarray:
        return x @ model["weight"] + model["bias"]

    def _scores(self, model: Arrays, x: np.ndarray, text: np.ndarray) -> np.ndarray:
        return cosines(self._embed(model, x), text)
