"""Is every feature that was served what training would have joined? A simulated day, audited cell by cell.

The world's people live a day on the champion, in process, their clock told, so that the day is the same every
time. Then the journal is absorbed, every feature view is built anew, and each logged impression is compared.
`--plant` spoils the serving side on purpose: the audit must fail and name what was done.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from feature_repo.clock import HOUR_US, SECOND_US
from feature_repo.journal import Journal
from feature_repo.log import EventLog
from feature_repo.online import VideoMirror
from feature_repo.places import Places, Run, run_from_environment
from feature_repo.reports import write_report
from feature_repo.streams import FeatureStream
from labs.in_process import InProcess
from monitoring.audit_parity import Audit, audited
from serving.clocks import WorldClock
from serving.compose import Mirrors, World, world_at
from serving.live import Live
from serving.readers import Users
from simulator.worlds import World as Population

SAMPLE, FEAST_SAMPLE = 20_000, 1_000
"""Rows counted by brute force, and rows joined by Feast's own DuckDB store."""
FRESHEN_US = SECOND_US
"""The mirror is brought up to date when it is this old, as a server does every half second."""
TICK_US = 2 * SECOND_US
"""The day's clock stands still this long: a person's last watch and next feed are then often neighbouring
microseconds, which is where a boundary shows.
"""
BARE = ("log", "registry", "feast", "journal.db")
"""What a server needs of a run."""

Spoil = Callable[[World], World]


@dataclass(frozen=True)
class Skewed:
    """People's features as a serving side would read them with a bug in it."""

    users: Users
    early_us: int = 0
    zeros: bool = False

    def read(
        self, user_id: int, topics: Sequence[int], now_us: int
    ) -> tuple[dict[str, float], NDArray[np.float32]]:
        person, by_topic = self.users.read(user_id, topics, now_us - self.early_us)
        if self.zeros:
            person = {name: 0.0 if np.isnan(value) else value for name, value in person.items()}
        return person, by_topic


class Stuck:
    """A mirror that never sees what was written since it was first read."""

    def __init__(self, mirror: VideoMirror) -> None:
        self._mirror = mirror

    def read(self, now_us: int) -> VideoMirror:
        return replace(self._mirror, read_at_us=now_us)


class InMilliseconds:
    """A mirror whose durations somebody took for milliseconds."""

    def __init__(self, mirrors: Mirrors) -> None:
        self._mirrors = mirrors

    def read(self, now_us: int) -> VideoMirror:
        mirror = self._mirrors.read(now_us)
        columns = {
            **mirror.columns,
            "video_duration_s": mirror.columns["video_duration_s"] * np.float32(1000),
        }
        return replace(mirror, columns=columns)


def as_it_is(world: World) -> World:
    return world


def in_milliseconds(world: World) -> World:
    assert world.mirrors is not None
    mirrors = InMilliseconds(world.mirrors)
    return replace(world, mirrors=mirrors, mirror=mirrors.read(world.mirror.read_at_us))


def stuck(world: World) -> World:
    return replace(world, mirrors=Stuck(world.mirror))


def zeros_for_unknown(world: World) -> World:
    return replace(world, users=Skewed(world.users, zeros=True))


def one_early(world: World) -> World:
    return replace(world, users=Skewed(world.users, early_us=1))


PLANTS: Mapping[str, tuple[Spoil, str]] = {
    "none": (as_it_is, ""),
    "unit": (in_milliseconds, "unit"),
    "default": (zeros_for_unknown, "default"),
    "stale-table": (stuck, "old table (as last loaded)"),
    "boundary": (one_early, "boundary (1 us early)"),
}
"""What can be planted, and the cause an audit must then name."""


class ToldTime:
    """A clock in nanoseconds that is moved by hand."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


class ToldPace:
    """The run moves the server's clock: it is always the moment of the queue. Mirrors are kept fresh."""

    def __init__(self, live: Live, time: ToldTime, hours: float) -> None:
        self._live, self._time = live, time
        self.start_us = self._fresh_us = live.clock()
        self.end_us = self.start_us + round(hours * HOUR_US)

    def until(self, moment_us: int) -> int | None:
        if moment_us >= self.end_us:
            return None
        passed_us = (moment_us - self.start_us) // TICK_US * TICK_US
        self._time.ns = max(self._time.ns, 1000 * passed_us)
        if moment_us - self._fresh_us >= FRESHEN_US:
            self._live.freshen()
            self._fresh_us = moment_us
        return self._live.clock()


