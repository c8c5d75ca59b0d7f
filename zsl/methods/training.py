"""The loop over epochs and batches that the trained methods share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from zskel.data.common.errors import BadInput
from zskel.zsl.methods.base import EpochHook, Progress

_PROGRESS_EVERY = 20

Step = Callable[[Tensor, int, int], Tensor]
"""Takes a batch's row numbers ``[B]``, the epoch and the rows used before in this
epoch; returns the loss terms ``[K]`` without gradient."""

Epoch = Callable[[int, Callable[[], None]], Sequence[float]]
"""Takes the epoch and what to call after each step; returns the means of the loss terms."""


def steps_of(samples: int, epochs: int, batch_size: int) -> int:
    """Steps of all epochs together; the last batch of each may be short.

    >>> steps_of(samples=33, epochs=2, batch_size=32)
    4
    """
    return epochs * -(-samples // batch_size)


def rows_in_turn(
    y: Tensor, classes: np.ndarray, count: int, generator: torch.Generator
) -> Tensor:
    """As many rows of every class, its own in turn, in random order.

    Args:
        y: ``[N]`` class ids.
        classes: ``[S]``, each with a row in ``y``.
        count: Rows per class.
        generator: Draws the order.

    Returns:
        Row numbers ``[S * count]``, class by class.

    >>> rows_in_turn(torch.tensor([4, 7, 4]), np.array([4, 7]), 2, torch.Generator())[2:]
    tensor([1, 1])
    """
    rows = []
    for index in classes.tolist():
        own = (y == index).nonzero()[:, 0]
        own = own[torch.randperm(len(own), generator=generator)]
        rows.append(own[torch.arange(count) % len(own)])
    return torch.cat(rows)


def shuffled_batches(
    step: Step, terms: int, samples: int, batch_size: int, generator: torch.Generator
) -> Epoch:
    """An epoch of ``step`` over batches in random order.

    Args:
        step: Does one optimizer step and tells the loss terms.
        terms: How many they are.
        samples: Training rows; the last batch of an epoch may be short.
        batch_size: Rows of a batch.
        generator: Draws the order of each epoch.
    """
    def train(epoch: int, on_step: Callable[[], None]) -> list[float]:
        sums = torch.zeros(terms, dtype=torch.float64)
        order = torch.randperm(samples, generator=generator)
        for k, rows in zip(range(0, samples, batch_size), order.split(batch_size)):
            sums.add_(step(rows, epoch, k), alpha=len(rows))
            on_step()
        return (sums / samples).tolist()

    return train


def run_epochs(
    train: Epoch,
    terms: Sequence[str],
    *,
    method: str,
    epochs: int,
    steps: int,
    on_progress: Progress | None = None,
    on_epoch: EpochHook | None = None,
    history: dict[str, list[float]] | None = None,
) -> dict[str, list[float]]:
    """Trains epoch by epoch.

    Args:
        train: Trains one epoch.
        terms: Names of the loss terms.
        method: Named in errors.
        epochs: How many.
        steps: Of all epochs together, as ``ZeroShotMethod.steps`` tells.
        on_progress, on_epoch: See ``ZeroShotMethod.fit``.
        history: Filled and returned, so that ``on_epoch`` finds the epochs so far.

    Returns:
        The mean of every term over the samples, one value an epoch.

    Raises:
        BadInput: A term became non-finite.
    """
    history = {} if history is None else history
    history.update({name: [] for name in terms})
    done = 0

    def on_step() -> None:
        nonlocal done
        done += 1
        if on_progress is not None and (done % _PROGRESS_EVERY == 0 or done == steps):
            on_progress(done, steps)

    for epoch in range(epochs):
        for name, mean in zip(terms, train(epoch, on_step), strict=True):
            # A non-finite step spoils the sum, so one look an epoch finds it.
            if not np.isfinite(mean):
                raise BadInput(f"{method}: {name} became non-finite in epoch {epoch + 1}; "
                               "lower learning_rate or check the scale of f_x")
            history[name].append(mean)
        if on_epoch is not None:
            on_epoch(epoch)
    return history
