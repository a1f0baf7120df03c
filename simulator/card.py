"""`python -m simulator card`: the world beside the published figures, each with the band it must fall in.

The card describes people on the swipe surface under the logging policy: bots are left out by the truth and
faults repaired by the shadow log, and two further lines show what they do to click and long_view. Random
exposure is answered by the truth (card_random.py). Intervals are 95 %, by a Poisson bootstrap over people
or videos. Where real rows are present (REAL_LOGS), the world is held to those too (real_rows.py).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from feature_repo.log import EventLog
from feature_repo.places import Run, run_from_environment
from feature_repo.reports import estimate, write_report
from simulator import real_rows, shadow
from simulator.card_figures import (
    DRAWS,
    Estimate,
    gini,
    over_people,
    over_videos,
    people_figures,
    video_figures,
)
from simulator.card_random import random_long_view
from simulator.card_rows import Observed, as_logged, observed, observed_in, public_videos, with_durations
from simulator.days import Lived
from simulator.logs import marker, world_of
from simulator.targets import KNOWN_MISSES, TARGETS, KnownMiss, Target
from simulator.worlds import World

LINES = {
    "click_as_logged": "click as logged, with bots and faults",
    "long_view_as_logged": "long_view as logged, with bots and faults",
    "exposure_gini_as_logged": "exposure_gini as logged, with bots",
    "long_view_explored": "long_view on explored slots",
    "videos_never_shown": "public videos never shown",
}
"""Figures beside the targets, without a band."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="simulator card", description="Compare the world with the published figures."
    )
    parser.add_argument("--json", action="store_true", help="print the report instead of the tables")
    asked = parser.parse_args(argv)
    run, console = run_from_environment(), Console()
    if problem := _not_this_world(run):
        console.print(f"[red]{problem}[/red]")
        return 2
    world, seen = seen_in(run)
    log = EventLog(run.places.log)
    found = card(world, seen) | logged_figures(world, as_logged(log), public_videos(log))
    figures = report(found)
    beside = _beside_real_rows(run, seen)
    path = write_report(run, "card", figures | ({} if beside is None else {"real_rows": beside.figures}))
    if asked.json:
        print(json.dumps(json.loads(path.read_text())["figures"], indent=2))
        return 0
    _print(console, run, found, beside)
    inside = sum(target.holds(found[target.name].value) for target in TARGETS)
    console.print(f"{inside} of {len(TARGETS)} rows in their band; written to {path}\nnext: make train")
    return 0


def _not_this_world(run: Run) -> str | None:
    """What is wrong with the log's place, and what to do; None if it holds this world's log."""
    found = marker(run.places.log)
    if found is None:
        return f"{run.places.log} holds no world; run `python -m simulator logs` first."
    if found["seed"] != run.seed or found["scale"] != run.scale:
        return f"{run.places.log} holds the world {found}, not seed {run.seed}; set SEED, or replace the log."
    return None


def seen_in(run: Run) -> tuple[World, Observed]:
    """What the card looks at, of this run's log and shadow."""
    world = world_of(run)
    true = with_durations(world, shadow.impressions(run.places))
    return world, observed(EventLog(run.places.log), true)


def _beside_real_rows(run: Run, seen: Observed) -> real_rows.Beside | None:
    """The world beside the real rows, with its plots; None where there are none."""
    folder = real_rows.folder_from_environment()
    return None if folder is None else real_rows.beside(seen, folder, run.places.reports, run.seed)


def card(world: World, seen: Observed, draws: int = DRAWS) -> dict[str, Estimate]:
    """Every row of targets.TARGETS by name, and the figures that known misses name."""
    rng = np.random.default_rng([world.seed, 6])
    found = people_figures(seen, random_long_view(world, seen, rng), rng, draws)
    return found | video_figures(seen, world.start_us, world.end_us, rng, draws)


def logged_figures(world: World, rows: pl.DataFrame, videos: pl.DataFrame) -> dict[str, Estimate]:
    """click, long_view and the Gini over public videos as anybody would read them off the log."""
    rng = np.random.default_rng([world.seed, 7])
    rates = over_people(rows, ("click", "long_view"), rng)
    met = videos.join(rows.group_by("video_id").len("met"), on="video_id", how="left")["met"]
    counts = np.sort(met.fill_null(0).to_numpy().astype(np.float64))
    rates["exposure_gini"] = over_videos(lambda weights: gini(counts, weights), len(counts), rng, DRAWS)
    return {f"{name}_as_logged": rate for name, rate in rates.items()}


