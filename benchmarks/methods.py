"""Time and memory of every method at the size of NTU-60 and NTU-120.

Features are generated: classes with a text of their own, clips around a linear image
of it. Each method runs in a process of its own, on one thread, with the
hyper-parameters of its config for that data set (``configs/_base_/methods``). Trained
methods are stopped after ``--steps`` steps; their time for a whole fit is the time a
step took, the first tenth left out, times the steps of a whole fit, and is marked with
``~``. Methods in closed form run to the end. Memory is the peak of the process, less
what it held before the fit.

    OMP_NUM_THREADS=1 python benchmarks/methods.py --steps 300

``--direct`` compares the steps of every trained method with those of a loop as one would
first write it (``direct.py``), on the same features and in turns, in CPU time; and with
the time that the matrix products of its own steps take alone (``products.py``), below
which no rearrangement of the rest can come. Schedules that go through cycles have them
shortened, so that all their parts are measured. Each way counts with its fastest turn.
Memory is the peak of the process after the method's own steps. The last line is
``ratio N.N``: how many times the time of a method's step the loop's takes, for the
method that gains least.

    OMP_NUM_THREADS=1 python benchmarks/methods.py --direct --size ntu60 --steps 200
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

#: Training clips of seen classes, classes, unseen classes, width of f_y.
SIZES = {"ntu60": (36_750, 60, 5, 1024), "ntu120": (57_800, 120, 10, 1024)}
WIDTH = 256
#: Steps between two reports of progress; in a shortened cycle; and turns of each way.
_TOLD, _CYCLE, _ROUNDS = 20, 100, 4


class _Enough(Exception):
    """Raised out of a fit that has shown how long a step takes."""


def generate(size: str, parts: tuple[str, ...], seed: int = 0) -> tuple[Any, ...]:
    """f_x, y, f_y (or a mapping of parts) and the seen and unseen classes."""
    clips, classes, unseen, width = SIZES[size]
    random = np.random.default_rng(seed)
    f_y = random.normal(size=(classes, width)).astype(np.float32)
    y = np.arange(clips) % (classes - unseen)
    f_x = f_y[y] @ random.normal(size=(width, WIDTH)).astype(np.float32) / np.sqrt(width)
    f_x += random.normal(size=f_x.shape).astype(np.float32)
    text = {part: np.roll(f_y, k, axis=1) for k, part in enumerate(parts)} if parts else f_y
    return (np.maximum(f_x, 0), y, text,
            list(range(classes - unseen)), list(range(classes - unseen, classes)))


def measure(size: str, name: str, steps: int) -> dict[str, float]:
    """Seconds of a fit and of 16,000 predictions, and MiB, of one method."""
    import torch

    from zskel.zsl.methods import METHODS

    torch.set_num_threads(1)
    config = published(size, name)
    method = METHODS.build(config.name, **{**config.options, "seed": 0})
    f_x, y, f_y, seen, _ = generate(size, method.text_parts)
    whole = method.steps(len(f_x))
    marks: list[tuple[int, float]] = []

    def watch(done: int, total: int) -> None:
        marks.append((done, time.perf_counter()))
        if total > 1 and done >= steps and len(marks) > 3:
            raise _Enough

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    extrapolated = False
    try:
        method.fit(f_x, y, f_y, seen_classes=seen, on_progress=watch)
        seconds = time.perf_counter() - started
    except _Enough:
        extrapolated = True
        first = next(mark for mark in marks if mark[0] >= steps / 10)
        last = marks[-1]
        seconds = whole * (last[1] - first[1]) / (last[0] - first[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "extrapolated": extrapolated, "steps": whole,
            "mib": (peak - before) / 1024}


def compare(size: str, name: str, steps: int) -> dict[str, float]:
    """Seconds of a step, of its products and of the direct loop's step; and MiB."""
    import torch
    from direct import Direct
    from products import Products

    from zskel.zsl.methods import METHODS

    torch.set_num_threads(1)
    config = published(size, name)
    method = METHODS.build(config.name, **{**config.options, "seed": 0})
    f_x, y, f_y, seen, _ = generate(size, method.text_parts)
    whole = method.steps(len(f_x))
    if hasattr(method.params, "cycles"):
        method = METHODS.build(
            config.name, **{**config.options, "seed": 0, "cycles": whole // _CYCLE})
    # As many as let an epoch's remainder, and a whole cycle, take part.
    of_products = _CYCLE if method.params.batch_size < 256 else _TOLD
    products, marks = Products(), []

    def watch(done: int, total: int) -> None:
        marks.append((done, time.process_time()))
        if done >= steps:
            raise _Enough

    def look(done: int, total: int) -> None:
        if done == _TOLD:
            products.__enter__()
        elif done == _TOLD + of_products:
            products.__exit__(None, None, None)
            raise _Enough

    def fit(on_progress: Callable[[int, int], None]) -> None:
        with contextlib.suppress(_Enough):
            method.fit(f_x, y, f_y, seen_classes=seen, on_progress=on_progress)

    fit(watch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    fit(look)
    texts = f_y if isinstance(f_y, dict) else {"f_y": f_y}
    direct = Direct(name, method.params, f_x, y, {part: f[seen] for part, f in texts.items()})
    own, loop, limit = [], [], []
    for _ in range(_ROUNDS):
        marks.clear()
        fit(watch)
        (first, start), *_, (done, end) = marks
        own.append((end - start) / (done - first))
        limit.append(products.seconds() / of_products)
        loop.append(statistics.mean(direct.seconds(max(8, steps // 10))))
    return {"own": min(own), "limit": min(limit), "direct": min(loop), "steps": whole,
            "mib": peak}


def compare_all(sizes: list[str], names: list[str] | None, steps: int) -> None:
    """Prints a table, the methods that no loop is written for, and last the smallest ratio."""
    from direct import LOOPS

    from zskel.zsl.methods import METHODS

    trained = [name for name in METHODS.names() if METHODS.build(name).steps(1000) > 1]
    table = Table(title="CPU time of a training step, one thread")
    for column in ("method", "data set", "direct, ms", "own, ms", "ratio", "products, ms",
                   "own / products", "phase, s", "MiB"):
        table.add_column(column, justify="left" if column in ("method", "data set") else "right")
    ratios = []
    for size in sizes:
        for name in names or [name for name in trained if name in LOOPS]:
            found = _in_process(size, name, steps, "--direct")
            own, direct, limit = found["own"], found["direct"], found["limit"]
            ratios.append(direct / own)
            table.add_row(
                name, size, f"{1000 * direct:.1f}", f"{1000 * own:.1f}", f"{direct / own:.1f}",
                f"{1000 * limit:.1f}", f"{own / limit:.1f}", f"{found['steps'] * own:.0f}",
                f"{found['mib']:.0f}")
    Console(width=110).print(table)
    if missing := [name for name in trained if name not in LOOPS]:
        print(f"trained too, but without a loop to compare with: {', '.join(missing)}")
    print(f"ratio {min(ratios):.1f}")


def published(size: str, name: str) -> Any:
    """The config of a method for the data set; SA-DVAE's is named by the paper's table."""
    from zskel.pipeline.base.config import load_method

    return load_method(f"sa_dvae_table2_{size}" if name == "sa_dvae" else name, size)


def _in_process(size: str, name: str, steps: int, *options: str) -> dict[str, float]:
    """Measures one method in a process of its own.

    Raises:
        RuntimeError: It failed; with its last line.
    """
    done = subprocess.run(
        [sys.executable, __file__, "--steps", str(steps), *options, "--one", size, name],
        capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=300, help="after which training is stopped")
    parser.add_argument("--method", action="append", help="only these")
    parser.add_argument("--size", choices=sorted(SIZES), action="append")
    parser.add_argument("--one", nargs=2, metavar=("SIZE", "METHOD"), help=argparse.SUPPRESS)
    parser.add_argument("--direct", action="store_true",
                        help="compare the steps of trained methods with plain loops")
    given = parser.parse_args()
    if given.one:
        print(json.dumps((compare if given.direct else measure)(*given.one, given.steps)))
        return
    sizes = given.size or sorted(SIZES, reverse=True)
    if given.direct:
        compare_all(sizes, given.method, given.steps)
        return
    from zskel.zsl.methods import METHODS

    table = Table(title=f"one fit, f_x {WIDTH}-d, f_y 1024-d, one thread")
    for column in ("method", "data set", "steps", "ms a step", "fit, s", "memory, MiB"):
        table.add_column(column, justify="left" if column in ("method", "data set") else "right")
    for size in sizes:
        for name in given.method or METHODS.names():
            try:
                found = _in_process(size, name, given.steps)
            except RuntimeError as error:
                table.add_row(name, size, "", "", "failed", str(error))
                continue
            steps = int(found["steps"])
            table.add_row(
                name, size, f"{steps}" if steps > 1 else "-",
                f"{1000 * found['seconds'] / steps:.1f}" if steps > 1 else "-",
                f"{'~' if found['extrapolated'] else ''}{found['seconds']:.0f}",
                f"{found['mib']:.0f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
