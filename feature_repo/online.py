"""Features as serving reads them: a person's rows per request, videos mirrored into arrays.

Law: what is read at `now` equals the as-of join at `now` in float32. A row says until when it holds, and the
TTL (inclusive) is enforced here: an expired or missing value is the catalogue's default. What the store has
not heard of yet is counted from the stream of events where there is one; where there is none, a row that has
outlived its moment is used and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
from feature_repo.events import TOPICS
from feature_repo.facts import KEY_SPAN, Ints
from feature_repo.materialization import schema_of
from feature_repo.packed_rows import Rows
from feature_repo.packed_tables import PackedTables
from feature_repo.streams import FeatureStream
from feature_repo.videos import rows_of

Mask = NDArray[np.bool_]


@dataclass
class OnlineUsers:
    """People's features in one round trip: profile, statistics, statistics per topic."""

    tables: PackedTables
    stream: FeatureStream | None = None
    outlived: int = field(default=0, init=False)
    """Rows used after the moment until which they were known to hold, for want of a stream."""

    def read(
        self, user_id: int, topics: Sequence[int], now_us: int
    ) -> tuple[dict[str, float], NDArray[np.float32]]:
        """(user features by name, [TOPICS, n] user-topic features by topic code); defaults for a new person.

        `topics` are the codes worth asking for: those of the catalog.
        """
        codes = np.asarray(topics, np.int64)
        pairs = np.column_stack([np.full(len(codes), user_id), codes])
        asks = [(USER_PROFILE, np.array([[user_id]])), (USER_STATS, np.array([[user_id]]))]
        asks += [(USER_TOPIC_STATS, pairs)]
        found = self.tables.read_many([(schema_of(view), keys) for view, keys in asks])
        profile, stats, by_topic = (
            self._values(view, keys, rows, now_us) for (view, keys), rows in zip(asks, found, strict=True)
        )
        matrix = np.tile(_defaults(USER_TOPIC_STATS), (TOPICS, 1))
        matrix[codes] = by_topic
        names = (*USER_PROFILE.names, *USER_STATS.names)
        return dict(zip(names, [*profile[0].tolist(), *stats[0].tolist()], strict=True)), matrix

    def _values(self, view: View, keys: Ints, rows: Rows, now_us: int) -> NDArray[Any]:
        """[n, features] as of now."""
        alive = holds(view, rows, now_us)
        values = np.where(alive[:, None], _matrix(view, rows), _defaults(view))
        if not view.windows_us:
            return values
        codes = keys[:, 0] if len(view.keys) == 1 else keys[:, 0] * KEY_SPAN + keys[:, 1]
        over = rows.found & (rows.until_us <= now_us)
        if self.stream is None:
            self.outlived += int(over.sum())
            return values
        behind = (
            ~rows.found | over | (rows.since_us > now_us) | self.stream.knows_more(view, codes, rows.since_us)
        )
        if behind.any():
            values[behind] = self.stream.value(view, codes[behind], now_us).values
        return values


@dataclass(frozen=True)
class VideoMirror:
    """Features of every video at one moment, one row per video id, ids ascending."""

    video_ids: Ints
    columns: Mapping[str, NDArray[Any]]
    read_at_us: int

    def rows_of(self, video_ids: ArrayLike) -> Ints:
        """The row of each id, -1 where the video is unknown."""
        return rows_of(self.video_ids, video_ids)

    def take(self, rows: Ints) -> dict[str, NDArray[Any]]:
        """Every column at these rows; defaults where a row is -1."""
        known = rows >= 0
        if not len(self.video_ids):
            return {n: np.full(len(rows), _DEFAULT[n], c.dtype) for n, c in self.columns.items()}
        if known.all():
            return {n: c[rows] for n, c in self.columns.items()}
        return {n: np.where(known, c[rows], c.dtype.type(_DEFAULT[n])) for n, c in self.columns.items()}


