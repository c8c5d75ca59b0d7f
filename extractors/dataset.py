"""Clips of a sequence store as mmaction2 model inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmengine.dataset import Compose
from torch.utils.data import Dataset, Sampler

from zskel.data.common.errors import BadConfig
from zskel.data.common.registry import nearest
from zskel.data.store import SequenceStore
from zskel.extractors.spec import with_own_types

Transforms = Sequence[Mapping[str, Any]]


def build_transforms(transforms: Transforms) -> Compose:
    """Builds a list of mmaction2 transforms from config dicts.

    Raises:
        BadConfig: A transform is unknown or has a wrong option.
    """
    configs = [with_own_types(transform) for transform in transforms]
    for kind in (config.get("type") for config in configs):
        if isinstance(kind, str) and TRANSFORMS.get(kind) is None:
            raise BadConfig(f"transforms: unknown type {kind!r}; "
                            f"{nearest(kind, TRANSFORMS.module_dict)}")
    try:
        return Compose(configs)
    except (KeyError, TypeError) as error:
        raise BadConfig(f"transforms: {error}") from None


class StoreClips(Dataset[dict[str, Any]]):
    """Rows of a store, prepared once and by default held in memory, then augmented.

    Every random draw depends on (seed, epoch, row) only, so an epoch is the
    same whether or not the run was stopped before it, and whatever the number
    of loader workers.

    Args:
        store: Where the clips are.
        rows: Store rows, ``[N]``.
        labels: Model columns, ``[N]``; -1 where the model has none.
        prepare: Deterministic transforms, applied once to each clip.
        pipeline: Transforms applied each time a clip is asked for.
        seed: Of the augmentation.
        hold: Whether prepared clips stay in memory, for those who come back for them.
    """

    def __init__(
        self,
        store: SequenceStore,
        rows: np.ndarray,
        labels: np.ndarray,
        prepare: Transforms,
        pipeline: Transforms,
        seed: int = 0,
        hold: bool = True,
    ) -> None:
        self._store, self._rows, self._labels = store, rows, labels
        self._prepare, self._pipeline = build_transforms(prepare), build_transforms(pipeline)
        self._seed, self._hold = seed, hold
        self._prepared: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: tuple[int, int] | int) -> dict[str, Any]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        prepared = self._prepared.get(index)
        if prepared is None:
            prepared = self._prepare(self._load(index))
            if self._hold:
                self._prepared[index] = prepared
        sequence = np.random.SeedSequence((self._seed, epoch, int(self._rows[index])))
        state = sequence.generate_state(1)
        np.random.seed(state[0])
        return self._pipeline(dict(prepared))

    def _load(self, index: int) -> dict[str, Any]:
        keypoint = self._store.keypoint(int(self._rows[index]))
        return {"keypoint": keypoint, "total_frames": keypoint.shape[1],
                "label": int(self._labels[index]), "start_index": 0, "modality": "Pose"}


class EpochSampler(Sampler[tuple[int, int]]):
    """Shuffles by (seed, epoch) and tells the data set which epoch it is."""

    def __init__(self, length: int, seed: int) -> None:
        self._length, self._seed, self._epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch that the next iteration belongs to."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator()
        generator.manual_seed(self._seed * 1_000_003 + self._epoch)
        for index in torch.randperm(self._length, generator=generator).tolist():
            yield self._epoch, index


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """The batches of an epoch, or one process's part of each.

    Every clip is used once an epoch by one of the processes, and all of them get
    the same number of batches. A last batch with fewer clips than there are
    processes joins the one before.

    mmengine's sampler hook calls ``sampler.set_epoch`` before each epoch, also after
    a resume.

    Args:
        sampler: Of the clips.
        batch_size: Clips a step, over all processes.
        rank, processes: Which part of how many.

    Raises:
        BadConfig: A step or the whole epoch has fewer clips than there are processes.

    >>> sampler = EpochSampler(7, seed=0)
    >>> parts = [list(EpochBatches(sampler, 3, rank, 2)) for rank in range(2)]
    >>> [[len(batch) for batch in part] for part in parts]
    [[2, 2], [1, 2]]
    """

    def __init__(
        self, sampler: EpochSampler, batch_size: int, rank: int = 0, processes: int = 1
    ) -> None:
        if min(batch_size, len(sampler)) < processes:
            raise BadConfig(f"{processes} processes cannot share {len(sampler)} clips in batches "
                            f"of {batch_size}; start fewer, or raise backbone.batch_size")
        self.sampler = sampler
        self._rank, self._processes = rank, processes
        starts = list(range(0, len(sampler), batch_size))
        if len(sampler) - starts[-1] < processes:
            starts.pop()
        self._bounds = list(zip(starts, [*starts[1:], len(sampler)]))

    def __len__(self) -> int:
        return len(self._bounds)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        keys = list(self.sampler)
        for start, end in self._bounds:
            yield keys[start + self._rank : end : self._processes]
