"""How old are features? From the answer that acknowledged an event to the moment the store has it counted.

A real server on a scratch copy of the run is told 200 events a second, in batches sent when they are due
whether or not earlier ones were answered. Meanwhile others read the online store: for each watched person,
whose last hour was empty, from before the batch was sent until their hour is not. Batches, people and
waiting are bounded.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from feature_repo.catalogue import USER_STATS
from feature_repo.log import EventLog
from feature_repo.materialization import schema_of
from feature_repo.packed_tables import PackedTables
from feature_repo.places import Places, Run
from feature_repo.store import open_tables
from labs.bench.bench_serving import people_of, scratch
from labs.bench.clients import Client
from labs.bench.servers import Server, running

Ints = NDArray[np.int64]

WATCHED_FEATURE = "user_impressions_1h"
STATISTICS = schema_of(USER_STATS)
POLL_S = 0.002
NEVER_READ_S = 10.0
"""A change not seen by then counts as this old, and as never seen."""
READERS = 16
MOST_PEOPLE = 20_000


@dataclass(frozen=True)
class Load:
    """What the server is told: so many batches of so many events, one every so many seconds."""

    batches: int = 400
    events: int = 10
    every_s: float = 0.05
    lanes: int = 4
    """Connections, and so the most batches under way at once."""


@dataclass
class Seen:
    """What one lane saw: per batch how late it was sent and how long its answer took; the ages to come."""

    late_ms: list[float] = field(default_factory=list)
    answer_ms: list[float] = field(default_factory=list)
    changes: list[tuple[float, Future[float | None]]] = field(default_factory=list)
    """When the answer came, and when the change will have been seen, on the monotonic clock."""


def measure(run: Run, load: Load | None = None) -> dict[str, Any]:
    """Figures of one server of the run under this load; the run itself is only read."""
    load = load or Load()
    if run.places.online_url:
        raise ValueError("ONLINE_STORE is set; freshness is measured on a copy of the file: unset it.")
    settings = {"LOGS": run.logs, "SCALE": run.scale, "SEED": str(run.seed)}
    with scratch(run) as var:
        copy = Places(var / run.places.root.name)
        with running("ours", ["-m", "serving"], {**settings, "VAR": str(var)}, var / "ours.txt") as server:
            return figures_of(server, copy, people_of(run, MOST_PEOPLE), load)


def figures_of(server: Server, places: Places, people: Sequence[int], load: Load) -> dict[str, Any]:
    """Figures of a running server over the store of these places."""
    videos = EventLog(places.log).read("uploaded", columns=["video_id"])["video_id"].unique().sort()
    with closing(open_tables(places)) as tables, Client(server.port) as client:
        quiet = quiet_people(tables, people)[: load.batches]
        rest = np.setdiff1d(people, quiet)
        if not len(quiet) or not len(rest):
            raise LookupError(
                f"{len(quiet)} of {len(people)} people have an empty hour, must be some, not all."
            )
        now_us = int(orjson.loads(client.fetch("/healthz"))["now_us"])
        batches = list(batches_of(load, quiet, rest, videos.to_numpy(), now_us))
        return _figures(_driven(server.port, tables, batches, load), load)


def quiet_people(tables: PackedTables, people: Sequence[int]) -> Ints:
    """Those whose last hour is empty in the store; at most half of all, so that others are left."""
    asked = np.asarray(people, np.int64)
    rows = tables.read(STATISTICS, asked[:, None])
    full = rows.found & (rows.values[WATCHED_FEATURE] > 0)
    return np.asarray(asked[~full][: len(asked) // 2])


@dataclass(frozen=True)
class Batch:
    """Watched events of distinct people, and the person whose feature is read meanwhile, if any."""

    events: list[dict[str, Any]]
    person: int | None


def batches_of(load: Load, quiet: Ints, rest: Ints, videos: Ints, now_us: int) -> Iterator[Batch]:
    """Every quiet person once, spread evenly over the batches; the others in turns, as often as it takes."""
    chosen = np.linspace(0, load.batches - 1, min(len(quiet), load.batches)).astype(np.int64)
    person_of = dict(zip(chosen.tolist(), quiet.tolist(), strict=False))
    for batch in range(load.batches):
        person = person_of.get(batch)
        others = load.events - (person is not None)
        who = [] if person is None else [person]
        who += [int(rest[(batch * load.events + place) % len(rest)]) for place in range(others)]
        yield Batch([_watched(batch, place, each, videos, now_us) for place, each in enumerate(who)], person)


def _watched(batch: int, place: int, person: int, videos: Ints, now_us: int) -> dict[str, Any]:
    number = batch * 1_000 + place
    return {
        "kind": "watched",
        "event_id": f"freshness-{number}",
        "event_time_us": now_us,
        "user_id": person,
        "impression_id": number,
        "video_id": int(videos[number % len(videos)]),
        "watched_ms": 5_000,
    }


def _driven(
    port: int, tables: PackedTables, batches: Sequence[Batch], load: Load
) -> tuple[list[Seen], float]:
    """What each lane saw, and the seconds from the first batch to the last answer."""
    with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(load.lanes) as lanes:
        began = time.perf_counter()
        shares = [range(lane, len(batches), load.lanes) for lane in range(load.lanes)]
        sent = [lanes.submit(_send, port, tables, readers, batches, each, began, load) for each in shares]
        return [lane.result() for lane in sent], time.perf_counter() - began


def _send(
    port: int,
    tables: PackedTables,
    readers: ThreadPoolExecutor,
    batches: Sequence[Batch],
    mine: range,
    began: float,
    load: Load,
) -> Seen:
    """One lane: each batch when it is due, or at once if that has passed."""
    seen = Seen()
    with Client(port) as client:
        for place in mine:
            due = began + place * load.every_s
            time.sleep(max(0.0, due - time.perf_counter()))
            seen.late_ms.append((time.perf_counter() - due) * 1e3)
            person = batches[place].person
            change = None if person is None else readers.submit(seen_changed, tables, person)
            _, answer_ms = client.timed_post("/v1/events", {"events": batches[place].events})
            seen.answer_ms.append(answer_ms)
            if change is not None:
                seen.changes.append((time.perf_counter(), change))
    return seen


def seen_changed(tables: PackedTables, person: int, within_s: float = NEVER_READ_S) -> float | None:
    """When a reader of the store first found that this person's hour is not empty; None if it never did."""
    deadline = time.perf_counter() + within_s
    while time.perf_counter() < deadline:
        rows = tables.read(STATISTICS, [[person]])
        if rows.found[0] and rows.values[WATCHED_FEATURE][0] > 0:
            return time.perf_counter()
        time.sleep(POLL_S)
    return None


