"""Many people ask a server for feeds and tell it what they watched: one at a time, or several at once.

All arms are driven in turns of a few people, so that whatever else the machine does falls on all. Every loop
ends by itself: by count, or at the deadline.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from labs.bench.clients import Client
from labs.bench.quiet_cores import Core, staying_on
from serving.cores import usable_cores

TURN = 40
"""People per turn of an arm that everybody asks."""
TOLD = 3
"""Items of each slate that are watched, and told in one batch before the next feed."""
WATCHES_MS = (25_000, 2_000, 9_000)


@dataclass
class Timings:
    """What one arm took, in milliseconds: feeds by person, and acknowledgements of events."""

    feeds: dict[int, float] = field(default_factory=dict)
    events: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    work_ms: list[tuple[float, float]] = field(default_factory=list)
    """Of each feed, what the same work took on its core before and after; empty where nobody looked."""
    seconds: float = 0.0
    """How long its turns took; what it answered over this is its throughput."""

    def paired_with(self, other: Timings) -> tuple[list[float], list[float]]:
        """Feeds of the people both arms served, in the same order."""
        both = [person for person in self.feeds if person in other.feeds]
        return [self.feeds[person] for person in both], [other.feeds[person] for person in both]


@dataclass(frozen=True)
class Arm:
    """A server that is driven, and every how many people it is asked: slow ones are asked less often."""

    port: int
    every: int = 1
    core: Core | None = None
    """Looked at before and after every feed, where people ask one at a time."""


@dataclass(frozen=True)
class Drive:
    """How hard to drive: people at once, and until when."""

    at_once: int
    deadline_s: float
    """On the monotonic clock."""


def drive(arms: Sequence[Arm], people: Sequence[int], how: Drive) -> list[Timings]:
    """All arms in turns, warmed up by people nobody counts; one Timings per arm."""
    told = [Timings() for _ in arms]
    with ExitStack() as opened:
        opened.enter_context(staying_on(usable_cores()))  # whoever looks at a core goes there
        clients = [[opened.enter_context(Client(arm.port)) for _ in range(how.at_once)] for arm in arms]
        for first in range(0, len(people), TURN):
            turn = people[first : first + TURN]
            for arm, mine, timings in zip(arms, clients, told, strict=True):
                take_turn(mine, turn[:: arm.every], timings, arm.core)
            if time.monotonic() > how.deadline_s:
                break
    return told


def warm_up(port: int, people: Sequence[int]) -> None:
    """First requests pay for imports, pages and caches; they are asked and forgotten."""
    with Client(port) as client:
        for person in people:
            _serve_one(client, person, Timings(), None)


def take_turn(
    clients: Sequence[Client], people: Sequence[int], into: Timings, core: Core | None = None
) -> None:
    """These people, shared out among the clients, all of whom ask at once; one alone may look at a core."""
    began = time.perf_counter()
    if len(clients) == 1:
        _serve_all(clients[0], people, into, core)
    else:
        with ThreadPoolExecutor(len(clients)) as pool:
            shares = [people[place :: len(clients)] for place in range(len(clients))]
            list(pool.map(_serve_all, clients, shares, [into] * len(clients)))
    into.seconds += time.perf_counter() - began


def _serve_all(client: Client, people: Sequence[int], into: Timings, core: Core | None = None) -> None:
    for person in people:
        _serve_one(client, person, into, core)


def _serve_one(client: Client, person: int, into: Timings, core: Core | None) -> None:
    """A feed, then what became of its first items. Appending to a dict or list is atomic."""
    before_ms = core.work_ms() if core else 0.0
    slate, feed_ms = client.timed_post("/v1/feed", {"user_id": person, "limit": 10})
    if core:
        into.work_ms.append((before_ms, core.work_ms()))
    into.feeds[person] = feed_ms
    into.requests.append(slate["request_id"])
    if slate["items"]:
        _, events_ms = client.timed_post("/v1/events", {"events": watched(slate, person)})
        into.events.append(events_ms)


def watched(slate: dict[str, Any], person: int) -> list[dict[str, Any]]:
    """The first items of a slate as watched events: one long, one skipped, one in between."""
    return [
        {
            "kind": "watched",
            "event_id": f"bench-{item['impression_id']}-{person}",
            "event_time_us": slate["served_at_us"],
            "user_id": person,
            "impression_id": item["impression_id"],
            "video_id": item["video_id"],
            "watched_ms": watched_ms,
        }
        for item, watched_ms in zip(slate["items"][:TOLD], WATCHES_MS, strict=False)
    ]
