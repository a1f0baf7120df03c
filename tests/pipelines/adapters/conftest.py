"""A folder of KuaiRand's shape, small enough to read: three impressions of two users on three videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

NOON_MS = 1_650_859_200_000
"""2022-04-25 12:00 in UTC+8."""
HOUR_MS = 3_600_000


def impressions(**columns: list[object]) -> pl.DataFrame:
    """Three rows; name a column to give it other values."""
    rows: dict[str, list[object]] = {
        "user_id": [1, 2, 1],
        "video_id": [10, 11, 10],
        "time_ms": [NOON_MS, NOON_MS + HOUR_MS, NOON_MS + 13 * HOUR_MS],
        "play_time_ms": [20_000, 0, 7_000],
        "duration_ms": [60_000, 0, 9_000],
        "tab": [1, 0, 4],
        **{flag: [0, 0, 0] for flag in FLAGS},
        "date": [20220425, 20220425, 20220425],
    }
    return pl.DataFrame({**rows, **columns})


FLAGS = (
    "is_like",
    "is_comment",
    "is_forward",
    "is_profile_enter",
    "is_hate",
    "is_follow",
    "is_rand",
    "long_view",
)


def users(**columns: list[object]) -> pl.DataFrame:
    rows: dict[str, list[object]] = {
        "user_id": [1, 2],
        "user_active_degree": ["full_active", "UNKNOWN"],
        "fans_user_num_range": ["[10,100)", "0"],
        "follow_user_num_range": ["500+", "new word"],
        "register_days": [30, -124],
    }
    return pl.DataFrame({**rows, **columns})


def videos(**columns: list[object]) -> pl.DataFrame:
    rows: dict[str, list[object]] = {
        "video_id": [10, 11, 12],
        "author_id": [500, 501, 501],
        "upload_dt": ["2022-04-09", "2022-04-10", "2022-04-11"],
        "video_duration": [60_000.0, None, 9_000.0],
        "tag": ["39,68", "67,6", None],
    }
    return pl.DataFrame({**rows, **columns})


Tables = dict[str, pl.DataFrame]


@pytest.fixture
def a_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write the small folder; a table given by name takes the place of the small one, None leaves it out."""

    def write(**tables: pl.DataFrame | None) -> Path:
        folder = tmp_path / "real_logs"
        folder.mkdir(exist_ok=True)
        small = {
            "impressions_a": impressions(),
            "users": users(),
            "videos_basic": videos(),
        }
        for name, table in {**small, **tables}.items():
            if table is not None:
                table.write_parquet(folder / f"{name}.parquet")
        return folder

    return write
