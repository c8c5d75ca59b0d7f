"""A stream of clips, each judged with the help of the surest of those before it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import entr, softmax

from zskel.data.common.errors import BadInput
from zskel.zsl.gates.base import F_X, REFERENCE, GateInput
from zskel.zsl.refinements.base import Refinement
from zskel.zsl.refinements.cluster_votes import whitened


class SkeletonCache(Refinement):
    """Skeleton-Cache (arXiv 2512.11458, NeurIPS 2025) with its global descriptor alone.

    Every unseen class has a block of the clips of least entropy that it was given. A clip adds
    weight * sum over the block of exp(-sharpness (1 - cosine)) to its log p_u of that class,
    is named, and then enters the block of that name, where it takes the place of the one
    of highest entropy if the block is full. Its paper also has descriptors of body parts and of
    thirds of the clip, which f_x does not hold. Cosines are of f_x, whitened as in
    ``cluster_votes``. No clip is scored a second time, and no runner-up enters a block,
    which the release does in some cases.

    Args:
        entries: Of a block at most.
        weight: alpha. The paper has the best of five on the test clips; here it is 1.
        sharpness: beta, of which the paper tries four; here it is 5.
        batch: Clips that are scored before they enter the blocks.
        seed: Of the order of the stream.
    """

    name: ClassVar[str] = "skeleton_cache"
    needs: ClassVar[frozenset[str]] = frozenset({F_X, REFERENCE})

    def __init__(
        self, entries: int = 8, weight: float = 1.0, sharpness: float = 5.0, batch: int = 1,
        seed: int = 0,
    ) -> None:
        for option, value in (("entries", entries), ("batch", batch)):
            if value < 1:
                raise BadInput(f"{option} is {value}, expected at least 1")
        if weight < 0 or sharpness < 0:
            raise BadInput(f"weight {weight} and sharpness {sharpness} must not be negative")
        self.entries, self.weight, self.sharpness = entries, weight, sharpness
        self.batch, self.seed = batch, seed

    def refine(self, inputs: GateInput) -> np.ndarray:
        """See :meth:`Refinement.refine`."""
        inputs.require(self.needs, self.name)
        assert inputs.f_x is not None and inputs.reference is not None
        f_x = whitened(inputs.f_x, inputs.reference)
        count, classes = inputs.unseen_proba.shape
        logits = np.log(np.maximum(inputs.unseen_proba, np.finfo(float).tiny))
        keys = np.zeros((classes, self.entries, f_x.shape[1]))
        entropy = np.full((classes, self.entries), np.inf)  # of empty places
        order = np.random.default_rng(self.seed).permutation(count)
        p_u = np.empty((count, classes))
        for start in range(0, count, self.batch):
            rows = order[start:start + self.batch]
            near = np.exp(-self.sharpness * (1 - np.einsum("bd,ukd->buk", f_x[rows], keys)))
            gained = (near * np.isfinite(entropy)).sum(axis=2)
            p_u[rows] = softmax(logits[rows] + self.weight * gained, axis=1)
            for row in rows:
                block, own = p_u[row].argmax(), entr(p_u[row]).sum()
                place = entropy[block].argmax()
                if own < entropy[block, place]:
                    keys[block, place], entropy[block, place] = f_x[row], own
        return p_u

    def description(self) -> dict[str, Any]:
        """See :meth:`Refinement.description`."""
        return {"name": self.name, "entries": self.entries, "weight": self.weight,
                "sharpness": self.sharpness, "batch": self.batch, "seed": self.seed}
