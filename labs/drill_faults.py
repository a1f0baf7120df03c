"""Does the feed survive its bad days? Each dependency is taken from a running server, and given back.

A real server on a scratch copy of the run, people asking and telling all the while. It holds if no feed was
answered 5xx, if every slate that lost something said so, if events were stored or refused as documented, and
if slates were whole again afterwards without a restart.
"""

from __future__ import annotations

import argparse
import math
import resource
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from feature_repo.places import Places, Run, run_from_environment
from feature_repo.reports import write_report
from labs import faulty_server
from labs.bench.clients import Answered, Client
from labs.bench.drives import watched
from labs.bench.feature_bars import Bar
from labs.bench.verdicts import Verdict
from labs.bench.verdicts import show as show_verdicts

CLIENTS = 2
SETTLE_S = 2.0
"""From planting a fault to counting: caches, breakers and mirrors are given this long to notice."""
RECOVERED_WITHIN_S = 10.0
SAID_AT_LEAST = 0.95
"""Share of slates that must say what they lost; the rest may be a breaker's trial that succeeded."""
STORED, REFUSED = frozenset({200}), frozenset({503, 507})
FULL_BYTES = 4_096
"""The largest file a server may write while its disk is full."""


@dataclass(frozen=True)
class Server:
    """The server under the drill, and where its faults are planted."""

    port: int
    pid: int
    places: Places
    faults: Path


@dataclass(frozen=True)
class Fault:
    """One dependency taken away: how, what slates must then say, how events may be answered."""

    name: str
    plant: Callable[[Server], AbstractContextManager[None]]
    says: str = ""
    """The beginning of what `degraded` must name; empty: the slate loses nothing."""
    events: frozenset[int] = STORED


@dataclass
class Seen:
    """What clients saw: statuses, what slates said, and milliseconds."""

    feeds: Counter[int] = field(default_factory=Counter)
    events: Counter[int] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    ms: list[float] = field(default_factory=list)

    def share_that_said(self, what: str) -> float:
        """Share of slates that named the most frequent thing beginning so."""
        counts = [n for said, n in self.said.items() if said.startswith(what)]
        return max(counts, default=0) / max(1, self.feeds[200])


@dataclass(frozen=True)
class Outcome:
    """One fault, lived through."""

    fault: Fault
    seen: Seen
    recovered_s: float | None
    """From the end of the fault to the first whole slate and stored event; None: never."""

    @property
    def wrong(self) -> list[str]:
        """What did not hold, in words."""
        failures = sum(n for status, n in self.seen.feeds.items() if status >= 500)
        told, fault = sorted(self.seen.events), self.fault
        checks = {
            f"{failures} feeds were answered 5xx": failures > 0,
            "nobody was served": self.seen.feeds[200] == 0,
            f"slates did not say {fault.says!r}": bool(fault.says)
            and self.seen.share_that_said(fault.says) < SAID_AT_LEAST,
            f"slates said {sorted(self.seen.said)}": not fault.says and bool(self.seen.said),
            f"events were answered {told}": not set(told) <= fault.events,
            "it did not recover": self.recovered_s is None,
        }
        return [said for said, broken in checks.items() if broken]

    def figures(self) -> dict[str, Any]:
        spent = sorted(self.seen.ms)
        return {
            "feeds": {str(status): n for status, n in self.seen.feeds.items()},
            "events": {str(status): n for status, n in self.seen.events.items()},
            "said": dict(self.seen.said),
            "p50_ms": spent[len(spent) // 2] if spent else None,
            "p99_ms": spent[len(spent) * 99 // 100] if spent else None,
            "recovered_s": self.recovered_s,
            "wrong": self.wrong,
        }


def verdicts(outcomes: Sequence[Outcome]) -> list[Verdict]:
    """What was found over all faults, beside what must hold."""
    failures = sum(n for each in outcomes for status, n in each.seen.feeds.items() if status >= 500)
    said = [each.seen.share_that_said(each.fault.says) for each in outcomes if each.fault.says]
    whole_s = [math.nan if each.recovered_s is None else each.recovered_s for each in outcomes]
    return [
        Verdict("feeds answered 5xx", failures, Bar(0.0, at_most=True)),
        Verdict("least share of slates that said what they lost", min(said, default=1.0), Bar(SAID_AT_LEAST)),
        Verdict(
            "slowest to be whole again, s", float(np.max(whole_s)), Bar(RECOVERED_WITHIN_S, at_most=True)
        ),
    ]


@contextmanager
def planted(server: Server, name: str) -> Iterator[None]:
    """A fault of the faulty server, while the block lasts."""
    path = server.faults / name
    path.touch()
    try:
        yield
    finally:
        path.unlink()


@contextmanager
def registry_gone(server: Server) -> Iterator[None]:
    away = server.places.registry.with_name("registry-away")
    server.places.registry.rename(away)
    try:
        yield
    finally:
        away.rename(server.places.registry)


@contextmanager
def disk_full(server: Server) -> Iterator[None]:
    """No file of the server may grow: the system refuses what a full disk would."""
    before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (FULL_BYTES, before[1]))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)


def _planted(name: str) -> Callable[[Server], AbstractContextManager[None]]:
    return lambda server: planted(server, name)


