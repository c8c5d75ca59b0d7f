"""The surest clips make prototypes of the unseen classes, and every clip goes to the nearest."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import entr, softmax

from zskel.data.common.errors import BadInput
from zskel.zsl.gates.base import F_X, REFERENCE, GateInput
from zskel.zsl.refinements.base import Refinement
from zskel.zsl.refinements.cluster_votes import whitened


class PrototypeAlignment(Refinement):
    """PGFA's alignment at test time (Zhou et al., IEEE TIP 2025), on top of any method.

    Every clip is named by the largest p_u. Of the clips of one name a share with the least
    entropy is kept; their mean is the prototype of that class, and p_u becomes a softmax
    of the cosines with the prototypes. One round only, and the same clips make the
    prototypes and are scored, as the released code has it. PGFA does so in its own space of
    texts; here it is f_x, whitened as in ``cluster_votes``. A class that keeps no clip has
    its text for a prototype there; here no clip can go to it any more.

    Args:
        support: Share of clips kept, rounded down to whole clips. The release has 0.9 for
            NTU-60, 0.4 for NTU-120 and 1.0 for PKU-MMD, and no rule that would not look
            at test clips; here it is 0.9 everywhere.
        temperature: Divides the cosines; PGFA's.
    """

    name: ClassVar[str] = "prototype_alignment"
    needs: ClassVar[frozenset[str]] = frozenset({F_X, REFERENCE})

    def __init__(self, support: float = 0.9, temperature: float = 0.07) -> None:
        if not 0 < support <= 1:
            raise BadInput(f"support is {support}, expected more than 0 and at most 1")
        if not temperature > 0:
            raise BadInput(f"temperature is {temperature}, expected more than 0")
        self.support, self.temperature = support, temperature

    def refine(self, inputs: GateInput) -> np.ndarray:
        """See :meth:`Refinement.refine`."""
        inputs.require(self.needs, self.name)
        assert inputs.f_x is not None and inputs.reference is not None
        p_u, f_x = inputs.unseen_proba, whitened(inputs.f_x, inputs.reference)
        named, entropy = p_u.argmax(axis=1), entr(p_u).sum(axis=1)
        scores = np.full(p_u.shape, -np.inf)
        for u in range(p_u.shape[1]):
            clips = np.flatnonzero(named == u)
            clips = clips[np.argsort(entropy[clips], kind="stable")]
            kept = clips[: int(self.support * len(clips))]
            if len(kept):
                prototype = f_x[kept].mean(axis=0)
                scores[:, u] = f_x @ prototype / (np.linalg.norm(prototype) or 1.0)
        if not np.isfinite(scores).any():
            return p_u
        return np.asarray(softmax(scores / self.temperature, axis=1))

    def description(self) -> dict[str, Any]:
        """See :meth:`Refinement.description`."""
        return {"name": self.name, "support": self.support, "temperature": self.temperature}
