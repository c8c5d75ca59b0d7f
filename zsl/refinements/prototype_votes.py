"""Clips and p_u agree on prototypes first, then clusters vote."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from scipy.special import softmax

from zskel.zsl.gates.base import GateInput
from zskel.zsl.linear import unit_or_zero
from zskel.zsl.refinements.cluster_votes import ClusterVotes, whitened
from zskel.zsl.threads import single_threaded

_ROUNDS = 15
#: What the cosine with a prototype weighs, and what log p_u does.
_COSINE, _TRUST = 3.0, 0.5


class PrototypeVotes(ClusterVotes):
    """``cluster_votes`` on better p_u.

    In turns, the mean of all clips weighted by p_u becomes the prototype of a class, in
    the whitened f_x of the clusters, and p_u a softmax of three times the cosine with the
    prototypes and half of the method's own log p_u. That half never changes, so that no
    class takes another's clips as a whole.

    Args:
        clusters: As a multiple of the number of unseen classes.
        seed: Of k-means.
    """

    name: ClassVar[str] = "prototype_votes"

    @single_threaded()
    def refine(self, inputs: GateInput) -> np.ndarray:
        """See :meth:`Refinement.refine`."""
        inputs.require(self.needs, self.name)
        assert inputs.f_x is not None and inputs.reference is not None
        z, p_u = whitened(inputs.f_x, inputs.reference), inputs.unseen_proba
        own = _TRUST * np.log(np.maximum(p_u, np.finfo(float).tiny))
        for _ in range(_ROUNDS):
            p_u = softmax(_COSINE * z @ unit_or_zero(p_u.T @ z).T + own, axis=1)
        return super().refine(replace(inputs, unseen_proba=p_u))
