"""Packed rows in one SQLite file (WAL): one writer, many readers, a connection per thread.

Law: a reader sees a batch whole or not at all, also across views; a row is replaced only by one not older.
A statement is of one moment by itself, so a request's few keys are one; many take a transaction around them.
Only integers and bytes are bound, and names: importing Feast changes how SQLite stores a datetime anywhere in
the process.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import count, islice, repeat
from operator import itemgetter
from pathlib import Path

from feature_repo.packed_rows import moments_of
from feature_repo.packed_tables import Batch

BOUND = 16_384
"""Keys per statement; SQLite binds 32,766 variables at most."""

FEW = 64
"""Keys that are one statement together, whatever their views; a server asks in one shape, compiled once."""

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
create index if not exists {index} on {table} (version);
"""
_WRITE = """
insert into {table} (key, since_us, row, version) values (?, ?, ?, {version})
on conflict (key) do update set since_us = excluded.since_us, version = excluded.version, row = excluded.row
where excluded.since_us >= since_us
"""
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
        self._connection().executescript(_STORE)

    def create(self, view: str) -> None:
        """Make the view's table if it is missing."""
        if view not in self._made:
            script = _VIEW.format(table=self._table(view), index=self._quoted(view, "by version"))
            self._connection().executescript(script)
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
        with self._transaction("deferred") as connection:
            latest = self._latest(connection)
            after = version if version <= latest else 0
            select = f"select key, row from {self._table(view)} where version > ?"
            found = connection.execute(select, (after,)).fetchall()
        return [key for key, _ in found], [row for _, row in found], latest

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
        select = _select_few(self._project, tuple((view, len(keys)) for view, keys in asks))
        asked = [key for _, keys in asks for key in keys]
        found = dict(self._connection().execute(select, asked).fetchall())
        places = iter(range(len(asked)))
        return [[found.get(place) for place in islice(places, len(keys))] for _, keys in asks]

    def _fetch(self, connection: sqlite3.Connection, view: str, keys: Sequence[bytes]) -> list[bytes | None]:
        found: dict[bytes, bytes] = {}
        for low in range(0, len(keys), BOUND):
            asked = _padded(keys[low : low + BOUND])
            holes = ",".join("?" * len(asked))
            select = f"select key, row from {self._table(view)} where key in ({holes})"
            found.update(connection.execute(select, asked).fetchall())
        return [found.get(key) for key in keys]

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
            zip(keys, moments, rows, strict=True), key=itemgetter(0)
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

    def _table(self, view: str) -> str:
        return self._quoted(view, "rows")

    def _quoted(self, view: str, part: str) -> str:
        return _quoted(self._project, view, part)


class _Connection(sqlite3.Connection):
    """One that may be held weakly: a thread that ends takes its connection with it."""


def _quoted(project: str, view: str, part: str) -> str:
    name = f"packed:{project}:{view}:{part}".replace('"', '""')
    return f'"{name}"'


@lru_cache
def _select_few(project: str, sizes: tuple[tuple[str, int], ...]) -> str:
    """(place among all keys, row) of those found; `sizes` are how many keys of which view, in order. A join
    seeks key by key; `in` would sort them first.
    """
    places, selects = count(), []
    for view, size in sizes:
        asked = ", ".join(f"({place}, ?)" for place in islice(places, size))
        keys = f"(select column1 as place, column2 as asked from (values {asked}))"
        table = _quoted(project, view, "rows")
        selects += [f"select place, row from {keys} cross join {table} on key = asked"] if size else []
    return " union all ".join(selects)


def _padded(keys: Sequence[bytes]) -> list[bytes]:
    """Keys up to a power of two, the last one repeated: few different statements to compile."""
    size = 1 << (len(keys) - 1).bit_length()
    return [*keys, *repeat(keys[-1], size - len(keys))]
