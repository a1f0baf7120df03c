"""A request answered again from the log and the release, to be held against the bytes that were sent.

Law: a response is a function of the release, the seed, the request and what was known strictly before its
moment; the mirror of the videos' features, the catalogue and the profiles have earlier moments of their own,
logged with it. Features are counted from facts, which is not the way the server took: bytes that agree say
that both are right. A component that failed then fails again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.events import KINDS
from feature_repo.journal import Journal, frame_of
from feature_repo.log import EventLog
from feature_repo.matrix import COLUMNS
from feature_repo.places import Places
from feature_repo.schemas import key_of
from feature_repo.videos import VideoCatalog
from monitoring.failing import SAID, failing
from monitoring.past_worlds import world_then
from serving import registry
from serving.compose import assembled
from serving.feed import Funnel
from serving.models import Models, models_of
from serving.records import sha256_of
from serving.releases import Release, read_release
from serving.replies import encoded
from serving.state import PeopleState

Event = Mapping[str, Any]


class NotReplayable(LookupError):
    """A request that cannot be answered again, and why."""


@dataclass(frozen=True)
class Recorded:
    """What is on record of one request: how it was asked, and the items it was answered with."""

    requested: Event
    served: tuple[Event, ...]
    """In order of position; empty for an empty slate."""

    @property
    def degraded(self) -> tuple[str, ...]:
        return tuple(name for name in self.requested["degraded"].split(",") if name)


@dataclass(frozen=True)
class Replay:
    """A request answered again."""

    recorded: Recorded
    release: Release
    models: Models
    funnel: Funnel
    body: bytes

    @property
    def sha256(self) -> str:
        return sha256_of(self.body)

    @property
    def is_equal(self) -> bool:
        """Whether these are the bytes that were sent."""
        return bool(self.sha256 == self.recorded.requested["response_sha256"])

    @property
    def difference(self) -> str:
        """The first thing that differs from the log, by name; empty if the bytes are equal."""
        return "" if self.is_equal else first_difference(self.recorded.served, self.funnel)


@dataclass(frozen=True)
class Past:
    """The log of a run and the events its journal keeps for it."""

    log: EventLog
    waiting: tuple[Event, ...]

    @classmethod
    def of(cls, places: Places) -> Past:
        return cls(EventLog(places.log), waiting(places))

    def recorded(self, request_id: int) -> Recorded:
        """What is on record of a request; NotReplayable, and why, where that is not enough or nothing."""
        asked, items = (self._of_request(kind, request_id) for kind in ("requested", "served"))
        if asked:
            return Recorded(asked[0], tuple(sorted(items, key=lambda each: int(each["position"]))))
        if items:
            raise NotReplayable(
                f"request {request_id} has items in the log and no record of how it was asked: another feed "
                "served it, or it was before requests were recorded. Replay one this server answered."
            )
        raise NotReplayable(
            f"request {request_id} is neither in {self.log.root} nor in the journal beside it. "
            "Take the request_id of a response of this run (LOGS, SCALE and VAR say which)."
        )

    def newest_request(self) -> int:
        """The last request on record; NotReplayable if there is none."""
        asked = [event["request_id"] for event in self.waiting if event["kind"] == "requested"]
        logged = self.log.scan("requested").select(pl.col("request_id").max()).collect().item()
        newest = int(max([*asked, -1 if logged is None else logged]))
        if newest < 0:
            raise NotReplayable(
                f"no request is on record in {self.log.root} or beside it. `make serve` answers some."
            )
        return newest

    def people(self, catalog: VideoCatalog, now_us: int) -> PeopleState:
        """What a server remembered at a moment."""
        state = PeopleState.from_log(self.log, catalog, now_us)
        state.absorb(event for event in self.waiting if event["known_time_us"] < now_us)
        return state

    def _of_request(self, kind: str, request_id: int) -> list[Event]:
        mine = self.log.scan(kind).filter(pl.col("request_id") == request_id).collect()
        here = [
            event for event in self.waiting if event["kind"] == kind and event["request_id"] == request_id
        ]
        both = pl.concat([mine, frame_of(kind, here)]).unique("event_id", keep="first")
        return [_event(row) for row in both.with_columns(_moments(kind)).iter_rows(named=True)]


def replayed(places: Places, request_id: int) -> Replay:
    """Answer a request of this run again."""
    past = Past.of(places)
    recorded = past.recorded(request_id)
    asked = recorded.requested
    if asked["catalogue_time_us"] is None:
        raise NotReplayable(f"request {request_id} does not say which videos its server knew.")
    release = release_named(places, asked["release_id"])
    now_us = asked["event_time_us"]
    world = world_then(
        past.log, past.waiting, asked["catalogue_time_us"], asked["features_time_us"], asked["loaded_time_us"]
    )
    models = models_of(release, world.catalog)
    feed = failing(assembled(models, release.policy, world), recorded.degraded)
    how = {name: asked[name] for name in ("limit", "surface", "explore")}
    query = past.people(world.catalog, now_us).query(asked["user_id"], request_id, now_us, **how)
    funnel = feed.rank(query, np.random.default_rng([asked["seed"], request_id]))
    said = tuple(each for each in recorded.degraded if each.startswith(SAID))
    funnel = replace(funnel, degraded=(*funnel.degraded, *said))
    return Replay(
        recorded, release, models, funnel, encoded(funnel, release.release_id, len(query.seen) == 0)
    )


def release_named(places: Places, release_id: str) -> Release:
    """A registered release, verified."""
    for version in registry.versions(places):
        if version.release_id == release_id:
            return read_release(version.directory)
    known = ", ".join(version.release_id for version in registry.versions(places)) or "none"
    raise NotReplayable(f"release {release_id} is not in {places.registry}. Registered: {known}.")


def waiting(places: Places) -> tuple[Event, ...]:
    """Events of the journal that the log has not absorbed, in order of arrival."""
    if not places.journal.exists():
        return ()
    journal = Journal(places.journal)
    try:
        return tuple(entry.event for entry in journal.events(after=journal.drained()))
    finally:
        journal.close()


def first_difference(served: Sequence[Event], funnel: Funnel) -> str:
    """The first field of the logged items that a replay answers otherwise."""
    if len(served) != len(funnel.slate):
        return f"items: {len(served)} were served, {len(funnel.slate)} are now"
    for place, item in enumerate(served):
        for name, now in _item(funnel, place).items():
            if item[name] != now:
                return f"items.{place}.{name}: {item[name]} was served, {now} is now"
        for name, then, now in _features(item, funnel, place):
            if then != now and not (then != then and now != now):
                return f"items.{place}.features.{name}: {then} was served, {now} is now"
    return "something no event keeps: value, creator, topic, cold_start, degraded, or how it is written"


def _item(funnel: Funnel, place: int) -> dict[str, Any]:
    return {
        "video_id": int(funnel.slate.ids[place]),
        "source": funnel.source_of(int(funnel.choice.rows[place])),
        "propensity": float(funnel.choice.propensities[place]),
        "explored": bool(funnel.choice.explored[place]),
    }


def _features(item: Event, funnel: Funnel, place: int) -> list[tuple[str, float, float]]:
    """Name, value as served and value now; nothing where no matrix could be made."""
    now: NDArray[np.float32] = funnel.slate["features"][place]
    if item["features"] is None or not now.ndim:
        return []
    then = np.array(item["features"], np.float32)
    return list(zip(COLUMNS, then.tolist(), now.tolist(), strict=True))


def _moments(kind: str) -> list[pl.Expr]:
    """Moments as int microseconds, as events have them."""
    names = [name for name in KINDS[kind] if name.endswith("_time")]
    return [pl.col(name).to_physical() for name in names]


def _event(row: dict[str, Any]) -> Event:
    return {key_of(name): value for name, value in row.items()}
