"""What people did about an impression, as labels: one row per watched impression, each label with its window.

Law: a positive happened within the label's window after the impression and was known before the asking
moment. A label is mature once its window has passed by then: a follow that may still arrive is no negative.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.clock import DAY_US, HOUR_US
from feature_repo.events import SWIPE
from feature_repo.log import EventLog

LONG_WATCH_MS = 18_000
"""KuaiRand's long view: watched >= min(18 s, duration) (Gao et al., CIKM 2022, and the data set's README)."""

WINDOWS_US: Mapping[str, int] = {
    "long_watch": HOUR_US,
    "watch": HOUR_US,
    "like": HOUR_US,
    "share_or_follow": DAY_US,
    "negative": DAY_US,
}
"""How long after the impression each label may still turn positive."""

LABELS = tuple(WINDOWS_US)


_SERVED = (
    "impression_id",
    "request_id",
    "user_id",
    "video_id",
    "position",
    "propensity",
    "surface",
    "explored",
)


class Events(TypedDict):
    """The four tables labels are made of, as EventLog.read returns them."""

    served: pl.DataFrame
    watched: pl.DataFrame
    reacted: pl.DataFrame
    followed: pl.DataFrame
    uploaded: pl.DataFrame


def events_between(log: EventLog, start_us: int, end_us: int, known_before_us: int) -> Events:
    """What labels of impressions in [start, end) need from the log, known before the asking moment."""
    last_us = end_us + max(WINDOWS_US.values())
    served = log.read("served", start_us, end_us, known_before_us, (*_SERVED, "event_time", "known_time"))
    clocks = ("impression_id", "event_time", "known_time")
    made = ("video_id", "creator_id", "topic")
    return {
        "served": served,
        "watched": log.read(
            "watched", None, last_us, known_before_us, (*clocks, "watched_ms", "duration_ms")
        ),
        "reacted": log.read("reacted", None, last_us, known_before_us, (*clocks, "reaction")),
        "followed": log.read("followed", None, last_us, known_before_us, clocks),
        "uploaded": log.read("uploaded", None, None, known_before_us, (*made, "known_time")),
    }


def learnable(logs: str) -> pl.Expr:
    """Which rows models learn from and are judged on: all of foreign logs, the swipe feed of simulated ones.

    A row of the grid is a cover that was tapped; it says nothing of those that were examined and were not.
    """
    return pl.col("surface") == SWIPE if logs == "simulated" else pl.lit(True)


def long_watch(watched_ms: pl.Expr, duration_ms: pl.Expr) -> pl.Expr:
    """Whether this was watched for min(18 s, duration) or more; an unknown duration asks for 18 s."""
    found: pl.Expr = is_long(watched_ms, duration_ms.fill_null(LONG_WATCH_MS))
    return found


def is_long(watched_ms: Any, length_ms: Any) -> Any:
    """The same of what is known, for expressions, arrays and numbers alike."""
    return (watched_ms >= LONG_WATCH_MS) | (watched_ms >= length_ms)


@dataclass(frozen=True)
class DurationQuantiles:
    """Watch time against videos of like length: its quantile within the duration bucket, in [0, 1].

    D2Q (Zhan et al., KDD 2022): long videos are watched longer whatever they are worth, so time is compared
    within buckets of equal population. `edges` (ms) part the buckets; `knots[b]` are watched_ms of bucket b
    at equally spaced quantiles.
    """

    edges: tuple[float, ...]
    knots: tuple[tuple[float, ...], ...]

    @classmethod
    def fitted(
        cls,
        watched_ms: NDArray[np.int64],
        duration_ms: NDArray[np.float64],
        buckets: int = 20,
        knots: int = 101,
    ) -> DurationQuantiles:
        """From training impressions; rows of unknown duration (NaN) share the last bucket."""
        known = duration_ms[np.isfinite(duration_ms)]
        cuts = np.linspace(0, 1, buckets + 1)[1:-1]
        edges = tuple(float(e) for e in np.unique(np.quantile(known, cuts))) if len(known) else ()
        rows = _bucket(duration_ms, edges)
        grid = np.linspace(0, 1, knots)
        overall = np.quantile(watched_ms, grid) if len(watched_ms) else np.zeros(knots)
        found = [watched_ms[rows == b] for b in range(len(edges) + 2)]
        levels = [np.quantile(mine, grid) if len(mine) >= knots else overall for mine in found]
        return cls(edges, tuple(tuple(float(v) for v in level) for level in levels))

    def quantiles(
        self, watched_ms: NDArray[np.int64], duration_ms: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Middle of the quantiles at which this watch time stands in its bucket: ties share one value."""
        rows = _bucket(duration_ms, self.edges)
        answer = np.zeros(len(rows), np.float32)
        for bucket, knots in enumerate(self.knots):
            mine = rows == bucket
            answer[mine] = _mid_quantile(np.asarray(knots), watched_ms[mine])
        return answer

    def to_json(self) -> str:
        return json.dumps({"edges": self.edges, "knots": self.knots})

    @classmethod
    def from_json(cls, text: str) -> DurationQuantiles:
        found = json.loads(text)
        return cls(tuple(found["edges"]), tuple(tuple(level) for level in found["knots"]))


