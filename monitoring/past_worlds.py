"""The world a feed reads, as it was at a moment of the past: counted from facts, no store is asked.

Law: what a server read then is what was known strictly before, so features here equal those served, cell by
cell in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.catalogue import (
    CREATOR_STATS,
    DEFAULTS,
    USER_PROFILE,
    USER_STATS,
    USER_TOPIC_STATS,
    VIDEO_PROFILE,
    VIDEO_STATS,
    View,
)
from feature_repo.counting import counted_columns, profiles_before
from feature_repo.events import TOPICS
from feature_repo.facts import Facts, Known, counted_facts, facts_of, joined
from feature_repo.log import EventLog
from feature_repo.online import VideoMirror
from feature_repo.online_writer import tables_of
from feature_repo.steps import profile_table
from feature_repo.videos import VideoCatalog
from serving.compose import World

Ints = NDArray[np.int64]
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class PastUsers:
    """People's features as of any moment: the `Users` of serving.readers."""

    facts: Facts
    profiles: pl.DataFrame

    def read(
        self, user_id: int, topics: Sequence[int], now_us: int
    ) -> tuple[dict[str, float], NDArray[np.float32]]:
        codes = np.asarray(topics, np.int64)
        users = np.full(len(codes), user_id)
        told = _profiles(self.profiles, USER_PROFILE, users[:1])
        told |= _counted(self.facts, USER_STATS, {"user_id": users[:1]}, now_us)
        by_topic = _counted(self.facts, USER_TOPIC_STATS, {"user_id": users, "topic": codes}, now_us)
        names = USER_TOPIC_STATS.names
        matrix = np.tile(np.array([DEFAULTS[name] for name in names], np.float32), (TOPICS, 1))
        matrix[codes] = np.column_stack([by_topic[name] for name in names])
        return {name: float(column[0]) for name, column in told.items()}, matrix


def world_then(
    log: EventLog,
    waiting: Sequence[Mapping[str, Any]],
    catalogue_us: int,
    mirror_us: int,
    loaded_us: int | None,
) -> World:
    """The world with the videos, the mirror and the profiles of three moments; people are read at any."""
    catalog = VideoCatalog.from_log(log, known_before_us=catalogue_us)
    facts, before_us = all_facts(log, waiting), loaded_us or 0
    profiles = profile_table(VIDEO_PROFILE, log, before_us)
    columns = {
        **_profiles(profiles, VIDEO_PROFILE, catalog.video_ids),
        **_counted(facts, VIDEO_STATS, {"video_id": catalog.video_ids}, mirror_us),
        **_counted(facts, CREATOR_STATS, {"creator_id": catalog.creator_ids}, mirror_us),
    }
    mirror = VideoMirror(catalog.video_ids, columns, mirror_us)
    people = profile_table(USER_PROFILE, log, before_us)
    spare = PastUsers(
        facts, people.clear()
    )  # without the store, a server knows what people did, not who they are
    return World(
        catalog, mirror, PastUsers(facts, people), known_us=catalogue_us, loaded_us=loaded_us, spare=spare
    )


def all_facts(log: EventLog, waiting: Sequence[Mapping[str, Any]]) -> Facts:
    """Everything that counts, the journal's waiting events included."""
    end_us = log.all_known_us()
    known = Known.of(log, end_us)
    logged, tables = counted_facts(log, end_us, known), tables_of(waiting)
    if "served" in tables:
        known.show(tables["served"])
    return joined([logged, facts_of(tables, known)])


def _counted(facts: Facts, view: View, asked: Mapping[str, Ints], moment_us: int) -> Columns:
    rows = len(next(iter(asked.values())))
    return counted_columns(facts, asked, np.full(rows, moment_us), (view,))


def _profiles(profiles: pl.DataFrame, view: View, keys: Ints) -> dict[str, NDArray[Any]]:
    """Of every profile in the table, whatever its moment."""
    return profiles_before(profiles, view, keys, np.full(len(keys), 2**62))
