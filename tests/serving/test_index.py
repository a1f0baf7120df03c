"""Exact search: it finds what a sort finds, in the order a sort gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.index import PIECE, SAMPLED, VideoIndex, largest


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


@given(st.integers(0, 3 * PIECE), st.integers(1, 9), st.integers(0, 2), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_a_score_is_the_sum_in_the_order_of_the_dimensions(n: int, size: int, asked: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, wanted = rng.normal(size=(n, size)).astype(np.float32), np.zeros((asked, n), np.float32)
    points = rng.normal(size=(asked, size)).astype(np.float32)
    for dimension in range(size):
        wanted += points[:, dimension, None] * vectors[:, dimension]

    assert VideoIndex(np.arange(n), vectors).scores(points).tolist() == wanted.tolist()


def test_scores_that_were_told_are_not_asked_again() -> None:
    index = an_index([[1, 0], [0, 1]])

    ids, scores = index.search(np.array([1, 0], np.float32), 1, np.array([2, 3], np.float32))

    assert (ids.tolist(), scores.tolist()) == ([10], [3])


def test_zeros_of_both_signs_are_one_score() -> None:
    assert largest(np.array([-0.0, 0.0, -1.0, -0.0], np.float32), 4).tolist() == [0, 1, 3, 2]


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


@given(st.integers(1, 400), st.integers(0, 400), st.sampled_from(["even", "high", "low"]), st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_a_sample_that_misleads_costs_time_and_no_answer(n: int, k: int, sampled: str, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 50, n).astype(np.float32)
    scores[::SAMPLED] += {"even": 0, "high": 100, "low": -100}[sampled]

    found = largest(scores, min(k, n))

    assert found.tolist() == np.argsort(-scores, kind="stable")[:k].tolist()
