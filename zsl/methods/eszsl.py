"""ESZSL, an embarrassingly simple approach to zero-shot learning.

Romera-Paredes and Torr, ICML 2015: a bilinear score x^T V s with the closed form

    V = (X X^T + gamma I)^-1 X Y S^T (S S^T + lambda I)^-1

for features X ``[D, N]``, texts S ``[Dt, S]`` and labels Y ``[N, S]`` of 1 and -1.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from pydantic import Field

from zskel.zsl.methods.class_folds import Arrays, Problem
from zskel.zsl.methods.closed_form import ClosedFormMethod, ClosedFormParams, Setting

PENALTIES = tuple(10.0**power for power in range(-3, 4))


class ESZSLParams(ClosedFormParams):
    """Parameters of ESZSL.

    Attributes:
        gamma: Penalty on the side of the skeletons; None chooses among 1e-3,
            1e-2 ... 1e3, the paper's candidates.
        lambda_: Penalty on the side of the texts, likewise.
    """

    gamma: float | None = Field(None, gt=0)
    lambda_: float | None = Field(None, gt=0)


class ESZSL(ClosedFormMethod):
    """ESZSL, with both penalties chosen on left-out seen classes as in the paper.

    The paper chooses them by accuracy, here it is the log loss, which also
    settles the temperature.

    Args:
        **params: See :class:`ESZSLParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "eszsl", ESZSLParams
    params: ESZSLParams

    def _settings(self) -> list[Setting]:
        return list(product(*(
            PENALTIES if penalty is None else (penalty,)
            for penalty in (self.params.gamma, self.params.lambda_)
        )))

    def _summarize(self, problem: Problem) -> Arrays:
        x, s = problem.x, problem.text
        # X Y: twice the sum of a class's rows, less the sum of all.
        sums = np.zeros((len(s), x.shape[1]))
        np.add.at(sums, problem.columns, x)
        return {"x_x": x.T @ x, "x_y": 2 * sums.T - x.sum(axis=0)[:, None], "s_s": s @ s.T, "s": s}

    def _solve(self, summary: Arrays, setting: Setting) -> Arrays:
        gamma, lambda_ = setting
        left = np.linalg.solve(_penalized(summary["x_x"], gamma), summary["x_y"])
        # S^T (S S^T + lambda I)^-1 = (S^T S + lambda I)^-1 S^T, the smaller inverse.
        right = np.linalg.solve(_penalized(summary["s_s"], lambda_), summary["s"])
        return {"v": left @ right}

    def _embed(self, model: Arrays, x: np.ndarray) -> np.ndarray:
        return x @ model["v"]

    def _scores(self, model: Arrays, x: np.ndarray, text: np.ndarray) -> np.ndarray:
        return x @ (model["v"] @ text.T)


def _penalized(gram: np.ndarray, penalty: float) -> np.ndarray:
    return gram + penalty * np.eye(len(gram))
