"""`python -m labs.bench.naive_server`: the server a careful reader of the tutorials would write, our rival.

FastAPI with plain `def` routes and pydantic models, on the same champion, candidates, trees and policy as
ours, with the same durable log of what was served. It differs where tutorials differ: features of all
candidates through Feast's SDK, pandas in the middle, `Booster.predict` on a DataFrame (`naive_feed.py`),
nothing tuned.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from feature_repo.journal import Acknowledged, Journal
from feature_repo.log import EventLog
from feature_repo.places import Places, run_from_environment
from feature_repo.store import open_store
from labs.bench.naive_feed import naive_feed
from serving import registry
from serving.champions import NO_RELEASE, Serving
from serving.clocks import WorldClock
from serving.compose import World, assembled, world_at
from serving.feed import Feed
from serving.live import REQUESTS_PER_MS, Answer
from serving.models import Models, models_of
from serving.records import slate_of
from serving.releases import Release, read_release
from serving.state import PeopleState

if TYPE_CHECKING:
    from fastapi import FastAPI


class Naive:
    """Everything the naive server holds: one release, people, a journal, a clock."""

    def __init__(self, places: Places, seed: int) -> None:
        log = EventLog(places.log)
        self.seed, self.clock = seed, WorldClock(log.end_us())
        self.serving = naive_serving(places, self.clock())
        self.state = PeopleState.from_log(log, self.serving.world.catalog, self.clock())
        self.journal = Journal(places.journal)
        self.request_ids = itertools.count(self.clock() // 1000 * REQUESTS_PER_MS)

    def feed(self, user_id: int, limit: int, surface: int, explore: bool) -> Answer:
        query = self.state.query(user_id, next(self.request_ids), self.clock(), limit, surface, explore)
        funnel = self.serving.feed.rank(query, np.random.default_rng([self.seed, query.request_id]))
        answer = Answer(funnel, self.serving, not self.state.knows(user_id))
        self.journal.note(slate_of(funnel, self.serving, self.seed, answer.body))
        return answer

    def acknowledge(self, events: Sequence[Mapping[str, Any]]) -> Acknowledged:
        complete = [{**event, "known_time_us": self.clock()} for event in events]
        told = self.journal.append(complete)
        self.state.absorb(complete)
        return told


def naive_serving(places: Places, now_us: int) -> Serving:
    """The champion behind the naive feed."""
    version, release, world, models = champion_at(places, now_us)
    ours = assembled(models, release.policy, world)
    feed = naive_feed(ours, models, world.catalog, open_store(places), release.feature_service)
    return Serving(version, release, world, models, feed, loads=0)


def champion_at(places: Places, now_us: int) -> tuple[int, Release, World, Models]:
    """The champion's version and release, with the world it ranks at this moment."""
    found = registry.champion(places)
    if found is None:
        raise LookupError(NO_RELEASE)
    release, world = read_release(found[1]), world_at(places, now_us)
    return found[0], release, world, models_of(release, world.catalog)


def both_feeds(places: Places) -> tuple[Feed, Feed, PeopleState, int]:
    """Our feed and the naive one over the very same objects, with people's memory, at the end of the log."""
    log = EventLog(places.log)
    now_us = log.end_us()
    naive = naive_serving(places, now_us)
    ours = assembled(naive.models, naive.release.policy, naive.world)
    return ours, naive.feed, PeopleState.from_log(log, naive.world.catalog, now_us), now_us


def create_app(naive: Naive) -> FastAPI:
    """Three routes, as the tutorial has them."""
    from fastapi import FastAPI

    from serving.replies import feed_response
    from serving.wire import EventBatch, EventsAcknowledged, FeedRequest, FeedResponse

    app = FastAPI(title="naive")

    def feed(asked: FeedRequest) -> Any:
        return feed_response(naive.feed(asked.user_id, asked.limit, asked.surface, asked.explore))

    def events(batch: EventBatch) -> Any:
        told = naive.acknowledge([event.model_dump(exclude_none=True) for event in batch.events])
        return EventsAcknowledged(stored=told.stored, repeated=told.repeated)

    # Routes are declared inside a function, where FastAPI cannot resolve annotations written as text.
    feed.__annotations__["asked"], events.__annotations__["batch"] = FeedRequest, EventBatch
    app.add_api_route("/v1/feed", feed, methods=["POST"], response_model=FeedResponse)
    app.add_api_route("/v1/events", events, methods=["POST"], response_model=EventsAcknowledged)
    app.add_api_route("/readyz", lambda: {"status": "ready"})
    return app


def main() -> int:
    """Serve until interrupted, on HOST and PORT."""
    for name in ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "true")
    import uvicorn

    run = run_from_environment()
    host, port = os.environ.get("HOST") or "127.0.0.1", int(os.environ.get("PORT") or 8001)
    uvicorn.run(create_app(Naive(run.places, run.seed)), host=host, port=port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
