"""A running server without HTTP: answers feeds, acknowledges events, follows the champion, tells its health.

Law: no event is acknowledged before it is durable, and with it the slates it may speak of; memory follows the
journal. So what a restarted server remembers is what the running one did.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from feature_repo.breakers import Breaker
from feature_repo.contracts import violations
from feature_repo.counting_ahead import CountedAhead, count_ahead
from feature_repo.guarded_rows import GuardedRows
from feature_repo.journal import Acknowledged, ConflictingEvent, Journal
from feature_repo.log import EventLog
from feature_repo.places import Places
from feature_repo.slates import SLATE, shown_by
from feature_repo.streams import FeatureStream
from serving import registry
from serving.arrivals import Arrivals, Row
from serving.candidates import Query
from serving.champions import Champion
from serving.clocks import SharedClock, WorldClock
from serving.completions import RefusedEvent, completed
from serving.compose import World, world_at
from serving.explanations import Explanations, Origin
from serving.locks import Mark, RunLock
from serving.meters import Meters
from serving.records import slate_of
from serving.refusals import UNDURABLE, NotDurable
from serving.replies import Answer as Answer
from serving.state import people_of
from serving.trials import Trials
from serving.workers import ONLY, Worker

log = logging.getLogger("serving.live")

PATIENCE_S = 0.5
"""How long a write waits for another process that writes the journal; people wait with it."""
BUDGET_MS = 400.0
"""A journal that took longer counts as failing: feeds go on without it."""
UNLOGGED = "journal:served"
"""In `degraded`: the slate's impressions could not be logged, so nothing can be learnt from it."""
STALE = "mirror:video_features"
"""In `degraded`: the videos' features could not be renewed and are those of the last time."""
ReadWorld = Callable[[int, FeatureStream], World]
"""The world as log, online store and stream have it at a moment."""
REQUESTS_PER_MS = 32
"""request_id = world milliseconds * 32 + a running number: it rises across restarts and JSON holds it."""


