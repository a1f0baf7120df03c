"""Is every row of the journal handed out once, in order, and known in time by whom it is about?"""

from __future__ import annotations

from typing import Any

import pytest

from feature_repo.journal import Journal
from feature_repo.log import EventLog
from feature_repo.places import Places
from serving.arrivals import MANY, Arrivals
from serving.live import Live
from tests.serving.builders import NOW_US, a_live, a_watch, uploads


def a_told(user_id: int, video_id: int, **more: Any) -> dict[str, Any]:
    return {**a_watch(user_id, video_id, NOW_US), "known_time_us": NOW_US + video_id, **more}


@pytest.fixture
def journal(places: Places) -> Journal:
    return Journal(places.journal)


@pytest.fixture
def other(places: Places) -> Journal:
    """Another process's."""
    return Journal(places.journal)


def test_what_another_process_wrote_is_heard_and_handed_out_once_in_order(
    journal: Journal, other: Journal
) -> None:
    arrivals = Arrivals(journal)
    for video in (30, 31, 32):
        other.append([a_told(3, video)])
        arrivals.hear()

    assert [row["video_id"] for row in arrivals.take()] == [30, 31, 32]
    arrivals.hear()
    assert arrivals.take() == []


def test_what_this_process_wrote_is_read_when_it_says_so(journal: Journal) -> None:
    arrivals = Arrivals(journal)
    journal.append([a_told(3, 30)])
    arrivals.read()

    assert [row["video_id"] for row in arrivals.take()] == [30]


def test_what_the_log_absorbed_does_not_arrive(places: Places, journal: Journal) -> None:
    journal.append([a_told(3, 30)])
    journal.drain_into(EventLog(places.log))
    journal.append([a_told(3, 31)])

    assert [row["video_id"] for row in Arrivals(journal).take()] == [31]


def test_a_row_concerns_whom_it_is_about_until_it_is_taken(journal: Journal) -> None:
    journal.append([a_told(3, 30)])
    arrivals = Arrivals(journal)

    assert (arrivals.concern(3), arrivals.concern(4)) == (True, False)
    arrivals.take()
    assert not arrivals.concern(3)


def test_the_latest_moment_stays_known_when_an_earlier_one_arrives_after_it(
    journal: Journal, other: Journal
) -> None:
    arrivals = Arrivals(journal)
    for video in (40, 30):
        other.append([a_told(3, video)])
        arrivals.hear()

    assert arrivals.last_us == NOW_US + 40


def test_what_names_nobody_concerns_everybody(journal: Journal) -> None:
    journal.append([{"kind": "uploaded", **uploads()[0], "event_id": "up-new", "video_id": 1_000}])

    assert Arrivals(journal).concern(4)


def test_a_person_who_asks_another_server_is_known_there_and_others_wait(places: Places, live: Live) -> None:
    here = a_live(places)
    live.acknowledge([a_watch(3, 30, live.clock())])

    here.query(4)
    assert 30 not in here.state.query(3, 1, NOW_US).history
    assert here.query(3).history[0] == 30


def test_our_moments_follow_those_of_others_that_wait(places: Places, live: Live) -> None:
    """Whatever the clock of the process that wrote them."""
    live.query(4)
    Journal(places.journal).append([a_told(3, 30, known_time_us=NOW_US + 10**12)])

    assert live.query(4).now_us > NOW_US + 10**12


def test_what_we_are_told_is_known_after_what_others_told(live: Live, other: Journal) -> None:
    other.append([a_told(3, 30, known_time_us=NOW_US + 10**12)])
    live.acknowledge([a_watch(4, 31, live.clock())])

    told = [entry.event for entry in other.events() if entry.event["user_id"] == 4]
    assert [event["known_time_us"] for event in told] == [NOW_US + 10**12 + 1]


def test_many_rows_of_others_are_taken_in_whoever_asks(live: Live, other: Journal) -> None:
    other.append([a_told(3, 30, event_id=f"w{number}") for number in range(MANY)])
    live.query(4)

    assert 30 in live.state.query(3, 1, NOW_US).seen


def test_many_rows_are_taken_in_though_nobody_asks(live: Live) -> None:
    for number in range(MANY):
        live.acknowledge([a_watch(3, 30, live.clock(), event_id=f"w{number}")])

    assert 30 in live.state.query(3, 1, NOW_US).seen


def test_what_waits_is_counted_when_features_are_written(live: Live) -> None:
    live.acknowledge([a_watch(3, 30, live.clock())])
    live.write()

    assert 30 in live.state.query(3, 1, NOW_US).seen
