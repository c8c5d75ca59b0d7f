"""Work shared by threads: on bodies, and on what is needed next.

Bodies are shared by as many threads as torch would use. Python's own threads do it, each
with one thread of torch's inside: large steps that need not wait for one another use a
processor better than the small ones of single operations, and compiled loops take part.
Afterwards torch has as many threads as before.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


def in_threads(count: int, work: Callable[[int, int], None], threads: int) -> None:
    """Calls ``work(begin, end)`` for consecutive shares of ``range(count)``.

    Args:
        count: Of the bodies; 0 does nothing.
        work: Must not depend on the other shares. Runs without gradients.
        threads: How many shares there are, at most.

    >>> found = [0, 0, 0]
    >>> in_threads(3, lambda low, high: found.__setitem__(slice(low, high), [1] * (high - low)), 2)
    >>> found
    [1, 1, 1]
    """
    shares = min(threads, count)
    if shares <= 1:
        if count:
            work(0, count)
        return
    cuts = [count * share // shares for share in range(shares + 1)]

    def run(begin: int, end: int) -> None:
        torch.set_num_threads(1)  # of this thread
        with torch.inference_mode():  # which holds for one thread only
            work(begin, end)

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(shares) as pool:
            list(pool.map(run, cuts, cuts[1:]))
    finally:
        torch.set_num_threads(before)


def ahead(items: Iterable[T]) -> Generator[T, None, None]:
    """The same items; each is made while the one before is worked on.

    Args:
        items: None of them None. One other thread makes them, in their order.

    >>> list(ahead(str(number) for number in range(3)))
    ['0', '1', '2']
    """
    source = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, source, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, source, None)
            yield item
