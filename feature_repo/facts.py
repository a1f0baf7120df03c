"""What the windows count: events turned into facts, by the same code for a log of millions and for one batch.

A fact says whose it is, when it happened, when it was known, and how much of each thing it counts for. It did
not happen later than it was known: a clock ahead of ours counts from when we heard of it. Creator and topic
come from the upload, so nothing counts for them before the upload was known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from feature_repo.catalogue import SHARE_UNITS, View
from feature_repo.clock import NEVER_US
from feature_repo.impressions import Impressions
from feature_repo.labels import LONG_WATCH_MS, is_long
from feature_repo.log import EventLog
from feature_repo.schemas import key_of
from feature_repo.videos import rows_of

Ints = NDArray[np.int64]
Amounts = NDArray[np.int32]

EVENTS = (
    "impressions",
    "long_watch",
    "watched_share",
    "watched_ms",
    "like",
    "share_or_follow",
    "negative",
    "followed",
    "uploaded",
)
"""What can be counted, in the order of a fact's amounts. An impression is a watched event: it was seen."""

ACTS = {
    "like": "like",
    "share": "share_or_follow",
    "hide": "negative",
    "report": "negative",
}
"""Which reaction counts as what; a follow counts as share_or_follow too."""

ACT_NUMBERS = {act: EVENTS.index(event) for act, event in ACTS.items()}

NOBODY = -1
"""The key of a fact that has none: an unknown topic, the person of an upload."""

MOST = 2**31 - 1
"""What an amount of a fact can be, at most."""

KEY_SPAN = 1 << 12
"""Second keys (topics) are below this, so a pair of keys fits one integer."""

COUNTED = {
    "watched": ("user_id", "video_id", "watched_ms", "duration_ms"),
    "reacted": ("user_id", "video_id", "reaction"),
    "followed": ("impression_id", "user_id", "creator_id"),
    "uploaded": ("video_id", "creator_id", "topic"),
}
"""The kinds of event that make facts, and the columns they are made of beside the two clocks."""

CLOCKS = ("event_time", "known_time")
TOLD = {kind: (*CLOCKS, *columns) for kind, columns in COUNTED.items()} | {
    "served": ("impression_id", "video_id")
}
"""The kinds of event the windows need, with the columns they need; those of a slate make no facts."""

Columns = Mapping[str, Ints]
"""These columns of some events of one kind: clocks in microseconds, a reaction as the number of what it
counts as, and NOBODY for null and for what counts as nothing.
"""


@dataclass(frozen=True)
class Facts:
    """n facts: keys (NOBODY if none), clocks in microseconds, and int32[n, EVENTS] amounts."""

    user_id: Ints
    video_id: Ints
    creator_id: Ints
    topic: Ints
    event_us: Ints
    known_us: Ints
    made_known_us: Ints  # known_us, or when the upload was known if that was later
    amounts: Amounts

    def __len__(self) -> int:
        return len(self.event_us)

    def take(self, rows: Ints | NDArray[np.bool_] | slice) -> Facts:
        return Facts(*(getattr(self, each.name)[rows] for each in fields(self)))

    def keys_for(self, view: View) -> Ints:
        """One integer per fact for the view's keys; NOBODY where a key is missing."""
        first = np.asarray(getattr(self, view.keys[0]), np.int64)
        if len(view.keys) == 1:
            return first
        second = np.asarray(getattr(self, view.keys[1]), np.int64)
        return np.where((first >= 0) & (second >= 0), first * KEY_SPAN + second, NOBODY)

    def known_for(self, view: View) -> Ints:
        """From when (strictly after) each fact may count in this view."""
        return self.made_known_us if view.per_maker else self.known_us


_NONE = np.zeros(0, np.int64)
NO_FACTS = Facts(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE, np.zeros((0, len(EVENTS)), np.int32))


def joined(parts: Sequence[Facts]) -> Facts:
    """One after the other."""
    if len(parts) == 1:
        return parts[0]
    return Facts(*(np.concatenate([getattr(p, each.name) for p in parts]) for each in fields(Facts)))


