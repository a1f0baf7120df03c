"""What happens when more people ask than the server can serve? Arrivals that do not wait for answers.

A ladder of rates, each a Poisson process of its own, up to where the server turns people away. The knee is
the highest rate at which nothing failed, at most A_FEW were refused and the p99 of feeds is at most
KNEE_TIMES that of the lowest rate. Then the knee and twice the knee are offered in turns: whoever is
let in must be served about as fast as before, and everybody else be told when to come again.

Latency counts from the moment a request was due, so waiting for a connection is part of it. Where there are
two cores the server has one of them and the asking another.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from feature_repo.places import Run, run_from_environment
from feature_repo.reports import write_report
from labs.bench.bench_serving import people_of, scratch
from labs.bench.clients import Refused
from labs.bench.drives import warm_up, watched
from labs.bench.feature_bars import Bar
from labs.bench.latencies import latency
from labs.bench.open_loops import Answered, Asked, OpenLoop, arrivals, posted
from labs.bench.plots import Curve, draw
from labs.bench.servers import NeverReady, end_servers_with_us, running, settings_of
from labs.bench.verdicts import Verdict, exit_status, show

LOWEST, STEP, MOST = 20.0, 1.25, 2_000.0
"""Requests per second, and the ladder between them."""
LEAST_REQUESTS = 600
"""Slow rates are offered longer, until a p99 rests on something."""
KNEE_TIMES = 3.0
A_FEW = 0.005
"""Refused share that is still no refusing: like a p99, a knee does not hang on one hiccup of the machine."""
BEHIND = 0.1
"""Saturated: this share of all requests refused or failed."""
TURNS = 2
TOLD_SHARE = 0.2
"""Of the arrivals, batches of events about slates shown before."""
PEOPLE, WARM_UP = 2_000, 40
TWICE_BAR, NONE = Bar(3.0, at_most=True), Bar(0.0, at_most=True)


@dataclass
class Crowd:
    """Who asks next, and what came back; events are told about slates that were really shown."""

    people: Sequence[int]
    rng: np.random.Generator
    heard: list[Answered] = field(default_factory=list)
    _shown: deque[Answered] = field(default_factory=lambda: deque(maxlen=64))

    def next(self) -> Asked:
        if self._shown and self.rng.random() < TOLD_SHARE:
            shown = self._shown.popleft()
            events = watched(orjson.loads(shown.body), shown.asked.person)
            return posted("events", "/v1/events", shown.asked.person, orjson.dumps({"events": events}))
        person = int(self.rng.choice(self.people))
        return posted("feed", "/v1/feed", person, orjson.dumps({"user_id": person, "limit": 10}))

    def hear(self, answer: Answered) -> None:
        self.heard.append(answer)
        if answer.asked.kind == "feed" and answer.status == 200:
            self._shown.append(answer)


@dataclass(frozen=True)
class Level:
    """What one rate gave; shares are of all requests."""

    offered: float
    """Requests per second, events included."""
    achieved: float
    """Answered with 200, per second."""
    p50_ms: float
    """Of the feeds that were let in, from the moment they were due."""
    p99_ms: float
    refused: float
    untold: float
    """Refused without a word about when to come again."""
    failed: float
    requests: int

    @property
    def is_whole(self) -> bool:
        return self.refused <= A_FEW and self.failed == 0

    def figures(self) -> dict[str, float]:
        return dict(vars(self))


def level(rate: float, seconds: float, heard: Sequence[Answered]) -> Level:
    """The answers to what was offered at `rate` for so many seconds."""
    served = latency([each.ms for each in heard if each.asked.kind == "feed" and each.status == 200])
    statuses = np.array([each.status for each in heard])
    refused, well = statuses == 429, statuses == 200
    untold = refused & np.isnan([each.retry_after_s for each in heard])
    refusals, untold_of, failures = (float(which.mean()) for which in (refused, untold, ~refused & ~well))
    achieved = float(well.sum()) / seconds
    return Level(
        rate, achieved, served.p50_ms, served.p99_ms, refusals, untold_of, failures, requests=len(heard)
    )


def pooled(levels: Sequence[Sequence[Answered]], rate: float, seconds: float) -> Level:
    """Several turns at one rate as one."""
    return level(rate, seconds * len(levels), [answer for heard in levels for answer in heard])


def offered(port: int, rate: float, seconds: float, crowd: Crowd) -> list[Answered]:
    """Offer one rate to a server; everything that came back."""
    crowd.heard = []
    moments = arrivals(rate, seconds, crowd.rng)
    asyncio.run(OpenLoop(port).offer(moments.tolist(), crowd.next, crowd.hear))
    return crowd.heard


def ladder(offer: Callable[[float, float], Level], seconds: float) -> list[Level]:
    """Rates from the lowest to the first that is too much."""
    found: list[Level] = []
    rate = LOWEST
    while rate <= MOST:
        found.append(offer(rate, max(seconds, LEAST_REQUESTS / rate)))
        if found[-1].refused + found[-1].failed > BEHIND:
            break
        rate *= STEP
    return found


def knee(levels: Sequence[Level]) -> Level:
    """The highest rate that is served whole and about as fast as the lowest; the lowest if none is."""
    most_ms = KNEE_TIMES * levels[0].p99_ms
    held = [each for each in levels if each.is_whole and each.p99_ms <= most_ms]
    return held[-1] if held else levels[0]


@dataclass(frozen=True)
class Saturation:
    """The ladder, its knee, and the knee and twice the knee in turns."""

    levels: Sequence[Level]
    bend: Level
    at_knee: Level
    at_twice: Level

    def verdicts(self) -> list[Verdict]:
        twice = self.at_twice
        return [
            Verdict("p99 of admitted feeds at twice the knee, times that at the knee", self.times, TWICE_BAR),
            Verdict("share refused without Retry-After there", twice.untold, NONE),
            Verdict("share answered neither 200 nor 429 there", twice.failed, NONE),
        ]

    @property
    def times(self) -> float:
        return self.at_twice.p99_ms / self.at_knee.p99_ms

    def figures(self) -> dict[str, Any]:
        return {
            "knee_rule": f"highest rate with p99 <= {KNEE_TIMES:g}x the lowest's and <= {A_FEW:.1%} refused",
            "knee": self.bend.figures(),
            "at_the_knee": self.at_knee.figures(),
            "at_twice_the_knee": self.at_twice.figures(),
            "levels": [each.figures() for each in self.levels],
            "verdicts": [verdict.figures() for verdict in self.verdicts()],
            "load_average": os.getloadavg()[0],
        }


def saturated(port: int, crowd: Crowd, seconds: float) -> Saturation:
    """The whole measurement of one server."""
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task("offering", total=None)

        def offer(rate: float, for_s: float) -> Level:
            found = level(rate, for_s, offered(port, rate, for_s, crowd))
            bar.update(task, description=_line(found))
            return found

        levels = ladder(offer, seconds)
        bend = knee(levels)
        bar.update(task, description=f"the knee, {bend.offered:.0f}/s, and twice the knee")
        turns_s = max(2 * seconds, LEAST_REQUESTS / bend.offered)
        rates = (bend.offered, 2 * bend.offered)
        turns = [[offered(port, rate, turns_s, crowd) for rate in rates] for _ in range(TURNS)]
    at_knee, at_twice = (
        pooled(each, rate, turns_s) for each, rate in zip(zip(*turns, strict=True), rates, strict=True)
    )
    return Saturation(levels, bend, at_knee, at_twice)


def _line(each: Level) -> str:
    return f"{each.offered:.0f}/s: p99 {each.p99_ms:.0f} ms, {each.refused:.0%} refused"


def two_cores() -> tuple[set[int], set[int]]:
    """One for the server and one for us; the same if there is but one, none if cores cannot be chosen."""
    if not hasattr(os, "sched_getaffinity"):
        return set(), set()
    ours = sorted(os.sched_getaffinity(0))
    return {ours[0]}, {ours[-1]}


@contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """This thread, and what it starts meanwhile, on these cores only."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tell(found: Saturation) -> None:
    """One line per rate, the knee marked; then the two that are compared."""
    from rich.console import Console
    from rich.table import Table

    names = ("offered /s", "achieved /s", "p50 ms", "p99 ms", "429", "other errors", "requests", "")
    table = Table(*names)
    marked = [(each, "knee" if each is found.bend else "") for each in found.levels]
    for each, mark in [*marked, (found.at_knee, "the knee again"), (found.at_twice, "twice the knee")]:
        times = (f"{ms:.1f}" for ms in (each.p50_ms, each.p99_ms))
        shares = (f"{share:.1%}" for share in (each.refused, each.failed))
        table.add_row(
            f"{each.offered:.0f}", f"{each.achieved:.0f}", *times, *shares, f"{each.requests:,}", mark
        )
    Console().print(table)


