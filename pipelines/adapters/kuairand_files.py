"""The files of a folder of KuaiRand's shape, read and checked: a file of another shape is refused by name.

`impressions_*.parquet` of any days, `users.parquet` and `videos_basic.parquet` must be there. Other columns
are left alone: they are outcomes of later days, one-hot codes, or not needed. So are other files: a history
without times, for one, cannot be told as events.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from feature_repo.clock import INSTANT
from feature_repo.events import POSITIONS_PER_REQUEST

LOCAL = dt.timezone(dt.timedelta(hours=8))
"""The days of this log are days of UTC+8."""

UNKNOWN = -124
"""The sentinel these tables carry where a number is missing."""

REACTION_COLUMNS = {
    "is_like": "like",
    "is_comment": "comment",
    "is_forward": "share",
    "is_profile_enter": "profile",
    "is_hate": "hide",
}

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


def unless_zero(column: str) -> pl.Expr:
    """A duration; 0 and the sentinel say that it is unknown."""
    return pl.when(pl.col(column) > 0).then(pl.col(column))


def _on_the_clock(rows: pl.DataFrame) -> pl.DataFrame:
    """Impressions in order of time, each with its row number as request, its moment and its UTC+8 day."""
    moment = pl.from_epoch("time_ms", "ms")
    return (
        rows.with_row_index("request_id")
        .with_columns(
            pl.col("request_id").cast(pl.Int64),
            moment.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(INSTANT).alias("event_time"),
            (moment + LOCAL.utcoffset(None)).dt.date().alias("day"),
            unless_zero("duration_ms").alias("duration_ms"),
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
