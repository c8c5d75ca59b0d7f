"""The loop over epochs and batches that the trained methods share."""

from __future__ import annotations

import pytest
import torch

from zskel.data.common.errors import BadInput
from zskel.zsl.methods.training import run_epochs, shuffled_batches, steps_of

EPOCHS = 2


def run(step, terms=("loss",), samples=45, batch_size=2, **options):
    generator = torch.Generator().manual_seed(0)
    train = shuffled_batches(step, len(terms), samples, batch_size, generator)
    return run_epochs(train, terms, method="mine", epochs=EPOCHS,
                      steps=steps_of(samples, EPOCHS, batch_size), **options)


def test_every_row_is_used_once_an_epoch_in_a_new_order():
    calls = []

    def step(rows, epoch, k):
        calls.append((rows.tolist(), epoch, k))
        return torch.zeros(1)

    run(step, batch_size=10)
    batches = list(zip((10, 10, 10, 10, 5), range(0, 50, 10)))
    assert [(len(rows), epoch, k) for rows, epoch, k in calls] == [
        (size, epoch, k) for epoch in (0, 1) for size, k in batches]
    orders = [[row for rows, of, _ in calls if of == epoch for row in rows] for epoch in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(45)) and orders[0] != orders[1]
    generator = torch.Generator().manual_seed(0)
    assert orders == [torch.randperm(45, generator=generator).tolist() for _ in range(2)]


def test_history_is_the_mean_over_samples_of_each_term():
    # The last batch has one row and counts as one.
    history = run(lambda rows, epoch, k: torch.tensor([float(len(rows)), float(epoch)]),
                  ("size", "epoch"), samples=5, batch_size=2)
    assert history == {"size": [9 / 5, 9 / 5], "epoch": [0.0, 1.0]}


def test_progress_is_told_now_and_then_and_at_the_end():
    calls = []
    run(lambda *_: torch.zeros(1), on_progress=lambda *call: calls.append(call))
    assert calls == [(20, 46), (40, 46), (46, 46)] and steps_of(45, 2, 2) == 46


def test_hook_finds_the_epochs_so_far():
    history, seen = {}, []
    returned = run(lambda rows, epoch, k: torch.tensor([float(epoch)]), history=history,
                   on_epoch=lambda epoch: seen.append((epoch, list(history["loss"]))))
    assert seen == [(0, [0.0]), (1, [0.0, 1.0])] and returned is history


def test_one_non_finite_step_is_found_and_named():
    def step(rows, epoch, k):
        return torch.tensor([1.0, float("nan") if (epoch, k) == (1, 6) else 1.0])

    with pytest.raises(BadInput, match="mine: second became non-finite in epoch 2") as caught:
        run(step, ("first", "second"))
    assert "\n" not in str(caught.value)
