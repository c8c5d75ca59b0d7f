"""C_s and C_u: the classifiers over seen and over unseen classes."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from zskel.data.common.errors import BadInput
from zskel.data.common.linear import fit_linear
from zskel.zsl.linear import linear_arrays, linear_model
from zskel.zsl.methods.base import State
from zskel.zsl.methods.checks import check_features


class SeenClassifier:
    """C_s of eq. 10: one linear layer with softmax on f_x.

    The paper says what C_s is, not how it is trained. Here its weights minimize
    the cross-entropy with an L2 penalty, a convex problem that LBFGS solves
    without any random draw. f_x is first centred and divided by one number, the
    root of its mean squared norm, so that the penalty means the same whatever
    the width and scale of a backbone's features; single dimensions keep their
    relative scale, because dividing each by its own would inflate those that
    hardly ever fire. The penalty matters beyond accuracy: eq. 11 compares p_s
    with p_u, and a p_s that is too flat loses against any p_u.

    Args:
        inverse_penalty: scikit-learn's ``C``: weight of the summed
            cross-entropy against half the squared norm of the weights. Near the
            default the log loss on held-out subjects was smallest.
        max_iterations: Of LBFGS.

    Attributes:
        classes: Class id of each column, ascending; after ``fit``.
    """

    def __init__(self, inverse_penalty: float = 30.0, max_iterations: int = 1000) -> None:
        self.inverse_penalty = inverse_penalty
        self.max_iterations = max_iterations

    def fit(self, f_x: np.ndarray, y: np.ndarray) -> SeenClassifier:
        """Learns from ``[N, D]`` features with class ids ``[N]``.

        Raises:
            BadInput: Non-finite features, or fewer than two classes.
        """
        f_x = check_features(f_x, "f_x")
        self.classes = np.unique(y)
        if len(self.classes) < 2:
            raise BadInput("C_s needs at least two seen classes")
        self._mean = f_x.mean(axis=0, dtype=np.float64)
        self._scale = float(np.sqrt(np.mean(np.sum((f_x - self._mean) ** 2, axis=1)))) or 1.0
        self._model = LogisticRegression(C=self.inverse_penalty, max_iter=self.max_iterations)
        fit_linear(self._model, self._standardize(f_x), y, "C_s")
        return self

    def logits(self, f_x: np.ndarray) -> np.ndarray:
        """Scores ``[N, S]`` before the softmax, columns in the order of ``classes``."""
        f_x = check_features(f_x, "f_x", len(self._mean))
        scores = self._model.decision_function(self._standardize(f_x))
        # For two classes scikit-learn gives their difference only.
        return np.stack([-scores / 2, scores / 2], axis=1) if scores.ndim == 1 else scores

    def predict_proba(self, f_x: np.ndarray) -> np.ndarray:
        """p_s ``[N, S]``."""
        return softmax(self.logits(f_x), axis=1)

    def state(self) -> State:
        """All that ``restore`` needs."""
        return State(
            {**linear_arrays(self._model), "mean": self._mean},
            {"scale": self._scale, "inverse_penalty": self.inverse_penalty,
             "max_iterations": self.max_iterations},
        )

    def restore(self, state: State) -> None:
        """Takes over the state of another C_s."""
        self._model, self._mean = linear_model(state.arrays), state.arrays["mean"].copy()
        self.classes, self._scale = self._model.classes_, state.values["scale"]
        self.inverse_penalty = state.values["inverse_penalty"]
        self.max_iterations = state.values["max_iterations"]

    def _standardize(self, f_x: np.ndarray) -> np.ndarray:
        return (f_x - self._mean) / self._scale


def fit_linear_softmax(
    z: Tensor,
    columns: Tensor,
    *,
    epochs: int,
    learning_rate: float,
    initial: nn.Linear | None = None,
    relu: bool = False,
) -> nn.Linear:
    """C_u of eq. 8: one linear layer under a softmax, trained by cross-entropy.

    Full-batch Adam from zero weights, where every class is equally probable:
    the problem is convex and nothing is drawn at random.

    Args:
        z: ``[N, Z]`` latents, drawn from the text of the classes.
        columns: ``[N]`` the class of each, as a column 0 ... U-1.
        epochs: Steps.
        learning_rate: Adam's.
        initial: The layer ``Z -> U`` to start from and to train, instead of
            zero weights.
        relu: Puts a ReLU between layer and softmax, as the released code of
            SA-DVAE does; the layer returned is without it. From zero weights
            nothing would be learned.

    Returns:
        The layer, ``Z -> U``, giving logits.

    Raises:
        BadInput: The loss became non-finite.
    """
    if initial is not None:
        layer = initial
    else:
        layer = nn.utils.skip_init(
            nn.Linear, z.shape[1], int(columns.max()) + 1, device=z.device)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(layer.parameters(), lr=learning_rate, fused=True)
    # The gradient of one linear layer is two products; classes come first, so that
    # the few of them do not make every row of the softmax a loop of its own.
    z_columns = z.T.contiguous()
    rows = torch.arange(len(z))
    p = torch.ones(())
    with torch.no_grad():
        for _ in range(epochs):
            logits = torch.addmm(layer.bias[:, None], layer.weight, z_columns)
            p = logits.clamp(min=0) if relu else logits
            p = p.softmax(dim=0)
            error = p.clone()
            error[columns, rows] -= 1
            if relu:
                error *= logits > 0
            layer.weight.grad = (error @ z).div_(len(z))
            layer.bias.grad = error.mean(dim=1)
            optimizer.step()
    if not torch.isfinite(p).all():
        raise BadInput("C_u's loss became non-finite; lower its learning rate")
    return layer