@dataclass(frozen=True)
class Makers:
    """Creator and topic of every video by its first upload, and when that was known; ids ascending."""

    video_ids: Ints
    creator_ids: Ints
    topics: Ints
    known_us: Ints

    @classmethod
    def of(cls, uploaded: Columns) -> Makers:
        """From uploads in order of (event_time, event_id)."""
        video_ids, first = np.unique(uploaded["video_id"], return_index=True)
        return cls(video_ids, *(uploaded[name][first] for name in ("creator_id", "topic", "known_time")))

    def with_those_of(self, other: Makers) -> Makers:
        """Both; the other's videos must be new."""
        pairs = [(getattr(self, each.name), getattr(other, each.name)) for each in fields(Makers)]
        both = [np.concatenate(pair) for pair in pairs]
        order = np.argsort(both[0], kind="stable")
        return Makers(*(column[order] for column in both))

    def of_videos(self, video_ids: Ints) -> tuple[Ints, Ints, Ints]:
        """(creator, topic, when the upload was known) of each video; NOBODY, and never later, if unknown."""
        rows = rows_of(self.video_ids, video_ids)
        columns = ((self.creator_ids, NOBODY), (self.topics, NOBODY), (self.known_us, -NEVER_US))
        return tuple(_taken(values, rows, otherwise) for values, otherwise in columns)  # type: ignore[return-value]


@dataclass
class Known:
    """What earlier events say of later ones: who made a video, what an impression showed, who follows."""

    makers: Makers
    shown: Impressions = field(default_factory=lambda: Impressions(_NONE, _NONE))
    follows: set[tuple[int, int]] = field(default_factory=set)

    @classmethod
    def of(cls, log: EventLog, until_us: int) -> Known:
        """What the log knew before a moment, but for who follows whom: that is the facts' to say."""
        pairs = log.shown(until_us)
        shown = Impressions(pairs["impression_id"].to_numpy(), pairs["video_id"].to_numpy())
        read = log.read("uploaded", known_before_us=until_us, columns=TOLD["uploaded"])
        return cls(Makers.of(columns_of("uploaded", read)), shown)

    def show(self, served: Columns) -> None:
        """Remember what was served after the log ended."""
        self.shown.add(served["impression_id"], served["video_id"])


def counted_facts(log: EventLog, until_us: int, known: Known | None = None) -> Facts:
    """Every fact the log knew before `until`."""
    tables = {
        kind: columns_of(kind, log.read(kind, known_before_us=until_us, columns=TOLD[kind]))
        for kind in COUNTED
    }
    return facts_of(tables, Known.of(log, until_us) if known is None else known)


def columns_of(kind: str, table: pl.DataFrame) -> Columns:
    """What is counted of a table of events."""
    acts = pl.col("reaction").replace_strict(ACT_NUMBERS, default=NOBODY, return_dtype=pl.Int64)
    told = {
        name: acts if name == "reaction" else pl.col(name).to_physical().cast(pl.Int64).fill_null(NOBODY)
        for name in TOLD[kind]
    }
    return {column.name: column.to_numpy() for column in table.select(**told)}


def columns_of_events(kind: str, events: Sequence[Mapping[str, Any]]) -> Columns:
    """The same of events outside tables."""
    return {name: np.array(_numbers(name, events), np.int64) for name in TOLD[kind]}


def _numbers(name: str, events: Sequence[Mapping[str, Any]]) -> list[int]:
    key = key_of(name)
    values = [event.get(key) for event in events]
    if name == "reaction":
        return [ACT_NUMBERS.get(str(value), NOBODY) for value in values]
    return [NOBODY if value is None else value for value in values]


def facts_of(tables: Mapping[str, Columns], known: Known) -> Facts:
    """The facts of these events (a kind may be missing), given what was known; follows are remembered."""
    parts = [make(tables[kind], known) for kind, make in _MAKERS.items() if kind in tables]
    return joined(parts) if parts else NO_FACTS


