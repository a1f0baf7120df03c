"""A Feast online store of packed rows: Feast's door to what packed_tables.py reads and writes as arrays.

Law: an older event time never replaces a newer one, an equal one does; a row that lacks a feature is refused
and its whole batch with it; a null comes back as a null. Values never expire here: what is returned carries
its event timestamp, and whoever reads it decides.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from feature_repo.packed_rows import Rows, Schema, decode, encode, rows_of_columns
from feature_repo.packed_tables import PackedTables, open_packed

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)

KINDS = {
    "Float32": ("<f4", "float_val"),
    "Float64": ("<f8", "double_val"),
    "Int32": ("<i4", "int32_val"),
    "Int64": ("<i8", "int64_val"),
    "Bool": ("|b1", "bool_val"),
}
"""Feast's type of a feature: how it is packed, and the field of Feast's Value that holds it."""

FeastRow = tuple[EntityKey, dict[str, Value], dt.datetime, dt.datetime | None]


class PackedOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """Where the rows are: exactly one of the two. A relative path is from the feature repository."""

    type: Literal["feature_repo.packed_store.PackedOnlineStore"] = (
        "feature_repo.packed_store.PackedOnlineStore"
    )
    path: str | None = None
    redis_url: str | None = None


class PackedOnlineStore(OnlineStore):  # type: ignore[misc]
    """One packed row per entity and view, in SQLite or Redis; one instance per Feast store, any thread."""

    def __init__(self) -> None:
        self._opened: dict[tuple[str, str], PackedTables] = {}
        self._lock = threading.Lock()

    def tables(self, config: RepoConfig) -> PackedTables:
        """The fast door to the same rows."""
        place = (where(config), config.project)
        with self._lock:
            if place not in self._opened:
                self._opened[place] = open_packed(*place)
            return self._opened[place]

    def online_write_batch(
        self,
        config: RepoConfig,
        table: Any,
        data: Sequence[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        schema = schema_of(table)
        if data:
            keys = _serialized(config, (key for key, _, _, _ in data))
            self.tables(config).stored.write(
                [(schema.view, keys, encode(schema, _packed(table, schema, data)))]
            )
        if progress:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: Any,
        entity_keys: Sequence[EntityKey],
        requested_features: Sequence[str] | None = None,
    ) -> list[tuple[dt.datetime | None, dict[str, Value] | None]]:
        schema = schema_of(table)
        asked = _serialized(config, entity_keys)
        (stored,) = self.tables(config).stored.fetch([(schema.view, asked)])
        rows, _ = decode(schema, stored)
        return _unpacked(table, rows, requested_features or schema.names)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[Any],
        tables_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Any],  # noqa: ARG002  (Feast's signature)
        entities_to_keep: Sequence[Any],  # noqa: ARG002
        partial: bool,  # noqa: ARG002
    ) -> None:
        stored = self.tables(config).stored
        for schema in [schema_of(table) for table in tables_to_keep]:
            stored.create(schema.view)
        for table in tables_to_delete:
            stored.clear(table.name)

    def teardown(self, config: RepoConfig, tables: Sequence[Any], entities: Sequence[Any]) -> None:  # noqa: ARG002
        for table in tables:
            self.tables(config).stored.clear(table.name)


def where(config: RepoConfig) -> str:
    """The SQLite file or the Redis address of a store's configuration."""
    online = config.online_store
    if (online.path is None) == (online.redis_url is None):
        raise ValueError(
            f"online_store has path={online.path!r} and redis_url={online.redis_url!r}, must have one."
        )
    if online.path is None:
        return str(online.redis_url)
    return str(Path(config.repo_path or Path.cwd()) / online.path)


def schema_of(table: Any) -> Schema:
    """How a feature view is packed; a feature of a type that cannot be is a TypeError."""
    for field in table.features:
        if str(field.dtype) not in KINDS:
            raise TypeError(
                f"feature {field.name!r} of view {table.name!r} is {field.dtype}, "
                f"must be one of {', '.join(KINDS)} to be packed."
            )
    features = tuple((field.name, KINDS[str(field.dtype)][0]) for field in table.features)
    return Schema(table.name, tuple(table.join_keys), features)


def _serialized(config: RepoConfig, keys: Iterable[EntityKey]) -> list[bytes]:
    version = config.entity_key_serialization_version
    return [serialize_entity_key(key, entity_key_serialization_version=version) for key in keys]


def _packed(table: Any, schema: Schema, data: Sequence[FeastRow]) -> Rows:
    """Feast's rows as ours; one that does not have exactly the view's features is refused."""
    names = set(schema.names)
    for _, values, _, _ in data:
        if values.keys() != names:
            missing, more = names - values.keys(), values.keys() - names
            wrong = f"lacks {sorted(missing)}" if missing else f"has {sorted(more)} besides"
            raise ValueError(
                f"a row for view {table.name!r} {wrong}, must have its features; none is written."
            )
    columns = {
        field.name: _column(field, [values[field.name] for _, values, _, _ in data])
        for field in table.features
    }
    moments = np.asarray([_moment_us(moment) for _, _, moment, _ in data], np.int64)
    return rows_of_columns(schema, columns, moments)


def _column(field: Any, values: Sequence[Value]) -> np.ma.MaskedArray[Any, Any]:
    """The numbers of one feature, masked where null."""
    dtype, holder = KINDS[str(field.dtype)]
    kinds = [value.WhichOneof("val") for value in values]
    for kind in set(kinds) - {holder, "null_val", None}:
        raise TypeError(f"feature {field.name!r} holds a {kind}, must be {holder}; none is written.")
    numbers = np.asarray([getattr(value, holder) for value in values], dtype)
    return np.ma.MaskedArray(numbers, [kind != holder for kind in kinds])


def _moment_us(moment: dt.datetime) -> int:
    """Microseconds since 1970; a moment without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return (aware - EPOCH) // MICROSECOND


def _unpacked(
    table: Any, rows: Rows, names: Sequence[str]
) -> list[tuple[dt.datetime | None, dict[str, Value] | None]]:
    holders = {field.name: KINDS[str(field.dtype)][1] for field in table.features}
    columns = [_values(holders[name], rows.values[name], rows.nulls(name)) for name in names]
    answers: list[tuple[dt.datetime | None, dict[str, Value] | None]] = []
    for row, (found, since_us) in enumerate(zip(rows.found.tolist(), rows.since_us.tolist(), strict=True)):
        values = {name: column[row] for name, column in zip(names, columns, strict=True)}
        answers.append((EPOCH + since_us * MICROSECOND, values) if found else (None, None))
    return answers


def _values(holder: str, column: Any, nulls: Any) -> list[Value]:
    return [
        Value() if null else Value(**{holder: number})
        for number, null in zip(column.tolist(), nulls.tolist(), strict=True)
    ]
