"""A stream of clips, each judged with the help of the surest of those before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import entr, softmax

from zskel.data.common.errors import BadInput
from zskel.data.pooled import BODY_PARTS, DESCRIPTORS, SEGMENTS
from zskel.zsl.cache_checks import DESCRIPTOR_VIEWS
from zskel.zsl.gates.base import F_X, REFERENCE, GateInput
from zskel.zsl.refinements.base import Refinement
from zskel.zsl.refinements.cluster_votes import whitened

#: Of the whole body and time among the descriptors; the release has .25 to .45, mostly .30.
_GAMMA = 0.3
#: All parts alike, and all thirds, in place of the release's, which a language model wrote.
UNIFORM = (*[(1 - _GAMMA) / len(BODY_PARTS)] * len(BODY_PARTS),
           *[(1 - _GAMMA) / len(SEGMENTS)] * len(SEGMENTS), _GAMMA)


class SkeletonCache(Refinement):
    """Skeleton-Cache (arXiv 2512.11458, NeurIPS 2025), on top of any method.

    Every unseen class has a block of the clips of least entropy that it was given. A clip adds
    weight * sum over the block of exp(-sharpness (1 - cosine)) to its log p_u of that class,
    is named, and then enters the block of that name, where it takes the place of the one
    of highest entropy if the block is full. Where the caches hold the views ``joint_means``
    and ``frame_means`` there is such a sum for each of the eight descriptors of a clip (four
    parts of the body, three thirds of the time, the whole), and their weighted mean is added;
    elsewhere f_x is the one descriptor. Cosines are of descriptors whitened each for itself,
    as f_x is in ``cluster_votes``. No clip is scored a second time, and no runner-up enters a
    block, which the release does in some cases.

    Args:
        entries: Of a block at most.
        weight: alpha. The paper has the best of five on the test clips; here it is 1.
        sharpness: beta, of which the paper tries four; here it is 5.
        batch: Clips that are scored before they enter the blocks.
        seed: Of the order of the stream.
        descriptor_weights: Of the eight descriptors, 8 numbers, or 8 for each unseen class in
            ascending order, which then go for the clips that p_u gives that class, as in the
            release; scaled to the sum 1. None: ``UNIFORM``, for all classes.
    """

    name: ClassVar[str] = "skeleton_cache"
    needs: ClassVar[frozenset[str]] = frozenset({F_X, REFERENCE})
    feature_views: ClassVar[tuple[str, ...]] = DESCRIPTOR_VIEWS

    def __init__(
        self, entries: int = 8, weight: float = 1.0, sharpness: float = 5.0, batch: int = 1,
        seed: int = 0, descriptor_weights: Sequence[Any] | None = None,
    ) -> None:
        for option, value in (("entries", entries), ("batch", batch)):
            if value < 1:
                raise BadInput(f"{option} is {value}, expected at least 1")
        if weight < 0 or sharpness < 0:
            raise BadInput(f"weight {weight} and sharpness {sharpness} must not be negative")
        self.entries, self.weight, self.sharpness = entries, weight, sharpness
        self.batch, self.seed = batch, seed
        self._given = descriptor_weights
        self._shares = _shares(UNIFORM if descriptor_weights is None else descriptor_weights)
        self._form: dict[str, Any] = {}

    def refine(self, inputs: GateInput) -> np.ndarray:
        """See :meth:`Refinement.refine`."""
        inputs.require(self.needs, self.name)
        described = _whitened_descriptors(inputs)
        count, classes = inputs.unseen_proba.shape
        shares = self._shares if described.shape[1] > 1 else np.ones((1, 1))
        if len(shares) not in (1, classes):
            raise BadInput(f"descriptor_weights has {len(shares)} rows, expected one, or one for "
                           f"each of {classes} unseen classes")
        of_clip = shares[inputs.unseen_proba.argmax(axis=1) if len(shares) > 1
                         else np.zeros(count, int)]
        self._form = {"descriptors": list(DESCRIPTORS if described.shape[1] > 1 else [F_X])}
        logits = np.log(np.maximum(inputs.unseen_proba, np.finfo(float).tiny))
        keys = np.zeros((classes, self.entries, *described.shape[1:]))
        entropy = np.full((classes, self.entries), np.inf)  # of empty places
        order = np.random.default_rng(self.seed).permutation(count)
        p_u = np.empty((count, classes))
        for start in range(0, count, self.batch):
            rows = order[start:start + self.batch]
            cosine = np.einsum("bsd,uksd->buks", described[rows], keys)
            near = np.exp(-self.sharpness * (1 - cosine)) * np.isfinite(entropy)[..., None]
            gained = np.einsum("buks,bs->bu", near, of_clip[rows])
            p_u[rows] = softmax(logits[rows] + self.weight * gained, axis=1)
            for row in rows:
                block, own = p_u[row].argmax(), entr(p_u[row]).sum()
                place = entropy[block].argmax()
                if own < entropy[block, place]:
                    keys[block, place], entropy[block, place] = described[row], own
        return p_u

    def description(self) -> dict[str, Any]:
        """See :meth:`Refinement.description`."""
        given = {} if self._given is None else {"descriptor_weights": self._shares.tolist()}
        return {"name": self.name, "entries": self.entries, "weight": self.weight,
                "sharpness": self.sharpness, "batch": self.batch, "seed": self.seed,
                **given, **self._form}


def _shares(weights: Sequence[Any]) -> np.ndarray:
    """Rows of weights ``[1 or U, 8]`` with the sum 1.

    Raises:
        BadInput: They are no such rows.
    """
    try:
        rows = np.atleast_2d(np.asarray(weights, np.float64))
    except (TypeError, ValueError):
        rows = np.empty((0, 0))
    if rows.ndim != 2 or rows.shape[1] != len(DESCRIPTORS) or not (
            np.isfinite(rows).all() and (rows >= 0).all() and (rows.sum(axis=1) > 0).all()):
        raise BadInput(f"descriptor_weights is {weights}, expected {len(DESCRIPTORS)} numbers from "
                       f"0 on for {', '.join(DESCRIPTORS)}, or such a list for each unseen class")
    return rows / rows.sum(axis=1, keepdims=True)


def _whitened_descriptors(inputs: GateInput) -> np.ndarray:
    """``[N, 8, D]``, or ``[N, 1, D]`` of f_x alone; unit rows."""
    assert inputs.f_x is not None and inputs.reference is not None
    own, known = inputs.descriptors, inputs.reference.descriptors
    if own is None or known is None:
        return whitened(inputs.f_x, inputs.reference)[:, None]
    return np.stack([whitened(own[:, slot], replace(inputs.reference, f_x=known[:, slot]))
                     for slot in range(len(DESCRIPTORS))], axis=1)
