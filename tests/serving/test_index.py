"""Exact search: it finds what a sort finds, in the order a sort gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.index import SAMPLED, VideoIndex
from tests.serving.builders import scores_by_hand


def an_index(vectors: list[list[float]]) -> VideoIndex:
    return VideoIndex(
        np.arange(len(vectors), dtype=np.int64) * 10, np.array(vectors, np.float32).reshape(-1, 2)
    )


@given(
    rows=st.lists(st.lists(st.integers(-3, 3), min_size=2, max_size=2), min_size=1, max_size=30),
    k=st.integers(0, 40),
)
def test_search_agrees_with_sorting_everything(rows: list[list[float]], k: int) -> None:
    index, vector = an_index(rows), np.array([1, 0.5], np.float32)
    scores = index.vectors @ vector  # small whole and half numbers: exact in any order
    by_hand = sorted(range(len(rows)), key=lambda row: (-scores[row], row))[:k]

    ids, found = index.search(vector, k)

    assert ids.tolist() == [10 * row for row in by_hand]
    assert found.tolist() == [scores[row] for row in by_hand]


def test_scores_by_outline_that_were_told_are_not_asked_again() -> None:
    told = np.array([np.nan, 0], np.float32)  # as if the first row lay nowhere

    ids, scores = an_index([[1, 0], [0, 1]]).search(np.array([1, 0], np.float32), 2, outlined=told)

    assert (ids.tolist(), scores.tolist()) == ([10], [0])


def test_equal_scores_go_to_the_smaller_id() -> None:
    ids, _ = an_index([[1, 0]] * 5).search(np.array([1, 1], np.float32), 3)

    assert ids.tolist() == [0, 10, 20]


def test_a_video_the_index_does_not_hold_has_no_vector() -> None:
    index = an_index([[1, 2], [3, 4]])

    assert index.vector_of(7) is None
    assert index.vector_of(99) is None
    np.testing.assert_array_equal(index.vector_of(10), [3, 4])


def test_ids_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="must increase strictly"):
        VideoIndex(np.array([2, 1]), np.zeros((2, 2), np.float32))


def test_ids_without_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="2 ids for 1 vectors"):
        VideoIndex(np.array([1, 2]), np.zeros((1, 2), np.float32))


@given(
    n=st.integers(1, 400),
    k=st.integers(0, 400),
    sampled=st.sampled_from([0, 15, 100, -100]),
    longest=st.sampled_from([0, 400, 1_000]),
    seed=st.integers(0, 99),
)
@settings(max_examples=300, deadline=None)
def test_a_sample_that_misleads_costs_time_and_no_answer(
    n: int, k: int, sampled: int, longest: int, seed: int
) -> None:
    """Nor does one long vector, by which the outlines of all others get coarse."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-25, 25, n).astype(np.float32)
    scores[::SAMPLED] += sampled
    scores[rng.integers(n)] += longest
    parts = rng.integers(-25, 25, n).astype(np.float32)  # whole numbers: exact in any order

    ids, found = VideoIndex(np.arange(n), np.stack([parts, scores - parts], axis=1)).search(
        np.ones(2, np.float32), k
    )

    best = np.argsort(-scores, kind="stable")[:k]
    assert (ids.tolist(), found.tolist()) == (best.tolist(), scores[best].tolist())


@given(
    n=st.integers(1, 700),
    k=st.integers(1, 90),
    share=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    likeness=st.sampled_from([0.0, 1e-6, 1e-2, 1.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=100, deadline=None)
def test_the_best_unseen_are_found_however_alike_all_are(
    n: int, k: int, share: float, likeness: float, seed: int
) -> None:
    """Vectors closer together than outlines can tell must still come in their exact order."""
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=5) + likeness * rng.normal(size=(n, 5))).astype(np.float32)
    point, seen = rng.normal(size=5).astype(np.float32), np.flatnonzero(rng.random(n) < share)
    rows = rng.permutation(n)[: n // 2]
    index, scores = VideoIndex(np.arange(n), vectors), scores_by_hand(vectors, point)

    for found, order in (
        (index.search(point, k, seen), np.arange(n)),
        (index.best_of(rows, point, k, seen), rows),
    ):
        best = order[np.argsort(-scores[order], kind="stable")]
        wanted = best[~np.isin(best, seen)][:k]
        assert [each.tolist() for each in found] == [wanted.tolist(), scores[wanted].tolist()]


def test_scores_that_are_no_numbers_are_not_found_and_end_the_search() -> None:
    index = an_index([[1, 0]] * 40)

    assert len(index.search(np.array([np.nan, 1], np.float32), 3)[0]) == 0
