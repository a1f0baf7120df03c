"""What the card looks at: people's swipe impressions, their active days, and the videos that became public.

Bots are left out by the truth, and what faults disturb (lost, repeated and late reports, wrong clocks
and durations) is read from the shadow log. Without a shadow log the log stands as it is, its repeats dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.clock import DAY_US
from feature_repo.labels import long_watch
from feature_repo.log import EventLog
from simulator import supply
from simulator.behaviour import CLICK_S, REACTIONS
from simulator.births import FIRST_USER, FIRST_VIDEO
from simulator.days import Lived
from simulator.exposures import SWIPE, Exposures, reacted
from simulator.observations import RELEASE
from simulator.worlds import World

REACTED = ("like", "comment", "share", "hide", "profile", "follow")
"""Reactions with a published rate."""


@dataclass(frozen=True)
class Observed:
    """The card's tables, people only.

    impressions: user_id, video_id, served_us, play (s), duration_s, zero_play, click, long_view, explored and
    REACTED as 0 or 1; one row per video on somebody's screen. days: user_id, day (since 1970, UTC), videos
    watched. videos: video_id, uploaded_us, duration_s (null if unknown), removed_us (null if never), in order
    of upload.
    """

    impressions: pl.DataFrame
    days: pl.DataFrame
    videos: pl.DataFrame


def observed(log: EventLog, shadow: pl.LazyFrame | None = None) -> Observed:
    """The log, with `shadow` as with_durations gives it."""
    return Observed(impressions(log, shadow), _days(_met(log, shadow)), public_videos(log))


def observed_in(world: World, lived: Sequence[Lived]) -> Observed:
    """The same straight from lived days, no log in between: for tuning the world, and for tests."""
    rows = np.concatenate([day.rows[day.rows["reached"]] for day in lived])
    people = rows[~world.people.bot[rows["person"]]]
    public = np.concatenate([supply.published_before(world), *(day.published for day in lived)])
    met = pl.LazyFrame({"user_id": people["person"] + FIRST_USER, "started_us": people["started_us"]})
    return Observed(_told(world, people[people["surface"] == SWIPE]), _days(met), _known(world, public))


def with_durations(world: World, shadow: pl.LazyFrame) -> pl.LazyFrame:
    """The shadow log of people, with every video's true duration."""
    videos = world.videos
    true = pl.LazyFrame({"video_id": videos.video_ids, "duration_ms": videos.duration_ms})
    return shadow.filter(~pl.col("bot")).join(true, on="video_id")


def impressions(log: EventLog, shadow: pl.LazyFrame | None = None) -> pl.DataFrame:
    """Observed.impressions.

    A server's own impressions are left out: the card describes the world under its logging policy.
    """
    rows = _logged(log) if shadow is None else _true(log, shadow)
    keys = ("user_id", "video_id", "served_us", "explored")
    return rows.select(*keys, *_labels(), pl.col(*REACTED).cast(pl.Float64)).collect()


def as_logged(log: EventLog) -> pl.DataFrame:
    """user_id, video_id, click, long_view as anybody reads them: bots, repeats and null durations too."""
    rows = log.scan("watched").join(_shown(log).drop("user_id"), on="impression_id")
    columns = ("user_id", "video_id", "click", "long_view")
    return rows.select("user_id", "video_id", *_labels()).select(columns).collect()


def public_videos(log: EventLog) -> pl.DataFrame:
    """Observed.videos: what was announced, and what moderation took down."""
    moment = pl.col("event_time").to_physical()
    uploaded = log.scan("uploaded").unique("video_id", keep="first")
    removed = log.scan("removed").group_by("video_id").agg(removed_us=moment.min())
    seconds = pl.col("duration_ms") / 1000.0
    found = uploaded.select("video_id", uploaded_us=moment, duration_s=seconds)
    return found.join(removed, on="video_id", how="left").sort("uploaded_us", "video_id").collect()


def _shown(log: EventLog) -> pl.LazyFrame:
    """What the world's own policy put on the swipe surface, each impression once."""
    ours = (pl.col("release_id") == RELEASE) & (pl.col("surface") == SWIPE)
    shown = log.scan("served").filter(ours)
    moment = pl.col("event_time").to_physical()
    columns = shown.select("impression_id", "user_id", "explored", served_us=moment)
    return columns.unique("impression_id", keep="first")


