"""What the windows count: events turned into facts, by the same code for a log of millions and for one batch.

A fact says whose it is, when it happened, when it was known, and how much of each thing it counts for. It did
not happen later than it was known: a clock ahead of ours counts from when we heard of it. Creator and topic
come from the upload, so nothing counts for them before the upload was known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.catalogue import SHARE_UNITS, View
from feature_repo.clock import NEVER_US
from feature_repo.events import empty
from feature_repo.labels import LONG_WATCH_MS, long_watch
from feature_repo.log import EventLog
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

NOBODY = -1
"""The key of a fact that has none: an unknown topic, the person of an upload."""

KEY_SPAN = 1 << 12
"""Second keys (topics) are below this, so a pair of keys fits one integer."""

COUNTED = {
    "watched": ("user_id", "video_id", "watched_ms", "duration_ms"),
    "reacted": ("user_id", "video_id", "reaction"),
    "followed": ("impression_id", "user_id", "creator_id"),
    "uploaded": ("video_id", "creator_id", "topic"),
}
"""The kinds of event that make facts, and the columns they are made of beside the two clocks."""


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


def joined(parts: Sequence[Facts]) -> Facts:
    """One after the other."""
    return Facts(*(np.concatenate([getattr(p, each.name) for p in parts]) for each in fields(Facts)))


@dataclass(frozen=True)
class Makers:
    """Creator and topic of every video by its first upload, and when that was known; ids ascending."""

    video_ids: Ints
    creator_ids: Ints
    topics: Ints
    known_us: Ints

    @classmethod
    def of(cls, uploaded: pl.DataFrame) -> Makers:
        """From uploads in order of (event_time, event_id)."""
        first = uploaded.unique("video_id", keep="first", maintain_order=True).sort("video_id")
        topics = first["topic"].cast(pl.Int64).fill_null(NOBODY)
        known = first["known_time"].to_physical()
        return cls(*(each.to_numpy() for each in (first["video_id"], first["creator_id"], topics, known)))

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
    impression_ids: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # of the log, ascending
    shown: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    shown_since: dict[int, int] = field(default_factory=dict)
    """Impression -> video of what was served after the log ended."""
    follows: set[tuple[int, int]] = field(default_factory=set)

    @classmethod
    def of(cls, log: EventLog, until_us: int) -> Known:
        """What the log knew before a moment, but for who follows whom: that is the facts' to say."""
        served = log.scan("served").filter(pl.col("known_time").to_physical() < until_us)
        pairs = served.select("impression_id", "video_id").collect().sort("impression_id")
        first = pairs.unique("impression_id", keep="first", maintain_order=True)
        uploaded = log.read("uploaded", known_before_us=until_us)
        return cls(Makers.of(uploaded), first["impression_id"].to_numpy(), first["video_id"].to_numpy())

    def videos_shown(self, impression_ids: Ints) -> Ints:
        """The video of each impression; NOBODY if it was never served, or there was none."""
        rows = rows_of(self.impression_ids, impression_ids)
        of_log = _taken(self.shown, rows, NOBODY)
        since = [self.shown_since.get(int(each), NOBODY) for each in impression_ids[rows < 0]]
        of_log[rows < 0] = since
        return of_log


def counted_facts(log: EventLog, until_us: int, known: Known | None = None) -> Facts:
    """Every fact the log knew before `until`."""
    clocks = ("event_time", "known_time")
    tables = {
        kind: log.read(kind, known_before_us=until_us, columns=(*clocks, *columns))
        for kind, columns in COUNTED.items()
    }
    return facts_of(tables, Known.of(log, until_us) if known is None else known)


def facts_of(tables: Mapping[str, pl.DataFrame], known: Known) -> Facts:
    """The facts of these events (a kind may be missing), given what was known; follows are remembered."""
    parts = [make(tables[kind], known) for kind, make in _MAKERS.items() if kind in tables]
    return joined(parts or [_watches(empty("watched"), known)])


