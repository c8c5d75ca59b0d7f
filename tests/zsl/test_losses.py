"""Losses and schedules against plain numpy and hand-worked values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zskel.zsl.losses import cross_alignment, gaussian_kl, squared_error, total_correlation
from zskel.zsl.schedules import (
    LATE_BETA_X,
    LATE_BETA_Y,
    cross_alignment_weight,
    cyclical_annealing,
    late_annealing_x,
    late_annealing_y,
    late_cross_alignment_weight,
)


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def tensors(*values):
    return [torch.tensor(value) for value in values]


def test_kl_equals_numpy_sum_over_dimensions_mean_over_batch():
    mean, log_variance = arrays((7, 5), (7, 5))
    expected = 0.0
    for m_row, l_row in zip(mean, log_variance):
        for m, v in zip(m_row, l_row):
            expected += -0.5 * (1 + v - m**2 - np.exp(v))
    value = float(gaussian_kl(*tensors(mean, log_variance)))
    assert value == pytest.approx(expected / 7, rel=1e-12)


def test_kl_equals_monte_carlo_estimate():
    mean, log_variance = np.array([0.7, -1.2]), np.array([-0.5, 0.4])
    rng = np.random.default_rng(1)
    std = np.exp(log_variance / 2)
    z = mean + std * rng.normal(size=(400_000, 2))
    log_q = -0.5 * (((z - mean) / std) ** 2 + log_variance).sum(axis=1)
    log_p = -0.5 * (z**2).sum(axis=1)
    value = float(gaussian_kl(*tensors(mean[None], log_variance[None])))
    assert value == pytest.approx(np.mean(log_q - log_p), rel=0.01)


def test_kl_of_both_heads_is_the_kl_of_their_concatenation():
    m_v, l_v, m_r, l_r = tensors(*arrays((6, 2), (6, 2), (6, 9), (6, 9)))
    together = gaussian_kl(torch.cat([m_v, m_r], 1), torch.cat([l_v, l_r], 1))
    assert float(together) == pytest.approx(float(gaussian_kl(m_v, l_v) + gaussian_kl(m_r, l_r)))


def test_squared_error_equals_numpy():
    a, b = arrays((4, 6), (4, 6))
    expected = np.mean([np.linalg.norm(x - y) ** 2 for x, y in zip(a, b)])
    assert float(squared_error(*tensors(a, b))) == pytest.approx(expected, rel=1e-12)
    assert float(squared_error(*tensors(a, b), "mean")) == pytest.approx(expected / 6, rel=1e-12)


def test_cross_alignment_equals_numpy():
    x_hat, x, y_hat, y = arrays((4, 6), (4, 6), (4, 3), (4, 3))
    expected = (((y_hat - y) ** 2).sum() + ((x_hat - x) ** 2).sum()) / 4
    value = float(cross_alignment(*tensors(x_hat, x, y_hat, y)))
    assert value == pytest.approx(expected, rel=1e-12)


def test_total_correlation_equals_numpy():
    joint, permuted = arrays((9, 1), (9, 1))
    d, d_permuted = 1 / (1 + np.exp(-joint)), 1 / (1 + np.exp(-permuted))
    expected = np.mean(np.log(d)) + np.mean(np.log(1 - d_permuted))
    assert float(total_correlation(*tensors(joint, permuted))) == pytest.approx(expected, rel=1e-12)


def test_total_correlation_of_a_blind_discriminator():
    value = float(total_correlation(torch.zeros(3, 1), torch.zeros(3, 1)))
    assert value == pytest.approx(-2 * math.log(2))


def test_total_correlation_keeps_value_and_gradient_at_extreme_logits():
    joint = torch.tensor([[-200.0]], requires_grad=True)
    permuted = torch.tensor([[200.0]], requires_grad=True)
    value = total_correlation(joint, permuted)
    value.backward()
    assert value.item() == pytest.approx(-400.0)
    assert (float(joint.grad), float(permuted.grad)) == pytest.approx((1.0, -1.0))


@given(n=st.integers(1, 10_000), share=st.floats(0, 1))
def test_annealing_follows_eq_13(n, share):
    k = int(share * n)
    expected = 0.0 if k < n / 3 else 1.5 * (k / n - 1 / 3)
    assert cyclical_annealing(k, n) == pytest.approx(expected, abs=1e-12)


def test_annealing_never_decreases_and_ends_at_one():
    values = [cyclical_annealing(k, 100) for k in range(101)]
    assert values == sorted(values)
    assert values[33] == 0.0 < values[34] and values[100] == 1.0


def test_lambda_1_is_zero_in_the_first_epoch_only():
    assert [cross_alignment_weight(epoch) for epoch in (0, 1, 9)] == [0.0, 1.0, 1.0]


@given(
    batches=st.integers(1, 2000), share=st.floats(0, 1, exclude_max=True), epoch=st.integers(0, 9)
)
def test_late_schedules_are_the_released_formulas(batches, share, epoch):
    i, scale = int(share * batches), batches / 1700
    k1 = max(0.0, 0.1 * (i - 1000 * scale) / (3000 * scale))
    k2 = max(0.0, 0.1 * (i - 0.8 * batches) / (3000 * scale)) if epoch > 1 else 0.0
    assert LATE_BETA_X * late_annealing_x(i, batches) == pytest.approx(k1, abs=1e-12)
    assert LATE_BETA_Y * late_annealing_y(epoch, i, batches) == pytest.approx(k2, abs=1e-12)
    assert late_cross_alignment_weight(i, batches) == float(i > 0.8 * batches)


def test_late_schedules_end_at_one_and_at_the_published_weights():
    assert late_annealing_x(1149, 1149) == late_annealing_y(2, 1149, 1149) == 1.0
    assert (round(LATE_BETA_X, 3), round(LATE_BETA_Y, 3)) == (0.023, 0.011)
    assert [late_annealing_y(epoch, 1149, 1149) for epoch in (0, 1)] == [0.0, 0.0]
