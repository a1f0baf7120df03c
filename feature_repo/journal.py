"""Events the server acknowledged, durable before the acknowledgement, until the log absorbs them.

Law: what was stored is on disk once `sync` returned, and so is all that was stored or noted before it: what
survives the end of the machine is always the beginning of what was stored. One event id has one body. The
same id with the same body is a retry and is stored once; with another body it is a conflict, and nothing of
its batch is stored. `known_time_us` is when we received it, so it is no part of the body. Only integers and
strings are bound: importing Feast changes how SQLite stores a datetime anywhere in the process.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import polars as pl

from feature_repo.events import KINDS
from feature_repo.log import EventLog
from feature_repo.schemas import key_of, refuse_bad_event
from feature_repo.slates import Slate, events_of, heard
from feature_repo.syncs import SharedSync

Event = Mapping[str, Any]

_TABLES = """
create table if not exists events (
    number integer primary key autoincrement,
    event_id text not null unique,
    body_hash text not null,
    body text not null
);
create table if not exists drained (upto integer not null);
"""
PAGES = 10_000
"""Where nobody checkpoints, a write does it when so many pages wait (40 MB)."""
_INSERT = "insert into events (event_id, body_hash, body) values (?, ?, ?) on conflict do nothing"
_FIND = "select body_hash from events where event_id = ?"


class ConflictingEvent(ValueError):
    """An event id that is already stored with another body."""

    def __init__(self, event_id: str):
        super().__init__(
            f"event {event_id!r} is already stored with another body; "
            "an id names one event: send the same body, or a new id for a new event."
        )
        self.event_id = event_id


class Acknowledged(NamedTuple):
    """How many events of a batch were stored for the first time, and how many already were."""

    stored: int
    repeated: int


class Journaled(NamedTuple):
    """An event and the number of its row; numbers grow and are never reused. Those of a slate share one."""

    number: int
    event: dict[str, Any]


class _Row(NamedTuple):
    event_id: str
    body_hash: str
    body: str


class Journal:
    """An append-only SQLite table (WAL); safe to share between threads."""

    def __init__(self, path: Path, patience_s: float = 30.0):
        """`patience_s`: how long a write waits for another process that is writing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            path, check_same_thread=False, isolation_level=None, timeout=patience_s
        )
        self._connection.execute("pragma journal_mode=wal")
        self._connection.execute("pragma synchronous=normal")  # see `sync`
        self._connection.execute(f"pragma wal_autocheckpoint={PAGES}")
        self._connection.executescript(_TABLES)
        self._commits = os.open(f"{path}-wal", os.O_RDONLY)
        """Where SQLite writes them. Open before they are: whoever opens it later is not told that an earlier
        one could not be brought to disk.
        """
        self._closed = weakref.finalize(self, os.close, self._commits)
        self._syncs = SharedSync()
        self._is_doubtful = False
        """Whether a sync failed and none has succeeded since."""
        self._version = 0
        """SQLite's number of commits by others; changes of our own do not move it."""

    def append(self, events: Sequence[Event]) -> Acknowledged:
        """Store the batch whole or not at all; returns once it is on disk."""
        stored = self.store(events)
        self.sync()
        return stored

    def store(self, events: Sequence[Event]) -> Acknowledged:
        """Store the batch whole or not at all. Everybody can read it, and the end of this process loses
        nothing of it; on disk it is after the next `sync`.
        """
        rows = [_row(event) for event in events]
        stored = self._stored(rows)
        return Acknowledged(stored, len(rows) - stored)

    def sync(self) -> None:
        """Bring to the disk what was stored before; others go on reading and writing meanwhile.

        Why the file of commits is enough: what is not in it any more was moved. Whoever moves it
        (`checkpoint` or, where PAGES wait, a write of any process) syncs it before and the main file after,
        and only then is its place written over; SQLite sees to that unless `synchronous` is off, and nobody
        turns it off. It stays the same file as long as somebody has it open, as we have.
        """
        self._syncs.reach(self._bring_to_disk)

    def note(self, slate: Slate) -> None:
        """Store a slate, as durable as what was stored: the end of the machine loses of it only what nobody
        has told us anything about yet.
        """
        body = slate.body()
        self._stored([_Row(slate.requested["event_id"], _hash(body), body.decode())])

    def moved(self) -> bool:
        """Whether another process stored something since this was last asked. Microseconds."""
        with self._lock:
            (version,) = self._connection.execute("pragma data_version").fetchone()
            seen, self._version = self._version, version
        return bool(version != seen)

    def checkpoint(self) -> bool:
        """Move what was written into the main file, while others go on writing; a server does it aside, so
        that nobody's request waits for the disk. Whether all of it was moved, and is on disk.
        """
        with closing(sqlite3.connect(self._path)) as aside:
            _, written, moved = aside.execute("pragma wal_checkpoint(passive)").fetchone()
        return bool(written == moved)

    def events(self, after: int = 0) -> list[Journaled]:
        """Everything stored with a number above `after`, in order of arrival."""
        found = ((number, orjson.loads(body)) for number, body in self._bodies(after))
        return [Journaled(number, event) for number, row in found for event in events_of(row)]

    def heard(self, after: int = 0) -> list[Journaled]:
        """The same as a server hears it: each slate as the one row it is, without its features."""
        return [Journaled(number, heard(body)) for number, body in self._bodies(after)]

    def drained(self) -> int:
        """The number of the last event the log has absorbed; 0 before the first drain."""
        with self._lock:
            (upto,) = self._connection.execute("select coalesce(max(upto), 0) from drained").fetchone()
        return int(upto)

    def drain_into(self, log: EventLog) -> int:
        """Copy what the log has not absorbed yet into it; the count of events copied.

        The part is named by its first number: a drain cut short before its mark is repeated under the same
        name, with all of its rows and perhaps more, and replaces what it left. An id the log holds from
        elsewhere stays what it was there: the first body of an id is its body.
        """
        waiting = self.events(after=self.drained())
        if not waiting:
            return 0
        part = f"journal-{waiting[0].number:012d}"
        copied = sum(_append_new(log, kind, rows, part) for kind, rows in _by_kind(waiting).items())
        with self._lock:
            self._connection.execute("insert into drained values (?)", (waiting[-1].number,))
        return copied

    def close(self) -> None:
        self._closed()
        self._connection.close()

    def _bodies(self, after: int) -> list[tuple[int, str]]:
        with self._lock:
            return self._connection.execute(
                "select number, body from events where number > ? order by number", (after,)
            ).fetchall()

    def _bring_to_disk(self) -> None:
        """See `sync`. After a failure the system may have forgotten what it could not write, and call the
        next sync a success: then everything is written anew, to the main file.
        """
        was_doubtful, self._is_doubtful = self._is_doubtful, True
        if not was_doubtful:
            os.fdatasync(self._commits)
        elif not self.checkpoint():
            raise OSError(errno.EIO, "the journal could not be synced, and is being read or written again")
        self._is_doubtful = False

    def _stored(self, rows: Sequence[_Row]) -> int:
        """Write and commit; how many are new."""
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                stored = self._insert(rows)
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:  # a full disk ends some transactions by itself
                    self._connection.execute("rollback")
                raise
        return stored

    def _insert(self, rows: Sequence[_Row]) -> int:
        """How many rows are new; ConflictingEvent if the id of one is taken by another body."""
        before = self._connection.total_changes
        self._connection.executemany(_INSERT, rows)
        stored = self._connection.total_changes - before
        for row in rows if stored < len(rows) else ():
            (body_hash,) = self._connection.execute(_FIND, (row.event_id,)).fetchone()
            if body_hash != row.body_hash:
                raise ConflictingEvent(row.event_id)
        return stored


