"""What the windows count, taken from the log: one table per countable event, one row per fact."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from feature_repo.labels import LONG_WATCH_MS, long_watch
from feature_repo.log import EventLog

SHARE_UNITS = 1_000_000
"""Watched shares are summed as whole millionths: whole numbers cancel exactly when they leave a window."""

ACTS = {"like": ("like",), "share_or_follow": ("share",), "negative": ("hide", "report")}
"""Which reactions count towards which rate; a follow counts as share_or_follow too."""

_COLUMNS = (
    "user_id",
    "video_id",
    "creator_id",
    "topic",
    "event_us",
    "known_us",
    "uploaded_known_us",
    "amount",
)


def counted_facts(log: EventLog, until_us: int) -> Mapping[str, pl.DataFrame]:
    """Facts known before `until`, by event: the keys are what catalogue features may count.

    An impression is a watched event (it reached the screen). Acts are counted each, at their own time.
    """
    made = _made(log, until_us)
    watched = _with_maker(
        _clocked(log, "watched", until_us, ("user_id", "video_id", "watched_ms", "duration_ms")), made
    )
    reacted = _with_maker(_clocked(log, "reacted", until_us, ("user_id", "video_id", "reaction")), made)
    followed = _clocked(log, "followed", until_us, ("impression_id", "user_id", "creator_id"))
    from_video = _with_maker(_with_video(log, followed.drop("creator_id")), made)
    acts = {event: _one(reacted.filter(pl.col("reaction").is_in(kinds))) for event, kinds in ACTS.items()}
    return {
        "impressions": _one(watched),
        "long_watch": _one(watched.filter(long_watch(pl.col("watched_ms"), pl.col("duration_ms")))),
        "watched_share": _counted(watched, _share()),
        **acts,
        "share_or_follow": pl.concat([acts["share_or_follow"], _one(from_video)]),
        "followed": _first_follows(followed),
        "uploaded": _one(_uploads(made)),
    }


def _clocked(log: EventLog, kind: str, until_us: int, columns: tuple[str, ...]) -> pl.DataFrame:
    rows = log.read(kind, known_before_us=until_us, columns=("event_time", "known_time", *columns))
    times = [
        pl.col("event_time").to_physical().alias("event_us"),
        pl.col("known_time").to_physical().alias("known_us"),
    ]
    return rows.select(*times, *columns)


def _made(log: EventLog, until_us: int) -> pl.DataFrame:
    """Who made each video and of which topic, from its first upload."""
    rows = _clocked(log, "uploaded", until_us, ("video_id", "creator_id", "topic"))
    return rows.unique("video_id", keep="first", maintain_order=True)


def _with_maker(rows: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """Creator, topic, and when the upload was known: no fact per creator or topic is known sooner."""
    maker = made.select("video_id", "creator_id", "topic", pl.col("known_us").alias("uploaded_known_us"))
    return rows.join(maker, on="video_id", how="left")


def _with_video(log: EventLog, followed: pl.DataFrame) -> pl.DataFrame:
    """The video on screen when the follow was pressed; follows from elsewhere are left out."""
    attributed = followed.filter(pl.col("impression_id").is_not_null())
    wanted = attributed["impression_id"].unique().implode()
    served = log.scan("served").filter(pl.col("impression_id").is_in(wanted))
    videos = served.select("impression_id", "video_id").collect().unique("impression_id", keep="first")
    return attributed.join(videos, on="impression_id", how="inner")


def _first_follows(followed: pl.DataFrame) -> pl.DataFrame:
    """A person follows a creator once, whatever is pressed again."""
    first = followed.sort("known_us", "event_us").unique(
        ["user_id", "creator_id"], keep="first", maintain_order=True
    )
    return _one(
        first.with_columns(
            pl.lit(None, pl.Int64).alias("video_id"),
            pl.lit(None, pl.Int16).alias("topic"),
            pl.col("known_us").alias("uploaded_known_us"),
        )
    )


def _uploads(made: pl.DataFrame) -> pl.DataFrame:
    return made.with_columns(
        pl.lit(None, pl.Int64).alias("user_id"), pl.col("known_us").alias("uploaded_known_us")
    )


def _share() -> pl.Expr:
    """min(watched / duration, 1) in whole millionths; against 18 s where the duration is unknown."""
    share = pl.col("watched_ms") / pl.col("duration_ms").fill_null(LONG_WATCH_MS)
    return (share.clip(0, 1) * SHARE_UNITS).round().cast(pl.Int64)


def _one(rows: pl.DataFrame) -> pl.DataFrame:
    return _counted(rows, pl.lit(1, pl.Int64))


def _counted(rows: pl.DataFrame, amount: pl.Expr) -> pl.DataFrame:
    return rows.with_columns(amount.alias("amount")).select(_COLUMNS)
