"""How much sooner ``pipeline fit --jobs N`` is done than one fit after the other.

Made-up features of UTD-MHAD's size (861 clips of 27 classes, 256-d f_x, 384-d texts).
``pipeline fit utd-mhad-22-5 --method all --seeds 5`` is run three times, from the start of
its process to its end: as it is, with ``--jobs``, and with ``--jobs`` through submitit's
local executor. What comes out has to be the same to the bit. The last line is
``ratio N.N``, of the slower one of the two. Of use on a machine that does nothing else; on
a busy one the CPU seconds beside it tell what the processes cost in all.

    OMP_NUM_THREADS=1 python benchmarks/jobs.py --jobs 2
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from made_up import Phase, Size, write_caches

UTD_MHAD = Size("utd-mhad", 27, {
    "test": Phase(range(22), range(22, 27), 430, 430),
    "calibration": Phase(range(17), range(17, 22), 430, 430),
}, text=384)


def fitted(work: Path, arguments: Sequence[str]) -> tuple[float, float, dict[str, Any]]:
    """Seconds of a command, those of all its processes on the CPU, and what it has made:
    records without times, arrays as bytes."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-m", "zskel", "fit", "utd-mhad-22-5", "--work-dir", str(work),
         *arguments], capture_output=True, text=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        sys.exit(ended.stderr)
    made: dict[str, Any] = {}
    for path in (work / "results").iterdir():
        if path.suffix == ".json":
            record = json.loads(path.read_text())
            made[path.name] = {key: value for key, value in record.items()
                               if key not in ("created", "duration_seconds")}
        else:
            with np.load(path) as arrays:
                made[path.name] = {name: arrays[name].tobytes() for name in arrays.files}
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--method", action="append", help="only these")
    given = parser.parse_args()
    common = ["--seeds", str(given.seeds), "--no-models"]
    for method in given.method or ["all"]:
        common += ["--method", method]
    jobs = ["--jobs", str(given.jobs)]
    ways = {"one after the other": [], f"--jobs {given.jobs}": jobs,
            f"--jobs {given.jobs} --executor local": [*jobs, "--executor", "local"]}
    seconds, expected = {}, None
    with tempfile.TemporaryDirectory() as folder:
        write_caches(Path(folder) / "caches", UTD_MHAD)
        for number, (name, arguments) in enumerate(ways.items()):
            work = Path(folder) / str(number)
            shutil.copytree(Path(folder) / "caches", work / "features")
            seconds[name], cpu, made = fitted(work, [*common, *arguments])
            expected = expected or made
            print(f"{name}: {seconds[name]:.0f} s, CPU {cpu:.0f} s, {len(made)} files, "
                  f"{'the same' if made == expected else 'OTHERS'}", flush=True)
    alone, *others = seconds.values()
    print(f"ratio {alone / max(others):.2f}")


if __name__ == "__main__":
    main()
