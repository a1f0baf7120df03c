"""The log, read while something else is being prepared: each kind once, the small ones beside the large.

Law: what was read ahead answers only as long as the files of its kind are those that were read; where they
are not, and for whatever was not or could not be read, the log is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from feature_repo.events import KINDS
from feature_repo.log import EventLog

Stamps = tuple[tuple[Path, int, int], ...]
"""Files, how large each is, and when it was written."""

WHOLE = ("uploaded", "removed")
NAMELESS = ("watched", "followed", "reacted")
"""Kinds that are read without the names of their events, which are half of what they weigh."""
READ = (*NAMELESS, *WHOLE)
CLOCK = ("known_time",)
"""What is kept of the other kinds, as it is stored."""
SHOWN = ("impression_id", "video_id", *CLOCK)
"""And of what was served."""


@dataclass(frozen=True)
class _Ahead:
    """Rows of a kind, what files they are of, and one microsecond after the newest known_time; 0 if empty."""

    rows: pl.DataFrame
    stamps: Stamps
    known_us: int


@dataclass(frozen=True)
class ReadAhead(EventLog):
    """An event log that answers from memory what is still the same on disk."""

    ahead: Mapping[str, Future[_Ahead]] = field(repr=False, compare=False)

    def read(
        self,
        kind: str,
        start_us: int | None = None,
        end_us: int | None = None,
        known_before_us: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        found = self._found(kind, list(KINDS[kind]) if columns is None else columns)
        if found is None or kind not in READ or start_us is not None or end_us is not None:
            return super().read(kind, start_us, end_us, known_before_us, columns)
        rows = found.rows if columns is None else found.rows.select(columns)
        if known_before_us is None or found.known_us <= known_before_us:
            return rows
        return rows.filter(found.rows["known_time"].to_physical() < known_before_us)

    def shown(self, known_before_us: int) -> pl.DataFrame:
        found = self._found("served", SHOWN)
        if found is None:
            return super().shown(known_before_us)
        known_us = found.rows["known_time"].to_physical()
        rows = found.rows.select("impression_id", "video_id")
        return rows if found.known_us <= known_before_us else rows.filter(known_us < known_before_us)

    def known_us(self, kind: str) -> int:
        found = self._found(kind, CLOCK)
        return super().known_us(kind) if found is None else found.known_us

    def is_unchanged(self) -> bool:
        """Whether all of it was read, and is the same on disk still."""
        return all(self._found(kind, CLOCK) is not None for kind in KINDS)

    def of_videos(self) -> ReadAhead:
        """What was read of videos alone, which is little enough to keep."""
        return ReadAhead(self.root, {kind: self.ahead[kind] for kind in WHOLE})

    def _found(self, kind: str, columns: Sequence[str]) -> _Ahead | None:
        """What was read of this kind, if it has these columns and nothing has happened to the files."""
        if kind not in self.ahead or self.ahead[kind].exception() is not None:
            return None
        found = self.ahead[kind].result()
        is_held = set(columns) <= set(found.rows.columns)
        return found if is_held and found.stamps == _stamps(self, kind) else None


def read_ahead(root: Path) -> ReadAhead:
    """A log of which every kind is being read from now on."""
    log, pool = EventLog(root), ThreadPoolExecutor(2, "read-ahead")
    in_order = dict.fromkeys((*READ, "served", *KINDS))
    ahead = {kind: pool.submit(_read, log, kind) for kind in in_order}
    pool.shutdown(wait=False)
    return ReadAhead(root, ahead)


def _read(log: EventLog, kind: str) -> _Ahead:
    stamps = _stamps(log, kind)
    if kind in WHOLE:
        rows = log.read(kind)
    elif kind in NAMELESS:
        rows = log.read(kind, columns=[column for column in KINDS[kind] if column != "event_id"])
    else:
        rows = log.scan(kind).select(SHOWN if kind == "served" else CLOCK).collect()
    known_us = rows["known_time"].to_physical().to_numpy()
    return _Ahead(rows, stamps, int(known_us.max(initial=-1)) + 1)


def _stamps(log: EventLog, kind: str) -> Stamps:
    found = [(path, path.stat()) for path in log.parts(kind)]
    return tuple((path, status.st_size, status.st_mtime_ns) for path, status in found)
