"""Does the server stay as it was? Half an hour of mixed traffic at a moderate pace, and what it does to it.

A real server on a scratch copy of the run, on loopback; clients wait for each answer. Memory is what the
process holds in RAM (RSS), read every second; growth is from right after the warm-up, the first fifth of the
time, to the end. An answer other than the right one is an error, and so is none; being turned away for a
moment (429) is counted by itself, and so few clients must hardly ever be. What the time does to the p99 of
feeds is told by newcomers (`bench/ageing.py`): in the first and the last third after the warm-up a server
that was just started is asked as well. Every core is kept awake, so that the machine is as idle in both.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from feature_repo.places import Places, Run, run_from_environment
from feature_repo.reports import write_report
from labs.bench.ageing import WARM_UP, Ageing, Span, ageing, early_and_late
from labs.bench.bench_serving import people_of, scratch
from labs.bench.clients import Refused
from labs.bench.feature_bars import Bar
from labs.bench.latencies import Latency
from labs.bench.mixes import Sent, Talk
from labs.bench.plots import Curve, draw
from labs.bench.servers import NeverReady, Server, end_servers_with_us, running, settings_of
from labs.bench.verdicts import Verdict, exit_status, show
from labs.bench.wakefulness import awake

MINUTES, RATE, TALKERS, PEOPLE = 30.0, 25.0, 4, 2_000
TALKS, AGE = 67, 68
"""Keys of the streams of chance."""
SAMPLE_S = 1.0
MOST_LINES = 30
MOMENT = 0.1
"""Share of the time after the warm-up that a reading of memory is the median of, at both ends."""
TURNED_AWAY = 429
NO_ERROR, HARDLY = Bar(0.0, at_most=True), Bar(0.005, at_most=True)
GROWTH, DRIFT = Bar(0.05, at_most=True), Bar(0.2, at_most=True)


@dataclass(frozen=True)
class Sample:
    """What the process and its journal weigh at one moment, in seconds since the start and megabytes."""

    at_s: float
    rss_mb: float
    journal_mb: float


@dataclass(frozen=True)
class Minute:
    """What one minute took, and what the process weighed in it."""

    minute: float
    feeds: Latency
    newcomers: Latency
    """NaN where there was none."""
    rss_mb: float


@dataclass(frozen=True)
class Soak:
    """Everything that was sent and weighed in so many seconds."""

    seconds: float
    sent: Sequence[Sent]
    samples: Sequence[Sample]
    newcomers: Sequence[Sent] = ()
    """What those answered that were just started, early and late."""
    awake: int = 0
    """How many cores were kept so."""

    @property
    def everything(self) -> list[Sent]:
        return [*self.sent, *self.newcomers]

    @property
    def errors(self) -> int:
        return sum(not each.is_right and each.status != TURNED_AWAY for each in self.everything)

    @property
    def turned_away(self) -> float:
        """As a share of everything sent."""
        return sum(each.status == TURNED_AWAY for each in self.everything) / max(1, len(self.everything))

    def rss_mb(self, from_s: float, to_s: float) -> float:
        """The median of the readings in this part of the time; NaN without one."""
        found = [each.rss_mb for each in self.samples if from_s <= each.at_s < to_s]
        return float(np.median(found)) if found else math.nan

    @property
    def growth(self) -> float:
        """Of memory, from right after the warm-up to the end, as a share of the first."""
        begin_s, moment_s = WARM_UP * self.seconds, MOMENT * (1 - WARM_UP) * self.seconds
        first = self.rss_mb(begin_s, begin_s + moment_s)
        return self.rss_mb(self.seconds - moment_s, math.inf) / first - 1

    @cached_property
    def ageing(self) -> Ageing:
        """What the time did to the p99 of feeds."""
        return ageing(self.sent, self.newcomers, self.seconds, np.random.default_rng(AGE))

    def verdicts(self) -> list[Verdict]:
        return [
            Verdict("answers that were not the right ones", self.errors, NO_ERROR),
            Verdict("turned away with 429, as a share", self.turned_away, HARDLY),
            Verdict("growth of memory after the warm-up, as a share", self.growth, GROWTH),
            Verdict("p99 beyond that of a server just started, as a share", self.ageing.drift, DRIFT),
        ]

    def minutes(self) -> list[Minute]:
        """All of them, in order."""
        spans = [Span(from_s, from_s + 60) for from_s in np.arange(0.0, self.seconds, 60.0)]
        return [
            Minute(
                minute=span.from_s / 60,
                feeds=span.latency(self.sent),
                newcomers=span.latency(self.newcomers),
                rss_mb=self.rss_mb(span.from_s, span.to_s),
            )
            for span in spans
        ]

    def figures(self) -> dict[str, Any]:
        whole = Span(0.0, math.inf).latency(self.sent)
        return {
            "seconds": self.seconds,
            "requests": dict(Counter(each.kind for each in self.sent)),
            "wrong_answers": _wrong(self.everything),
            "feeds": whole.figures(),
            "rss_mb": {"first": self.samples[0].rss_mb, "last": self.samples[-1].rss_mb},
            "journal_mb": self.samples[-1].journal_mb,
            "growth": self.growth,
            "ageing": self.ageing.figures(),
            "newcomers": dict(Counter(each.kind for each in self.newcomers)),
            "awake": self.awake,
            "by_minute": [asdict(minute) for minute in self.minutes()],
            "verdicts": [verdict.figures() for verdict in self.verdicts()],
            "load_average": os.getloadavg()[0],
        }


def _wrong(sent: Sequence[Sent]) -> dict[str, int]:
    """Errors by request and status."""
    return dict(Counter(f"{each.kind} {each.status}" for each in sent if not each.is_right))


def weighed(pid: int, journal: Path, at_s: float) -> Sample:
    """The process now; its journal with what SQLite has not yet folded into it."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    parts = (journal, journal.with_name(f"{journal.name}-wal"))
    size = sum(part.stat().st_size for part in parts if part.exists())
    return Sample(at_s, pages * os.sysconf("SC_PAGE_SIZE") / 1e6, size / 1e6)


