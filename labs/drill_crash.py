"""Does anything acknowledged get lost when the server is killed? Asked by killing it, many times, under load.

A real server on a scratch copy of the run, on loopback; clients ask for feeds and tell events, and keep a
ledger of what was acknowledged. At random moments, start-up included, comes `kill -9`; the server is started
again on the same folder, and clients send again what nobody answered. In the end the ledger is held against
the journal. A kill ends a process and not a machine: what the disk does with a power cut is not asked here.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feature_repo.places import Places, Run, run_from_environment
from feature_repo.reports import write_report
from labs.bench.bench_serving import people_of, scratch
from labs.bench.clients import Client, Refused
from labs.bench.feature_bars import Bar
from labs.bench.ledgers import Books, Ledger, books
from labs.bench.servers import (
    NeverReady,
    cpu_seconds,
    end_of,
    end_servers_with_us,
    free_port,
    is_ready,
    settings_of,
    started,
)
from labs.bench.talkers import shown, talk
from labs.bench.verdicts import Verdict, exit_status, show

TALKERS = 4
PEOPLE = 400
STARTING_UP = 0.2
"""Share of the kills that fall into a start, before anybody knows whether the server is ready."""
LATEST_START_S = 6.0
LONGEST_LIFE_S = 2.0
"""After the server is ready."""
POLL_S = 0.05
WITHIN_S = 90.0
CHECKED = 6
"""People who are asked after every start whether something they watched returns; in the end all are."""
MOST_LIMIT = 50
FEED_BAR, READY_BAR = Bar(5.0, at_most=True), Bar(12.0, at_most=True)
NONE = Bar(0.0, at_most=True)


@dataclass(frozen=True)
class Life:
    """Seconds from the start of a server to its first feed and to ready; NaN if it was killed before."""

    first_feed_s: float
    ready_s: float
    cpu_s: float = math.nan
    """What the server computed until its first feed: on a busy machine the same as on a quiet one."""


@dataclass(frozen=True)
class Begun:
    """A server process, and the monotonic moment it was started."""

    process: subprocess.Popen[bytes]
    port: int
    at_s: float
    printed: Path

    def seconds_to(self, question: Callable[[int], bool]) -> float:
        """From the start until the answer is yes; NaN if it was killed first."""
        while not question(self.port):
            if self.process.poll() == -signal.SIGKILL:
                return math.nan
            if self.process.poll() is not None or time.monotonic() > self.at_s + WITHIN_S:
                raise NeverReady(f"no answer within {WITHIN_S:.0f} s. It printed:\n{end_of(self.printed)}")
            time.sleep(POLL_S)
        return time.monotonic() - self.at_s


@dataclass(frozen=True)
class Drill:
    """A copy of a run that a server is started on again and again, and the people who use it."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    people: Sequence[int]
    ledger: Ledger

    def life(self, rng: np.random.Generator, last: bool = False) -> Life:
        """One server from its start to `kill -9` at a moment of `rng`'s; the last one is let live."""
        port, printed = free_port(), self.folder / "printed.txt"
        with started(self.arguments, self.environment, printed, port) as process:
            begun = Begun(process, port, time.monotonic(), printed)
            in_start = not last and rng.random() < STARTING_UP
            with _killed(process, rng.uniform(0, LATEST_START_S)) if in_start else nullcontext():
                first_feed_s = begun.seconds_to(self._is_fed)
                cpu_s = math.nan if math.isnan(first_feed_s) else cpu_seconds(process.pid)
                self._ask_about(port, self.ledger.people()[-CHECKED:])
                with self._talking(port, rng):
                    ready_s = begun.seconds_to(is_ready)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(rng.uniform(0, LONGEST_LIFE_S))
                    if not last:
                        process.kill()
            if last:
                self._ask_about(port, self.ledger.people())
        return Life(first_feed_s, ready_s, cpu_s)

    def _is_fed(self, port: int) -> bool:
        with suppress(OSError), Client(port, WITHIN_S) as client:
            return shown(client, int(self.people[0]), self.ledger, MOST_LIMIT) is not None
        return False

    def _ask_about(self, port: int, people: Sequence[int]) -> None:
        """Long slates for these people: the ledger notices what returns."""
        with suppress(OSError), Client(port) as client:
            for person in people:
                shown(client, person, self.ledger, MOST_LIMIT)

    @contextmanager
    def _talking(self, port: int, rng: np.random.Generator) -> Iterator[None]:
        """Clients at work until the block is left; an answer that has no place in the ledger is raised."""
        over = threading.Event()
        with ThreadPoolExecutor(TALKERS) as pool:
            parts = [self.people[place::TALKERS] for place in range(TALKERS)]
            talks = [
                pool.submit(talk, port, people, self.ledger, chance, over)
                for people, chance in zip(parts, rng.spawn(TALKERS), strict=True)
            ]
            try:
                yield
            finally:
                over.set()
            for each in talks:
                each.result()