class Live:
    """Everything a running server holds."""

    def __init__(
        self,
        places: Places,
        read_world: ReadWorld,
        seed: int = 0,
        clock_from: Callable[[int], WorldClock] = WorldClock,
        worker: Worker = ONLY,
        ahead: CountedAhead | None = None,
    ) -> None:
        ahead = ahead or count_ahead(places)
        self._places, self._seed, self.worker = places, seed, worker
        self._awaits_log = ahead.log.is_empty()
        self._journal = Journal(places.journal, PATIENCE_S)
        self.durability = Breaker("journal", BUDGET_MS, ours=(ValueError,))
        self.draining = False
        """Asked to stop: whoever asks whether we are ready is told to go elsewhere."""
        self._stale: tuple[str, ...] = ()
        self._knowing = RunLock(places.server / "knowing.lock")
        self._writing = RunLock(places.server / "writing.lock")
        """Taken before `_knowing`, while videos' features are written and read again: no other server's
        moment comes between.
        """
        self._written = Mark(places.server / "written")
        self._wrote_us = 0
        """To which moment a server brought the whole store last; and we, 0 if the last time we could not. For
        who holds `_writing`.
        """
        self._last_us = self._last_request = 0
        self._arrivals = Arrivals(self._journal)
        self.clock = clock_from(end_of(ahead.log, self._arrivals.waiting))
        self._read_world = read_world
        self._videos = ahead.log.of_videos()
        self.state = people_of(ahead.log, self.clock())
        self.champion = Champion(places, self._world, self.state, self.clock)
        self.champion.prepare()  # while features are counted
        self.features = ahead.features(self.clock())
        self.explanations = Explanations()
        self.meters = Meters()
        self.trials = Trials(places, self.champion, self.state, self.meters.registry)
        self._know(self._arrivals.take())

    def follow(self) -> bool:
        """Look at champion and challenger once; a server started before there was a log reads it with the
        first one.
        """
        if self._awaits_log and registry.champion(self._places) is not None:
            self._begin(count_ahead(self._places))
        swapped = self.champion.follow()
        self.trials.follow()
        return swapped

    def _begin(self, ahead: CountedAhead) -> None:
        """Know what the log knows, at its end; until now nobody could be served and no watch was accepted."""
        with self._knowing:
            self._arrivals = Arrivals(self._journal)
            self.clock.advance_to(end_of(ahead.log, self._arrivals.waiting))
            self._videos = ahead.log.of_videos()
            self.state.become(people_of(ahead.log, self.clock()))
            self.features = ahead.features(self.clock())
            self._know(self._arrivals.take())
        self._awaits_log = False

    def _world(self) -> World:
        """The world as log and online store have it, once the store holds what is known."""
        with self._writing:
            return self._read_world(self._stored(self._videos), self.features.stream)

    def _stored(self, log: EventLog | None = None) -> int:
        """The moment of which the store now is, with videos that reached the log by another door if it is
        given. The caller holds `_writing`; people are served meanwhile.
        """
        with self._knowing.threads:
            now_us = self._heard_moment()
            self._know(self._arrivals.take())
            if 0 < self._wrote_us < (others_us := self._written.read()):
                self.features.pass_over(others_us)
            if log is not None:
                self.features.catch_up(log, now_us)
            changes = self.features.changes(now_us)
        self.features.write(changes)
        is_whole = not self.features.is_behind and self._written.leave(now_us)
        self._wrote_us = now_us if is_whole else 0
        return now_us

    def feed(self, user_id: int, limit: int = 10, surface: int = 0, explore: bool = True) -> Answer:
        """A slate, counted."""
        answer = self.answer(user_id, limit, surface, explore)
        self.count(answer)
        return answer

    def answer(self, user_id: int, limit: int = 10, surface: int = 0, explore: bool = True) -> Answer:
        """A slate, after its impressions were logged with features and propensities as served."""
        arms = self.trials.arms(user_id)
        query = self.query(user_id, limit, surface, explore)
        cold = len(query.seen) == 0
        luck = partial(np.random.default_rng, [self._seed, query.request_id])
        serving, funnel = self.trials.ranked(arms, query, luck)
        if self._stale:
            funnel = replace(funnel, degraded=(*funnel.degraded, *self._stale))
        answer, journal_ms = self._logged(Answer(funnel, serving, cold))
        answer = answer.after("journal", journal_ms)
        mirror = serving.world.mirror
        origin = Origin(serving.release, serving.models, self._seed, mirror.read_at_us)
        self.explanations.keep(answer.funnel, origin)
        return answer

    def query(self, user_id: int, limit: int = 10, surface: int = 0, explore: bool = True) -> Query:
        """A request of this person now, with everything known of them: nothing becomes known between the
        moment and what is remembered at it.
        """
        with self._knowing.threads:
            now_us = self._heard_moment()
            if self._arrivals.concern(user_id) or self._arrivals.are_many:
                self._know(self._arrivals.take())
            return self.state.query(user_id, self._next_request(now_us), now_us, limit, surface, explore)

    def count(self, answer: Answer) -> None:
        """What meters and explanations learn of a slate; nobody needs to wait for it."""
        self.explanations.settle()
        funnel = answer.funnel
        self.meters.ranked(funnel.ms, funnel.degraded, funnel.unscored, answer.cold_start)
        if "features" in funnel.scored and funnel.scored["features"].ndim == 2:  # else no matrix was made
            self.meters.described(violations(funnel.scored["features"]))

    def acknowledge(self, events: Sequence[Mapping[str, Any]]) -> Acknowledged:
        """Store a batch whole or not at all, and remember it. Durable when this returns.

        Others know of it while it is brought to the disk; what they store of that lies behind it in the
        journal, so it is never there alone. If the disk fails the batch is refused although it is known: the
        same batch sent again is a repeated one, acknowledged once it is on disk.
        """
        try:
            acknowledged = self._stored_events(events)
            self.durability.call(self._journal.sync)
        except (RefusedEvent, ConflictingEvent):
            self.meters.journaled("refused", len(events))
            raise
        except UNDURABLE as error:
            self.meters.journaled("unstored", len(events))
            raise NotDurable(error) from error
        self.meters.journaled("stored", acknowledged.stored)
        self.meters.journaled("repeated", acknowledged.repeated)
        return acknowledged

    def _stored_events(self, events: Sequence[Mapping[str, Any]]) -> Acknowledged:
        """Store a batch, and read it where it stands: a person's next feed knows what they just did."""
        with self._knowing.threads:
            with self._knowing:
                now_us = self._heard_moment()
                known = (self.state.catalog, self.clock(), now_us)
                complete = [completed(place, event, *known) for place, event in enumerate(events)]
                acknowledged = self.durability.call(partial(self._journal.store, complete))
            self._arrivals.read()
            if self._arrivals.are_many:
                self._know(self._arrivals.take())
            return acknowledged

    def write(self) -> None:
        """Bring the online store up to now. Who asks meanwhile is told what the stream knows."""
        with self._writing:
            self._stored()

    def freshen(self) -> None:
        """The same, and with it the mirror of the videos' features."""
        with self._writing:
            self._stale = () if self._renewed(self._stored()) else (STALE,)
        self._journal.checkpoint()

    def _renewed(self, now_us: int) -> bool:
        """Whether the videos' features are of this moment now; else those before them go on being served."""
        if self.features.is_behind:
            return False
        try:
            self.champion.renew(now_us)
        except Exception:  # a store that is gone
            log.exception("the videos' features could not be renewed")
            return False
        return True

    def health(self) -> dict[str, object]:
        """The figures of health.json and the release being served."""
        told = self.about()
        self.meters.stored(self.features.failures, self.features.tables.foreign)
        self.meters.journal(self._arrivals.upto)
        self.meters.guarded(self._breakers())
        return {**told, **self.trials.figures(), **self.meters.figures()}

    def about(self) -> dict[str, object]:
        """What a probe asks: the clock, the release and whether we are about to stop. Cheap."""
        return {"now_us": self.clock(), "clock_speed": self.clock.speed, **self._release()}

    def drain(self) -> None:
        """Be ready no more, and serve whoever still asks."""
        self.draining = True

    def close(self) -> None:
        self.trials.close()
        self._journal.close()
        self._knowing.close()
        self._writing.close()
        self._written.close()
        self.clock.close()
        self.features.tables.close()

    def _breakers(self) -> list[Breaker]:
        """Everything we can do without for a while."""
        found, written = [self.durability], self.features.tables.stored
        if isinstance(written, GuardedRows):
            found.append(written.writes)
        users = self.champion.now.world.users if self.champion.is_ready else None
        read = getattr(getattr(users, "tables", None), "stored", None)
        if isinstance(read, GuardedRows):
            found += [read.reads, read.bulk]
        return found

    def _logged(self, answer: Answer) -> tuple[Answer, float]:
        """The answer once its impressions are in the journal, and the milliseconds it took; where they cannot
        be, the answer says so.
        """
        started, funnel = time.perf_counter(), answer.funnel
        slate = slate_of(funnel, answer.serving, self._seed, answer.body)
        try:
            self.durability.call(partial(self._journal.note, slate))
        except UNDURABLE:
            log.exception("the impressions of request %d are lost to the log", funnel.query.request_id)
            answer = replace(answer, funnel=replace(funnel, degraded=(*funnel.degraded, UNLOGGED)))
        return answer, (time.perf_counter() - started) * 1000

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

    def _know(self, rows: Sequence[Row]) -> None:
        """Remember and count what arrived, in order of arrival."""
        if not rows:
            return
        shown = [item for row in rows if row["kind"] == SLATE for item in shown_by(row)]
        events = [row for row in rows if row["kind"] != SLATE]
        self.state.absorb(events)
        self.trials.absorb(events)
        self.features.hear([*shown, *events])

    def _heard_moment(self) -> int:
        """Now, when all that was told before it, by whatever process, is among our arrivals: nobody tells
        anything in between, and what is told later is known later. Whoever wants to know no more than this
        holds our threads off until they have it.
        """
        with self._knowing:
            self._arrivals.hear()
            self._last_us = max(max(self._last_us, self._arrivals.last_us) + 1, self.clock())
            return self._last_us

    def _next_request(self, now_us: int) -> int:
        with self._knowing.threads:
            next_one = max(self._last_request + 1, now_us // 1000 * REQUESTS_PER_MS)
            self._last_request = self.worker.request_id(next_one)
            return self._last_request


def open_live(
    places: Places, seed: int, speed: float = 1.0, worker: Worker = ONLY, ahead: CountedAhead | None = None
) -> Live:
    """A server on the state of one run, its clock at `speed` seconds of the world per second; `ahead` is of
    this run, if somebody has begun to count.
    """
    ahead = ahead or count_ahead(places)
    read_world = partial(world_at, places, videos=ahead.log.of_videos())
    clock_from = partial(SharedClock, places.server, speed=speed)
    return Live(places, read_world, seed, clock_from, worker, ahead)


def end_of(log: EventLog, waiting: Sequence[Row]) -> int:
    """One microsecond after everything the log and the journal know."""
    ends = [0 if log.is_empty() else log.all_known_us()]
    ends += [max(row["event_time_us"], row["known_time_us"]) + 1 for row in waiting]
    return max(ends)
