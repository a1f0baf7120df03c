"""The feeds compared in truth: the champion as deployed, simple baselines over all eligible, the oracle.

All of them obey the feed's own filters over the same catalogue, and all hear what was watched earlier in the
session, as the server would. Ties are broken by a keyed draw, never by the order of ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evaluation.baselines import SIMPLE, Logistic, known, random_scores
from feature_repo.clock import INSTANT
from feature_repo.facts import columns_of
from feature_repo.histories import HISTORY, watched_share
from feature_repo.log import EventLog
from feature_repo.places import Places
from feature_repo.streams import FeatureStream
from feature_repo.videos import VideoCatalog
from serving.candidates import NO_IDS, Candidates, Ids, Query, candidates
from serving.compose import assembled, world_at
from serving.feed import Feed
from serving.models import models_of
from serving.releases import Release
from serving.state import PeopleState

Floats = NDArray[np.float64]
Shares = NDArray[np.float32]
SURFACE = 0


class Policy(Protocol):
    """What `simulator.truth.walk` asks for slates, and tells what was watched."""

    def slate(self, user_id: int, seen: Ids, now_us: int, limit: int, /) -> Ids: ...

    def hear(self, user_id: int, video_ids: Ids, watched_ms: Ids, /) -> None: ...


@dataclass(frozen=True)
class Memory:
    """What the server remembers of people at the start, and over it what one policy's walk has added.

    Equal to absorbing the watches into the server's own state (a test says so), without a copy per policy.
    """

    state: PeopleState
    catalog: VideoCatalog
    now_us: int
    stream: FeatureStream | None = None
    """Where the walk's watches count for features; None: they do not move."""
    _videos: dict[int, Ids] = field(default_factory=dict)
    _shares: dict[int, Shares] = field(default_factory=dict)

    def query(self, user_id: int, limit: int, explore: bool = True) -> Query:
        """A request of this person; its number is how many videos they have seen in this session."""
        videos = self._videos.get(user_id, NO_IDS)
        shares = self._shares.get(user_id, np.empty(0, np.float32))
        start = self.state.query(user_id, len(videos), self.now_us, limit, SURFACE, explore)
        return replace(
            start,
            seen=np.sort(np.concatenate([start.seen, videos])),
            history=np.concatenate([videos[::-1], start.history])[:HISTORY],
            history_weights=np.concatenate([shares[::-1], start.history_weights])[:HISTORY],
        )

    def hear(self, user_id: int, video_ids: Ids, watched_ms: Ids) -> None:
        """What was watched, in order."""
        lengths_ms = np.rint(
            1000.0 * self.catalog.duration_s[self.catalog.rows_of(video_ids)].astype(np.float64)
        )
        shares = watched_share(watched_ms, lengths_ms)
        before = self._videos.get(user_id, NO_IDS), self._shares.get(user_id, np.empty(0, np.float32))
        self._videos[user_id] = np.concatenate([before[0], video_ids])
        self._shares[user_id] = np.concatenate([before[1], shares])
        if self.stream is not None:
            events = self._events(user_id, video_ids, watched_ms, lengths_ms)
            self.stream.update({"watched": columns_of("watched", events)})

    def _events(self, user_id: int, video_ids: Ids, watched_ms: Ids, lengths_ms: Floats) -> pl.DataFrame:
        """The watches as events, known just before the moment at which the walk stands still."""
        clock = pl.lit(self.now_us - 1, pl.Int64).cast(INSTANT)
        lengths = pl.Series(lengths_ms, dtype=pl.Float64, nan_to_null=True).cast(pl.Int64)
        columns = {"video_id": video_ids, "watched_ms": watched_ms, "duration_ms": lengths}
        rows = pl.DataFrame(columns).with_columns(pl.lit(user_id, pl.Int64).alias("user_id"))
        return rows.with_columns(clock.alias("event_time"), clock.alias("known_time"))


