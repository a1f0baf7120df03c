"""KuaiRand's standard log, told in our six kinds of event; what the log does not say is null, never invented.

Any folder of its shape will do: `impressions_*.parquet` of any days, `users.parquet`, `videos_basic.parquet`.
The day is UTC+8 of `time_ms` (`date` and `hourmin` disagree with it), a row's number in the folder is its
identity (user and video are not a key, exact repeats are kept), and an event is known when it happens.
Outcomes of an impression share its moment: the log has no time of its own for a like or a follow.

Source: Gao et al., CIKM 2022, doi 10.1145/3511808.3557624 (KuaiRand-Pure, CC BY-SA 4.0).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from feature_repo.clock import INSTANT
from feature_repo.events import KINDS, POSITIONS_PER_REQUEST, TOPICS
from feature_repo.labels import long_watch
from feature_repo.log import EventLog

LOCAL = dt.timezone(dt.timedelta(hours=8))
"""The days of this log are days of UTC+8."""

RELEASE = "kuairand-standard-log"
"""The policy behind the log, unknown to us but for its name."""

PART = "kuairand"
"""The name of this log's parts in the event log."""

UNKNOWN = -124
"""The sentinel these tables carry where a number is missing."""

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

REACTION_COLUMNS = {
    "is_like": "like",
    "is_comment": "comment",
    "is_forward": "share",
    "is_profile_enter": "profile",
    "is_hate": "hide",
}

OUR_RULE = long_watch(pl.col("play_time_ms"), pl.col("duration_ms"))
"""Our label for `long_view`; theirs reads durations in whole seconds and differs on 0.2 % of the rows."""

_FLAGS = (*REACTION_COLUMNS, "is_follow", "is_rand", "long_view")
IMPRESSIONS = (*_FLAGS, "user_id", "video_id", "time_ms", "play_time_ms", "duration_ms", "tab")
USERS = ("user_id", "user_active_degree", "fans_user_num_range", "follow_user_num_range", "register_days")
VIDEOS = ("video_id", "author_id", "upload_dt", "video_duration", "tag")
_TEXT = {"user_active_degree", "fans_user_num_range", "follow_user_num_range", "upload_dt", "tag"}
_MAY_BE_NULL = (_TEXT - {"upload_dt"}) | {"register_days", "video_duration"}
_CENTURY_MS = (946_684_800_000, 4_102_444_800_000)
"""2000 to 2100: a time outside was not written in milliseconds."""


class BadRealLogs(ValueError):
    """A folder of real logs that cannot be read: names the file, the column, the rule and the remedy."""


@dataclass(frozen=True)
class Folder:
    """The three tables of one folder, checked, with one clock (`event_time`) on every impression."""

    impressions: pl.DataFrame
    users: pl.DataFrame
    videos: pl.DataFrame
    disordered: int
    """Rows earlier than the row before them in their file; they were sorted."""

    @property
    def first_day(self) -> dt.date:
        """The first UTC+8 day with an impression."""
        first: dt.date = self.impressions["day"].min()  # type: ignore[assignment]
        return first


@dataclass(frozen=True)
class StartingState:
    """What was already true at `known_us`, before the first impression; having no times, it is no event."""

    known_us: int
    watched: pl.DataFrame
    """user_id, video_id, long_view, is_like; per user oldest first, the newest impression last."""
    impressions: pl.DataFrame
    """user_id, impressions: how many up to then, also those whose rows are not in `watched`."""


def ingest(real_logs: Path, log: EventLog, until: dt.date | None = None) -> dict[str, int]:
    """Append the folder to the log, through `until` (a UTC+8 day) if given; the counts are for the report.

    Doing it twice changes nothing. Another folder, or fewer days of it, takes the place of what was read before;
    events of any other origin stay.
    """
    folder = read_folder(real_logs)
    kept = folder.impressions if until is None else folder.impressions.filter(pl.col("day") <= until)
    if kept.is_empty():
        raise BadRealLogs(
            f"{real_logs} has no impression up to {until}; its first day is {folder.first_day}. "
            "Set TRAIN_UNTIL to a day of the folder."
        )
    tables = events(Folder(kept, folder.users, folder.videos, folder.disordered))
    replaced = sum(_forget_other_days(log, kind, table) for kind, table in tables.items())
    for kind, table in tables.items():
        if not table.is_empty():
            log.append(kind, table, PART)
    rows = {kind: table.height for kind, table in tables.items()}
    return {**rows, **oddities(folder, kept), "parts_of_another_folder_removed": replaced}


