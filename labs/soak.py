"""Does the server stay as it was? Half an hour of mixed traffic at a moderate pace, and what it does to it.

A real server on a scratch copy of the run, on loopback; clients wait for each answer. Memory is what the
process holds in RAM (RSS), read every second; growth is from right after the warm-up, the first fifth of the
time, to the end. The tail is the p99 of feeds in the last third after the warm-up, beside that in the first.
An answer other than the right one is an error, and so is none; being turned away for a moment (429) is
counted by itself, and so few clients must hardly ever be. Every core is kept awake, so that both thirds are
measured on a machine that is as idle.
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feature_repo.places import Places, Run, run_from_environment
from feature_repo.reports import write_report
from labs.bench.bench_serving import people_of, scratch
from labs.bench.clients import Refused
from labs.bench.feature_bars import Bar
from labs.bench.latencies import Latency, latency
from labs.bench.mixes import Sent, Talk
from labs.bench.plots import Curve, draw
from labs.bench.servers import NeverReady, end_servers_with_us, running, settings_of
from labs.bench.verdicts import Verdict, exit_status, show
from labs.bench.wakefulness import awake

MINUTES, RATE, TALKERS, PEOPLE = 30.0, 25.0, 4, 2_000
WARM_UP = 0.2
"""Share of the time after which memory is held to what it was."""
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
class Soak:
    """Everything that was sent and weighed in so many seconds."""

    seconds: float
    sent: Sequence[Sent]
    samples: Sequence[Sample]

    @property
    def errors(self) -> int:
        return sum(not each.is_right and each.status != TURNED_AWAY for each in self.sent)

    @property
    def turned_away(self) -> float:
        """As a share of everything sent."""
        return sum(each.status == TURNED_AWAY for each in self.sent) / max(1, len(self.sent))

    def feeds(self, from_s: float, to_s: float) -> Latency:
        """Of the feeds that were answered in this part of the time."""
        return latency([each.ms for each in self.sent if each.kind == "feed" and from_s <= each.at_s < to_s])

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

    @property
    def drift(self) -> float:
        """Of the p99 of feeds, from the first third after the warm-up to the last, as a share of it."""
        begin_s = WARM_UP * self.seconds
        third_s = (self.seconds - begin_s) / 3
        first = self.feeds(begin_s, begin_s + third_s)
        return self.feeds(self.seconds - third_s, math.inf).p99_ms / first.p99_ms - 1

    def verdicts(self) -> list[Verdict]:
        return [
            Verdict("answers that were not the right ones", self.errors, NO_ERROR),
            Verdict("turned away with 429, as a share", self.turned_away, HARDLY),
            Verdict("growth of memory after the warm-up, as a share", self.growth, GROWTH),
            Verdict("drift of p99 after the warm-up, as a share", self.drift, DRIFT),
        ]

    def minutes(self) -> list[tuple[float, Latency, float]]:
        """(minute, feeds in it, megabytes in it), in order."""
        starts = np.arange(0.0, self.seconds, 60.0)
        return [(s / 60, self.feeds(s, s + 60), self.rss_mb(s, s + 60)) for s in starts]

    def figures(self) -> dict[str, Any]:
        whole = self.feeds(0.0, math.inf)
        return {
            "seconds": self.seconds,
            "requests": dict(Counter(each.kind for each in self.sent)),
            "wrong_answers": _wrong(self.sent),
            "feeds": whole.figures(),
            "rss_mb": {"first": self.samples[0].rss_mb, "last": self.samples[-1].rss_mb},
            "journal_mb": self.samples[-1].journal_mb,
            "growth": self.growth,
            "drift": self.drift,
            "by_minute": [
                {"minute": minute, "p50_ms": feeds.p50_ms, "p99_ms": feeds.p99_ms, "rss_mb": rss}
                for minute, feeds, rss in self.minutes()
            ],
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
    """Everything, on a server of this run's copy."""
    people, samples = people_of(run, PEOPLE), list[Sample]()
    with (
        scratch(run) as var,
        awake(),
        running("ours", ["-m", "serving"], settings_of(run, var), var / "ours.txt") as server,
    ):
        journal, began_s = Places(var / run.places.root.name).journal, time.monotonic()
        chances = np.random.default_rng([run.seed, 67]).spawn(TALKERS)
        talks = [
            Talk(server.port, people[place::TALKERS], chance, TALKERS / rate)
            for place, chance in enumerate(chances)
        ]
        with _talking(talks, began_s), _progress(seconds) as tell:
            while (passed_s := time.monotonic() - began_s) < seconds:
                samples.append(weighed(server.pid, journal, passed_s))
                tell(samples[-1], sum(len(talk.sent) for talk in talks))
                time.sleep(min(SAMPLE_S, seconds - passed_s))
    return Soak(seconds, [each for talk in talks for each in talk.sent], samples)


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

    table = Table("minute", "feeds", "p50 ms", "p99 ms", "RSS MB")
    minutes = found.minutes()
    for minute, feeds, rss_mb in minutes[:: math.ceil(len(minutes) / MOST_LINES)]:
        times = (f"{ms:.1f}" for ms in (feeds.p50_ms, feeds.p99_ms))
        table.add_row(f"{minute:.0f}", f"{feeds.requests:,}", *times, f"{rss_mb:,.0f}")
    Console().print(table)


def plotted(found: Soak, path: Path) -> Path:
    """Latency by minute, and memory and journal by second."""
    minutes = found.minutes()
    starts = [minute for minute, _, _ in minutes]
    moments = [each.at_s / 60 for each in found.samples]
    curves = [
        Curve("p50 of feeds, ms", starts, [feeds.p50_ms for _, feeds, _ in minutes]),
        Curve("p99 of feeds, ms", starts, [feeds.p99_ms for _, feeds, _ in minutes]),
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
    wrong = "".join(f", {n:,} x {what}" for what, n in _wrong(found.sent).items())
    show(f"{asked.minutes:g} minutes, {len(found.sent):,} requests{wrong}", found.verdicts())
    report = write_report(run, "soak", found.figures())
    print(
        f"report: {report}\nplot: {plotted(found, report.with_suffix('.png'))}\nnext: make bench-saturation"
    )
    return exit_status(found.verdicts())
