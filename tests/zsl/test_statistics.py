"""Intervals and comparisons against scipy and plain counting."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy import stats

from zskel.data.common.errors import BadInput
from zskel.zsl.metrics import harmonic_mean
from zskel.zsl.statistics import bootstrap_interval, mean_std, paired_comparison


def test_bootstrap_of_a_share_is_near_its_binomial_interval():
    hits = np.arange(400) < 300
    found = bootstrap_interval(lambda index: hits[index].mean(), 400, resamples=2000)
    reach = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert found.low == pytest.approx(0.75 - reach, abs=0.006)
    assert found.high == pytest.approx(0.75 + reach, abs=0.006)


def test_bootstrap_is_seeded_and_widens_with_the_level():
    values = np.random.default_rng(0).normal(size=50)

    def run(**options):
        return bootstrap_interval(lambda index: values[index].mean(), 50, resamples=300, **options)

    assert run(seed=3) == run(seed=3) != run(seed=4)
    assert run(level=0.5).low > run(level=0.99).low and run(level=0.5).high < run(level=0.99).high


def test_strata_keep_their_sizes():
    is_seen, right = np.arange(20) < 18, np.arange(20) % 2 == 0
    sizes = []

    def h(index):
        sizes.append((is_seen[index].sum(), len(index)))
        return harmonic_mean(right[index][is_seen[index]].mean(),
                             right[index][~is_seen[index]].mean())

    found = bootstrap_interval(h, 20, strata=is_seen, resamples=50)
    assert set(sizes) == {(18, 20)} and 0 <= found.low <= found.high <= 1


def test_paired_interval_is_scipys():
    generator = np.random.default_rng(2)
    ours, theirs = generator.normal(0.3, 1, 12), generator.normal(0, 1, 12)
    found = paired_comparison(ours, theirs, level=0.9)
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.9)
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))
    assert found.mean_difference == pytest.approx(np.mean(ours - theirs))
    assert found.standard_error == pytest.approx(stats.sem(ours - theirs))


def test_sign_test_by_counting():
    found = paired_comparison([1, 1, 1, 1, 1, 0, 5], [0, 0, 0, 0, 0, 1, 5])
    assert (found.wins, found.losses, found.ties, found.n) == (5, 1, 1, 7)
    # As uneven as 5 : 1 or more, on either side, of 6 fair coins.
    assert found.p_sign == pytest.approx(2 * (comb(6, 0) + comb(6, 1)) / 2**6)
    assert paired_comparison([1, 2], [1, 2]).p_sign == 1.0


def test_mean_std_by_hand():
    found = mean_std([1.0, 2.0, 6.0])
    assert (found.mean, found.n) == (3.0, 3) and found.std == pytest.approx(np.sqrt(7))
    assert mean_std([0.5]).std is None


def test_refusals():
    with pytest.raises(BadInput, match="no values"):
        mean_std([])
    with pytest.raises(BadInput, match="same length of at least 2"):
        paired_comparison([1.0], [2.0])
    with pytest.raises(BadInput, match="same length"):
        paired_comparison([1.0, 2.0], [2.0])
    with pytest.raises(BadInput, match="level"):
        bootstrap_interval(lambda index: 0.0, 3, level=1.0)
    with pytest.raises(BadInput, match="strata"):
        bootstrap_interval(lambda index: 0.0, 3, strata=np.zeros(2))
