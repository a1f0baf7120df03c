"""A running server's features: never of the future, the person's own at once, the videos' when freshened."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from feature_repo.catalogue import VIEWS
from feature_repo.clock import HOUR_US, MINUTE_US
from feature_repo.events import impression_id
from feature_repo.journal import Journal
from feature_repo.log import EventLog
from feature_repo.materialization import newest, write_online
from feature_repo.matrix import COLUMNS
from feature_repo.online import VideoMirror
from feature_repo.online_writer import Changes, OnlineWriter
from feature_repo.packed_rows import Rows, Schema
from feature_repo.places import Places
from feature_repo.steps import write_steps
from feature_repo.store import open_tables
from feature_repo.streams import FeatureStream
from serving.candidates import Candidates
from serving.clocks import WorldClock
from serving.compose import World, world_at
from serving.live import Live
from serving.locks import Mark
from serving.readers import Users
from serving.replies import Answer
from tests.serving.builders import NOW_US, ManualTime, a_live, a_log, a_watch

TOPICS = range(4)


@dataclass(frozen=True)
class Interrupted:
    """People's features, and something that happens while each request reads them."""

    users: Users
    happens: Sequence[Callable[[], None]]

    def read(
        self, user_id: int, topics: Sequence[int], now_us: int
    ) -> tuple[dict[str, float], NDArray[np.float32]]:
        for each in self.happens:
            each()
        return self.users.read(user_id, topics, now_us)


@pytest.fixture
def stored(places: Places) -> Places:
    """The run with its log, and an online store loaded at the log's end."""
    log = a_log(places.log)
    write_steps(log, places.features, NOW_US)
    tables = open_tables(places)
    for view in VIEWS:
        write_online(tables, view, newest(places, view, NOW_US))
    tables.close()
    (places.feast / "loaded.json").write_text(json.dumps({"until_us": NOW_US, "loads": 1}))
    return places


@pytest.fixture
def time() -> ManualTime:
    return ManualTime()


@pytest.fixture
def live(stored: Places, time: ManualTime) -> Iterator[Live]:
    """A server over that store, whose clock stands still unless told."""
    made = started(stored, time)
    yield made
    made.close()


def started(places: Places, time: ManualTime, happens: Sequence[Callable[[], None]] = ()) -> Live:
    """A server with its champion in service; something may happen during each request."""

    def read_world(now_us: int, stream: FeatureStream) -> World:
        world = world_at(places, now_us, stream)
        return replace(world, users=Interrupted(world.users, happens))

    made = Live(places, read_world, clock_from=lambda end_us: WorldClock(end_us, time))
    assert made.follow()
    return made


def served_value(slate: Candidates, name: str) -> list[float]:
    """One feature of every item of a slate, as it was served."""
    return [float(value) for value in slate["features"][:, COLUMNS.index(name)]]


def persons_value(live: Live, user_id: int, name: str) -> float:
    """A feature that is the same for the whole slate."""
    (found,) = set(served_value(live.feed(user_id, limit=5).funnel.slate, name))
    return found


def watch(live: Live, user_id: int, video_id: int) -> None:
    live.acknowledge([a_watch(user_id, video_id, live.clock())])


def of_video(mirror: VideoMirror, video_id: int, name: str) -> float:
    return float(mirror.take(mirror.rows_of([video_id]))[name][0])


def everybodys(live: Live, now_us: int) -> list[tuple[list[float], list[list[float]]]]:
    """What people would be served at a moment, if all of them asked."""
    for user in range(25):
        live.query(user)
    read = [live.champion.now.world.users.read(user, TOPICS, now_us) for user in range(25)]
    return [(np.nan_to_num(list(person.values())).tolist(), topics.tolist()) for person, topics in read]


def test_moments_rise_though_the_clock_stands_still(stored: Places, live: Live) -> None:
    slates = []
    for video in range(30, 40):
        slates.append(live.feed(3).funnel.query.now_us)
        watch(live, 3, video)
        live.freshen()

    kinds = [entry.event for entry in Journal(stored.journal).events()]
    watches = [event["known_time_us"] for event in kinds if event["kind"] == "watched"]
    in_order = [moment for pair in zip(slates, watches, strict=True) for moment in pair]
    assert in_order == sorted(set(in_order))
    assert live.clock() == NOW_US


