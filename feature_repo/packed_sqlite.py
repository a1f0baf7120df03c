"""Packed rows in one SQLite file (WAL): one writer, many readers, a connection per thread.

Law: a reader sees a batch whole or not at all, also across views; a row is replaced only by one not older.
A statement is of one moment by itself, so a request's few keys are one; many take a transaction around them.
Keys lie back to front, so that rows of one last value, the topics of a person, are neighbours on a page: who
has written since costs a reader every page it had, and a request reads three instead of thirty.
Only integers and bytes are bound, and names: importing Feast changes how SQLite stores a datetime anywhere in
the process.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import repeat
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from feature_repo.packed_rows import moments_of
from feature_repo.packed_tables import Batch

BOUND = 16_384
"""Keys per statement; SQLite binds 32,766 variables at most."""

FEW = 64
"""Keys that are one statement together, whatever their views; a server asks in one shape, compiled once."""

LAST_BYTES = 8
"""Of a key are its last value."""

_SETTINGS = (
    "journal_mode=wal",
    "synchronous=normal",
    "cache_size=-32768",  # and no memory map: beside a log, each page of one is looked for in the log first
    "wal_autocheckpoint=10000",
)
_STORE = """
create table if not exists packed_views (
    project text not null,
    view text not null,
    version integer not null,
    newest_us integer not null,
    primary key (project, view)
) without rowid;
"""
_VIEW = """
create table if not exists {table} (
    key blob primary key,
    since_us integer not null,
    version integer not null,
    row blob not null
) without rowid;
"""
_INDEX = "create index if not exists {index} on {table} (version)"
_NEWEST = """
on conflict (key) do update set since_us = excluded.since_us, version = excluded.version, row = excluded.row
where excluded.since_us >= {table}.since_us
"""
_WRITE = "insert into {table} (key, since_us, row, version) values (?, ?, ?, {version})" + _NEWEST
_TURN = (
    "insert into {table} (key, since_us, row, version) "
    "select turned(key), since_us, row, version from {old} where true order by 1" + _NEWEST
)
_MARK = """
insert into packed_views (project, view, version, newest_us) values (?, ?, ?, ?)
on conflict do update set version = excluded.version, newest_us = max(newest_us, excluded.newest_us)
"""
PATIENCE_S = 30.0
"""How long to wait for a lock somebody else holds."""
_LATEST = "select coalesce(max(version), 0) from packed_views where project = ?"


class SqliteRows:
    """Bytes by view and key. Views are named by project and view together; safe to share between threads."""

    def __init__(self, path: Path, project: str, patience_s: float = PATIENCE_S):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._project, self._patience_s = path, project, patience_s
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._opened: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._made: set[str] = set()
        self._ordered: set[str] = set()
        self._connection().executescript(_STORE)

    def create(self, view: str) -> None:
        """Make the view's table if it is missing, of the older one with keys front to back where there is."""
        if view not in self._made:
            self._connection().executescript(_VIEW.format(table=self._table(view)))
            if self._has_older(view):
                self._turn(view)
            self._made.add(view)

    def fetch(self, asks: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """The stored row of each key of each view, all of one moment; None where there is none."""
        for view, _ in asks:
            self.create(view)
        if 0 < sum(len(keys) for _, keys in asks) <= FEW:
            return self._fetch_few(asks)
        with self._transaction("deferred") as connection:
            return [self._fetch(connection, view, keys) for view, keys in asks]

    def write(self, batches: Sequence[Batch]) -> int:
        """How many of these rows replaced nothing or something not newer."""
        for view, _, _ in batches:
            self.create(view)
        with self._transaction("immediate") as connection:
            version = self._latest(connection) + 1
            return sum(self._write(connection, version, *batch) for batch in batches)

    def changed_since(self, view: str, version: int) -> tuple[list[bytes], list[bytes], int]:
        """(keys, rows) written after this version, and the version now. One from the future means all."""
        self.create(view)
        self._order_by_version(view)
        with self._transaction("deferred") as connection:
            latest = self._latest(connection)
            after = version if version <= latest else 0
            select = f"select key, row from {self._table(view)} where version > ?"
            found = connection.execute(select, (after,)).fetchall()
        return [_turned(key) for key, _ in found], [row for _, row in found], latest

    def newest_us(self, view: str) -> int:
        """The largest moment ever written to the view; 0 before the first."""
        select = "select coalesce(max(newest_us), 0) from packed_views where project = ? and view = ?"
        return int(self._connection().execute(select, (self._project, view)).fetchone()[0])

    def clear(self, view: str) -> None:
        """Forget every row of the view; versions go on."""
        self.create(view)
        with self._transaction("immediate") as connection:
            connection.execute(f"delete from {self._table(view)}")
            connection.execute(
                "update packed_views set newest_us = 0 where project = ? and view = ?", (self._project, view)
            )

    def close(self) -> None:
        with self._lock:
            for connection in list(self._opened):
                connection.close()
        self._mine = threading.local()

    def _fetch_few(self, asks: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        keys = [[_turned(key) for key in asked] for _, asked in asks]
        bound = [_bound(each) for each in keys]
        shape = tuple((view, each.ends, len(each.keys)) for (view, _), each in zip(asks, bound, strict=True))
        select, values = _select_few(self._project, shape), [key for each in bound for key in each.keys]
        found: list[dict[bytes, bytes]] = [{} for _ in asks]
        for number, key, row in self._connection().execute(select, values):
            found[number][key] = row
        return [[rows.get(key) for key in each] for rows, each in zip(found, keys, strict=True)]

    def _fetch(self, connection: sqlite3.Connection, view: str, keys: Sequence[bytes]) -> list[bytes | None]:
        found: dict[bytes, bytes] = {}
        turned = [_turned(key) for key in keys]
        for low in range(0, len(keys), BOUND):
            asked = _padded(turned[low : low + BOUND])
            holes = ",".join("?" * len(asked))
            select = f"select key, row from {self._table(view)} where key in ({holes})"
            found.update(connection.execute(select, asked).fetchall())
        return [found.get(key) for key in turned]

    def _write(
        self,
        connection: sqlite3.Connection,
        version: int,
        view: str,
        keys: Sequence[bytes],
        rows: Sequence[bytes],
    ) -> int:
        moments, before = moments_of(rows), connection.total_changes
        in_order = sorted(
            zip(map(_turned, keys), moments, rows, strict=True), key=itemgetter(0)
        )  # of one key: as they came
        connection.executemany(_WRITE.format(table=self._table(view), version=version), in_order)
        written = connection.total_changes - before
        connection.execute(_MARK, (self._project, view, version, max(moments)))
        return written

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        connection = self._connection()
        connection.execute(f"begin {kind}")
        try:
            yield connection
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")

    def _connection(self) -> sqlite3.Connection:
        found: _Connection | None = getattr(self._mine, "connection", None)
        return self._connect() if found is None else found

    def _connect(self) -> sqlite3.Connection:
        made = sqlite3.connect(
            self._path,
            timeout=self._patience_s,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )
        for setting in _SETTINGS:
            made.execute(f"pragma {setting}")
        self._mine.connection = made
        with self._lock:
            self._opened.add(made)
        return made

    def _latest(self, connection: sqlite3.Connection) -> int:
        return int(connection.execute(_LATEST, (self._project,)).fetchone()[0])

    def _order_by_version(self, view: str) -> None:
        """Make the index of a view that is asked what changed; of others it would be half of every write."""
        if view not in self._ordered:
            index = self._quoted(view, "turned rows by version")
            with suppress(sqlite3.OperationalError):  # who may not write now searches all rows
                self._connection().execute(_INDEX.format(index=index, table=self._table(view)))
                self._ordered.add(view)

    def _has_older(self, view: str) -> bool:
        select = "select 1 from sqlite_master where name = ?"
        name = _named(self._project, view, "rows")
        return self._connection().execute(select, (name,)).fetchone() is not None

    def _turn(self, view: str) -> None:
        """Take over the rows of the older table, unless another process did meanwhile."""
        with self._transaction("immediate") as connection:
            if self._has_older(view):
                old = self._quoted(view, "rows")
                connection.create_function("turned", 1, _turned, deterministic=True)
                connection.execute(_TURN.format(table=self._table(view), old=old))
                connection.execute(f"drop table {old}")

    def _table(self, view: str) -> str:
        return self._quoted(view, "turned rows")

    def _quoted(self, view: str, part: str) -> str:
        return _quoted(self._project, view, part)


class _Connection(sqlite3.Connection):
    """One that may be held weakly: a thread that ends takes its connection with it."""


def _named(project: str, view: str, part: str) -> str:
    return f"packed:{project}:{view}:{part}"


def _quoted(project: str, view: str, part: str) -> str:
    name = _named(project, view, part).replace('"', '""')
    return f'"{name}"'


def _turned(key: bytes) -> bytes:
    """Back to front, either way."""
    return key[::-1]


class _Bound(NamedTuple):
    """What is bound to find some keys: both ends of the neighbours they are among, or each key."""

    ends: bool
    keys: Sequence[bytes]


def _bound(keys: Sequence[bytes]) -> _Bound:
    """Keys back to front are neighbours if their last value is one."""
    if len(keys) > 1:
        low, high = min(keys), max(keys)
        if low[:LAST_BYTES] == high[:LAST_BYTES]:
            return _Bound(True, (low, high))
    return _Bound(False, keys)


@lru_cache
def _select_few(project: str, shape: tuple[tuple[str, bool, int], ...]) -> str:
    """(number of the ask, key, row) of what is found; `shape` is, ask by ask, the view, whether ends are
    bound, and how many keys. A join seeks key by key; `in` would sort them first.
    """
    selects = []
    for number, (view, ends, size) in enumerate(shape):
        table = _quoted(project, view, "turned rows")
        if ends:
            selects.append(f"select {number}, key, row from {table} where key between ? and ?")
        elif size:
            asked = ", ".join(["(?)"] * size)
            selects.append(
                f"select {number}, key, row from (values {asked}) cross join {table} on key = column1"
            )
    return " union all ".join(selects)


def _padded(keys: Sequence[bytes]) -> list[bytes]:
    """Keys up to a power of two, the last one repeated: few different statements to compile."""
    size = 1 << (len(keys) - 1).bit_length()
    return [*keys, *repeat(keys[-1], size - len(keys))]
