"""The table refuses what no stage may do."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from serving.candidates import NOBODY, Query, candidates, checked_mask


def test_a_column_of_another_length_is_refused_by_its_name() -> None:
    table = candidates(np.arange(3))

    with pytest.raises(ValueError, match=r"column 'value' is float64\[2\], must be .* with 3 rows"):
        table.with_columns({"value": np.zeros(2)})


def test_a_column_of_objects_is_refused() -> None:
    with pytest.raises(ValueError, match="'creator' is object"):
        candidates(np.arange(2), creator=np.array(["a", None], dtype=object))


def test_a_stage_may_add_columns_but_not_change_one() -> None:
    table = candidates(np.arange(3), value=np.zeros(3))

    with pytest.raises(ValueError, match="column value exists already"):
        table.with_columns({"value": np.ones(3)})


def test_a_missing_column_is_named_beside_those_there_are() -> None:
    with pytest.raises(KeyError, match=r"no column 'age'\. Columns so far: video_id"):
        candidates(np.arange(3))["age"]


def test_a_table_without_ids_is_refused() -> None:
    from serving.candidates import Candidates

    with pytest.raises(ValueError, match="needs a column 'video_id' of int64"):
        Candidates({"value": np.zeros(3)})


def test_rows_are_taken_in_the_order_asked() -> None:
    table = candidates(np.array([5, 6, 7])).take(np.array([2, 0]))

    assert table.ids.tolist() == [7, 5]


@pytest.mark.parametrize("mask", [np.ones(2, bool), np.ones(3), np.ones((3, 1), bool)])
def test_a_filter_must_answer_one_bool_per_row(mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"filter ages answered .*, must be bool\[3\]"):
        checked_mask("ages", mask, 3)


def test_learning_more_of_who_asks_changes_nothing_else_of_a_query() -> None:
    query = Query(1, 2, 3, limit=4, seen=np.array([5, 6]), blocked=np.array([7]))
    known = replace(NOBODY, vector=np.ones(2, np.float32))

    told = query.of(known)

    assert told.person is known
    others = [each.name for each in fields(Query) if each.name != "person"]
    assert all(getattr(told, name) is getattr(query, name) for name in others)
    assert query.person is NOBODY


def test_ids_of_a_query_that_are_not_ascending_are_refused() -> None:
    with pytest.raises(ValueError, match=r"query\.follows is not ascending"):
        Query(1, 2, 3, follows=np.array([6, 5]))
