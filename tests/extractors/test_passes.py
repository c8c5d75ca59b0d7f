"""What goes through the network together, and what becomes of a pass that does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zskel.data.common.errors import PipelineError
from zskel.data.store import SequenceStore
from zskel.extractors.passes import Halving, as_runs, plan_passes

CPU = torch.device("cpu")


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=40), st.integers(1, 9))
def test_each_clip_is_in_one_pass_with_its_like(
    shapes: list[tuple[int, int]], batch_size: int
) -> None:
    passes = plan_passes(shapes, batch_size)
    assert sorted(each for positions in passes for each in positions) == list(range(len(shapes)))
    for positions in passes:
        assert positions == sorted(positions) and len({shapes[each] for each in positions}) == 1
        sampled = shapes[positions[0]][0]
        assert len(positions) == 1 or len(positions) * sampled <= batch_size
    for shape in set(shapes):  # only the last of a shape has room for another clip
        own = [len(each) for each in passes if shapes[each[0]] == shape]
        assert all((length + 1) * shape[0] > batch_size for length in own[:-1])


@given(st.integers(0, 99), st.integers(1, 20), st.integers(1, 20))
def test_runs_are_all_passes_in_order(count: int, most: int, least: int) -> None:
    passes = [[position] for position in range(count)]
    runs = as_runs(passes, most, least)
    assert [each for run in runs for each in run] == passes
    assert all(1 <= len(run) <= most for run in runs)
    assert len(runs) >= min(count, least)


class Small:
    """A network for at most so many clips at a time."""

    def __init__(self, most: int, error: Exception) -> None:
        self.most, self.error, self.tried = most, error, []

    def __call__(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        clips = inputs.flatten(0, 1)
        self.tried.append(len(clips))
        if len(clips) > self.most:
            raise self.error
        return clips.flatten(1).sum(dim=1, keepdim=True), -clips.flatten(1)[:, :2]


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB"), MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate "
                 "memory: you tried to allocate 99 bytes. Error code 12 (Cannot allocate memory)"),
]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(("recordings", "sampled"), [(7, 1), (3, 4), (1, 5), (2, 7)])
@pytest.mark.parametrize("most", [1, 2, 5, 100])
def test_a_pass_that_does_not_fit_is_halved_until_it_does(
    error: Exception, recordings: int, sampled: int, most: int
) -> None:
    inputs = torch.arange(recordings * sampled * 3.0).view(recordings, sampled, 3)
    network, said = Small(most, error), []
    run = Halving(network, CPU, said.append)
    whole = Small(99, error)(inputs)
    for found, expected in zip(run(inputs), whole):
        assert torch.equal(found, expected)
    too_large = recordings * sampled > most
    assert run.cut == too_large and bool(said) == too_large
    assert all("does not fit into memory" in line for line in said)
    # The next is cut at once: nothing is tried in vain.
    network.tried.clear()
    run(inputs)
    assert max(network.tried) <= most and run.cut == 2 * too_large
    assert len(said) == len(set(said))


def test_what_cannot_be_cut_is_one_line() -> None:
    with pytest.raises(PipelineError, match="a single clip does not fit into the memory"):
        Halving(Small(0, MemoryError()), CPU, str)(torch.zeros(4, 1, 3))

    def averages(inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if inputs.shape[1] > 2:
            raise MemoryError
        return inputs.mean(dim=1), inputs.mean(dim=1)

    with pytest.raises(PipelineError, match="clips of one recording do not fit.*num_clips"):
        Halving(averages, CPU, str)(torch.zeros(1, 4, 3))
    run = Halving(averages, CPU, str)
    assert len(run(torch.zeros(5, 2, 3))[0]) == 5  # of recordings it takes any number


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        Halving(Small(0, RuntimeError("size mismatch")), CPU, str)(torch.zeros(4, 1, 3))


class Stopped(Exception):
    pass


def test_one_process_goes_on_where_it_was_stopped(
    make_spec: Callable[..., Any], store: SequenceStore, trained: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from zskel.extractors import shards
    from zskel.extractors.features import extract_features, load_model

    monkeypatch.setattr(shards, "RUN_PASSES", 3)
    monkeypatch.setattr(shards, "FEWEST_RUNS", 4)
    spec, rows = make_spec(), np.arange(len(store))
    model = load_model(spec, trained.weights, 2)
    told: list[int] = []

    def tell(done: int, total: int) -> None:
        told.append(done)
        if len(told) == 8:
            raise Stopped

    folder = tmp_path / ".cache.h5.0.shards"
    with pytest.raises(Stopped):
        shards.extract_in_processes(model, spec, store, rows, folder, 1, tell)
    assert told == list(range(1, 9))  # two shards of three clips, and two clips in vain
    assert len(list(folder.glob("*.npz"))) == 2
    again: list[int] = []
    found = shards.extract_in_processes(model, spec, store, rows, folder, 1,
                                    lambda done, total: again.append(done))
    assert found is not None and again[0] == 7 and again[-1] == len(store)
    f_x, logits = extract_features(model, spec, store, rows, 1)
    assert np.array_equal(found.f_x, f_x) and np.array_equal(found.logits, logits)


def test_few_clips_leave_no_files_on_the_way(
    make_spec: Callable[..., Any], store: SequenceStore, trained: Any, tmp_path: Path
) -> None:
    from zskel.extractors.features import load_model
    from zskel.extractors.shards import extract_in_processes

    spec = make_spec()
    found = extract_in_processes(load_model(spec, trained.weights, 2), spec, store,
                             np.arange(len(store)), tmp_path / "shards")
    assert found is not None and not (tmp_path / "shards").exists()


def test_processes_that_decode_clips_change_nothing(
    make_spec: Callable[..., Any], store: SequenceStore, trained: Any, tmp_path: Path
) -> None:
    from zskel.extractors.features import extract_features, load_model
    from zskel.extractors.shards import extract_in_processes

    spec, rows = make_spec(num_workers=2), np.arange(len(store))
    model = load_model(spec, trained.weights, 2)
    found = extract_in_processes(model, spec, store, rows, tmp_path / "shards", 2)
    f_x, logits = extract_features(model, spec, store, rows, 2)
    assert found is not None
    assert np.array_equal(found.f_x, f_x) and np.array_equal(found.logits, logits)


def test_memory_that_runs_out_while_it_is_tried_how_to_run_is_not_taken_for_a_reason(
    make_spec: Callable[..., Any], trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zskel.extractors import inference
    from zskel.extractors.features import load_model

    def out(self: Any, inputs: torch.Tensor) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(inference.BodyWise, "__call__", out)
    with pytest.raises(torch.OutOfMemoryError):
        inference.recognizer(load_model(make_spec(), trained.weights, 2), (1, 1, 8, 25, 3))
