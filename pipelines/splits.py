"""The log cut by time: towers learn first, then the ranker's rows train, calibrate and test.

The towers' window ends before the ranker's rows begin, or a row's tower score would have seen its own label.
Whole days, by visible arithmetic: of the days before the test, 1/2 go to the towers, 1/3 train the heads and
1/6 calibrates them; 14 days without a held-out date are cut 6 | 4 | 2 | 2.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import polars as pl

from feature_repo.clock import DAY_US, HOUR_US, day_of, start_of
from feature_repo.labels import WINDOWS_US

TOWER_SHARE = {"simulated": 1 / 2, "kuairand": 2 / 7}
"""Share of the days before the test the towers learn from. Of KuaiRand's seven, two are enough for towers,
and the heads get more rows.
"""
CALIBRATE_SHARE = 1 / 6
TEST_SHARE = 1 / 7
"""Share of all days held out when no date is given, two at least where five remain to learn from: on a
single day no label with a window of 24 h ever matures."""
DAY_OFFSET_US = {"simulated": 0, "kuairand": -8 * HOUR_US}
"""Where a day begins, from UTC midnight: KuaiRand's days are those of UTC+8."""

WITHOUT_SLATES = frozenset({"kuairand"})
"""Logs that do not say what was shown together: a person's held-out impressions are ranked as one list."""


@dataclass(frozen=True)
class Window:
    """[start, end) in microseconds; labels of its rows are what was known before its end."""

    start_us: int
    end_us: int

    @property
    def days(self) -> float:
        return (self.end_us - self.start_us) / DAY_US


@dataclass(frozen=True)
class Splits:
    """Four windows in order of time, without overlap."""

    towers: Window
    train: Window
    calibrate: Window
    test: Window

    @property
    def ranker(self) -> Iterator[tuple[str, Window]]:
        """The windows that hold the ranker's rows, by name."""
        return iter((("train", self.train), ("calibrate", self.calibrate), ("test", self.test)))

    def as_settings(self) -> dict[str, dict[str, int]]:
        return {name: dict(window) for name, window in asdict(self).items()}


def splits(logs: str, start_us: int, end_us: int, train_until: dt.date | None = None) -> Splits:
    """Windows of a log over [start, end); everything after `train_until`, a day of that log, is held out."""
    offset = DAY_OFFSET_US.get(logs, 0)
    first = start_of(day_of(start_us - offset)) + offset
    days = round((end_us - first) / DAY_US)  # a day that has just begun is part of the one before
    before = days - max(min(2, days - 5), 1, round(days * TEST_SHARE))
    if train_until is not None:
        before = (start_of(train_until) + DAY_US + offset - first) // DAY_US
    _refuse_too_short(first - offset, -(-(end_us - first) // DAY_US), before)
    calibrate = max(1, round(before * CALIBRATE_SHARE))
    towers = min(max(1, round(before * TOWER_SHARE.get(logs, 1 / 2))), before - calibrate - 1)
    cuts = [first + day * DAY_US for day in (0, towers, before - calibrate, before)]
    return Splits(*(Window(a, b) for a, b in zip(cuts, [*cuts[1:], end_us], strict=True)))


def _refuse_too_short(first_us: int, days: int, before: int) -> None:
    if before < 3 or days <= before:
        raise ValueError(
            f"the log has {days} days from {day_of(first_us)}, {before} of them to train on; at least 3 days "
            "to train on and 1 to hold out are needed. Give an earlier or later TRAIN_UNTIL, or a longer log."
        )


def is_mature(label: str) -> pl.Expr:
    """Whether a row may be used for a head: the label's window has passed before the end of its split.

    This is the maturity gap, per head: 1 h for a watch, 24 h for a follow (feature_repo.labels.WINDOWS_US).
    """
    if label not in WINDOWS_US:
        raise KeyError(f"no label {label!r}; labels are {', '.join(WINDOWS_US)}.")
    return pl.col(f"{label}_mature") & pl.col(label).is_not_null()