def soaked(run: Run, seconds: float, rate: float) -> Soak:
    """Everything, on a server of this run's copy, and on the newcomers beside it."""
    people, samples = people_of(run, PEOPLE), list[Sample]()
    with awake() as cores, _served(run) as (server, journal):
        traffic, began_s = Traffic(run, people, rate), time.monotonic()
        talks = traffic.talks(server.port, 0)
        with (
            _talking(talks, began_s),
            _newcomers(traffic, early_and_late(seconds), began_s) as newcomers,
            _progress(seconds) as tell,
        ):
            while (passed_s := time.monotonic() - began_s) < seconds:
                samples.append(weighed(server.pid, journal, passed_s))
                tell(samples[-1], sum(len(talk.sent) for talk in talks))
                time.sleep(min(SAMPLE_S, seconds - passed_s))
        young = [each for asked in newcomers for each in asked.result()]
    return Soak(seconds, _sent(talks), samples, young, cores)


@dataclass(frozen=True)
class Traffic:
    """Who asks for what, and how often: the same for every server."""

    run: Run
    people: Sequence[int]
    rate: float
    """Requests per second, at most."""

    def talks(self, port: int, which: int) -> list[Talk]:
        """The clients of one of the servers."""
        chances = np.random.default_rng([self.run.seed, TALKS, which]).spawn(TALKERS)
        return [
            Talk(port, self.people[place::TALKERS], chance, TALKERS / self.rate)
            for place, chance in enumerate(chances)
        ]


@contextmanager
def _served(run: Run) -> Iterator[tuple[Server, Path]]:
    """A server that has just started on a copy of this run, and its journal."""
    with scratch(run) as var:
        settings, journal = settings_of(run, var), Places(var / run.places.root.name).journal
        with running("ours", ["-m", "serving"], settings, var / "ours.txt") as server:
            yield server, journal


@contextmanager
def _talking(talks: Sequence[Talk], began_s: float) -> Iterator[None]:
    """Every client at work until the block is left."""
    over = threading.Event()
    with ThreadPoolExecutor(len(talks)) as pool:
        working = [pool.submit(talk.until, over, began_s) for talk in talks]
        try:
            yield
        finally:
            over.set()
        for each in working:
            each.result()


def _sent(talks: Sequence[Talk]) -> list[Sent]:
    return [each for talk in talks for each in talk.sent]


@contextmanager
def _newcomers(
    traffic: Traffic, spans: Sequence[Span], began_s: float
) -> Iterator[Sequence[Future[list[Sent]]]]:
    """A server for each of these parts of the time, and what it answered; they end early with the block."""
    over = threading.Event()
    with ThreadPoolExecutor(len(spans)) as pool:
        try:
            yield [
                pool.submit(newcomer, traffic, which, span, began_s, over)
                for which, span in enumerate(spans, start=1)
            ]
        except BaseException:
            over.set()
            raise


