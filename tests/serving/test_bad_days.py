"""Each rung of the ladder: what is lost, that it is said, and that all is well when the fault is gone."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from feature_repo.breakers import Resting
from feature_repo.catalogue import VIDEO_STATS
from feature_repo.guarded_rows import NoRows, guarded, nothing_stored
from feature_repo.journal import Journal
from feature_repo.online import OnlineUsers
from feature_repo.packed_tables import PackedTables
from feature_repo.places import Places
from feature_repo.syncs import SharedSync
from serving.compose import World
from serving.feed import Funnel
from serving.heads import Heads
from serving.hydrators import Predictions
from serving.live import STALE, UNLOGGED, Live
from serving.refusals import NotDurable, is_full
from serving.scorers import Fit, Value
from serving.values import Values, Weight
from tests.serving.builders import Says, a_feed, a_live, a_mirror, a_query, a_watch, a_world

Store = Callable[[bool], None]


@pytest.fixture
def disk(live: Live) -> Callable[[bool], None]:
    """Fills the journal's disk, or makes room again."""
    connection = live._journal._connection

    def full(so: bool) -> None:
        (pages,) = connection.execute("pragma page_count").fetchone()
        connection.execute(f"pragma max_page_count={pages if so else 2**30}")

    return full


def rested(live: Live) -> None:
    """The journal's breaker has waited long enough to try again."""
    live.durability._rests_until_s = 0.0


def events(live: Live, number: int, size: int = 400) -> list[dict[str, Any]]:
    return [a_watch(3, 30, live.clock(), event_id=f"e-{number}-{n}") for n in range(size)]


def filled(live: Live) -> None:
    """Write until nothing more goes in."""
    batches = (events(live, number) for number in range(1_000))
    with pytest.raises(NotDurable):
        list(map(live.acknowledge, batches))


def test_a_full_disk_refuses_events_and_keeps_serving(live: Live, disk: Store) -> None:
    disk(True)
    filled(live)
    for _ in range(50):
        answer = live.feed(3)

    assert len(answer.funnel.slate) == 10
    assert UNLOGGED in answer.funnel.degraded


def test_what_could_not_be_stored_is_said_in_the_answer_and_counted(
    live: Live, client: TestClient, disk: Store
) -> None:
    disk(True)
    filled(live)
    for _ in range(50):
        slate = client.post("/v1/feed", json={"user_id": 3}).json()
    refused = client.post("/v1/events", json={"events": events(live, 9_999)})
    page = client.get("/metrics").text

    assert slate["degraded"] == [UNLOGGED]
    assert (refused.status_code, refused.headers["retry-after"]) == (507, "1")
    assert "the disk is full" in refused.json()["problem"]
    assert f'fourplanes_degraded_total{{component="{UNLOGGED}"}}' in page
    assert 'fourplanes_breaker_open{breaker="journal"} 1.0' in page
    assert 'fourplanes_events_total{outcome="unstored"}' in page


def test_when_there_is_space_again_all_is_well_without_a_restart(live: Live, disk: Store) -> None:
    disk(True)
    filled(live)
    disk(False)
    rested(live)

    assert live.acknowledge(events(live, 9_999)).stored == 400
    assert UNLOGGED not in live.feed(3).funnel.degraded


def test_nothing_of_a_batch_that_was_refused_is_stored_and_it_may_be_sent_again(
    live: Live, places: Places, disk: Store
) -> None:
    disk(True)
    filled(live)
    stored = {entry.event["event_id"] for entry in Journal(places.journal).events()}
    batches = {event_id.rsplit("-", 1)[0] for event_id in stored}
    disk(False)
    rested(live)

    assert len(stored) == 400 * len(batches)
    assert live.acknowledge(events(live, len(batches))).stored == 400


@pytest.fixture
def unsynced(live: Live) -> Iterator[Callable[[bool], None]]:
    """The journal's disk takes what is written and cannot bring it to a rest, or is well again."""
    journal, ends = live._journal, os.pipe()
    sound = journal._commits

    def broken(so: bool) -> None:
        journal._commits = ends[0] if so else sound

    yield broken
    broken(False)
    list(map(os.close, ends))


def test_an_event_that_could_not_be_synced_is_refused_and_sent_again_a_repeated_one(
    live: Live, unsynced: Store
) -> None:
    event = events(live, 0, size=1)
    unsynced(True)
    with pytest.raises(NotDurable, match="cannot be written"):
        live.acknowledge(event)
    unsynced(False)

    assert live.acknowledge(event) == (0, 1)
    assert live.query(3).history.tolist().count(30) == 1
    assert live.meters.figures()["events"] == {"stored": 0, "repeated": 1, "refused": 0, "unstored": 1}


def test_what_is_told_while_the_disk_cannot_sync_costs_no_slate_its_impressions(
    live: Live, unsynced: Store
) -> None:
    unsynced(True)
    with pytest.raises(NotDurable):
        live.acknowledge(events(live, 0, size=1))

    assert UNLOGGED not in live.feed(3).funnel.degraded


