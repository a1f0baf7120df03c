"""KuaiRand's standard log, told in our six kinds of event; what the log does not say is null, never invented.

Any folder of its shape will do: `impressions_*.parquet` of any days, `users.parquet`, `videos_basic.parquet`.
The day is UTC+8 of `time_ms` (`date` and `hourmin` disagree with it), a row's number in the folder is its
identity (user and video are not a key, exact repeats are kept), and an event is known when it happens.
Outcomes of an impression share its moment: the log has no time of its own for a like or a follow.

Source: Gao et al., CIKM 2022, doi 10.1145/3511808.3557624 (KuaiRand-Pure, CC BY-SA 4.0).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from feature_repo.events import KINDS, TOPICS
from feature_repo.labels import long_watch
from feature_repo.log import EventLog
from pipelines.adapters.kuairand_files import (
    IMPRESSIONS,
    LOCAL,
    REACTION_COLUMNS,
    UNKNOWN,
    Folder,
    read_folder,
    unless_zero,
)

RELEASE = "kuairand-standard-log"
"""The policy behind the log, unknown to us but for its name."""

PART = "kuairand"
"""The name of this log's parts in the event log."""

ACTIVITY = (
    "day_new",
    "2_14_day_new",
    "30day_retention",
    "single_low_active",
    "low_active",
    "middle_active",
    "high_active",
    "full_active",
)
FANS = ("0", "[1,10)", "[10,100)", "[100,1k)", "[1k,5k)", "[5k,1w)", "[1w,10w)", "[10w,100w)", "[100w,1000w)")
FOLLOWS = ("0", "(0,10]", "(10,50]", "(50,100]", "(100,150]", "(150,250]", "(250,500]", "500+")
"""Bands from low to high; a band's code is its place here, and `UNKNOWN` or another word is null."""

OUR_RULE = long_watch(pl.col("play_time_ms"), pl.col("duration_ms"))
"""Our label for `long_view`; theirs reads durations in whole seconds and differs on 0.2 % of the rows."""


def ingest(real_logs: Path, log: EventLog) -> dict[str, int]:
    """Append the folder to the log; the counts are for the report.

    Doing it twice changes nothing. Another folder, or fewer days of it, takes the place of what was read
    before; events of any other origin stay.
    """
    folder = read_folder(real_logs)
    tables = events(folder)
    replaced = sum(_forget_other_days(log, kind, table) for kind, table in tables.items())
    for kind, table in tables.items():
        if not table.is_empty():
            log.append(kind, table, PART)
    rows = {kind: table.height for kind, table in tables.items()}
    return {**rows, **oddities(folder), "parts_of_another_folder_removed": replaced}


def _forget_other_days(log: EventLog, kind: str, table: pl.DataFrame) -> int:
    """Remove what an earlier folder left on days this one has no rows for: its numbers mean other rows."""
    days = {f"day={day}" for day in table["event_time"].dt.date().unique()}
    stale = [path for path in log.parts(kind) if path.stem == PART and path.parent.name not in days]
    for path in stale:
        path.unlink()
    return len(stale)


def events(folder: Folder) -> dict[str, pl.DataFrame]:
    """The six kinds of event this folder tells."""
    return {
        "joined": joined(folder),
        "uploaded": uploaded(folder.videos),
        "served": served(folder.impressions),
        "watched": watched(folder.impressions),
        "reacted": reacted(folder.impressions),
        "followed": followed(folder),
    }


def oddities(folder: Folder) -> dict[str, int]:
    """What was repaired, dropped or left unknown, counted."""
    rows = folder.impressions
    authored = folder.videos["video_id"].implode()
    known = folder.users["user_id"].implode()
    return {
        "rows_out_of_order": folder.disordered,
        "repeats_kept": rows.height - rows.select(IMPRESSIONS).unique().height,
        "durations_unknown": rows["duration_ms"].null_count(),
        "impressions_of_unknown_users": rows.filter(~pl.col("user_id").is_in(known)).height,
        "impressions_of_unknown_videos": rows.filter(~pl.col("video_id").is_in(authored)).height,
        "follows_of_unknown_creators": rows.filter(
            (pl.col("is_follow") == 1) & ~pl.col("video_id").is_in(authored)
        ).height,
        "long_view_unlike_our_rule": rows.filter((pl.col("long_view") == 1) != OUR_RULE).height,
    }


# --- the six kinds ---------------------------------------------------------------------------------------


