"""`python -m simulator logs`: live the world's days and leave its log and its shadow behind.

Both are written beside their places and renamed there whole, with a marker naming the world they came from;
so a run that was interrupted leaves nothing that a later one would read. Parts that others appended (a
server's drained journal) are carried over. The same seed gives the same bytes, whoever lived the days.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import polars as pl
from rich.console import Console
from rich.progress import track
from rich.table import Table

from feature_repo.events import KINDS
from feature_repo.labels import long_watch
from feature_repo.log import EventLog
from feature_repo.places import Places, Run, run_from_environment
from feature_repo.reports import write_report
from feature_repo.scales import scale_named
from simulator import faults, scenarios, sealed, shadow, swaps
from simulator.coefficients import PUBLISHED
from simulator.compiled import SOURCES, digest_of
from simulator.days import Lived, days, warm_up
from simulator.faults import NONE, USUAL, Faults
from simulator.nights import Memory
from simulator.observations import SESSION_BITS, Frames, births_observed, day_observed, known_by, told
from simulator.scenarios import Scenario
from simulator.shadow import MARKER
from simulator.slates import DEFAULT
from simulator.visits import SESSIONS_PER_DAY
from simulator.worlds import World

PART = "world-"
MOST_DAYS = (1 << SESSION_BITS) // SESSIONS_PER_DAY
APART = (
    *("__main__", "apps", "card*", "ceilings", "clients", "enumeration", "live", "logs", "real_rows"),
    *("reveal", "rollouts", "targets", "truth"),
)
"""Modules that read the world and do not decide what happens in it."""


class AnotherWorld(RuntimeError):
    """The place already holds the log of a different world."""


@dataclass(frozen=True)
class Asked:
    """What the command line asked for; what it did not ask for may be as it is found."""

    replace: bool = False
    scenarios: tuple[str, ...] = ()
    hidden: bool = False
    faultless: bool = False
    workers: int = 1

    @property
    def faults(self) -> Faults:
        return NONE if self.faultless else USUAL

    @property
    def flags(self) -> str:
        """What the world is asked for, as it is typed."""
        named = "".join(f" --scenario {name}" for name in self.scenarios)
        return named + " --hidden" * self.hidden + " --no-faults" * self.faultless


PLAIN = Asked()


class Pace(NamedTuple):
    """How much was lived, and how long that took from the first day to the last file."""

    impressions: int
    choices: int  # items served, seen or not
    seconds: float

    @property
    def impressions_per_second(self) -> float:
        return self.impressions / self.seconds


def main(argv: list[str]) -> int:
    asked, run, console = _asked(argv), run_from_environment(), Console()
    if run.logs != "simulated":
        console.print(f"LOGS is {run.logs!r}: its logs are real and nothing is simulated.")
        return 0
    started = time.perf_counter()
    try:
        pace = written(run, asked)
    except (AnotherWorld, scenarios.BadScenario) as error:
        print(f"logs: {error}", file=sys.stderr)
        return 2
    if pace is None:
        console.print(f"The log of world {_named(marker(run.places.log) or {})} is there already: reused.")
    found = figures(run)
    if pace is not None:
        found["impressions_per_second"] = pace.impressions_per_second
    write_report(run, "logs", found | {"reused": pace is None, "seconds": time.perf_counter() - started})
    console.print(_closing_table(run, found))
    console.print("next: make train")
    return 0


def written(run: Run, asked: Asked = PLAIN) -> Pace | None:
    """Bring this run's log into place; None if it was there already."""
    root = run.places.root
    swaps.recover(root)
    scale = scale_named(run.scale)
    scenario = scenarios.read(asked.scenarios, scale, World(scale, run.seed).start_us)
    found = marker(run.places.log)
    if found is not None:
        if _is_as_asked(found, run, scenario, asked) and shadow.is_of(run.places):
            return None
        if not asked.replace:
            raise AnotherWorld(_another(run, found, scenario, asked))
    coefficients = sealed.drawn(sealed.new_secret()) if asked.hidden else PUBLISHED
    world = World(run.scale, run.seed, coefficients, scenario)
    return _swapped_in(run, world, asked)


