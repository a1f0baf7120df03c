"""A running server without HTTP: memory, durability, and swaps while people are asking."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from feature_repo.counting_ahead import count_ahead
from feature_repo.journal import ConflictingEvent, Journal, frame_of
from feature_repo.log import EventLog
from feature_repo.matrix import COLUMNS
from feature_repo.places import Places
from feature_repo.schemas import validated
from serving import champions, registry
from serving.champions import NoRelease
from serving.clocks import WorldClock
from serving.completions import FUTURE_US, RefusedEvent
from serving.heads import Heads
from serving.live import Live
from serving.models import heads_of
from serving.releases import Release, read_release
from tests.serving.builders import NOW_US, ManualTime, a_live, a_log, a_watch, a_world


def watch(live: Live, user_id: int, video_id: int, **more: Any) -> dict[str, object]:
    return a_watch(user_id, video_id, live.clock(), **more)


def test_what_a_person_just_watched_changes_their_next_feed(live: Live) -> None:
    before = live.feed(3, limit=50, explore=False).funnel
    watched = int(before.slate.ids[0])

    live.acknowledge([watch(live, 3, watched)])
    after = live.feed(3, limit=50, explore=False).funnel

    assert watched not in after.slate.ids
    assert after.query.history[0] == watched
    assert not np.array_equal(after.scored["history_topic_share"], before.scored["history_topic_share"][:-1])


def test_an_acknowledged_event_survives_a_restart(places: Places, live: Live) -> None:
    live.acknowledge([watch(live, 3, 30)])
    live.close()

    restarted = a_live(places)

    query = restarted.state.query(3, 1, restarted.clock())
    assert query.history[0] == 30
    assert query.seen.tolist() == [3, 4, 30]


def test_other_processes_do_not_wait_while_one_remembers_what_it_read(
    places: Places, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered: list[Any] = []
    absorb = live.state.absorb

    def told(events: Sequence[Mapping[str, Any]]) -> None:
        with (places.server / "knowing.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError if it is held
        remembered.extend(events)
        absorb(events)

    monkeypatch.setattr(live.state, "absorb", told)
    live.acknowledge([watch(live, 3, 30)])

    assert live.query(3).history[0] == 30
    live.acknowledge([watch(live, 3, 31)])
    live.write()
    assert [event["video_id"] for event in remembered] == [30, 31]


def test_after_the_log_absorbed_the_journal_a_restart_remembers_the_same(places: Places, live: Live) -> None:
    live.acknowledge([watch(live, 3, 30), watch(live, 3, 31)])
    running = live.query(3)
    live.close()
    Journal(places.journal).drain_into(EventLog(places.log))

    restarted = a_live(places).state.query(3, 1, NOW_US + 10**9)

    assert restarted.history.tolist() == running.history.tolist()
    assert restarted.seen.tolist() == running.seen.tolist()


def test_a_repeated_event_is_stored_and_remembered_once(live: Live) -> None:
    event = watch(live, 3, 30)

    first, again = live.acknowledge([event]), live.acknowledge([event])

    assert (first, again) == ((1, 0), (0, 1))
    assert live.query(3).history.tolist().count(30) == 1


def test_a_conflicting_event_leaves_its_whole_batch_out(live: Live) -> None:
    event = watch(live, 3, 30)
    live.acknowledge([event])

    with pytest.raises(ConflictingEvent):
        live.acknowledge([watch(live, 3, 31), {**event, "watched_ms": 1}])
    assert 31 not in live.query(3).seen


def test_an_event_of_a_person_never_seen_is_accepted(live: Live) -> None:
    assert live.acknowledge([watch(live, 12_345, 30)]).stored == 1
    assert live.query(12_345).seen.tolist() == [30]


@pytest.mark.parametrize(("ahead_us", "accepted"), [(FUTURE_US, True), (FUTURE_US + 1, False)])
def test_an_event_may_be_five_minutes_ahead_and_no_more(
    places: Places, ahead_us: int, accepted: bool
) -> None:
    a_log(places.log)
    live = Live(
        places,
        lambda now_us, _: a_world(now_us=now_us),
        clock_from=lambda _: WorldClock(NOW_US, ManualTime()),
    )
    event = a_watch(3, 30, NOW_US + ahead_us)

    if accepted:
        assert live.acknowledge([event]).stored == 1
    else:
        with pytest.raises(
            RefusedEvent, match=r"events.0.event_time_us must not lie more than 5 minutes after"
        ):
            live.acknowledge([event])


def test_the_slate_is_logged_as_it_was_served(places: Places, live: Live) -> None:
    funnel = live.feed(3, limit=4).funnel

    told = [entry.event for entry in Journal(places.journal).events()]
    logged = frame_of("served", [event for event in told if event["kind"] == "served"])

    assert logged["video_id"].to_list() == funnel.slate.ids.tolist()
    assert logged["position"].to_list() == [0, 1, 2, 3]
    assert logged["propensity"].to_list() == pytest.approx(funnel.choice.propensities.tolist())
    features = np.array(logged["features"].to_list(), np.float32)
    assert np.array_equal(features, funnel.slate["features"], equal_nan=True)
    assert features.shape == (4, len(COLUMNS))
    assert len(validated("served", logged)) == 4


def test_request_ids_rise_across_restarts(places: Places, live: Live) -> None:
    first = [live.feed(3).funnel.query.request_id for _ in range(40)]
    live.close()
    restarted = a_live(places)
    restarted.champion.follow()

    assert first == sorted(set(first))
    assert restarted.feed(3).funnel.query.request_id > first[-1]


def test_without_a_release_nothing_is_ranked(places: Places) -> None:
    empty = Places(places.root / "empty")

    with pytest.raises(NoRelease, match="make train"):
        a_live(empty).feed(3)


def test_the_clock_starts_where_log_and_journal_end(places: Places, live: Live) -> None:
    live.acknowledge([a_watch(3, 30, live.clock() + FUTURE_US)])
    live.close()

    assert a_live(places).clock() > NOW_US + FUTURE_US


def test_a_moved_alias_is_followed(places: Places, live: Live) -> None:
    registry.set_champion(places, 2)

    assert live.champion.follow()
    assert live.feed(3).serving.version == 2
    registry.rollback(places)
    assert live.champion.follow()
    assert live.feed(3).serving.version == 1


def test_looking_at_an_alias_that_did_not_move_changes_nothing(live: Live) -> None:
    serving = live.champion.now

    assert not live.champion.follow()
    assert live.champion.now is serving


def test_a_damaged_champion_is_refused_and_the_old_one_stays(
    places: Places, live: Live, break_release: Callable[[int], str]
) -> None:
    broken = break_release(2)
    registry.set_champion(places, 2)

    assert not live.champion.follow()

    assert live.feed(3).serving.version == 1
    assert str(live.health()["refused_release"]).startswith(f"{broken}/value.json has sha256 ")
    assert live.champion.refusals == 1


def test_the_first_heads_were_made_before_and_serve_no_other_release(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def told(release: Release) -> Heads:
        made.append(release.release_id)
        return heads_of(release)

    monkeypatch.setattr(champions, "heads_of", told)
    live = a_live(places)
    assert len(made) == 1

    registry.set_champion(places, 2)
    live.champion.follow()
    registry.set_champion(places, 1)
    live.champion.follow()

    first, second = (read_release(each.directory).release_id for each in registry.versions(places))
    assert made == [first, second, first]


def test_a_champion_that_cannot_be_prepared_is_refused_when_it_is_taken_up(
    places: Places, break_release: Callable[[int], str]
) -> None:
    broken = break_release(1)

    live = a_live(places)

    assert not live.champion.follow()
    assert str(live.health()["refused_release"]).startswith(f"{broken}/value.json has sha256 ")


def test_a_world_that_cannot_be_read_leaves_the_old_one(places: Places) -> None:
    worlds = [a_world()]
    live = a_live(places, lambda *_: worlds.pop())
    live.champion.follow()
    registry.set_champion(places, 2)

    assert not live.champion.follow()
    assert live.feed(3).serving.version == 1
    assert "could not be taken up" in str(live.health()["refused_release"])


def test_requests_during_swaps_are_all_answered_by_one_release_each(places: Places, live: Live) -> None:
    """A slate's release id is that of the models that scored it, whichever moment it was asked."""
    answers, done = [], threading.Event()

    def ask() -> None:
        while not done.is_set():
            answers.append(live.feed(3, limit=3))

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    for version in (2, 1, 2, 1):
        registry.set_champion(places, version)
        live.champion.follow()
    done.set()
    for thread in asking:
        thread.join()

    assert {answer.serving.version for answer in answers} == {1, 2}
    assert all(len(answer.funnel.slate) == 3 and not answer.funnel.degraded for answer in answers)


