"""Features as serving reads them: a person through Feast per request, videos mirrored into arrays.

Law: what is read at `now` equals the as-of join at `now` in float32. Feast's SQLite store serves values of
any age, so the TTL (inclusive) is enforced here: an expired or missing value is the catalogue's default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from feature_repo.catalogue import (
    CREATOR_STATS,
    USER_PROFILE,
    USER_STATS,
    USER_TOPIC_STATS,
    VIDEO_PROFILE,
    VIDEO_STATS,
    Feature,
    View,
)
from feature_repo.clock import SECOND_US
from feature_repo.events import TOPICS
from feature_repo.videos import rows_of

if TYPE_CHECKING:
    from feast import FeatureStore

BATCH = 2_000
"""Entities per online read when mirroring: SQLite binds one variable each."""


@dataclass(frozen=True)
class OnlineUsers:
    """People's features, two Feast calls each: the person, and the person's topics."""

    store: FeatureStore

    def read(
        self, user_id: int, topics: Sequence[int], now_us: int
    ) -> tuple[dict[str, float], NDArray[np.float32]]:
        """(user features by name, [TOPICS, 3] user-topic features by topic code); defaults for a new person.

        `topics` are the codes worth asking for: those of the catalog.
        """
        rows = _read(self.store, (USER_PROFILE, USER_STATS), {"user_id": [user_id]}, now_us)
        person = {name: float(column[0]) for name, column in rows.items()}
        matrix = np.tile(_defaults(USER_TOPIC_STATS), (TOPICS, 1))
        if len(topics):
            keys = {"user_id": [user_id] * len(topics), "topic": [int(topic) for topic in topics]}
            found = _read(self.store, (USER_TOPIC_STATS,), keys, now_us)
            matrix[list(topics)] = np.column_stack([found[name] for name in USER_TOPIC_STATS.names])
        return person, matrix


@dataclass(frozen=True)
class VideoMirror:
    """Features of every video at one moment, one row per video id, ids ascending."""

    video_ids: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]
    read_at_us: int

    def rows_of(self, video_ids: ArrayLike) -> NDArray[np.int64]:
        """The row of each id, -1 where the video is unknown."""
        return rows_of(self.video_ids, video_ids)

    def take(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Every column at these rows; defaults where a row is -1."""
        known = rows >= 0
        if not len(self.video_ids):
            return {n: np.full(len(rows), _DEFAULT[n], c.dtype) for n, c in self.columns.items()}
        return {n: np.where(known, c[rows], c.dtype.type(_DEFAULT[n])) for n, c in self.columns.items()}


_MIRRORED = (VIDEO_PROFILE, VIDEO_STATS, CREATOR_STATS)
_DEFAULT = {feature.name: feature.default for view in _MIRRORED for feature in view.features}


def mirror(store: FeatureStore, video_ids: ArrayLike, creators: ArrayLike, now_us: int) -> VideoMirror:
    """Read video and creator features of these videos (creators[i] made video_ids[i]) as of now.

    Columns are float32, but video_uploaded_us, which is float64.
    """
    ids, first = np.unique(np.asarray(video_ids, np.int64), return_index=True)
    maker = np.asarray(creators, np.int64)[first]
    makers, row = np.unique(maker, return_inverse=True)
    videos = _read_all(store, (VIDEO_PROFILE, VIDEO_STATS), "video_id", ids, now_us)
    made_by = _read_all(store, (CREATOR_STATS,), "creator_id", makers, now_us)
    columns = {**videos, **{name: column[row] for name, column in made_by.items()}}
    for column in columns.values():
        column.setflags(write=False)
    return VideoMirror(ids, columns, now_us)


def _read_all(
    store: FeatureStore, views: Sequence[View], key: str, ids: NDArray[np.int64], now_us: int
) -> dict[str, NDArray[Any]]:
    parts = [_read(store, views, {key: batch}, now_us) for batch in _batches(ids)]
    features = [feature for view in views for feature in view.features]
    return {
        f.name: np.concatenate([np.zeros(0, _dtype(f)), *(part[f.name] for part in parts)]) for f in features
    }


def _batches(ids: NDArray[np.int64]) -> Iterator[list[int]]:
    for low in range(0, len(ids), BATCH):
        yield ids[low : low + BATCH].tolist()


def _read(
    store: FeatureStore, views: Sequence[View], keys: Mapping[str, list[int]], now_us: int
) -> dict[str, NDArray[Any]]:
    """One array per feature, one value per entity row, TTL and defaults applied."""
    references = [f"{view.name}:{name}" for view in views for name in view.names]
    answer = store.get_online_features(features=references, entity_rows=dict(keys)).proto
    found = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
    return {f.name: _column(f, view, found[f.name], now_us) for view in views for f in view.features}


def _column(feature: Feature, view: View, found: Any, now_us: int) -> NDArray[Any]:
    """A missing value has no kind set; its timestamp is 1970, so a view with a TTL refuses it twice."""
    oldest = -np.inf if view.ttl_us is None else now_us - view.ttl_us
    kind = "int64_val" if feature.integer else "float_val"
    values = [
        getattr(value, kind) if value.HasField(kind) and _moment(at) >= oldest else feature.default
        for value, at in zip(found.values, found.event_timestamps, strict=True)
    ]
    return np.asarray(values, _dtype(feature))


def _moment(timestamp: Any) -> int:
    return int(timestamp.seconds) * SECOND_US + int(timestamp.nanos) // 1000


def _dtype(feature: Feature) -> type[np.floating[Any]]:
    return np.float64 if feature.integer else np.float32


def _defaults(view: View) -> NDArray[np.float32]:
    return np.asarray([feature.default for feature in view.features], np.float32)