def labels(events: Events, start_us: int, end_us: int, known_before_us: int) -> pl.DataFrame:
    """One row per watched impression served in [start, end), in order of (event_time, impression_id).

    `watch` is left null here: it is a quantile of a fitted DurationQuantiles (see with_watch_quantile).
    """
    seen = _seen(events, start_us, end_us, known_before_us)
    marks = _marks(events, known_before_us)
    positives = [_positive(marks, seen, label) for label in ("like", "share_or_follow", "negative")]
    in_time = pl.col("watched_time") < pl.col("event_time") + pl.duration(
        microseconds=WINDOWS_US["long_watch"]
    )
    is_long = long_watch(pl.col("watched_ms"), pl.col("duration_ms")) & in_time
    return seen.with_columns(
        is_long.cast(pl.Int8).alias("long_watch"),
        pl.lit(None, pl.Float32).alias("watch"),
        *positives,
        *_maturities(known_before_us),
    ).select(COLUMNS)


def with_watch_quantile(table: pl.DataFrame, quantiles: DurationQuantiles) -> pl.DataFrame:
    """The same rows with the `watch` label: watch time's quantile among videos of like length."""
    watched = table["watched_ms"].to_numpy()
    duration = table["duration_ms"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return table.with_columns(pl.Series("watch", quantiles.quantiles(watched, duration), pl.Float32))


COLUMNS = (
    "impression_id",
    "request_id",
    "user_id",
    "video_id",
    "creator_id",
    "topic",
    "position",
    "propensity",
    "surface",
    "explored",
    "event_time",
    "watched_ms",
    "duration_ms",
    *LABELS,
    *(f"{label}_mature" for label in LABELS),
)


def _seen(events: Events, start_us: int, end_us: int, known_us: int) -> pl.DataFrame:
    """Impressions that reached the screen: what was served, who made it, how long it was watched."""
    moment = pl.col("event_time").to_physical()
    served = events["served"].filter((moment >= start_us) & (moment < end_us) & _known(known_us))
    watched = events["watched"].filter(_known(known_us)).rename({"event_time": "watched_time"})
    watched = watched.select("impression_id", "watched_time", "watched_ms", "duration_ms")
    uploaded = events["uploaded"].filter(_known(known_us))
    made = uploaded.select("video_id", "creator_id", "topic").unique("video_id", keep="first")
    joined = (
        served.select(*_SERVED, "event_time")
        .unique("impression_id", keep="first", maintain_order=True)
        .join(
            watched.unique("impression_id", keep="first", maintain_order=True),
            on="impression_id",
            how="inner",
        )
        .join(made, on="video_id", how="left")
    )
    return joined.sort("event_time", "impression_id")


def _marks(events: Events, known_us: int) -> pl.DataFrame:
    """What people did about impressions, as (impression_id, marked_time, label), one row per act."""
    meaning = {"like": "like", "share": "share_or_follow", "hide": "negative", "report": "negative"}
    reacted = events["reacted"].filter(_known(known_us) & pl.col("reaction").is_in(list(meaning)))
    label = pl.col("reaction").replace_strict(meaning, return_dtype=pl.String).alias("label")
    followed = events["followed"].filter(_known(known_us) & pl.col("impression_id").is_not_null())
    time = pl.col("event_time").alias("marked_time")
    return pl.concat(
        [
            reacted.select("impression_id", time, label),
            followed.select("impression_id", time, pl.lit("share_or_follow").alias("label")),
        ]
    )


def _positive(marks: pl.DataFrame, seen: pl.DataFrame, label: str) -> pl.Series:
    """1 where such an act happened inside the window after the impression, else 0."""
    window = pl.duration(microseconds=WINDOWS_US[label])
    mine = marks.filter(pl.col("label") == label).join(
        seen.select("impression_id", "event_time"), on="impression_id", how="inner"
    )
    hits = mine.filter(pl.col("marked_time") < pl.col("event_time") + window)["impression_id"]
    return seen["impression_id"].is_in(hits.unique().implode()).cast(pl.Int8).alias(label)


def _maturities(known_us: int) -> list[pl.Expr]:
    moment = pl.col("event_time").to_physical()
    return [(moment + window <= known_us).alias(f"{label}_mature") for label, window in WINDOWS_US.items()]


def _known(known_us: int) -> pl.Expr:
    return pl.col("known_time").to_physical() < known_us


def _bucket(duration_ms: NDArray[np.float64], edges: tuple[float, ...]) -> NDArray[np.int64]:
    """The duration bucket of each row; unknown durations have the last one to themselves."""
    inside = np.searchsorted(np.asarray(edges), duration_ms, side="right")
    return np.where(np.isfinite(duration_ms), inside, len(edges) + 1).astype(np.int64)


def _mid_quantile(knots: NDArray[np.float64], values: NDArray[np.int64]) -> NDArray[np.float64]:
    """The middle of the share of knots below and the share at or below each value, in [0, 1]."""
    below = np.searchsorted(knots, values, side="left")
    upto = np.searchsorted(knots, values, side="right")
    middle: NDArray[np.float64] = (below + upto) / (2.0 * len(knots))
    return middle
