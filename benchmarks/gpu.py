"""What a GPU is worth here: extraction, training, every method's step, DDP, memory.

Backbones have the configs' full size with random weights, on made-up clips in memory, so
that reading and preprocessing take no part. They run in float32 and in bfloat16, in the
largest of some batch sizes that fits; f_x of the GPU is compared with the CPU's. Methods
have the settings published for NTU-60 and take the same steps on both devices from the same
draws; their latents are compared. A section that fails is listed at the end and stops no
other one; one that begins late is left out, so that all takes less than 6 minutes. The last
thing printed is a Markdown table.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --device cpu --quick   # the same on a CPU, to see that it runs
"""

from __future__ import annotations

import argparse
import copy
import os
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from methods import generate, published
from torch import Tensor, nn

from zskel.data.skeleton import NTU_RGBD
from zskel.extractors.inference import exact, recognizer
from zskel.extractors.layout import follow
from zskel.extractors.mm import register
from zskel.zsl.devices import computing_on
from zskel.zsl.methods import METHODS

CONFIGS = Path(str(resources.files("zskel.configs"))) / "_base_" / "backbones"
#: By config the shape of a clip in extraction and in training, and the largest batches.
SHAPES = {
    "stgcn": ((1, 2, 100, 25, 3), (1, 2, 100, 25, 3)),
    "shift_gcn": ((1, 2, 300, 25, 3), (1, 2, 300, 25, 3)),
    "posec3d": ((20, 25, 48, 64, 64), (1, 25, 48, 56, 56)),
}
LARGEST = {"stgcn": (256, 256), "shift_gcn": (256, 256), "posec3d": (8, 64)}
TRAINED = [name for name in METHODS.names()
           if {"epochs", "batch_size"} <= set(METHODS.get(name).params_model.model_fields)]
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
#: Seconds after which no section begins.
_LAST_START = 300.0

Row = tuple[str, ...]


class Bench:
    """What is measured on a device, and how much of it.

    Args:
        device: "cuda" or "cpu".
        quick: As little as shows that everything runs.
    """

    def __init__(self, device: str, quick: bool) -> None:
        self.device, self.quick = torch.device(device), quick
        self.batches = (2,) if quick else (256, 128, 64, 32, 16, 8, 4, 2)
        self.seconds = 0.2 if quick else 3.0
        self.steps = 60 if quick else 100
        self._builds = 0

    def sync(self) -> None:
        """Waits until the device has done everything."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def per_second(self, work: Callable[[], Any], clips: int) -> float:
        """Clips a second of something that is done again and again."""
        work()
        self.sync()
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < self.seconds or not done:
            work()
            self.sync()
            done += clips
        return done / (time.perf_counter() - started)

    def peak(self) -> str:
        """The most memory since the last call, for people."""
        if self.device.type != "cuda":
            return "-"
        most = torch.cuda.max_memory_allocated() / 2**30
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return f"{most:.2f} GiB"

    def shape(self, name: str, training: bool) -> tuple[int, ...]:
        """Of a clip; smaller for a quick look."""
        shape = SHAPES[name][training]
        if not self.quick:
            return shape
        return (1, 25, 8, 16, 16) if name == "posec3d" else (1, 2, 8, 25, 3)

    def fitting(self, measure: Callable[[int], Row], most: int) -> Row:
        """A row for the largest batch that fits into memory."""
        for batch in (each for each in self.batches if each <= most):
            try:
                return measure(batch)
            except torch.OutOfMemoryError:
                self.peak()
        raise RuntimeError(f"{self.batches[-1]} clips do not fit into memory")


def build(name: str, shape: tuple[int, ...]) -> nn.Module:
    """A recognizer of 60 classes in eval mode; its statistics are those of such clips."""
    from mmaction.registry import MODELS

    from zskel.extractors.training import BackboneSpec
    from zskel.pipeline.base.config import BackboneConfig, load_section

    torch.manual_seed(0)
    config = load_section(CONFIGS / f"{name}.py", "backbone", BackboneConfig)
    spec = BackboneSpec(**follow(config.model_dump(), NTU_RGBD))
    content = spec.model_config(60)
    if name == "posec3d":
        content["backbone"]["in_channels"] = shape[1]
    model = MODELS.build(content)
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.momentum = None  # an average over what it sees
    with torch.no_grad():
        model.train()(clips(4, (1, *shape[1:])), mode="tensor", stage="head")
    return model.eval()


def clips(count: int, shape: tuple[int, ...]) -> Tensor:
    """Made-up clips, the same each time; of poses a fifth has two bodies."""
    made = torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))
    if shape[1] == 2:
        made[count // 5 + 1:, :, 1] = 0
    return made


def logits_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """A forward for training."""
    found: Tensor = model(inputs, mode="tensor", stage="head")
    return found


def extraction(bench: Bench, name: str) -> Iterator[Row]:
    """Clips a second and f_x beside the CPU's."""
    shape = bench.shape(name, False)
    model = build(name, shape)
    few = clips(2, shape)
    with exact(torch.device("cpu")):
        expected = recognizer(model, shape)(few)[0]
    model.to(bench.device)
    run = recognizer(model, shape)
    for precision, dtype in PRECISIONS.items():
        def measure(batch: int, dtype: Any = dtype, precision: str = precision) -> Row:
            inputs = clips(batch, shape).to(bench.device)
            with exact(bench.device, dtype):
                rate = bench.per_second(lambda: run(inputs), batch)
                found = run(few.to(bench.device))[0].float().cpu()
            return (f"extract {name}", precision, str(batch), f"{rate:.1f} clips/s",
                    f"f_x differs by {_difference(found, expected)}", bench.peak())

        yield bench.fitting(measure, LARGEST[name][0])