def _watches(watched: Columns, known: Known) -> Facts:
    watched_ms, duration_ms = watched["watched_ms"], watched["duration_ms"]
    length_ms = np.where(duration_ms == NOBODY, LONG_WATCH_MS, duration_ms)
    amounts = {
        "impressions": 1,
        "long_watch": is_long(watched_ms, length_ms),
        "watched_share": np.rint(np.clip(watched_ms / length_ms, 0, 1) * SHARE_UNITS),
        "watched_ms": watched_ms,
    }
    return _facts(watched, watched["video_id"], amounts, known)


def _reactions(reacted: Columns, known: Known) -> Facts:
    mine = _rows(reacted, reacted["reaction"] != NOBODY)
    amounts = {event: mine["reaction"] == EVENTS.index(event) for event in dict.fromkeys(ACTS.values())}
    return _facts(mine, mine["video_id"], amounts, known)


def _follows(followed: Columns, known: Known) -> Facts:
    """Each follow counts for the video on screen, if there was one; for the creator only the first counts."""
    rows = _rows(followed, np.lexsort((followed["event_time"], followed["known_time"])))
    shown = known.shown.videos_of(rows["impression_id"])
    for_video = _facts(rows, shown, {"share_or_follow": 1}, known).take(shown >= 0)
    pairs = zip(rows["user_id"].tolist(), rows["creator_id"].tolist(), strict=True)
    is_first = np.array([_is_new(pair, known.follows) for pair in pairs], np.bool_)
    nothing = np.full(len(shown), NOBODY, np.int64)
    for_creator = _facts(rows, nothing, {"followed": 1}, known, rows["creator_id"])
    return joined([for_video, for_creator.take(is_first)])


def _is_new(pair: tuple[int, int], follows: set[tuple[int, int]]) -> bool:
    before = len(follows)
    follows.add(pair)
    return len(follows) > before


def _uploads(uploaded: Columns, known: Known) -> Facts:
    """The first upload of each video, for its creator."""
    _, first = np.unique(uploaded["video_id"], return_index=True)
    rows = _rows(uploaded, np.sort(first))
    return _facts(rows, rows["video_id"], {"uploaded": 1}, known)


_MAKERS = {"watched": _watches, "reacted": _reactions, "followed": _follows, "uploaded": _uploads}
"""Who makes facts of which kind of event."""


def _counted(event: str, amount: ArrayLike) -> ArrayLike:
    """The amount, if a fact can hold it."""
    most = np.max(amount, initial=0)
    if most > MOST:
        raise ValueError(f"a fact counts {most} of {event}, must be at most {MOST}; repair the events.")
    return amount


def _facts(
    rows: Columns,
    video_ids: Ints,
    amounts: Mapping[str, ArrayLike],
    known: Known,
    creator_ids: Ints | None = None,
) -> Facts:
    """One fact per row, of this video and its maker; or of a creator alone."""
    makers, topics, made_us = known.makers.of_videos(video_ids)
    known_us = rows["known_time"]
    counts = np.zeros((len(known_us), len(EVENTS)), np.int32)
    for event, amount in amounts.items():
        counts[:, EVENTS.index(event)] = _counted(event, amount)
    return Facts(
        user_id=rows["user_id"] if "user_id" in rows else np.full(len(known_us), NOBODY, np.int64),
        video_id=video_ids,
        creator_id=makers if creator_ids is None else creator_ids,
        topic=topics,
        event_us=np.minimum(rows["event_time"], known_us),
        known_us=known_us,
        made_known_us=np.maximum(known_us, made_us),
        amounts=counts,
    )


def _rows(columns: Columns, rows: Ints | NDArray[np.bool_]) -> Columns:
    return {name: column[rows] for name, column in columns.items()}


def _taken(values: Ints, rows: Ints, otherwise: int) -> Ints:
    if not len(values):
        return np.full(rows.shape, otherwise, np.int64)
    return np.where(rows >= 0, values[rows], otherwise)
