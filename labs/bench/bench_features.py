"""How fast is the feature plane? Joins of the past, window sums, online reads and freshness, beside rivals.

Every part runs in a scratch folder and compares answers before it compares times. A missed bar is told as
missed, and is no failure: a wrong answer is.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_repo.places import Run, run_from_environment
from feature_repo.reports import write_report
from labs.bench.clients import Refused
from labs.bench.feature_bars import ASOF, FRESHNESS, MILLION, ONLINE, WINDOWS, Line, differing, lines
from labs.bench.servers import NeverReady

SIZES = (MILLION, 5 * MILLION)
LARGE = 20 * MILLION
DUCKDB_UPTO = 5 * MILLION
"""Beyond this Feast's DuckDB store does not fit into memory."""


@dataclass(frozen=True)
class Asked:
    """Which run, how many labels are joined, and where there is room."""

    run: Run
    sizes: tuple[int, ...]
    folder: Path


def _asof(asked: Asked) -> dict[str, Any]:
    from labs.bench.asof_join import measure

    return measure(asked.sizes, asked.run.seed, asked.folder, DUCKDB_UPTO)


def _windows(asked: Asked) -> dict[str, Any]:
    from labs.bench.window_sums import measure

    return measure(asked.run.seed)


def _online(asked: Asked) -> dict[str, Any]:
    from labs.bench.online_reads import measure

    return measure(asked.run.seed, asked.folder)


def _freshness(asked: Asked) -> dict[str, Any]:
    from labs.bench.freshness import measure

    return measure(asked.run)


PARTS: Mapping[str, tuple[str, Callable[[Asked], dict[str, Any]]]] = {
    ASOF: ("as-of joins of labels to three views, each arm in a process of its own", _asof),
    WINDOWS: ("sums over an hour, a day and a week before each of a million events", _windows),
    ONLINE: ("a person and 500 videos, read while another process writes", _online),
    FRESHNESS: ("from an acknowledged event to a changed feature, over HTTP", _freshness),
}
"""What each part measures, and how."""


def measured(parts: Sequence[str], asked: Asked) -> dict[str, Any]:
    """Figures by part; each has a folder of its own, gone when it ends."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    figures = {}
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), transient=True
    ) as shown:
        task = shown.add_task("", total=len(parts))
        for place, part in enumerate(parts, 1):
            sentence, measure = PARTS[part]
            shown.console.print(f"{place} of {len(parts)}: {part}, {sentence}")
            shown.update(task, description=part)
            with tempfile.TemporaryDirectory(prefix=f"{part}-", dir=asked.folder) as folder:
                figures[part] = measure(Asked(asked.run, asked.sizes, Path(folder)))
            shown.advance(task)
    return figures


def show(told: Sequence[Line]) -> None:
    """One table, a line per figure."""
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "n")
    for name in ("ours", "rival", "ratio", "bar"):
        table.add_column(name, justify="right")
    table.add_column("met")
    for line in told:
        table.add_row(*line.cells())
    Console(width=150).print(table)


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(int(float(each)) for each in text.split(","))
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be numbers of labels, 1 or more, such as 1e6,5e6")
    return sizes


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if unknown := [part for part in parts if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"no part {unknown[0]!r}; parts are {','.join(PARTS)}")
    return parts


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m labs bench-features", description=__doc__)
    made.add_argument(
        "--sizes", type=_sizes, default=SIZES, help="how many labels are joined (default 1e6,5e6)"
    )
    made.add_argument("--large", action="store_true", help="20 million labels too")
    made.add_argument(
        "--parts", type=_parts, default=tuple(PARTS), help=f"which to run (default {','.join(PARTS)})"
    )
    made.add_argument("--folder", type=Path, help="scratch space (default: the system's); emptied afterwards")
    return made


def needs_release(run: Run) -> None:
    """Freshness is measured on a server, and a server needs a champion: asked before anything slow begins."""
    from serving import registry

    if registry.champion(run.places) is None:
        raise LookupError(f"no champion in {run.places.root}; make train, or leave out the part {FRESHNESS}.")


def main(argv: Sequence[str]) -> int:
    """1 if an answer differs from the oracle."""
    asked = parser().parse_args(argv)
    run = run_from_environment()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers end with us
    sizes = (*asked.sizes, LARGE) if asked.large and LARGE not in asked.sizes else asked.sizes
    before = os.getloadavg()[0]
    try:
        if FRESHNESS in asked.parts:
            needs_release(run)
        with tempfile.TemporaryDirectory(prefix="fourplanes-bench-", dir=asked.folder) as folder:
            figures = measured(asked.parts, Asked(run, sizes, Path(folder)))
    except (LookupError, NeverReady, Refused) as problem:
        notes = getattr(problem, "__notes__", [])
        print("\n".join([f"bench-features: {problem.args[0]}", *notes]), file=sys.stderr)
        return 1
    return _told(run, figures, before)


def _told(run: Run, figures: Mapping[str, Any], before: float) -> int:
    """The table and the report; 1 with the arms that answered wrong, if any did."""
    found, wrong = lines(figures), differing(figures)
    show(found)
    load = {"load_average_before": before, "load_average": os.getloadavg()[0]}
    table = [line.figures() for line in found]
    report = {**figures, "lines": table, "differing_cells": wrong, "processors": os.cpu_count(), **load}
    print(f"report: {write_report(run, 'bench-features', report)}")
    for arm, cells in wrong.items():
        print(f"bench-features: {arm}: {cells} cells differ from the oracle, must be none.", file=sys.stderr)
    return int(bool(wrong))
