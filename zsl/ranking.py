"""Ranking losses: what belongs together scores higher than what does not, by a margin."""

from __future__ import annotations

import torch
from torch import Tensor


def class_hinge(
    scores: Tensor, true_scores: Tensor, columns: Tensor, margin: float, count_true: bool = False
) -> Tensor:
    """Sum over the wrong classes of max(0, margin + score - true score), mean over rows.

    Args:
        scores: ``[B, S]`` of each row with each class.
        true_scores: ``[B]``, of each row with its own class. Apart from
            ``scores``, because gradients may have to take only one of the ways.
        columns: ``[B]``, the own class of each row.
        margin: As it says.
        count_true: Sum over the own class too; adds ``margin`` to the value.

    >>> scores = torch.tensor([[1.0, 0.75, -2.0]])
    >>> float(class_hinge(scores, scores[:, 0], torch.tensor([0]), margin=0.5))  # 0.25 + 0
    0.25
    """
    terms = (margin + scores - true_scores[:, None]).clamp_min(0)
    if not count_true:
        terms = terms.scatter(1, columns[:, None], 0.0)
    return terms.sum() / len(scores)


def draw_one(allowed: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draws one allowed column for each row, all with the same probability.

    Args:
        allowed: Booleans ``[A, K]``.
        generator: Of the draws; how many it takes does not depend on ``allowed``.

    Returns:
        The columns ``[A]``, and booleans ``[A]``: whether the row has any.
    """
    lots = torch.rand(allowed.shape, generator=generator)
    return lots.masked_fill(~allowed, -1).argmax(dim=1), allowed.any(dim=1)


def mined_triplet_of_all_pairs(z: Tensor, groups: Tensor, margin: float) -> Tensor:
    """The triplet loss of synse-zsl's JPoSE, which is none of single anchors.

    Each row b finds its hardest positive p(b), the least similar row of its own
    group, and its hardest negative n(b), the most similar row of another one.
    The sum then runs over all pairs (a, b): max(0, margin + z_a.z_n(b) -
    z_a.z_p(b)), so that a row is also drawn to what belongs to others.

    Args:
        z: Unit rows ``[B, E]``.
        groups: ``[B]``; rows of one group belong together.
        margin: As it says.

    Returns:
        A scalar; 0 if all rows are of one group.
    """
    with torch.no_grad():
        similar, same = z @ z.T, groups[:, None] == groups
        positive = similar.masked_fill(~same, torch.inf).argmin(dim=1)
        negative = similar.masked_fill_(same, -torch.inf).argmax(dim=1)
    if (groups == groups[0]).all():
        return z.new_zeros(())
    towards = z.index_select(0, negative) - z.index_select(0, positive)
    return (margin + z @ towards.T).clamp_min(0).sum()
