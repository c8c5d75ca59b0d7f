"""How the weights of the loss terms change during training."""

from __future__ import annotations


def cyclical_annealing(k: int, n: int) -> float:
    """Factor on beta_x, beta_y and lambda_2 within one epoch (eq. 13).

    Zero for the first third of the epoch's samples, then linear up to 1. Each
    epoch is one cycle.

    Args:
        k: Index of the training sample in the epoch, that is, how many were
            used before it.
        n: Training samples in an epoch.

    >>> [cyclical_annealing(k, 9) for k in (0, 3, 6, 9)]
    [0.0, 0.0, 0.5, 1.0]
    """
    # 3/2 (k/n - 1/3) with one division, so that k = n/3 gives 0 exactly.
    return max(0.0, (3 * k - n) / (2 * n))


def cross_alignment_weight(epoch: int) -> float:
    """lambda_1 (section 4): 0 in the first epoch, 1 in all others.

    Args:
        epoch: Counted from 0.

    >>> [cross_alignment_weight(epoch) for epoch in range(3)]
    [0.0, 1.0, 1.0]
    """
    return 0.0 if epoch == 0 else 1.0
