"""Class prototypes among the skeletons, predicted from text.

Most methods map a clip to the texts and look for the nearest one there, where
some texts are the nearest of nearly everything (hubs). This one goes the other
way: it predicts from a class's text where its clips should lie, and compares
there, under a metric that forgets what clips of one class differ in and what
text cannot tell. Everything is a closed form.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy.special import softmax

from zskel.zsl.linear import unit_or_zero
from zskel.zsl.methods.class_folds import Arrays, Problem
from zskel.zsl.methods.closed_form import ClosedFormMethod, ClosedFormParams, Setting, cosines


class TextPrototypesParams(ClosedFormParams):
    """Parameters; the defaults were chosen on development classes and are meant to stay.

    Attributes:
        ridge: lambda, the noise of a class's place against the kernel's 1.
        width: gamma of the kernel ``exp(-gamma |t - t'|^2)`` on centred unit texts.
        text_error: Share of the errors of text in the metric, the rest is the
            spread of clips within classes.
        shrinkage: Of the metric's covariance, towards a multiple of the identity.
        whitening: 1 whitens by that covariance, 0 not at all.
        denoising: How far a clip moves towards the seen classes' prototypes.
        sharpness: Of its weights on them.
    """

    ridge: float = Field(0.5, gt=0)
    width: float = Field(1.0, gt=0)
    text_error: float = Field(0.25, ge=0, le=1)
    shrinkage: float = Field(0.1, gt=0, le=1)
    whitening: float = Field(0.8, ge=0)
    denoising: float = Field(0.5, ge=0, le=1)
    sharpness: float = Field(10.0, gt=0)


class TextPrototypes(ClosedFormMethod):
    """Prototypes predicted from text, and the nearest one by cosine.

    f_x is scaled to unit length first. With class means m_c and texts t_c of
    the seen classes:

    1. *Prediction.* Kernel ridge regression with a free mean (ordinary kriging)
       from t to m gives m(t) for any text, and for every seen class what it
       would be without that class, m_-c.
    2. *Metric.* ``E = (1 - a) W + a R`` with W the covariance within classes
       and R that of ``m_c - m_-c``, each divided by its trace, all classes
       weighing the same; shrunk, then ``z = E^(-whitening/2) (x - mean m_c)``.
    3. *Denoising.* A clip is moved towards what the seen classes make of it,
       ``z' = (1 - d) z + d sum_c p_c z_c`` in unit vectors, p the softmax of
       ``sharpness * cos(z, z_c)``.
    4. The score of a class is the cosine of z' with its prototype: its own mean
       where it was seen, else the predicted one.

    Args:
        **params: See :class:`TextPrototypesParams`.

    Raises:
        BadConfig: A parameter is unknown or impossible.
    """

    name, params_model = "text_prototypes", TextPrototypesParams
    params: TextPrototypesParams

    def _prepare(self, f_x: np.ndarray) -> np.ndarray:
        return unit_or_zero(f_x)

    def _summarize(self, problem: Problem) -> Arrays:
        params, x, columns = self.params, problem.x, problem.columns
        classes = len(problem.text)
        counts = np.bincount(columns, minlength=classes)
        members = (columns == np.arange(classes)[:, None]).astype(np.float64)
        means = members @ x / counts[:, None]
        center = problem.text.mean(axis=0)
        text = unit_or_zero(problem.text - center)
        intercept, weights, errors = kriging(self._kernel(text, text), means, params.ridge)
        within = (x - means[columns]) / np.sqrt(counts[columns, None] * classes)
        covariance = ((1 - params.text_error) * _of_trace_one(within.T @ within)
                      + params.text_error * _of_trace_one(errors.T @ errors))
        transform = _whitener(
            covariance, problem.width, params.shrinkage, params.whitening)
        origin = means.mean(axis=0)
        return {"origin": origin, "transform": transform, "center": center, "seen_text": text,
                "means": unit_or_zero((means - origin) @ transform), "weights": weights @ transform,
                "intercept": (intercept - origin) @ transform}

    def _solve(self, summary: Arrays, setting: Setting) -> Arrays:
        return summary

    def _embed(self, model: Arrays, x: np.ndarray) -> np.ndarray:
        z = unit_or_zero((x - model["origin"]) @ model["transform"])
        share = self.params.denoising
        weights = softmax(self.params.sharpness * (z @ model["means"].T), axis=1)
        return (1 - share) * z + share * unit_or_zero(weights @ model["means"])

    def _scores(self, model: Arrays, x: np.ndarray, text: np.ndarray) -> np.ndarray:
        return cosines(self._embed(model, x), self._predicted(model, text))

    def _class_scores(self, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
        model = self._model
        prototypes = self._predicted(model, self._text[classes])
        seen = np.isin(classes, self.seen_classes)
        prototypes[seen] = model["means"][np.searchsorted(self.seen_classes, classes[seen])]
        return cosines(self._embed(model, x), prototypes)

    def _predicted(self, model: Arrays, text: np.ndarray) -> np.ndarray:
        kernel = self._kernel(unit_or_zero(text - model["center"]), model["seen_text"])
        return model["intercept"] + kernel @ model["weights"]

    def _kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squared = (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
        return np.exp(-self.params.width * squared)


def kriging(
    kernel: np.ndarray, values: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ordinary kriging: kernel ridge regression whose mean is free.

    Args:
        kernel: ``[S, S]`` between the known places.
        values: ``[S, D]`` there.
        ridge: Added to the diagonal.

    Returns:
        The mean ``[D]``, the weights ``[S, D]`` (a prediction is the mean plus
        kernel times weights), and the errors ``[S, D]`` of predicting each place
        from all others; zeros where there are no others.

    >>> mean, weights, errors = kriging(np.eye(2), np.array([[0.0], [6.0]]), 1.0)
    >>> mean.tolist(), weights.tolist(), errors.tolist()
    ([3.0], [[-1.5], [1.5]], [[-6.0], [6.0]])
    """
    inverse = np.linalg.inv(kernel + ridge * np.eye(len(kernel)))
    sums = inverse.sum(axis=0)
    mean = sums @ values / sums.sum()
    weights = inverse @ (values - mean)
    if len(kernel) == 1:
        return mean, weights, np.zeros_like(values)
    # The weights are Q values with Q = inverse - inverse 1 1' inverse / 1' inverse 1, and
    # the error of leaving one out is weight / Q_ii, as with every linear smoother.
    return mean, weights, weights / (np.diag(inverse) - sums**2 / sums.sum())[:, None]


def _whitener(
    covariance: np.ndarray, width: int, shrinkage: float, power: float
) -> np.ndarray:
    variance = float(np.trace(covariance)) / width
    if variance == 0:  # Every class has one clip, and text predicts it.
        return np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance / variance)
    values = (1 - shrinkage) * np.maximum(values, 0.0) + shrinkage
    return np.asarray(vectors * values ** (-power / 2))


def _of_trace_one(scatter: np.ndarray) -> np.ndarray:
    trace = float(np.trace(scatter))
    return scatter / trace if trace > 0 else scatter
