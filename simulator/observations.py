"""What an outside observer gets to see of the world, as events of the log: no latent ever appears here.

Clients report what happened a little later (network delay, exponential, mean 2 s); the server knows at once
what it served, uploaded and took down. What goes wrong on the way is faults.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.clock import INSTANT, SECOND_US
from feature_repo.events import CONTENT_SIZE, KINDS, POSITIONS_PER_REQUEST, REACTIONS
from simulator import behaviour, supply
from simulator.births import FIRST_CREATOR, FIRST_USER, FIRST_VIDEO
from simulator.days import Lived, onboarding
from simulator.exposures import NOT_ANSWERED, NOT_ASKED, Exposures, reacted
from simulator.luck import Keys, Purpose, exponential, keys, normal, uniforms
from simulator.slates import SOURCE_NAMES
from simulator.swipes import delay_us
from simulator.worlds import World

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Frames = dict[str, pl.DataFrame]
Column = pl.Series | NDArray[Any] | None

RELEASE = "world-logging-policy"
NETWORK_US = 2 * SECOND_US
SURVEY_US = 8 * SECOND_US
"""Mean time from the end of a watch to a survey's answer, or to its being swiped away."""

REQUEST_BITS, SESSION_BITS = 10, 12
"""request_id = user_id << 22 | session << 10 | request: unique, and the same however the world is chunked."""

FANS_FROM = (1, 10, 100, 1_000, 5_000)
"""Lower ends of fans bands 1..5, as KuaiRand cuts them; band 0 has none."""

MEDIAN_FANS, FANS_SD = 48.0, 2.29
"""Log-normal fans per account (KuaiRand); an account's fans say nothing about its taste here."""

WATCHED, REACTED, FOLLOWED, SURVEYED = range(4)
"""Channels of the network: each report of an impression travels on its own."""


class Told(NamedTuple):
    """Impressions that clients report on: what was watched, elementwise."""

    rows: Exposures
    impressions: Ints
    user_ids: Ints
    video_ids: Ints
    watched_ms: Ints
    happened_us: Ints  # the end of the watch
    keys: Keys

    def at(self, places: NDArray[np.intp]) -> Told:
        """Some of them, by row."""
        columns: list[Any] = [np.take(column, places) for column in self]
        return Told(*columns)


def told(world: World, rows: Exposures) -> Told:
    """What the clients of a day tell of: the items that were watched."""
    watched = np.take(rows, np.flatnonzero(rows["reached"]))  # five times as fast as a mask of records
    user_ids, watched_ms = watched["person"] + np.int64(FIRST_USER), watched["watched_ms"].astype(np.int64)
    return Told(
        rows=watched,
        impressions=impression_ids(watched),
        user_ids=user_ids,
        video_ids=watched["video"] + np.int64(FIRST_VIDEO),
        watched_ms=watched_ms,
        happened_us=watched["started_us"] + 1000 * watched_ms,
        keys=keys(world.luck, user_ids, watched["session"]),
    )


def births_observed(world: World) -> Frames:
    """Everybody who joins and whom they follow at first; what was public before the log began."""
    public = supply.published_before(world)
    return {
        "joined": _joined(world),
        "followed": _onboarding_follows(world),
        "uploaded": uploads_observed(world, public),
        "removed": removals_observed(world, public),
    }


def day_observed(world: World, lived: Lived, of: Told | None = None) -> Frames:
    """One day's events as they happened, some of them after its midnight, every report received once."""
    clients = of or told(world, lived.rows)
    return {
        "served": _served(lived.rows),
        "watched": _watched(world, clients),
        "reacted": pl.concat([_reaction(clients, number) for number in range(len(REACTIONS))]),
        "followed": _followed(world, clients),
        "surveyed": _surveyed(clients),
        "uploaded": uploads_observed(world, lived.published),
        "removed": removals_observed(world, lived.published),
    }


def request_ids(rows: Exposures) -> Ints:
    user_ids = rows["person"] + np.int64(FIRST_USER)
    return np.asarray((((user_ids << SESSION_BITS) + rows["session"]) << REQUEST_BITS) + rows["request"])


def impression_ids(rows: Exposures) -> Ints:
    return np.asarray(request_ids(rows) * POSITIONS_PER_REQUEST + rows["position"])


def network_us(of: Told, channel: int) -> Ints:
    """How long each report travels, microseconds; one draw per channel."""
    luck = uniforms(of.keys, Purpose.NETWORK + channel, of.rows["step"])
    return np.asarray(np.rint(exponential(luck, NETWORK_US)).astype(np.int64) + 1)


def known_by(end_us: int, frame: pl.DataFrame) -> pl.DataFrame:
    """What had been known before the end of the log; the rest is not in it."""
    return frame.filter(pl.col("known_time") < pl.lit(end_us).cast(INSTANT))


