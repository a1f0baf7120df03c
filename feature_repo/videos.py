"""What is known of every uploaded video, as arrays sorted by video id."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numba import types
from numpy.typing import ArrayLike, NDArray

from feature_repo.clock import NEVER_US
from feature_repo.compiling import compiled, compiled_for
from feature_repo.events import CONTENT_SIZE, empty
from feature_repo.log import EventLog

MANY, SPARSE = 1 << 16, 4
"""So many ids are looked up in a table instead of searched for, if it has fewer places than this per id."""

IDS, PLACES = (types.Array(dtype, 1, "C", readonly=True) for dtype in (types.int64, types.int32))
FACTS = types.Array(types.int64, 2, "C", readonly=True)


@dataclass(frozen=True)
class VideoCatalog:
    """One row per video, removed ones included: who watched one has watched it.

    Unknown: topic -1, duration NaN, content zeros, scores NaN.
    """

    video_ids: NDArray[np.int64]
    creator_ids: NDArray[np.int64]
    topics: NDArray[np.int16]
    duration_s: NDArray[np.float32]
    uploaded_us: NDArray[np.int64]
    content: NDArray[np.float32]
    headline: NDArray[np.float32]
    production: NDArray[np.float32]
    removed_us: NDArray[np.int64]  # when its removal was known; NEVER_US for a video that stands

    @classmethod
    def from_log(cls, log: EventLog, known_before_us: int | None = None) -> VideoCatalog:
        uploaded, removed = (
            log.read(kind, known_before_us=known_before_us) for kind in ("uploaded", "removed")
        )
        return cls.from_uploads(uploaded, removed)

    @classmethod
    def from_uploads(cls, uploaded: pl.DataFrame, removed: pl.DataFrame | None = None) -> VideoCatalog:
        """The first upload of each video wins, and so does its first removal."""
        first = uploaded.sort("event_time", "event_id").unique("video_id", keep="first", maintain_order=True)
        rows = first.sort("video_id")
        return cls(
            rows["video_id"].to_numpy(),
            rows["creator_id"].to_numpy(),
            rows["topic"].fill_null(-1).to_numpy(),
            (rows["duration_ms"].cast(pl.Float64) / 1000).cast(pl.Float32).fill_null(float("nan")).to_numpy(),
            rows["event_time"].to_physical().to_numpy(),
            _content(rows["content"]),
            rows["headline_score"].fill_null(float("nan")).to_numpy(),
            rows["production_score"].fill_null(float("nan")).to_numpy(),
            _removals(rows["video_id"].to_numpy(), empty("removed") if removed is None else removed),
        )

    def __len__(self) -> int:
        return len(self.video_ids)

    @cached_property
    def by_upload(self) -> NDArray[np.int64]:
        """Rows in order of upload."""
        return np.argsort(self.uploaded_us, kind="stable")

    @cached_property
    def by_creator(self) -> NDArray[np.int64]:
        """Rows in order of creator, each one's newest first."""
        return np.lexsort((-self.uploaded_us, self.creator_ids))

    @cached_property
    def uploads_in_order(self) -> NDArray[np.int64]:
        """When the videos of `by_upload` were uploaded."""
        return self.uploaded_us[self.by_upload]

    @cached_property
    def creators_in_order(self) -> NDArray[np.int64]:
        """Who made the videos of `by_creator`."""
        return self.creator_ids[self.by_creator]

    @cached_property
    def known_topics(self) -> tuple[int, ...]:
        """Every known topic code, ascending."""
        return tuple(int(topic) for topic in np.unique(self.topics) if topic >= 0)

    def rows_of(self, video_ids: ArrayLike) -> NDArray[np.int64]:
        """The row of each id, -1 where the video is unknown."""
        return rows_of(self.video_ids, video_ids)

    @cached_property
    def facts(self) -> NDArray[np.int64]:
        """[videos, 4]: creator, topic, upload and removal, side by side: one look finds them all."""
        return np.column_stack([self.creator_ids, self.topics, self.uploaded_us, self.removed_us])

    @cached_property
    def _places(self) -> NDArray[np.int32]:
        """The row of every id from the first to the last, -1 where there is no such video; empty where they
        lie too far apart.
        """
        span = int(self.video_ids[-1]) - int(self.video_ids[0]) + 1 if len(self) else 0
        places = np.full(span if span < SPARSE * len(self) else 0, -1, np.int32)
        if len(places):
            places[self.video_ids - self.video_ids[0]] = np.arange(len(self))
        return places

    def facts_of(self, video_ids: ArrayLike) -> NDArray[np.int64]:
        """[5, n]: row, creator, topic, upload and removal of each id, all -1 where the video is unknown."""
        wanted = np.ascontiguousarray(video_ids, np.int64)
        found = np.empty((5, len(wanted)), np.int64)
        _look_up(self.video_ids, self._places, self.facts, wanted, found)
        return found

    def creators_of(self, video_ids: ArrayLike) -> NDArray[np.int64]:
        """The creator of each id, -1 where the video is unknown."""
        return self.creators_at(self.rows_of(video_ids))

    def topics_of(self, video_ids: ArrayLike) -> NDArray[np.int64]:
        """The topic of each id, -1 where video or topic is unknown."""
        return self.topics_at(self.rows_of(video_ids))

    def creators_at(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The creator of each row that `rows_of` found, -1 at row -1."""
        return _taken(self.creator_ids, rows)

    def topics_at(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The topic of each row that `rows_of` found, -1 where unknown and at row -1."""
        return _taken(self.topics, rows)


def rows_of(sorted_ids: NDArray[np.int64], ids: ArrayLike) -> NDArray[np.int64]:
    """The row of each id in a sorted array, -1 where it is not there."""
    wanted = np.asarray(ids, np.int64)
    if not len(sorted_ids):
        return np.full(wanted.shape, -1, np.int64)
    if wanted.size >= MANY and sorted_ids[-1] - sorted_ids[0] < SPARSE * wanted.size:
        return _rows_by_table(sorted_ids, wanted)
    rows = np.minimum(np.searchsorted(sorted_ids, wanted), len(sorted_ids) - 1)
    return np.where(sorted_ids[rows] == wanted, rows, -1)


@compiled
def row_of(ascending: NDArray[np.int64], wanted: int) -> int:
    """The row of one id, -1 if it is not there; of ids that are equal, the first."""
    low, left = 0, len(ascending)
    while left > 1:
        half = left // 2
        low += half if ascending[low + half - 1] < wanted else 0
        left -= half
    return low if left and ascending[low] == wanted else -1


def among(ids: ArrayLike, ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these ids are in an ascending array: a search each, where np.isin would sort both."""
    return _among(np.ascontiguousarray(ids, np.int64), ascending)


@compiled_for(types.boolean[::1](IDS, IDS))
def _among(ids: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = np.empty(len(ids), np.bool_)
    for place in range(len(ids)):
        found[place] = row_of(ascending, ids[place]) >= 0
    return found


@compiled_for(types.void(IDS, PLACES, FACTS, IDS, types.int64[:, ::1]))
def _look_up(
    ascending: NDArray[np.int64],
    places: NDArray[np.int32],
    facts: NDArray[np.int64],
    wanted: NDArray[np.int64],
    found: NDArray[np.int64],
) -> None:
    """The row of each id, and what lies there; searched for only where there is no place for every id."""
    for each in range(len(wanted)):
        if len(places):
            place = wanted[each] - ascending[0]
            row = places[place] if 0 <= place < len(places) else -1
        else:
            row = row_of(ascending, wanted[each])
        found[0, each] = row
        for fact in range(facts.shape[1]):
            found[fact + 1, each] = facts[row, fact] if row >= 0 else -1


@compiled_for(types.boolean(IDS, IDS, IDS))
def are_rows_of(rows: NDArray[np.int64], sorted_ids: NDArray[np.int64], ids: NDArray[np.int64]) -> bool:
    """Whether these are the rows at which these ids stand, every one of them."""
    for place in range(len(ids)):
        row = rows[place]
        if not 0 <= row < len(sorted_ids) or sorted_ids[row] != ids[place]:
            return False
    return True


def _rows_by_table(sorted_ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same, looked up where each id would stand: a search costs many times as much."""
    low, span = sorted_ids[0], sorted_ids[-1] - sorted_ids[0] + 1
    table = np.full(span + 1, -1, np.int64)  # the last place is for ids beyond both ends
    table[sorted_ids - low] = np.arange(len(sorted_ids))
    rows: NDArray[np.int64] = table[np.where((wanted >= low) & (wanted < low + span), wanted - low, span)]
    return rows


def _taken(values: NDArray[np.integer[Any]], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(values):
        return np.full(rows.shape, -1, np.int64)
    return np.where(rows >= 0, values[rows].astype(np.int64), -1)


def _removals(video_ids: NDArray[np.int64], removed: pl.DataFrame) -> NDArray[np.int64]:
    """When the first removal of each video was known; removals of unknown videos are left out."""
    known_us = np.full(len(video_ids), NEVER_US, np.int64)
    rows = rows_of(video_ids, removed["video_id"].to_numpy())
    np.minimum.at(known_us, rows[rows >= 0], removed["known_time"].to_physical().to_numpy()[rows >= 0])
    return known_us


def _content(column: pl.Series) -> NDArray[np.float32]:
    """Rows of CONTENT_SIZE numbers; zeros where there is none."""
    zeros = np.zeros((len(column), CONTENT_SIZE), np.float32)
    known = column.is_not_null().to_numpy()
    if known.any():
        flat = column.drop_nulls().explode().cast(pl.Float32).to_numpy()
        zeros[known] = flat.reshape(-1, CONTENT_SIZE)
    return zeros
