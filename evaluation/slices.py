"""Whom a figure is about: new users, new videos, heavy users, cut from the same rows by written-down bounds.

A mask answers for every row; what is unknown (null or NaN) is in no slice but `all`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

NEW_USER_DAYS = 2.0
"""A user this young has less than the seven days the user's rates look back, and hardly a history."""

NEW_VIDEO_HOURS = 24.0
"""A video this young has not lived through one day of statistics."""

HEAVY_SHARE = 0.1
"""Heavy users are the tenth with the most impressions in their last seven days."""


def new_users(rows: pl.DataFrame) -> Mask:
    """Rows of users who joined less than two days before the impression (`user_tenure_days`)."""
    return _floats(rows, "user_tenure_days") < NEW_USER_DAYS


def new_videos(rows: pl.DataFrame) -> Mask:
    """Rows of videos uploaded less than a day before the impression (`video_age_hours`)."""
    return _floats(rows, "video_age_hours") < NEW_VIDEO_HOURS


def heavy_users(rows: pl.DataFrame) -> Mask:
    """Rows of the tenth of users with the most impressions (`user_id`, `user_impressions_7d`).

    A user is judged once, by their largest value; users tied with the last of the tenth are all in.
    """
    users, owner = np.unique(rows["user_id"].to_numpy(), return_inverse=True)
    largest = np.full(len(users), -np.inf)
    np.maximum.at(largest, owner, np.nan_to_num(_floats(rows, "user_impressions_7d"), nan=-np.inf))
    known = np.sort(largest[np.isfinite(largest)])[::-1]
    if not len(known):
        return np.zeros(len(rows), bool)
    bound = known[max(1, round(HEAVY_SHARE * len(known))) - 1]
    return np.asarray((largest >= bound)[owner], np.bool_)


def slices(rows: pl.DataFrame) -> Mapping[str, Mask]:
    """Every slice a report shows, in its order; `rows` needs the four columns named above."""
    return {
        "all": np.ones(len(rows), bool),
        "new users": new_users(rows),
        "heavy users": heavy_users(rows),
        "new videos": new_videos(rows),
    }


def _floats(rows: pl.DataFrame, column: str) -> NDArray[np.float64]:
    if column not in rows.columns:
        raise KeyError(f"no column {column!r}. Columns: {', '.join(rows.columns)}.")
    return rows[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
