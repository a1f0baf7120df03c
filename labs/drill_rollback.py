"""How long do people see the wrong release? A real server under load, its champion moved back and forth.

Every answer says which release made it, so the question has an exact answer: from the moment the alias was
moved to the last request that was still asked of the release before. At the end a canary with a broken user
tower is let loose on half of the people, and the guardrails must end it. Not one request may fail. All of it
happens on a copy of the run; only its log and features are read.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from feature_repo.places import Places, Run, run_from_environment
from feature_repo.reports import git_commit, write_report
from labs.bench.bench_serving import people_of, scratch
from labs.bench.clients import Client, Refused
from labs.bench.servers import NeverReady, end_servers_with_us, running, settings_of

AT_ONCE = 2
"""People asking at the same moment, each again as soon as they were answered."""
WITHIN_S = 10.0
"""A move not seen by then counts as never seen."""
BAR_MS = 2_000.0
PAUSE_S = 0.5
"""Between moves, so that they fall anywhere between two looks of the server."""


@dataclass(frozen=True)
class Answered:
    """When a request was sent, on the monotonic clock, and the release that answered; None: it failed."""

    sent_s: float
    release_id: str | None
    why: str = ""


@dataclass
class Crowd:
    """What everybody who asks was answered, in order of sending within each."""

    answers: list[Answered] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def ask(self, port: int, people: Sequence[int]) -> None:
        """Ask for one person after another until the drill is over."""
        with Client(port, timeout_s=WITHIN_S) as client:
            for turn in range(sys.maxsize):
                if self.done.is_set():
                    return
                self.answers.append(_asked(client, people[turn % len(people)]))

    @property
    def failed(self) -> list[Answered]:
        return [each for each in self.answers if each.release_id is None]


@dataclass(frozen=True)
class Move:
    """A moved alias, and what people saw of it. Milliseconds."""

    kind: str
    alias_ms: float
    """The move itself."""
    first_ms: float | None
    """From the moved alias to the sending of the first request the new release answered; None: never."""
    last_ms: float | None
    """From the moved alias to the sending of the last request the old release answered; 0: none was."""


def moved(crowd: Crowd, kind: str, to: str, move: Callable[[], object]) -> Move:
    """Move the alias while everybody asks, and watch until the new release answers and the old has ceased."""
    began = time.monotonic()
    move()
    at = time.monotonic()
    _until(lambda: any(each.release_id == to and each.sent_s > at for each in crowd.answers[-50:]))
    time.sleep(PAUSE_S)
    return seen(kind, to, (at - began) * 1e3, at, list(crowd.answers))


def seen(kind: str, to: str, alias_ms: float, at_s: float, answers: Sequence[Answered]) -> Move:
    """What these answers show of a move that was done at a moment of the monotonic clock."""
    since = [each for each in answers if each.sent_s >= at_s]
    new = [each.sent_s for each in since if each.release_id == to]
    old = [each.sent_s for each in since if each.release_id not in (to, None)]
    if not new:
        return Move(kind, alias_ms, None, None)
    return Move(kind, alias_ms, (min(new) - at_s) * 1e3, (max(old) - at_s) * 1e3 if old else 0.0)


def stopped_ms(places: Places) -> float | None:
    """Let the broken challenger serve half of the people; milliseconds until it is stopped."""
    from serving import canaries, registry

    registry.set_challenger(places, registry.versions(places)[-1].version)
    canaries.start(places, 0.5)
    began = time.monotonic()
    stopped = _until(lambda: canaries.running(places) == canaries.NO_CANARY)
    return (time.monotonic() - began) * 1e3 if stopped else None


@contextmanager
def rehearsal(run: Run) -> Iterator[tuple[Places, Path]]:
    """A copy of the run with three releases: the champion, one like it, and a broken one."""
    from serving import registry
    from serving.releases import Notes, read_release, write_release

    with scratch(run) as var, tempfile.TemporaryDirectory(prefix="fourplanes-releases-") as made:
        places = Places(var / run.places.root.name)
        places.registry.unlink()
        shutil.copytree(run.places.registry, places.registry)
        found = registry.champion(places)
        if found is None:
            raise LookupError(f"no champion in {run.places.root}; make train.")
        now = read_release(found[1])
        alike = replace(now, policy=replace(now.policy, temperature=now.policy.temperature * 1.25))
        broken = replace(alike, towers={**now.towers, "user_mean": now.towers["user_mean"][:-1]})
        notes = Notes(git_commit() or "unknown", "", {})
        for name, release in (("alike", alike), ("broken", broken)):
            write_release(Path(made) / name, release, notes)
            registry.register(places, Path(made) / name, {})
        yield places, var


def drill(run: Run, moves: int, told: Callable[[str], None]) -> dict[str, Any]:
    """Figures of so many rollbacks, each after a promotion, and of the canary at the end."""
    from serving import registry

    with rehearsal(run) as (places, var):
        before, after = (each.release_id for each in registry.versions(places)[-3:-1])
        champion, alike = (each.version for each in registry.versions(places)[-3:-1])
        forward = partial(registry.set_champion, places, alike, "drill")
        back = partial(registry.rollback, places, "drill", alike)
        people, crowd, found = people_of(run, 2_000), Crowd(), list[Move]()
        with (
            running("ours", ["-m", "serving"], settings_of(run, var), var / "ours.txt") as server,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            asking = [pool.submit(crowd.ask, server.port, people[place::AT_ONCE]) for place in range(AT_ONCE)]
            try:
                registry.set_champion(places, champion)
                for number in range(moves):
                    found.append(moved(crowd, "promotion", after, forward))
                    found.append(moved(crowd, "rollback", before, back))
                    told(f"move {number + 1} of {moves}: back after {found[-1].last_ms or 0:.0f} ms")
                canary_ms = stopped_ms(places)
            finally:
                crowd.done.set()
            for each in asking:
                each.result()
        return _figures(found, crowd, canary_ms, registry.promotions(places)[-1])


def _figures(
    found: Sequence[Move], crowd: Crowd, canary_ms: float | None, last: Mapping[str, Any]
) -> dict[str, Any]:
    span_s = crowd.answers[-1].sent_s - crowd.answers[0].sent_s
    kinds = {kind: [each for each in found if each.kind == kind] for kind in ("promotion", "rollback")}
    return {
        "requests": len(crowd.answers),
        "requests_per_s": len(crowd.answers) / span_s,
        "failed": len(crowd.failed),
        "why_failed": sorted({each.why for each in crowd.failed})[:5],
        "never_seen": sum(each.first_ms is None for each in found),
        **{kind: _quantiles(moves) for kind, moves in kinds.items()},
        "bar_ms": BAR_MS,
        "canary_stopped_ms": canary_ms,
        "canary_reason": last.get("why"),
        "load_average": os.getloadavg()[0],
    }


def _quantiles(moves: Sequence[Move]) -> dict[str, Any]:
    """Median and maximum of each span over the moves that were seen."""
    found = [each for each in moves if each.first_ms is not None]
    spans = {name: [getattr(each, name) for each in found] for name in ("alias_ms", "first_ms", "last_ms")}
    told = {name: {"p50": float(np.median(ms)), "max": max(ms)} for name, ms in spans.items() if ms}
    return {"moves": len(moves), **told}


def passed(figures: Mapping[str, Any]) -> bool:
    """No request failed, every move was seen within the bar, and the broken canary was stopped."""
    slowest = figures["rollback"].get("last_ms", {}).get("max", np.inf)
    ended = figures["canary_stopped_ms"] is not None
    return not figures["failed"] and not figures["never_seen"] and slowest <= BAR_MS and ended


def show(figures: Mapping[str, Any]) -> None:
    """One table: what was moved, and what people saw of it."""
    from rich.console import Console
    from rich.table import Table

    table = Table("ms from the moved alias", "moves", "alias", "first new", "last old, p50", "last old, max")
    for kind in ("promotion", "rollback"):
        row = figures[kind]
        cells = [row.get(name, {}).get("p50") for name in ("alias_ms", "first_ms", "last_ms")]
        cells.append(row.get("last_ms", {}).get("max"))
        table.add_row(kind, str(row["moves"]), *("-" if ms is None else f"{ms:.0f}" for ms in cells))
    Console().print(table)
    asked = f"{figures['requests']:,} requests, {figures['requests_per_s']:.0f}/s"
    print(f"{asked}, {figures['failed']} failed. Bar: rollback <= {BAR_MS:.0f} ms, 0 failed.")
    ended = figures["canary_stopped_ms"]
    print(
        "the broken canary was never stopped"
        if ended is None
        else f"broken canary stopped after {ended:.0f} ms"
    )
    print(f"  {figures['canary_reason']}")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m labs drill-rollback", description=__doc__)
    made.add_argument(
        "--moves", type=int, default=15, help="promotions, each rolled back (default %(default)s)"
    )
    return made


def main(argv: Sequence[str]) -> int:
    """1 if a request failed, a move took longer than the bar, or the canary went on."""
    asked = parser().parse_args(argv)
    run = run_from_environment()
    end_servers_with_us()
    try:
        figures = drill(run, asked.moves, lambda words: print(words, flush=True))
    except NeverReady as problem:
        print(f"drill-rollback: {problem}", file=sys.stderr)
        return 1
    show(figures)
    print(f"report: {write_report(run, 'drill-rollback', figures)}")
    return 0 if passed(figures) else 1


def _asked(client: Client, person: int) -> Answered:
    sent = time.monotonic()
    try:
        slate, _ = client.timed_post("/v1/feed", {"user_id": person, "limit": 10})
    except (OSError, Refused) as failure:
        return Answered(sent, None, f"{type(failure).__name__}: {failure}"[:200])
    return Answered(sent, str(slate["release_id"]))


def _until(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
