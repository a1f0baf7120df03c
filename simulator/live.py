"""`python -m simulator live`: the world's people use a running server, as any app would, for some minutes.

    make serve SPEED=60                                          in one window
    python -m simulator live --users 200 --speed 60x --minutes 2    in another

Each of them opens the app at some hour of the world's day, asks POST /v1/feed for slates of ten, watches or
swipes away, and tells POST /v1/events what happened, when it happened: watched, reacted, followed, surveyed.
The run is a queue of moments. Nothing in it is random but what the world's luck says, and that is looked up
by (seed, person, session, item); so what happens depends only on what was served, and another feed that
serves the same is used the same. Labs hand in a feed in process; this module knows none but its protocol.
"""

from __future__ import annotations

import argparse
import heapq
import math
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from feature_repo.clock import SECOND_US
from feature_repo.places import LARGEST_SEED, run_from_environment
from simulator.apps import Met, Plan, Visit, Watch, arrivals, chosen_people, met
from simulator.clients import Asked, Feed, FeedFailed, Health, OverHttp, Slate
from simulator.person_days import PAUSE_US
from simulator.slates import SLATE
from simulator.worlds import World

MOST_SPEED, MOST_MINUTES = 3600.0, 1440.0
GIVE_UP = 20
"""Calls in a row without an answer, after which nobody is there any more."""


class AnotherWorld(ValueError):
    """What is served does not exist in the world that is asked to watch it."""


class Pace(Protocol):
    """Who says what time it is."""

    start_us: int
    end_us: int

    def until(self, moment_us: int) -> int | None:
        """Let the world come to this moment; the server's moment then. None when the run's time is up."""
        ...


