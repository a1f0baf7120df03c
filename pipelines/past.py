"""The world as a feed would have found it at an earlier moment: features from their steps, nothing later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_repo.catalogue import (
    CREATOR_STATS,
    DEFAULTS,
    USER_PROFILE,
    USER_STATS,
    VIDEO_PROFILE,
    VIDEO_STATS,
    View,
)
from feature_repo.events import TOPICS
from feature_repo.log import EventLog
from feature_repo.materialization import newest
from feature_repo.online import VideoMirror
from feature_repo.places import Places
from feature_repo.videos import VideoCatalog
from serving.candidates import TOPIC_STATISTICS
from serving.compose import World

NO_TOPICS = np.full((TOPICS, TOPIC_STATISTICS), np.nan, np.float32)


@dataclass(frozen=True)
class PastUsers:
    """People's profile and statistics of that moment. Topic statistics are left out: no source reads them."""

    rows: Mapping[int, dict[str, float]]

    def read(
        self,
        user_id: int,
        topics: Sequence[int],  # noqa: ARG002 the protocol's; every topic is unknown here
        now_us: int,  # noqa: ARG002 the protocol's; the moment was fixed when this was made
    ) -> tuple[dict[str, float], npt.NDArray[np.float32]]:
        """The person's features by name; the defaults for somebody not known then."""
        return self.rows.get(user_id, _defaults((USER_PROFILE, USER_STATS))), NO_TOPICS


def world_then(places: Places, log: EventLog, moment_us: int) -> World:
    """Videos, their features and people's features as they were known at a moment."""
    catalog = VideoCatalog.from_log(log, known_before_us=moment_us)
    videos = _columns(places, (VIDEO_PROFILE, VIDEO_STATS), catalog.video_ids, moment_us)
    creators = _columns(places, (CREATOR_STATS,), catalog.creator_ids, moment_us)
    mirror = VideoMirror(catalog.video_ids, {**videos, **creators}, moment_us)
    return World(catalog, mirror, _users(places, moment_us))


def _columns(
    places: Places, views: Sequence[View], keys: npt.NDArray[np.int64], moment_us: int
) -> dict[str, npt.NDArray[Any]]:
    """Every feature of these views, one value per key, defaults where nothing was known."""
    asked = pl.DataFrame({views[0].keys[0]: keys})
    for view in views:
        rows = newest(places, view, moment_us).select(*view.keys, *view.names)
        asked = asked.join(rows, on=list(view.keys), how="left", maintain_order="left")
    return {name: _filled(asked[name], name) for view in views for name in view.names}


def _filled(column: pl.Series, name: str) -> npt.NDArray[Any]:
    dtype = pl.Float64 if column.dtype == pl.Int64 else pl.Float32
    return column.cast(dtype).fill_null(DEFAULTS[name]).to_numpy()


def _users(places: Places, moment_us: int) -> PastUsers:
    known = newest(places, USER_PROFILE, moment_us)["user_id"].to_numpy()
    columns = _columns(places, (USER_PROFILE, USER_STATS), known, moment_us)
    table = pl.DataFrame(columns)
    return PastUsers(dict(zip(known.tolist(), table.iter_rows(named=True), strict=True)))


def _defaults(views: Sequence[View]) -> dict[str, float]:
    return {name: float(DEFAULTS[name]) for view in views for name in view.names}
