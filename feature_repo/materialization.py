"""The newest feature values, loaded into Feast's online store for serving.

Law: an online value is never replaced by an older one. Feast's SQLite store overwrites blindly, so moments
are compared here, before writing. Values past their TTL are not loaded.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import polars as pl

from feature_repo.catalogue import VIEWS, View
from feature_repo.clock import SECOND_US
from feature_repo.places import Places
from feature_repo.snapshots import source_of
from feature_repo.store import apply

if TYPE_CHECKING:
    from feast import FeatureStore

BATCH = 2_000
"""Keys per online read: SQLite binds one variable each."""


def materialize(places: Places, until_us: int) -> dict[str, int]:
    """Load each view's newest values at `until`; the rows written per view.

    `until` is rounded up to a whole second, as write_snapshots does.
    """
    store = apply(places)
    end_us = -(-until_us // SECOND_US) * SECOND_US
    return {view.name: write_online(store, places, view, newest(places, view, end_us)) for view in VIEWS}


def newest(places: Places, view: View, until_us: int) -> pl.DataFrame:
    """The newest row of each key at or before `until` and within the TTL (inclusive)."""
    moment = pl.col("event_timestamp").to_physical()
    rows = pl.scan_parquet(source_of(places.features, view)).filter(moment <= until_us)
    if view.ttl_us is not None:
        rows = rows.filter(moment >= until_us - view.ttl_us)
    return rows.sort("event_timestamp").unique(list(view.keys), keep="last", maintain_order=True).collect()


def write_online(store: FeatureStore, places: Places, view: View, rows: pl.DataFrame) -> int:
    """Write rows of a view that are not older than what is online; how many were written.

    Feast's own write_to_online_store does the same conversion through pandas in 1.6 times the time.
    """
    from feast.infra.provider import get_provider

    kept = rows.filter(~_older_than_online(store, places, view, rows))
    if len(kept):
        provider = get_provider(store.config)
        provider.online_write_batch(
            store.config, store.get_feature_view(view.name), _protos(view, kept), None
        )
    return len(kept)


def _older_than_online(store: FeatureStore, places: Places, view: View, rows: pl.DataFrame) -> pl.Series:
    """Which rows would replace a newer value; only rows older than the view's newest can."""
    seconds = rows["event_timestamp"].to_physical() // SECOND_US
    suspects = rows.with_row_index("row").filter(seconds < _newest_online_s(store, places, view))
    older = [row for batch in suspects.iter_slices(BATCH) for row in _outdated(store, view, batch)]
    return pl.int_range(len(rows), eager=True).is_in(older)


def _outdated(store: FeatureStore, view: View, batch: pl.DataFrame) -> list[int]:
    from feast.infra.provider import get_provider

    keys = [key for key, _, _, _ in _protos(view, batch)]
    online = get_provider(store.config).online_read(store.config, store.get_feature_view(view.name), keys)
    ours = batch["event_timestamp"].dt.truncate("1s").to_list()
    theirs = [moment for moment, _ in online]
    rows = batch["row"].to_list()
    return [
        row for row, mine, other in zip(rows, ours, theirs, strict=True) if other is not None and other > mine
    ]


def _newest_online_s(store: FeatureStore, places: Places, view: View) -> int:
    """The newest moment online in this view, in seconds; 0 if nothing is there.

    Feast stores a moment as the epoch second of UTC read as local time; undo that the way Feast does.
    """
    with closing(sqlite3.connect(places.feast / "online.db")) as connection:
        table = f"{store.project}_{view.name}"
        (stored,) = connection.execute(f'select max(event_ts) from "{table}"').fetchone()
    if stored is None:
        return 0
    return int(dt.datetime.fromtimestamp(int(stored)).replace(tzinfo=dt.UTC).timestamp())


def _protos(view: View, rows: pl.DataFrame) -> Iterator[tuple[Any, dict[str, Any], Any, Any]]:
    """Rows as Feast's provider takes them: (entity key, values, event time, created time)."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    kinds = ["int64_val" if feature.integer else "float_val" for feature in view.features]
    keys = list(view.keys)
    for row in rows.select(*keys, *view.names, "event_timestamp").iter_rows():
        key = EntityKey(join_keys=keys, entity_values=[Value(int64_val=part) for part in row[: len(keys)]])
        parts = zip(view.names, kinds, row[len(keys) : -1], strict=True)
        yield key, {name: Value(**{kind: value}) for name, kind, value in parts}, row[-1], row[-1]
