"""Does as much happen as usual? The last day and the last hour against the same stretch of the days before.

Days are counted back from the end of the log, so no day is partial and every hour meets its own hour of the
day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_repo.clock import DAY_US, HOUR_US
from monitoring.findings import Finding, judged, not_judged
from monitoring.recent import I64, Clocks, Recent

F64 = NDArray[np.float64]

KINDS = ("served", "watched", "reacted")
LEAST_DAYS = 3
"""Earlier days needed before a day can be called unusual."""


@dataclass(frozen=True)
class Stretch:
    """The last `length_us` of the log, and how far from the usual its count may lie as a ratio."""

    name: str
    length_us: int
    low: float
    high: float


STRETCHES = (
    Stretch("last day", DAY_US, 0.5, 2.0),  # weekends differ by tens of per cent
    Stretch("last hour", HOUR_US, 0.3, 5.0),  # one hour may hold a match or a load test
)

SURPRISE = 4.0
"""Robust standard deviations beyond which a count is no accident; both bounds must be broken."""

MAD_TO_SIGMA = 1.4826
"""The median absolute deviation of a normal law times this is its standard deviation."""


@dataclass(frozen=True)
class Surprise:
    """A count against the usual one: their ratio, and their distance in robust standard deviations."""

    ratio: float
    z: float

    def is_usual(self, low: float, high: float) -> bool:
        return low <= self.ratio <= high or abs(self.z) <= SURPRISE


def surprise(count: float, before: F64) -> Surprise:
    """Distance from the median; the variance is that of the days plus Poisson's: small counts are calm."""
    usual = float(np.median(before))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(before - usual)))
    sigma = float(np.sqrt(spread**2 + max(usual, 1.0)))
    return Surprise(count / usual if usual else float("inf") if count else 1.0, (count - usual) / sigma)


def counts_back(event_us: I64, end_us: int, length_us: int, days: int) -> F64:
    """Events in [end - length, end) of each of the last days, f64[days], the last day first."""
    ends = end_us - np.arange(days) * DAY_US
    upto, first = np.searchsorted(event_us, ends), np.searchsorted(event_us, ends - length_us)
    return (upto - first).astype(np.float64)


def volume(clocks: Recent, end_us: int, since_us: int) -> list[Finding]:
    """The last day and the last hour of every kind worth counting."""
    days = int((end_us - since_us) // DAY_US)
    return [_finding(f"{kind}, {s.name}", clocks[kind], end_us, s, days) for kind in KINDS for s in STRETCHES]


def _finding(subject: str, clocks: Clocks, end_us: int, stretch: Stretch, days: int) -> Finding:
    if days <= LEAST_DAYS:
        return not_judged("volume", subject, f"{days} whole days of log, {LEAST_DAYS + 1} are needed")
    counts = counts_back(clocks.event_us, end_us, stretch.length_us, days)
    found = surprise(counts[0], counts[1:])
    value = f"{counts[0]:,.0f} ({found.ratio:.2f}x, z {found.z:+.1f})"
    bound = f"{stretch.low:g}..{stretch.high:g}x or |z| <= {SURPRISE:g}"
    says = f"usually {np.median(counts[1:]):,.0f}"
    return judged("volume", subject, value, bound, found.is_usual(stretch.low, stretch.high), says)
