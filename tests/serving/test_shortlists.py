"""A shortlist changes which rows are looked at, never what a score means."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from serving import shortlists
from serving.index import VideoIndex, indexed
from serving.shortlists import FACTOR, ONE_IN, Shortlist, shortlist

RNG = np.random.default_rng(3)
VECTORS = RNG.normal(size=(5_000, 32)).astype(np.float32)
IDS = np.arange(5_000, dtype=np.int64) * 3


class Lists:
    """Codes that find the rows they were told, and remember for how many they were asked."""

    def __init__(self, rows: list[int], ntotal: int) -> None:
        self.rows, self.ntotal, self.asked = rows, ntotal, 0

    def search(self, _: Any, most: int) -> tuple[None, np.ndarray]:
        self.asked = most
        return None, np.array([self.rows])


def test_listed_rows_have_their_exact_scores_best_first() -> None:
    index = VideoIndex(IDS, VECTORS, Shortlist(Lists([7, 2, 9, -1], 5_000)))

    ids, scores = index.search(VECTORS[0], 2)

    by_hand = sorted([2, 7, 9], key=lambda row: -float(VECTORS[row] @ VECTORS[0]))[:2]
    assert ids.tolist() == [3 * row for row in by_hand]
    assert scores == pytest.approx([float(VECTORS[row] @ VECTORS[0]) for row in by_hand], abs=1e-5)


@pytest.mark.parametrize(
    ("k", "videos", "asked"),
    [(10, 640, 10 * FACTOR), (10, 100 * ONE_IN * FACTOR, 100 * FACTOR), (10, 50, 50)],
)
def test_a_list_grows_with_what_is_asked_for_and_with_the_catalogue(k: int, videos: int, asked: int) -> None:
    codes = Lists([0], videos)

    Shortlist(codes).rows(VECTORS[0], k)

    assert codes.asked == asked


def test_up_to_the_crossover_every_row_is_looked_at() -> None:
    assert indexed(IDS, VECTORS, exact_upto=5_000).shortlist is None


def test_without_faiss_search_stays_exact_and_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    shortlists._faiss.cache_clear()
    with caplog.at_level(logging.WARNING):
        found = [indexed(IDS, VECTORS, exact_upto=100) for _ in range(2)]
    shortlists._faiss.cache_clear()

    assert [each.shortlist for each in found] == [None, None]
    assert caplog.text.count("pip install 'fourplanes[ann]'") == 1


def test_a_real_list_finds_nearly_all_of_the_nearest() -> None:
    pytest.importorskip("faiss")
    exact, listed = VideoIndex(IDS, VECTORS), VideoIndex(IDS, VECTORS, shortlist(VECTORS))
    queries = RNG.normal(size=(20, 32)).astype(np.float32)

    shares = [np.isin(exact.search(q, 50)[0], listed.search(q, 50)[0]).mean() for q in queries]

    assert np.mean(shares) > 0.9
