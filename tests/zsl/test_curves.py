"""Seen-unseen curve, AUSUC, the best bias and ROC against plain computations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zskel.data.common.errors import BadInput
from zskel.zsl.curves import ausuc, best_bias, roc, seen_unseen_curve
from zskel.zsl.metrics import harmonic_mean

# Few distinct margins, so that ties occur.
rows = st.lists(
    st.tuples(st.integers(-3, 3), st.booleans(), st.booleans()), min_size=2, max_size=12
).filter(lambda found: len({is_seen for _, is_seen, _ in found}) == 2)


def arrays(found):
    margin, is_seen, right = zip(*found)
    return np.array(margin, float), np.array(is_seen), np.array(right)


def accuracies(bias, margin, is_seen, right):
    """Seen and unseen accuracy at one bias, row by row."""
    hits = [r and (m > bias) == s for m, s, r in zip(margin, is_seen, right)]
    return tuple(
        sum(h for h, s in zip(hits, is_seen) if s == side) / sum(s == side for s in is_seen)
        for side in (True, False)
    )


@given(rows)
def test_curve_is_what_a_sweep_of_the_bias_gives(found):
    data = arrays(found)
    biases = [-10.0, *np.unique(data[0]).tolist()]
    curve = seen_unseen_curve(*data)
    expected = [accuracies(bias, *data) for bias in biases]
    np.testing.assert_allclose(np.stack([curve.seen, curve.unseen], axis=1), expected, atol=1e-12)
    assert curve.best_harmonic_mean == pytest.approx(max(harmonic_mean(*e) for e in expected))


@given(rows)
def test_area_is_the_chance_of_a_rightly_ordered_right_pair(found):
    margin, is_seen, right = arrays(found)
    pairs = [
        r_s * r_u * (1.0 if m_s > m_u else 0.5 if m_s == m_u else 0.0)
        for m_s, r_s in zip(margin[is_seen], right[is_seen])
        for m_u, r_u in zip(margin[~is_seen], right[~is_seen])
    ]
    assert ausuc(margin, is_seen, right) == pytest.approx(np.mean(pairs), abs=1e-12)


@given(rows)
def test_best_bias_reaches_the_best_h_and_no_grid_beats_it(found):
    data = arrays(found)
    bias, h = best_bias(*data)
    assert harmonic_mean(*accuracies(bias, *data)) == pytest.approx(h, abs=1e-12)
    assert all(harmonic_mean(*accuracies(b, *data)) <= h + 1e-12 for b in np.arange(-5, 5, 0.5))


def test_of_equally_good_biases_the_nearest_to_zero_is_taken():
    always_right = np.ones(4, bool)
    is_seen = np.array([True, True, False, False])
    assert best_bias(np.array([3.0, 1.0, -1.0, -9.0]), is_seen, always_right) == (0.0, 1.0)
    # Nothing is ever right: every bias gives 0.
    assert best_bias(np.array([3.0, 1.0, -1.0, -9.0]), is_seen, ~always_right)[0] == 0.0


def test_roc_against_counting():
    generator = np.random.default_rng(0)
    score, is_seen = generator.integers(0, 8, 60) / 8, generator.random(60) < 0.6
    curve = roc(score, is_seen)
    wins = (score[is_seen][:, None] > score[~is_seen]).mean()
    ties = (score[is_seen][:, None] == score[~is_seen]).mean()
    assert curve.area == pytest.approx(wins + ties / 2)
    counted = {(float((score[~is_seen] >= t).mean()), float((score[is_seen] >= t).mean()))
               for t in np.unique(score)}
    assert set(zip(curve.fpr.tolist(), curve.tpr.tolist())) <= counted | {(0.0, 0.0)}


def test_thinning_keeps_the_ends_the_order_and_the_area():
    generator = np.random.default_rng(1)
    margin, is_seen = generator.normal(size=900), generator.random(900) < 0.5
    full = seen_unseen_curve(margin, is_seen, generator.random(900) < 0.7)
    thin = full.thinned(101)
    assert len(thin.seen) == len(thin.unseen) == 101 < len(full.seen)
    assert (thin.seen[0], thin.unseen[-1]) == (full.seen[0], full.unseen[-1])
    assert thin.area == pytest.approx(full.area, abs=0.01)
    whole = roc(margin, is_seen)
    assert whole.thinned(11).area == whole.area and len(whole.thinned(11).fpr) == 11
    short = seen_unseen_curve(margin[:5], np.array([1, 0, 1, 0, 1], bool), np.ones(5, bool))
    assert np.array_equal(short.thinned().seen, short.seen)


def test_refusals():
    two = np.array([1.0, 2.0])
    with pytest.raises(BadInput, match="rows of seen and of unseen"):
        seen_unseen_curve(two, np.array([True, True]), np.array([True, True]))
    with pytest.raises(BadInput, match="rows of seen and of unseen"):
        roc(two, np.array([False, False]))
    with pytest.raises(BadInput, match="without NaN"):
        seen_unseen_curve(np.array([1.0, np.nan]), np.array([True, False]), np.ones(2, bool))
    with pytest.raises(BadInput, match="as many"):
        seen_unseen_curve(two, np.array([True, False]), np.ones(3, bool))
    with pytest.raises(BadInput, match="points"):
        roc(two, np.array([True, False])).thinned(1)


@given(st.integers(1, 500), st.integers(1, 500), st.sampled_from(["all", "none", "some"]),
       st.sampled_from(["apart", "mixed", "one value"]), st.integers(0, 99))
def test_fractions_stay_fractions_whatever_the_number_of_clips(seen, unseen, hits, scores, seed):
    generator = np.random.default_rng(seed)
    is_seen = np.repeat([True, False], [seen, unseen])
    right = {"all": np.ones(seen + unseen, bool), "none": np.zeros(seen + unseen, bool),
             "some": generator.random(seen + unseen) < 0.8}[hits]
    margin = {"apart": is_seen + generator.random(seen + unseen) / 2, "one value": is_seen * 0.0,
              "mixed": generator.normal(size=seen + unseen)}[scores]
    curve, domain = seen_unseen_curve(margin, is_seen, right), roc(margin, is_seen)
    thin = curve.thinned()
    for values in (curve.seen, curve.unseen, thin.seen, thin.unseen, domain.fpr, domain.tpr,
                   curve.harmonic_means, [curve.area, thin.area, domain.area]):
        assert 0 <= np.min(values) <= np.max(values) <= 1
    assert curve.seen[0] == right[is_seen].sum() / seen and curve.seen[-1] == 0
    assert curve.unseen[-1] == right[~is_seen].sum() / unseen and curve.unseen[0] == 0
    if hits == "all" and scores == "apart":
        assert curve.area == domain.area == curve.best_harmonic_mean == 1
    if hits == "none":
        assert curve.area == curve.best_harmonic_mean == 0


def test_all_right_is_exactly_1_at_the_end_of_the_curve_for_every_number_of_clips():
    for seen in range(1, 501):
        is_seen = np.arange(seen + 3) < seen
        curve = seen_unseen_curve(-np.arange(seen + 3.0), is_seen, np.ones(seen + 3, bool))
        assert (curve.seen[0], curve.unseen[-1], curve.seen[-1], curve.area) == (1, 1, 0, 1), seen
