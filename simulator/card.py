"""`python -m simulator card`: the world beside the published figures, each with the band it must fall in.

Everything is measured on the log as anybody could, except long_view on random exposure: the explored slots
are too few (.37 %) for its band, so the truth says what a uniformly drawn unseen video would have got in
place of each sampled impression. Intervals are 95 %, by a Poisson bootstrap over people.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from feature_repo.log import EventLog
from feature_repo.places import Run, run_from_environment
from feature_repo.reports import estimate, write_report
from simulator.behaviour import CLICK_S, LONG_VIEW_S
from simulator.births import FIRST_VIDEO
from simulator.logs import marker
from simulator.targets import TARGETS, Target
from simulator.truth import World

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SIGNALS = ("click", "play", "like", "comment", "share", "follow", "hide", "profile")
DRAWS = 400
RANDOM_SAMPLE = 200_000
QUARTERS = 4


@dataclass(frozen=True)
class Estimate:
    """A figure, its 95 % interval, and the impressions it rests on."""

    value: float
    low: float
    high: float
    n: int


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="simulator card", description="Compare the world with the published figures."
    )
    parser.add_argument("--json", action="store_true", help="print the report instead of the table")
    asked = parser.parse_args(argv)
    run, console = run_from_environment(), Console()
    if problem := _not_this_world(run):
        console.print(f"[red]{problem}[/red]")
        return 2
    found = card(World(run.scale, run.seed), impressions(EventLog(run.places.log)))
    figures = report(found)
    path = write_report(run, "card", figures)
    if asked.json:
        print(json.dumps(figures, indent=2))
        return 0
    console.print(_table(run, found))
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


def impressions(log: EventLog) -> pl.DataFrame:
    """One row per impression the world's people watched, with every signal of the card as 0 or 1.

    A server's own impressions are left out: the card describes the world under its logging policy.
    """
    ours = log.scan("served").filter(pl.col("release_id") == "world-logging-policy")
    shown = ours.select("impression_id", "explored", served_us=pl.col("event_time").to_physical())
    duration = pl.col("duration_ms")
    watched = log.scan("watched").select(
        "impression_id",
        "user_id",
        "video_id",
        play=pl.col("watched_ms") / 1000.0,
        zero_play=(pl.col("watched_ms") == 0).cast(pl.Float64),
        click=(pl.col("watched_ms") >= pl.min_horizontal(CLICK_S * 1000, duration)).cast(pl.Float64),
        long_view=(pl.col("watched_ms") >= pl.min_horizontal(LONG_VIEW_S * 1000, duration)).cast(pl.Float64),
    )
    rows = watched.join(shown, on="impression_id")
    for name, ids in _reacting(log).items():
        rows = rows.join(ids.with_columns(pl.lit(1.0).alias(name)), on="impression_id", how="left")
    return rows.with_columns(pl.col(*_reacting(log)).fill_null(0.0)).collect()


def _reacting(log: EventLog) -> dict[str, pl.LazyFrame]:
    reacted = log.scan("reacted")
    found = {
        name: reacted.filter(pl.col("reaction") == name).select("impression_id").unique()
        for name in ("like", "comment", "share", "hide", "profile")
    }
    found["follow"] = log.scan("followed").select("impression_id").drop_nulls().unique()
    return found


def card(world: World, rows: pl.DataFrame) -> dict[str, Estimate]:
    """Every row of targets.TARGETS, by name, and long_view on the slots that really were explored."""
    people, at = np.unique(rows["user_id"].to_numpy(), return_inverse=True)
    rng = np.random.default_rng([world.seed, 6])
    weights = np.vstack([np.ones(len(people)), rng.poisson(1.0, (DRAWS, len(people)))])
    of_people = _sums(rows, at, _random_long_view(world, rows, rng))
    totals = {name: weights @ column for name, column in of_people.items()}
    figures = {name: _interval(values, len(rows)) for name, values in _figures(totals).items()}
    return figures | {"play_median_s": _median(rows["play"].to_numpy(), at)}


def _sums(rows: pl.DataFrame, at: Ints, random_long_view: Floats) -> dict[str, Floats]:
    """Per-person sums that every figure is a function of."""
    long_view = rows["long_view"].to_numpy()
    explored = rows["explored"].to_numpy().astype(np.float64)
    columns = {"n": np.ones(len(rows)), "zero_play": rows["zero_play"].to_numpy(), "long_view": long_view}
    columns |= {"explored": explored, "explored_long_view": explored * long_view}
    columns |= {"sampled": ~np.isnan(random_long_view), "random": np.nan_to_num(random_long_view)}
    for name in SIGNALS:
        signal = rows[name].to_numpy()
        columns |= {name: signal, f"{name}_squared": signal**2, f"{name}_long_view": signal * long_view}
    quarters = _quarters(at)
    for number in range(QUARTERS):
        here = (quarters == number).astype(np.float64)
        columns |= {f"q{number}": here, f"q{number}_long_view": here * long_view}
    return {name: np.bincount(at, column).astype(np.float64) for name, column in columns.items()}


def _figures(of: Mapping[str, Floats]) -> dict[str, Floats]:
    n = of["n"]
    names = ("click", "long_view", "zero_play", "like", "comment", "share", "follow", "hide", "profile")
    figures = {name: of[name] / n for name in names}
    figures["play_mean_s"] = of["play"] / n
    figures["long_view_random"] = of["random"] / of["sampled"]
    figures["long_view_ratio"] = figures["long_view"] / figures["long_view_random"]
    figures["long_view_explored"] = of["explored_long_view"] / np.maximum(of["explored"], 1.0)
    figures |= {f"corr_{name}": _correlation(of, name) for name in SIGNALS}
    for number in range(QUARTERS):
        figures[f"long_view_activity_q{number + 1}"] = of[f"q{number}_long_view"] / of[f"q{number}"]
    return figures


def _correlation(of: Mapping[str, Floats], name: str) -> Floats:
    """Pearson's r of a signal with long_view, from sums; long_view is 0 or 1, so it is its own square."""
    n, mean, rate = of["n"], of[name] / of["n"], of["long_view"] / of["n"]
    covariance = of[f"{name}_long_view"] / n - mean * rate
    return np.asarray(covariance / np.sqrt((of[f"{name}_squared"] / n - mean**2) * (rate - rate**2)))


