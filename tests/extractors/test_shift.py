"""The spatial and the temporal shift, by loops over every entry and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zskel.extractors.backbones.shift import joint_shift_index, spatial_shift, temporal_shift


def shifted_joints(x: np.ndarray, back: bool) -> np.ndarray:
    """``[B, V, C]``: the published index formula, entry by entry."""
    frames, joints, channels = x.shape
    flat, out = x.reshape(frames, -1), np.zeros_like(x)
    for i in range(joints):
        for j in range(channels):
            sign = -1 if back else 1
            out[:, i, j] = flat[:, (i * channels + j + sign * j * channels) % (joints * channels)]
    return out


def shifted_frames(x: np.ndarray, offset: np.ndarray, stride: int) -> np.ndarray:
    """``[N, C, T, V]``: linear interpolation in time, entry by entry."""
    n, channels, frames, joints = x.shape
    out = np.zeros((n, channels, -(-frames // stride), joints), x.dtype)
    for c in range(channels):
        for t in range(out.shape[2]):
            position = t * stride + float(offset[c]) + (0.5 if stride == 2 else 0.0)
            below = math.floor(position)
            for frame, share in ((below, 1 - (position - below)), (below + 1, position - below)):
                if 0 <= frame < frames:
                    out[:, c, t] += share * x[:, c, frame]
    return out


@pytest.mark.parametrize("channels", [1, 3, 24, 25, 26, 64])
@pytest.mark.parametrize("back", [False, True])
def test_the_spatial_shift_is_its_formula(channels: int, back: bool) -> None:
    x = np.random.default_rng(channels).normal(size=(4, 25, channels)).astype(np.float32)
    index = joint_shift_index(25, channels, back)
    inverse = joint_shift_index(25, channels, not back)
    shifted = spatial_shift(torch.from_numpy(x).flatten(1), index, inverse).view(x.shape)
    np.testing.assert_allclose(shifted, shifted_joints(x, back), atol=1e-5)
    assert torch.equal(index[inverse], torch.arange(25 * channels))


def test_the_spatial_shift_moves_channels_between_joints() -> None:
    x = torch.arange(25.0)[:, None].expand(25, 30)  # the joint's own number in all channels
    shifted = spatial_shift(x.reshape(1, -1), joint_shift_index(25, 30),
                            joint_shift_index(25, 30, back=True)).view(25, 30)
    assert shifted[3, 0] == 3 and shifted[3, 5] == 8 and shifted[20, 10] == 5
    assert shifted[3, 25] == 3 and shifted[0, 29] == 4


@settings(max_examples=60)
@given(
    frames=st.integers(1, 9), stride=st.sampled_from([1, 2]),
    offset=st.lists(st.floats(-12, 12) | st.integers(-3, 3).map(float), min_size=1, max_size=5),
    channels_last=st.booleans(),
)
def test_the_temporal_shift_is_linear_interpolation(
    frames: int, stride: int, offset: list[float], channels_last: bool
) -> None:
    x = np.random.default_rng(frames).normal(size=(2, len(offset), frames, 3)).astype(np.float32)
    given_x = torch.from_numpy(x)
    if channels_last:
        given_x = given_x.contiguous(memory_format=torch.channels_last)
    offsets = torch.tensor(offset)
    shifted = temporal_shift(given_x, offsets, stride)
    np.testing.assert_allclose(shifted, shifted_frames(x, offsets.numpy(), stride), atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_of_the_temporal_shift(stride: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 5, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    offset = torch.tensor([-2.3, -0.4, 0.1, 0.7, 3.6, 40.0], dtype=torch.float64,
                          requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: temporal_shift(a, b, stride), (x, offset))
    temporal_shift(x, offset, stride).square().sum().backward()
    assert (offset.grad[:-1] != 0).all() and offset.grad[-1] == 0  # the last sees zeros only


def test_an_offset_of_whole_frames_still_learns() -> None:
    x = torch.tensor([1.0, 2.0, 4.0, 8.0]).view(1, 1, 4, 1)
    offset = torch.zeros(1, requires_grad=True)
    temporal_shift(x, offset)[0, 0, 1, 0].backward()
    assert offset.grad.item() == 2  # 4 - 2, the slope towards the next frame


def test_gradients_of_the_spatial_shift() -> None:
    x = torch.randn(2, 15, dtype=torch.float64, requires_grad=True)
    for back in (False, True):
        index = joint_shift_index(5, 3, back), joint_shift_index(5, 3, not back)
        assert torch.autograd.gradcheck(lambda a: spatial_shift(a, *index), (x,))
        assert torch.autograd.gradgradcheck(lambda a: spatial_shift(a, *index).square(), (x,))