def _watches(watched: pl.DataFrame, known: Known) -> Facts:
    share = pl.col("watched_ms") / pl.col("duration_ms").fill_null(LONG_WATCH_MS)
    amounts = {
        "impressions": pl.lit(1),
        "long_watch": long_watch(pl.col("watched_ms"), pl.col("duration_ms")),
        "watched_share": (share.clip(0, 1) * SHARE_UNITS).round(),
        "watched_ms": pl.col("watched_ms"),
    }
    return _facts(watched, watched["video_id"].to_numpy(), amounts, known)


def _reactions(reacted: pl.DataFrame, known: Known) -> Facts:
    mine = reacted.filter(pl.col("reaction").is_in(list(ACTS)))
    meaning = pl.col("reaction").replace_strict(ACTS, return_dtype=pl.String)
    amounts = {event: meaning == event for event in dict.fromkeys(ACTS.values())}
    return _facts(mine, mine["video_id"].to_numpy(), amounts, known)


def _follows(followed: pl.DataFrame, known: Known) -> Facts:
    """Each follow counts for the video on screen, if there was one; for the creator only the first counts."""
    rows = followed.sort("known_time", "event_time", maintain_order=True)
    shown = known.videos_shown(rows["impression_id"].fill_null(NOBODY).to_numpy())
    for_video = _facts(rows, shown, {"share_or_follow": pl.lit(1)}, known).take(shown >= 0)
    pairs = list(zip(rows["user_id"].to_list(), rows["creator_id"].to_list(), strict=True))
    is_first = np.array([_is_new(pair, known.follows) for pair in pairs], np.bool_)
    nothing = np.full(len(rows), NOBODY, np.int64)
    for_creator = _facts(rows, nothing, {"followed": pl.lit(1)}, known, rows["creator_id"].to_numpy())
    return joined([for_video, for_creator.take(is_first)])


def _is_new(pair: tuple[int, int], follows: set[tuple[int, int]]) -> bool:
    before = len(follows)
    follows.add(pair)
    return len(follows) > before


def _uploads(uploaded: pl.DataFrame, known: Known) -> Facts:
    """The first upload of each video, for its creator."""
    first = uploaded.unique("video_id", keep="first", maintain_order=True)
    return _facts(first, first["video_id"].to_numpy(), {"uploaded": pl.lit(1)}, known)


_MAKERS = {"watched": _watches, "reacted": _reactions, "followed": _follows, "uploaded": _uploads}
"""Who makes facts of which kind of event."""


def _facts(
    rows: pl.DataFrame,
    video_ids: Ints,
    amounts: Mapping[str, pl.Expr],
    known: Known,
    creator_ids: Ints | None = None,
) -> Facts:
    """One fact per row, of this video and its maker; or of a creator alone."""
    clocks = [pl.col(clock).to_physical() for clock in ("known_time", "event_time")]
    told = rows.select(*clocks, *(amount.cast(pl.Int32).alias(event) for event, amount in amounts.items()))
    known_us, event_us, *counted = (column.to_numpy() for column in told)
    makers, topics, made_us = known.makers.of_videos(video_ids)
    counts = np.zeros((len(rows), len(EVENTS)), np.int32)
    for event, amount in zip(amounts, counted, strict=True):
        counts[:, EVENTS.index(event)] = amount
    users = rows["user_id"].to_numpy() if "user_id" in rows.columns else np.full(len(rows), NOBODY, np.int64)
    return Facts(
        user_id=users,
        video_id=video_ids,
        creator_id=makers if creator_ids is None else creator_ids,
        topic=topics,
        event_us=np.minimum(event_us, known_us),
        known_us=known_us,
        made_known_us=np.maximum(known_us, made_us),
        amounts=counts,
    )


def _taken(values: Ints, rows: Ints, otherwise: int) -> Ints:
    if not len(values):
        return np.full(rows.shape, otherwise, np.int64)
    return np.where(rows >= 0, values[rows], otherwise)
