"""Work that does not fit into memory: how to tell, and how to say so in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zskel.data.common.errors import PipelineError

#: What allocators say in a RuntimeError that has no class of its own.
_SAID = ("defaultcpuallocator", "can't allocate memory", "out of memory", "not enough memory",
         "cublas_status_alloc_failed", "cudnn_status_alloc_failed")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that something does not fit into memory, of the GPU or the machine.

    >>> out_of_memory(MemoryError()), out_of_memory(RuntimeError("size mismatch"))
    (True, False)
    >>> out_of_memory(RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: "
    ...                            "can't allocate memory: you tried to allocate 9 bytes."))
    True
    """
    if isinstance(error, MemoryError):
        return True
    # torch.OutOfMemoryError is one too; asking by its words needs no torch.
    return isinstance(error, RuntimeError) and any(
        said in str(error).lower() for said in _SAID)


def peak_memory(status: Path = Path("/proc/self/status")) -> int | None:
    """The most bytes that this process has had in memory; None where the system does not say."""
    try:
        text = status.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s*(\d+) kB$", text, re.MULTILINE)
    return 1024 * int(found[1]) if found else None


@contextmanager
def memory_in_one_line(work: str, advice: str) -> Iterator[None]:
    """Turns an error of memory into one that a user can act on; others pass.

    Args:
        work: What does not fit, as the message begins.
        advice: What to do.

    Raises:
        PipelineError: Something in the block did not fit into memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, PipelineError) or not out_of_memory(error):
            raise
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise PipelineError(f"{work} does not fit into memory ({said}); {advice}") from None
