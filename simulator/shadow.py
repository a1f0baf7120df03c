"""The shadow log: what truly happened to every item somebody saw, beside the log that had faults. Sealed.

One row per item that was reached or examined, one parquet per lived day, in the order lived. It tells what
the log's cleaning should find: drop what was sent twice, and exactly the rows with `logged` are left. Written
in the same swap as the log (swaps.py): both are there, of the same world, or neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.places import Places
from feature_repo.reports import write_text_atomically
from simulator import behaviour
from simulator.births import FIRST_USER, FIRST_VIDEO
from simulator.exposures import GRID, Exposures
from simulator.faults import Fates, Faults, reaction_numbers, sentinels, skews_us
from simulator.luck import Floats
from simulator.observations import fans_bands, impression_ids
from simulator.scenarios import Dial, Scenario
from simulator.worlds import World

MARKER = "world.json"
"""In the log and in the shadow: the world they came from. They must be the same."""

ROWS_PER_GROUP = 1 << 18
Bits = NDArray[np.int16]

SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "impression_id": pl.Int64,
    "user_id": pl.Int64,
    "video_id": pl.Int64,
    "surface": pl.Int16,
    "reached": pl.Boolean,  # swipe: on screen; grid: tapped
    "examined": pl.Boolean,
    "bot": pl.Boolean,
    "pull": pl.Float32,
    "satisfaction": pl.Float32,
    "click": pl.Float32,  # Bayes probability, of a person who examined it, to watch 7 s (grid: to tap)
    "long_view": pl.Float32,  # the same, to watch 18 s or to the end
    "watched_ms": pl.Int64,
    "started_us": pl.Int64,
    "known_us": pl.Int64,  # when the report of the watch arrived, or would have; null where none was sent
    "dropped": pl.Boolean,
    "duplicated": pl.Boolean,
    "late": pl.Boolean,
    "logged": pl.Boolean,  # the report of the watch is in the log
    "skew_us": pl.Int64,
    "null_duration": pl.Boolean,
    "in_seconds": pl.Boolean,
    "reactions": pl.Int16,  # one bit per name of behaviour.REACTIONS; the next ones likewise
    "reactions_dropped": pl.Int16,
    "reactions_duplicated": pl.Int16,
    "reactions_late": pl.Int16,
}


class NoShadow(FileNotFoundError):
    """There is no shadow beside this log, or one of another world."""


def day_shadowed(
    world: World,
    rows: Exposures,
    watched: tuple[pl.DataFrame, Fates],
    reacted: tuple[pl.DataFrame, Fates],
) -> pl.DataFrame:
    """The day's rows: what happened, and the fates of the reports of it (true frames, in their order)."""
    kept = np.take(rows, np.flatnonzero(rows["reached"] | rows["examined"]))
    frame, fates = watched
    known = (frame["known_time"].to_physical() + pl.Series(fates.delay_us)).to_numpy()
    columns = happened(world, kept) | _reported(kept, fates, known, world.end_us)
    columns |= _reactions(kept, frame["impression_id"].to_numpy(), *reacted)
    table = pl.DataFrame(columns, schema_overrides={"known_us": pl.Int64})
    return table.with_columns(pl.when("reached").then("known_us")).select(
        pl.col(name).cast(dtype) for name, dtype in SCHEMA.items()
    )