def served(impressions: pl.DataFrame) -> pl.DataFrame:
    """One request of one item per row, because the log names no slate; how it was chosen is null."""
    unknown = ("propensity", "source", "features", "features_time")
    return _shaped(
        "served",
        impressions.with_columns(
            pl.lit(0).alias("position"),
            (pl.col("is_rand") == 1).alias("explored"),
            pl.col("tab").alias("surface"),
            pl.lit(RELEASE).alias("release_id"),
            *(pl.lit(None).alias(name) for name in unknown),
        ),
        pl.col("request_id"),
    )


def watched(impressions: pl.DataFrame) -> pl.DataFrame:
    """Every row reached the screen, those watched for 0 ms too."""
    return _shaped("watched", impressions.rename({"play_time_ms": "watched_ms"}), pl.col("request_id"))


def reacted(impressions: pl.DataFrame) -> pl.DataFrame:
    """A row per flag that is set; a forward is a share, a hate is a hide."""
    keys = ("event_time", "request_id", "impression_id", "user_id", "video_id")
    flags = impressions.select(*keys, *(pl.col(c).alias(word) for c, word in REACTION_COLUMNS.items()))
    told = flags.unpivot(index=keys, variable_name="reaction", value_name="set").filter(pl.col("set") == 1)
    return _shaped("reacted", told, pl.format("{}-{}", "request_id", "reaction"))


def followed(folder: Folder) -> pl.DataFrame:
    """A follow names the video's author; where the author is unknown it is dropped and counted."""
    authors = folder.videos.select("video_id", pl.col("author_id").alias("creator_id"))
    follows = folder.impressions.filter(pl.col("is_follow") == 1).join(authors, on="video_id")
    return _shaped("followed", follows, pl.col("request_id"))


def uploaded(videos: pl.DataFrame) -> pl.DataFrame:
    """Uploads are dated, not timed: the start of that UTC+8 day, never after the video's first impression."""
    unknown = ("content", "headline_score", "production_score")
    return _shaped(
        "uploaded",
        videos.with_columns(
            pl.col("author_id").alias("creator_id"),
            _topic().alias("topic"),
            unless_zero("video_duration").alias("duration_ms"),
            _start_of_local_day(pl.col("upload_dt")).alias("event_time"),
            *(pl.lit(None).alias(name) for name in unknown),
        ),
        pl.col("video_id"),
    )


def joined(folder: Folder) -> pl.DataFrame:
    """`register_days` is counted back from the first day of the log, so that nobody acts before joining.

    The day it was really counted from is not published. Country, device and age are not in the log: null.
    """
    days = _months(pl.col("register_days").replace(UNKNOWN, None).fill_null(0))
    first_day = pl.lit(folder.first_day)
    return _shaped(
        "joined",
        folder.users.with_columns(
            _start_of_local_day(first_day - pl.duration(days=days)).alias("event_time"),
            _band("user_active_degree", ACTIVITY).alias("activity_band"),
            _band("fans_user_num_range", FANS).alias("fans_band"),
            _band("follow_user_num_range", FOLLOWS).alias("follows_band"),
            *(pl.lit(None).alias(name) for name in ("country", "device", "age_band")),
        ),
        pl.col("user_id"),
    )


def _months(days: pl.Expr) -> pl.Expr:
    """Beyond 60 days whole months of 30: the log keeps a folder per day, ten years of them tell no more."""
    return pl.when(days > 60).then(days // 30 * 30).otherwise(days)


def _shaped(kind: str, table: pl.DataFrame, identity: pl.Expr) -> pl.DataFrame:
    """Exactly the columns and types of the kind, in order of time; ids say where they came from."""
    return (
        table.with_columns(
            pl.format("kuairand-" + kind + "-{}", identity).alias("event_id"),
            pl.col("event_time").alias("known_time"),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in KINDS[kind].items())
        .sort("event_time", "event_id")
    )


def _topic() -> pl.Expr:
    """The first tag our topic codes can hold (0..63); tags are small numbers; null if there is none."""
    tags = pl.col("tag").str.split(",").list.eval(pl.element().cast(pl.Int64, strict=False))
    return tags.list.eval(pl.element().filter(pl.element().is_between(0, TOPICS - 1))).list.first()


def _band(column: str, words: tuple[str, ...]) -> pl.Expr:
    """The place of a word among its ordered bands; an unknown word is null."""
    return pl.col(column).replace_strict(words, list(range(len(words))), default=None, return_dtype=pl.Int16)


def _start_of_local_day(day: pl.Expr) -> pl.Expr:
    return (day.cast(pl.Datetime("us")) - LOCAL.utcoffset(None)).dt.replace_time_zone("UTC")