def _swapped_in(run: Run, world: World, asked: Asked) -> Pace:
    with swaps.swapped_in(run.places.root, partial(_carry_over, run.places.log)) as places:
        pace = live(world, places, asked.faults, asked.workers)
        if asked.hidden:
            sealed.seal(places.root, world.coefficients)
        text = json.dumps(_identity(run, world, asked), indent=1) + "\n"
        for folder in (places.log, places.shadow):
            (folder / MARKER).write_text(text)
    return pace


def marker(log: Path) -> dict[str, object] | None:
    """Which world's log this is; None if none's."""
    path = log / MARKER
    return json.loads(path.read_text()) if path.exists() else None


def world_of(run: Run) -> World:
    """The world this run's log came from: its truth, for labs."""
    found = marker(run.places.log)
    if found is None:
        raise FileNotFoundError(f"{run.places.log} holds no world's log; run: make train")
    if found.get("world") != _digest():
        raise AnotherWorld(
            f"{run.places.log} was lived by other code ({found.get('world')}, this is {_digest()}). "
            "Live it again: python -m simulator logs --replace"
        )
    coefficients = sealed.of_run(run.places.root) if found["hidden"] else PUBLISHED
    if found["hidden"] and sealed.digest(coefficients) != found["hidden"]:
        raise sealed.BrokenSeal(f"{run.places.root / sealed.NAME} is not of this log's world; live it again.")
    scale, seed = str(found["scale"]), int(str(found["seed"]))
    return World(scale, seed, coefficients, shadow.scenario(run.places))


def live(
    world: World, places: Places, settings: Faults, workers: int = 1, memory: Memory | None = None
) -> Pace:
    """Live every day and write it, whole, before the next; memory does not grow with days."""
    if world.days >= MOST_DAYS:
        raise ValueError(f"{world.days} days to live, must be under {MOST_DAYS}: ids have no room for more.")
    with Console().status("Compiling a person's day (once, and after an edit of the equations)"):
        warm_up()
    log, impressions, choices, started = EventLog(places.log), 0, 0, time.perf_counter()
    for kind, frame in births_logged(world, settings).items():
        log.append(kind, frame, f"{PART}births")
    shadow.write_beginnings(places.shadow, world, settings)
    lived = track(
        days(world, DEFAULT, workers, memory), description="Living", total=world.days, transient=True
    )
    for day in lived:
        frames, truth = day_logged(world, day, settings)
        for kind, frame in frames.items():
            log.append(kind, frame, f"{PART}{day.day:03d}")
        shadow.write_day(places.shadow, day.day, truth)
        impressions += int(day.rows["reached"].sum())
        choices += len(day.rows)
    return Pace(impressions, choices, time.perf_counter() - started)


def births_logged(world: World, settings: Faults) -> Frames:
    """What the log holds before the first day."""
    frames = births_observed(world)
    frames["joined"] = faults.with_sentinels(world, settings, frames["joined"])
    return {kind: known_by(world.end_us, frame) for kind, frame in frames.items()}


def day_logged(world: World, lived: Lived, settings: Faults) -> tuple[Frames, pl.DataFrame]:
    """(what the log holds of a day, what its shadow holds)."""
    frames = day_observed(world, lived, told(world, lived.rows))
    fates = {kind: faults.fates(world, settings, frames[kind]) for kind in ("watched", "reacted")}
    watched, reacted = ((frames[kind], fates[kind]) for kind in fates)
    truth = shadow.day_shadowed(world, lived.rows, watched, reacted)
    for kind in ("followed", "surveyed"):
        frames[kind] = faults.clocks_skewed(world, settings, frames[kind])
    for kind, fate in fates.items():
        frames[kind] = faults.befallen(frames[kind], fate)
    return {kind: known_by(world.end_us, frame) for kind, frame in frames.items()}, truth


def _digest() -> str:
    """A hash of the code that decides what happens; another code is another world."""
    apart = {path for name in APART for path in SOURCES.glob(f"{name}.py")}
    return digest_of(path.name for path in SOURCES.glob("*.py") if path not in apart)


def _identity(run: Run, world: World, asked: Asked) -> dict[str, object]:
    """What the marker says: which world, and nothing that an operator should find out alone."""
    return {
        "scale": run.scale,
        "seed": run.seed,
        "world": _digest(),
        "scenario": world.scenario.name,
        "dials": _dials_digest(world.scenario),
        "hidden": sealed.digest(world.coefficients) if asked.hidden else None,
        "faults": not asked.faultless,
    }


