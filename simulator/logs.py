"""`python -m simulator logs`: live the world's days and leave its log behind.

The log is written beside its place and renamed there whole, with a marker naming the world it came from; so a
run that was interrupted leaves nothing that a later one would read. Parts that others appended (a server's
drained journal) are carried over.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.progress import track
from rich.table import Table

from feature_repo.events import KINDS
from feature_repo.labels import long_watch
from feature_repo.log import EventLog
from feature_repo.places import Run, run_from_environment
from feature_repo.processes import is_running
from feature_repo.reports import write_report
from simulator.days import days
from simulator.observations import births_observed, day_observed
from simulator.truth import World

MARKER = "world.json"
PART = "world-"


class AnotherWorld(RuntimeError):
    """The place already holds the log of a different world."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="simulator logs", description="Live the world's days and write its log."
    )
    parser.add_argument("--replace", action="store_true", help="replace the log of another world")
    asked = parser.parse_args(argv)
    run = run_from_environment()
    console = Console()
    if run.logs != "simulated":
        console.print(f"LOGS is {run.logs!r}: its logs are real and nothing is simulated.")
        return 0
    started = time.perf_counter()
    try:
        fresh = written(run, replace=asked.replace)
    except AnotherWorld as error:
        print(f"logs: {error}", file=sys.stderr)
        return 2
    if not fresh:
        console.print(f"The log of world {_identity(run)['seed']} at {run.scale} is there already: reused.")
    found = figures(run)
    write_report(run, "logs", found | {"reused": not fresh, "seconds": time.perf_counter() - started})
    console.print(_closing_table(run, found))
    console.print("next: make train")
    return 0


def written(run: Run, *, replace: bool = False) -> bool:
    """Bring this run's log into place; False if this very world's log was there already."""
    _remove_unfinished(run.places.log)
    found, wanted = marker(run.places.log), _identity(run)
    if found == wanted:
        return False
    if found is not None and not replace:
        raise AnotherWorld(_another(run, found, wanted))
    with _swapped_in(run.places.log) as folder:
        _live(World(run.scale, run.seed), EventLog(folder))
        (folder / MARKER).write_text(json.dumps(wanted, indent=1) + "\n")
    return True


def marker(log: Path) -> dict[str, object] | None:
    """Which world's log this is; None if none's."""
    path = log / MARKER
    return json.loads(path.read_text()) if path.exists() else None


def _another(run: Run, found: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """Which two worlds these are, and the two ways on."""
    var, asked = run.places.root.parent, f"SCALE={run.scale} SEED={run.seed}"
    return (
        f"{run.places.log} holds the world of {_named(found)}, this run asks for {_named(wanted)}. "
        f"Keep both: make train {asked} VAR={var}-{run.seed}. "
        f"Or replace it: {asked} VAR={var} .venv/bin/python -m simulator logs --replace"
    )


def _named(world: Mapping[str, object]) -> str:
    """A world in words; its code only tells two of the same seed apart."""
    return f"seed {world.get('seed')} (code {world.get('world')})"


def _identity(run: Run) -> dict[str, object]:
    return {"scale": run.scale, "seed": run.seed, "world": _source_digest()}


def _source_digest() -> str:
    """A hash of the code that decides what happens; another code is another world."""
    found = hashlib.sha256()
    apart = {"__main__.py", "card.py", "logs.py", "targets.py"}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.name not in apart:
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _live(world: World, log: EventLog) -> None:
    for kind, frame in births_observed(world).items():
        log.append(kind, frame, f"{PART}births")
    lived = track(days(world), description="Living", total=world.size.days, transient=True)
    for day in lived:
        for kind, frame in day_observed(world, day).items():
            log.append(kind, frame, f"{PART}{day.day:03d}")


@contextmanager
def _swapped_in(log: Path) -> Iterator[Path]:
    """A folder to fill; it takes the log's place when the block succeeds, and vanishes when it does not."""
    folder, old = _beside(log, "unfinished"), _beside(log, "replaced")
    folder.mkdir(parents=True)
    try:
        yield folder
        _carry_over(log, folder)
        if log.exists():
            log.rename(old)
        folder.rename(log)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if log.exists():
            shutil.rmtree(old, ignore_errors=True)


def _beside(log: Path, state: str) -> Path:
    return log.with_name(f".{log.name}.{os.getpid()}.{state}")


def _remove_unfinished(log: Path) -> None:
    """Clear what interrupted runs left; a log that was moved aside and not yet replaced comes back."""
    for folder in log.parent.glob(f".{log.name}.*.replaced"):
        if not log.exists():
            folder.rename(log)
    for folder in log.parent.glob(f".{log.name}.*"):
        if not is_running(int(folder.name.split(".")[-2])):
            shutil.rmtree(folder)


def _carry_over(log: Path, folder: Path) -> None:
    """Others' parts move with the log; only the world's own are replaced."""
    for path in log.glob("*/day=*/[!.]*.parquet"):
        if not path.name.startswith(PART):
            place = folder / path.relative_to(log)
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


def _closing_table(run: Run, found: dict[str, float]) -> Table:
    table = Table(title=f"{run.places.log}   seed {run.seed}", show_header=False)
    for name, value in found.items():
        table.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int) else f"{value:.3f}")
    return table