def quick_figures(world: World, lived: Sequence[Lived]) -> dict[str, float]:
    """Every figure of the card without intervals, straight from lived days: to tune a world by."""
    return {name: found.value for name, found in card(world, observed_in(world, lived), draws=2).items()}


# --- the report ------------------------------------------------------------------------------------------


def report(found: Mapping[str, Estimate]) -> dict[str, object]:
    """The card as JSON: per row the real figure, the simulated estimate, the band and whether it holds."""
    return {
        "rows": {target.name: _row(target, found[target.name]) for target in TARGETS},
        "inside": sum(target.holds(found[target.name].value) for target in TARGETS),
        "of": len(TARGETS),
        "lines": {name: _estimate(found[name]) for name in LINES if name in found},
        "long_view_explored": _estimate(found["long_view_explored"]),
        "known_misses": [_told(miss, found) for miss in misses(found)],
    }


def misses(found: Mapping[str, Estimate]) -> tuple[KnownMiss, ...]:
    """The known ones, and every row outside its band."""
    outside = [target for target in TARGETS if not target.holds(found[target.name].value)]
    return KNOWN_MISSES + tuple(_missed(target) for target in outside)


def _missed(target: Target) -> KnownMiss:
    band = f"outside {target.low:.4g} .. {target.high:.4g}"
    why = "not calibrated at this scale and seed: read what depends on it with care"
    return KnownMiss(target.name, band, why, target.real, target.name)


def _told(miss: KnownMiss, found: Mapping[str, Estimate]) -> dict[str, object]:
    simulated = _estimate(found[miss.figure]) if miss.figure else None
    return {"name": miss.name, "what": miss.what, "why": miss.why, "real": miss.real, "simulated": simulated}


def _row(target: Target, found: Estimate) -> dict[str, object]:
    return {
        "real": target.real,
        "simulated": _estimate(found),
        "band": [target.low, target.high],
        "inside": target.holds(found.value),
        "unit": target.unit,
        "source": target.source,
    }


def _estimate(found: Estimate) -> dict[str, float | int]:
    return estimate(found.value, found.low, found.high, found.n)


# --- on the screen ---------------------------------------------------------------------------------------


def _print(
    console: Console, run: Run, found: Mapping[str, Estimate], beside: real_rows.Beside | None
) -> None:
    console.print(_table(run, found))
    console.print(_table_of_misses(found))
    if beside is None:
        console.print("No real rows: REAL_LOGS names no folder with impressions_*.parquet (docs/DATA.md).")
        return
    console.print(real_rows.table(beside))
    console.print("\n".join(f"drawn: {path}" for path in beside.plots))


def _table(run: Run, found: Mapping[str, Estimate]) -> Table:
    table = Table(title=f"The world beside the published figures   {run.scale}, seed {run.seed}")
    for column in ("figure", "real", "simulated", "95 % interval", "band", ""):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for target in TARGETS:
        table.add_row(*_cells(target, found[target.name]))
    for name, line in LINES.items():
        if name in found:
            table.add_row(line, "", *_shown(found[name]), "", "not a target")
    return table


def _table_of_misses(found: Mapping[str, Estimate]) -> Table:
    table = Table("known miss", "real", "simulated", "what, and why", title="Where the world is not real")
    for miss in misses(found):
        real = "" if miss.real is None else f"{miss.real:.4g}"
        simulated = f"{found[miss.figure].value:.4g}" if miss.figure else ""
        table.add_row(miss.name, real, simulated, f"{miss.what}: {miss.why}.")
    return table


def _cells(target: Target, found: Estimate) -> list[str]:
    band = f"{target.low:.4g} .. {target.high:.4g}"
    verdict = "in" if target.holds(found.value) else "[red]out[/red]"
    return [target.name, f"{target.real:.4g}", *_shown(found), band, verdict]


def _shown(found: Estimate) -> list[str]:
    return [f"{found.value:.4g}", f"{found.low:.4g} .. {found.high:.4g}"]