def beginnings(places: Places, release: Release, now_us: int) -> Callable[[], tuple[Feed, Memory]]:
    """Gives the release's feed and a memory, as they are at a moment, to as many walks as ask.

    What one walk hears, the others do not; the models are made once.
    """
    log, world = EventLog(places.log), world_at(places, now_us)
    models = models_of(release, world.catalog)
    state = PeopleState.from_log(log, world.catalog, now_us)
    known = FeatureStream.from_log(log, now_us, now_us)

    def begun() -> tuple[Feed, Memory]:
        stream = known.fork()
        users = replace(world.users, stream=stream)  # type: ignore[type-var]
        feed = assembled(models, release.policy, replace(world, users=users))
        return feed, Memory(state, world.catalog, now_us, stream)

    return begun


def unmoved(memory: Memory) -> Memory:
    """The same start, for a policy that reads no features: what it hears moves none."""
    return Memory(memory.state, memory.catalog, memory.now_us)


@dataclass(frozen=True)
class Deployed:
    """The feed of a release, exploration and all; its chance is keyed by (seed, person, how far they are)."""

    feed: Feed
    memory: Memory
    seed: int
    explore: bool = True

    def slate(self, user_id: int, _seen: Ids, _now_us: int, limit: int, /) -> Ids:
        query = self.memory.query(user_id, limit, self.explore)
        rng = np.random.default_rng([self.seed, user_id, query.request_id])
        return self.feed.rank(query, rng).slate.ids

    def hear(self, user_id: int, video_ids: Ids, watched_ms: Ids) -> None:
        self.memory.hear(user_id, video_ids, watched_ms)


Score = Callable[[Query, Candidates], Floats]


@dataclass(frozen=True)
class Ranked:
    """Everything eligible, ordered by one score: what each baseline would do with the whole catalogue."""

    feed: Feed
    memory: Memory
    score: Score
    seed: int

    def slate(self, user_id: int, _seen: Ids, _now_us: int, limit: int, /) -> Ids:
        query = self.memory.query(user_id, limit)
        table = eligible(self.feed, query)
        luck = random_scores(table.ids + query.request_id, self.seed + user_id)
        return table.ids[np.lexsort((luck, -self.score(query, table)))[:limit]]

    def hear(self, user_id: int, video_ids: Ids, watched_ms: Ids) -> None:
        self.memory.hear(user_id, video_ids, watched_ms)


def eligible(feed: Feed, query: Query) -> Candidates:
    """Every video that the feed's filters let this person see, with what the filters read."""
    table = candidates(feed.basics.catalog.video_ids)  # type: ignore[attr-defined]
    table = table.with_columns(feed.basics.describe(query, table))
    keep = np.logical_and.reduce([each.keep(query, table) for each in feed.filters])
    return table.take(np.asarray(keep))


@dataclass(frozen=True)
class Reads:
    """Columns for whole catalogues, as the feed's own readers and hydrators give them."""

    feed: Feed

    def described(self, query: Query, table: Candidates, upto: str) -> Candidates:
        """The table with the columns of every hydrator up to the one named."""
        query = self._with_person(query)
        for hydrator in self.feed.hydrators:
            table = table.with_columns(hydrator.describe(query, table))
            if hydrator.name == upto:
                break
        return table

    def _with_person(self, query: Query) -> Query:
        for reader in self.feed.readers:
            query = replace(query, person=reader.read(query))
        return query


def column_score(reads: Reads, name: str) -> Score:
    """One of evaluation's simple baselines, on the same columns the models read."""
    column, sign = SIMPLE[name]
    upto = "user_topic_features" if column.startswith("user_topic") else "video_features"

    def score(query: Query, table: Candidates) -> Floats:
        return sign * known(reads.described(query, table, upto)[column].astype(np.float64))

    return score


def logistic_score(reads: Reads, logistic: Logistic) -> Score:
    """The probability of a long watch by logistic regression on the whole matrix."""

    def score(query: Query, table: Candidates) -> Floats:
        return logistic.score(reads.described(query, table, "matrix")["features"])

    return score


def nobody_knows(_: Query, table: Candidates) -> Floats:
    """All scores equal: the keyed ties make a uniformly random slate."""
    return np.zeros(len(table))


def baselines(reads: Reads, logistic: Logistic | None) -> Mapping[str, Score]:
    """Every simple baseline by name; logistic regression only where one was trained."""
    scores: dict[str, Score] = {"random": nobody_knows}
    scores |= {name: column_score(reads, name) for name in SIMPLE}
    return scores if logistic is None else {**scores, "logistic": logistic_score(reads, logistic)}