def _quarters(at: Ints) -> Ints:
    """0..3 per impression, by how active its person is; each quarter holds as many impressions."""
    counts = np.bincount(at)
    order = np.argsort(counts, kind="stable")
    middle = np.cumsum(counts[order]) - counts[order] / 2
    of_people = np.empty(len(counts), dtype=np.int64)
    of_people[order] = np.minimum(QUARTERS * middle / counts.sum(), QUARTERS - 1).astype(np.int64)
    return of_people[at]


def _random_long_view(world: World, rows: pl.DataFrame, rng: np.random.Generator) -> Floats:
    """P(long view) of a uniformly drawn unseen video for a sample of the impressions; NaN for the others."""
    sample = np.sort(rng.permutation(len(rows))[:RANDOM_SAMPLE])
    asked = rows[sample].select("user_id", "served_us")
    drawn = unseen_draws(world, rows, asked, rng)
    chances = np.full(len(rows), np.nan)
    user_ids, now_us = asked["user_id"].to_numpy(), asked["served_us"].to_numpy()
    chances[sample] = world.label_probabilities(user_ids, drawn, now_us)["long_view"]
    return chances


def unseen_draws(world: World, rows: pl.DataFrame, asked: pl.DataFrame, rng: np.random.Generator) -> Ints:
    """Video ids, uniform over what each asker (user_id, served_us) could have been shown, by rejection."""
    existing = world.videos.existing_at(asked["served_us"].to_numpy())
    seen = rows.select("user_id", "video_id", seen_us="served_us")
    drawn = np.full(len(asked), -1)
    open_rows = np.arange(len(asked))
    while len(open_rows):
        drawn[open_rows] = FIRST_VIDEO + (rng.random(len(open_rows)) * existing[open_rows]).astype(np.int64)
        tried = asked[open_rows].with_columns(video_id=pl.Series(drawn[open_rows]))
        met = tried.join(seen, on=["user_id", "video_id"], how="left", maintain_order="left")
        before = (met["seen_us"] < met["served_us"]).fill_null(False).to_numpy()
        open_rows = open_rows[before]
    return drawn


def _interval(values: Floats, n: int) -> Estimate:
    """The figure itself comes first, its bootstrap draws after it."""
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return Estimate(float(values[0]), float(low), float(high), n)


def _median(play: Floats, at: Ints) -> Estimate:
    """The median, its interval by inverting that of the share below it (people as clusters)."""
    middle = float(np.median(play))
    counts = np.bincount(at)
    below = np.bincount(at, play <= middle)
    error = np.sqrt(((below - 0.5 * counts) ** 2).sum()) / counts.sum()
    low, high = np.quantile(play, np.clip([0.5 - 1.96 * error, 0.5 + 1.96 * error], 0.0, 1.0))
    return Estimate(middle, float(low), float(high), len(play))


def report(found: Mapping[str, Estimate]) -> dict[str, object]:
    """The card as JSON: per row the real figure, the simulated estimate, the band and whether it holds."""
    rows = {target.name: _row(target, found[target.name]) for target in TARGETS}
    explored = found["long_view_explored"]
    return {
        "rows": rows,
        "inside": sum(target.holds(found[target.name].value) for target in TARGETS),
        "of": len(TARGETS),
        "long_view_explored": estimate(explored.value, explored.low, explored.high, explored.n),
    }


def _row(target: Target, found: Estimate) -> dict[str, object]:
    return {
        "real": target.real,
        "simulated": estimate(found.value, found.low, found.high, found.n),
        "band": [target.low, target.high],
        "inside": target.holds(found.value),
        "unit": target.unit,
        "source": target.source,
    }


def _table(run: Run, found: Mapping[str, Estimate]) -> Table:
    table = Table(title=f"The world beside the published figures   {run.scale}, seed {run.seed}")
    for column in ("figure", "real", "simulated", "95 % interval", "band", ""):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for target in TARGETS:
        table.add_row(*_cells(target, found[target.name]))
    explored = found["long_view_explored"]
    table.add_row("long_view on explored slots", "", *_shown(explored), "", "not a target")
    return table


def _cells(target: Target, found: Estimate) -> list[str]:
    band = f"{target.low:.4g} .. {target.high:.4g}"
    verdict = "in" if target.holds(found.value) else "[red]out[/red]"
    return [target.name, f"{target.real:.4g}", *_shown(found), band, verdict]


def _shown(found: Estimate) -> list[str]:
    return [f"{found.value:.4g}", f"{found.low:.4g} .. {found.high:.4g}"]