def plotted(found: Saturation, path: Path) -> Path:
    """Latency and refusals over the offered rate."""
    levels = sorted([*found.levels, found.at_twice], key=lambda each: each.offered)
    rates = [each.offered for each in levels]
    curves = [
        Curve("p50 of admitted feeds, ms", rates, [each.p50_ms for each in levels]),
        Curve("p99 of admitted feeds, ms", rates, [each.p99_ms for each in levels]),
        Curve("refused with 429, %", rates, [100 * each.refused for each in levels], panel=1),
        Curve("answered with 200, per second", rates, [each.achieved for each in levels], panel=2),
    ]
    marks = {"knee": found.bend.offered, "twice the knee": 2 * found.bend.offered}
    return draw(path, curves, "requests offered per second", marks)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m labs bench-saturation", description=__doc__)
    made.add_argument("--seconds", type=float, default=8.0, help="per rate, at least (default %(default)s)")
    return made


def measured(run: Run, seconds: float) -> Saturation:
    """A server of this run's copy on one core, and us on another."""
    people = people_of(run, PEOPLE + WARM_UP)
    crowd = Crowd(people[WARM_UP:], np.random.default_rng([run.seed, 61]))
    its_cores, our_cores = two_cores()
    with (
        scratch(run) as var,
        on_cores(its_cores),
        running("ours", ["-m", "serving"], settings_of(run, var), var / "ours.txt") as server,
        on_cores(our_cores),
    ):
        warm_up(server.port, people[:WARM_UP])
        return saturated(server.port, crowd, seconds)


def main(argv: Sequence[str]) -> int:
    asked = parser().parse_args(argv)
    run = run_from_environment()
    end_servers_with_us()
    try:
        found = measured(run, asked.seconds)
    except (LookupError, NeverReady, Refused) as problem:
        print(
            "\n".join([f"bench-saturation: {problem}", *getattr(problem, "__notes__", [])]), file=sys.stderr
        )
        return 1
    tell(found)
    show(f"twice the knee of {found.bend.offered:.0f} requests per second", found.verdicts())
    report = write_report(run, "bench-saturation", found.figures())
    print(f"report: {report}\nplot: {plotted(found, report.with_suffix('.png'))}\nnext: make soak")
    return exit_status(found.verdicts())