def write_day(folder: Path, day: int, frame: pl.DataFrame) -> None:
    """One lived day; the folder is not in place yet, so nobody reads a part of it."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(
        folder / f"day-{day:03d}.parquet",
        compression="zstd",
        compression_level=1,
        row_group_size=ROWS_PER_GROUP,
    )


def write_beginnings(folder: Path, world: World, faults: Faults) -> None:
    """Who is who (people.parquet), and what was done to the world from outside (scenario.json)."""
    folder.mkdir(parents=True, exist_ok=True)
    people = pl.DataFrame(
        {
            "user_id": world.people.user_ids,
            "bot": world.people.bot,
            "skew_us": skews_us(world, faults),
            "fans_band": fans_bands(world).astype(np.int16),
            "sentinel": sentinels(world, faults),
        }
    )
    people.write_parquet(folder / "people.parquet", compression="zstd", compression_level=1)
    write_text_atomically(folder / "scenario.json", json.dumps(asdict(world.scenario), indent=1) + "\n")


def impressions(places: Places) -> pl.LazyFrame:
    """Every item reached or examined, day by day as lived; NoShadow if this log has none."""
    return pl.scan_parquet(sorted(_of_this_log(places).glob("day-*.parquet")), glob=False)


def people(places: Places) -> pl.DataFrame:
    """Everybody: bot, how far their clock is off, their true fans band, and whether it reads as -124."""
    return pl.read_parquet(_of_this_log(places) / "people.parquet")


def scenario(places: Places) -> Scenario:
    """What was done to the world: the answer key of an incident."""
    found = json.loads((_of_this_log(places) / "scenario.json").read_text())
    dials = (
        Dial(**{**dial, "values": tuple((name, value) for name, value in dial["values"])})
        for dial in found["dials"]
    )
    return Scenario(found["name"], tuple(dials), found["start_us"])


def is_of(places: Places) -> bool:
    """Whether the shadow there is that of the log there."""
    ours, logs = places.shadow / MARKER, places.log / MARKER
    return ours.exists() and logs.exists() and ours.read_bytes() == logs.read_bytes()


def _of_this_log(places: Places) -> Path:
    if not is_of(places):
        raise NoShadow(
            f"{places.shadow} is not the shadow of {places.log}; "
            "live the world again: python -m simulator logs --replace"
        )
    return places.shadow


def happened(world: World, rows: Exposures) -> dict[str, object]:
    click, long_view = _bayes(world, rows)
    return {
        "impression_id": impression_ids(rows),
        "user_id": rows["person"] + np.int64(FIRST_USER),
        "video_id": rows["video"] + np.int64(FIRST_VIDEO),
        "surface": rows["surface"],
        "reached": rows["reached"],
        "examined": rows["examined"],
        "bot": world.people.bot[rows["person"]],
        "pull": rows["pull"],
        "satisfaction": rows["satisfaction"],
        "click": click,
        "long_view": long_view,
        "watched_ms": rows["watched_ms"],
        "started_us": rows["started_us"],
    }


def _bayes(world: World, rows: Exposures) -> tuple[Floats, Floats]:
    """P(click), P(long view) of an ordinary person who examines each item [n]."""
    c, pull = world.coefficients, _single(rows["pull"])
    length_s = _single(world.videos.duration_ms[rows["video"]] / 1000.0)
    starts = 1.0 - behaviour.zero_probability(c, pull)
    click = starts * behaviour.reach_probability_once_playing(c, pull, length_s, behaviour.CLICK_S)
    grid = np.flatnonzero(rows["surface"] == GRID)
    clickbait = world.videos.clickbait[rows["video"][grid]]
    starts[grid] = click[grid] = behaviour.tap_probability(c, pull[grid], clickbait)
    stays = behaviour.reach_probability_once_playing(c, pull, length_s, behaviour.LONG_VIEW_S)
    return click, starts * stays


def _single(values: NDArray[Any]) -> Any:
    """In single precision, which is as exact as the file and twice as fast."""
    return values.astype(np.float32)


def _reported(rows: Exposures, of: Fates, known_us: NDArray[np.int64], end_us: int) -> dict[str, object]:
    """The fate of each watch's report; where nothing was watched, nothing was reported."""
    reached = rows["reached"]

    def spread(values: NDArray[np.generic]) -> NDArray[np.generic]:
        everywhere = np.zeros(len(rows), dtype=values.dtype)
        everywhere[reached] = values
        return everywhere

    return {
        "known_us": spread(known_us),
        "dropped": spread(of.dropped),
        "duplicated": spread(of.duplicated),
        "late": spread(of.late),
        "logged": spread(~of.dropped & (known_us < end_us)),
        "skew_us": spread(of.skew_us),
        "null_duration": spread(of.null_duration),
        "in_seconds": spread(of.in_seconds),
    }


def _reactions(
    rows: Exposures, watched: NDArray[np.int64], events: pl.DataFrame, of: Fates
) -> dict[str, Bits]:
    """Bits per reaction: which happened, and which of their reports were lost, doubled or late."""
    bits = np.left_shift(1, reaction_numbers(events)).astype(np.int16)
    order = np.argsort(watched)
    at = order[np.searchsorted(watched, events["impression_id"].to_numpy(), sorter=order)]
    places = np.flatnonzero(rows["reached"])[at]
    found = {"reactions": rows["reactions"].astype(np.int16)}
    for name, fate in (("dropped", of.dropped), ("duplicated", of.duplicated), ("late", of.late)):
        column = np.zeros(len(rows), dtype=np.int16)
        np.bitwise_or.at(column, places[fate], bits[fate])
        found[f"reactions_{name}"] = column
    return found
