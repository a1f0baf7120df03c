"""What an outside observer gets to see of the world, as events of the log: no latent ever appears here.

Clients report what happened a little later (network delay, exponential, mean 2 s); the server knows at once
what it served. What had not been known by the end of the log is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.clock import INSTANT
from feature_repo.events import CONTENT_SIZE, KINDS, POSITIONS_PER_REQUEST, REACTIONS
from simulator.births import FIRST_USER, FIRST_VIDEO
from simulator.days import Lived, onboarding
from simulator.logging_policy import SOURCE_NAMES
from simulator.luck import Purpose, exponentials, uniforms
from simulator.sessions import Exposures
from simulator.swipes import delay_us
from simulator.truth import World

Ints = NDArray[np.int64]
Frames = dict[str, pl.DataFrame]
Column = pl.Series | NDArray[Any] | None

RELEASE = "world-logging-policy"
NETWORK_US = 2_000_000
REQUEST_BITS, SESSION_BITS = 10, 12
"""request_id = user_id << 22 | session << 10 | request: unique, and the same however the world is chunked."""


def births_observed(world: World) -> Frames:
    """Everything that appears by itself: people who join and whom they follow at first, videos uploaded."""
    frames = {"joined": _joined(world), "uploaded": _uploaded(world), "followed": _onboarding_follows(world)}
    return {kind: _known_by(world.end_us, frame) for kind, frame in frames.items()}


def day_observed(world: World, lived: Lived) -> Frames:
    """One day's events; some happen after its midnight."""
    frames = {
        "served": _served(lived.served),
        "watched": _watched(world, lived),
        "reacted": _reacted(lived),
        "followed": _followed(world, lived),
    }
    return {kind: _known_by(world.end_us, frame) for kind, frame in frames.items()}


def request_ids(of: Exposures) -> Ints:
    user_ids = of.people + FIRST_USER
    return (((user_ids << SESSION_BITS) + of.sessions) << REQUEST_BITS) + of.requests


def impression_ids(of: Exposures) -> Ints:
    return request_ids(of) * POSITIONS_PER_REQUEST + of.positions


def _served(of: Exposures) -> pl.DataFrame:
    impressions = impression_ids(of)
    sources = pl.Series(of.sources).replace_strict(
        range(len(SOURCE_NAMES)), SOURCE_NAMES, return_dtype=pl.String
    )
    columns: dict[str, Column] = {
        "event_id": _names("served", impressions),
        "event_time": of.served_us,
        "known_time": of.served_us,
        "request_id": request_ids(of),
        "impression_id": impressions,
        "user_id": of.people + FIRST_USER,
        "video_id": of.videos + FIRST_VIDEO,
        "position": of.positions,
        "propensity": of.propensities,
        "explored": of.explored,
        "source": sources,
        "surface": np.zeros(len(impressions), dtype=np.int16),
        "release_id": pl.repeat(RELEASE, len(impressions), eager=True),
        "features": None,
        "features_time": None,
    }
    return _frame("served", columns)


def _watched(world: World, lived: Lived) -> pl.DataFrame:
    of = lived.watched
    impressions = impression_ids(of)
    happened = of.started_us + of.watched_ms * 1000
    columns: dict[str, Column] = {
        "event_id": _names("watched", impressions),
        "event_time": happened,
        "known_time": happened + _network_us(lived, 0),
        "impression_id": impressions,
        "user_id": of.people + FIRST_USER,
        "video_id": of.videos + FIRST_VIDEO,
        "watched_ms": of.watched_ms,
        "duration_ms": world.videos.duration_ms[of.videos],
    }
    return _frame("watched", columns)


def _reacted(lived: Lived) -> pl.DataFrame:
    return pl.concat([_one_reaction(lived, reaction) for reaction in REACTIONS])


