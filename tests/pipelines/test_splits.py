"""The log cut by time, and the rows that may be used for a head."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from feature_repo.clock import DAY_US, HOUR_US, start_of, utc
from pipelines.splits import Splits, is_mature, splits

START = start_of(dt.date(2026, 6, 1))


def days_of(found: Splits) -> list[float]:
    return [found.towers.days, found.train.days, found.calibrate.days, found.test.days]


def test_fourteen_days_are_cut_6_4_2_2() -> None:
    assert days_of(splits("simulated", START + 5, START + 14 * DAY_US)) == [6, 4, 2, 2]


def test_minutes_of_a_new_day_do_not_move_the_cuts() -> None:
    found = splits("simulated", START, START + 14 * DAY_US + HOUR_US)

    assert days_of(found) == [6, 4, 2, 2 + 1 / 24]


def test_windows_follow_each_other_without_gap_or_overlap() -> None:
    found = splits("simulated", START, START + 14 * DAY_US)
    windows = [found.towers, found.train, found.calibrate, found.test]

    assert [w.end_us for w in windows[:-1]] == [w.start_us for w in windows[1:]]


def test_real_logs_are_held_out_after_a_day_of_their_own_clock() -> None:
    first = start_of(dt.date(2022, 4, 25)) - 8 * HOUR_US

    found = splits("kuairand", first + 100, first + 9 * DAY_US, dt.date(2022, 5, 1))

    assert days_of(found) == [2, 4, 1, 2]
    assert utc(found.test.start_us).isoformat() == "2022-05-01T16:00:00+00:00"  # 2 May, 0:00 in UTC+8


@pytest.mark.parametrize(("days", "held_out"), [(5, 1), (7, 2), (10, 2), (21, 3)])
def test_two_days_are_held_out_where_they_can_be_spared(days: int, held_out: int) -> None:
    assert splits("simulated", START, START + days * DAY_US).test.days == held_out


@pytest.mark.parametrize("until", [dt.date(2026, 6, 2), dt.date(2026, 6, 14), dt.date(2026, 7, 1)])
def test_a_day_that_leaves_too_little_is_refused(until: dt.date) -> None:
    with pytest.raises(ValueError, match="at least 3 days"):
        splits("simulated", START, START + 14 * DAY_US, until)


def test_a_row_is_used_only_when_mature_and_labelled() -> None:
    rows = pl.DataFrame({"like": [1, 0, None], "like_mature": [True, False, True]})

    assert rows.select(is_mature("like")).to_series().to_list() == [True, False, False]


def test_a_label_nobody_defined_is_refused() -> None:
    with pytest.raises(KeyError, match="no label 'love'"):
        is_mature("love")
