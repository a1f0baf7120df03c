"""Features as serving reads them: a person's rows per request, videos mirrored into arrays.

Law: what is read at `now` equals the as-of join at `now` in float32. A row says until when it holds, and the
TTL (inclusive) is enforced here: an expired or missing value is the catalogue's default. What the store has
not heard of yet is counted from the stream of events where there is one; where there is none, a row that has
outlived its moment is used and counted.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from feature_repo.catalogue import (
    CREATOR_STATS,
    STATS,
    USER_PROFILE,
    USER_STATS,
    USER_TOPIC_STATS,
    VIDEO_PROFILE,
    VIDEO_STATS,
    VIEWS,
    View,
)
from feature_repo.compiling import compiled_for
from feature_repo.events import TOPICS
from feature_repo.facts import KEY_SPAN, Ints
from feature_repo.materialization import schema_of
from feature_repo.packed_rows import Rows
from feature_repo.packed_tables import PackedTables
from feature_repo.streams import FeatureStream
from feature_repo.videos import are_rows_of, rows_of

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]


def _defaults(view: View) -> NDArray[Any]:
    """In the order of the view, float64 where a moment is among them."""
    dtype = np.float64 if any(feature.integer for feature in view.features) else np.float32
    return np.asarray([feature.default for feature in view.features], dtype)


_MIRRORED = (VIDEO_PROFILE, VIDEO_STATS, CREATOR_STATS)
_DEFAULT = {feature.name: feature.default for view in _MIRRORED for feature in view.features}
_FLOATS = tuple(feature.name for view in _MIRRORED for feature in view.features if not feature.integer)
_MOMENTS = tuple(feature.name for view in _MIRRORED for feature in view.features if feature.integer)

_PROFILE, _STATS, _TOPIC_STATS = map(schema_of, (USER_PROFILE, USER_STATS, USER_TOPIC_STATS))
_LAST = struct.Struct("<q")
"""How the last value of a key is written: of a topic's statistics, by name, the person."""
_NAMES = (*USER_PROFILE.names, *USER_STATS.names)
_DEFAULTS = {view.name: _defaults(view) for view in VIEWS}
_AS_FLOATS = {view.name: np.dtype(("<f4", len(view.names))) for view in STATS}
_NO_PROFILE = tuple(_DEFAULTS[USER_PROFILE.name].tolist())
_NO_STATS, _FIRST = _DEFAULTS[USER_STATS.name][None], np.zeros(1, np.int64)
_NO_TOPIC = np.tile(_DEFAULTS[USER_TOPIC_STATS.name], (TOPICS, 1))


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
        codes, heads = _asked_for(tuple(topics))
        person, last = [_PROFILE.key_of([user_id])], _LAST.pack(user_id)
        pairs = [head + last for head in heads]
        known, counted, by_topic = self.tables.fetch(
            [(_PROFILE, person), (_STATS, person), (_TOPIC_STATS, pairs)]
        )
        stats, matrix = _NO_STATS.copy(), _NO_TOPIC.copy()
        self._count(USER_STATS, np.array([user_id]), counted, now_us, _FIRST, stats)
        self._count(USER_TOPIC_STATS, user_id * KEY_SPAN + codes, by_topic, now_us, codes, matrix)
        profile = _NO_PROFILE if known == _PROFILE.nothing else _PROFILE.unpack(known, 0)
        return dict(zip(_NAMES, [*map(float, profile), *stats[0].tolist()], strict=True)), matrix

    def _count(
        self, view: View, keys: Ints, stored: bytes, now_us: int, places: Ints, values: Floats
    ) -> None:
        """Tell `values`, which has the defaults, a view with windows as of now, each key's at its place: the
        stream's where it knows more than the store.
        """
        since_us, behind = np.empty(len(keys), np.int64), np.empty(len(keys), np.bool_)
        outlived = _tell(stored, now_us - (view.ttl_us or 0), now_us, places, values, since_us, behind)
        if self.stream is None:
            self.outlived += outlived
            return
        behind |= self.stream.knows_more(view, keys, since_us)
        if behind.any():
            values[places[behind]] = self.stream.value(view, keys[behind], now_us).values


