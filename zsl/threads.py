"""One thread for small dense algebra."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from threadpoolctl import threadpool_limits


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Limits torch and BLAS to one thread inside the block.

    Batches of 32 rows are too small to share: waking and waiting for other
    threads costs more than it saves, and many times more on a busy machine.
    One thread also keeps the order of sums, and so the result, the same
    whatever the number of cores.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
