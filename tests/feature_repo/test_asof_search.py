"""Are rows found by halving those that are found by looking at all of them, however many are asked for?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import asof_search
from feature_repo.asof_search import NOTHING, Timelines

KEYS = 3
rows = st.lists(st.tuples(st.integers(0, KEYS - 1), st.integers(0, 9), st.integers(0, 5)), max_size=30)
questions = st.lists(st.tuples(st.integers(NOTHING, KEYS - 1), st.integers(-1, 16)), max_size=15)


def by_hand(told: list[tuple[int, int, int]], known_us: list[int], key: int, now_us: int, ttl_us: int) -> int:
    """The place of the greatest (event, created, place) among the key's rows known by then."""
    known = [n for n, row in enumerate(told) if row[0] == key and known_us[n] <= now_us]
    best = max(known, key=lambda n: (told[n][1], told[n][1] + told[n][2], n), default=NOTHING)
    return best if best == NOTHING or now_us - told[best][1] <= ttl_us else NOTHING


@given(rows, questions, st.integers(0, 12), st.booleans())
@settings(max_examples=200, deadline=None)
def test_the_row_found_is_the_newest_known_of_the_key(
    told: list[tuple[int, int, int]], asked: list[tuple[int, int]], ttl_us: int, known_only: bool
) -> None:
    keys, event_us, late_us = (np.array([row[place] for row in told], np.int64) for place in range(3))
    known_us = event_us + late_us * known_only
    timelines = Timelines.of(keys, KEYS, [known_us, event_us, event_us + late_us])
    asked_keys, moments = (np.array([row[place] for row in asked], np.int64) for place in range(2))

    found = timelines.newest(asked_keys, moments, ttl_us)

    assert found.tolist() == [by_hand(told, known_us.tolist(), *row, ttl_us) for row in asked]


def test_questions_shared_among_threads_have_the_answers_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    timelines = Timelines.of(rng.integers(0, 50, 5_000), 50, [rng.integers(0, 1_000, 5_000)])
    keys, moments = rng.integers(NOTHING, 50, 1_001), rng.integers(0, 1_000, 1_001)
    alone = timelines.newest(keys, moments, 100)

    monkeypatch.setattr(asof_search, "THREADS", 3)
    monkeypatch.setattr(asof_search, "WORTH_A_THREAD", 10)

    assert len(asof_search._parts(1_001)) == 3
    assert timelines.newest(keys, moments, 100).tolist() == alone.tolist()
    assert (alone >= 0).sum() > 500