@lru_cache
def _asked_for(topics: tuple[int, ...]) -> tuple[Ints, list[bytes]]:
    """The codes, and what the keys of anybody's statistics for them begin with: all but the person."""
    keys = [_TOPIC_STATS.key_of([0, topic]) for topic in topics]
    return np.array(topics, np.int64), [key[: -_LAST.size] for key in keys]


@compiled_for(
    "int64(Bytes(uint8, 1, 'C'), int64, int64, int64[::1], float32[:, ::1], int64[::1], bool_[::1])"
)
def _tell(
    stored: bytes, oldest_us: int, now_us: int, places: Ints, values: Floats, since_us: Ints, behind: Mask
) -> int:
    """Tell `values` the rows no older than `oldest_us`, each at its place, since when each row holds, and
    which are behind: missing, over or not yet begun now. How many there are that are over.
    """
    over = 0
    rows = np.frombuffer(stored, np.uint8).reshape(len(places), -1)
    first = rows.shape[1] - 4 * values.shape[1]
    for row, place in enumerate(places):
        schema, since, until = rows[row, :24].view(np.int64)
        if schema != 0 and since >= oldest_us:
            values[place] = rows[row, first:].view(np.float32)
        since_us[row] = since
        behind[row] = until <= now_us or since > now_us
        over += schema != 0 and until <= now_us
    return over