def _dials_digest(scenario: Scenario) -> str:
    return sha256(repr(scenario).encode()).hexdigest()[:16]


def _is_as_asked(found: Mapping[str, object], run: Run, scenario: Scenario, asked: Asked) -> bool:
    """Whether this is the world asked for. What was not asked for may differ, unless it is to be replaced."""
    same = (run.scale, run.seed, _digest()) == tuple(found.get(key) for key in ("scale", "seed", "world"))
    strict = asked.replace
    dials = not (asked.scenarios or strict) or found.get("dials") == _dials_digest(scenario)
    hidden = not (asked.hidden or strict) or bool(found.get("hidden")) == asked.hidden
    faulty = not (asked.faultless or strict) or found.get("faults") != asked.faultless
    return same and dials and hidden and faulty


def _another(run: Run, found: Mapping[str, object], scenario: Scenario, asked: Asked) -> str:
    """Which two worlds these are, and the two ways on."""
    var, settings = run.places.root.parent, f"SCALE={run.scale} SEED={run.seed}"
    wanted = {"seed": run.seed, "world": _digest(), "scenario": scenario.name}
    wanted |= {"hidden": asked.hidden, "faults": not asked.faultless}
    same = "" if shadow.is_of(run.places) else " (its shadow is gone)"
    logs = f".venv/bin/python -m simulator logs{asked.flags}"
    elsewhere = f"VAR={var}-{run.seed}"
    keep = f"{settings} {elsewhere} {logs}" if asked.flags else f"make train {settings} {elsewhere}"
    return (
        f"{run.places.log} holds the world of {_named(found)}{same}, this run asks for {_named(wanted)}. "
        f"Keep both: {keep}. Or replace it: {settings} VAR={var} {logs} --replace"
    )


def _named(world: Mapping[str, object]) -> str:
    """A world in words; its code only tells two of the same seed apart."""
    scenario = world.get("scenario", "calm")
    words = [f"seed {world.get('seed')}"]
    words += [f"scenario {scenario}"] if scenario != "calm" else []
    words += ["hidden"] if world.get("hidden") else []
    words += ["no faults"] if world.get("faults") is False else []
    return f"{', '.join(words)} (code {world.get('world')})"


def _carry_over(log: Path, fresh: Path) -> None:
    """Others' parts move with the log; only the world's own are replaced."""
    for path in log.glob("*/day=*/[!.]*.parquet"):
        if not path.name.startswith(PART):
            place = fresh / log.name / path.relative_to(log)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, place)


def figures(run: Run) -> dict[str, float]:
    """What the log holds: rows of each kind, people and videos watched, two means of the watching."""
    log, watched = EventLog(run.places.log), pl.col("watched_ms")
    rows = log.scan("watched").select(
        people_who_watched=pl.col("user_id").n_unique(),
        videos_watched=pl.col("video_id").n_unique(),
        long_view_share=long_watch(watched, pl.col("duration_ms")).mean(),
        mean_play_s=watched.mean() / 1000,
    )
    counts = {kind: log.scan(kind).select(pl.len()).collect().item() for kind in KINDS}
    return counts | rows.collect().row(0, named=True)


def _closing_table(run: Run, found: Mapping[str, float]) -> Table:
    table = Table(title=f"{run.places.log}   seed {run.seed}", show_header=False)
    for name, value in found.items():
        whole = isinstance(value, int) or name == "impressions_per_second"
        table.add_row(name.replace("_", " "), f"{value:,.0f}" if whole else f"{value:.3f}")
    return table


def _asked(argv: list[str]) -> Asked:
    parser = argparse.ArgumentParser(
        prog="simulator logs", description="Live the world's days and write its log."
    )
    parser.add_argument("--replace", action="store_true", help="replace the log of another world")
    parser.add_argument(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME",
        help="a scenario's name or file; repeatable",
    )
    parser.add_argument(
        "--hidden", action="store_true", help="draw coefficients nobody has seen, and seal them"
    )
    parser.add_argument("--no-faults", action="store_true", help="log everything once, in time and as it was")
    parser.add_argument(
        "--workers", type=int, default=_cores(), help="how many live the day (default: cores)"
    )
    found = parser.parse_args(argv)
    if found.workers < 1:
        parser.error(f"--workers is {found.workers}, must be 1 or more")
    return Asked(found.replace, tuple(found.scenario), found.hidden, found.no_faults, found.workers)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