def _served(rows: Exposures) -> pl.DataFrame:
    impressions = impression_ids(rows)
    columns: dict[str, Column] = {
        "event_id": _names("served", impressions),
        "event_time": rows["served_us"],
        "known_time": rows["served_us"],
        "request_id": request_ids(rows),
        "impression_id": impressions,
        "user_id": rows["person"] + np.int64(FIRST_USER),
        "video_id": rows["video"] + np.int64(FIRST_VIDEO),
        "position": rows["position"],
        "propensity": rows["propensity"],
        "explored": rows["explored"],
        "source": pl.Series(SOURCE_NAMES)[rows["source"].astype(np.int64)],
        "surface": rows["surface"],
        "release_id": pl.repeat(RELEASE, len(rows), eager=True),
        "features": None,
        "features_time": None,
    }
    return _frame("served", columns)


def _watched(world: World, of: Told) -> pl.DataFrame:
    columns: dict[str, Column] = {
        "event_id": _names("watched", of.impressions),
        "event_time": of.happened_us,
        "known_time": of.happened_us + network_us(of, WATCHED),
        "impression_id": of.impressions,
        "user_id": of.user_ids,
        "video_id": of.video_ids,
        "watched_ms": of.watched_ms,
        "duration_ms": world.videos.duration_ms[of.rows["video"]],
    }
    return _frame("watched", columns)


def _reaction(clients: Told, number: int) -> pl.DataFrame:
    of = clients.at(np.flatnonzero(reacted(clients.rows, number)))
    reaction = behaviour.REACTIONS[number]
    columns: dict[str, Column] = {
        "event_id": _names(reaction, of.impressions),
        **_delayed(of, reaction, REACTED),
        "impression_id": of.impressions,
        "user_id": of.user_ids,
        "video_id": of.video_ids,
        "reaction": pl.repeat(reaction, len(of.rows), eager=True, dtype=pl.String),
    }
    return _frame("reacted", columns)


def _followed(world: World, clients: Told) -> pl.DataFrame:
    of = clients.at(np.flatnonzero(reacted(clients.rows, behaviour.REACTIONS.index("follow"))))
    columns: dict[str, Column] = {
        "event_id": _names("followed", of.impressions),
        **_delayed(of, "follow", FOLLOWED),
        "impression_id": of.impressions,
        "user_id": of.user_ids,
        "creator_id": world.videos.creators[of.rows["video"]] + FIRST_CREATOR,
    }
    return _frame("followed", columns)


def _surveyed(clients: Told) -> pl.DataFrame:
    of = clients.at(np.flatnonzero(clients.rows["survey"] != NOT_ASKED))
    happened = of.happened_us + survey_delay_us(of.keys, of.rows["step"])
    answers = pl.Series(of.rows["survey"].astype(np.int16))
    columns: dict[str, Column] = {
        "event_id": _names("surveyed", of.impressions),
        "event_time": happened,
        "known_time": happened + network_us(of, SURVEYED),
        "impression_id": of.impressions,
        "user_id": of.user_ids,
        "video_id": of.video_ids,
        "answer": answers.replace(NOT_ANSWERED, None),
    }
    return _frame("surveyed", columns)


def survey_delay_us(of: Keys, steps: Ints) -> Ints:
    """From the end of a watch to what becomes of its survey."""
    luck = uniforms(of, Purpose.SURVEY_DELAY, steps)
    return np.asarray(np.rint(exponential(luck, SURVEY_US)).astype(np.int64))


def _delayed(of: Told, reaction: str, channel: int) -> dict[str, Column]:
    started_us = of.rows["started_us"]
    happened = started_us + delay_us(reaction, of.watched_ms, of.keys, of.rows["step"])
    return {"event_time": happened, "known_time": happened + network_us(of, channel)}


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


def fans_bands(world: World) -> Ints:
    """How many fans each account has, as a band 0..5 [people]."""
    of = keys(world.seed, world.people.user_ids)
    luck = normal(uniforms(of, Purpose.FANS), uniforms(of, Purpose.FANS + 1))
    return np.asarray(np.searchsorted(FANS_FROM, MEDIAN_FANS * np.exp(FANS_SD * luck), side="right"))


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
        "fans_band": fans_bands(world),
        "follows_band": None,
    }
    return _frame("joined", columns)


def uploads_observed(world: World, published: Ints) -> pl.DataFrame:
    """The uploads of these rows of videos, which became public."""
    of = world.videos
    columns: dict[str, Column] = {
        "event_id": _names("uploaded", of.video_ids[published]),
        "event_time": of.uploaded_us[published],
        "known_time": of.uploaded_us[published],
        "video_id": of.video_ids[published],
        "creator_id": world.creators.creator_ids[of.creators[published]],
        "topic": of.topics[published],
        "duration_ms": of.duration_ms[published],
        "content": pl.Series(of.content[published], dtype=pl.Array(pl.Float32, CONTENT_SIZE)),
        "headline_score": of.headline[published],
        "production_score": of.production[published],
    }
    return _frame("uploaded", columns)


def removals_observed(world: World, published: Ints) -> pl.DataFrame:
    """Which of these rows of videos moderation takes down, sooner or later."""
    removed = published[world.videos.removed_us[published] < world.end_us]
    columns: dict[str, Column] = {
        "event_id": _names("removed", world.videos.video_ids[removed]),
        "event_time": world.videos.removed_us[removed],
        "known_time": world.videos.removed_us[removed],
        "video_id": world.videos.video_ids[removed],
    }
    return _frame("removed", columns)


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