def training(bench: Bench, name: str) -> Iterator[Row]:
    """Clips a second of forward, backward and SGD."""
    shape = bench.shape(name, True)
    built = build(name, shape)
    for precision, dtype in PRECISIONS.items():
        def measure(batch: int, dtype: Any = dtype, precision: str = precision) -> Row:
            model = copy.deepcopy(built).train().to(bench.device)
            step = training_step(bench, model, clips(batch, shape), dtype)
            rate = bench.per_second(step, batch)
            return (f"train {name}", precision, str(batch), f"{rate:.1f} clips/s",
                    f"loss {step():.2f}", bench.peak())

        yield bench.fitting(measure, LARGEST[name][1])


def training_step(
    bench: Bench, model: nn.Module, inputs: Tensor, dtype: torch.dtype | None = None
) -> Callable[[], float]:
    """What takes one step on the same clips and tells the loss before it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    inputs = inputs.to(bench.device)
    labels = torch.arange(len(inputs), device=bench.device) % 60

    def step() -> float:
        with torch.autocast(bench.device.type, dtype, enabled=dtype is not None):
            loss = nn.functional.cross_entropy(logits_of(model, inputs).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def method(bench: Bench, name: str) -> Iterator[Row]:
    """Milliseconds of a step on the CPU and on the device, and latents beside the CPU's."""
    kind = METHODS.get(name)
    config = published("ntu60", name)
    f_x, y, f_y, seen, _ = generate("ntu60", kind.text_parts)
    size = METHODS.build(config.name, **config.options).params.batch_size
    rows = np.arange(bench.steps * size) % len(f_x)

    def fit(device: str) -> tuple[float, np.ndarray]:
        marks = []

        def watch(done: int, total: int) -> None:
            bench.sync()
            marks.append((done, time.perf_counter()))

        made = METHODS.build(config.name, **{**config.options, "epochs": 1, "seed": 0})
        with computing_on(device):
            made.fit(f_x[rows], y[rows], f_y, seen_classes=seen, on_progress=watch)
            (first, start), (last, end) = marks[0], marks[-1]
            return 1000 * (end - start) / (last - first), made.transform(f_x[:512]).z_r

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        (cpu, expected), (there, found) = fit("cpu"), fit(bench.device.type)
    finally:
        torch.set_num_threads(threads)
    gained = f"{cpu / there:.2f} times"
    if bench.device.type == "cuda" and (there < cpu) != kind.faster_on_gpu:
        gained += ", not as `auto` assumes"
    difference = _difference(torch.from_numpy(found), torch.from_numpy(expected))
    yield (f"step {name}", "float32", str(size), f"{cpu:.2f} ms CPU, {there:.2f} ms "
           f"{bench.device.type}: {gained}",
           f"z_r differs by {difference}", bench.peak())


