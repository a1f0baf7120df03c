"""Feature views as arrays, read from and written to an online store of packed rows: no protobuf between.

Law: per key, the row with the largest (since_us, then last written) stays; what a reader sees of a batch is
all of it or nothing. Feast's door to the same rows is packed_store.py.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from numpy.typing import ArrayLike

from feature_repo.packed_rows import Keys, Rows, Schema, decode, decode_keys, encode, encode_keys, joined

Batch = tuple[str, Sequence[bytes], Sequence[bytes]]
"""A view, and keys and rows to write to it."""


class StoredRows(Protocol):
    """Bytes by view and key, wherever they are kept."""

    def create(self, view: str) -> None: ...
    def fetch(self, asks: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]: ...
    def write(self, batches: Sequence[Batch]) -> int: ...
    def changed_since(self, view: str, version: int) -> tuple[list[bytes], list[bytes], int]: ...
    def newest_us(self, view: str) -> int: ...
    def clear(self, view: str) -> None: ...
    def close(self) -> None: ...


class PackedTables:
    """The rows of one project; safe to share between threads."""

    def __init__(self, stored: StoredRows):
        self.stored = stored
        self.foreign = 0  # rows of another schema met so far
        self._lock = threading.Lock()

    def read(self, schema: Schema, keys: ArrayLike) -> Rows:
        """One row per key of [n, k], in their order; an unknown key is not found."""
        return self.read_many([(schema, keys)])[0]

    def read_many(self, asks: Sequence[tuple[Schema, ArrayLike]]) -> list[Rows]:
        """Several views as of one moment, in one round trip."""
        asked = [(schema.view, encode_keys(schema, keys)) for schema, keys in asks]
        answers = zip(asks, self.stored.fetch(asked), strict=True)
        return [self._decoded(schema, rows) for (schema, _), rows in answers]

    def fetch(self, asks: Sequence[tuple[Schema, Sequence[bytes]]]) -> list[bytes]:
        """The same of serialized keys, a view's rows in one piece as they are stored; zeros for none."""
        answers = self.stored.fetch([(schema.view, keys) for schema, keys in asks])
        pieces = [joined(schema, rows) for (schema, _), rows in zip(asks, answers, strict=True)]
        self._count_foreign(sum(foreign for _, foreign in pieces))
        return [whole for whole, _ in pieces]

    def write(self, schema: Schema, keys: ArrayLike, rows: Rows) -> int:
        """How many rows took effect: one older than what its key has does not. The batch is atomic."""
        return self.write_many([(schema, keys, rows)])

    def write_many(self, told: Sequence[tuple[Schema, ArrayLike, Rows]]) -> int:
        """Several views in one batch: whoever reads them sees all of it or nothing."""
        batches = [_encoded(*each) for each in told if len(each[2])]
        return self.stored.write(batches) if batches else 0

    def changed_since(self, schema: Schema, version: int) -> tuple[Keys, Rows, int]:
        """Keys and rows written after this version, and the version now: 0 before the first write.

        Versions grow over all views of the store. A version above the store's means that the store was
        emptied or replaced: everything is returned.
        """
        keys, stored, latest = self.stored.changed_since(schema.view, version)
        rows = self._decoded(schema, stored)
        ours = rows.found
        if ours.all():
            return decode_keys(schema, keys), rows, latest
        kept = [key for key, mine in zip(keys, ours, strict=True) if mine]
        nulls = None if rows.null_bits is None else rows.null_bits[ours]
        only = Rows(ours[ours], rows.since_us[ours], rows.until_us[ours], rows.values[ours], nulls)
        return decode_keys(schema, kept), only, latest

    def newest_us(self, schema: Schema) -> int:
        """The largest since_us ever written to the view; 0 before the first write."""
        return self.stored.newest_us(schema.view)

    def close(self) -> None:
        self.stored.close()

    def _decoded(self, schema: Schema, stored: Sequence[bytes | None]) -> Rows:
        rows, foreign = decode(schema, stored)
        self._count_foreign(foreign)
        return rows

    def _count_foreign(self, rows: int) -> None:
        if rows:
            with self._lock:
                self.foreign += rows


def _encoded(schema: Schema, keys: ArrayLike, rows: Rows) -> Batch:
    encoded, stored = encode_keys(schema, keys), encode(schema, rows)
    if len(encoded) != len(stored):
        raise ValueError(f"{len(encoded)} keys and {len(stored)} rows of {schema.view!r}, must be as many.")
    return schema.view, encoded, stored


def open_packed(where: str | Path, project: str) -> PackedTables:
    """The packed rows of a project in a SQLite file, or in Redis if `where` is a redis:// address."""
    return PackedTables(open_rows(where, project))


def open_rows(where: str | Path, project: str, patience_s: float | None = None) -> StoredRows:
    """The same rows as bytes; a store that keeps us waiting longer than this fails instead."""
    if str(where).startswith(("redis://", "rediss://", "unix://")):
        from feature_repo.packed_redis import RedisRows

        return RedisRows(str(where), project, patience_s)
    from feature_repo.packed_sqlite import PATIENCE_S, SqliteRows

    return SqliteRows(Path(where), project, PATIENCE_S if patience_s is None else patience_s)
