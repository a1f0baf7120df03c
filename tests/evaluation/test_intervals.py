"""Intervals cover, pair, repeat with their seed, and agree with scipy and with an exact bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from evaluation import intervals, ranking
from evaluation.intervals import Interval
from evaluation.per_user import F64, PerUser, mean_per_user


def terms(numerators: F64, denominators: F64 | None = None) -> PerUser:
    ones = np.ones(len(numerators)) if denominators is None else denominators
    return PerUser(np.arange(len(numerators)), numerators, ones)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_same_seed_gives_the_same_interval() -> None:
    some = terms(rng(3).normal(size=50))

    assert intervals.bootstrap(some, rng(1)) == intervals.bootstrap(some, rng(1))


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide_on_each_side() -> None:
    values = rng(4).normal(size=2000)

    found = intervals.bootstrap(terms(values), rng())

    error = values.std() / np.sqrt(len(values))
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.25 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.25 * error)


def test_nineteen_intervals_of_twenty_cover_the_truth() -> None:
    worlds = [intervals.bootstrap(terms(rng(seed).normal(size=80)), rng(seed), 300) for seed in range(300)]

    covered = sum(found.low <= 0 <= found.high for found in worlds)

    assert binomtest(covered, len(worlds), 0.95).pvalue > 0.001 or covered > 0.92 * len(worlds)


def test_resampled_sums_are_the_sums_of_rows_drawn_with_replacement() -> None:
    columns = rng(5).normal(size=(7, 2))
    drawn = rng(6)
    by_hand = [columns[drawn.integers(0, 7, 7)].sum(axis=0) for _ in range(20)]

    assert intervals.resampled_sums(columns, rng(6), 20) == pytest.approx(np.array(by_hand))


def test_users_are_resampled_and_not_their_rows() -> None:
    users = np.repeat(np.arange(40), 100)
    values = np.repeat(rng(7).normal(size=40), 100)  # rows of one user tell nothing new

    by_user = intervals.bootstrap(mean_per_user(users, values), rng())

    assert by_user.high - by_user.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(40), rel=0.25)
    assert by_user.n == 40


def test_pairing_removes_what_both_sides_share() -> None:
    shared, ours_is_better = rng(8).normal(size=500), 0.01
    better, worse = terms(shared + ours_is_better), terms(shared)

    found = intervals.difference(better, worse, rng())

    assert found.is_above(0.0099)
    assert found.value == pytest.approx(ours_is_better)


def test_a_scorer_differs_from_itself_by_nothing() -> None:
    some = terms(rng(9).normal(size=30))

    assert intervals.difference(some, some, rng()) == Interval(0.0, 0.0, 0.0, 30)


def test_a_difference_of_other_users_is_refused() -> None:
    with pytest.raises(ValueError, match="pair scores of the same rows"):
        intervals.difference(terms(np.ones(3)), terms(np.ones(4)), rng())


def test_the_pseudo_value_interval_of_the_auc_agrees_with_an_exact_bootstrap_by_user() -> None:
    users = rng(10).integers(0, 150, 3000)
    taste = rng(11).normal(size=150)[users]
    labels = (rng(12).random(3000) < 1 / (1 + np.exp(1 - taste))).astype(np.float64)
    scores = taste + rng(13).normal(size=3000)

    fast = intervals.bootstrap(ranking.pooled_auc(users, labels, scores), rng())

    drawn = rng(14)
    times = [np.bincount(drawn.integers(0, 150, 150), minlength=150)[users] for _ in range(600)]
    exact = np.quantile([roc_auc_score(labels, scores, sample_weight=t) for t in times], [0.025, 0.975])
    assert fast.low == pytest.approx(exact[0], abs=0.006)
    assert fast.high == pytest.approx(exact[1], abs=0.006)


@given(trials=st.integers(1, 500), part=st.floats(0, 1))
def test_wilson_agrees_with_scipy(trials: int, part: float) -> None:
    successes = int(part * trials)
    theirs = binomtest(successes, trials).proportion_ci(method="wilson")

    found = intervals.wilson(successes, trials)

    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_wilson_knows_nothing_without_trials() -> None:
    assert (intervals.wilson(0, 0).low, intervals.wilson(0, 0).high) == (0.0, 1.0)


def test_more_successes_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and the trials"):
        intervals.wilson(3, 2)


def test_one_user_alone_has_a_value_but_no_interval() -> None:
    found = intervals.bootstrap(terms(np.array([0.4])), rng())

    assert found.value == pytest.approx(0.4)
    assert np.isnan([found.low, found.high]).all()
    assert not found.is_above(-1)


def test_users_without_a_say_are_not_counted() -> None:
    some = terms(np.array([1.0, 0.0, 1.0]), np.array([1.0, 0.0, 2.0]))

    assert intervals.bootstrap(some, rng()).n == 2
    assert some.value == pytest.approx(2 / 3)


def test_an_interval_prints_itself_and_is_a_figure_of_reports() -> None:
    found = Interval(0.5, 0.25, 0.75, 10)

    assert str(found) == "0.5000 [0.2500, 0.7500]"
    assert found.as_figure() == {"value": 0.5, "low": 0.25, "high": 0.75, "n": 10}
