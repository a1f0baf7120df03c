"""Ranking metrics agree with scikit-learn, with a textbook loop, and do not depend on the order of rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from evaluation import ranking
from evaluation.per_user import F64, I64, PerUser

Rows = tuple[I64, F64, F64]

Metric = Callable[[I64, F64, F64], PerUser]


def rows(draw_users: int = 4) -> st.SearchStrategy[Rows]:
    """Users, labels of 0 and 1, scores with many ties."""
    row = st.tuples(st.integers(0, draw_users - 1), st.integers(0, 1), st.integers(-2, 2))
    return st.lists(row, min_size=1, max_size=30).map(columns)


def columns(table: list[tuple[int, int, int]]) -> Rows:
    users, labels, scores = zip(*table, strict=True)
    return np.array(users, np.int64), np.array(labels, np.float64), np.array(scores, np.float64)


def many_rows(seed: int = 1, n: int = 3000, users: int = 200) -> Rows:
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, users, n),
        (rng.random(n) < 0.3).astype(np.float64),
        np.round(rng.normal(size=n), 1),
    )


def auc_by_pairs(labels: F64, scores: F64) -> float:
    pairs = itertools.product(scores[labels == 1], scores[labels == 0])
    wins = [1.0 if good > bad else 0.5 if good == bad else 0.0 for good, bad in pairs]
    return float(np.mean(wins)) if wins else float("nan")


def of_all_tie_orders(metric: Callable[[F64], float], gains: F64, scores: F64) -> float:
    """The metric of gains in ranked order, averaged over every order of rows that respects the scores."""
    orders = [o for o in itertools.permutations(range(len(gains))) if is_sorted([-scores[i] for i in o])]
    return float(np.mean([metric(gains[list(order)]) for order in orders]))


def is_sorted(values: list[float]) -> bool:
    return values == sorted(values)


def ndcg_of_order(gains: F64, k: int) -> float:
    dcg = sum(gain / np.log2(place + 2) for place, gain in enumerate(gains[:k]))
    best = sum(gain / np.log2(place + 2) for place, gain in enumerate(sorted(gains, reverse=True)[:k]))
    return float(dcg / best) if best else 0.0


few = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6)


@given(table=rows())
def test_auc_is_the_share_of_pairs_in_the_right_order(table: Rows) -> None:
    _, labels, scores = table

    assert ranking.auc(labels, scores) == pytest.approx(auc_by_pairs(labels, scores), nan_ok=True)


def test_auc_agrees_with_scikit_learn() -> None:
    _, labels, scores = many_rows()

    assert ranking.auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_gauc_is_scikit_learns_auc_of_each_mixed_user_weighted_by_positives() -> None:
    users, labels, scores = many_rows(n=1500)
    mixed = [u for u in np.unique(users) if 0 < labels[users == u].mean() < 1]
    areas = [roc_auc_score(labels[users == u], scores[users == u]) for u in mixed]

    found = ranking.gauc(users, labels, scores)

    assert found == pytest.approx(
        np.average(areas, weights=[labels[users == u].sum() for u in mixed]), abs=1e-12
    )


def test_ndcg_of_each_user_agrees_with_scikit_learn_ties_included() -> None:
    users, labels, scores = many_rows(n=1500)

    found = ranking.user_ndcgs(users, labels, scores, k=5)

    theirs = [ndcg_score([labels[users == u]], [scores[users == u]], k=5) for u in found.users]
    assert found.values == pytest.approx(theirs, abs=1e-12)


@given(table=few, k=st.integers(1, 4))
def test_ndcg_is_the_mean_over_every_order_the_ties_could_take(table: list[tuple[int, int]], k: int) -> None:
    gains, scores = np.array(table, np.float64).T

    by_hand = of_all_tie_orders(lambda ranked: ndcg_of_order(ranked, k), gains, scores)

    assert ranking.ndcg_at_k(np.zeros(len(gains), np.int64), gains, scores, k) == pytest.approx(by_hand)


@given(table=few, k=st.integers(1, 4))
def test_hit_rate_is_the_mean_over_every_order_the_ties_could_take(
    table: list[tuple[int, int]], k: int
) -> None:
    gains, scores = np.array(table, np.float64).T
    labels = (gains > 0).astype(np.float64)

    by_hand = of_all_tie_orders(lambda ranked: float(ranked[:k].any()), labels, scores)

    found = ranking.hit_rate_at_k(np.zeros(len(labels), np.int64), labels, scores, k)
    assert found == pytest.approx(by_hand) if labels.any() else np.isnan(found)


@given(table=few, k=st.integers(1, 4))
def test_recall_is_the_mean_over_every_order_the_ties_could_take(
    table: list[tuple[int, int]], k: int
) -> None:
    gains, scores = np.array(table, np.float64).T
    labels = (gains > 0).astype(np.float64)

    by_hand = of_all_tie_orders(lambda ranked: ranked[:k].sum() / max(labels.sum(), 1), labels, scores)

    found = ranking.recall_at_k(np.zeros(len(labels), np.int64), labels, scores, k)
    assert found == pytest.approx(by_hand) if labels.any() else np.isnan(found)


METRICS: dict[str, Metric] = {
    "auc": ranking.user_aucs,
    "pooled auc": ranking.pooled_auc,
    "ndcg": lambda u, y, s: ranking.user_ndcgs(u, y, s, 3),
    "recall": lambda u, y, s: ranking.user_recalls(u, y, s, 3),
    "hits": lambda u, y, s: ranking.user_hits(u, y, s, 3),
}


@pytest.mark.parametrize("name", METRICS)
@given(table=rows(), seed=st.integers(0, 99))
def test_no_metric_depends_on_the_order_of_rows(name: str, table: Rows, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(table[0]))

    shuffled = METRICS[name](table[0][order], table[1][order], table[2][order])

    assert shuffled.values == pytest.approx(METRICS[name](*table).values, nan_ok=True)


@pytest.mark.parametrize("name", METRICS)
@given(table=rows())
def test_no_metric_changes_when_scores_are_stretched_without_changing_their_order(
    name: str, table: Rows
) -> None:
    users, labels, scores = table

    assert METRICS[name](users, labels, np.exp(scores) * 7 - 3).value == pytest.approx(
        METRICS[name](users, labels, scores).value, nan_ok=True
    )


@given(table=rows())
def test_the_pseudo_values_of_the_pooled_auc_have_the_auc_as_their_mean(table: Rows) -> None:
    users, labels, scores = table

    found = ranking.pooled_auc(users, labels, scores).value

    assert found == pytest.approx(ranking.auc(labels, scores), nan_ok=True)


def test_a_user_without_positives_counts_as_zero_in_ndcg_unless_skipped() -> None:
    users, labels, scores = columns([(1, 1, 2), (1, 0, 1), (2, 0, 1)])

    assert ranking.ndcg_at_k(users, labels, scores, 5) == pytest.approx(0.5)
    assert ranking.user_ndcgs(users, labels, scores, 5, skip_empty=True).value == pytest.approx(1.0)


def test_a_user_of_one_class_has_no_say_in_gauc() -> None:
    users, labels, scores = columns([(1, 1, 2), (1, 0, 1), (2, 1, 0), (3, 0, 9)])

    assert ranking.gauc(users, labels, scores) == pytest.approx(1.0)
    assert ranking.user_aucs(users, labels, scores).counted == 1


def test_a_score_that_is_not_a_number_ranks_last() -> None:
    labels, scores = np.array([1.0, 0.0]), np.array([-5.0, np.nan])

    assert ranking.auc(labels, scores) == pytest.approx(1.0)


def test_the_oracle_order_has_ndcg_and_auc_of_one() -> None:
    users, labels, _ = many_rows()

    assert ranking.user_ndcgs(users, labels, labels, 5, skip_empty=True).value == pytest.approx(1.0)
    assert ranking.gauc(users, labels, labels) == pytest.approx(1.0)


def test_an_empty_table_has_no_metric() -> None:
    nobody, nothing = np.zeros(0, np.int64), np.zeros(0)

    assert all(np.isnan(metric(nobody, nothing, nothing).value) for metric in METRICS.values())


def test_retrieval_recall_looks_only_above_the_cut_and_never_finds_padding() -> None:
    users, wanted = np.array([1, 1, 2]), np.array([7, 8, 9])
    retrieved = np.array([[7, 3], [3, 8], [-1, -1]])

    assert ranking.retrieval_recall(users, wanted, retrieved, 1).value == pytest.approx(1 / 3)
    assert ranking.retrieval_recall(users, wanted, retrieved, 2).value == pytest.approx(2 / 3)


@pytest.mark.parametrize("label", [np.nan, 2.0, -1.0])
def test_a_label_that_is_neither_zero_nor_one_is_refused(label: float) -> None:
    with pytest.raises(ValueError, match="must be 0 or 1"):
        ranking.auc(np.array([label, 1.0]), np.array([0.0, 1.0]))


def test_columns_of_different_length_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'labels': 2, 'scores': 3"):
        ranking.gauc(np.zeros(2, np.int64), np.ones(2), np.ones(3))


def test_a_cut_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        ranking.ndcg_at_k(np.zeros(1, np.int64), np.ones(1), np.ones(1), 0)
