"""What time means everywhere: UTC, whole microseconds, and "before" is strictly before."""

from __future__ import annotations

import datetime as dt

import polars as pl

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
NEVER_US = 2**63 - 1
"""The moment of what does not happen: after every other."""

INSTANT = pl.Datetime("us", "UTC")
"""The one dtype of a moment in a table; parquet writes it as timestamp[us, UTC]."""


def utc(moment_us: int) -> dt.datetime:
    """The aware datetime of a moment given in microseconds since 1970."""
    return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=moment_us)


def microseconds(moment: dt.datetime) -> int:
    """Microseconds since 1970 of an aware datetime; a naive one is refused."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone; times are UTC and must say so.")
    return (moment - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(microseconds=1)


def day_of(moment_us: int) -> dt.date:
    """The UTC calendar day of a moment."""
    return utc(moment_us).date()


def start_of(day: dt.date) -> int:
    """The first microsecond of a UTC day."""
    return microseconds(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC))
