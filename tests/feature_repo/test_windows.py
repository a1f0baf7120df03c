"""Do window sums count exactly the facts that the law names, at every snapshot?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.clock import HOUR_US
from feature_repo.windows import Facts, grid, window_sums

Row = tuple[int, int, int, int]  # code, event_us, delay until known, amount

rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-5, 30), st.integers(-3, 30), st.integers(0, 9)), max_size=40
)
moments = st.lists(st.integers(-5, 70), min_size=1, max_size=12, unique=True).map(sorted)


def facts_of(told: list[Row]) -> Facts:
    table = np.asarray(told, np.int64).reshape(-1, 4)
    return Facts.sorted(table[:, 0], table[:, 1], table[:, 1] + table[:, 2], table[:, 3])


def sum_by_hand(told: list[Row], code: int, snapshot: int, window: int) -> int:
    return sum(
        amount
        for mine, event, delay, amount in told
        if mine == code and event + delay < snapshot and event >= snapshot - window
    )


@given(rows, moments, st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_window_sums_agree_with_counting_by_hand(told: list[Row], at: list[int], window: int) -> None:
    found = window_sums(facts_of(told), np.asarray(at, np.int64), window, 4)

    assert found.tolist() == [[sum_by_hand(told, code, s, window) for s in at] for code in range(4)]


@given(rows, moments, st.integers(0, 4))
@settings(max_examples=100, deadline=None)
def test_a_range_of_codes_sums_like_the_whole(told: list[Row], at: list[int], low: int) -> None:
    snapshots = np.asarray(at, np.int64)
    whole = window_sums(facts_of(told), snapshots, 10, 4)

    assert (
        window_sums(facts_of(told).between(low, 4), snapshots, 10, 4 - low).tolist() == whole[low:].tolist()
    )


def test_a_fact_counts_from_after_it_is_known_until_the_window_has_left_it() -> None:
    one = facts_of([(0, 100, 7, 1)])

    assert window_sums(one, np.array([107, 108, 150, 151]), 50, 1).tolist() == [[0, 1, 1, 0]]


def test_a_fact_known_too_late_never_counts() -> None:
    assert not window_sums(facts_of([(0, 0, 60, 1)]), np.arange(0, 200, 5), 50, 1).any()


def test_the_grid_is_aligned_to_whole_hours_and_ends_at_until() -> None:
    found = grid(HOUR_US // 2, 3 * HOUR_US + 5, HOUR_US)

    assert found.tolist() == [HOUR_US, 2 * HOUR_US, 3 * HOUR_US, 3 * HOUR_US + 5]


def test_moments_of_earlier_ends_stay_in_the_grid() -> None:
    assert grid(0, 2 * HOUR_US, HOUR_US, (7, 9 * HOUR_US)).tolist() == [7, HOUR_US, 2 * HOUR_US]


def test_a_grid_that_is_not_of_whole_hours_is_refused() -> None:
    with pytest.raises(ValueError, match="must be whole hours"):
        grid(0, HOUR_US, 7)