def _labels() -> list[pl.Expr]:
    """The card's columns, from watched_ms and duration_ms; an unknown duration asks for the whole bar."""
    watched, duration = pl.col("watched_ms"), pl.col("duration_ms")
    labels = {
        "play": watched / 1000.0,
        "duration_s": duration / 1000.0,
        "zero_play": watched == 0,
        "click": watched >= pl.min_horizontal(pl.lit(CLICK_S * 1000), duration),
        "long_view": long_watch(watched, duration),
    }
    return [label.cast(pl.Float64).alias(name) for name, label in labels.items()]


def _logged(log: EventLog) -> pl.LazyFrame:
    """Each watch that was reported, and whether each reaction was."""
    rows = log.scan("watched").unique("impression_id", keep="first")
    rows = rows.join(_shown(log).drop("user_id"), on="impression_id")
    told = log.scan("reacted").select("impression_id", name="reaction")
    follows = log.scan("followed").select("impression_id", name=pl.lit("follow")).drop_nulls()
    every = pl.concat([told, follows])
    for name in REACTED:
        ids = every.filter(pl.col("name") == name).select("impression_id").unique()
        rows = rows.join(ids.with_columns(pl.lit(1.0).alias(name)), on="impression_id", how="left")
    return rows.with_columns(pl.col(*REACTED).fill_null(0.0))


def _true(log: EventLog, shadow: pl.LazyFrame) -> pl.LazyFrame:
    """Each watch that happened, and whether each reaction did; the server's own record has no faults."""
    rows = shadow.filter(pl.col("reached") & (pl.col("surface") == SWIPE))
    bits = [(pl.col("reactions") // 2 ** REACTIONS.index(name) % 2).alias(name) for name in REACTED]
    return rows.join(_shown(log).drop("user_id"), on="impression_id").with_columns(bits)


def _met(log: EventLog, shadow: pl.LazyFrame | None) -> pl.LazyFrame:
    """user_id and started_us of everything watched on either surface: a day on the grid is active too."""
    if shadow is not None:
        return shadow.filter("reached").select("user_id", "started_us")
    begun = pl.col("event_time").to_physical() - 1000 * pl.col("watched_ms")
    once = log.scan("watched").unique("impression_id", keep="first")
    return once.select("user_id", started_us=begun)


def _days(met: pl.LazyFrame) -> pl.DataFrame:
    day = pl.col("started_us").cast(pl.Int64) // DAY_US
    grouped = met.group_by("user_id", day=day).agg(videos=pl.len().cast(pl.Int64))
    return grouped.sort("user_id", "day").collect()


def _told(world: World, rows: Exposures) -> pl.DataFrame:
    """Lived rows as the card's impressions."""
    columns: dict[str, NDArray[Any]] = {
        "user_id": rows["person"] + np.int64(FIRST_USER),
        "video_id": rows["video"] + np.int64(FIRST_VIDEO),
        "served_us": rows["served_us"],
        "explored": rows["explored"],
        "watched_ms": rows["watched_ms"],
        "duration_ms": world.videos.duration_ms[rows["video"]],
    }
    acts = {name: reacted(rows, REACTIONS.index(name)).astype(np.float64) for name in REACTED}
    keys = ("user_id", "video_id", "served_us", "explored")
    return pl.DataFrame(columns | acts).select(*keys, *_labels(), *REACTED)


def _known(world: World, public: NDArray[np.int64]) -> pl.DataFrame:
    """Rows of Videos as the card's videos."""
    videos = world.videos
    removed_us = pl.Series(videos.removed_us[public])
    found = pl.DataFrame(
        {
            "video_id": videos.video_ids[public],
            "uploaded_us": videos.uploaded_us[public],
            "duration_s": videos.duration_ms[public] / 1000.0,
            "removed_us": removed_us.set(removed_us >= world.end_us, None),
        }
    )
    return found.sort("uploaded_us", "video_id")
