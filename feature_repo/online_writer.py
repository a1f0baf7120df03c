"""Keeps the online store up to date with events: they are heard one by one and written together, when asked.

Law: after `write(changes(now))` the store is the as-of join at `now`, for every entity. A store that is not
written yet, or cannot be, loses nothing: what it lacks stays due, and readers with the stream do not need it
meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from feature_repo.catalogue import STATS, View, view_named
from feature_repo.facts import TOLD, Columns, Ints, columns_of_events
from feature_repo.log import EventLog
from feature_repo.materialization import read_loaded, schema_of
from feature_repo.packed_rows import Rows, Schema
from feature_repo.packed_tables import PackedTables
from feature_repo.places import Places
from feature_repo.steps import table_keys
from feature_repo.store import open_guarded_tables
from feature_repo.streams import FeatureStream

log = logging.getLogger("feature_repo.online_writer")


@dataclass(frozen=True)
class Changes:
    """Rows to be written as of a moment: keys by view, as Facts.keys_for makes them."""

    now_us: int
    keys: Mapping[str, Ints]


def _nothing_due() -> dict[str, set[int]]:
    return {view.name: set() for view in STATS}


@dataclass
class OnlineWriter:
    """The one writer of a run's online store while a server runs. Whoever tells it of events, or asks it for
    changes, holds a lock; the one thread that writes them need not.
    """

    stream: FeatureStream
    tables: PackedTables
    failures: int = 0
    """Writes that the store did not take."""
    _due: dict[str, set[int]] = field(default_factory=_nothing_due)

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

    def hear(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Count events that just became known."""
        if tables := tables_of(events):
            self.stream.update(tables)

    def pass_over(self, upto_us: int) -> None:
        """Somebody who knows the same brought the store to this moment: what changed before is not due."""
        self.stream.pass_over(upto_us)

    def changes(self, now_us: int) -> Changes:
        """What changed since this was last asked, by events or by windows moving on, and what the store did
        not take.
        """
        found = self.stream.changed(now_us)
        due, self._due = self._due, _nothing_due()
        keys = {name: np.union1d(keys, list(due[name])).astype(np.int64) for name, keys in found.items()}
        return Changes(now_us, keys)

    def write(self, changes: Changes) -> int:
        """Bring the store to the moment of these changes; how many rows. Needs no lock: what is heard
        meanwhile is known later, so it changes no value of that moment.
        """
        self.stream.lay_out()
        asked = ((view_named(name), keys) for name, keys in changes.keys.items() if len(keys))
        return sum(self._write(view, keys, changes.now_us) for view, keys in asked)

    def catch_up(self, log: EventLog, now_us: int) -> None:
        """Know the videos that reached the log by another door than the server's."""
        self.stream.catch_up(log.read("uploaded", known_before_us=now_us, columns=TOLD["uploaded"]))

    def _write(self, view: View, keys: Ints, now_us: int) -> int:
        """One view's in one batch: whoever reads the store sees all of it or nothing."""
        rows = self._rows(view, keys, now_us)
        try:
            self.tables.write(*rows)
        except Exception:  # a store that is gone or full: serving goes on from the stream
            log.exception("could not write %d rows of %s; they stay due", len(keys), view.name)
            self.failures += 1
            self._due[view.name] |= set(keys.tolist())
            return 0
        return len(keys)

    def _rows(self, view: View, keys: Ints, now_us: int) -> tuple[Schema, Ints, Rows]:
        steps = self.stream.value(view, keys, now_us)
        schema, n = schema_of(view), len(keys)
        table = np.array(list(table_keys(view, keys).values())).T
        values = steps.values.view(schema.dtype).reshape(n)  # float32 all of them, in its order
        return schema, table, Rows(np.ones(n, np.bool_), steps.since_us, steps.until_us, values)


def tables_of(events: Iterable[Mapping[str, Any]]) -> dict[str, Columns]:
    """Acknowledged events as the stream counts them: by kind, with no more columns than are counted."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for event in events:
        if event["kind"] in TOLD:
            rows.setdefault(event["kind"], []).append(event)
    return {kind: columns_of_events(kind, found) for kind, found in rows.items()}