def test_nobody_waits_for_the_run_while_an_event_is_brought_to_the_disk(live: Live, places: Places) -> None:
    """When the sync begins another server may take the lock, and the event is known."""
    known: list[bool] = []

    class Watched(SharedSync):
        def reach(self, sync: Callable[[], None]) -> None:
            with (places.server / "knowing.lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            known.append(30 in live.query(3).history)
            super().reach(sync)

    live._journal._syncs = Watched()

    live.acknowledge(events(live, 0, size=1))

    assert known == [True]


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (sqlite3.OperationalError("database or disk is full"), True),
        (sqlite3.OperationalError("database is locked"), False),
        (OSError(28, "No space left on device"), True),
        (OSError(5, "Input/output error"), False),
        (None, False),
    ],
)
def test_a_full_disk_is_told_from_a_broken_one(error: Exception | None, full: bool) -> None:
    assert is_full(error) is full


class Gone(NoRows):
    """A store that answers, or is gone."""

    gone = False

    def fetch(self, asks: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        if self.gone:
            raise ConnectionError("nobody is there")
        return super().fetch(asks)


def served_by(places: Places, rows: Gone) -> Live:
    """A server whose people's features come from this store, with the stream to spare."""

    def read_world(now_us: int, stream: Any) -> World:
        users = OnlineUsers(PackedTables(guarded(rows)), stream)
        return replace(a_world(now_us=now_us), users=users, spare=OnlineUsers(PackedTables(NoRows()), stream))

    live = a_live(places, read_world)
    live.follow()
    return live


def features_of(funnel: Funnel) -> dict[str, float]:
    return dict(funnel.query.person.features)


def test_without_the_online_store_what_people_did_is_known_from_the_stream(places: Places) -> None:
    rows = Gone()
    live = served_by(places, rows)
    whole = live.feed(3).funnel
    rows.gone = True

    without = live.feed(3).funnel

    assert without.degraded == ("reader:online_features",)
    assert features_of(without)["user_impressions_7d"] == features_of(whole)["user_impressions_7d"] == 2


def test_a_store_that_is_gone_is_left_alone_and_found_again(places: Places) -> None:
    rows = Gone()
    live = served_by(places, rows)
    rows.gone = True
    for _ in range(5):
        assert live.feed(3).funnel.degraded == ("reader:online_features",)
    reads = live.champion.now.world.users.tables.stored.reads  # type: ignore[attr-defined]
    assert reads.is_open

    rows.gone = False
    reads._rests_until_s = 0.0

    assert live.feed(3).funnel.degraded == ()


def test_videos_whose_features_cannot_be_renewed_keep_those_of_the_last_time(places: Places) -> None:
    class Mirrors:
        gone = False

        def read(self, now_us: int) -> Any:
            if self.gone:
                raise Resting("gone")
            return a_mirror(a_world().catalog, now_us)

    mirrors = Mirrors()
    live = a_live(places, lambda now_us, _: replace(a_world(now_us=now_us), mirrors=mirrors))
    live.follow()
    mirrors.gone = True
    live.freshen()
    assert live.feed(3).funnel.degraded == (STALE,)

    mirrors.gone = False
    live.freshen()
    assert live.feed(3).funnel.degraded == ()


def test_a_mirror_is_not_read_from_a_store_that_lacks_something(places: Places) -> None:
    live = a_live(places)
    live.follow()
    live.features.tables = nothing_stored()
    live.features._due[VIDEO_STATS.name].add(1)

    live.freshen()

    assert live.feed(3).funnel.degraded == (STALE,)


class ToldHead:
    """A head that says the video's id over a hundred, or fails."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def predict(self, rows: Any) -> Any:
        if self.fails:
            raise ValueError("the trees are broken")
        return rows.matrix[:, 0] / 100


def ranked_with(**heads: bool) -> Funnel:
    """A slate of videos 7 and 8 by heads of which some fail."""
    weights = tuple(Weight(name, -1.0 if name == "negative" else 2.0, "", 0.5) for name in heads)
    told: Any = {name: ToldHead(fails) for name, fails in heads.items()}
    predictions = Predictions(Heads(told))
    features = Says("features", lambda ids: np.column_stack([ids, ids]).astype(np.float32))
    tower = Says("tower_score", lambda ids: -ids.astype(np.float32))
    feed = a_feed(hydrators=[features, tower, predictions], scorers=[Value(Values(weights)), Fit()])
    return feed.rank(a_query(), np.random.default_rng(0))


def test_a_head_that_fails_costs_only_what_it_predicts() -> None:
    funnel = ranked_with(like=False, negative=True)

    assert funnel.degraded == ("hydrator:predictions.negative",)
    assert funnel.slate.ids.tolist() == [8, 7]
    assert funnel.slate["value"].tolist() == pytest.approx([2 * 0.08 - 0.5, 2 * 0.07 - 0.5])


def test_if_every_head_fails_the_towers_decide() -> None:
    funnel = ranked_with(like=True, negative=True)

    assert "scorer:value" in funnel.degraded
    assert funnel.slate.ids.tolist() == [7, 8]


def test_a_server_about_to_stop_is_not_ready_and_still_serves(client: TestClient, live: Live) -> None:
    live.drain()

    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    assert client.post("/v1/feed", json={"user_id": 3}).status_code == 200


def test_figures_count_what_could_not_be_stored(live: Live, disk: Store) -> None:
    disk(True)
    filled(live)

    counted = live.meters.figures()["events"]
    assert counted["unstored"] == 400  # type: ignore[index]
