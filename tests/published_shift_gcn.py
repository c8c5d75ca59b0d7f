"""Random weights in the layout that Shift-GCN's authors publish, written down from the facts."""

from __future__ import annotations

import numpy as np
import torch

State = dict[str, torch.Tensor]
CHANNELS, STRIDES = (64,) * 4 + (128,) * 3 + (256,) * 3, (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)


def published(
    classes: int, channels: tuple[int, ...] = CHANNELS, strides: tuple[int, ...] = STRIDES
) -> State:
    """A state dict of the published names and shapes with random values."""
    random = torch.Generator().manual_seed(classes)
    state: State = {}

    def values(name: str, *shape: int, scale: float = 1.0) -> None:
        state[name] = scale * torch.randn(*shape, generator=random)

    def norm(name: str, size: int) -> None:
        state[f"{name}.weight"] = 0.5 + torch.rand(size, generator=random)
        values(f"{name}.bias", size, scale=0.2)
        values(f"{name}.running_mean", size, scale=0.2)
        state[f"{name}.running_var"] = 0.5 + torch.rand(size, generator=random)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def pointwise(name: str, c_in: int, c_out: int) -> None:
        values(f"{name}.weight", c_out, c_in, 1, 1, scale=c_in**-0.5)
        values(f"{name}.bias", c_out, scale=0.1)

    norm("data_bn", 150)
    c_in = 3
    for block, (c, stride) in enumerate(zip(channels, strides), 1):
        g, t = f"l{block}.gcn1", f"l{block}.tcn1"
        values(f"{g}.Linear_weight", c_in, c, scale=c_in**-0.5)
        values(f"{g}.Linear_bias", 1, 1, c, scale=0.1)
        values(f"{g}.Feature_Mask", 1, 25, c_in)
        i = np.arange(25)[:, None]
        for name, size, sign in (("shift_in", c_in, 1), ("shift_out", c, -1)):
            j = np.arange(size)
            index = (i * size + j + sign * j * size) % (25 * size)
            state[f"{g}.{name}"] = torch.from_numpy(index.reshape(-1))
        norm(f"{g}.bn", 25 * c)
        if c_in != c:
            pointwise(f"{g}.down.0", c_in, c)
            norm(f"{g}.down.1", c)
        norm(f"{t}.bn", c)
        norm(f"{t}.bn2", c)
        for shift in ("shift_in", "shift_out"):
            values(f"{t}.{shift}.xpos", c, scale=1e-8)
            values(f"{t}.{shift}.ypos", c, scale=1.5)
        pointwise(f"{t}.temporal_linear", c, c)
        if block > 1 and (c_in != c or stride != 1):
            pointwise(f"l{block}.residual.conv", c_in, c)
            norm(f"l{block}.residual.bn", c)
        c_in = c
    values("fc.weight", classes, c_in, scale=0.1)
    values("fc.bias", classes)
    return state