_MIRRORED = (VIDEO_PROFILE, VIDEO_STATS, CREATOR_STATS)
_DEFAULT = {feature.name: feature.default for view in _MIRRORED for feature in view.features}


class MirrorReader:
    """Makes mirrors of the online store, each from the one before it and what was written since.

    A mirror is never changed: the next one shares the columns nothing happened to. Used by one thread.
    """

    def __init__(self, tables: PackedTables, video_ids: ArrayLike, creators: ArrayLike) -> None:
        """creators[i] made video_ids[i]."""
        self.video_ids, first = np.unique(np.asarray(video_ids, np.int64), return_index=True)
        makers, maker_of = np.unique(np.asarray(creators, np.int64)[first], return_inverse=True)
        self._parts = (
            _Part(tables, VIDEO_PROFILE, self.video_ids, None),
            _Part(tables, VIDEO_STATS, self.video_ids, None),
            _Part(tables, CREATOR_STATS, makers, maker_of),
        )

    def read(self, now_us: int) -> VideoMirror:
        """The store as it is, at a moment: TTLs are judged by it. Columns are float32, moments float64."""
        columns: dict[str, NDArray[Any]] = {}
        for part in self._parts:
            columns |= part.read(now_us)
        return VideoMirror(self.video_ids, columns, now_us)


class _Part:
    """One view of a mirror: the rows of its keys, brought up to date by what was written since."""

    def __init__(self, tables: PackedTables, view: View, keys: Ints, spread: Ints | None) -> None:
        self._tables, self._view, self._keys, self._spread = tables, view, keys, spread
        self._values = np.tile(_defaults(view), (len(keys), 1))
        self._since_us, self._version = np.zeros(len(keys), np.int64), 0
        self._columns: dict[str, NDArray[Any]] = {}
        self._next_expiry_us = 0

    def read(self, now_us: int) -> dict[str, NDArray[Any]]:
        keys, rows, self._version = self._tables.changed_since(schema_of(self._view), self._version)
        places = rows_of(self._keys, keys[:, 0])
        mine = places >= 0
        self._values[places[mine]] = _matrix(self._view, rows)[mine]
        self._since_us[places[mine]] = rows.since_us[mine]
        if mine.any() or now_us > self._next_expiry_us:
            self._columns = self._told(now_us)
        return self._columns

    def _told(self, now_us: int) -> dict[str, NDArray[Any]]:
        """Fresh columns, one value per video; defaults where a row has expired or never was."""
        alive, ttl_us = self._since_us > 0, self._view.ttl_us
        if ttl_us is not None:
            ends_us = self._since_us + ttl_us
            alive &= ends_us >= now_us
            self._next_expiry_us = int(ends_us[alive].min(initial=2**62))
        values = np.where(alive[:, None], self._values, _defaults(self._view))
        wide = values if self._spread is None else values[self._spread]
        columns = {
            f.name: np.ascontiguousarray(wide[:, n], _dtype(f)) for n, f in enumerate(self._view.features)
        }
        for column in columns.values():
            column.setflags(write=False)
        return columns


def holds(view: View, rows: Rows, now_us: int) -> Mask:
    """Which rows are there, and not older than the view's TTL."""
    if view.ttl_us is None:
        return rows.found
    return np.asarray(rows.found & (rows.since_us >= now_us - view.ttl_us))


def _matrix(view: View, rows: Rows) -> NDArray[Any]:
    """[n, features], float64 where a moment is among them, else float32."""
    columns = [rows.values[name] for name in view.names]
    return np.column_stack(columns) if len(rows) else np.zeros((0, len(columns)), np.float32)


def _dtype(feature: Feature) -> type[np.floating[Any]]:
    return np.float64 if feature.integer else np.float32


def _defaults(view: View) -> NDArray[Any]:
    dtype = np.float64 if any(feature.integer for feature in view.features) else np.float32
    return np.asarray([feature.default for feature in view.features], dtype)
