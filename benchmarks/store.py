"""Peak memory and rate of building a sequence store, by default at NTU-120's size.

The reader makes its clips up, so that only the store's own cost is measured:
``python benchmarks/store.py --clips 114480``. Needs about 40 kB of disk a clip.
The last line is ``peak_gb N.N``.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from zskel.data.readers.base import Entry, Reader, Scan
from zskel.data.skeleton import NTU_RGBD
from zskel.data.store import SequenceStore
from zskel.data.store_building import build_store


class MadeUp(Reader):
    """Clips of random coordinates: 80 frames on average, a fifth with two bodies."""

    dataset = "made-up"
    layout = NTU_RGBD

    def __init__(self, clips: int) -> None:
        super().__init__(())
        self._clips = clips

    def scan(self) -> Scan:
        return Scan([
            Entry(f"clip{number:07d}", number % 120, "made up", subject=number % 106)
            for number in range(self._clips)
        ])

    def read(self, entry: Entry) -> np.ndarray:
        number = int(entry.sample_id[4:])
        generator = np.random.default_rng(number)
        bodies, frames = 1 + (number % 5 == 0), int(generator.integers(40, 121))
        return generator.standard_normal((bodies, frames, 25, 3), dtype=np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=114_480)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.h5"
        names = [f"class {number}" for number in range(120)]
        started = time.perf_counter()
        build_store(MadeUp(arguments.clips), path, names, workers=arguments.workers)
        seconds = time.perf_counter() - started
        store = SequenceStore(path)
        assert len(store) == arguments.clips
        print(f"{len(store)} clips, {path.stat().st_size / 1e9:.1f} GB, {seconds:.0f} s, "
              f"{len(store) / seconds:.0f} clips/s with {arguments.workers} worker(s)")
    everyone = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = sum(resource.getrusage(who).ru_maxrss for who in everyone)
    print(f"peak_gb {peak / 1e6:.1f}")


if __name__ == "__main__":
    main()
