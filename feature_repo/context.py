"""What a request knows by itself: time, surface, ages. Training rows and requests use the same functions.

`times_us` may be one moment or one per row; unknown moments are NaN and give NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from feature_repo.clock import DAY_US, HOUR_US

Column = NDArray[np.float32]


def hour_of_day(times_us: ArrayLike) -> Column:
    """UTC hour with its fraction, in [0, 24)."""
    return np.asarray((np.asarray(times_us, np.int64) % DAY_US) / HOUR_US, np.float32)


def is_weekend(times_us: ArrayLike) -> Column:
    """1 on Saturday and Sunday, UTC. 1970-01-01 was a Thursday, so days 2 and 3 of each seven."""
    weekday = (np.asarray(times_us, np.int64) // DAY_US) % 7
    return np.asarray((weekday == 2) | (weekday == 3), np.float32)


def video_age_hours(times_us: ArrayLike, uploaded_us: ArrayLike) -> Column:
    """Hours since the upload, at least 0; NaN if the upload is unknown."""
    return _elapsed(times_us, uploaded_us, HOUR_US)


def user_tenure_days(times_us: ArrayLike, joined_us: ArrayLike) -> Column:
    """Days since joining, at least 0; NaN if joining is unknown."""
    return _elapsed(times_us, joined_us, DAY_US)


def context_columns(
    times_us: ArrayLike, surface: ArrayLike, uploaded_us: ArrayLike, joined_us: ArrayLike
) -> dict[str, Column]:
    """The columns of catalogue.CONTEXT; one moment or surface gives one value for all rows."""
    return {
        "surface": np.asarray(surface, np.float32),
        "hour_of_day": hour_of_day(times_us),
        "is_weekend": is_weekend(times_us),
        "video_age_hours": video_age_hours(times_us, uploaded_us),
        "user_tenure_days": user_tenure_days(times_us, joined_us),
    }


def _elapsed(times_us: ArrayLike, since_us: ArrayLike, unit_us: int) -> Column:
    """Float64 holds microseconds of this century exactly; float32 would be minutes off."""
    since = np.asarray(since_us, np.float64)
    spent = np.maximum(np.asarray(times_us, np.float64) - since, 0.0)
    return np.asarray(spent / unit_us, np.float32)
