"""Freshness and volume: stopped senders, holes, backlogs and unusual days are found; quiet nights are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.clock import DAY_US, HOUR_US, MINUTE_US
from monitoring.findings import Finding, Verdict
from monitoring.freshness import age, freshness, hole, lateness
from monitoring.recent import Clocks, Recent
from monitoring.volume import STRETCHES, counts_back, surprise, volume

DAYS = 10
END = DAYS * DAY_US


def clocks(event_us: list[int] | np.ndarray, late_us: int = 0) -> Clocks:
    moments = np.sort(np.asarray(event_us, np.int64))
    return Clocks(moments, moments + late_us)


def steady(per_day: int = 240, days: int = DAYS) -> Clocks:
    """The same number of events every day, spread evenly."""
    return clocks(np.arange(days * per_day) * (DAY_US // per_day))


def every_kind(mine: Clocks) -> Recent:
    return dict.fromkeys(("served", "watched", "reacted", "followed", "uploaded", "joined"), mine)


def failed_subjects(findings: list[Finding]) -> list[str]:
    return [finding.subject for finding in findings if finding.failed]


def test_a_steady_log_is_fresh_and_as_full_as_usual() -> None:
    recent = every_kind(steady())

    assert failed_subjects(freshness(recent, END, "simulated")) == []
    assert failed_subjects(volume(recent, END, 0)) == []


def test_a_kind_that_stopped_is_named_with_its_age_and_the_others_are_fine() -> None:
    recent = {**every_kind(steady()), "reacted": steady(days=9)}

    (found,) = (f for f in freshness(recent, END, "simulated") if f.failed)

    assert (found.subject, found.value) == ("reacted", "24.10 h")
    assert "pipelines ingest" in found.says


def test_a_server_running_past_the_end_of_a_silent_log_makes_it_stale() -> None:
    assert age("watched", steady(), END + 7 * HOUR_US, 6.0).failed


def test_a_kind_without_any_event_is_stale() -> None:
    assert age("watched", clocks([]), END, 6.0).value == "no events"
    assert age("watched", clocks([]), END, 6.0).failed


def test_a_log_whose_videos_came_as_one_file_is_not_judged_by_uploads() -> None:
    recent = {**every_kind(steady()), "uploaded": clocks([0])}

    assert failed_subjects(freshness(recent, END, "kuairand")) == []


def test_a_hole_of_a_day_in_the_past_is_found() -> None:
    events = steady().event_us
    torn = clocks(events[(events < 4 * DAY_US) | (events > 5 * DAY_US)])

    assert hole(torn).failed


def test_a_backlog_is_late_and_three_per_cent_is_not() -> None:
    mixed = Clocks(np.arange(100), np.arange(100) + np.where(np.arange(100) < 3, HOUR_US, MINUTE_US))

    assert lateness(clocks([1, 2, 3], late_us=HOUR_US)).failed
    assert not lateness(mixed).failed


def test_counts_go_back_in_whole_days_from_the_end() -> None:
    events = np.array([0, DAY_US - 1, DAY_US, 2 * DAY_US - 1])

    assert counts_back(events, 2 * DAY_US, DAY_US, 2).tolist() == [2, 2]
    assert counts_back(events, 2 * DAY_US, HOUR_US, 2).tolist() == [1, 1]


@given(st.lists(st.integers(0, 5 * DAY_US), max_size=60).map(sorted))
def test_the_days_counted_back_hold_every_event_of_those_days_once(events: list[int]) -> None:
    inside = [e for e in events if e < 5 * DAY_US]

    assert counts_back(np.array(events, np.int64), 5 * DAY_US, DAY_US, 5).sum() == len(inside)


def test_half_a_day_of_events_is_unusual() -> None:
    events = steady(1000).event_us
    halved = clocks(np.concatenate([events[events < 9 * DAY_US], events[events >= 9 * DAY_US][::3]]))

    assert "watched, last day" in failed_subjects(volume(every_kind(halved), END, 0))


def test_a_handful_of_events_is_never_unusual() -> None:
    assert surprise(1, np.array([3.0, 4.0, 2.0])).is_usual(0.5, 2.0)


def test_a_weekend_is_not_an_outage() -> None:
    assert surprise(700, np.array([1000.0, 1010.0, 990.0, 1005.0])).is_usual(0.5, 2.0)


def test_four_times_the_usual_is_unusual_for_a_day_and_not_for_an_hour() -> None:
    found = surprise(4000, np.array([1000.0, 1010.0, 990.0]))

    assert [found.is_usual(stretch.low, stretch.high) for stretch in STRETCHES] == [False, True]


@pytest.mark.parametrize("days", [1, 3])
def test_too_few_days_are_not_judged(days: int) -> None:
    found = volume(every_kind(steady(days=days)), days * DAY_US, 0)

    assert {finding.verdict for finding in found} == {Verdict.NOT_JUDGED}
