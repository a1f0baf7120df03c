"""A running server without HTTP: answers feeds, acknowledges events, follows the champion, tells its health.

Law: nothing is acknowledged before it is durable, and memory follows the journal. So what a restarted
server remembers is what the running one did.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from feature_repo.clock import MINUTE_US
from feature_repo.contracts import violations
from feature_repo.events import POSITIONS_PER_REQUEST
from feature_repo.journal import Acknowledged, ConflictingEvent, Journal
from feature_repo.log import EventLog
from feature_repo.online_writer import OnlineWriter
from feature_repo.places import Places
from feature_repo.streams import FeatureStream
from feature_repo.videos import VideoCatalog
from serving import registry
from serving.champions import Champion, Serving
from serving.clocks import WorldClock
from serving.compose import World, world_at
from serving.explanations import Explanations
from serving.feed import Funnel
from serving.meters import Meters
from serving.state import PeopleState

ReadWorld = Callable[[int, FeatureStream], World]
"""The world as log, online store and stream have it at a moment."""
FUTURE_US = 5 * MINUTE_US
"""How far an event may lie ahead of the world clock: clients' clocks are that bad, not worse."""
REQUESTS_PER_MS = 32
"""request_id = world milliseconds * 32 + a running number: it rises across restarts and JSON holds it."""


class RefusedEvent(ValueError):
    """An event that breaks a rule: which event of the batch, which field, which rule, and what was found."""

    def __init__(self, place: int, field: str, rule: str, found: object) -> None:
        super().__init__(f"events.{place}.{field} {rule}, found {found!r}.")
        self.place, self.field, self.rule, self.found = place, field, rule, found


@dataclass(frozen=True)
class Answer:
    """A slate and what it came from."""

    funnel: Funnel
    serving: Serving
    cold_start: bool
    """The person was never seen: the slate is for a stranger."""