@contextmanager
def _killed(process: subprocess.Popen[bytes], after_s: float) -> Iterator[None]:
    killer = threading.Timer(after_s, process.kill)
    killer.start()
    try:
        yield
    finally:
        killer.cancel()


def lives(drill: Drill, kills: int, rng: np.random.Generator) -> list[Life]:
    """So many that are killed, and the one after them, in which everything has to be there."""
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task("living and dying", total=kills + 1)
        lived = []
        for each in range(kills + 1):
            lived.append(drill.life(rng, last=each == kills))
            bar.advance(task)
    return lived


def verdicts(found: Books, lived: Sequence[Life]) -> list[Verdict]:
    """What must hold of the books and of the slowest start."""
    slowest = [np.nanmax([getattr(life, name) for life in lived]) for name in ("first_feed_s", "ready_s")]
    return [
        Verdict("acknowledged events lost", found.lost, NONE),
        Verdict("events stored twice", found.doubled, NONE),
        Verdict("batches stored in part", found.torn, NONE),
        Verdict("batches never acknowledged, retries included", found.unanswered, NONE),
        Verdict("watched videos that came back", found.returned, NONE),
        Verdict("slowest first feed, s after the start", slowest[0], FEED_BAR),
        Verdict("slowest /readyz, s after the start", slowest[1], READY_BAR),
    ]


def figures(found: Books, lived: Sequence[Life], ledger: Ledger) -> dict[str, Any]:
    judged = verdicts(found, lived)
    return {
        "kills": len(lived) - 1,
        "books": asdict(found),
        "feeds": ledger.feeds,
        "degraded_feeds": ledger.degraded,
        "first_feed_s": _spread([life.first_feed_s for life in lived]),
        "ready_s": _spread([life.ready_s for life in lived]),
        "cpu_to_first_feed_s": _spread([life.cpu_s for life in lived]),
        "verdicts": [verdict.figures() for verdict in judged],
        "load_average": os.getloadavg()[0],
    }


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    reached = [each for each in seconds if not math.isnan(each)] or [math.nan]
    return {"median": float(np.median(reached)), "slowest": max(reached), "n": len(reached)}


def drilled(run: Run, kills: int, people: int) -> tuple[Books, list[Life], Ledger]:
    """The drill on a scratch copy of this run; the same seed kills at the same moments."""
    with scratch(run) as var:
        places = Places(var / run.places.root.name)
        arguments, environment = ["-m", "serving"], settings_of(run, var)
        drill = Drill(arguments, environment, var, people_of(run, people), Ledger())
        lived = lives(drill, kills, np.random.default_rng([run.seed, 53]))
        return books(drill.ledger, places.journal, var / "drained"), lived, drill.ledger


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m labs drill-crash", description=__doc__)
    made.add_argument("--kills", type=int, default=50, help="how often it is killed (default %(default)s)")
    made.add_argument("--people", type=int, default=PEOPLE, help="who uses it (default %(default)s)")
    return made


def main(argv: Sequence[str]) -> int:
    asked = parser().parse_args(argv)
    if asked.kills < 1 or asked.people < TALKERS:
        parser().error(f"a drill needs --kills of 1 or more and --people of {TALKERS} or more")
    run = run_from_environment()
    end_servers_with_us()
    try:
        found, lived, ledger = drilled(run, asked.kills, asked.people)
    except (LookupError, NeverReady, Refused) as problem:
        print("\n".join([f"drill-crash: {problem}", *getattr(problem, "__notes__", [])]), file=sys.stderr)
        return 1
    judged = verdicts(found, lived)
    title = f"{asked.kills} kills: {found.acknowledged:,} events acknowledged, {ledger.feeds:,} feeds"
    show(f"{title} ({ledger.degraded:,} of them degraded), {found.journaled:,} events in the journal", judged)
    usual = [float(np.nanmedian([getattr(life, of) for life in lived])) for of in ("first_feed_s", "cpu_s")]
    print(f"first feed: {usual[0]:.1f} s after the start (median), {usual[1]:.1f} s of them computing")
    report = write_report(run, "drill-crash", figures(found, lived, ledger))
    print(f"report: {report}\nnext: make soak")
    return exit_status(judged)