def _one_reaction(lived: Lived, reaction: str) -> pl.DataFrame:
    at = np.flatnonzero(lived.reactions[reaction])
    of, impressions = lived.watched, impression_ids(lived.watched)[at]
    happened = of.started_us[at] + delay_us(reaction, of.watched_ms[at], lived.keys[at], of.steps[at])
    columns: dict[str, Column] = {
        "event_id": _names(reaction, impressions),
        "event_time": happened,
        "known_time": happened + _network_us(lived, 1)[at],
        "impression_id": impressions,
        "user_id": of.people[at] + FIRST_USER,
        "video_id": of.videos[at] + FIRST_VIDEO,
        "reaction": pl.repeat(reaction, len(at), eager=True, dtype=pl.String),
    }
    return _frame("reacted", columns)


def _followed(world: World, lived: Lived) -> pl.DataFrame:
    at = np.flatnonzero(lived.reactions["follow"])
    of, impressions = lived.watched, impression_ids(lived.watched)[at]
    happened = of.started_us[at] + delay_us("follow", of.watched_ms[at], lived.keys[at], of.steps[at])
    columns: dict[str, Column] = {
        "event_id": _names("followed", impressions),
        "event_time": happened,
        "known_time": happened + _network_us(lived, 2)[at],
        "impression_id": impressions,
        "user_id": of.people[at] + FIRST_USER,
        "creator_id": world.creators.creator_ids[world.videos.creators[of.videos[at]]],
    }
    return _frame("followed", columns)


def _onboarding_follows(world: World) -> pl.DataFrame:
    people, creators = onboarding(world)
    creator_ids = world.creators.creator_ids[creators]
    happened = world.people.joined_us[people]
    columns: dict[str, Column] = {
        "event_id": _names("onboarding", people + FIRST_USER, creator_ids),
        "event_time": happened,
        "known_time": happened,
        "impression_id": None,
        "user_id": people + FIRST_USER,
        "creator_id": creator_ids,
    }
    return _frame("followed", columns)


def _joined(world: World) -> pl.DataFrame:
    people = world.people
    columns: dict[str, Column] = {
        "event_id": _names("joined", people.user_ids),
        "event_time": people.joined_us,
        "known_time": people.joined_us,
        "user_id": people.user_ids,
        "country": people.country,
        "device": people.device,
        "age_band": people.age_band,
        "activity_band": None,
        "fans_band": None,
        "follows_band": None,
    }
    return _frame("joined", columns)


def _uploaded(world: World) -> pl.DataFrame:
    videos = world.videos
    columns: dict[str, Column] = {
        "event_id": _names("uploaded", videos.video_ids),
        "event_time": videos.uploaded_us,
        "known_time": videos.uploaded_us,
        "video_id": videos.video_ids,
        "creator_id": world.creators.creator_ids[videos.creators],
        "topic": videos.topics,
        "duration_ms": videos.duration_ms,
        "content": pl.Series(videos.content, dtype=pl.Array(pl.Float32, CONTENT_SIZE)),
        "headline_score": videos.headline,
        "production_score": videos.production,
    }
    return _frame("uploaded", columns)


def _network_us(lived: Lived, channel: int) -> Ints:
    """Delay of each watched impression's report; one draw per channel (watched, reacted, followed)."""
    luck = uniforms(lived.keys, Purpose.NETWORK + channel, lived.watched.steps)
    return np.rint(exponentials(luck, NETWORK_US)).astype(np.int64) + 1


def _names(kind: str, *ids: Ints) -> pl.Series:
    """Event ids such as served-64."""
    parts = pl.DataFrame({f"part{n}": column for n, column in enumerate(ids)})
    return parts.select(pl.concat_str(pl.lit(kind), *parts.columns, separator="-")).to_series()


def _frame(kind: str, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Columns cast to the log's schema; moments come as int64 microseconds."""
    schema = KINDS[kind]
    length = next(len(column) for column in columns.values() if column is not None)
    return pl.DataFrame([_series(name, column, schema[name], length) for name, column in columns.items()])


def _series(name: str, column: Column, dtype: pl.DataType | type[pl.DataType], length: int) -> pl.Series:
    if column is None:
        return pl.repeat(None, length, eager=True, dtype=dtype).alias(name)
    return pl.Series(name, column).cast(dtype)


def _known_by(end_us: int, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("known_time") < pl.lit(end_us).cast(INSTANT))
