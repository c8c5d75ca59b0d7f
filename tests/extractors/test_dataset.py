"""Clips as model inputs: reproducible item by item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zskel.data.common.errors import BadConfig
from zskel.data.store import SequenceStore


@pytest.fixture
def make(
    make_spec: Callable[..., Any], store: SequenceStore, rows: np.ndarray
) -> Callable[..., Any]:
    from zskel.extractors.dataset import StoreClips

    spec = make_spec()

    def build(seed: int = 0) -> StoreClips:
        labels = np.arange(len(rows))
        return StoreClips(store, rows, labels, spec.prepare, spec.train_pipeline, seed)

    return build


def values(item: dict[str, Any]) -> np.ndarray:
    return np.asarray(item["inputs"])


def test_items_have_the_models_shape_and_their_label(make: Callable[..., Any]) -> None:
    clips = make()
    item = clips[0, 3]
    assert values(item).shape == (1, 1, 8, 25, 3)  # clips, bodies, frames, joints, axes
    assert item["data_samples"].gt_labels.item.tolist() == [3]


def test_an_item_depends_on_seed_epoch_and_row_only(make: Callable[..., Any]) -> None:
    alone = values(make()[2, 5])
    clips = make()
    np.random.seed(1)
    for key in ((0, 5), (2, 1), 7, (2, 4)):
        clips[key]
    np.random.random(17)
    assert np.array_equal(values(clips[2, 5]), alone)
    assert np.array_equal(values(clips[2, 5]), alone)
    assert not np.array_equal(values(clips[1, 5]), alone)
    assert not np.array_equal(values(make(seed=1)[2, 5]), alone)


def test_a_bare_index_is_epoch_0(make: Callable[..., Any]) -> None:
    clips = make()
    assert np.array_equal(values(clips[4]), values(clips[0, 4]))


def test_the_same_row_is_augmented_alike_wherever_it_stands(
    make_spec: Callable[..., Any], store: SequenceStore, rows: np.ndarray
) -> None:
    from zskel.extractors.dataset import StoreClips

    spec = make_spec()
    other = StoreClips(store, rows[::-1], np.zeros(len(rows)), spec.prepare, spec.train_pipeline)
    one = StoreClips(store, rows, np.zeros(len(rows)), spec.prepare, spec.train_pipeline)
    assert np.array_equal(values(one[1, 2]), values(other[1, len(rows) - 3]))


@pytest.mark.parametrize(("step", "message"), [
    ({"type": "NoSuchStep"}, "NoSuchStep"),
    ({"type": "RandomScale3D", "ratios": 1}, "ratios"),
])
def test_wrong_transforms_are_named(
    make_spec: Callable[..., Any], step: dict[str, Any], message: str
) -> None:
    from zskel.extractors.dataset import build_transforms

    make_spec()
    with pytest.raises(BadConfig, match=message):
        build_transforms([step])


def test_sampler_visits_each_item_once_in_an_order_of_seed_and_epoch() -> None:
    from zskel.extractors.dataset import EpochSampler

    def order(seed: int, epoch: int) -> list[tuple[int, int]]:
        sampler = EpochSampler(50, seed)
        sampler.set_epoch(epoch)
        assert len(sampler) == 50
        return list(sampler)

    first = order(0, 3)
    assert {epoch for epoch, _ in first} == {3}
    assert sorted(index for _, index in first) == list(range(50))
    assert order(0, 3) == first
    orders = {tuple(index for _, index in order(seed, epoch))
              for seed, epoch in ((0, 3), (0, 4), (1, 3), (1, 4))}
    assert len(orders) == 4 and tuple(range(50)) not in orders
