"""What the benchmark of online reads stores: random people and videos, in parquet and then in both stores.

Each store is filled from the same files, the way it fills itself.
"""

from __future__ import annotations

import datetime as dt
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from feature_repo.clock import INSTANT, SECOND_US
from feature_repo.packed_rows import Schema, rows_of_columns
from feature_repo.packed_tables import PackedTables, open_packed

if TYPE_CHECKING:
    from feast import FeatureStore

USER = Schema("bench_user", ("user_id",), tuple((f"user_{i}", "<f4") for i in range(10)))
VIDEO = Schema("bench_video", ("video_id",), tuple((f"video_{i}", "<f4") for i in range(20)))
PROJECT = "bench"
START_US = 1_780_000_000 * SECOND_US


@dataclass(frozen=True)
class Size:
    """How much is stored, and how often each arm is asked."""

    users: int = 20_000
    videos: int = 50_000
    candidates: int = 500
    requests: int = 1_500
    feast_every: int = 10
    loads: int = 3


def write_sources(rng: np.random.Generator, folder: Path, size: Size) -> None:
    for schema, n in ((USER, size.users), (VIDEO, size.videos)):
        columns = {name: rng.random(n, np.float32) for name in schema.names}
        moments = pl.Series(START_US + rng.integers(0, 3600, n) * SECOND_US).cast(INSTANT)
        table = pl.DataFrame({schema.keys[0]: np.arange(n), **columns, "event_timestamp": moments})
        table.write_parquet(_source(folder, schema))


def _source(folder: Path, schema: Schema) -> Path:
    return folder / f"{schema.view}.parquet"


def packed_filled(store: Path, folder: Path) -> tuple[int, float]:
    """(videos written, seconds from parquet to the last row) into a new store; the people besides."""
    tables = open_packed(store, PROJECT)
    _load(tables, USER, folder)
    began = time.perf_counter()
    written = _load(tables, VIDEO, folder)
    seconds = time.perf_counter() - began
    tables.close()
    return written, seconds


def _load(tables: PackedTables, schema: Schema, folder: Path) -> int:
    table = pl.read_parquet(_source(folder, schema))
    columns = {name: table[name].to_numpy() for name in schema.names}
    moments = table["event_timestamp"].to_physical().to_numpy()
    return tables.write(schema, table[schema.keys[0]].to_numpy(), rows_of_columns(schema, columns, moments))


def feast_filled(folder: Path) -> tuple[FeatureStore, float]:
    """Feast's own SQLite store with both views, and the seconds its materialize took for the videos."""
    store = _feast_store(folder)
    ends = [dt.datetime.fromtimestamp(START_US / SECOND_US + s, dt.UTC) for s in (-1, 3600)]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        store.materialize(*ends, feature_views=[USER.view])
        began = time.perf_counter()
        store.materialize(*ends, feature_views=[VIDEO.view])
    return store, time.perf_counter() - began


def _feast_store(folder: Path) -> FeatureStore:
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float32, Int64

    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": "duckdb"},
        online_store={"type": "sqlite", "path": str(folder / "feast.db")},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    for schema in (USER, VIDEO):
        (key,) = schema.keys
        entity = Entity(name=key, join_keys=[key], value_type=ValueType.INT64)
        source = FileSource(path=str(_source(folder, schema)), timestamp_field="event_timestamp")
        fields = [Field(name=key, dtype=Int64), *(Field(name=name, dtype=Float32) for name in schema.names)]
        store.apply([entity, FeatureView(name=schema.view, entities=[entity], schema=fields, source=source)])
    return store