def newcomer(traffic: Traffic, which: int, span: Span, began_s: float, over: threading.Event) -> list[Sent]:
    """Started when this part of the time begins, and asked until it ends."""

    def is_over(at_s: float) -> bool:
        return over.wait(max(0.0, began_s + at_s - time.monotonic()))

    if is_over(span.from_s):
        return []
    with _served(traffic.run) as (server, _):
        talks = traffic.talks(server.port, which)
        with _talking(talks, began_s):
            is_over(span.to_s)
    return _sent(talks)


@contextmanager
def _progress(seconds: float) -> Iterator[Callable[[Sample, int], None]]:
    """A line that says how far it is, what was sent and what the process weighs."""
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task("soaking", total=seconds)

        def tell(sample: Sample, sent: int) -> None:
            said = f"soaking: {sent:,} requests, {sample.rss_mb:,.0f} MB"
            bar.update(task, completed=sample.at_s, description=said)

        yield tell


def tell(found: Soak) -> None:
    """A line per minute, at most 30 of them."""
    from rich.console import Console
    from rich.table import Table

    table = Table("minute", "feeds", "p50 ms", "p99 ms", "newcomer's p50", "p99", "RSS MB")
    minutes = found.minutes()
    for each in minutes[:: math.ceil(len(minutes) / MOST_LINES)]:
        arms = (each.feeds, each.newcomers)
        times = ("" if math.isnan(ms) else f"{ms:.1f}" for arm in arms for ms in (arm.p50_ms, arm.p99_ms))
        table.add_row(f"{each.minute:.0f}", f"{each.feeds.requests:,}", *times, f"{each.rss_mb:,.0f}")
    Console().print(table)
    age = found.ageing
    print(
        f"p99, old beside newcomer: early {age.early}, late {age.late}\n"
        f"p99 from early to late: {age.with_the_machine:+.1%},"
        f" of servers equally young {age.of_the_machine:+.1%}"
    )


def plotted(found: Soak, path: Path) -> Path:
    """Latency by minute, and memory and journal by second."""
    minutes = found.minutes()
    beside = [each for each in minutes if each.newcomers.requests]
    starts = [each.minute for each in minutes]
    moments = [each.at_s / 60 for each in found.samples]
    curves = [
        Curve("p50 of feeds, ms", starts, [each.feeds.p50_ms for each in minutes]),
        Curve("p99 of feeds, ms", starts, [each.feeds.p99_ms for each in minutes]),
        Curve(
            "p99 of a server just started, ms",
            [each.minute for each in beside],
            [each.newcomers.p99_ms for each in beside],
        ),
        Curve("RSS, MB", moments, [each.rss_mb for each in found.samples], panel=1, dots=False),
        Curve("journal, MB", moments, [each.journal_mb for each in found.samples], panel=2, dots=False),
    ]
    return draw(path, curves, "minutes", {"end of the warm-up": WARM_UP * found.seconds / 60})


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m labs soak", description=__doc__)
    made.add_argument("--minutes", type=float, default=MINUTES, help="how long (default %(default)s)")
    made.add_argument(
        "--rate", type=float, default=RATE, help="requests per second at most (default %(default)s)"
    )
    return made


def main(argv: Sequence[str]) -> int:
    asked = parser().parse_args(argv)
    if asked.minutes <= 0 or asked.rate <= 0:
        parser().error("--minutes and --rate must be above 0")
    run = run_from_environment()
    end_servers_with_us()
    try:
        found = soaked(run, asked.minutes * 60, asked.rate)
    except (LookupError, NeverReady, Refused) as problem:
        print("\n".join([f"soak: {problem}", *getattr(problem, "__notes__", [])]), file=sys.stderr)
        return 1
    tell(found)
    wrong = "".join(f", {n:,} x {what}" for what, n in _wrong(found.everything).items())
    show(f"{asked.minutes:g} minutes, {len(found.everything):,} requests{wrong}", found.verdicts())
    report = write_report(run, "soak", found.figures())
    print(
        f"report: {report}\nplot: {plotted(found, report.with_suffix('.png'))}\nnext: make bench-saturation"
    )
    return exit_status(found.verdicts())
