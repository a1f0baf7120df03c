"""The last videos a person watched, as of any moment, and what they say about a candidate.

Law: the history at t holds watches with known_time < t, newest first in order of (known_time, event_time,
impression_id): a late event enters when it becomes known. `WatchHistory` is the same, one event at a time.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numba import types
from numpy.typing import ArrayLike, NDArray

from feature_repo.compiling import compiled, compiled_for
from feature_repo.labels import LONG_WATCH_MS
from feature_repo.orders import ascending, numbered, paired
from feature_repo.pairwise import pairwise_sum
from feature_repo.videos import IDS, among

HISTORY = 20
"""How many watches a history remembers."""

Column = NDArray[np.float32]
WEIGHTS = types.Array(types.float32, 2, "C", readonly=True)
HAD = types.Array(types.int64, 2, "C", readonly=True)
_Watch = tuple[int, int, int, int, float]
"""known_us, event_us, impression_id, video_id, and the share that was watched."""


class Told(NamedTuple):
    """A watch as an event tells it."""

    user_id: int
    video_id: int
    watched_ms: int
    duration_ms: int | None
    known_us: int
    event_us: int = 0
    impression_id: int = 0


@dataclass(frozen=True)
class Histories:
    """One row per asked (user, moment): video ids newest first, padded with -1, and watched shares, with
    0.
    """

    video_ids: NDArray[np.int64]
    weights: NDArray[np.float32]

    @property
    def sizes(self) -> Column:
        return np.asarray((self.video_ids >= 0).sum(axis=1), np.float32)


def watched_share(watched_ms: ArrayLike, duration_ms: ArrayLike) -> Column:
    """Share of the video watched, in [0, 1]; of 18 s where the duration is unknown (NaN)."""
    duration = np.asarray(duration_ms, np.float64)
    length = np.where(np.isnan(duration), LONG_WATCH_MS, duration)
    return np.asarray(np.clip(np.asarray(watched_ms, np.float64) / length, 0.0, 1.0), np.float32)


def histories_before(
    watched: pl.DataFrame, user_ids: ArrayLike, times_us: ArrayLike, size: int = HISTORY
) -> Histories:
    """The last `size` watches of each user known strictly before each moment.

    `watched` needs user_id, video_id, watched_ms, duration_ms, impression_id, event_time, known_time.
    """
    rows = watched.sort("user_id", "known_time", "event_time", "impression_id")
    users, times = np.asarray(user_ids, np.int64), np.asarray(times_us, np.int64)
    first, upto = _ranges(rows, users, times)
    places = upto[:, None] - 1 - np.arange(size)
    inside = places >= first[:, None]
    if not len(rows):
        return Histories(np.full(places.shape, -1, np.int64), np.zeros(places.shape, np.float32))
    safe = np.where(inside, places, 0)
    duration = rows["duration_ms"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    shares = watched_share(rows["watched_ms"].to_numpy(), duration)
    videos = np.where(inside, rows["video_id"].to_numpy()[safe], -1)
    return Histories(videos, np.where(inside, shares[safe], np.float32(0)))


def _ranges(
    rows: pl.DataFrame, users: NDArray[np.int64], times: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each question, the user's first row and one past the last row known before the moment.

    Moments become places in order of time, so (user, moment) fits one integer whatever the span of the log.
    """
    known = rows["known_time"].to_physical().to_numpy()
    people, user_codes = np.unique(rows["user_id"].to_numpy(), return_inverse=True)
    moments = np.sort(known)
    width = len(moments) + 1
    keys = user_codes * width + np.searchsorted(moments, known)
    asked = np.searchsorted(people, users)
    is_known = np.isin(users, people)
    first = np.searchsorted(keys, asked * width)
    upto = np.searchsorted(keys, asked * width + np.searchsorted(moments, times))
    return first, np.where(is_known, upto, first)


def history_topic_share(weights: ArrayLike, history_topics: ArrayLike, topics: ArrayLike) -> Column:
    """Of what was watched (in watched share), how much has this topic; 0 if history or topic is unknown.

    `weights`, `history_topics` are [n, 20] or [1, 20]; `topics` is [n].
    """
    return _weighted_share(weights, history_topics, topics)


def history_creator_share(weights: ArrayLike, history_creators: ArrayLike, creators: ArrayLike) -> Column:
    """Of what was watched (in watched share), how much this creator made; shapes as for topics."""
    return _weighted_share(weights, history_creators, creators)


def follows_before(
    followed: pl.DataFrame, user_ids: ArrayLike, creator_ids: ArrayLike, times_us: ArrayLike
) -> Column:
    """1 where the user's follow of the creator was known strictly before the moment, else 0."""
    since = followed.group_by("user_id", "creator_id").agg(
        pl.col("known_time").to_physical().min().alias("since_us")
    )
    asked = pl.DataFrame(
        {
            "user_id": np.asarray(user_ids, np.int64),
            "creator_id": np.asarray(creator_ids, np.int64),
            "time_us": np.asarray(times_us, np.int64),
        }
    )
    found = asked.join(since, on=["user_id", "creator_id"], how="left", maintain_order="left")
    follows = found.select((pl.col("since_us") < pl.col("time_us")).fill_null(False).cast(pl.Float32))
    return follows.to_series().to_numpy()


