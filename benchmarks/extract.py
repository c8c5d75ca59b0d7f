"""How fast features are extracted, beside the recognizer's own forward.

Full-size ST-GCN (10 stages, 64 channels) and Shift-GCN with random weights and the
batch statistics of random walks, on clips of 100 frames, 25 joints and two bodies,
the second of which is there in a fifth of the clips. Own and ours take the same
weights and the same clips, in turns in one process; the fastest round counts for
both sides. ``own`` is mmaction2's ``RecognizerGCN`` as it is (for Shift-GCN with our
backbone in it), under ``torch.inference_mode``. The last line is ``ratio N.N``: how
many times more clips a second ours takes, for the backbone where that is least.

    python benchmarks/extract.py --clips 20 --repeat 5
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from zskel.extractors.inference import BodyWise, Direct, exact, recognizer
from zskel.extractors.mm import register

TOLERANCE = 1e-4
SHAPE = (1, 2, 100, 25, 3)
BACKBONES: dict[str, dict[str, Any]] = {
    "ST-GCN": {"type": "STGCN", "graph_cfg": {"layout": "nturgb+d", "mode": "stgcn_spatial"}},
    "Shift-GCN": {"type": "ShiftGCN"},
}


def clips(count: int, two_bodies: int, generator: torch.Generator) -> torch.Tensor:
    """Poses that drift: ``[count, 1, 2, 100, 25, 3]``, the last clips of one body."""
    pose = torch.randn((count, 1, 2, 1, 25, 3), generator=generator)
    steps = 0.05 * torch.randn((count, *SHAPE), generator=generator)
    made = pose + steps.cumsum(dim=3)
    made[two_bodies:, :, 1] = 0
    return made


def build(backbone: dict[str, Any], generator: torch.Generator) -> nn.Module:
    """A recognizer in eval mode, its statistics those of clips like the ones to come."""
    from mmaction.registry import MODELS

    model = MODELS.build({
        "type": "RecognizerGCN", "backbone": backbone,
        "cls_head": {"type": "GCNHead", "in_channels": 256, "num_classes": 60},
    })
    norms = [module for module in model.modules()
             if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None  # an average over what it sees
            norm.weight.uniform_(0.5, 1.5, generator=generator)
            norm.bias.uniform_(-0.3, 0.3, generator=generator)
        model.train()(clips(6, 3, generator), mode="tensor", stage="head")
    return model.eval()


def compare(model: nn.Module, inputs: torch.Tensor, repeat: int) -> tuple[float, float, float]:
    """Seconds of the own forward and of ours, and the largest difference in f_x."""
    ways = (Direct(model), recognizer(model, SHAPE))
    if not isinstance(ways[1], BodyWise):
        raise SystemExit(f"{type(model.backbone).__name__}: the fast way was not taken")
    fastest, results = [float("inf")] * 2, [torch.empty(0)] * 2
    with exact(inputs.device):
        for way in ways:
            way(inputs[-2:])  # libraries choose and load their kernels now
        for _ in range(repeat):
            for side, way in enumerate(ways):
                start = time.perf_counter()
                results[side] = way(inputs)[0]
                fastest[side] = min(fastest[side], time.perf_counter() - start)
    return *fastest, float((results[0] - results[1]).abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=20, help="how many; a fifth has two bodies")
    parser.add_argument("--repeat", type=int, default=4, help="rounds; the fastest counts")
    options = parser.parse_args()
    if options.clips < 5 or options.repeat < 1:
        parser.error("--clips: expected 5 or more; --repeat: expected 1 or more")

    register()
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    table = Table(title=f"{options.clips} clips, {options.clips // 5} of two bodies, "
                        f"{torch.get_num_threads()} threads, fastest of {options.repeat}")
    for column in ("backbone", "own clips/s", "ours clips/s", "ratio", "max difference"):
        table.add_column(column, justify="left" if column == "backbone" else "right")
    ratios = []
    for name, backbone in BACKBONES.items():
        model = build(backbone, generator)
        inputs = clips(options.clips, options.clips // 5, generator)
        own, ours, difference = compare(model, inputs, options.repeat)
        if not difference <= TOLERANCE:
            raise SystemExit(f"{name}: features differ by {difference:.1e}")
        ratios.append(own / ours)
        table.add_row(name, f"{options.clips / own:.2f}", f"{options.clips / ours:.2f}",
                      f"{own / ours:.2f}", f"{difference:.1e}")
    Console().print(table)
    print(f"ratio {min(ratios):.1f}")


if __name__ == "__main__":
    main()