def age_ms(answered_s: float, seen_s: float | None) -> float:
    """Milliseconds from the answer to the change; 0 if it was there first, the longest wait if never."""
    return NEVER_READ_S * 1e3 if seen_s is None else max(0.0, seen_s - answered_s) * 1e3


def _figures(driven: tuple[list[Seen], float], load: Load) -> dict[str, Any]:
    lanes, seconds = driven
    changes = [(answered, change.result()) for lane in lanes for answered, change in lane.changes]
    ages = [age_ms(answered, seen) for answered, seen in changes]
    events = load.batches * load.events
    return {
        "load": asdict(load),
        "age": quantiles(ages),
        "ages_of_zero": sum(age == 0 for age in ages),
        "never_seen": sum(seen is None for _, seen in changes),
        "answer": quantiles([each for lane in lanes for each in lane.answer_ms]),
        "sent_late": quantiles([each for lane in lanes for each in lane.late_ms]),
        "events": events,
        "events_per_s": events / seconds,
        "load_average": os.getloadavg()[0],
    }


def quantiles(samples_ms: Sequence[float]) -> Mapping[str, float]:
    """Median, 99th percentile and maximum in milliseconds, and how many they rest on."""
    p50, p99, most = (float(q) for q in np.quantile(samples_ms, (0.5, 0.99, 1.0)))
    return {"p50_ms": p50, "p99_ms": p99, "max_ms": most, "n": len(samples_ms)}