def test_no_two_of_many_at_once_share_a_moment(live: Live) -> None:
    moments: list[int] = []

    def ask(user: int) -> None:
        moments.extend(live.feed(user, limit=2).funnel.query.now_us for _ in range(10))

    asking = [threading.Thread(target=ask, args=(user,)) for user in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()

    assert len(set(moments)) == len(moments) == 40


@pytest.mark.parametrize(("user_id", "name"), [(24, "user_impressions_1h"), (3, "user_impressions_24h")])
def test_an_acknowledged_event_is_in_the_persons_features_at_their_next_feed(
    live: Live, user_id: int, name: str
) -> None:
    before = persons_value(live, user_id, name)

    watch(live, user_id, 30)
    first = persons_value(live, user_id, name)
    watch(live, user_id, 31)

    assert (first, persons_value(live, user_id, name)) == (before + 1, before + 2)


def test_what_others_do_does_not_change_a_persons_features(live: Live) -> None:
    before = persons_value(live, 3, "user_impressions_24h")

    watch(live, 4, 30)

    assert persons_value(live, 3, "user_impressions_24h") == before > 0


def test_what_a_person_did_leaves_the_hour_though_nobody_wrote_it(live: Live, time: ManualTime) -> None:
    watch(live, 24, 30)
    counted = [persons_value(live, 24, "user_impressions_1h")]
    for passes_us in (59 * MINUTE_US, 2 * MINUTE_US):
        time.pass_us(passes_us)
        counted.append(persons_value(live, 24, "user_impressions_1h"))

    assert counted == [1, 1, 0]


def test_freshening_gives_a_newer_mirror_with_what_was_acknowledged(live: Live) -> None:
    before = live.champion.now
    watch(live, 3, 30)
    assert live.champion.now is before

    live.freshen()

    old, new = before.world.mirror, live.champion.now.world.mirror
    assert new.read_at_us > old.read_at_us
    name = "video_impressions_1h"
    assert of_video(new, 30, name) == of_video(old, 30, name) + 1
    assert live.champion.now.version == before.version


def test_people_are_served_while_the_videos_features_are_written(live: Live) -> None:
    watch(live, 3, 30)
    written, answers = live.features.tables.write_many, list[Answer]()
    with ThreadPoolExecutor(1) as others:

        def asked_meanwhile(*told: Any) -> int:
            if not answers:
                answers.append(others.submit(live.feed, 4).result(timeout=60))
            return written(*told)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(live.features.tables, "write_many", asked_meanwhile)
            live.freshen()

    served_us, mirror = answers[0].funnel.query.now_us, live.champion.now.world.mirror
    assert served_us > mirror.read_at_us
    assert of_video(mirror, 30, "video_impressions_1h") == 1


def test_a_feed_knows_what_was_just_done_before_the_online_store_does(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write_many = list[str](), live.features.tables.write_many

    def noted(told: Sequence[tuple[Schema, Any, Rows]]) -> int:
        written.extend(schema.view for schema, _, _ in told)
        return write_many(told)

    monkeypatch.setattr(live.features.tables, "write_many", noted)

    watch(live, 24, 30)

    assert (written, persons_value(live, 24, "user_impressions_1h")) == ([], 1)
    live.write()
    assert "user_stats" in written
    assert persons_value(live, 24, "user_impressions_1h") == 1


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each write of any server brought to the store."""
    counts, write = list[int](), OnlineWriter.write

    def counted(writer: OnlineWriter, changes: Changes) -> int:
        counts.append(write(writer, changes))
        return counts[-1]

    monkeypatch.setattr(OnlineWriter, "write", counted)
    return counts


def test_what_one_server_wrote_another_does_not_write_again(
    stored: Places, time: ManualTime, written: list[int]
) -> None:
    mine, other = started(stored, time), started(stored, time)
    watch(mine, 3, 30)
    for live in (mine, other):
        live.freshen()

    assert (written[-2] > 0, written[-1]) == (True, 0)
    assert of_video(other.champion.now.world.mirror, 30, "video_impressions_1h") == 1


def test_what_one_server_could_not_write_another_does(
    stored: Places, time: ManualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = started(stored, time), started(stored, time)
    watch(mine, 3, 30)
    monkeypatch.setattr(mine.features.tables, "write_many", lambda _: 1 / 0)
    for live in (mine, other):
        live.freshen()

    assert mine.features.is_behind
    assert of_video(other.champion.now.world.mirror, 30, "video_impressions_1h") == 1


def test_a_server_that_cannot_say_how_far_it_wrote_passes_over_nothing(
    stored: Places, time: ManualTime, monkeypatch: pytest.MonkeyPatch, written: list[int]
) -> None:
    """What stands there may be of another life, whose clock was ahead."""
    Mark(stored.server / "written").leave(NOW_US + HOUR_US)
    monkeypatch.setattr(Mark, "leave", lambda *_: False)
    live = started(stored, time)
    watch(live, 3, 30)
    live.freshen()

    assert written[-1] > 0


def test_a_server_that_starts_writes_what_changed_since_the_store_was_loaded(
    stored: Places, time: ManualTime, written: list[int]
) -> None:
    """Whatever others wrote: it may have been loaded anew."""
    mine = started(stored, time)
    watch(mine, 3, 30)
    mine.freshen()
    started(stored, time)

    assert written[-1] == written[-2] > 0


def test_a_follow_counts_for_the_video_of_the_slate_it_came_from(live: Live) -> None:
    answer, name = live.feed(3, limit=1), "video_share_rate_7d"
    (video,), creators = answer.funnel.slate.ids.tolist(), answer.funnel.slate["creator_id"]
    watch(live, 3, video)
    live.freshen()
    before = of_video(live.champion.now.world.mirror, video, name)

    followed = {"kind": "followed", "event_id": "f-1", "event_time_us": live.clock(), "user_id": 3}
    shown = impression_id(answer.funnel.query.request_id, 0)
    live.acknowledge([{**followed, "creator_id": int(creators[0]), "impression_id": shown}])
    live.freshen()

    assert of_video(live.champion.now.world.mirror, video, name) > before


def test_freshening_takes_from_the_mirror_what_left_its_window(live: Live, time: ManualTime) -> None:
    watch(live, 3, 30)
    live.freshen()
    then = of_video(live.champion.now.world.mirror, 30, "video_impressions_1h")

    time.pass_us(HOUR_US + MINUTE_US)
    live.freshen()

    assert (then, of_video(live.champion.now.world.mirror, 30, "video_impressions_1h")) == (1, 0)


def test_a_request_in_flight_keeps_the_mirror_it_began_with(stored: Places, time: ManualTime) -> None:
    happens: list[Callable[[], None]] = []
    live = started(stored, time, happens)
    for video in range(60):
        watch(live, 20, video)
    began = live.champion.now.world.mirror
    happens.append(live.freshen)

    answer = live.feed(3, limit=5)

    slate, name = answer.funnel.slate, "video_impressions_1h"
    ended = live.champion.now.world.mirror
    assert ended.read_at_us > began.read_at_us
    assert served_value(slate, name) == [of_video(began, video, name) for video in slate.ids]
    assert served_value(slate, name) == [of_video(ended, video, name) - 1 for video in slate.ids]
    logged = [entry.event for entry in Journal(stored.journal).events() if entry.event["kind"] == "served"]
    assert {event["features_time_us"] for event in logged} == {began.read_at_us}


def test_a_slate_logs_the_time_of_the_mirror_it_was_served_from(stored: Places, live: Live) -> None:
    used = []
    for _ in range(3):
        live.freshen()
        used.append(live.champion.now.world.mirror.read_at_us)
        live.feed(3, limit=1)

    logged = [entry.event for entry in Journal(stored.journal).events() if entry.event["kind"] == "served"]
    assert [event["features_time_us"] for event in logged] == used
    assert all(event["features_time_us"] < event["event_time_us"] for event in logged)


def test_freshening_without_a_champion_changes_nothing(places: Places) -> None:
    live = a_live(Places(places.root / "empty"))

    live.freshen()

    assert not live.champion.is_ready


@pytest.mark.parametrize("is_absorbed", [False, True], ids=["journal-waiting", "journal-absorbed"])
def test_a_restarted_server_serves_the_same_features(
    stored: Places, live: Live, time: ManualTime, is_absorbed: bool
) -> None:
    for user in (3, 4, 24):
        watch(live, user, 30)
    now_us = NOW_US + HOUR_US // 2
    before, mirror = everybodys(live, now_us), live.champion.now.world.mirror
    live.close()
    if is_absorbed:
        Journal(stored.journal).drain_into(EventLog(stored.log))

    restarted = started(stored, time)

    assert everybodys(restarted, now_us) == before
    name = "video_impressions_1h"
    assert of_video(restarted.champion.now.world.mirror, 30, name) == of_video(mirror, 30, name) + 3


def test_a_lost_online_store_changes_nothing_about_people(
    stored: Places, live: Live, time: ManualTime
) -> None:
    """The stream holds what the store does, but for profiles: this log tells none."""
    watch(live, 3, 30)
    before = everybodys(live, NOW_US + 10)
    live.close()
    for path in stored.feast.glob("online.db*"):
        path.unlink()

    assert everybodys(started(stored, time), NOW_US + 10) == before
