"""Skew: every cell is equal, stale or a mismatch, and a mismatch names where to look."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from feature_repo.events import empty
from feature_repo.matrix import COLUMNS
from monitoring.findings import Verdict
from monitoring.skew import (
    CAUSES,
    NO_ROWS,
    ColumnSkew,
    Matrix,
    column_skew,
    compared,
    features_of,
    same,
    served_rows,
    skew,
)

cells = st.one_of(st.floats(-2, 2, width=32), st.just(float("nan")))


def matrix(rows: int = 3) -> Matrix:
    return np.arange(rows * len(COLUMNS), dtype=np.float32).reshape(rows, len(COLUMNS))


def changed(original: Matrix, column: str, value: float) -> Matrix:
    other = original.copy()
    other[0, COLUMNS.index(column)] = value
    return other


def served(features: list[list[float] | None]) -> pl.DataFrame:
    rows = {
        "impression_id": list(range(len(features))),
        "features": features,
        "event_time": [0] * len(features),
    }
    return pl.DataFrame(rows, schema={k: v for k, v in empty("served").schema.items() if k in rows})


@given(arrays(np.float32, 8, elements=cells))
def test_every_value_equals_itself_and_unknown_equals_unknown(values: Matrix) -> None:
    assert same(values, values).all()


def test_two_neighbouring_float32_numbers_are_not_equal() -> None:
    one = np.ones(1, np.float32)

    assert not same(one, np.nextafter(one, np.float32(2)))[0]


@given(*(arrays(np.float32, 12, elements=cells) for _ in range(3)))
def test_every_cell_is_counted_once(as_served: Matrix, at_event: Matrix, at_mirror: Matrix) -> None:
    found = column_skew("video_like_rate_7d", as_served, at_event, at_mirror)

    assert found.cells == 12


def test_what_equals_the_join_at_the_mirrors_time_is_stale_and_not_a_mismatch() -> None:
    now, then = np.array([2.0], np.float32), np.array([1.0], np.float32)

    assert column_skew("video_like_rate_7d", then, now, then) == ColumnSkew(
        "video_like_rate_7d", 0, 1, 0, 0.0
    )


def test_what_equals_neither_is_a_mismatch_with_its_size() -> None:
    found = column_skew("video_like_rate_7d", *(np.array([v], np.float32) for v in (5.0, 2.0, 1.0)))

    assert (found.mismatched, found.largest) == (1, 3.0)


def test_known_where_it_should_be_unknown_is_a_mismatch() -> None:
    found = column_skew("video_like_rate_7d", *(np.array([v], np.float32) for v in (5.0, np.nan, 1.0)))

    assert (found.mismatched, found.largest) == (1, float("inf"))


def test_the_towers_score_may_differ_in_its_last_digits_and_no_other_column_may() -> None:
    ours, theirs = np.array([1.0], np.float32), np.array([1.00005], np.float32)

    assert column_skew("tower_score", ours, theirs, theirs).mismatched == 0
    assert column_skew("history_topic_share", ours, theirs, ours * 9).mismatched == 1


def test_a_wrong_column_is_named_first_with_its_cause() -> None:
    right = matrix()
    wrong = changed(right, "user_topic_like_rate_14d", -1)

    whole, column = skew(compared(wrong, right, right), rows=3)

    assert whole.failed
    assert column.subject == "user_topic_like_rate_14d"
    assert "counted other events" in column.says


def test_one_wrong_cell_in_thousands_is_told_and_tolerated() -> None:
    right = matrix(100)

    whole, column = skew(compared(changed(right, "history_size", -1), right, right), rows=100)

    assert not whole.failed
    assert column.verdict is Verdict.OK


def test_a_column_nobody_knows_is_not_compared() -> None:
    unknown = matrix()
    unknown[:, 0] = np.nan

    assert COLUMNS[0] not in {column.column for column in compared(unknown, unknown, unknown)}


def test_every_column_has_a_cause_to_look_for() -> None:
    assert all(ColumnSkew(name, 0, 0, 0, 0.0).cause in CAUSES.values() for name in COLUMNS)


def test_without_served_rows_nothing_is_judged_and_the_way_to_some_is_said() -> None:
    (found,) = skew([], rows=0)

    assert (found.verdict, found.says) == (Verdict.NOT_JUDGED, NO_ROWS)


def test_only_rows_served_with_this_matrix_are_compared() -> None:
    of_ours: list[float] = [1.0] * len(COLUMNS)

    found = served_rows(served([None, [1.0, 2.0], of_ours]), most=5)

    assert found["impression_id"].to_list() == [2]


def test_features_come_back_as_they_were_logged_with_unknowns() -> None:
    row = [float(n) for n in range(len(COLUMNS))]
    row[3] = float("nan")

    found = features_of(served([row, row]))

    assert np.array_equal(found, np.array([row, row], np.float32), equal_nan=True)
