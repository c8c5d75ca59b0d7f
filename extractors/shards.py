"""Features of many clips by several processes, or by one that may be stopped.

The passes of an extraction are dealt out in runs of consecutive ones. Each finished run
is a file, a shard; process 0 puts them together once all are there. The result is that
of ``zskel.extractors.features.extract_features`` to the bit, however many processes there are
and whoever has done which run, for a pass is the same wherever it is made.

The passes follow from the shapes of the clips' inputs, which only their transforms
know. One clip of each size says what to expect of the others; whoever transforms a
clip sees whether that is so. Where it is not, all shapes are found first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from zskel.data.common.errors import PipelineError
from zskel.data.common.files import digest_json
from zskel.data.common.machine import machine
from zskel.data.common.processes import end_with_parent
from zskel.data.store import SequenceStore
from zskel.extractors.dataset import StoreClips
from zskel.extractors.distributed import (
    agreed,
    barrier,
    gathered,
    is_main,
    rank,
    wait_for_all,
    world_size,
)
from zskel.extractors.features import (
    Clips,
    Network,
    clips_of,
    require_finite,
    require_one_shape,
)
from zskel.extractors.passes import Shape, as_runs, plan_passes
from zskel.extractors.shard_files import Shard, read_shard, write_shard
from zskel.extractors.sharing import ahead
from zskel.extractors.training import BackboneSpec

RUN_PASSES = 16
"""Passes a shard: seconds of work, and few enough files."""
FEWEST_RUNS = 16
"""Shards that a short extraction is cut into, so that it can be shared."""
# A file that another machine has just written may take its time to be seen.
_PATIENCE = 60.0

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Extraction:
    """The features of some rows, and what made them.

    Attributes:
        f_x, logits: Float32 ``[N, D]`` and ``[N, S]``.
        cut: How many of ``passes`` did not fit into memory and were run in parts.
        machines: ``zskel.data.common.machine.machine`` of all that took part; each once.
        pooled: Views by name, float16 ``[N, ..., D]``.
    """

    f_x: np.ndarray
    logits: np.ndarray
    cut: int
    passes: int
    machines: tuple[dict[str, str], ...]
    pooled: Mapping[str, np.ndarray] = field(default_factory=dict)


class _OtherShape(Exception):
    """A clip has another shape than those of its size."""


def extract_in_processes(
    model: nn.Module,
    spec: BackboneSpec,
    store: SequenceStore,
    rows: np.ndarray,
    folder: Path,
    batch_size: int = 32,
    on_progress: Progress | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Extraction | None:
    """``extract_features`` by all processes that work together.

    Args:
        model, spec, store, rows, batch_size: As for ``extract_features``, the same in
            each process; with ``spec.pools`` the views are extracted along.
        folder: For the shards; its name has to say everything that decides the
            features. What is found there is used, and it stays.
        on_progress: Called in process 0 with (clips done by all, N).
        on_notice: See ``zskel.extractors.features.Network``.

    Returns:
        The features in process 0, None in the others.

    Raises:
        BadInput: A feature is not finite; the message names the clip.
        PipelineError: A single clip does not fit into memory, or shards are missing.
    """
    dataset = clips_of(spec, store, rows)
    shapes = _expected_shapes(dataset, store, rows)
    while True:
        shards = _Shards(folder, plan_passes(shapes, batch_size), on_progress, len(rows), spec)
        network = Network(model, spec, on_notice=on_notice)
        if shards.missing:
            network.begin(dataset[shards.passes[0][0]])
        surprised = shards.make(dataset, network, shapes)
        if not any(gathered(surprised)):
            break
        shapes = _true_shapes(dataset)
    found = shards.merged() if is_main() else None
    barrier()  # no process cleans up or goes on before all shards are there
    if found is not None:
        require_finite(found.f_x, store, rows)
    return found


def working_digest(decided_by: object) -> str:
    """Names an extraction, the same in each process.

    Args:
        decided_by: JSON value of everything that decides the features. The machine,
            process 0's where there are several, is added here.
    """
    if torch.cuda.is_available():
        torch.cuda.init()  # or what this machine is would depend on what has been done before
    return agreed(digest_json([decided_by, machine()]))


class _Shards:
    """The runs of passes of one extraction, and their files.

    Attributes:
        passes: The positions in each.
        missing: The numbers of the runs that are still to be made, by whichever process.
    """

    def __init__(
        self, folder: Path, passes: list[list[int]], on_progress: Progress | None, clips: int,
        spec: BackboneSpec,
    ) -> None:
        self._folder, self.passes, self._clips = folder, passes, clips
        self._num_workers, self._pools = spec.num_workers, spec.pools
        self._runs = as_runs(passes, RUN_PASSES, FEWEST_RUNS)
        self._sizes = [sum(map(len, run)) for run in self._runs]
        self._tell = on_progress if on_progress is not None and is_main() else None
        # Few clips are done again before a file of them is of use, unless others need it.
        self._in_files = world_size() > 1 or len(passes) > 2 * RUN_PASSES
        self._held: dict[int, Shard] = {}
        missing = [number for number in range(len(self._runs))
                   if self._read(number) is None] if is_main() else []
        self.missing = set(agreed(missing))
        self._told = 0.0

    def make(self, dataset: StoreClips, network: Network, shapes: Sequence[Shape]) -> bool:
        """Makes this process's share of what is missing, and waits for the others.

        Returns:
            Whether a clip had another shape than ``shapes`` says, and all is to be
            done again.
        """
        surprised = False
        own = sorted(self.missing)[rank()::world_size()]
        # Its processes, where the config asks for some, decode several passes ahead.
        batches = [positions for number in own for positions in self._runs[number]]
        loader = DataLoader(
            dataset, batch_sampler=batches, collate_fn=list,
            num_workers=self._num_workers if own else 0, worker_init_fn=end_with_parent)
        with closing(ahead(loader)) as passes:
            for number in own:
                try:
                    self._write(number, self._make(number, passes, network, shapes))
                    self.missing.discard(number)
                except _OtherShape:
                    surprised = True
                    break
        wait_for_all(lambda: self._progress(0))
        self._progress(0, always=True)
        return surprised

    def merged(self) -> Extraction:
        """All features in order.

        Raises:
            PipelineError: A shard cannot be seen, or a row is not there exactly once.
        """
        count = np.zeros(self._clips, np.int64)
        arrays: list[np.ndarray] = []
        machines, cut = [], 0
        for number in range(len(self._runs)):
            shard = self._held.get(number) or self._read_patiently(number)
            parts = (shard.f_x, shard.logits, *shard.pooled.values())
            arrays = arrays or [np.empty((self._clips, *part.shape[1:]), part.dtype)
                                for part in parts]
            for whole, part in zip(arrays, parts):
                require_one_shape({whole.shape[1:-1], part.shape[1:-1]})
                whole[shard.positions] = part
            np.add.at(count, shard.positions, 1)
            machines.append(shard.machine)
            cut += shard.cut
        wrong = np.flatnonzero(count != 1)
        if len(wrong):
            raise PipelineError(f"{self._folder}: {len(wrong)} of {self._clips} clips were not "
                                f"extracted exactly once, the first {count[wrong[0]]} times; "
                                "remove the folder and start again")
        return Extraction(arrays[0], arrays[1], cut, len(self.passes), tuple(
            json.loads(text) for text in dict.fromkeys(machines)),
            dict(zip(self._pools, arrays[2:])))

    def _make(
        self, number: int, passes: Iterator[Clips], network: Network, shapes: Sequence[Shape]
    ) -> Shard:
        before, done, parts = network.cut, 0, []
        for positions in self._runs[number]:
            clips = next(passes)
            if any(tuple(clip["inputs"].shape) != shapes[position]
                   for position, clip in zip(positions, clips)):
                raise _OtherShape
            parts.append(network(clips))
            done += len(positions)
            self._progress(done)
        for each in zip(*parts):
            require_one_shape({part.shape[1:-1] for part in each})
        f_x, logits, *views = (np.concatenate(each) for each in zip(*parts))
        return Shard(self._positions(number), f_x, logits, network.cut - before,
                     json.dumps(machine(), sort_keys=True), dict(zip(self._pools, views)))

    def _positions(self, number: int) -> np.ndarray:
        return np.concatenate([np.asarray(each, np.int64) for each in self._runs[number]])

    def _path(self, number: int) -> Path:
        # Of other passes, should there have been any, it would be another file.
        digest = digest_json(self._runs[number])[:12]
        return self._folder / f"{number:05d}-{digest}.npz"

    def _write(self, number: int, shard: Shard) -> None:
        if not self._in_files:
            self._held[number] = shard
            return
        write_shard(self._path(number), shard)

    def _read(self, number: int) -> Shard | None:
        return read_shard(self._path(number), self._positions(number), self._pools)

    def _read_patiently(self, number: int) -> Shard:
        end = time.monotonic() + (_PATIENCE if world_size() > 1 else 0)
        while (shard := self._read(number)) is None:
            if time.monotonic() > end:
                raise PipelineError(f"{self._path(number)}: a shard of the features is not there "
                                    "though its process has written it; all processes have to "
                                    "see the same files")
            list(self._folder.glob("*"))  # a listing makes a network's file system look again
            time.sleep(0.5)
        return shard

    def _progress(self, of_this_run: int, always: bool = False) -> None:
        now = time.monotonic()
        if self._tell is None or not (always or of_this_run or now > self._told + 1):
            return
        if always or now > self._told + 1:
            # What others have finished shows by its files; it takes a look at each.
            self.missing -= {number for number in self.missing
                              if self._in_files and self._path(number).is_file()}
            self._told = now
        left = sum(self._sizes[number] for number in self.missing)
        self._tell(min(self._clips - left + of_this_run, self._clips), self._clips)


def _expected_shapes(
    dataset: StoreClips, store: SequenceStore, rows: np.ndarray
) -> list[Shape]:
    """The inputs' shapes, if clips with as many bodies and frames have the same."""
    known: dict[tuple[int, int], Shape] = {}
    shapes = []
    for position, row in enumerate(rows):
        size = (int(store.num_bodies[row]), int(store.num_frames[row]))
        if size not in known:
            known[size] = tuple(dataset[position]["inputs"].shape)
        shapes.append(known[size])
    return shapes


def _true_shapes(dataset: StoreClips) -> list[Shape]:
    """The inputs' shapes as they are; each process finds those of its share."""
    own = [tuple(dataset[position]["inputs"].shape)
           for position in range(rank(), len(dataset), world_size())]
    shapes: list[Shape] = [()] * len(dataset)
    for number, found in enumerate(gathered(own)):
        shapes[number::world_size()] = found
    return shapes
