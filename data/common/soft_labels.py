"""The loss of PGFA, for its head on finished features and for backbones that are trained with it.

Zhou et al., "Prototype-guided feature alignment for zero-shot skeleton-based action
recognition", IEEE TIP 2025 (arXiv 2507.00566).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def soft_label_divergence(scores: Tensor, columns: Tensor, sharpness: float) -> Tensor:
    """KL of soft labels from the softmax over a batch's clips and texts, both ways.

    Every clip stands beside the texts of all clips of the batch, ``[B, B]``. The soft
    labels of a row are softmax(sharpness m) with m = 1 for texts of its own class, 0 else.
    The divergences of rows and of columns are averaged.

    Args:
        scores: ``[B, S]`` with the texts of all seen classes.
        columns: ``[B]``, the class of each clip.
        sharpness: Of the labels.
    """
    pairs = scores[:, columns]
    labels = (sharpness * (columns[:, None] == columns).to(pairs.dtype)).softmax(dim=1)
    return 0.5 * sum(
        (F.kl_div(side.log_softmax(dim=1), labels, reduction="batchmean")
         for side in (pairs, pairs.T)), start=pairs.new_zeros(()))