def data_parallel(bench: Bench) -> Iterator[Row]:
    """DDP with one process beside none: the same loss after two steps, and its speed."""
    shape = bench.shape("stgcn", True)
    inputs = clips(bench.batches[-1] if bench.quick else 16, shape)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gpu = bench.device.type == "cuda"
    torch.distributed.init_process_group(
        "nccl" if gpu else "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)
    try:
        rates, losses = [], []
        for shared in (False, True):
            model = build("stgcn", shape).train().to(bench.device)
            if shared:
                model = nn.parallel.DistributedDataParallel(
                    model, device_ids=[0] if gpu else None, broadcast_buffers=False,
                    find_unused_parameters=True)
            step = training_step(bench, model, inputs)
            losses.append([step() for _ in range(2)][-1])
            rates.append(bench.per_second(step, len(inputs)))
    finally:
        torch.distributed.destroy_process_group()
    yield ("DDP, world size 1, stgcn", "float32", str(len(inputs)), f"{rates[1]:.1f} clips/s "
           f"({rates[0]:.1f} without)", f"loss differs by {abs(losses[1] - losses[0]):.1e}",
           bench.peak())


def sections() -> dict[str, Callable[[Bench], Iterator[Row]]]:
    """What is measured, by name."""
    def of(measure: Callable[[Bench, str], Iterator[Row]], name: str) -> Any:
        return lambda bench: measure(bench, name)

    return {**{f"step {name}": of(method, name) for name in TRAINED},
            **{f"extract {name}": of(extraction, name) for name in SHAPES},
            **{f"train {name}": of(training, name) for name in SHAPES},
            "DDP": data_parallel}


def run_all(bench: Bench, chosen: dict[str, Any]) -> tuple[list[Row], list[str]]:
    """The rows of all sections, and in a line each what has failed."""
    rows: list[Row] = []
    failed: list[str] = []
    started = time.perf_counter()
    for name, measure in chosen.items():
        if time.perf_counter() - started > _LAST_START:
            failed.append(f"{name}: left out, no time was left")
            continue
        try:
            for row in measure(bench):
                rows.append(row)
                print("  ".join(row), flush=True)
        except Exception as error:
            line = " ".join(str(error).split())[:200]
            failed.append(f"{name}: {type(error).__name__}: {line}")
            print(f"failed: {failed[-1]}", flush=True)
    return rows, failed


def _difference(found: Tensor, expected: Tensor) -> str:
    scale = expected.abs().max().clamp_min(1e-12)
    return f"{float((found - expected).abs().max() / scale):.0e} of the largest"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="as little as shows that it runs")
    parser.add_argument("--only", action="append", choices=list(sections()), metavar="SECTION",
                        help="may be repeated: " + ", ".join(sections()))
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("error: PyTorch finds no GPU here; --device cpu --quick shows that all of it runs",
              file=sys.stderr)
        sys.exit(2)
    warnings.simplefilter("ignore")
    register()
    started = time.perf_counter()
    chosen = {name: measure for name, measure in sections().items()
              if not given.only or name in given.only}
    rows, failed = run_all(Bench(given.device, given.quick), chosen)
    where = torch.cuda.get_device_name() if given.device == "cuda" else "CPU"
    print(f"\n{where}, torch {torch.__version__}, {os.cpu_count()} cores; "
          f"{time.perf_counter() - started:.0f} s in all\n")
    print("| what | precision | batch | speed | agreement | memory |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    for line in failed:
        print(f"\nfailed: {line}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
