"""Warm-ups of CADA-VAE and SynSE, as factors from 0 to 1 on a final weight."""

from __future__ import annotations

#: Where SynSE's ramps start, as fractions of a cycle of 1700 steps: the
#: skeleton's KL term; the alignment and the text's KL term.
KL_START, ALIGNMENT_START = 1000 / 1700, 1400 / 1700


def warm_up(position: float, start: float, end: float) -> float:
    """Linear from 0 at ``start`` to 1 at ``end``, constant outside.

    Args:
        position: Part of the training done, 0 to 1.
        start, end: Likewise; ``start`` < ``end``.

    >>> [warm_up(position, 0.25, 0.75) for position in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    return min(1.0, max(0.0, (position - start) / (end - start)))


def cycle_at(step: int, steps: int, cycles: int) -> tuple[int, float]:
    """The cycle that a step is in, from 0, and the part of it that is done.

    Args:
        step: Steps done so far.
        steps: Of the whole training.
        cycles: Equal parts of it.

    >>> cycle_at(3, 8, cycles=4)
    (1, 0.5)
    """
    cycle, rest = divmod(step * cycles, steps)
    return cycle, rest / steps
