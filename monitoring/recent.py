"""When things happened and when we knew, by kind: the log since some day, and what the server has journaled
since.

Only the clocks are read, so a month of a large log is a few megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.events import KINDS
from feature_repo.journal import Journal, frame_of
from feature_repo.log import EventLog
from feature_repo.places import Places

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Clocks:
    """Event times ascending, and the known time of each; microseconds, i64[n]."""

    event_us: I64
    known_us: I64

    def __len__(self) -> int:
        return len(self.event_us)

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Clocks:
        rows = frame.select("event_time", "known_time").sort("event_time")
        moments = [rows[name].to_physical().to_numpy() for name in ("event_time", "known_time")]
        return cls(*moments)


Recent = Mapping[str, Clocks]
"""The clocks of every kind of event."""


def recent(log: EventLog, waiting: Mapping[str, pl.DataFrame], since_us: int) -> Recent:
    """Clocks of every kind from `since` on, the journal's waiting events included."""
    return {kind: Clocks.of(_rows(log, waiting, kind, since_us)) for kind in KINDS}


def _rows(log: EventLog, waiting: Mapping[str, pl.DataFrame], kind: str, since_us: int) -> pl.DataFrame:
    columns = ("event_id", "event_time", "known_time")
    stored = log.read(kind, start_us=since_us, columns=columns)
    return pl.concat([stored, waiting[kind].select(columns)]) if kind in waiting else stored


def waiting_events(places: Places) -> dict[str, pl.DataFrame]:
    """Acknowledged events the log has not absorbed yet, by kind; `python -m pipelines ingest` does."""
    if not places.journal.exists():
        return {}
    journal = Journal(places.journal)
    try:
        events = [entry.event for entry in journal.events(after=journal.drained())]
    finally:
        journal.close()
    kinds = {event["kind"] for event in events}
    return {kind: frame_of(kind, [e for e in events if e["kind"] == kind]) for kind in sorted(kinds)}


def newest_us(clocks: Recent) -> int | None:
    """The newest event time of any kind; None when nothing happened."""
    ends = [int(each.event_us[-1]) for each in clocks.values() if len(each)]
    return max(ends) if ends else None
