"""Is a server over HTTP used exactly as the same server in process? On copies of the tiny trained run."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import uvicorn

from feature_repo.journal import Journal
from feature_repo.places import Places, Run
from labs.in_process import InProcess
from serving.app import create_app
from serving.clocks import WorldClock
from serving.compose import world_at
from serving.live import Live
from simulator.apps import Plan, chosen_people
from simulator.clients import Asked, Feed, NotReady, OverHttp, Refused
from simulator.live import Outcome, lived
from simulator.worlds import World

MINUTES, USERS = 45, 12


class ToldTime:
    """A wall clock in nanoseconds that is moved by hand."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


@dataclass
class ToldPace:
    """The run moves the server's clock: it is always exactly the moment of the queue."""

    live: Live
    time: ToldTime

    def __post_init__(self) -> None:
        self.start_us = self.live.clock()
        self.end_us = self.start_us + MINUTES * 60_000_000

    def until(self, moment_us: int) -> int | None:
        if moment_us >= self.end_us:
            return None
        self.time.ns = 1000 * (moment_us - self.start_us)
        return self.live.clock()


class Steady(Live):
    """Keeps the world it read first: how long a run takes by the wall must not matter."""

    def follow(self) -> bool:
        return not self.champion.is_ready and super().follow()

    def freshen(self) -> None:
        """Not by the wall's clock."""


def a_live(trained: Run, folder: Path, time: ToldTime) -> Live:
    """A server on a copy of the trained run, its clock told."""
    shutil.copytree(trained.places.root, folder / "run")
    places = Places(folder / "run")
    live = Steady(places, partial(world_at, places), trained.seed, partial(WorldClock, monotonic_ns=time))
    live.follow()
    return live


@contextmanager
def serving(live: Live, places: Places) -> Iterator[str]:
    """The address of a real server on a free loopback port, stopped in the end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(live, places), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def a_run(trained: Run, feed: Feed, live: Live, time: ToldTime) -> Outcome:
    world = World(trained.scale, trained.seed)
    plan = Plan(chosen_people(world, USERS, seed=11), "both", seed=11)
    return lived(world, feed, plan, ToldPace(live, time))


@pytest.mark.slow
def test_over_http_and_in_process_the_same_happens(trained: Run, tmp_path: Path) -> None:
    here, there = ToldTime(), ToldTime()
    direct, behind = a_live(trained, tmp_path / "here", here), a_live(trained, tmp_path / "there", there)
    in_process = a_run(trained, InProcess(direct), direct, here)
    with serving(behind, Places(tmp_path / "there" / "run")) as url:
        over_http = a_run(trained, OverHttp(url), behind, there)
    direct.close()

    assert over_http.slates == in_process.slates
    assert over_http.watches == in_process.watches
    assert over_http.refused == in_process.refused == {}
    assert _journaled(tmp_path / "there") == _journaled(tmp_path / "here")
    assert len(in_process.watches) > 5 * USERS


def _journaled(folder: Path) -> list[dict[str, object]]:
    """Every event as it was stored, in order."""
    journal = Journal(Places(folder / "run").journal)
    found = [entry.event for entry in journal.events()]
    journal.close()
    return found


@pytest.mark.slow
def test_a_server_without_a_release_is_not_ready_and_serves_nobody(tmp_path: Path) -> None:
    places = Places(tmp_path)
    live = Live(places, partial(world_at, places))

    with serving(live, places) as url, pytest.raises(NotReady, match="is not ready: There is no champion"):
        OverHttp(url).health()
    with pytest.raises(Refused, match="There is no champion release yet"):
        InProcess(live).ask(Asked(user_id=7, surface=0, limit=10))


def test_an_event_that_breaks_a_rule_is_refused_alike(trained: Run, tmp_path: Path) -> None:
    live = a_live(trained, tmp_path, ToldTime())
    event = {"kind": "watched", "event_id": "e", "event_time_us": 0, "user_id": 1, "impression_id": 64}
    with serving(live, Places(tmp_path / "run")) as url:
        for feed in (OverHttp(url), InProcess(live)):
            with pytest.raises(Refused, match="must be a video that was uploaded"):
                feed.tell([{**event, "video_id": 5, "watched_ms": 0}])
