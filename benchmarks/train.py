"""How fast backbones train: one epoch of each config on generated clips.

The first line says on what it runs. With a GPU the full-size configs are trained,
without one the small ones that are made for CPUs, unless ``--backbone`` names some.
``--amp`` trains each in mixed precision as well and prints how many times more clips
a second that takes than float32 in the same run; without a GPU there is only float32.
Clips are random walks of 60 to 120 frames, a fifth of them of two bodies. An epoch
before the timed one loads and prepares them.

    OMP_NUM_THREADS=1 python benchmarks/train.py --backbone stgcn_cpu --clips 64 --amp
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from zskel.data.readers.base import Entry, Reader, Scan
from zskel.data.skeleton import NTU_RGBD
from zskel.data.store import SequenceStore
from zskel.data.store_building import build_store
from zskel.extractors.layout import follow
from zskel.extractors.mm import register
from zskel.pipeline.base.config import BackboneConfig, load_section

FOLDER = Path(str(resources.files("zskel.configs"))) / "_base_" / "backbones"
CLASSES = 10


class Walks(Reader):
    """Random walks; the source's name says how many clips."""

    dataset, layout = "walks", NTU_RGBD

    def scan(self) -> Scan:
        source = self.sources[0]
        return Scan([Entry(f"walk{number:05d}", number % CLASSES, str(source))
                     for number in range(int(source.name))])

    def read(self, entry: Entry) -> np.ndarray:
        number = int(entry.sample_id[4:])
        random = np.random.default_rng(number)
        bodies, frames = 2 if number % 5 == 0 else 1, int(random.integers(60, 121))
        pose = random.normal(scale=0.4, size=(bodies, 1, 25, 3)) + (0, 0, 3)
        steps = random.normal(scale=0.02, size=(bodies, frames, 25, 3))
        return (pose + steps.cumsum(axis=1)).astype(np.float32)


def seconds_an_epoch(spec: object, store: SequenceStore, folder: Path) -> float:
    """Of the second of two epochs, its checkpoint included."""
    from zskel.extractors.training import train_backbone

    ended: list[float] = []

    def note(done: int, total: int, losses: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        ended.append(time.perf_counter())

    train_backbone(replace(spec, epochs=2), store, np.arange(len(store)), tuple(range(CLASSES)),
                   folder, note)
    return ended[1] - ended[0]


def main() -> None:
    known = sorted(path.stem for path in FOLDER.glob("*.py"))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbone", action="append", choices=known,
                        help="may be repeated [default: all that suit the machine]")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--workers", type=int, default=0, help="processes that load clips")
    parser.add_argument("--amp", action="store_true", help="mixed precision beside float32")
    options = parser.parse_args()
    if options.clips < CLASSES:
        parser.error(f"--clips: expected {CLASSES} or more")
    gpu = torch.cuda.is_available()
    names = options.backbone or [name for name in known if name.endswith("_cpu") != gpu]

    register()
    from zskel.extractors.training import BackboneSpec, where

    specs = {}
    for name in names:
        config = load_section(FOLDER / f"{name}.py", "backbone", BackboneConfig)
        followed = follow(config.model_dump(), Walks.layout)
        specs[name] = replace(BackboneSpec(**followed), num_workers=options.workers)
    amp = {"type": "AmpOptimWrapper"} if options.amp else {}
    first = specs[names[0]]
    print(where(replace(first, optim_wrapper={**first.optim_wrapper, **amp})), flush=True)

    table = Table(title=f"one epoch of {options.clips} clips, {torch.get_num_threads()} threads")
    both = gpu and options.amp
    for column in ("backbone", "batch", "float32 clips/s", *(["AMP clips/s", "ratio"] * both)):
        table.add_column(column, justify="left" if column == "backbone" else "right")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = Path(folder) / str(options.clips)
        source.touch()
        build_store(Walks([source]), Path(folder) / "store.h5", [str(c) for c in range(CLASSES)])
        store = SequenceStore(Path(folder) / "store.h5")
        for name, spec in specs.items():
            rates = [len(store) / seconds_an_epoch(spec, store, Path(folder) / name)]
            if both:
                mixed = replace(spec, optim_wrapper={**spec.optim_wrapper, **amp})
                seconds = seconds_an_epoch(mixed, store, Path(folder) / f"{name}-amp")
                rates += [len(store) / seconds, len(store) / seconds / rates[0]]
            table.add_row(name, str(spec.batch_size), *(f"{rate:.1f}" for rate in rates))
    Console().print(table)


if __name__ == "__main__":
    main()