def follows_creator(creator_ids: ArrayLike, followed: Iterable[int]) -> Column:
    """1 where the creator is among those the user follows now, else 0."""
    ascending = np.array(followed if isinstance(followed, np.ndarray) else [*followed], np.int64)
    ascending.sort()
    return among(creator_ids, ascending).astype(np.float32)


@dataclass
class WatchHistory:
    """The last watches of every user, kept up to date event by event: equal to histories_before."""

    size: int = HISTORY
    _watches: dict[int, list[_Watch]] = field(default_factory=dict)

    def add(self, watches: Sequence[Told]) -> None:
        """Remember watches, in any order; of each user the oldest beyond `size` are forgotten."""
        lengths_ms = [np.nan if watch.duration_ms is None else watch.duration_ms for watch in watches]
        shares = watched_share([watch.watched_ms for watch in watches], lengths_ms)
        for watch, share in zip(watches, shares.tolist(), strict=True):
            mine = self._watches.setdefault(watch.user_id, [])
            insort(mine, (watch.known_us, watch.event_us, watch.impression_id, watch.video_id, share))
            del mine[: -self.size]

    def extend(self, watched: pl.DataFrame) -> None:
        """Remember a table of watches, keeping only each user's last."""
        last = _may_be_last(watched, self.size)
        duration = last["duration_ms"].cast(pl.Float64).fill_null(float("nan"))
        shares = watched_share(last["watched_ms"].to_numpy(), duration.to_numpy())
        times = [pl.col("known_time").to_physical(), pl.col("event_time").to_physical()]
        told = last.select(*times, "impression_id", "video_id")
        watches = list(zip(*(each.to_list() for each in told), shares.tolist(), strict=True))
        users, counts = np.unique(last["user_id"].to_numpy(), return_counts=True)
        ends = np.cumsum(counts)
        for user_id, low, high in zip(users.tolist(), ends - counts, ends, strict=True):
            self._watches[user_id] = sorted(self._watches.get(user_id, []) + watches[low:high])[-self.size :]

    def latest(self, user_id: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(video ids newest first padded with -1, weights padded with 0), each of length `size`."""
        mine = self._watches.get(user_id, [])
        padding = self.size - len(mine)
        videos = [watch[3] for watch in reversed(mine)] + [-1] * padding
        weights = [watch[4] for watch in reversed(mine)] + [0.0] * padding
        return np.array(videos, np.int64), np.array(weights, np.float32)


def _may_be_last(watched: pl.DataFrame, size: int) -> pl.DataFrame:
    """Each user's last `size` watches by known_time, and any that were known in the same moment as these;
    one user's after the other's.
    """
    people, codes = numbered(watched["user_id"].to_numpy())
    known_us = watched["known_time"].to_physical().to_numpy()
    _, rising = paired(codes, known_us)
    ends = np.cumsum(np.bincount(codes, minlength=len(people)))
    firsts = np.maximum(ends - size, np.concatenate([[0], ends])[:-1])
    rows = np.flatnonzero(known_us >= rising[firsts][codes])
    return watched[rows[ascending(codes[rows])]]


def _weighted_share(weights: ArrayLike, had: ArrayLike, wanted: ArrayLike) -> Column:
    weight, mine = np.ascontiguousarray(weights, np.float32), np.ascontiguousarray(had, np.int64)
    weight, mine, asked = np.atleast_2d(weight), np.atleast_2d(mine), np.ascontiguousarray(wanted, np.int64)
    if weight.shape != mine.shape or len(weight) not in (1, len(asked)):
        raise ValueError(
            f"weights {weight.shape} and history {mine.shape} of {len(asked)} rows; need a watch per weight,"
            " and one history per row or one for all."
        )
    return _shares(weight, mine, asked)


@compiled
def _share(weights: Column, had: NDArray[np.int64], wanted: int) -> Any:
    same, total = np.where(had == wanted, weights, np.float32(0)), pairwise_sum(weights)
    return pairwise_sum(same) / total if total > 0 else np.float32(0)


@compiled_for(types.float32[::1](WEIGHTS, HAD, IDS))
def _shares(weights: Column, had: NDArray[np.int64], wanted: NDArray[np.int64]) -> Column:
    """Of each row in its own history, or in that of all rows: of what is first at a place it is told once."""
    shares, told = np.zeros(len(wanted), np.float32), np.full(weights.shape[1], np.nan, np.float32)
    for row in range(len(wanted)):
        mine, place = row if len(weights) > 1 else 0, 0
        while place < len(told) and had[mine, place] != wanted[row]:
            place += 1
        if place < len(told) and wanted[row] >= 0:
            if len(weights) > 1 or np.isnan(told[place]):
                told[place] = _share(weights[mine], had[mine], wanted[row])
            shares[row] = told[place]
    return shares
