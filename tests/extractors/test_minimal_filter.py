"""The nine-tap convolution with fewer multiplications, against PyTorch's in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zskel.extractors.backbones.minimal_filter import MinimalFilter, is_minimal


def convolution(c_in: int, c_out: int, **options: object) -> nn.Conv2d:
    torch.manual_seed(c_in)
    padded = {"padding": (4, 0), **options}
    return nn.Conv2d(c_in, c_out, (9, 1), **padded)  # type: ignore[arg-type]


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 8, 25, 100])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("with_shortcut", [True, False])
def test_it_is_the_convolution_and_what_surrounds_it(
    frames: int, stride: int, with_shortcut: bool
) -> None:
    layer = convolution(6, 10, stride=(stride, 1))
    x, before = torch.randn(2, frames, 5, 6), torch.randn(5, 6)
    shortcut = torch.randn(2, -(-frames // stride), 5, 10) if with_shortcut else None
    entered = torch.relu(x.double() + before.double()).permute(0, 3, 1, 2)
    with torch.no_grad():
        theirs = nn.functional.conv2d(
            entered, layer.weight.double(), layer.bias.double(), (stride, 1), (4, 0)
        ).permute(0, 2, 3, 1)
        theirs = torch.relu(theirs if shortcut is None else theirs + shortcut.double())
        ours = MinimalFilter(layer, before)(x.clone(), shortcut)
    assert ours.dtype == torch.float32 and float(theirs.max()) > 0.3
    torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_float32_is_enough_over_many_channels(stride: int) -> None:
    layer, x = convolution(128, 128, stride=(stride, 1)), 3 * torch.randn(1, 50, 25, 128)
    with torch.no_grad():
        theirs = torch.relu(layer(torch.relu(x).permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        ours = MinimalFilter(layer, torch.zeros(25, 128))(x, None)
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5


def test_what_is_not_a_number_stays_so_and_stays_near() -> None:
    x = torch.randn(2, 40, 5, 6)
    x[0, 20, 2, 3] = float("nan")
    with torch.no_grad():
        ours = MinimalFilter(convolution(6, 10), torch.zeros(5, 6))(x, None)
    assert torch.isnan(ours[0, 16:25, 2]).all()
    assert torch.isfinite(ours[1]).all() and torch.isfinite(ours[0, :9]).all()
    assert torch.isfinite(ours[0, 30:]).all() and torch.isfinite(ours[0, :, [0, 1, 3, 4]]).all()


@pytest.mark.parametrize("options", [
    {"stride": (3, 1)}, {"dilation": (2, 1)}, {"padding": 0}, {"bias": False}, {"groups": 2}])
def test_what_it_is_not_for(options: dict[str, object]) -> None:
    assert is_minimal(convolution(6, 10))
    assert not is_minimal(convolution(6, 10, **options))
    assert not is_minimal(nn.Linear(2, 2))
