"""Feast repositories of two views with late, repeated, expired and unsorted rows, and questions to them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float32, Int64

from feature_repo.clock import INSTANT
from tests.feature_repo.builders import at

OURS, FEASTS = "feature_repo.asof_store.AsOfOfflineStore", "duckdb"
HOUR = dt.timedelta(hours=1)

UID = Entity(name="uid", join_keys=["uid"], value_type=ValueType.INT64)
CAT = Entity(name="cat", join_keys=["cat"], value_type=ValueType.INT64)


def a_store(
    root: Path, offline: str = OURS, coerce: bool = True, views: Sequence[Any] | None = None
) -> FeatureStore:
    """A repository of these views, else of two, one of them with two keys."""
    config = RepoConfig(
        project="p",
        provider="local",
        registry=str(root / f"{offline}.db"),
        offline_store={"type": offline},
        online_store={"type": "sqlite", "path": str(root / f"{offline}.online.db")},
        entity_key_serialization_version=3,
        coerce_tz_aware=coerce,
        repo_path=root,
    )
    store = FeatureStore(config=config)
    both = [a_view(root, "plain", [UID], 2 * HOUR), a_view(root, "crossed", [UID, CAT], None)]
    store.apply([UID, CAT, *(both if views is None else views)])
    return store


def a_view(
    root: Path, name: str, entities: list[Any], ttl: dt.timedelta | None, **source: Any
) -> FeatureView:
    path = root / f"{name}.parquet"
    if not path.exists():
        feature_rows(np.random.default_rng(len(name)), name).write_parquet(path)
    clocks = {"timestamp_field": "ts", "created_timestamp_column": "created"}
    return FeatureView(
        name=name,
        entities=entities,
        ttl=ttl,
        schema=[
            *(Field(name=e.name, dtype=Int64) for e in entities),
            Field(name=f"{name}_x", dtype=Float32),
            Field(name=f"{name}_n", dtype=Int64),
        ],
        source=FileSource(**{"path": str(path), **clocks, **source}),
    )


def feature_rows(rng: np.random.Generator, name: str, n: int = 600) -> pl.DataFrame:
    """Unsorted, with equal event times told apart by when they were created, some created late."""
    event = rng.integers(0, 96, n) * 900_000_000 + at()
    late = rng.choice([0, 0, 3_600_000_000, 9_000_000_000], n)
    created = event + late + np.arange(n)  # unique: equal moments would leave the answer open
    return pl.DataFrame(
        {
            "uid": rng.integers(0, 12, n),
            "cat": rng.integers(0, 3, n),
            f"{name}_x": rng.random(n).astype(np.float32),
            f"{name}_n": rng.integers(0, 10**12, n),
            "ts": pl.Series(event).cast(INSTANT),
            "created": pl.Series(created).cast(INSTANT),
        }
    )


def questions(n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    moments = rng.integers(-2, 110, n) * 900_000_000 + at()
    return pd.DataFrame(
        {
            "row": np.arange(n),
            "uid": rng.integers(0, 14, n),
            "cat": rng.integers(0, 4, n),
            "event_timestamp": pd.Series(moments).astype("datetime64[us]").dt.tz_localize("UTC"),
        }
    )


REFERENCES = ["plain:plain_x", "plain:plain_n", "crossed:crossed_x", "crossed:crossed_n"]


def asked_of(store: FeatureStore, asked: Any, references: Any = REFERENCES, **how: Any) -> pd.DataFrame:
    rows: pd.DataFrame = store.get_historical_features(asked, references, **how).to_df()
    return rows


def expect_the_same(ours: pd.DataFrame, feasts: pd.DataFrame) -> None:
    """Cell by cell; Feast's store keeps no order, and its own types."""
    theirs = feasts.sort_values("row", ignore_index=True)[ours.columns]
    pd.testing.assert_frame_equal(ours.sort_values("row", ignore_index=True), theirs, check_dtype=False)