@dataclass(frozen=True)
class VideoMirror:
    """Features of every video at one moment, one row per video id, ids ascending."""

    video_ids: Ints
    columns: Mapping[str, NDArray[Any]]
    read_at_us: int

    @classmethod
    def over(cls, video_ids: Ints, features: Floats, moments: Columns, read_at_us: int) -> VideoMirror:
        """Columns that are views of one row-major matrix, [videos, _FLOATS], and the moments besides."""
        columns = dict(zip(_FLOATS, features.T, strict=True))
        mirror = cls(video_ids, {**columns, **moments}, read_at_us)
        object.__setattr__(mirror, "_beside", _Beside(_FLOATS, features))
        return mirror

    @cached_property
    def _beside(self) -> _Beside:
        """The float32 columns side by side: what is known of a video lies in two lines of a cache."""
        names = tuple(name for name, column in self.columns.items() if column.dtype == np.float32)
        none = np.empty((len(self.video_ids), 0), np.float32)
        return _Beside(names, np.column_stack([none, *(self.columns[name] for name in names)]))

    def rows_of(self, video_ids: ArrayLike, likely: Ints | None = None) -> Ints:
        """The row of each id, -1 where the video is unknown. Nothing is searched for if they are the rows
        that are `likely`.
        """
        wanted = np.ascontiguousarray(video_ids, np.int64)
        if likely is not None and are_rows_of(np.ascontiguousarray(likely), self.video_ids, wanted):
            return likely
        return rows_of(self.video_ids, video_ids)

    def take(self, rows: Ints, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        """Every column at these rows, or those named; defaults where a row is -1."""
        beside = self._beside
        found = dict(zip(beside.names, _taken(beside.features, rows, beside.defaults).T, strict=True))
        apart = self.columns.keys() - found.keys()
        for name in apart if names is None else apart.intersection(names):
            found[name] = _taken(self.columns[name], rows, _DEFAULT[name])
        return found if names is None else {name: found[name] for name in names}


class _Beside:
    """Named columns of one matrix, a row per video, and their defaults."""

    def __init__(self, names: tuple[str, ...], features: Floats) -> None:
        self.names, self.features = names, features
        self.defaults = np.array([_DEFAULT[name] for name in names], np.float32)


def _taken(values: NDArray[Any], rows: Ints, default: ArrayLike) -> NDArray[Any]:
    """The values at these rows, the default where a row is -1."""
    if not len(values):
        return np.full((len(rows), *values.shape[1:]), default, values.dtype)
    found = values.take(rows, axis=0)
    unknown = rows < 0
    if unknown.any():
        found[unknown] = default
    return found


class MirrorReader:
    """Makes mirrors of the online store, each from the one before it and what was written since.

    A mirror is never changed: the next one is a copy, in which only what changed or expired is told anew.
    Used by one thread.
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
        self._features = _repeated([_DEFAULT[name] for name in _FLOATS], len(self.video_ids), np.float32)
        self._moments = _repeated([_DEFAULT[name] for name in _MOMENTS], len(self.video_ids), np.float64)

    def read(self, now_us: int) -> VideoMirror:
        """The store as it is, at a moment: TTLs are judged by it. Columns are float32, moments float64."""
        for part in self._parts:
            part.hear(now_us)  # if this fails, what the parts before it heard is told the next time
        if any(part.news for part in self._parts):
            self._features = self._features.copy()
            if self._parts[0].news:  # the profiles have the moments
                self._moments = self._moments.copy()
            for part in self._parts:
                if part.news:
                    part.tell(self._features, self._moments)
            self._features.setflags(write=False)
            self._moments.setflags(write=False)
        moments = dict(zip(_MOMENTS, self._moments.T, strict=True))
        return VideoMirror.over(self.video_ids, self._features, moments, now_us)


class _Part:
    """One view of a mirror: the rows of its keys, and of which of them there is news to tell."""

    def __init__(self, tables: PackedTables, view: View, keys: Ints, spread: Ints | None) -> None:
        self._tables, self._view, self._keys, self._spread = tables, view, keys, spread
        self._values = np.tile(_defaults(view), (len(keys), 1))
        self._since_us, self._version = np.zeros(len(keys), np.int64), 0
        self._alive = np.zeros(len(keys), np.bool_)
        self._untold = np.zeros(len(keys), np.bool_)
        self._is_float = np.array([not feature.integer for feature in view.features])
        first = _FLOATS.index(view.names[int(self._is_float.argmax())])
        self._floats = slice(first, first + int(self._is_float.sum()))
        self.news = False

    def hear(self, now_us: int) -> None:
        """Bring the rows up to date with the store and the moment."""
        keys, rows, self._version = self._tables.changed_since(schema_of(self._view), self._version)
        places = rows_of(self._keys, keys[:, 0])
        mine = places >= 0
        self._values[places[mine]] = _matrix(self._view, rows)[mine]
        self._since_us[places[mine]] = rows.since_us[mine]
        alive = self._since_us > 0
        if self._view.ttl_us is not None:
            alive &= self._since_us >= now_us - self._view.ttl_us
        self._untold |= alive != self._alive
        self._untold[places[mine]] = True
        self._alive, self.news = alive, bool(self._untold.any())

    def tell(self, features: Floats, moments: Doubles) -> None:
        """Write the news where the videos have it: defaults where a row has expired or never was."""
        rows = np.flatnonzero(self._untold if self._spread is None else self._untold[self._spread])
        at = rows if self._spread is None else self._spread[rows]
        told = np.where(self._alive[at][:, None], self._values[at], _DEFAULTS[self._view.name])
        features[rows, self._floats] = told[:, self._is_float]
        for place in np.flatnonzero(~self._is_float):
            moments[rows, _MOMENTS.index(self._view.names[place])] = told[:, place]
        self._untold[:], self.news = False, False


def _repeated(defaults: list[float], rows: int, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    return np.tile(np.array(defaults, dtype), (rows, 1))


def _matrix(view: View, rows: Rows) -> NDArray[Any]:
    """[n, features]: the rows as they lie, or float64 where a moment is among them."""
    if view.name in _AS_FLOATS:
        return rows.values.view(_AS_FLOATS[view.name])
    wide = np.empty((len(rows), len(view.names)), np.float64)
    for place, name in enumerate(view.names):
        wide[:, place] = rows.values[name]
    return wide
