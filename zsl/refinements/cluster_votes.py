"""Clips that lie together get one answer together."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import softmax
from sklearn.cluster import KMeans

from zskel.data.common.errors import BadInput
from zskel.zsl.gates.base import F_X, REFERENCE, GateInput, Reference
from zskel.zsl.linear import unit_or_zero
from zskel.zsl.refinements.base import Refinement
from zskel.zsl.threads import single_threaded

#: Of the covariance within seen classes, towards a multiple of the identity.
_SHRINKAGE = 0.1
_STARTS = 5


class ClusterVotes(Refinement):
    """k-means, then the mean log p_u of a cluster for every clip of it.

    The clusters are those of f_x at unit length, whitened by the covariance within the
    seen classes of the training clips. There are more of them than classes, so that a
    class may have several and its size need not be known.

    Args:
        clusters: As a multiple of the number of unseen classes.
        seed: Of k-means.
    """

    name: ClassVar[str] = "cluster_votes"
    needs: ClassVar[frozenset[str]] = frozenset({F_X, REFERENCE})

    def __init__(self, clusters: float = 2.0, seed: int = 0) -> None:
        if not clusters > 0:
            raise BadInput(f"clusters is {clusters}, expected more than 0")
        self.clusters, self.seed = clusters, seed

    @single_threaded()
    def refine(self, inputs: GateInput) -> np.ndarray:
        """See :meth:`Refinement.refine`."""
        inputs.require(self.needs, self.name)
        assert inputs.f_x is not None and inputs.reference is not None
        classes = inputs.unseen_proba.shape[1]
        f_x = whitened(inputs.f_x, inputs.reference)
        count = min(max(1, round(self.clusters * classes)), len(np.unique(f_x, axis=0)))
        found = KMeans(count, n_init=_STARTS, random_state=self.seed).fit_predict(f_x)
        members = (found == np.arange(count)[:, None]).astype(float)
        votes = members @ np.log(np.maximum(inputs.unseen_proba, np.finfo(float).tiny))
        means = votes / np.maximum(members.sum(axis=1), 1)[:, None]
        return np.asarray(softmax(means, axis=1)[found])

    def description(self) -> dict[str, Any]:
        """See :meth:`Refinement.description`."""
        return {"name": self.name, "clusters": self.clusters}


def whitened(f_x: np.ndarray, reference: Reference) -> np.ndarray:
    """Unit rows ``[N, D]`` of f_x in which classes, seen ones, spread alike in all directions."""
    known, columns = unit_or_zero(reference.f_x), reference.columns
    counts = np.bincount(columns)
    members = (columns == np.arange(len(counts))[:, None]).astype(float)
    means = members @ known / np.maximum(counts, 1)[:, None]
    # All classes weigh the same.
    centred = (known - means[columns]) / np.sqrt(counts[columns])[:, None]
    values, vectors = np.linalg.eigh(centred.T @ centred)
    variance = values.mean()
    if variance <= 0:  # Every class has one clip.
        return unit_or_zero(unit_or_zero(f_x) - known.mean(axis=0))
    values = (1 - _SHRINKAGE) * np.maximum(values / variance, 0) + _SHRINKAGE
    middle = means[counts > 0].mean(axis=0)
    return unit_or_zero((unit_or_zero(f_x) - middle) @ (vectors / np.sqrt(values)))
