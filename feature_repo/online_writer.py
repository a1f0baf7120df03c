"""Keeps the online store up to date with events: who was heard of is written at once, the rest when asked.

Law: after `write_changes(now)` the store is the as-of join at `now`, for every entity. A store that cannot be
written loses nothing: what it lacks stays due and is written later, and readers with the stream do not need
it meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from feature_repo.catalogue import STATS, USER_STATS, USER_TOPIC_STATS, View, view_named
from feature_repo.events import KINDS
from feature_repo.facts import COUNTED, Facts, Ints
from feature_repo.log import EventLog
from feature_repo.materialization import read_loaded, schema_of
from feature_repo.packed_rows import rows_of_columns
from feature_repo.packed_tables import PackedTables
from feature_repo.places import Places
from feature_repo.schemas import key_of
from feature_repo.steps import table_keys
from feature_repo.store import open_guarded_tables
from feature_repo.streams import FeatureStream, keys_of

log = logging.getLogger("feature_repo.online_writer")

AT_ONCE = (USER_STATS, USER_TOPIC_STATS)
"""Views written with every event: a person's next feed knows what they just did."""


@dataclass
class OnlineWriter:
    """The one writer of a run's online store while a server runs; the caller holds a lock."""

    stream: FeatureStream
    tables: PackedTables
    failures: int = 0
    """Writes that the store did not take."""
    _due: dict[str, set[int]] = field(default_factory=lambda: {view.name: set() for view in STATS})

    @property
    def is_behind(self) -> bool:
        """Whether the store lacks something it did not take: it is not the as-of join of any moment then."""
        return any(self._due.values())

    @classmethod
    def from_log(cls, places: Places, log: EventLog, now_us: int) -> OnlineWriter:
        """Over what the log knows; what changed since the store was last loaded is due."""
        loaded = read_loaded(places)
        told_us = loaded.until_us if loaded else now_us
        return cls(FeatureStream.from_log(log, now_us, told_us), open_guarded_tables(places))

    def hear(self, events: Sequence[Mapping[str, Any]]) -> Facts | None:
        """Count events that just became known; None if there is nothing to count."""
        tables = tables_of(events)
        return self.stream.update(tables) if tables else None

    def absorb(self, events: Sequence[Mapping[str, Any]], now_us: int) -> None:
        """Count events that just became known, and write what they say of people."""
        facts = self.hear(events)
        if facts is None:
            return
        for view in AT_ONCE:
            self._write(view, keys_of(facts, view), now_us)

    def write_changes(self, now_us: int) -> int:
        """Write what changed since the last time, by events or by windows moving on; how many rows."""
        changed = self.stream.changed(now_us)
        return sum(
            self._write(view_named(name), np.union1d(keys, list(self._due[name])).astype(np.int64), now_us)
            for name, keys in changed.items()
        )

    def catch_up(self, log: EventLog, now_us: int) -> None:
        """Know the videos that reached the log by another door than the server's."""
        self.stream.catch_up(log.read("uploaded", known_before_us=now_us))

    def _write(self, view: View, keys: Ints, now_us: int) -> int:
        if not len(keys):
            return 0
        steps = self.stream.value(view, keys, now_us)
        schema, columns = schema_of(view), dict(zip(view.names, steps.values.T, strict=True))
        table = np.column_stack(list(table_keys(view, keys).values()))
        try:
            self.tables.write(schema, table, rows_of_columns(schema, columns, steps.since_us, steps.until_us))
        except Exception:  # a store that is gone or full: serving goes on from the stream
            log.exception("could not write %d rows of %s; they stay due", len(keys), view.name)
            self.failures += 1
            self._due[view.name] |= set(keys.tolist())
            return 0
        self._due[view.name] -= set(keys.tolist())
        return len(keys)


def tables_of(events: Iterable[Mapping[str, Any]]) -> dict[str, pl.DataFrame]:
    """Acknowledged events as the stream counts them: by kind, with no more columns than are counted."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for event in events:
        if event["kind"] in _COLUMNS:
            rows.setdefault(event["kind"], []).append(event)
    return {kind: _table(kind, found) for kind, found in rows.items()}


_COLUMNS = {kind: ("event_time", "known_time", *columns) for kind, columns in COUNTED.items()}
_COLUMNS["served"] = ("impression_id", "video_id")


def _table(kind: str, events: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    columns = {
        name: pl.Series([event.get(key_of(name)) for event in events], dtype=_physical(kind, name)).cast(
            KINDS[kind][name]
        )
        for name in _COLUMNS[kind]
    }
    return pl.DataFrame(columns)


def _physical(kind: str, name: str) -> Any:
    dtype = KINDS[kind][name]
    return pl.Int64 if isinstance(dtype, pl.Datetime) else dtype