def test_a_newer_online_store_is_read_again(places: Places, live: Live) -> None:
    before = live.champion.now
    (places.feast / "loaded.json").write_text('{"until_us": 0, "loads": 1}')

    assert live.champion.follow()
    assert live.champion.now is not before
    assert live.champion.now.version == before.version


def test_a_server_started_before_any_log_serves_as_one_started_after(places: Places) -> None:
    places.registry.rename(places.root / "later")
    early = Live(places, lambda now_us, _: a_world(now_us=now_us))
    assert not early.follow()
    a_log(places.log)
    (places.root / "later").rename(places.registry)

    assert early.follow()

    assert early.clock() >= NOW_US
    assert early.state.query(3, 1, early.clock()).seen.tolist() == [3, 4]
    assert len(early.feed(3, limit=4).funnel.slate) == 4


def test_a_server_whose_log_was_counted_ahead_remembers_what_the_log_holds(places: Places) -> None:
    a_log(places.log)
    ahead = Live(places, lambda now_us, _: a_world(now_us=now_us), ahead=count_ahead(places))
    plain = a_live(places)

    asked = [
        [live.state.query(user, 1, NOW_US).seen.tolist() for user in range(9)] for live in (ahead, plain)
    ]
    assert asked[0] == asked[1]
    assert any(asked[0])
    assert ahead.clock() >= NOW_US
