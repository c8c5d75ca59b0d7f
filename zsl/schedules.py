"""How the weights of the loss terms change during training.

Two forms of each: the paper's text, and what the released code executes. The
latter's factors on the KL terms are 0.1 (i - s) / (3000/1700 L) from batch s of
L on; here they are written as a factor up to 1 times the value that they reach
at the end of an epoch, ``LATE_BETA_X`` and ``LATE_BETA_Y``, so that beta_x and
beta_y mean the same in both.
"""

from __future__ import annotations

#: What the released schedules end at: 0.1 * 700/3000 and 0.1 * 0.2 * 1700/3000.
LATE_BETA_X, LATE_BETA_Y = 7 / 300, 17 / 1500


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


def late_annealing_x(i: int, batches: int) -> float:
    """Factor on beta_x in the released code: zero until 1000/1700 of the epoch.

    Args:
        i: Index of the batch in the epoch.
        batches: Batches in an epoch.

    >>> [late_annealing_x(i, 34) for i in (0, 20, 27, 34)]
    [0.0, 0.0, 0.5, 1.0]
    """
    return max(0.0, (17 * i - 10 * batches) / (7 * batches))


def late_annealing_y(epoch: int, i: int, batches: int) -> float:
    """Factor on beta_y and lambda_2 in the released code.

    Zero in the first two epochs, afterwards until 0.8 of each.

    >>> [late_annealing_y(2, i, 10) for i in (7, 8, 9, 10)]
    [0.0, 0.0, 0.5, 1.0]
    >>> late_annealing_y(1, 10, 10)
    0.0
    """
    return max(0.0, (5 * i - 4 * batches) / batches) if epoch > 1 else 0.0


def cross_alignment_weight(epoch: int) -> float:
    """lambda_1 (section 4): 0 in the first epoch, 1 in all others.

    Args:
        epoch: Counted from 0.

    >>> [cross_alignment_weight(epoch) for epoch in range(3)]
    [0.0, 1.0, 1.0]
    """
    return 0.0 if epoch == 0 else 1.0


def late_cross_alignment_weight(i: int, batches: int) -> float:
    """lambda_1 in the released code: 1 after 0.8 of every epoch, the first too.

    >>> [late_cross_alignment_weight(i, 10) for i in (7, 8, 9)]
    [0.0, 0.0, 1.0]
    """
    return 1.0 if 5 * i > 4 * batches else 0.0
