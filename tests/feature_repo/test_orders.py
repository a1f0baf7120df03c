"""Are rows put in order, and keys numbered, as sorting would have it, however far apart the numbers lie?"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.orders import ascending, in_order, numbered, paired

near = st.integers(-9, 9)
far = st.integers(-(2**62), 2**62 - 1)
rows = st.lists(st.tuples(st.integers(0, 5), near), max_size=60) | st.lists(
    st.tuples(st.integers(0, 5), near | far), max_size=60
)


@given(rows | rows.map(sorted))
def test_rows_in_order_are_every_row_once_by_code_and_moment(told: list[tuple[int, int]]) -> None:
    codes, moments = np.asarray(told, np.int64).reshape(-1, 2).T

    found = in_order(codes, moments, 6).tolist()

    assert sorted(found) == list(range(len(told)))
    assert [told[row] for row in found] == sorted(told)


def test_rows_in_order_already_stay_where_they_are() -> None:
    codes, moments = np.array([0, 0, 1, 1, 4]), np.array([7, 7, 3, 8, 1])

    assert in_order(codes, moments, 5).tolist() == [0, 1, 2, 3, 4]


@given(st.lists(near, max_size=60) | st.lists(near | far, max_size=60))
def test_keys_are_numbered_as_sorting_them_would(told: list[int]) -> None:
    keys = np.asarray(told, np.int64)

    distinct, codes = numbered(keys)

    wanted, places = np.unique(keys, return_inverse=True)
    assert (distinct.tolist(), codes.tolist()) == (wanted.tolist(), places.tolist())
    assert distinct.dtype == codes.dtype == np.int64


@given(st.lists(near, max_size=60) | st.lists(near | far, max_size=60))
def test_ascending_rows_are_those_of_a_stable_sort(told: list[int]) -> None:
    numbers = np.asarray(told, np.int64)

    assert ascending(numbers).tolist() == np.argsort(numbers, kind="stable").tolist()


@given(
    st.lists(st.tuples(near, near), max_size=60) | st.lists(st.tuples(near | far, near | far), max_size=60)
)
def test_pairs_are_sorted_as_tuples_are(told: list[tuple[int, int]]) -> None:
    first, second = np.asarray(told, np.int64).reshape(-1, 2).T

    assert list(zip(*(each.tolist() for each in paired(first, second)), strict=True)) == sorted(told)
