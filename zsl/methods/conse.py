"""ConSE: convex combination of semantic embeddings, without any training.

Norouzi et al., ICLR 2014: a clip's place in the space of the texts is the mean
of the seen classes' texts, weighted by the probabilities of the most probable
ones; the unseen class is the one whose text has the largest cosine with it.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy.special import softmax

from zskel.zsl.methods.class_folds import Arrays, Problem
from zskel.zsl.methods.closed_form import ClosedFormMethod, ClosedFormParams, Setting, cosines

SHARPNESSES = (1.0, 3.0, 10.0, 30.0, 100.0)


class ConSEParams(ClosedFormParams):
    """Parameters of ConSE.

    Attributes:
        top: How many of the most probable seen classes take part, the paper's T.
        sharpness: Of the seen classes' probabilities, see :class:`ConSE`; None
            chooses among 1, 3, 10, 30 and 100.
    """

    top: int = Field(10, ge=1)
    sharpness: float | None = Field(None, gt=0)


class ConSE(ClosedFormMethod):
    """ConSE on nearest class means.

    The paper's classifier of seen classes is a trained softmax. Here it takes no
    training: p(c|x) is a softmax of ``-sharpness |x - m_c|^2`` with class means
    m_c. The texts are centred on the mean of the seen ones before the cosine,
    since what all labels share says nothing about which class a clip shows.

    Args:
        **params: See :class:`ConSEParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "conse", ConSEParams
    params: ConSEParams

    def _settings(self) -> list[Setting]:
        sharpness = self.params.sharpness
        return [(value,) for value in (SHARPNESSES if sharpness is None else (sharpness,))]

    def _summarize(self, problem: Problem) -> Arrays:
        classes = len(problem.text)
        sums = np.zeros((classes, problem.x.shape[1]))
        np.add.at(sums, problem.columns, problem.x)
        counts = np.bincount(problem.columns, minlength=classes)
        center = problem.text.mean(axis=0)
        return {"means": sums / counts[:, None], "center": center, "text": problem.text - center}

    def _solve(self, summary: Arrays, setting: Setting) -> Arrays:
        return {**summary, "sharpness": np.array(setting[0])}

    def _embed(self, model: Arrays, x: np.ndarray) -> np.ndarray:
        means = model["means"]
        # |x - m|^2 without |x|^2, which the softmax cancels.
        logits = model["sharpness"] * (2 * x @ means.T - np.sum(means**2, axis=1))
        return combine(softmax(logits, axis=1), model["text"], self.params.top)

    def _scores(self, model: Arrays, x: np.ndarray, text: np.ndarray) -> np.ndarray:
        return cosines(self._embed(model, x), text - model["center"])


def combine(probabilities: np.ndarray, text: np.ndarray, top: int) -> np.ndarray:
    """Means of the texts of the most probable classes, weighted by their probability.

    Args:
        probabilities: ``[N, S]``.
        text: ``[S, Dt]``.
        top: How many classes.

    Returns:
        ``[N, Dt]``.

    >>> combine(np.array([[0.6, 0.3, 0.1]]), np.array([[3.0], [0.0], [9.0]]), top=2).round(6)
    array([[2.]])
    """
    if top < probabilities.shape[1]:
        # Of equal ones the first, so that exactly ``top`` take part.
        order = np.argsort(-probabilities, axis=1, kind="stable")
        probabilities = probabilities.copy()
        np.put_along_axis(probabilities, order[:, top:], 0.0, axis=1)
    return probabilities @ text / probabilities.sum(axis=1, keepdims=True)