def _forget_other_days(log: EventLog, kind: str, table: pl.DataFrame) -> int:
    """Remove what an earlier folder left on days this one has no rows for: its row numbers mean other rows."""
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


def oddities(folder: Folder, kept: pl.DataFrame) -> dict[str, int]:
    """What was repaired, dropped or left unknown, counted."""
    authored = folder.videos["video_id"].implode()
    known = folder.users["user_id"].implode()
    return {
        "rows_out_of_order": folder.disordered,
        "rows_after_the_last_day": folder.impressions.height - kept.height,
        "repeats_kept": kept.height - kept.select(IMPRESSIONS).unique().height,
        "durations_unknown": kept["duration_ms"].null_count(),
        "impressions_of_unknown_users": kept.filter(~pl.col("user_id").is_in(known)).height,
        "impressions_of_unknown_videos": kept.filter(~pl.col("video_id").is_in(authored)).height,
        "follows_of_unknown_creators": kept.filter(
            (pl.col("is_follow") == 1) & ~pl.col("video_id").is_in(authored)
        ).height,
        "long_view_unlike_our_rule": kept.filter((pl.col("long_view") == 1) != OUR_RULE).height,
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
            _unless_zero("video_duration").alias("duration_ms"),
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


def _unless_zero(column: str) -> pl.Expr:
    """A duration; 0 and the sentinel say that it is unknown."""
    return pl.when(pl.col(column) > 0).then(pl.col(column))


def _start_of_local_day(day: pl.Expr) -> pl.Expr:
    return (day.cast(pl.Datetime("us")) - LOCAL.utcoffset(None)).dt.replace_time_zone("UTC")


# --- reading ---------------------------------------------------------------------------------------------


def folder_in(real_logs: Path) -> Path:
    """The folder of KuaiRand's shape: this one, or `kuairand_pure` inside it."""
    for folder in (real_logs, real_logs / "kuairand_pure"):
        if any(folder.glob("impressions_*.parquet")):
            return folder
    raise BadRealLogs(
        f"{real_logs} holds no impressions_*.parquet, neither itself nor in kuairand_pure/. "
        "Point REAL_LOGS=dir at a folder with impressions_*.parquet, users.parquet and videos_basic.parquet."
    )


def read_folder(real_logs: Path) -> Folder:
    """The folder's tables, checked against the shape; rows are put in order of time and keep their number."""
    folder = folder_in(real_logs)
    parts = [_checked(path, IMPRESSIONS) for path in sorted(folder.glob("impressions_*.parquet"))]
    rows = pl.concat(parts)
    if rows.is_empty():
        raise BadRealLogs(f"{folder}/impressions_*.parquet has no rows; REAL_LOGS needs at least one.")
    videos = folder / "videos_basic.parquet"
    return Folder(
        impressions=_on_the_clock(rows),
        users=_keyed(folder / "users.parquet", USERS),
        videos=_days(videos, _keyed(videos, VIDEOS), "upload_dt"),
        disordered=sum(int((part["time_ms"].diff() < 0).sum()) for part in parts),
    )


def starting_state(real_logs: Path) -> StartingState | None:
    """What `history_*.parquet` say was true before the first impression; None where the folder has none."""
    folder = folder_in(real_logs)
    tails = sorted(folder.glob("history_tail*_to_*.parquet"))
    if not tails:
        return None
    columns = ("user_id", "video_id", "pos_from_end", "is_like", "long_view")
    tail = _checked(tails[-1], columns).sort("user_id", "pos_from_end", descending=[False, True])
    cut = dt.datetime.strptime(tails[-1].stem[-8:], "%Y%m%d").replace(tzinfo=LOCAL) + dt.timedelta(days=1)
    lengths = folder / "history_users.parquet"
    counts = (
        _checked(lengths, ("user_id", "history_len")).rename({"history_len": "impressions"})
        if lengths.exists()
        else tail.group_by("user_id").agg(pl.len().cast(pl.Int64).alias("impressions")).sort("user_id")
    )
    known_us = int(cut.timestamp()) * 1_000_000
    return StartingState(known_us, tail.drop("pos_from_end"), counts)


def _on_the_clock(rows: pl.DataFrame) -> pl.DataFrame:
    """Impressions in order of time, each with its row number as request, its moment and its UTC+8 day."""
    moment = pl.from_epoch("time_ms", "ms")
    return (
        rows.with_row_index("request_id")
        .with_columns(
            pl.col("request_id").cast(pl.Int64),
            moment.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(INSTANT).alias("event_time"),
            (moment + LOCAL.utcoffset(None)).dt.date().alias("day"),
            _unless_zero("duration_ms").alias("duration_ms"),
        )
        .with_columns((pl.col("request_id") * POSITIONS_PER_REQUEST).alias("impression_id"))
        .sort("event_time", "request_id")
    )


def _keyed(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    """A table whose first column is a key."""
    table = _checked(path, columns)
    key = columns[0]
    if twice := table.height - table[key].n_unique():
        raise BadRealLogs(
            f"{path}: {twice} rows repeat a {key}, must be one row per {key}. "
            "Keep one of each and point REAL_LOGS at the repaired folder."
        )
    return table


def _checked(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    """The named columns of a file, numbers as int64; a file of another shape is refused."""
    if not path.is_file():
        raise BadRealLogs(f"{path} is missing. REAL_LOGS=dir must name a folder that has it.")
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as broken:
        raise BadRealLogs(f"{path} is not a readable parquet file ({broken}). Fetch it again.") from broken
    for name in columns:
        _check_column(path, table, name)
    return table.select(
        pl.col(name) if name in _TEXT else pl.col(name).round(0).cast(pl.Int64) for name in columns
    )


def _check_column(path: Path, table: pl.DataFrame, name: str) -> None:
    """Present, of its type, and within its range."""
    if name not in table.columns:
        raise _refused(path, name, "is missing", f"must be there; columns found: {', '.join(table.columns)}")
    column = table[name]
    typed = column.dtype == pl.String if name in _TEXT else column.dtype.is_numeric()
    if not typed and column.dtype != pl.Null:
        raise _refused(path, name, f"is {column.dtype}", f"must be {'text' if name in _TEXT else 'numbers'}")
    if name not in _MAY_BE_NULL and column.null_count():
        raise _refused(path, name, f"has {column.null_count()} nulls", "must have none")
    low, high = _bounds(name)
    if name not in _TEXT and (outside := column.cast(pl.Float64).is_between(low, high).not_().sum()):
        raise _refused(path, name, f"has {outside} values outside {low}..{high}", "must lie within")


def _days(path: Path, table: pl.DataFrame, name: str) -> pl.DataFrame:
    """The same table with a text column read as days, or the first text that is none."""
    days = table[name].str.to_date("%Y-%m-%d", strict=False)
    if days.null_count():
        raise _refused(path, name, f"has {table.filter(days.is_null())[name][0]!r}", "must be YYYY-MM-DD")
    return table.with_columns(days)


def _bounds(name: str) -> tuple[int, int]:
    if name in _FLAGS:
        return 0, 1
    if name == "time_ms":
        return _CENTURY_MS
    if name == "tab":
        return 0, 2**15 - 1
    return (UNKNOWN, 2**62) if name in _MAY_BE_NULL else (0, 2**56)


def _refused(path: Path, column: str, found: str, rule: str) -> BadRealLogs:
    return BadRealLogs(
        f"{path}: column {column!r} {found}, {rule}. Repair the file or point REAL_LOGS=dir at another."
    )