def lived_day(run: Run, population: Population, hours: float, people: int, spoil: Spoil) -> int:
    """Let people use the run's champion, and absorb what was journaled; impressions served."""
    from simulator.apps import Plan, chosen_people
    from simulator.live import lived

    time = ToldTime()

    def read_world(now_us: int, stream: FeatureStream) -> World:
        return spoil(world_at(run.places, now_us, stream))

    live = Live(run.places, read_world, run.seed, partial(WorldClock, monotonic_ns=time))
    live.follow()
    everybody = int((~population.people.bot).sum())
    plan = Plan(chosen_people(population, min(people, everybody), run.seed), "both", run.seed)
    outcome = lived(population, InProcess(live), plan, ToldPace(live, time, hours))
    live.close()
    journal = Journal(run.places.journal)
    journal.drain_into(EventLog(run.places.log))
    journal.close()
    return sum(len(slate.items) for _, slate in outcome.slates)


def copied(run: Run, folder: Path) -> Run:
    """The run as a server needs it, in a folder of its own; parquet parts never change and are linked."""
    root = folder / run.places.root.name
    for name in BARE:
        source = run.places.root / name
        if source.is_dir():
            shutil.copytree(source, root / name, copy_function=_linked)
        elif source.exists():
            shutil.copy2(source, root / name)
    return replace(run, places=replace(run.places, root=root))


def _linked(source: str, target: str) -> str:
    if source.endswith(".parquet"):
        with suppress(OSError):
            Path(target).hardlink_to(source)
            return target
    return str(shutil.copy2(source, target))


def day_audited(run: Run, folder: Path, plant: str, hours: float, people: int) -> tuple[Audit, int]:
    """Live the day on a copy of the run and audit it."""
    from simulator.logs import world_of

    copy = copied(run, folder)
    impressions = lived_day(copy, world_of(run), hours, people, PLANTS[plant][0])
    return audited(copy.places, Places(folder / "offline"), SAMPLE, FEAST_SAMPLE, run.seed), impressions


def main(argv: Sequence[str]) -> int:
    asked, run = _asked(argv), run_from_environment()
    with tempfile.TemporaryDirectory(prefix="fourplanes-parity-", dir=asked.folder) as folder:
        found, impressions = day_audited(run, Path(folder), asked.plant, asked.hours, asked.people)
    spoilt = "" if asked.plant == "none" else f"-{asked.plant}"
    name = f"audit-parity{spoilt}{'-redis' if run.places.online_url else ''}"
    asked_for = {"plant": asked.plant, "hours": asked.hours, "people": asked.people}
    figures = {**asked_for, "impressions": impressions, **found.figures()}
    path = write_report(run, name, figures)
    _show(found, asked.plant)
    print(path)
    return _judged(found, asked.plant)


def _judged(found: Audit, plant: str) -> int:
    """0 if a clean day holds; a planted skew must be found (1) and named, or the audit has failed (2)."""
    if plant == "none":
        return 0 if found.holds else 1
    cause = PLANTS[plant][1]
    named = [each.column for each in found.served.columns if each.named == cause]
    print(
        f"planted {plant!r}: "
        + (f"found, and named {cause!r} in {', '.join(named)}" if named else "NOT named")
    )
    return 1 if named else 2


def _show(found: Audit, plant: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "feature", "cells", "equal", "causes", "largest difference", title=f"parity, planted: {plant}"
    )
    for column in found.served.columns:
        if column.equal < column.cells:
            causes = ", ".join(f"{cause} {n:,}" for cause, n in column.causes.items())
            table.add_row(
                column.column, f"{column.cells:,}", f"{column.equal:,}", causes, f"{column.largest:.4g}"
            )
    console = Console()
    console.print(table)
    served = found.served
    console.print(
        f"{served.rows:,} impressions, {served.cells:,} cells: {served.mismatched:,} mismatched, "
        f"{served.explained_share:.4%} explained (stale or late; at most 1 %)",
        highlight=False,
    )
    for each in found.seconds:
        wrong = sum(each.differing.values())
        console.print(
            f"{each.way}: {wrong} of {each.cells:,} cells of {each.rows:,} rows differ", highlight=False
        )
    console.print("parity holds" if found.holds else "[bold red]parity does NOT hold[/]")


def _asked(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m labs audit-parity", description=__doc__)
    parser.add_argument("--plant", choices=tuple(PLANTS), default="none", help="spoil serving on purpose")
    parser.add_argument("--hours", type=float, default=24.0, help="how long people live on the champion (24)")
    parser.add_argument("--people", type=int, default=1_000, help="at most this many of them (1,000)")
    parser.add_argument("--folder", help="scratch space (default: the system's); emptied afterwards")
    asked = parser.parse_args(argv)
    if not 0 < asked.hours <= 24 * 7:
        parser.error(f"--hours is {asked.hours}, must be more than 0 and at most a week")
    return asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
