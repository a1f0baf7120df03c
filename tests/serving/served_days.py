"""A server that was used and closed: people asked, watched, followed and objected; what was sent is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from feature_repo.catalogue import VIEWS
from feature_repo.clock import HOUR_US, MINUTE_US
from feature_repo.journal import frame_of
from feature_repo.materialization import newest, write_online
from feature_repo.places import Places
from feature_repo.steps import write_steps
from feature_repo.store import open_tables
from serving import registry
from serving.clocks import WorldClock
from serving.compose import world_at
from serving.live import Live
from tests.serving.builders import NOW_US, ManualTime, a_log, a_watch, creator_of, released

SEED = 5


@dataclass(frozen=True)
class Day:
    """A server that was used and closed, and what it sent, by request."""

    places: Places
    sent: dict[int, bytes]


def a_run(folder: Path) -> Places:
    """A run with two releases, people who joined, and an online store loaded at the log's end."""
    places = Places(folder / "simulated-tiny")
    for seed in (0, 1):
        released(places.work / str(seed), seed)
        registry.register(places, places.work / str(seed), {"auc": 0.5})
    registry.set_champion(places, 1)
    log = a_log(places.log)
    bands = ("country", "device", "age_band", "activity_band", "fans_band", "follows_band")
    people = [
        {"event_id": f"j-{user}", "event_time_us": NOW_US - HOUR_US, "known_time_us": NOW_US - HOUR_US}
        | {"user_id": user, **dict.fromkeys(bands, user % 3)}
        for user in range(22)
    ]
    log.append("joined", frame_of("joined", people), "made")
    write_steps(log, places.features, NOW_US)
    tables = open_tables(places)
    for view in VIEWS:
        write_online(tables, view, newest(places, view, NOW_US))
    tables.close()
    (places.feast / "loaded.json").write_text(json.dumps({"until_us": NOW_US, "loads": 1}))
    return places


def happening(live: Live, number: int) -> list[dict[str, Any]]:
    """What people do after request `number`: watch, follow, hide, report."""
    user, video, now_us = number % 7, (number * 11) % 60, live.clock()
    same = {"event_time_us": now_us, "user_id": user}
    follow = {"kind": "followed", "event_id": f"f-{number}", "creator_id": creator_of(video)}
    objects = {"kind": "reacted", "event_id": f"r-{number}", "impression_id": number, "video_id": video}
    events = [a_watch(user, video, now_us, event_id=f"w{number}")]
    if number % 3 == 0:
        events.append(follow | same)
    if number % 4 == 0:
        events.append(objects | same | {"reaction": "hide" if number % 8 else "report"})
    return events


def a_server(places: Places, time: ManualTime | None = None) -> Live:
    """A server with its champion in service, whose clock moves when told to."""
    live = Live(
        places, partial(world_at, places), SEED, partial(WorldClock, monotonic_ns=time or ManualTime())
    )
    assert live.follow()
    return live


def a_day(places: Places, requests: int = 30) -> Day:
    """Requests of known people and strangers, in every way one can ask, while things happen."""
    time, sent = ManualTime(), {}
    live = a_server(places, time)
    for number in range(requests):
        if number == requests // 2:
            registry.set_champion(places, 2)
            live.follow()
        answer = live.feed(number % 7 + 20 * (number % 5 == 4), 1 + number % 12, number % 2, number % 3 > 0)
        sent[answer.funnel.query.request_id] = answer.body
        live.acknowledge(happening(live, number))
        time.pass_us((number % 5) * 7 * MINUTE_US)
        if number % 2:
            live.freshen()
    live.close()
    return Day(places, sent)
