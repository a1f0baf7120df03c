"""Stored features of some rows by brute force: SQL over the raw log, every fact of a key beside every row.

Law: each row is paired with all facts of its keys, and those with known_us < t <= event_us + window are added
up. No steps, no sorting, no join on time: slow, and hard to get wrong.
"""

from __future__ import annotations

from typing import Any

import duckdb
import polars as pl
from numpy.typing import NDArray

from feature_repo.catalogue import DEFAULTS, PRIORS, PROFILES, STATS, STRENGTH, UNITS, Feature, View
from feature_repo.log import EventLog
from feature_repo.steps_sql import DUCKDB, READ, columns_read, empty_table, relations


def brute_force(log: EventLog, rows: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """Every stored feature of rows with impression_id, event_time and keys, in their order."""
    with duckdb.connect() as database:
        _attach(database, log)
        asked = rows.with_columns(asked_us=pl.col("event_time").to_physical()).with_row_index("row")
        database.register("asked", asked.drop("event_time").to_arrow())
        columns: dict[str, NDArray[Any]] = {}
        for view in STATS:
            found = database.execute(_stats_sql(view)).pl()
            columns |= {feature.name: _value(feature, found) for feature in view.features}
        for view in PROFILES:
            found = database.execute(_profile_sql(view)).pl()
            columns |= {f.name: found[f.name].fill_null(DEFAULTS[f.name]).to_numpy() for f in view.features}
    return columns


def _attach(database: duckdb.DuckDBPyConnection, log: EventLog) -> None:
    """The raw log as tables, and the facts in it."""
    for kind in READ:
        files = [str(path) for path in log.parts(kind)]
        if files:
            database.read_parquet(files, hive_partitioning=False).project(
                ", ".join(columns_read(kind))
            ).create_view(kind)
        else:
            database.execute(f"create view {kind} as {empty_table(DUCKDB, kind)}")
    stats = {view.name for view in STATS}
    for name, select in relations(DUCKDB, log.all_known_us()):
        if name not in stats:
            database.execute(f"create temp table {name} as {select}")


def _stats_sql(view: View) -> str:
    """The sums of each row, by event and window."""
    known = "made_known_us" if view.per_maker else "known_us"
    same = " and ".join(f"f.{key} = a.{key}" for key in view.keys)
    pairs = sorted({(event, f.window_us) for f in view.features for event in _ingredients(f)})
    sums = ", ".join(
        f"coalesce(sum(f.amount) filter (f.event = '{event}' and a.asked_us <= f.event_us + {window}), 0)"
        f" as {event}_{window}"
        for event, window in pairs
    )
    return (
        f"select a.row, {sums} from asked a left join facts f on {same} and f.{known} < a.asked_us "
        f"and a.asked_us <= f.event_us + {max(view.windows_us)} group by a.row order by a.row"
    )


def _profile_sql(view: View) -> str:
    (key,) = view.keys
    names = ", ".join(
        f"case when epoch_us(p.event_timestamp) <= a.asked_us then p.{n} end as {n}" for n in view.names
    )
    return f"select {names} from asked a left join {view.name} p on p.{key} = a.{key} order by a.row"


def _value(feature: Feature, found: pl.DataFrame) -> NDArray[Any]:
    amount = found[f"{feature.event}_{feature.window_us}"].cast(pl.Float64).to_numpy() / UNITS.get(
        feature.event, 1
    )
    if feature.kind != "rate":
        return amount
    shown = found[f"impressions_{feature.window_us}"].cast(pl.Float64).to_numpy()
    return ((amount + STRENGTH * PRIORS[feature.event]) / (shown + STRENGTH)).clip(0.0, 1.0)


def _ingredients(feature: Feature) -> tuple[str, ...]:
    return (feature.event, "impressions") if feature.kind == "rate" else (feature.event,)
