"""The rows a model may use, what they were worth, and how far candidates are from them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from feature_repo.clock import INSTANT, utc
from feature_repo.matrix import COLUMNS
from pipelines.measures import advantage, mean_gap, rank_correlation, yes_gauc
from pipelines.slates import exposure_versus_candidates, shifted, stability_index
from pipelines.train_ranker import GROWTH, fitted_to, trees_earned
from pipelines.training_sets import Rows, earlier_half
from pipelines.weights import values

LABELS = ("long_watch", "watch", "like", "share_or_follow", "negative")


def some_rows(long_watch: list[int], like: list[int], mature: list[bool] | None = None) -> Rows:
    """Rows of two users in turn, a second apart."""
    n = len(long_watch)
    told = {"long_watch": long_watch, "like": like} | {
        name: [0] * n for name in LABELS if name not in ("long_watch", "like")
    }
    ready = {f"{name}_mature": mature or [True] * n for name in LABELS}
    times = pl.Series("event_time", [utc(1_000_000 * row) for row in range(n)], INSTANT)
    users = pl.Series("user_id", [row % 2 for row in range(n)], pl.Int64)
    table = pl.DataFrame({**told, **ready}).with_columns(times, users)
    return Rows(table, np.zeros((n, len(COLUMNS)), np.float32))


def test_a_long_watch_and_a_like_are_both_a_yes() -> None:
    rows = some_rows(long_watch=[0, 1, 0, 1], like=[0, 0, 1, 1])

    assert rows.yeses.tolist() == [0, 1, 1, 1]


def test_what_happened_is_worth_its_price_and_a_loss_gains_nothing() -> None:
    rows = some_rows(long_watch=[0, 1, 0, 1], like=[0, 0, 1, 1])

    assert rows.realised({"long_watch": 1, "like": 15}).tolist() == [0, 1, 15, 16]
    assert rows.realised({"long_watch": -1, "like": 15}).tolist() == [0, 0, 15, 14]


def test_a_row_whose_hour_has_not_passed_is_not_judged() -> None:
    rows = some_rows([1, 1], [0, 0], mature=[True, False])

    assert rows.judged.tolist() == [True, False]


def test_the_earlier_half_is_earlier() -> None:
    assert earlier_half(some_rows([0] * 4, [0] * 4)).tolist() == [True, True, False, False]


def test_the_better_order_has_the_advantage() -> None:
    rows = some_rows([1, 1, 0, 0] * 20, [0] * 80)
    right = rows.label("long_watch")

    assert yes_gauc(rows, right).value == 1.0
    assert advantage(rows, right, -right, seed=0).low > 0.9
    assert advantage(rows, right, right, seed=0).value == 0.0


def test_the_gap_of_a_mean_is_how_far_off_it_is_in_each_bin() -> None:
    users, labels = np.arange(400), np.linspace(0, 1, 400)

    gap = mean_gap(users, labels, np.clip(labels + 0.1, 0, 2), np.random.default_rng(0))

    assert gap.value == pytest.approx(0.1, abs=1e-9)


def test_rank_correlation_agrees_with_scipy() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    said, labels = rng.normal(size=200), rng.integers(0, 4, 200).astype(np.float64)

    found = rank_correlation(np.arange(200) // 4, labels, said, rng)

    assert found.value == pytest.approx(spearmanr(labels, said).statistic)


def test_the_same_rows_are_not_shifted() -> None:
    column = np.append(np.random.default_rng(0).normal(size=1_000), np.nan)

    assert stability_index(column, column) == 0.0


def test_a_shifted_column_is_named() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=(2_000, len(COLUMNS))).astype(np.float32)
    after = before.copy()
    after[:, 3] += 2

    assert shifted(exposure_versus_candidates(before, after)) == [COLUMNS[3]]


def test_values_that_became_unknown_are_a_shift() -> None:
    column = np.random.default_rng(0).normal(size=1_000)

    assert stability_index(column, np.where(column > 0, np.nan, column)) > 0.25


def test_a_rare_head_grows_few_trees_with_large_leaves() -> None:
    labels = np.zeros(10_000)
    labels[:40] = 1

    assert trees_earned(60, labels, judged=True) == 4
    assert trees_earned(60, labels, judged=False) == 1
    assert fitted_to(GROWTH["negative"], labels)["min_data_in_leaf"] == 2_000


def test_a_common_head_grows_as_large_as_it_may() -> None:
    labels = np.tile([0.0, 1.0], 50_000)

    assert trees_earned(120, labels, judged=True) == 120
    assert fitted_to(GROWTH["long_watch"], labels)["min_data_in_leaf"] == GROWTH["long_watch"].smallest_leaf


@pytest.mark.parametrize("logs", ["simulated", "kuairand"])
def test_every_weight_has_a_reason_and_complaints_count_against(logs: str) -> None:
    weights = values(dict.fromkeys(LABELS, 0.01), logs).weights

    assert {weight.act for weight in weights} == set(LABELS)
    assert all(weight.reason for weight in weights)
    assert [weight.act for weight in weights if weight.weight < 0] == ["negative"]
