"""Baselines score what they say; the logistic regression is scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from evaluation import baselines
from evaluation.baselines import Logistic
from feature_repo.catalogue import CODES
from feature_repo.matrix import COLUMNS


def matrix_with(**columns: list[float]) -> np.ndarray:
    found = np.zeros((len(next(iter(columns.values()))), len(COLUMNS)), np.float32)
    for name, values in columns.items():
        found[:, COLUMNS.index(name)] = values
    return found


def test_every_simple_baseline_reads_a_column_of_the_matrix() -> None:
    assert {column for column, _ in baselines.SIMPLE.values()} <= set(COLUMNS)


def test_shortest_first_puts_the_shortest_first_and_the_unknown_in_the_middle() -> None:
    matrix = matrix_with(video_duration_s=[60.0, 10.0, np.nan])

    scores = baselines.baseline_scores(matrix, COLUMNS, np.arange(3), seed=1)["shortest_first"]

    assert np.argsort(-scores).tolist() == [1, 2, 0]


@given(seed=st.integers(-5, 2**31), ids=st.lists(st.integers(0, 2**62), min_size=1, max_size=20))
def test_a_random_score_belongs_to_its_impression_and_not_to_its_place_in_the_table(
    seed: int, ids: list[int]
) -> None:
    impressions = np.array(ids)

    assert baselines.random_scores(impressions[::-1], seed)[::-1] == pytest.approx(
        baselines.random_scores(impressions, seed)
    )


def test_random_scores_are_uniform_and_differ_between_seeds() -> None:
    impressions = np.arange(20_000) * 64

    ours, others = baselines.random_scores(impressions, 7), baselines.random_scores(impressions, 8)

    assert kstest(ours, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(ours, others)[0, 1]) < 0.03


def test_a_column_that_is_not_in_the_matrix_is_named() -> None:
    with pytest.raises(KeyError, match="video_duration_s"):
        baselines.column_of(np.zeros((1, 1)), ["other"], "video_duration_s")


def some_rows(n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(n, 3)) * [1, 10, 0.1] + [0, 5, -2]
    return rows, (rng.random(n) < 1 / (1 + np.exp(1 - rows[:, 0]))).astype(np.int8)


def test_the_logistic_regression_is_scikit_learns() -> None:
    rows, labels = some_rows()
    scaled = StandardScaler().fit_transform(rows)
    theirs = LogisticRegression(C=1.0, tol=1e-10).fit(scaled, labels).predict_proba(scaled)[:, 1]

    ours = baselines.fitted_logistic(("a", "b", "c"), rows, labels, l2=1.0).score(rows)

    assert ours == pytest.approx(theirs, abs=1e-5)


def rows_with_codes(n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """A quantity, and a code 0..3 of which only 1 raises the odds; one code in ten is unknown."""
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 4, n).astype(np.float64)
    quantity = rng.normal(size=n)
    labels = rng.random(n) < 1 / (1 + np.exp(1 - quantity - 2 * (codes == 1)))
    return np.column_stack([quantity, np.where(rng.random(n) < 0.1, np.nan, codes)]), labels.astype(np.int8)


def test_codes_enter_the_logistic_regression_as_scikit_learns_indicators() -> None:
    rows, labels = rows_with_codes()
    indicators = rows[:, 1:] == np.arange(4)
    theirs_rows = np.column_stack([StandardScaler().fit_transform(rows[:, :1]), indicators])
    theirs = LogisticRegression(C=1.0, tol=1e-10).fit(theirs_rows, labels).predict_proba(theirs_rows)[:, 1]

    ours = baselines.fitted_logistic(("quantity", "code"), rows, labels, codes=("code",))

    assert ours.score(rows) == pytest.approx(theirs, abs=1e-5)


def test_a_code_never_seen_in_training_counts_as_unknown() -> None:
    rows, labels = rows_with_codes()
    fitted = baselines.fitted_logistic(("quantity", "code"), rows, labels, codes=("code",))

    unknown, unseen, raising = fitted.score(np.array([[0.0, np.nan], [0.0, 9.0], [0.0, 1.0]]))

    assert unknown == unseen
    assert raising > unknown + 0.2


def test_every_column_of_codes_is_a_column_of_the_matrix() -> None:
    assert {"surface", "video_topic"} <= set(CODES) <= set(COLUMNS)


def test_a_logistic_regression_survives_json() -> None:
    rows, labels = rows_with_codes(300)
    fitted = baselines.fitted_logistic(("quantity", "code"), rows, labels, codes=("code",))

    assert Logistic.from_json(fitted.to_json()) == fitted


def test_an_unknown_cell_counts_as_the_mean_and_a_constant_column_as_nothing() -> None:
    rows, labels = some_rows(300)
    rows = np.column_stack([rows, np.full(300, 4.0), np.full(300, np.nan)])
    fitted = baselines.fitted_logistic(tuple("abcde"), rows, labels)
    holed = rows.copy()
    holed[:, 0] = np.nan
    filled = rows.copy()
    filled[:, 0] = fitted.means[0]

    assert fitted.score(holed) == pytest.approx(fitted.score(filled))
    assert fitted.weights[3:] == pytest.approx((0.0, 0.0))


def test_item_popularity_is_the_rate_smoothed_by_twenty_impressions_at_the_mean() -> None:
    items, labels = np.array([1] * 10 + [2] * 10), np.array([1] * 10 + [0] * 10)

    scores = baselines.item_popularity(items, labels)(np.array([1, 2, 3]))

    assert scores == pytest.approx([(10 + 20 * 0.5) / 30, (0 + 20 * 0.5) / 30, 0.5])


def test_item_popularity_of_nothing_scores_everything_alike() -> None:
    score = baselines.item_popularity(np.zeros(0, np.int64), np.zeros(0))

    assert score(np.array([1, 2])).tolist() == [0.0, 0.0]