class WallPace:
    """World time at `speed` times the wall's, for some minutes; stamps are by the server's clock."""

    def __init__(
        self,
        health: Health,
        minutes: float,
        speed: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.start_us = health.now_us
        self.end_us = health.now_us + round(60 * minutes * speed * SECOND_US)
        self._speed, self._clock_speed, self._longest_s = speed, health.clock_speed, 60 * minutes
        self._monotonic, self._sleep, self._began_s = monotonic, sleep, monotonic()

    def until(self, moment_us: int) -> int | None:
        due_s = (moment_us - self.start_us) / SECOND_US / self._speed
        early_s = min(due_s, self._longest_s) - self._elapsed_s
        if early_s > 0:
            self._sleep(early_s)
        if moment_us >= self.end_us or self._elapsed_s >= self._longest_s:
            return None
        return self.start_us + int(self._elapsed_s * self._clock_speed * SECOND_US)

    @property
    def _elapsed_s(self) -> float:
        return self._monotonic() - self._began_s


@dataclass(frozen=True)
class Outcome:
    """What happened in a run, in order."""

    slates: tuple[tuple[Asked, Slate], ...]
    watches: tuple[Watch, ...]
    told: int
    """Events the server stored."""
    refused: Mapping[str, int]
    """Calls that failed, by what was said of them."""
    feed_ms: tuple[float, ...]
    share: float
    """Of the run's world time that came to pass; below 1 if it was cut short, or could not keep its speed."""
    interrupted: bool
    gave_up: bool

    @property
    def mean_satisfaction(self) -> float:
        """The truth's view, per watched video; NaN where nothing was."""
        felt = [watch.satisfaction for watch in self.watches]
        return float(np.mean(felt)) if felt else math.nan

    def latency_ms(self, quantile: float) -> float:
        """Of the answered calls for a slate; NaN where there were none."""
        return float(np.quantile(self.feed_ms, quantile)) if self.feed_ms else math.nan


def lived(
    world: World, feed: Feed, plan: Plan, pace: Pace, seen: Callable[[float], None] = lambda _: None
) -> Outcome:
    """The run, from its pace's start to its end; `seen` hears which share of it is over."""
    run = _Run(world, feed, plan)
    for moment_us, visit in arrivals(world, plan, pace.start_us, pace.end_us):
        run.put(moment_us, visit)
    share, interrupted = 0.0, False
    try:
        while run.waiting and not run.gave_up:
            moment_us, doing = run.first()
            now_us = pace.until(moment_us)
            share = min(1.0, (moment_us - pace.start_us) / (pace.end_us - pace.start_us))
            seen(share)
            if now_us is None:
                break
            run.step(moment_us, now_us, doing)
    except KeyboardInterrupt:
        interrupted = True
    return run.outcome(1.0 if not run.waiting else share, interrupted)


@dataclass(frozen=True)
class _Saying:
    """An event that is due; it lacks its time, which is not before its slate was served."""

    event: Mapping[str, Any]
    served_us: int


class _Run:
    """The queue of moments and what came of them. Equal moments are taken in the order they were put in."""

    def __init__(self, world: World, feed: Feed, plan: Plan) -> None:
        self.world, self.feed, self.plan = world, feed, plan
        self.waiting: list[tuple[int, int, Visit | _Saying]] = []
        self._put = 0
        self._free_us: dict[int, int] = {}
        self._follows: set[tuple[int, int]] = set()
        self._slates: list[tuple[Asked, Slate]] = []
        self._watches: list[Watch] = []
        self._told = 0
        self._feed_ms: list[float] = []
        self._refused: dict[str, int] = {}
        self._in_a_row = 0

    @property
    def gave_up(self) -> bool:
        return self._in_a_row >= GIVE_UP

    def put(self, moment_us: int, doing: Visit | _Saying) -> None:
        heapq.heappush(self.waiting, (moment_us, self._put, doing))
        self._put += 1

    def first(self) -> tuple[int, Visit | _Saying]:
        moment_us, _, doing = heapq.heappop(self.waiting)
        return moment_us, doing

    def step(self, moment_us: int, now_us: int, doing: Visit | _Saying) -> None:
        """What is due at this moment; the server's clock says it is `now_us`."""
        if isinstance(doing, _Saying):
            self._say(now_us, doing)
            return
        free_us = self._free_us.get(doing.person, 0)
        if doing.has_begun or moment_us >= free_us:
            self._swipe(moment_us, doing)
        else:
            self.put(free_us, doing)  # still in the session before

    def _swipe(self, moment_us: int, visit: Visit) -> None:
        asked = Asked(int(self.world.people.user_ids[visit.person]), visit.surface, SLATE)
        started = time.perf_counter()
        try:
            slate = self.feed.ask(asked)
        except FeedFailed as failure:
            self._failed(failure)
            return
        self._feed_ms.append(1000 * (time.perf_counter() - started))
        self._in_a_row = 0
        self._slates.append((asked, slate))
        came = self._met(visit, slate, moment_us)
        self._watches += came.watches
        self._free_us[visit.person] = came.over_us + PAUSE_US
        self._put_all(came, slate.served_us)

    def _met(self, visit: Visit, slate: Slate, moment_us: int) -> Met:
        try:
            return met(self.world, self.plan.seed, visit, slate.items, moment_us)
        except KeyError as error:
            raise AnotherWorld(
                f"the server serves another world than this one ({error.args[0]}) "
                "Give both the same SCALE, SEED and VAR."
            ) from error

    def _put_all(self, came: Met, served_us: int) -> None:
        for happening in came.happenings:
            self.put(happening.moment_us, _Saying(happening.event, served_us))
        if came.goes_on is not None:
            self.put(came.over_us, came.goes_on)

    def _say(self, now_us: int, saying: _Saying) -> None:
        """Tell it, unless it is a follow of somebody followed before."""
        event = saying.event
        if event["kind"] == "followed":
            follow = (event["user_id"], event["creator_id"])
            if follow in self._follows:
                return
            self._follows.add(follow)
        try:
            self.feed.tell([{**event, "event_time_us": max(now_us, saying.served_us)}])
        except FeedFailed as failure:
            self._failed(failure)
            return
        self._told += 1
        self._in_a_row = 0

    def _failed(self, failure: FeedFailed) -> None:
        """Count it. A person whose call failed closes the app; an event that failed is lost."""
        self._refused[str(failure)] = self._refused.get(str(failure), 0) + 1
        self._in_a_row += 1

    def outcome(self, share: float, interrupted: bool) -> Outcome:
        return Outcome(
            tuple(self._slates),
            tuple(self._watches),
            self._told,
            dict(self._refused),
            tuple(self._feed_ms),
            share,
            interrupted,
            self.gave_up,
        )


# --- on the screen ---------------------------------------------------------------------------------------


def main(argv: list[str]) -> int:
    asked, run = _parser().parse_args(argv), run_from_environment()
    if run.logs != "simulated":
        raise ValueError(f"LOGS is {run.logs!r}: only a simulated world has people; set LOGS=simulated.")
    from simulator.logs import world_of

    console, feed = Console(), OverHttp(asked.url)
    try:
        feed.health()  # is anybody there, before a world is drawn
        world, seed = world_of(run), run.seed if asked.seed is None else asked.seed
        plan = Plan(chosen_people(world, asked.users, seed), asked.surface, seed)
        world.encounters(0, 0, world.end_us)  # draw it now, or the first session would start late
        health = feed.health()
        _announce(console, asked, health)
        found = _with_bar(console, world, feed, plan, WallPace(health, asked.minutes, asked.speed))
    except FeedFailed as failure:
        print(f"live: {failure} Start one: make serve SPEED={asked.speed:g}", file=sys.stderr)
        return 1
    finally:
        feed.close()
    console.print(summary(found))
    console.print("next: make ingest")
    return _exit_code(found)


def _exit_code(found: Outcome) -> int:
    if found.gave_up:
        print("live: nobody answers any more; is the server still running?", file=sys.stderr)
        return 1
    return 130 if found.interrupted else 0


def _announce(console: Console, asked: argparse.Namespace, health: Health) -> None:
    console.print(
        f"{asked.users} people, {asked.minutes:g} minutes at {asked.speed:g}x, against {asked.url} "
        f"({health.release_id})",
        highlight=False,
    )
    if health.clock_speed != asked.speed:
        console.print(
            f"The server's clock runs at {health.clock_speed:g}x: sessions look denser or thinner to it. "
            f"To agree: make serve SPEED={asked.speed:g}",
            highlight=False,
            soft_wrap=True,
        )


def _with_bar(console: Console, world: World, feed: Feed, plan: Plan, pace: Pace) -> Outcome:
    columns = (
        TextColumn("Living"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Living", total=1.0)
        return lived(world, feed, plan, pace, lambda share: bar.update(task, completed=share))


def summary(found: Outcome) -> Table:
    """What was done, as far as it was done."""
    title = "Live run" + (", interrupted" if found.interrupted else "")
    table = Table(title=title, show_header=False)
    table.add_row("of the run's world time", f"{found.share:.0%}")
    table.add_row("requests", f"{len(found.slates):,}")
    table.add_row("impressions", f"{len(found.watches):,}")
    table.add_row("long views", f"{sum(watch.long_view for watch in found.watches):,}")
    table.add_row("mean satisfaction, in truth", f"{found.mean_satisfaction:+.3f}")
    table.add_row("events told", f"{found.told:,}")
    table.add_row("feed latency p50, p99", f"{found.latency_ms(0.5):.1f} ms, {found.latency_ms(0.99):.1f} ms")
    table.add_row("refused or failed calls", f"{sum(found.refused.values()):,}")
    for said, count in sorted(found.refused.items(), key=lambda each: -each[1])[:3]:
        table.add_row("", f"{count:,} x {said[:90]}")
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator live",
        description="The world's people use a running server over HTTP, for some minutes.",
        epilog="first, in another window: make serve SPEED=60\n"
        "then: python -m simulator live --users 200 --speed 60x --minutes 2\n"
        "afterwards: make ingest puts what happened into the log. SCALE, SEED and VAR as for make serve.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--users", type=int, default=200, help="how many of the world's people take part")
    parser.add_argument("--speed", type=_speed, default="60x", help="world seconds per second: 60x (default)")
    parser.add_argument(
        "--minutes", type=_minutes, default="2", help="how long, by the clock on your wall (2)"
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the server listens")
    parser.add_argument("--surface", choices=("swipe", "grid", "both"), default="both", help="what is opened")
    parser.add_argument("--seed", type=_seed, help="of people's luck in this run (default: SEED)")
    return parser


def _speed(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x?", text)
    speed = float(found[1]) if found else math.nan
    if not 1 <= speed <= MOST_SPEED:
        raise argparse.ArgumentTypeError(f"{text!r} is no speed, must be 1x to {MOST_SPEED:g}x, such as 60x.")
    return speed


def _minutes(text: str) -> float:
    found = re.fullmatch(r"\d+(?:\.\d+)?", text)
    minutes = float(text) if found else math.nan
    if not 0 < minutes <= MOST_MINUTES:
        raise argparse.ArgumentTypeError(
            f"{text!r} minutes, must be more than 0 and at most {MOST_MINUTES:g}."
        )
    return minutes


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed, must be a whole number to {LARGEST_SEED}.")
    return int(text)
