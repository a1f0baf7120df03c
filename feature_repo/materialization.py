"""The newest feature values, loaded into the online store for serving.

Law: an online value is never replaced by an older one; the store itself refuses it. Each row is loaded with
the moments between which it holds: the next step of the offline store says until when.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import polars as pl

from feature_repo.catalogue import VIEWS, View
from feature_repo.clock import NEVER_US, SECOND_US
from feature_repo.packed_rows import Rows, Schema, rows_of_columns
from feature_repo.packed_tables import PackedTables
from feature_repo.places import Places
from feature_repo.reports import write_text_atomically
from feature_repo.steps import source_of


@dataclass(frozen=True)
class Loaded:
    """Until when facts are in the online store, and how often it was loaded: serving looks at both."""

    until_us: int
    loads: int


def materialize(places: Places, until_us: int) -> dict[str, int]:
    """Load each view's values as of `until` (up to a whole second); the rows that took effect, per view."""
    from feature_repo.store import apply, open_tables

    apply(places)
    end_us = -(-until_us // SECOND_US) * SECOND_US
    tables = open_tables(places)
    written = {view.name: write_online(tables, view, newest(places, view, end_us)) for view in VIEWS}
    tables.close()
    before = read_loaded(places)
    mark = {"until_us": end_us, "loads": before.loads + 1 if before else 1}
    write_text_atomically(_mark(places), json.dumps(mark) + "\n")
    return written


def read_loaded(places: Places) -> Loaded | None:
    """What was last loaded in full; None before the first time."""
    path = _mark(places)
    return Loaded(**json.loads(path.read_text())) if path.exists() else None


def newest(places: Places, view: View, until_us: int) -> pl.DataFrame:
    """The row of each key that holds at `until` (TTL inclusive), with `until_us`, the moment of its next."""
    moment = pl.col("event_timestamp").to_physical()
    is_last = pl.any_horizontal(pl.col(key) != pl.col(key).shift(-1, fill_value=-1) for key in view.keys)
    following = pl.when(is_last).then(NEVER_US).otherwise(moment.shift(-1, fill_value=NEVER_US))
    rows = pl.scan_parquet(source_of(places.features, view)).with_columns(following.alias("until_us"))
    holds = (moment <= until_us) & (pl.col("until_us") > until_us)
    if view.ttl_us is not None:
        holds &= moment >= until_us - view.ttl_us
    return rows.filter(holds).collect()


def write_online(tables: PackedTables, view: View, rows: pl.DataFrame) -> int:
    """Write rows of `newest`; how many were not older than what was there."""
    return tables.write(schema_of(view), rows.select(view.keys).to_numpy(), packed(view, rows))


def packed(view: View, rows: pl.DataFrame) -> Rows:
    """Rows of the offline store as the online store keeps them."""
    columns = {name: rows[name].to_numpy() for name in view.names}
    since_us = rows["event_timestamp"].to_physical().to_numpy()
    return rows_of_columns(schema_of(view), columns, since_us, rows["until_us"].to_numpy())


@cache
def schema_of(view: View) -> Schema:
    """How a row of the view is packed: float32, and int64 for moments."""
    kinds = tuple((feature.name, "<i8" if feature.integer else "<f4") for feature in view.features)
    return Schema(view.name, view.keys, kinds)


def _mark(places: Places) -> Path:
    return places.feast / "loaded.json"