FAULTS = (
    Fault("online store gone", _planted(faulty_server.STORE_GONE), "reader:online_features"),
    Fault("online store slow", _planted(faulty_server.STORE_SLOW), "reader:online_features"),
    Fault("index missing", _planted(faulty_server.INDEX_MISSING), "source:"),
    Fault("a head broken", _planted(faulty_server.HEAD_BROKEN), "hydrator:predictions.like"),
    Fault("disk full", disk_full, "journal:served", REFUSED),
    Fault("registry gone", registry_gone),
)


class Person:
    """Somebody who asks for feeds and tells what they watched, over one connection."""

    def __init__(self, port: int, seen: Seen) -> None:
        self._client, self._seen = Client(port), seen

    def live(self, user_id: int) -> None:
        """One feed, and one event of it."""
        told = self._post("/v1/feed", {"user_id": user_id, "limit": 10})
        slate = orjson.loads(told.body)
        self._seen.ms.append(told.ms)
        self._seen.feeds[told.status] += 1
        self._seen.said.update(slate.get("degraded", ()))
        if slate.get("items"):
            events = watched(slate, user_id)[:1]
            self._seen.events[self._post("/v1/events", {"events": events}).status] += 1

    def _post(self, path: str, body: Mapping[str, Any]) -> Answered:
        return self._client.answer("POST", path, orjson.dumps(body))


def driven(port: int, people: Sequence[int], seconds: float) -> Seen:
    """What people saw who asked for this long, a few at once."""
    seen, until = Seen(), time.monotonic() + seconds

    def ask(share: Sequence[int]) -> None:
        person, place = Person(port, seen), 0
        while time.monotonic() < until:
            person.live(share[place % len(share)])
            place += 1

    threads = [threading.Thread(target=ask, args=(people[n::CLIENTS],)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def recovery_s(port: int, people: Sequence[int], within_s: float = RECOVERED_WITHIN_S) -> float | None:
    """Seconds until a slate is whole and its event stored; None if that takes too long."""
    started = time.monotonic()
    while time.monotonic() - started < within_s:
        seen = driven(port, people, 0.05)
        if set(seen.feeds) == set(seen.events) == {200} and not seen.said:
            return time.monotonic() - started
    return None


def lived_through(server: Server, fault: Fault, people: Sequence[int], seconds: float) -> Outcome:
    """The fault planted, lived with, taken away."""
    with fault.plant(server):
        driven(server.port, people, min(SETTLE_S, seconds))
        seen = driven(server.port, people, seconds)
    return Outcome(fault, seen, recovery_s(server.port, people))


@contextmanager
def serving(run: Run) -> Iterator[Server]:
    """The faulty server on a scratch copy of the run."""
    from labs.bench.bench_serving import scratch
    from labs.bench.servers import running, settings_of

    with scratch(run) as var:
        places, faults = Places(var / run.places.root.name), var / "faults"
        faults.mkdir()
        settings = settings_of(run, var) | {faulty_server.FOLDER: str(faults), "ONLINE_STORE": ""}
        with running("ours", ["-m", "labs.faulty_server"], settings, var / "printed.txt") as server:
            yield Server(server.port, server.pid, places, faults)


def show(outcomes: Sequence[Outcome]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("fault", "slates", "5xx", "said so", "events", "p99 ms", "whole again s", "holds")
    for each in outcomes:
        seen, figures = each.seen, each.figures()
        failures = sum(n for status, n in seen.feeds.items() if status >= 500)
        said = (
            f"{each.fault.says} {seen.share_that_said(each.fault.says):.1%}" if each.fault.says else "whole"
        )
        events = ", ".join(f"{status}: {n}" for status, n in sorted(seen.events.items()))
        recovered = "never" if each.recovered_s is None else f"{each.recovered_s:.1f}"
        holds = "; ".join(each.wrong) or "yes"
        p99 = f"{figures['p99_ms']:.1f}"
        table.add_row(
            each.fault.name, str(seen.feeds[200]), str(failures), said, events, p99, recovered, holds
        )
    Console().print(table)


def main(argv: Sequence[str]) -> int:
    asked, run = parser().parse_args(argv), run_from_environment()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends with us
    from labs.bench.bench_serving import people_of
    from labs.bench.servers import NeverReady

    outcomes = []
    try:
        people = people_of(run, 500)
        with serving(run) as server:
            driven(server.port, people, min(SETTLE_S, asked.seconds))
            for fault in FAULTS:
                print(f"{fault.name}: {asked.seconds:g} s ...", flush=True)
                outcomes.append(lived_through(server, fault, people, asked.seconds))
    except (LookupError, NeverReady) as problem:
        print(f"drill-faults: {problem.args[0]}", file=sys.stderr)
        return 1
    show(outcomes)
    judged = verdicts(outcomes)
    show_verdicts("what must hold", judged)
    figures = {
        "seconds": asked.seconds,
        "faults": {each.fault.name: each.figures() for each in outcomes},
        "verdicts": [each.figures() for each in judged],
    }
    print(f"report: {write_report(run, 'drill-faults', figures)}")
    return 1 if any(each.wrong for each in outcomes) else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m labs drill-faults", description=__doc__)
    made.add_argument("--seconds", type=float, default=60.0, help="how long each fault lasts (60)")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
