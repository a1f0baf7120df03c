"""Every value out of range and every unknown is counted, by two ways of counting that agree with a loop."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from feature_repo.catalogue import USER_PROFILE, Feature, feature_named
from feature_repo.contracts import CONTRACT, Violations, table_violations, violations
from feature_repo.matrix import COLUMNS

Matrix = NDArray[np.float32]
AGE, RATE = COLUMNS.index("video_age_hours"), COLUMNS.index("user_like_rate_7d")
ODD = [-math.inf, -124.0, -1e-9, 0.0, 0.5, 1.0, 1.0000001, 24.0, 63.0, 64.0, 1e30, math.inf, math.nan]

matrices = st.lists(
    st.lists(st.sampled_from(ODD), min_size=len(COLUMNS), max_size=len(COLUMNS)), min_size=1, max_size=5
).map(lambda rows: np.array(rows, np.float32))


def a_matrix(rows: int = 10) -> Matrix:
    """A matrix that keeps every promise: zeros are in every range."""
    return np.zeros((rows, len(COLUMNS)), np.float32)


def table_of(matrix: Matrix) -> pl.DataFrame:
    return pl.DataFrame({name: matrix[:, place] for place, name in enumerate(COLUMNS)})


def judged(feature: Feature, value: float) -> str:
    """One value, by the words of the law."""
    if math.isnan(value):
        return "unknown"
    if value < feature.low or value == -math.inf:
        return "below"
    return "above" if value > feature.high or value == math.inf else "fine"


def counted(matrix: Matrix, verdict: str) -> list[int]:
    return [sum(judged(f, float(v)) == verdict for v in matrix[:, place]) for place, f in enumerate(CONTRACT)]


def told(found: Violations) -> list[str]:
    return [f"{breach.feature.name}: {breach.promise}" for breach in found.breaches()]


@given(matrix=matrices)
def test_the_counts_are_those_of_a_loop_over_every_value(matrix: Matrix) -> None:
    found = violations(matrix)

    assert found.below.tolist() == counted(matrix, "below")
    assert found.above.tolist() == counted(matrix, "above")
    assert found.unknown.tolist() == counted(matrix, "unknown")


@given(matrix=matrices)
def test_a_table_is_counted_as_its_matrix_is(matrix: Matrix) -> None:
    ours, theirs = violations(matrix), table_violations(table_of(matrix))

    for end in ("below", "above", "unknown"):
        assert getattr(ours, end).tolist() == getattr(theirs, end).tolist()


@given(matrix=matrices, cut=st.integers(0, 5))
def test_the_counts_of_two_batches_add_up_to_those_of_all_rows(matrix: Matrix, cut: int) -> None:
    parts, whole = violations(matrix[:cut]) + violations(matrix[cut:]), violations(matrix)

    assert parts.as_figure() == whole.as_figure()


def test_values_in_range_break_nothing() -> None:
    assert violations(a_matrix()).breaches() == ()


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinity_is_out_of_range_even_where_the_range_is_open(value: float) -> None:
    matrix = a_matrix()
    matrix[3, AGE] = value

    assert feature_named("video_age_hours").high == math.inf
    assert told(violations(matrix)) == ["video_age_hours: values out of range"]


def test_a_rate_that_is_unknown_breaks_its_promise_and_names_its_owner() -> None:
    matrix = a_matrix()
    matrix[0, RATE] = math.nan

    (breach,) = violations(matrix).breaches()

    assert str(breach) == "user_like_rate_7d: share unknown 0.1, must be at most 0; ask ranking"


def test_a_feature_may_be_unknown_as_often_as_it_says() -> None:
    feature = replace(feature_named("video_age_hours"), most_unknown=0.5)
    half = pl.DataFrame({"video_age_hours": [math.nan, None, 1.0, 2.0]})

    assert table_violations(half, [feature]).breaches() == ()
    assert told(table_violations(half.head(3), [feature])) == ["video_age_hours: share unknown"]


def test_a_moment_is_counted_in_whole_microseconds() -> None:
    joined = [f for f in USER_PROFILE.features if f.name == "user_joined_us"]
    table = pl.DataFrame({"user_joined_us": [1_700_000_000_000_000, -1, None]}, {"user_joined_us": pl.Int64})

    found = table_violations(table, joined)

    assert (found.below.tolist(), found.above.tolist(), found.unknown.tolist()) == ([1], [0], [1])


def test_a_report_lists_only_columns_that_have_something_to_tell() -> None:
    matrix = a_matrix()
    matrix[:2, RATE] = 7.0

    assert violations(matrix).as_figure()["columns"] == {
        "user_like_rate_7d": {"below": 0, "above": 2, "unknown": 0}
    }


def test_a_matrix_of_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the matrix is \(10, 3\)"):
        violations(a_matrix()[:, :3])


def test_a_table_without_a_column_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="user_like_rate_7d"):
        table_violations(table_of(a_matrix()).drop("user_like_rate_7d"))


def test_no_rows_break_nothing() -> None:
    assert violations(a_matrix(0)).breaches() == ()