def frame_of(kind: str, events: Iterable[Event]) -> pl.DataFrame:
    """Events of one kind as a table of the log; what an event leaves out is null."""
    rows = list(events)
    columns = {
        column: pl.Series(column, [_cell(event.get(key_of(column))) for event in rows], strict=False).cast(
            dtype
        )
        for column, dtype in KINDS[kind].items()
    }
    return pl.DataFrame(columns, schema=dict(KINDS[kind]))


def _append_new(log: EventLog, kind: str, rows: list[dict[str, Any]], part: str) -> int:
    frame = frame_of(kind, rows)
    known = log.ids_outside(kind, part, frame["event_id"])
    new = frame.filter(~pl.col("event_id").is_in(known.implode()))
    if len(new):
        log.append(kind, new, part)
    return len(new)


def _row(event: Event) -> _Row:
    """The body is what the hash is of, and then what is no part of it: nulls, and when we heard of it."""
    refuse_bad_event(event)
    said = dict(event)
    beside = {"known_time_us": said.pop("known_time_us")}
    if None in said.values():
        beside.update((key, said.pop(key)) for key, value in event.items() if value is None)
    canonical = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    body = canonical[:-1] + b"," + orjson.dumps(beside)[1:]
    return _Row(event["event_id"], _hash(canonical), body.decode())


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _by_kind(waiting: Iterable[Journaled]) -> dict[str, list[dict[str, Any]]]:
    kinds: dict[str, list[dict[str, Any]]] = {}
    for _, event in waiting:
        kinds.setdefault(event["kind"], []).append(event)
    return kinds


def _cell(value: Any) -> Any:
    """Numbers of a list as floats, with a null among them as NaN."""
    if isinstance(value, list):
        return [float("nan") if number is None else float(number) for number in value]
    return value
