"""How long one split and seed of Table 3 takes: six methods, both phases, gates, report.

Made-up caches of NTU-60's size: the clips of the 55/5 split of the cross-subject protocol,
f_x 256-d, texts 768-d with their verbs and nouns, and the further features that SMIE takes.
Each method has the settings that are published for NTU-60, as in ``configs/tables/table-3.py``.
The commands are ``pipeline fit`` and ``pipeline report``, from the start of their processes to
their end. ``--scale`` takes a part of the clips, which tells nothing about time but that all of
it works. The last line is the seconds of both commands.

    OMP_NUM_THREADS=1 python benchmarks/table.py --jobs 2
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_up import Phase, Size, write_caches

#: The first is the experiment's own.
METHODS = ("sa_dvae", "revise", "jpose", "cada_vae", "synse", "smie")
EXPERIMENT = "ntu60-55-5"


def ntu60(scale: float) -> Size:
    """The 55/5 split; in the calibration phase 5 further classes and 5 of 20 subjects are out."""
    def phase(seen: int, train: int, held_out: int) -> Phase:
        return Phase(range(seen), range(seen, seen + 5), max(2 * seen, round(scale * train)),
                     max(4 * (seen + 5), round(scale * held_out)))

    return Size("ntu60", 60, {"test": phase(55, 36_758, 16_487),
                              "calibration": phase(50, 25_062, 9_188)}, 768, ["f_x_masked"])


def seconds_of(*arguments: str | Path) -> float:
    """How long a command of the pipeline takes; what it tells is shown."""
    started = time.perf_counter()
    ended = subprocess.run([sys.executable, "-m", "zskel", *map(str, arguments)])
    if ended.returncode:
        sys.exit(f"{' '.join(map(str, arguments))}: exit code {ended.returncode}")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="part of the clips")
    parser.add_argument("--method", action="append", choices=METHODS, help="only these")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help=(
        "work there and keep it; pipeline plan table-3 --work-dirs FOLDER goes by its times"))
    given = parser.parse_args()
    if not 0 < given.scale <= 1:
        parser.error("--scale: expected above 0, up to 1")
    chosen = [part for method in given.method or METHODS for part in ("--method", method)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        work = folder / EXPERIMENT
        if not work.exists():
            write_caches(work / "features", ntu60(given.scale))
        fit = seconds_of("fit", EXPERIMENT, "--work-dir", work, "--seeds", "1", *chosen,
                         "--jobs", str(given.jobs))
        report = seconds_of("report", work, "--out", folder / "report")
        for path in sorted((work / "results").glob("*.json")):
            record = json.loads(path.read_text())
            print(f"{record['method']}: {record['duration_seconds']:.0f} s")
    print(f"fit --jobs {given.jobs}: {fit:.0f} s; report: {report:.0f} s")
    print(f"seconds {fit + report:.0f}")


if __name__ == "__main__":
    main()
