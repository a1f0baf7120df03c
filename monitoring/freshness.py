"""Is the log still being written? Age of the newest event of each kind, holes in the stream, lateness.

Ages are judged on the world's clock: the running server's, else the end of the log.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from feature_repo.clock import HOUR_US, MINUTE_US
from monitoring.findings import Finding, judged, not_judged
from monitoring.recent import Clocks, Recent

OLDEST_HOURS: Mapping[str, Mapping[str, float]] = {
    "simulated": {"served": 6, "watched": 6, "reacted": 12, "followed": 24, "uploaded": 24},
    "kuairand": {"served": 6, "watched": 6, "reacted": 12},  # its videos and people arrive as one file, once
}
"""How old the newest event of a kind may be. Rarer kinds may be older: a quiet hour is not an outage."""

LONGEST_HOLE_HOURS = 6.0
"""A night is quiet for an hour or two; six hours without a single watch is a broken collector."""

LATE_MINUTES = 10.0
LATEST_SHARE = 0.10
"""3 % of a real log is known more than ten minutes after it happened; more than 10 % is a backlog."""


def freshness(clocks: Recent, now_us: int, logs: str) -> list[Finding]:
    """One finding per kind that this log streams, one for holes, one for lateness."""
    bounds = OLDEST_HOURS.get(logs, OLDEST_HOURS["kuairand"])
    ages = [age(kind, clocks[kind], now_us, bound) for kind, bound in bounds.items()]
    return [*ages, hole(clocks["watched"]), lateness(clocks["watched"])]


def age(kind: str, clocks: Clocks, now_us: int, oldest_hours: float) -> Finding:
    """How long ago the newest event of a kind happened."""
    bound = f"<= {oldest_hours:g} h"
    if not len(clocks):
        return judged("freshness", kind, "no events", bound, False, f"nothing {kind} in the time looked at")
    hours = (now_us - int(clocks.event_us[-1])) / HOUR_US
    says = f"no {kind} event for {hours:.1f} h: is its sender running? then `python -m pipelines ingest`"
    return judged("freshness", kind, f"{hours:.2f} h", bound, hours <= oldest_hours, says)


def hole(clocks: Clocks) -> Finding:
    """The longest time without any watch."""
    if len(clocks) < 2:
        return not_judged("freshness", "holes", "fewer than two watches in the time looked at")
    hours = float(np.diff(clocks.event_us).max()) / HOUR_US
    bound, says = f"<= {LONGEST_HOLE_HOURS:g} h", f"{hours:.1f} h without a watch: were events lost?"
    return judged("freshness", "holes", f"{hours:.2f} h", bound, hours <= LONGEST_HOLE_HOURS, says)


def lateness(clocks: Clocks) -> Finding:
    """Share of watches known long after they happened."""
    if not len(clocks):
        return not_judged("freshness", "lateness", "no watches in the time looked at")
    share = float((clocks.known_us - clocks.event_us > LATE_MINUTES * MINUTE_US).mean())
    bound, says = f"<= {LATEST_SHARE:.0%}", f"known more than {LATE_MINUTES:g} min late: a backlog upstream"
    return judged("freshness", "lateness", f"{share:.1%}", bound, share <= LATEST_SHARE, says)
