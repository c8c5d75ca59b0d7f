"""Pooled views against plain means of mmaction2's own maps, the fast way and the direct one."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from zskel.data.common.errors import BadInput
from zskel.data.pooled import POOLS

GRAPH = {"layout": "nturgb+d", "mode": "stgcn_spatial"}
SMALL = {"base_channels": 8, "num_stages": 4, "inflate_stages": [3], "down_stages": [3]}
BACKBONES: dict[str, dict[str, Any]] = {
    "stgcn": {"type": "STGCN", "graph_cfg": GRAPH, **SMALL},
    "stgcn by body": {"type": "STGCN", "graph_cfg": GRAPH, "data_bn_type": "MVC", **SMALL},
    "aagcn": {"type": "AAGCN", "graph_cfg": {**GRAPH, "mode": "spatial"}, **SMALL},
    "shift-gcn": {"type": "ShiftGCN", "channels": [8, 8, 16], "strides": [1, 1, 2]},
}


@pytest.fixture(scope="module", params=BACKBONES)
def model(request: pytest.FixtureRequest) -> nn.Module:
    from zskel.extractors.mm import register

    register()
    from mmaction.registry import MODELS

    torch.manual_seed(0)
    made: nn.Module = MODELS.build({
        "type": "RecognizerGCN", "backbone": BACKBONES[request.param],
        "cls_head": {"type": "GCNHead", "in_channels": 16, "num_classes": 5},
    })
    return made.eval()


@pytest.mark.parametrize("fast", [True, False])
def test_views_are_means_of_the_own_map(model: nn.Module, fast: bool) -> None:
    from zskel.extractors.inference import exact, recognizer

    inputs = torch.randn(3, 1, 2, 12, 25, 3)
    inputs[0, :, 1] = 0  # one body
    run = recognizer(model, tuple(inputs.shape[1:]), fast, pools=POOLS)
    with exact(inputs.device):
        f_x, logits, joints, frames, thirds = run(inputs)
        maps = model.backbone(inputs[:, 0]).mean(dim=1).permute(0, 2, 3, 1)  # [N, T', V, D]
        alone = recognizer(model, tuple(inputs.shape[1:]), fast)(inputs)
    close = {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(joints, maps.mean(dim=1), **close)
    torch.testing.assert_close(frames, maps.mean(dim=2), **close)
    length = maps.shape[1]
    edges = [round(length * i / 3) for i in range(4)]
    expected = torch.stack([maps[:, a:b].mean(dim=1) for a, b in pairwise(edges)], dim=1)
    torch.testing.assert_close(thirds, expected, **close)
    torch.testing.assert_close(joints.mean(dim=1), f_x, **close)
    # Asking for views changes no bit of f_x.
    assert torch.equal(f_x, alone[0]) and torch.equal(logits, alone[1])


def test_a_map_of_other_joints_is_refused() -> None:
    from zskel.extractors.pooling import Pools

    with pytest.raises(BadInput, match="map has 24 joints, the clips have 25"):
        Pools(["joint_means"]).rows(torch.zeros(1, 1, 4, 3, 24), 25)


def test_one_frame_gives_each_third_that_frame() -> None:
    from zskel.extractors.pooling import Pools

    pools, maps = Pools(["thirds_joints", "frame_means"]), torch.randn(2, 1, 4, 1, 5)
    mean, thirds, frames = pools.split(pools.rows(maps, 5), 4, 5)
    for third in range(3):
        torch.testing.assert_close(thirds[:, third], maps[:, 0, :, 0].transpose(1, 2))
    torch.testing.assert_close(frames[:, 0], mean)
