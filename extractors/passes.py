"""Which clips go through a network together, and what to do where they do not fit.

How a clip's features are rounded can depend on the clips that are pushed through with
it. So the passes of an extraction follow from the clips alone, in their order: several
processes share whole passes, and each of them is the one that a single process makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from zskel.data.common.errors import PipelineError
from zskel.data.common.memory import out_of_memory
from zskel.extractors.inference import TOLERANCE, Recognizer

Shape = tuple[int, ...]
"""Of a clip's inputs, ``[clips, ...]``: the first counts what was sampled of a recording."""


class Grouping:
    """Sorts clips into passes as they come: of one shape, and no more than fit in one.

    Args:
        batch_size: Sampled clips a pass. A recording with more has a pass of its own.
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._waiting: dict[Shape, list[int]] = {}

    def add(self, position: int, shape: Shape) -> list[int] | None:
        """Takes the next clip, and returns the pass that it makes full, if it does."""
        positions = self._waiting.setdefault(shape, [])
        positions.append(position)
        if (len(positions) + 1) * shape[0] > self._batch_size:
            return self._waiting.pop(shape)
        return None

    def rest(self) -> list[list[int]]:
        """The passes that are not full, once there are no more clips."""
        return list(self._waiting.values())


def plan_passes(shapes: Iterable[Shape], batch_size: int) -> list[list[int]]:
    """The passes over clips of these shapes: the positions in each.

    >>> plan_passes([(1, 8), (1, 9), (1, 8), (1, 8)], 2)
    [[0, 2], [1], [3]]
    """
    grouping = Grouping(batch_size)
    full = (grouping.add(position, shape) for position, shape in enumerate(shapes))
    return [*filter(None, full), *grouping.rest()]


def as_runs(passes: Sequence[list[int]], most: int, least: int) -> list[list[list[int]]]:
    """Cuts passes into runs of consecutive ones, the units that are dealt out and kept.

    They do not depend on how many processes there are, so that what some have finished
    is of use to any number of others.

    Args:
        passes: From ``plan_passes``.
        most: Passes a run.
        least: How many runs there should be at least, where there are passes enough.

    >>> [len(run) for run in as_runs([[0], [1], [2], [3], [4]], most=16, least=3)]
    [1, 1, 1, 1, 1]
    >>> [len(run) for run in as_runs([[i] for i in range(7)], most=3, least=2)]
    [3, 3, 1]
    """
    length = max(1, min(most, len(passes) // least))
    return [list(passes[start:start + length]) for start in range(0, len(passes), length)]


class Halving:
    """Runs passes, one that does not fit into memory in halves.

    Later passes are cut at once as finely as was needed. Features of a pass in parts
    differ from those of the whole by rounding (less than ``TOLERANCE``).

    Args:
        run: From ``zskel.extractors.inference.recognizer``.
        device: Where it runs.
        on_notice: Gets one line each time that less is tried.

    Attributes:
        cut: How many passes were run in parts.
    """

    def __init__(
        self, run: Recognizer, device: torch.device, on_notice: Callable[[str], None]
    ) -> None:
        self._run, self._device, self._notice = run, device, on_notice
        self._most: int | None = None  # sampled clips that have been found to fit
        self.cut = 0

    def __call__(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the recognizer gives for a pass ``[N, clips, ...]``, on the CPU.

        Raises:
            PipelineError: A single sampled clip does not fit.
        """
        found = self._parts(inputs)
        self.cut += len(found) > 1
        return tuple(torch.cat(parts) for parts in zip(*found))

    def _parts(self, inputs: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
        recordings, sampled = inputs.shape[:2]
        if self._most is None or recordings * sampled <= self._most:
            outputs = self._attempt(inputs)
            if outputs is not None:
                return [outputs]
            self._take_less(recordings * sampled)
        halves = inputs.tensor_split(2, dim=0 if recordings > 1 else 1)
        found = [outputs for half in halves for outputs in self._parts(half)]
        if recordings == 1 and sum(len(f_x) for f_x, *_ in found) != sampled:
            raise PipelineError(
                "extraction: the clips of one recording do not fit into memory together, and "
                "this backbone's head takes no fewer; sample fewer (num_clips in "
                "backbone.test_pipeline)")
        return found

    def _attempt(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...] | None:
        try:
            return tuple(part.float().cpu() for part in self._run(inputs.to(self._device)))
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        # Not in the handler: the error's frames hold what did not fit.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _take_less(self, clips: int) -> None:
        if clips == 1:
            where = "GPU" if self._device.type == "cuda" else "machine"
            raise PipelineError(f"extraction: a single clip does not fit into the memory of the "
                                f"{where}; free some, or sample shorter clips "
                                "(backbone.test_pipeline)")
        self._most = -(-clips // 2)
        self._notice(f"a pass of {clips} clips does not fit into memory; it goes on with at most "
                     f"{self._most}, which changes features by rounding alone (less than "
                     f"{TOLERANCE:.0e}), and the cache notes it")
