"""The loss terms of SA-DVAE (Li et al., section 3) as pure functions of tensors.

Every term is a mean over the batch. The paper writes L_x and L_y (eq. 2, 3) as
evidence lower bounds, which grow as the model improves, and L_C (eq. 5) as a
distance, which shrinks, and adds them (eq. 7). Here every function returns what
the VAEs *minimize*, so eq. 2 and 3 enter with their sign turned:
``squared_error + beta * gaussian_kl``. Only :func:`total_correlation` also has
a player that maximizes it.
"""

from __future__ import annotations

from typing import Literal

import torch  # noqa: F401  (for the examples)
import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["sum", "mean"]


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence of N(mean, diag(exp(log_variance))) from the standard normal.

    The D_KL of eq. 1-3: summed over the latent dimensions, mean over the batch.
    For independent parts (z_v and z_r) it is the sum of the parts' divergences,
    so the concatenation of both gives both KL terms of eq. 2 at once.

    Args:
        mean: ``[B, Z]``.
        log_variance: ``[B, Z]``.

    Returns:
        A scalar, zero exactly for the standard normal.

    >>> float(gaussian_kl(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2)))
    0.5
    """
    per_dimension = mean.square() + log_variance.exp() - log_variance - 1
    return per_dimension.sum() / (2 * len(mean))


def squared_error(prediction: Tensor, target: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Squared L2 distance of a reconstruction, mean over the batch.

    Eq. 1-3 leave the Gaussian log-likelihood log p(f|z) open. The squared L2
    norm is one, up to sign and an additive constant, for a variance of 1/2 in
    each dimension; it is also the norm that eq. 5 writes out, so that the
    reconstructions of eq. 2, 3 and 5 share one scale.

    Args:
        prediction: ``[B, D]``.
        target: ``[B, D]``.
        reduction: Over the dimensions. "sum" is the paper's norm; "mean"
            divides it by D, as the released code does everywhere.

    >>> float(squared_error(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)))
    25.0
    """
    if reduction == "mean":
        return F.mse_loss(prediction, target)
    return F.mse_loss(prediction, target, reduction="sum") / len(target)


def cross_alignment(
    f_x_from_text: Tensor,
    f_x: Tensor,
    f_y_from_skeleton: Tensor,
    f_y: Tensor,
    reduction: Reduction = "sum",
) -> Tensor:
    """L_C of eq. 5: each modality reconstructed from the other's latents.

    Args:
        f_x_from_text: ``[B, D]``, D_x(z_v (+) z_y).
        f_x: ``[B, D]``.
        f_y_from_skeleton: ``[B, Dt]``, D_y(z_r).
        f_y: ``[B, Dt]``, the text features of each sample's class.
        reduction: As in :func:`squared_error`.
    """
    return (squared_error(f_y_from_skeleton, f_y, reduction)
            + squared_error(f_x_from_text, f_x, reduction))


def total_correlation(joint_logits: Tensor, permuted_logits: Tensor) -> Tensor:
    """L_T of eq. 6: log D_T(z_x) + log(1 - D_T(z~_x)), mean over the batch.

    D_T maximizes it, E_x minimizes it. It takes D_T's output before the
    sigmoid, where log D = logsigmoid(l) and log(1 - D) = logsigmoid(-l) neither
    overflow nor lose their gradient.

    Args:
        joint_logits: ``[B]`` or ``[B, 1]``, for latents of one skeleton each.
        permuted_logits: Likewise, for latents whose z_v come from another row.

    Returns:
        A scalar, at most 0, and -2 log 2 for a discriminator that cannot tell.
    """
    return F.logsigmoid(joint_logits).mean() + F.logsigmoid(-permuted_logits).mean()
