"""Logits over the seen classes where given weights have no head for them."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from zskel.data.common.linear import fit_linear


def seen_logits(
    f_x: np.ndarray,
    logits: np.ndarray,
    label: np.ndarray,
    train: np.ndarray,
    seen_classes: tuple[int, ...],
    num_classes: int,
) -> tuple[np.ndarray, str]:
    """Columns for the seen classes, and how they came about.

    A head with a column for every class of the data set gives its seen columns;
    one with as many columns as there are seen classes is taken as it is; any
    other (say, NTU weights on another data set) is replaced by a linear softmax
    classifier fitted on the training rows.

    Args:
        f_x: ``[N, D]``.
        logits: ``[N, K]`` of the weights' own head.
        label: Class of each row, ``[N]``.
        train: Rows to fit on: seen classes only.
        seen_classes: S classes, ascending.
        num_classes: C, all classes of the data set.

    Returns:
        Float32 ``[N, S]``; "head", "seen columns of the head" or "linear probe".
    """
    if logits.shape[1] == num_classes:
        return logits[:, list(seen_classes)], "seen columns of the head"
    if logits.shape[1] == len(seen_classes):
        return logits, "head"
    scaler = StandardScaler().fit(f_x[train])
    probe = fit_linear(LogisticRegression(max_iter=2000), scaler.transform(f_x[train]),
                       label[train], "the linear probe on f_x")
    scores = probe.decision_function(scaler.transform(f_x))
    if scores.ndim == 1:
        scores = np.stack([-scores, scores], axis=1) / 2
    return scores.astype(np.float32), "linear probe"
