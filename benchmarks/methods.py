"""Time and memory of every method at the size of NTU-60 and NTU-120.

Features are generated: classes with a text of their own, clips around a linear image
of it. Each method runs in a process of its own, on one thread, with the
hyper-parameters of its config for that data set (``configs/_base_/methods``). Trained
methods are stopped after ``--steps`` steps; their time for a whole fit is the time a
step took, the first tenth left out, times the steps of a whole fit, and is marked with
``~``. Methods in closed form run to the end. Memory is the peak of the process, less
what it held before the fit.

    OMP_NUM_THREADS=1 python benchmarks/methods.py --steps 300
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

#: Training clips of seen classes, classes, unseen classes, width of f_y.
SIZES = {"ntu60": (36_750, 60, 5, 1024), "ntu120": (57_800, 120, 10, 1024)}
WIDTH = 256


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

    from zskel.pipeline.base.config import load_method
    from zskel.zsl.methods import METHODS

    torch.set_num_threads(1)
    # SA-DVAE's published settings are named by the paper's table.
    config = load_method(f"sa_dvae_table2_{size}" if name == "sa_dvae" else name, size)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=300, help="after which training is stopped")
    parser.add_argument("--method", action="append", help="only these")
    parser.add_argument("--size", choices=sorted(SIZES), action="append")
    parser.add_argument("--one", nargs=2, metavar=("SIZE", "METHOD"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(*given.one, given.steps)))
        return
    from zskel.zsl.methods import METHODS

    table = Table(title=f"one fit, f_x {WIDTH}-d, f_y 1024-d, one thread")
    for column in ("method", "data set", "steps", "ms a step", "fit, s", "memory, MiB"):
        table.add_column(column, justify="left" if column in ("method", "data set") else "right")
    for size in given.size or sorted(SIZES, reverse=True):
        for name in given.method or METHODS.names():
            done = subprocess.run(
                [sys.executable, __file__, "--steps", str(given.steps), "--one", size, name],
                capture_output=True, text=True)
            if done.returncode:
                table.add_row(name, size, "", "", "failed", done.stderr.strip().splitlines()[-1])
                continue
            found = json.loads(done.stdout)
            steps = int(found["steps"])
            table.add_row(
                name, size, f"{steps}" if steps > 1 else "-",
                f"{1000 * found['seconds'] / steps:.1f}" if steps > 1 else "-",
                f"{'~' if found['extrapolated'] else ''}{found['seconds']:.0f}",
                f"{found['mib']:.0f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