class Live:
    """Everything a running server holds."""

    def __init__(
        self,
        places: Places,
        read_world: ReadWorld,
        seed: int = 0,
        clock_from: Callable[[int], WorldClock] = WorldClock,
    ) -> None:
        log = EventLog(places.log)
        self._places, self._seed = places, seed
        self._awaits_log = log.is_empty()
        self._journal = Journal(places.journal)
        self._knowing = threading.RLock()
        self._last_us = self._last_request = 0
        self._read_upto = self._journal.drained()
        waiting = self._journal.events(after=self._read_upto)
        self.clock = clock_from(end_of(log, waiting))
        self._read_world = read_world
        self.state, self.features = self._known_of(log)
        self.champion = Champion(places, self._world, self.state, self.clock)
        self.explanations = Explanations()
        self.meters = Meters()
        self._remember()

    def follow(self) -> bool:
        """Look at the champion once; a server started before there was a log reads it with the first one."""
        if self._awaits_log and registry.champion(self._places) is not None:
            self._begin(EventLog(self._places.log))
        return self.champion.follow()

    def _begin(self, log: EventLog) -> None:
        """Know what the log knows, at its end; until now nobody could be served and no watch was accepted."""
        self.clock.advance_to(end_of(log, self._journal.events(after=self._journal.drained())))
        with self._knowing:
            people, self.features = self._known_of(log)
            self.state.become(people)
            self._read_upto = self._journal.drained()
            self._remember()
        self._awaits_log = False

    def _known_of(self, log: EventLog) -> tuple[PeopleState, OnlineWriter]:
        """People and features as the log knows them now."""
        now_us = self.clock()
        people = PeopleState.from_log(log, VideoCatalog.from_log(log, now_us), now_us)
        return people, OnlineWriter.from_log(self._places, log, now_us)

    def _world(self) -> World:
        """The world as log and online store have it, once the store holds what is known."""
        with self._knowing:
            now_us = self._moment()
            self.features.catch_up(EventLog(self._places.log), now_us)
            self.features.write_changes(now_us)
        return self._read_world(now_us, self.features.stream)  # only this thread writes what a mirror reads

    def feed(self, user_id: int, limit: int = 10, surface: int = 0, explore: bool = True) -> Answer:
        """A slate, after its impressions were logged durably with features and propensities as served."""
        serving = self.champion.now
        with self._knowing:  # nothing becomes known between the moment and what is remembered at it
            now_us = self._moment()
            query = self.state.query(user_id, self._next_request(now_us), now_us, limit, surface, explore)
        cold = not self.state.knows(user_id)
        funnel = serving.feed.rank(query, np.random.default_rng([self._seed, query.request_id]))
        started = time.perf_counter()
        self._journal.append(served_events(funnel, serving))
        funnel = replace(funnel, ms={**funnel.ms, "journal": (time.perf_counter() - started) * 1000})
        predictions = {weight.act: funnel.scored[weight.act] for weight in serving.models.values.weights}
        self.explanations.keep(funnel, serving.release.release_id, predictions)
        self.meters.ranked(funnel.ms, funnel.degraded, funnel.unscored, cold)
        if "features" in funnel.scored:
            self.meters.described(violations(funnel.scored["features"]))
        return Answer(funnel, serving, cold)

    def acknowledge(self, events: Sequence[Mapping[str, Any]]) -> Acknowledged:
        """Store a batch whole or not at all, then remember it. Durable when this returns."""
        with self._knowing:
            now_us = self._moment()
            try:
                complete = [self._completed(place, event, now_us) for place, event in enumerate(events)]
                acknowledged = self._journal.append(complete)
            except (RefusedEvent, ConflictingEvent):
                self.meters.journaled("refused", len(events))
                raise
            self._remember()
        self.meters.journaled("stored", acknowledged.stored)
        self.meters.journaled("repeated", acknowledged.repeated)
        return acknowledged

    def freshen(self) -> None:
        """Bring the online store up to now, and with it the mirror of the videos' features."""
        with self._knowing:
            now_us = self._moment()
            self.features.write_changes(now_us)
        self.champion.renew(now_us)

    def health(self) -> dict[str, object]:
        """The figures of health.json and the release being served."""
        told = {"now_us": self.clock(), "clock_speed": self.clock.speed}
        self.meters.stored(self.features.failures, self.features.tables.foreign)
        return {**told, **self._release(), **self.meters.figures()}

    def close(self) -> None:
        self._journal.close()
        self.features.tables.close()

    def _release(self) -> dict[str, object]:
        refusal = self.champion.refusal
        told: dict[str, object] = {"refused_release": refusal.reason if refusal else None}
        if not self.champion.is_ready:
            return {"ready": False, **told}
        serving = self.champion.now
        age_s = (self.clock() - serving.world.mirror.read_at_us) / 1e6
        release_id, version = serving.release.release_id, serving.version
        self.meters.serving(release_id, version, age_s, self.champion.swaps, self.champion.refusals)
        return {
            "ready": True,
            "release_id": release_id,
            "version": version,
            "mirror_age_s": round(age_s, 1),
            **told,
        }

    def _completed(self, place: int, event: Mapping[str, Any], now_us: int) -> dict[str, Any]:
        """The event as the log wants it, or the rule it breaks."""
        clock_us = self.clock()
        if event["event_time_us"] > clock_us + FUTURE_US:
            rule = f"must not lie more than 5 minutes after the server's now, {clock_us}"
            raise RefusedEvent(place, "event_time_us", rule, event["event_time_us"])
        video = self._video(place, event) if "video_id" in event else {}
        if "creator_id" in event and event["creator_id"] not in self.state.catalog.creator_ids:
            raise RefusedEvent(place, "creator_id", "must be a creator who uploaded", event["creator_id"])
        return {**event, **video, "known_time_us": now_us}

    def _video(self, place: int, event: Mapping[str, Any]) -> dict[str, Any]:
        catalog = self.state.catalog
        row = int(catalog.rows_of([event["video_id"]])[0])
        if row < 0:
            raise RefusedEvent(place, "video_id", "must be a video that was uploaded", event["video_id"])
        if event["kind"] != "watched" or np.isnan(catalog.duration_s[row]):
            return {}
        return {"duration_ms": event.get("duration_ms") or round(float(catalog.duration_s[row]) * 1000)}

    def _remember(self) -> None:
        """Bring memory up to the end of the journal; each event exactly once, in order of arrival."""
        with self._knowing:
            arrived = self._journal.events(after=self._read_upto)
            self.state.absorb(entry.event for entry in arrived)
            self.features.absorb([entry.event for entry in arrived], self._following())
            self._read_upto = arrived[-1].number if arrived else self._read_upto
            self.meters.journal(self._read_upto)

    def _moment(self) -> int:
        """Now, and after every moment before it: what happened at one moment is known at the next."""
        with self._knowing:
            self._last_us = self._following()
            return self._last_us

    def _following(self) -> int:
        """The earliest moment at which something may happen next."""
        return max(self._last_us + 1, self.clock())

    def _next_request(self, now_us: int) -> int:
        with self._knowing:
            self._last_request = max(self._last_request + 1, now_us // 1000 * REQUESTS_PER_MS)
            return self._last_request


def open_live(places: Places, seed: int, speed: float = 1.0) -> Live:
    """A server on the state of one run, its clock at `speed` seconds of the world per second."""
    return Live(places, partial(world_at, places), seed, partial(WorldClock, speed=speed))


def end_of(log: EventLog, waiting: Sequence[Any]) -> int:
    """One microsecond after everything the log and the journal know."""
    ends = [0 if log.is_empty() else log.all_known_us()]
    ends += [max(entry.event["event_time_us"], entry.event["known_time_us"]) + 1 for entry in waiting]
    return max(ends)


def served_events(funnel: Funnel, serving: Serving) -> list[dict[str, Any]]:
    """One `served` event per item of the slate, as the log keeps it."""
    query, slate, choice = funnel.query, funnel.slate, funnel.choice
    same = {
        "kind": "served",
        "event_time_us": query.now_us,
        "known_time_us": query.now_us,
        "request_id": query.request_id,
        "user_id": query.user_id,
        "surface": query.surface,
        "release_id": serving.release.release_id,
        "features_time_us": serving.world.mirror.read_at_us,
    }
    return [
        {
            **same,
            "event_id": f"served/{impression_id(query.request_id, place)}",
            "impression_id": impression_id(query.request_id, place),
            "video_id": int(slate.ids[place]),
            "position": place,
            "propensity": float(choice.propensities[place]),
            "explored": bool(choice.explored[place]),
            "source": funnel.source_of(int(choice.rows[place])),
            "features": [
                None if number != number else number for number in slate["features"][place].tolist()
            ],
        }
        for place in range(len(slate))
    ]


def impression_id(request_id: int, position: int) -> int:
    return request_id * POSITIONS_PER_REQUEST + position
