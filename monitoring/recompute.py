"""What features should have been: counted again from facts, offline, after the fact.

A second path to the same matrix, on purpose not the code that trained: agreement between the two is worth
something. Events that wait in the journal count like those of the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.catalogue import PROFILES
from feature_repo.clock import NEVER_US
from feature_repo.context import context_columns
from feature_repo.counting import counted_columns, profiles_before
from feature_repo.facts import COUNTED, TOLD, Facts, Known, columns_of, facts_of
from feature_repo.histories import (
    Histories,
    follows_before,
    histories_before,
    history_creator_share,
    history_topic_share,
)
from feature_repo.log import EventLog
from feature_repo.matrix import assemble
from feature_repo.steps import profile_table
from feature_repo.videos import VideoCatalog
from serving.readers import profile_codes
from serving.towers import PROFILE, Towers, scores

Columns = Mapping[str, NDArray[Any]]
Matrix = NDArray[np.float32]

ROWS = ("impression_id", "user_id", "video_id", "surface", "event_time")
_WATCHED = (
    "event_id",
    "impression_id",
    "user_id",
    "video_id",
    "watched_ms",
    "duration_ms",
    "event_time",
    "known_time",
)
_FOLLOWED = ("event_id", "user_id", "creator_id", "known_time")


@dataclass(frozen=True)
class Past:
    """Everything that was known, the journal's waiting events included."""

    catalog: VideoCatalog
    facts: Facts
    profiles: Mapping[str, pl.DataFrame]
    watched: pl.DataFrame
    followed: pl.DataFrame

    @classmethod
    def of(cls, log: EventLog, waiting: Mapping[str, pl.DataFrame]) -> Past:
        catalog = VideoCatalog.from_uploads(_all(log, waiting, "uploaded", None))
        return cls(
            catalog=catalog,
            facts=_facts(log, waiting),
            profiles={view.name: profile_table(view, log, NEVER_US) for view in PROFILES},
            watched=_all(log, waiting, "watched", _WATCHED),
            followed=_all(log, waiting, "followed", _FOLLOWED),
        )


def _all(
    log: EventLog, waiting: Mapping[str, pl.DataFrame], kind: str, columns: tuple[str, ...] | None
) -> pl.DataFrame:
    stored = log.read(kind, columns=columns)
    return pl.concat([stored, waiting[kind].select(stored.columns)]) if kind in waiting else stored


def _facts(log: EventLog, waiting: Mapping[str, pl.DataFrame]) -> Facts:
    """Of everything the log holds and the journal keeps for it."""
    known = Known.of(log, NEVER_US)
    if "served" in waiting:
        known.show(columns_of("served", waiting["served"]))
    tables = {kind: columns_of(kind, _all(log, waiting, kind, ("event_id", *TOLD[kind]))) for kind in COUNTED}
    return facts_of(tables, known)


def matrix_of(past: Past, towers: Towers | None, rows: pl.DataFrame, stored: Columns | None = None) -> Matrix:
    """The matrix of impressions (ROWS, impression_id unique) as of each one's event_time, f32[n, COLUMNS].

    `stored` are the stores' features where another way has found them already.
    """
    times = rows["event_time"].to_physical().to_numpy()
    stored = stored_columns(past, rows) if stored is None else stored
    histories = histories_before(past.watched, rows["user_id"].to_numpy(), times)
    columns = {
        **stored,
        **context_columns(
            times, rows["surface"].to_numpy(), stored["video_uploaded_us"], stored["user_joined_us"]
        ),
        **history_columns(past, histories, rows),
        "tower_score": tower_scores(past.catalog, towers, histories, rows, stored),
    }
    return assemble(columns, len(rows))


def stored_columns(past: Past, rows: pl.DataFrame) -> Columns:
    """Every feature the stores keep, as of event_time."""
    users, videos = rows["user_id"].to_numpy(), rows["video_id"].to_numpy()
    times = rows["event_time"].to_physical().to_numpy()
    asked = {
        "user_id": users,
        "video_id": videos,
        "creator_id": past.catalog.creators_of(videos),
        "topic": past.catalog.topics_of(videos),
    }
    columns: dict[str, NDArray[Any]] = dict(counted_columns(past.facts, asked, times))
    for view in PROFILES:
        columns |= profiles_before(past.profiles[view.name], view, asked[view.keys[0]], times)
    return columns


def history_columns(past: Past, histories: Histories, rows: pl.DataFrame) -> Columns:
    """What the last watched videos and the follows say."""
    catalog, videos = past.catalog, rows["video_id"].to_numpy()
    topics, creators = catalog.topics_of(histories.video_ids), catalog.creators_of(histories.video_ids)
    times, mine = rows["event_time"].to_physical().to_numpy(), catalog.creators_of(videos)
    return {
        "history_size": histories.sizes,
        "history_topic_share": history_topic_share(histories.weights, topics, catalog.topics_of(videos)),
        "history_creator_share": history_creator_share(histories.weights, creators, mine),
        "follows_creator": follows_before(past.followed, rows["user_id"].to_numpy(), mine, times),
    }


def tower_scores(
    catalog: VideoCatalog, towers: Towers | None, histories: Histories, rows: pl.DataFrame, stored: Columns
) -> NDArray[np.float32]:
    """The dot product of the towers that served, 0 for an unknown video; NaN without towers."""
    if towers is None:
        return np.full(len(rows), np.nan, np.float32)
    inputs = towers.inputs(catalog)
    watched = catalog.rows_of(histories.video_ids)
    weights = np.where(watched < 0, np.float32(0), histories.weights)
    names = [f"user_{name}" for name in PROFILE]
    profiles = [
        profile_codes(dict(zip(names, row, strict=True)))
        for row in zip(*(stored[n] for n in names), strict=True)
    ]
    users = towers.users(np.array(profiles), watched, weights, towers.seen(inputs))
    places = catalog.rows_of(rows["video_id"].to_numpy())
    return np.where(places >= 0, scores(users, towers.videos(inputs)[places]), np.float32(0))
