"""Several processes that train one backbone together, as mmengine's launchers start them.

    torchrun --nproc_per_node=4 -m zskel extract ... --launcher pytorch
    srun --ntasks=4 --gres=gpu:4 --kill-on-bad-exit=1 pipeline extract ... --launcher slurm

Process 0 alone reads recordings and writes what is kept; the others help with the
training and the extraction and wait otherwise. They must see the same files.

Nothing here imports torch where a process works alone: that takes seconds.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from zskel.data.common.errors import BadConfig, PipelineError
from zskel.data.common.registry import nearest

T = TypeVar("T")

LAUNCHERS = {
    "none": (),
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NODELIST"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}
"""What may start the processes, and the environment variables that it sets."""

# The others wait while process 0 parses recordings.
_PATIENCE = datetime.timedelta(days=2)


def launch(launcher: str = "none") -> None:
    """Joins this process to the others; nothing for "none" or if that is done already.

    With GPUs through mmengine's own launchers and NCCL, one GPU a process. Without
    them through gloo on the CPU, by torchrun only.

    Args:
        launcher: One of ``LAUNCHERS``.

    Raises:
        BadConfig: Unknown launcher, or this process was not started by it.
    """
    if launcher not in LAUNCHERS:
        raise BadConfig(f"--launcher {launcher!r}: {nearest(launcher, LAUNCHERS)}")
    if launcher == "none":
        require_single_process("without --launcher pytorch this command")
    if launcher == "none" or joined():
        return
    import torch

    missing = [name for name in LAUNCHERS[launcher] if name not in os.environ]
    if missing:
        starter = {"pytorch": "torchrun", "slurm": "srun", "mpi": "mpirun"}[launcher]
        raise BadConfig(f"--launcher {launcher}: {missing[0]} is not set in the environment; "
                        f"start the command with {starter}")
    for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")  # mmengine does so too, with a warning from each
    if torch.cuda.is_available():
        from mmengine.dist import init_dist

        init_dist(launcher, backend="nccl", timeout=int(_PATIENCE.total_seconds()))
    elif launcher == "pytorch":
        torch.distributed.init_process_group("gloo", timeout=_PATIENCE)
    else:
        raise BadConfig(f"--launcher {launcher}: works with GPUs only, this machine has none; "
                        "on CPUs start the command with torchrun and --launcher pytorch")


def require_single_process(work: str) -> None:
    """Checks that torchrun has not started several processes that would not know each other.

    Slurm's and MPI's variables do not tell: whatever runs inside of a job has them.

    Args:
        work: What would be done by each of them, as the message begins.

    Raises:
        BadConfig: It has.
    """
    processes = os.environ.get("WORLD_SIZE", "1")
    if "TORCHELASTIC_RUN_ID" in os.environ and processes != "1" and not joined():
        raise BadConfig(f"{work} would do everything in each of the {processes} processes that "
                        "torchrun has started; only extract --launcher pytorch shares its work")


def joined() -> bool:
    """Whether this process works with others."""
    # Who has not imported it has not joined.
    module = sys.modules.get("torch.distributed")
    return module is not None and module.is_available() and module.is_initialized()


def rank() -> int:
    """The number of this process; 0 if it works alone."""
    return _torch().get_rank() if joined() else 0


def world_size() -> int:
    """How many processes work together; 1 if this one works alone."""
    return _torch().get_world_size() if joined() else 1


def is_main() -> bool:
    """Whether this is the process that writes."""
    return rank() == 0


def barrier() -> None:
    """Waits until all processes are here."""
    if joined():
        _torch().barrier()


def wait_for_all(meanwhile: Callable[[], None], seconds: float = 0.2) -> None:
    """A barrier that leaves this process time for something else.

    Args:
        meanwhile: Called again and again until all processes are here.
        seconds: Between two calls.
    """
    if not joined():
        return
    arrival = _torch().barrier(async_op=True)
    while not arrival.is_completed():
        meanwhile()
        time.sleep(seconds)
    arrival.wait()


def gathered(value: T) -> list[T]:
    """What each process says, by its number, in each of them.

    Args:
        value: That of this process; anything that can be pickled.
    """
    if not joined():
        return [value]
    said: list[Any] = [None] * world_size()
    _torch().all_gather_object(said, value)
    return said


def agreed(value: T) -> T:
    """What process 0 says, in each of them; ``value`` itself where one works alone.

    Args:
        value: That of this process; anything that can be pickled.
    """
    if not joined():
        return value
    said = [value]
    _torch().broadcast_object_list(said, src=0)
    return said[0]


def leave() -> None:
    """Ends the work together, once all processes are here."""
    if joined():
        barrier()
        _torch().destroy_process_group()


@contextmanager
def launched(launcher: str = "none") -> Iterator[None]:
    """Work that this process does with others: ``launch`` before, ``leave`` after.

    If one of them fails the others cannot go on. The error of the one that failed
    first is raised as it is; the others, whose own would only say that somebody is
    gone, end without a word.

    Raises:
        BadConfig: As ``launch``.
        PipelineError: Another process has died.
        SystemExit: Another process has failed.
    """
    launch(launcher)
    try:
        yield
        leave()
    except BaseException as error:
        if not joined():
            raise
        if _fails_first():
            if not _is_lost_connection(error):
                raise
            # Killed, it could not say so itself.
            raise PipelineError(
                "another process of this work has died (killed, or out of memory?); what is "
                "finished is kept, and the same command goes on from there") from None
        codes: dict[type[BaseException], int] = {KeyboardInterrupt: 130}
        raise SystemExit(
            error.exit_code if isinstance(error, PipelineError) else codes.get(type(error), 1)
        ) from None


def _torch() -> Any:
    """torch.distributed, which is loaded where there are others."""
    return sys.modules["torch.distributed"]


def _fails_first() -> bool:
    from torch.distributed.distributed_c10d import _get_default_store

    try:
        return bool(_get_default_store().add("failed", 1) == 1)
    except RuntimeError:
        return False  # its keeper is gone, so this is not the first


def _is_lost_connection(error: BaseException) -> bool:
    """Whether an error is that of talking to a process that is not there any more."""
    said = str(error).lower()
    return isinstance(error, RuntimeError) and not isinstance(error, PipelineError) and (
        isinstance(error, getattr(_torch(), "DistError", ())) or "gloo" in said or "nccl" in said)
