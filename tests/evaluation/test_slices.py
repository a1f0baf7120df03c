"""Slices hold exactly the rows their bounds say."""

from __future__ import annotations

import polars as pl
import pytest

from evaluation.slices import heavy_users, new_users, new_videos, slices


def some_rows(**columns: list[float | int | None]) -> pl.DataFrame:
    return pl.DataFrame(columns, strict=False)


def test_a_user_is_new_for_two_days_and_one_of_unknown_tenure_is_not() -> None:
    rows = some_rows(user_tenure_days=[0.0, 1.99, 2.0, None, float("nan")])

    assert new_users(rows).tolist() == [True, True, False, False, False]


def test_a_video_is_new_for_a_day() -> None:
    assert new_videos(some_rows(video_age_hours=[23.9, 24.0, None])).tolist() == [True, False, False]


def test_heavy_users_are_a_tenth_and_all_of_their_rows() -> None:
    users = [*range(10), 9]
    rows = some_rows(user_id=users, user_impressions_7d=[*range(10), 0])

    assert [u for u, heavy in zip(users, heavy_users(rows), strict=True) if heavy] == [9, 9]


def test_nobody_is_heavy_when_nothing_is_known() -> None:
    assert not heavy_users(some_rows(user_id=[1], user_impressions_7d=[None])).any()


def test_a_missing_column_is_named() -> None:
    with pytest.raises(KeyError, match="user_tenure_days"):
        slices(some_rows(user_id=[1]))


def test_every_row_is_in_the_slice_of_all() -> None:
    rows = some_rows(user_id=[1], user_impressions_7d=[3], user_tenure_days=[9.0], video_age_hours=[99.0])

    assert {name: int(mask.sum()) for name, mask in slices(rows).items()} == {
        "all": 1,
        "new users": 0,
        "heavy users": 1,
        "new videos": 0,
    }
