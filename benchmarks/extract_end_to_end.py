"""Where the time of ``pipeline extract`` goes, from a zip of recordings to the caches.

Recordings of 60 to 110 frames are generated and zipped, and random weights are written;
neither is timed. Then the command runs once, with given weights, in this process, and
what it does is timed by stage. A stage's time is what the command spends in it and in
nothing else, so that the stages add up; work that other processes or threads do
meanwhile costs what the command waits for it. The last line is ``other N.N%``: the share
of everything but the forward pass.

    OMP_NUM_THREADS=2 python benchmarks/extract_end_to_end.py --clips 5000
"""

from __future__ import annotations

import argparse
import builtins
import functools
import multiprocessing
import os
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORWARD, IMPORT = "forward pass", "import packages"
#: Stage, module and what is called there.
STAGES = (
    ("read recordings, write store", "zskel.pipeline.extract.extract", "open_store"),
    ("embed texts", "zskel.pipeline.extract.extract", "text_caches"),
    ("build backbone, choose how to run it", "zskel.extractors.features", "load_model"),
    ("build backbone, choose how to run it", "zskel.extractors.features", "Network.begin"),
    ("decode clips", "zskel.extractors.dataset", "StoreClips.__getitem__"),
    (FORWARD, "zskel.extractors.features", "Network.__call__"),
    ("wait for clips, keep shards", "zskel.extractors.shards", "extract_in_processes"),
    ("write caches", "zskel.pipeline.steps.skeleton_cache", "write_skeleton_features"),
)
CONFIG = """
_base_ = ["_base_/datasets/synthetic.py", "_base_/backbones/{backbone}.py",
          "_base_/text/minilm_label.py", "_base_/methods/sa_dvae.py"]
split = dict(name="default")
"""
#: So many recordings are made; the others are these under other names.
DIFFERENT = 240


class Stopwatch:
    """Seconds by stage; a stage that is called within another one interrupts it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stack, self._since = ["everything else"], time.perf_counter()

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return function(*args, **options)
            self.switch()
            self._stack.append(stage)
            try:
                return function(*args, **options)
            finally:
                self.switch()
                self._stack.pop()

        return call

    @property
    def stage(self) -> str:
        """That of now."""
        return self._stack[-1]

    def switch(self) -> None:
        """Books the time since the last call."""
        now = time.perf_counter()
        stage = self.stage
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


def prepare(folder: Path, clips: int, backbone: str) -> None:
    """Writes raw.zip, experiment.py and weights.pth."""
    import torch

    from zskel.data.skeleton import NTU_RGBD
    from zskel.data.synthetic import Settings, class_names, generate, write_ntu
    from zskel.extractors.layout import follow
    from zskel.extractors.mm import register
    from zskel.pipeline.base.config import load_experiment

    settings = Settings(performers=6, cameras=1, frames=(60, 110))
    paths = write_ntu(generate(settings), folder / "raw")[:DIFFERENT]
    texts = [path.read_bytes() for path in paths]
    with zipfile.ZipFile(folder / "raw.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
        for number in range(clips):
            round_, which = divmod(number, len(paths))
            name = paths[which].name
            person = 6 * round_ + int(name[9:12])
            zipped.writestr(f"nturgb+d_skeletons/{name[:9]}{person:03d}{name[12:]}", texts[which])
    config = folder / "experiment.py"
    config.write_text(CONFIG.format(backbone=backbone))
    register()
    from mmaction.registry import MODELS

    torch.manual_seed(0)
    model = follow(load_experiment(str(config)).needed_backbone.model_dump(), NTU_RGBD)["model"]
    model["cls_head"]["num_classes"] = len(class_names())
    torch.save(MODELS.build(model).state_dict(), folder / "weights.pth")


def profile(folder: Path, workers: int) -> dict[str, float]:
    """Runs the command, and returns seconds by stage."""
    watch, waiting = Stopwatch(), list(STAGES)
    timed_import = watch.timed(IMPORT, builtins.__import__)

    def importing(*args: Any, **options: Any) -> Any:
        imported = timed_import(*args, **options)
        # What the command has imported for itself, and when it does, is timed from then on.
        for each in [each for each in waiting if watch.stage != IMPORT and each[1] in sys.modules]:
            waiting.remove(each)
            stage, module, name = each
            owner: Any = sys.modules[module]
            *outer, name = name.split(".")
            for part in outer:
                owner = getattr(owner, part)
            setattr(owner, name, watch.timed(stage, getattr(owner, name)))
        return imported

    builtins.__import__ = importing
    from zskel.pipeline.cli.main import main

    sys.argv = ["pipeline", "extract", str(folder / "experiment.py"),
                "--raw", str(folder / "raw.zip"), "--weights", str(folder / "weights.pth"),
                "--work-dir", str(folder / "work"), "--workers", str(workers)]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
    watch.switch()
    return watch.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--backbone", default="stgcn", help="of configs/_base_/backbones")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1,
                        help="processes that parse [default: one for each core]")
    options = parser.parse_args()
    if not 240 <= options.clips <= 39_000:
        parser.error("--clips: expected 240 to 39000")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: this one has to import everything where it is timed.
        made = multiprocessing.get_context("spawn").Process(
            target=prepare, args=(folder, options.clips, options.backbone))
        made.start()
        made.join()
        if made.exitcode:
            raise SystemExit("the recordings could not be made")
        seconds = profile(folder, options.workers)

    import torch
    from rich.console import Console
    from rich.table import Table

    total = sum(seconds.values())
    table = Table(title=f"{options.clips} clips, {options.backbone}, {torch.get_num_threads()} "
                        f"threads, {options.workers} parsers: {total:.1f} s")
    for column in ("stage", "s", "%"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage, spent in sorted(seconds.items(), key=lambda each: -each[1]):
        table.add_row(stage, f"{spent:.1f}", f"{100 * spent / total:.1f}")
    Console().print(table)
    print(f"other {100 * (1 - seconds[FORWARD] / total):.1f}%")


if __name__ == "__main__":
    main()
