"""A live server answers among events; closed, drained or not, every answer is made again byte for byte."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feature_repo.clock import HOUR_US
from feature_repo.journal import Journal, frame_of
from feature_repo.log import EventLog
from feature_repo.places import Places
from monitoring.failing import NoSuchComponent, failing
from monitoring.replays import NotReplayable, replayed
from serving.live import Live
from tests.serving.builders import NOW_US, Fails, a_feed, a_watch
from tests.serving.served_days import Day, a_day, a_run, a_server


def broken_in(live: Live, kind: str, name: str) -> None:
    """From now on this component of the feed fails."""
    serving = live.champion.now
    parts = [_broken(each) if each.name == name else each for each in getattr(serving.feed, kind)]
    broken: Any = {kind: parts}
    live.champion._serving = replace(serving, feed=replace(serving.feed, **broken))


def _broken(component: Any) -> Any:
    return Fails(component.name, getattr(component, "gives", ()))


def a_head_lost(live: Live, head: str) -> None:
    """From now on this head cannot say anything."""
    serving = live.champion.now
    feed = failing(serving.feed, [f"hydrator:predictions.{head}"])
    live.champion._serving = replace(serving, feed=feed)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    return a_day(a_run(tmp_path_factory.mktemp("replayed")))


def unequal(day: Day) -> list[tuple[int, str]]:
    """Requests whose replay differs, and in what."""
    found = {request_id: replayed(day.places, request_id) for request_id in day.sent}
    return [
        (request_id, replay.difference)
        for request_id, replay in found.items()
        if not replay.is_equal or replay.body != day.sent[request_id]
    ]


def test_every_response_is_made_again_byte_for_byte_while_the_journal_waits(day: Day) -> None:
    assert len(day.sent) == 30
    assert unequal(day) == []


def test_every_response_is_made_again_byte_for_byte_after_the_log_absorbed_the_journal(
    day: Day, tmp_path: Path
) -> None:
    shutil.copytree(day.places.root, tmp_path / "run")
    drained = replace(day, places=Places(tmp_path / "run"))
    journal = Journal(drained.places.journal)
    assert journal.drain_into(EventLog(drained.places.log)) > 200
    journal.close()

    assert unequal(drained) == []


def test_what_many_asked_at_once_while_things_happened_is_made_again(tmp_path: Path) -> None:
    """Whatever a thread was overtaken by between its moment and its answer, the answer is of its moment."""
    places = a_run(tmp_path)
    live, sent = a_server(places), dict[int, bytes]()

    def ask(user: int) -> None:
        for _ in range(6):
            answer = live.feed(user, limit=6)
            sent[answer.funnel.query.request_id] = answer.body

    asking = [threading.Thread(target=ask, args=(user,)) for user in (1, 2, 3)]
    for thread in asking:
        thread.start()
    for number in range(12):
        live.acknowledge([a_watch(number % 4, 10 + number, live.clock())])
        live.freshen()
    for thread in asking:
        thread.join()
    live.close()

    assert len(sent) == 18
    assert unequal(Day(places, sent)) == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("readers", "online_features"),
        ("sources", "trending"),
        ("filters", "not_seen"),
        ("hydrators", "predictions"),
        ("hydrators", "history"),
        ("hydrators", "matrix"),
    ],
)
def test_a_component_that_failed_then_fails_again(kind: str, name: str, tmp_path: Path) -> None:
    places = a_run(tmp_path)
    live = a_server(places)
    broken_in(live, kind, name)
    live.acknowledge([a_watch(3, 30, live.clock())])
    answer = live.feed(3, limit=5)
    live.close()

    replay = replayed(places, answer.funnel.query.request_id)

    assert f"{kind[:-1]}:{name}" in replay.recorded.degraded
    assert replay.body == answer.body


def test_a_head_that_was_lost_is_lost_again(tmp_path: Path) -> None:
    places = a_run(tmp_path)
    live = a_server(places)
    a_head_lost(live, "like")
    answer = live.feed(3, limit=5)
    live.close()

    replay = replayed(places, answer.funnel.query.request_id)

    assert "hydrator:predictions.like" in replay.recorded.degraded
    assert replay.body == answer.body


def test_an_empty_slate_is_made_again(tmp_path: Path) -> None:
    places = a_run(tmp_path)
    live = a_server(places)
    broken_in(live, "filters", "eligible")
    answer = live.feed(3)
    live.close()

    replay = replayed(places, answer.funnel.query.request_id)

    assert replay.recorded.served == ()
    assert replay.is_equal
    assert replay.funnel.removed()["eligible"] == len(replay.funnel.union) > 0


def test_a_request_that_was_never_answered_is_said_to_be_so(day: Day) -> None:
    with pytest.raises(NotReplayable, match="request 5 is neither in"):
        replayed(day.places, 5)


def test_a_component_that_exists_no_more_cannot_fail_again() -> None:
    with pytest.raises(NoSuchComponent, match="source:rumours failed then"):
        failing(a_feed(), ["source:rumours"])


def test_what_differs_is_named(day: Day, tmp_path: Path) -> None:
    """An event the server never heard of, told to the log as if it had been known."""
    shutil.copytree(day.places.root, tmp_path / "run")
    places = Places(tmp_path / "run")
    late = [{**a_watch(user, 59, NOW_US - HOUR_US), "known_time_us": NOW_US - HOUR_US} for user in range(30)]
    EventLog(places.log).append("watched", frame_of("watched", late), "late")

    longest = max(day.sent, key=lambda request_id: len(day.sent[request_id]))
    replay = replayed(places, longest)

    assert not replay.is_equal
    assert replay.difference.startswith("items.")
